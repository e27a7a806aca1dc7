"""Spec of a TrainingRun. What decides the result is fixed at creation; suspend, deadlines and gate may change."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from kubefugu_core.pool import ApiModel, DecimalString, EnvironmentVariable, Name, Toleration
from kubefugu_operators.api import QUANTITY, LocalRef, Resources, immutable

SHA256 = r"^[0-9a-f]{64}$"


def _fixed(what: str) -> dict[str, Any]:
    return immutable(f"spec.{what}")


class Supervised(ApiModel):
    """Warm start: KL to softmax(score / temperature), gradients on the head (ALGORITHMS 4.1; TRINITY, stage 1)."""

    temperature: str = Field(
        default="auto",
        pattern=r"^(auto|[0-9]{1,4}(\.[0-9]{1,9})?)$",
        json_schema_extra=_fixed("algorithm.supervised.temperature"),
    )
    """Temperature of the target distribution; auto: chosen on the validation part of the training split."""
    max_epochs: int = Field(default=40, ge=1, le=100_000, json_schema_extra=_fixed("algorithm.supervised.maxEpochs"))
    """Upper bound of epochs; training stops earlier when the validation loss does not fall any more."""
    train_offsets: bool = Field(default=False, json_schema_extra=_fixed("algorithm.supervised.trainOffsets"))
    """True: spectral (SVF) offsets of the adapted layer are trained too, and kept where they gain; needs backbone.bundleUrl."""
    cost_weight: DecimalString = Field(default="0", json_schema_extra=_fixed("algorithm.supervised.costWeight"))
    """Weight of a worker's cost in its target score; 0: quality alone."""


class SepCmaEs(ApiModel):
    """Separable CMA-ES over head and offsets (Ros and Hansen 2008; TRINITY, stage 2). Defaults are the paper's."""

    iterations: int = Field(default=60, ge=1, le=100_000, json_schema_extra=_fixed("algorithm.sepCmaEs.iterations"))
    """Generations."""
    population_size: int = Field(default=0, ge=0, le=4096, json_schema_extra=_fixed("algorithm.sepCmaEs.populationSize"))
    """Candidates a generation; 0: 4 + floor(3 ln N)."""
    initial_step_size: DecimalString = Field(default="0.03", json_schema_extra=_fixed("algorithm.sepCmaEs.initialStepSize"))
    """Step size sigma at the start."""
    episodes_per_candidate: int = Field(
        default=16, ge=1, le=65_536, json_schema_extra=_fixed("algorithm.sepCmaEs.episodesPerCandidate")
    )
    """Questions on which each candidate is measured; the same for the whole generation."""
    fitness: Literal["Table", "Episodes"] = Field(default="Table", json_schema_extra=_fixed("algorithm.sepCmaEs.fitness"))
    """Table: measured outcomes of the data; Episodes: multi-turn episodes run against the pool's live workers."""
    max_turns: int = Field(default=5, ge=1, le=20, json_schema_extra=_fixed("algorithm.sepCmaEs.maxTurns"))
    """Episodes: most turns."""
    questions: int = Field(default=0, ge=0, le=1_000_000, json_schema_extra=_fixed("algorithm.sepCmaEs.questions"))
    """Episodes: training questions; 0: all of the data that are not held out."""
    held_out: int = Field(default=0, ge=0, le=100_000, json_schema_extra=_fixed("algorithm.sepCmaEs.heldOut"))
    """Episodes: held-out questions, that the gain is measured on; 0: a fifth of the data. None is trained on."""
    answer_tokens: int = Field(default=0, ge=0, le=131_072, json_schema_extra=_fixed("algorithm.sepCmaEs.answerTokens"))
    """Episodes: longest reply of a worker; 0: 64 tokens."""
    entropy_bonus: DecimalString = Field(default="0.15", json_schema_extra=_fixed("algorithm.sepCmaEs.entropyBonus"))
    """Weight of the entropy of worker choice in the fitness."""
    turn_bonus: DecimalString = Field(default="0.10", json_schema_extra=_fixed("algorithm.sepCmaEs.turnBonus"))
    """Episodes: weight of the turn term, the share of turns that were left unused, in the fitness."""
    cost_weight: DecimalString = Field(default="0", json_schema_extra=_fixed("algorithm.sepCmaEs.costWeight"))
    """Weight of the mean cost in the fitness."""
    train_offsets: bool = Field(default=False, json_schema_extra=_fixed("algorithm.sepCmaEs.trainOffsets"))
    """True: spectral (SVF) offsets are part of the search; needs backbone.bundleUrl, and the fitness Table."""
    warm_start: bool = Field(default=True, json_schema_extra=_fixed("algorithm.sepCmaEs.warmStart"))
    """True: a supervised warm start on the same data gives the initial mean; Episodes: on answers that are measured first."""


class Grpo(ApiModel):
    """Group-relative policy optimisation of a Conductor (DeepSeekMath; Conductor paper). Defaults are the paper's.

    Plans are executed against the pool's live workers and checked by the questions' verifiers.
    """

    group_size: int = Field(default=64, ge=2, le=1024, json_schema_extra=_fixed("algorithm.grpo.groupSize"))
    """Samples a question (G)."""
    questions_per_step: int = Field(default=4, ge=1, le=1024, json_schema_extra=_fixed("algorithm.grpo.questionsPerStep"))
    """Questions a step."""
    steps: int = Field(default=200, ge=1, le=1_000_000, json_schema_extra=_fixed("algorithm.grpo.steps"))
    """Optimiser steps."""
    learning_rate: DecimalString = Field(default="0.000001", json_schema_extra=_fixed("algorithm.grpo.learningRate"))
    """Peak of the cosine schedule; LoRA wants about a hundred times as much."""
    max_steps: int = Field(default=5, ge=1, le=20, json_schema_extra=_fixed("algorithm.grpo.maxSteps"))
    """Steps of a planned workflow."""
    adapter: Literal["Full", "LoRA"] = Field(default="Full", json_schema_extra=_fixed("algorithm.grpo.adapter"))
    """What is trained: the whole model, whose artifact needs storage.url, or low-rank factors."""
    rank: int = Field(default=16, ge=1, le=512, json_schema_extra=_fixed("algorithm.grpo.rank"))
    """LoRA: rank of the factors; their scale is 2. An artifact without a URL has at most 900 kB."""
    layers: int = Field(default=0, ge=0, le=1024, json_schema_extra=_fixed("algorithm.grpo.layers"))
    """LoRA: so many layers from the top get factors; 0: all."""
    dtype: Literal["Float32", "BFloat16"] = Field(default="Float32", json_schema_extra=_fixed("algorithm.grpo.dtype"))
    """LoRA: type of the frozen weights; what is trained is Float32."""
    questions: int = Field(default=0, ge=0, le=1_000_000, json_schema_extra=_fixed("algorithm.grpo.questions"))
    """Training questions; 0: all of the data that are not held out."""
    held_out: int = Field(default=0, ge=0, le=100_000, json_schema_extra=_fixed("algorithm.grpo.heldOut"))
    """Held-out questions, that the gain is measured on; 0: a fifth of the data. None is trained on."""
    least_workers: int = Field(default=3, ge=1, le=256, json_schema_extra=_fixed("algorithm.grpo.leastWorkers"))
    """k-of-n pools: fewest workers offered with a training question."""
    most_workers: int = Field(default=0, ge=0, le=256, json_schema_extra=_fixed("algorithm.grpo.mostWorkers"))
    """k-of-n pools: most workers offered with a training question; 0: all. Held-out questions offer all."""
    max_tokens: int = Field(default=160, ge=16, le=4096, json_schema_extra=_fixed("algorithm.grpo.maxTokens"))
    """Longest plan."""
    answer_tokens: int = Field(default=0, ge=0, le=131_072, json_schema_extra=_fixed("algorithm.grpo.answerTokens"))
    """Longest reply of a worker in training; 0: as long as it likes."""
    temperature: DecimalString = Field(default="1", json_schema_extra=_fixed("algorithm.grpo.temperature"))
    """Sampling temperature of plans."""
    warm_examples: int = Field(default=256, ge=0, le=1_000_000, json_schema_extra=_fixed("algorithm.grpo.warmExamples"))
    """Valid plans, random in substance, that teach the form before GRPO; 0: none."""
    warm_epochs: int = Field(default=2, ge=1, le=1000, json_schema_extra=_fixed("algorithm.grpo.warmEpochs"))
    """Passes over them."""
    warm_learning_rate: DecimalString = Field(default="0", json_schema_extra=_fixed("algorithm.grpo.warmLearningRate"))
    """Learning rate of that; 0: 0.0005 with LoRA, 0.00001 with Full."""
    search_tries: int = Field(default=0, ge=0, le=10_000, json_schema_extra=_fixed("algorithm.grpo.searchTries"))
    """Random plans executed for each training question; right ones are taught before GRPO. 0: none."""
    oversample: int = Field(default=1, ge=1, le=16, json_schema_extra=_fixed("algorithm.grpo.oversample"))
    """So many times the questions of a step are sampled; the groups that disagree most are learned from."""
    micro_batch: int = Field(default=8, ge=1, le=1024, json_schema_extra=_fixed("algorithm.grpo.microBatch"))
    """Most plans in one pass forward and backward: what the memory holds."""
    cost_weight: DecimalString = Field(default="0", json_schema_extra=_fixed("algorithm.grpo.costWeight"))
    """Reward that one US dollar of worker calls costs."""
    save_every: int = Field(default=10, ge=1, le=100_000, json_schema_extra=_fixed("algorithm.grpo.saveEvery"))
    """Steps between checkpoints."""

    @model_validator(mode="after")
    def _consistent(self) -> Grpo:
        if self.most_workers and self.most_workers < self.least_workers:
            raise ValueError("mostWorkers must not be smaller than leastWorkers")
        if self.adapter == "Full" and self.dtype != "Float32":
            raise ValueError("dtype belongs to the adapter LoRA: full training keeps its weights in Float32")
        return self


class Algorithm(ApiModel):
    """Exactly one of the algorithms."""

    supervised: Supervised | None = None
    """Supervised warm start on an outcome table."""
    sep_cma_es: SepCmaEs | None = None
    """Evolution strategy on outcomes or live episodes."""
    grpo: Grpo | None = None
    """Reinforcement learning of a Conductor."""

    @model_validator(mode="after")
    def _one(self) -> Algorithm:
        if sum(part is not None for part in (self.supervised, self.sep_cma_es, self.grpo)) != 1:
            raise ValueError("algorithm needs exactly one of supervised, sepCmaEs or grpo")
        return self

    @property
    def calls_workers(self) -> bool:
        """True where the run asks the pool's live workers."""
        return self.grpo is not None or (self.sep_cma_es is not None and self.sep_cma_es.fitness == "Episodes")

    @property
    def name(self) -> str:
        """The chosen one's field name: supervised, sepCmaEs or grpo."""
        chosen = {"supervised": self.supervised, "sepCmaEs": self.sep_cma_es, "grpo": self.grpo}
        return next(name for name, part in chosen.items() if part is not None)


class Backbone(ApiModel):
    """The frozen language model whose hidden state is read."""

    ref: str = Field(min_length=1, max_length=1024, pattern=r"^[^\s]+$", json_schema_extra=_fixed("backbone.ref"))
    """Hub id, path in the models volume, or name of a packaged model; the routers that serve the result must use the same."""
    revision: str = Field(default="", max_length=128, json_schema_extra=_fixed("backbone.revision"))
    """Hub commit; empty: the newest when the run starts."""
    bundle_url: str = Field(default="", max_length=2048, json_schema_extra=_fixed("backbone.bundleUrl"))
    """Factor bundle that offsets refer to; needed only with trainOffsets."""
    bundle_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", json_schema_extra=_fixed("backbone.bundleSha256"))
    """Checksum of the bundle."""


class ConfigMapKey(ApiModel):
    """A key of a ConfigMap in the same namespace."""

    name: Name = Field(json_schema_extra=_fixed("data.configMap.name"))
    """Name of the ConfigMap."""
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$", json_schema_extra=_fixed("data.configMap.key"))
    """Key in data or binaryData; its ending (.jsonl or .parquet) says the format."""


class ClaimPath(ApiModel):
    """A file in a PersistentVolumeClaim of the same namespace."""

    claim_name: Name = Field(json_schema_extra=_fixed("data.claim.claimName"))
    """Name of the claim."""
    path: str = Field(min_length=1, max_length=1024, pattern=r"^[^/\s][^\s]*$", json_schema_extra=_fixed("data.claim.path"))
    """Path of the file in the volume, relative."""


class Data(ApiModel):
    """What is learned from.

    supervised and sepCmaEs (fitness Table) take an outcome table (parquet or JSON lines): prompt or messages, group, split,
    score:<worker>, optional cost and tokens. grpo and fitness Episodes take questions (JSON lines): prompt, answer, optional
    kind (numeric, contains, exact, choice, code, parts) and field, the name of the worker (or of several, joined by +) that it
    is meant for.
    """

    config_map: ConfigMapKey | None = None
    """A small file in a ConfigMap; its bytes are frozen in the run's snapshot."""
    claim: ClaimPath | None = None
    """A file in a volume."""
    url: str | None = Field(
        default=None, pattern=r"^(https?|s3|gs|file|memory)://[^\s]+$", max_length=2048, json_schema_extra=_fixed("data.url")
    )
    """A file by URL (anything that fsspec reads)."""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", json_schema_extra=_fixed("data.sha256"))
    """Checksum of the file; required with url and claim, so that a run can't see other data than it says."""

    @model_validator(mode="after")
    def _one(self) -> Data:
        if sum(part is not None for part in (self.config_map, self.claim, self.url)) != 1:
            raise ValueError("data needs exactly one of configMap, claim or url")
        if self.config_map is None and not self.sha256:
            raise ValueError("data.sha256 is required with url and claim")
        return self


class Storage(ApiModel):
    """Where checkpoints and the run directory live. Nothing given: in the pod, lost with it."""

    claim_name: str = Field(default="", max_length=253, json_schema_extra=_fixed("storage.claimName"))
    """An existing PersistentVolumeClaim; the run uses the folder named after its UID."""
    size: str = Field(default="", max_length=32, pattern=QUANTITY, json_schema_extra=_fixed("storage.size"))
    """A claim of this size is made for the run and deleted with it."""
    storage_class_name: str = Field(default="", max_length=253, json_schema_extra=_fixed("storage.storageClassName"))
    """Storage class of the claim made for the run; empty: the default one."""
    url: str = Field(
        default="", max_length=2048, pattern=r"^((s3|gs|https?|file)://[^\s]+)?$", json_schema_extra=_fixed("storage.url")
    )
    """Object store prefix (fsspec); credentials come from driver.env."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Storage:
        if sum(bool(part) for part in (self.claim_name, self.size, self.url)) > 1:
            raise ValueError("storage takes one of claimName, size or url")
        if self.storage_class_name and not self.size:
            raise ValueError("storageClassName belongs to a claim made for the run: give its size too")
        return self


class Pods(ApiModel):
    """What a user may say about the run's pods. A change takes effect while the run is suspended or has not started yet."""

    image: str = Field(default="", max_length=1024)
    """Container image; empty: the operator's trainer image."""
    resources: Resources = Resources()
    """Resources of each pod."""
    node_selector: dict[str, str] = Field(default={}, max_length=32)
    """Labels of the nodes that may run them."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that they tolerate."""
    env: tuple[EnvironmentVariable, ...] = Field(default=(), max_length=64)
    """Environment variables, e.g. object store credentials from a Secret."""
    labels: dict[str, str] = Field(default={}, max_length=32)
    """Labels added to the pods."""
    annotations: dict[str, str] = Field(default={}, max_length=32)
    """Annotations added to the pods."""
    priority_class_name: str = Field(default="", max_length=253)
    """Priority class."""
    runtime_class_name: str = Field(default="", max_length=253)
    """Runtime class."""
    service_account_name: str = Field(default="", max_length=253)
    """Service account, e.g. for cloud storage; its token is not mounted."""


class Evaluators(Pods):
    """Pods that measure candidates (sepCmaEs) or execute plans (grpo), over Celery. None: the driver does it itself."""

    replicas: int = Field(default=0, ge=0, le=1000)
    """Evaluator pods; may be changed while the run goes on."""


class Budget(ApiModel):
    """What the run may spend; at its end it stops at a safe point, evaluates what it has and says so."""

    max_cost_usd: DecimalString = Field(default="0", json_schema_extra=_fixed("budget.maxCostUsd"))
    """US dollars for the worker calls of training (grpo); 0: no limit. The measurement at the end comes on top."""
    max_seconds: int = Field(default=0, ge=0, le=31_536_000, json_schema_extra=_fixed("budget.maxSeconds"))
    """Wall time of training in seconds; 0: no limit. activeDeadlineSeconds is the hard end."""


class Gate(ApiModel):
    """What the result must reach on held-out items before it is published."""

    minimum_gain: str = Field(default="0", pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,9})?$", max_length=16)
    """Gain in mean score over the best single worker, e.g. 0.01."""
    confidence: str = Field(default="0.95", pattern=r"^0(\.[0-9]{1,9})?$", max_length=16)
    """Confidence of the interval of the gain, whose lower end must reach minimumGain; 0: the mean gain itself must."""


class Publish(ApiModel):
    """Where the result goes."""

    policy: Name = Field(json_schema_extra=_fixed("publish.policy"))
    """RoutingPolicy that gets the new version."""
    create_policy: bool = True
    """True: a RoutingPolicy with default settings is created where there is none."""
    gate: Gate = Gate()
    """Otherwise the run succeeds without publishing."""


class ManagedBy(StrEnum):
    """Who reconciles the run's Job."""

    OPERATOR = "kubefugu.dev/operator"
    MULTIKUEUE = "kueue.x-k8s.io/multikueue"


class TrainingRunSpec(ApiModel):
    """One training run. Pool and data are frozen when it starts; a later edit of either can't change it."""

    pool_ref: LocalRef
    """WorkerPool whose workers the result routes to."""
    workers: tuple[Name, ...] = Field(default=(), max_length=256, json_schema_extra=_fixed("workers"))
    """Only these workers of the pool; empty: every worker that the data measures, with grpo every solver of the pool."""
    algorithm: Algorithm
    """How to train."""
    backbone: Backbone
    """Whose hidden state the head reads; with grpo the planner that is trained."""
    input_format: Literal["auto", "raw", "chat"] = Field(default="auto", json_schema_extra=_fixed("inputFormat"))
    """How a conversation is rendered for the backbone; auto: the better of the two on training rows. Nothing else with grpo."""
    data: Data
    """Measured outcomes, or questions."""
    seed: int = Field(default=42, ge=0, le=2_147_483_647, json_schema_extra=_fixed("seed"))
    """Seed of every random choice."""
    driver: Pods = Pods()
    """The driver's pod."""
    evaluators: Evaluators = Evaluators()
    """Evaluator pods."""
    storage: Storage = Storage()
    """Checkpoints."""
    budget: Budget = Budget()
    """Spending limits."""
    publish: Publish | None = None
    """Absent: the artifact stays in the run."""
    suspend: bool = False
    """True: pods end at a safe point, the run resumes from its checkpoint when this is false again."""
    start_deadline_seconds: int = Field(default=0, ge=0, le=31_536_000)
    """The driver must run within this time, or the run fails and frees what it holds; 0: none."""
    active_deadline_seconds: int = Field(default=0, ge=0, le=31_536_000)
    """The run fails when it has been active this long, suspension not counted; 0: none."""
    backoff_limit: int = Field(default=3, ge=0, le=100)
    """Failures of the program before the run fails; lost pods and nodes don't count."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=315_360_000)
    """The run is deleted this long after its end; absent: kept. Published versions stay."""
    managed_by: ManagedBy = Field(default=ManagedBy.OPERATOR, json_schema_extra=_fixed("managedBy"))
    """Another controller's name: this operator leaves the run alone."""

    @model_validator(mode="after")
    def _consistent(self) -> TrainingRunSpec:
        if self.evaluators.replicas and self.algorithm.supervised is not None:
            raise ValueError("evaluators belong to sepCmaEs and grpo")
        if self.algorithm.grpo is not None:
            if self.backbone.bundle_url or self.backbone.bundle_sha256:
                raise ValueError("grpo trains no offsets: leave backbone.bundleUrl and bundleSha256 empty")
            if self.input_format != "auto":
                raise ValueError("inputFormat belongs to heads: a Conductor has a prompt of its own")
        if self.active_deadline_seconds and self.start_deadline_seconds > self.active_deadline_seconds:
            raise ValueError("startDeadlineSeconds must not be longer than activeDeadlineSeconds")
        return self
