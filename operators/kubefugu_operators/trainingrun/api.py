"""The TrainingRun kind: CEL rules, columns and everything else that the CRD generator needs."""

from __future__ import annotations

from pydantic import BaseModel

from kubefugu_core import pool
from kubefugu_operators.api import Column, Kind, Rule
from kubefugu_operators.trainingrun import spec
from kubefugu_operators.trainingrun.sample import SAMPLE
from kubefugu_operators.trainingrun.status import CONDITIONS, TrainingRunStatus

_ANEW = "; delete the run and create it anew."
RULES: dict[type[BaseModel], tuple[Rule, ...]] = {
    spec.Algorithm: (
        Rule(
            "[has(self.supervised), has(self.sepCmaEs), has(self.grpo)].filter(x, x).size() == 1",
            "algorithm needs exactly one of supervised, sepCmaEs or grpo; write {} for its defaults.",
        ),
        Rule(
            "has(self.supervised) == has(oldSelf.supervised) && has(self.sepCmaEs) == has(oldSelf.sepCmaEs)"
            " && has(self.grpo) == has(oldSelf.grpo)",
            f"the algorithm is fixed when the run is created{_ANEW}",
        ),
    ),
    spec.Grpo: (
        Rule(
            "self.mostWorkers == 0 || self.mostWorkers >= self.leastWorkers",
            "mostWorkers must not be smaller than leastWorkers; 0 means all.",
            ".mostWorkers",
        ),
        Rule(
            "self.adapter == 'LoRA' || self.dtype == 'Float32'",
            "dtype belongs to the adapter LoRA: full training keeps its weights in Float32.",
            ".dtype",
        ),
    ),
    spec.Data: (
        Rule(
            "[has(self.configMap), has(self.claim), has(self.url)].filter(x, x).size() == 1",
            "data needs exactly one of configMap, claim or url: say where table or questions are found, in one way.",
        ),
        Rule(
            "has(self.configMap) || (has(self.sha256) && self.sha256 != '')",
            "data.sha256 is required with url and claim: write the file's checksum (sha256sum FILE).",
            ".sha256",
        ),
        Rule(
            "has(self.configMap) == has(oldSelf.configMap) && has(self.claim) == has(oldSelf.claim)"
            " && has(self.url) == has(oldSelf.url)",
            f"the data of a run is fixed when it is created{_ANEW}",
        ),
    ),
    spec.Storage: (
        Rule(
            "[self.claimName, self.size, self.url].filter(x, x != '').size() <= 1",
            "storage takes one of claimName (an existing claim), size (a claim made for the run) or url (object store).",
        ),
        Rule(
            "self.storageClassName == '' || self.size != ''",
            "storageClassName belongs to a claim made for the run: give its size too.",
        ),
    ),
    pool.EnvironmentVariable: (
        Rule(
            "!(has(self.secretKeyRef) && has(self.value) && self.value != '')",
            "an environment variable takes value or secretKeyRef, not both.",
        ),
    ),
    spec.TrainingRunSpec: (
        Rule(
            "self.poolRef.name == oldSelf.poolRef.name",
            f"the pool of a run is fixed when it is created{_ANEW}",
            ".poolRef.name",
        ),
        Rule(
            "has(self.workers) == has(oldSelf.workers) && has(self.publish) == has(oldSelf.publish)",
            f"workers and publish can't be added or removed later{_ANEW}",
        ),
        Rule(
            "self.evaluators.replicas == 0 || !has(self.algorithm.supervised)",
            "evaluators belong to sepCmaEs and grpo: supervised training runs in the driver alone.",
            ".evaluators.replicas",
        ),
        Rule(
            "!has(self.algorithm.grpo) || (self.backbone.bundleUrl == '' && self.backbone.bundleSha256 == '')",
            "grpo trains no offsets: leave backbone.bundleUrl and bundleSha256 empty.",
            ".backbone",
        ),
        Rule(
            "!has(self.algorithm.grpo) || self.inputFormat == 'auto'",
            "inputFormat belongs to heads: a Conductor has a prompt of its own; leave it at auto.",
            ".inputFormat",
        ),
        Rule(
            "self.startDeadlineSeconds == 0 || self.activeDeadlineSeconds == 0"
            " || self.startDeadlineSeconds <= self.activeDeadlineSeconds",
            "startDeadlineSeconds must not be longer than activeDeadlineSeconds.",
            ".startDeadlineSeconds",
        ),
    ),
}

KIND = Kind(
    kind="TrainingRun",
    plural="trainingruns",
    short_name="tr",
    description="One training of a routing head or planner: data and pool are frozen, a Job trains, a version is published.",
    spec=spec.TrainingRunSpec,
    status=TrainingRunStatus,
    columns=(
        Column("Succeeded", '.status.conditions[?(@.type=="Succeeded")].status', description="Unknown while it goes on."),
        Column("Reason", '.status.conditions[?(@.type=="Succeeded")].reason', description="Why, or which stage."),
        Column("Algorithm", ".status.algorithm", description="The chosen algorithm."),
        Column("Progress", ".status.progressText", description="Steps done and planned."),
        Column("Best", ".status.progress.bestFitness", description="Best fitness so far."),
        Column("Gain", ".status.result.gain", description="Held-out gain over the best single worker."),
        Column("Version", ".status.artifact.version", description="Published version.", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Succeeded")].message', description="Sentence for people.", priority=1),
        Column("Age", ".metadata.creationTimestamp", type="date"),
    ),
    rules=RULES,
    list_keys={
        (spec.Pods, "env"): "name",
        (spec.Evaluators, "env"): "name",
        (TrainingRunStatus, "conditions"): "type",
    },
    set_lists=frozenset({(spec.TrainingRunSpec, "workers")}),
    conditions=CONDITIONS,
    sample=SAMPLE,
)
