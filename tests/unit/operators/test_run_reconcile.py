"""The decision about a run, stage by stage."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from support.manifests import REMOVED, SHA, edited, training_run, worker_pool

from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.plan import Plan
from kubefugu_operators.trainingrun.objects import PodDefaults
from kubefugu_operators.trainingrun.observed import Collected, RunObserved, RunView
from kubefugu_operators.trainingrun.reconcile import Settings, reconcile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(PodDefaults(image="trainer:dev", volumes=({"name": "models", "emptyDir": {}},)))
CONTENT = b"a trained head"
SHA_OF_CONTENT = hashlib.sha256(CONTENT).hexdigest()


def run(**spec: Any) -> Body:
    body = training_run()
    body["metadata"] |= {"namespace": "ns", "uid": "uid-r", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    body["spec"] |= spec
    return body


def pool() -> Body:
    body = worker_pool()
    body["metadata"] |= {"namespace": "ns", "uid": "uid-w"}
    return body


def report(**more: Any) -> str:
    told = {"reason": "Trained", "score": 0.7, "baseline": 0.6, "gain": 0.1, "gain_low": 0.04, "gain_high": 0.15, "items": 90}
    return json.dumps({**told, "artifact_uri": "file:///x", "artifact_sha256": SHA_OF_CONTENT, **more})


def policy() -> Body:
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "RoutingPolicy",
        "metadata": {"name": "main", "namespace": "ns", "uid": "uid-p"},
    }


class Story:
    """A run that is reconciled step by step; what a plan wants is stored."""

    def __init__(self, body: Body | None = None, **observed: Any) -> None:
        self.observed = RunObserved(**{"body": body or run(), "now": NOW, "pool": pool(), **observed})

    def step(self, seconds: float = 0, **changes: Any) -> Plan:
        now = self.observed.now + timedelta(seconds=seconds)
        self.observed = replace(self.observed, now=now, **changes)
        plan = reconcile(self.observed, {}, SETTINGS)
        children = dict(self.observed.children)
        for deletion in plan.delete:
            children.pop(deletion.ref, None)
        for body in plan.create:
            ref = ref_of(body)
            if ref.kind == "RoutingPolicy":
                self.observed = replace(self.observed, policy=policy())
            elif ref not in children:
                meta = {**body["metadata"], "uid": f"uid-{ref.name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
                children[ref] = {**body, "metadata": meta}
        for body in plan.apply:
            current = children[ref_of(body)]
            children[ref_of(body)] = {**current, "spec": {**current["spec"], **body["spec"]}}
        status = plan.status or self.observed.body.get("status")
        self.observed = replace(self.observed, body={**self.observed.body, "status": status}, children=children)
        return plan

    def job(self, **status: Any) -> None:
        """What the Job controller writes."""
        ref = Ref("Job", "ns", "run-driver")
        children = dict(self.observed.children)
        children[ref] = {**children[ref], "status": status}
        self.observed = replace(self.observed, children=children)

    def conditions(self) -> dict[str, tuple[str, str]]:
        return {c["type"]: (c["status"], c["reason"]) for c in self.observed.body["status"]["conditions"]}

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.observed.body["status"])


def pod(phase: str = "Running", *, uid: str = "p1", exit_code: int | None = None, message: str = "", **status: Any) -> Body:
    told: dict[str, Any] = {"phase": phase, "podIP": "10.0.0.7", **status}
    if exit_code is not None:
        ended = {"exitCode": exit_code, "message": message}
        told["containerStatuses"] = [{"name": "driver", "image": "i", "state": {"terminated": ended}}]
    return {"metadata": {"name": f"run-driver-{uid}", "namespace": "ns", "uid": uid}, "status": told}


def started(body: Body | None = None) -> Story:
    story = Story(body)
    story.step()
    story.step(1, pods=(pod(),), view=RunView(True, "running", 1, 3, best_fitness=0.5, eta_seconds=31))
    return story


def test_first_visit_freezes_and_starts() -> None:
    story = Story()
    plan = story.step()
    assert [str(ref_of(body)) for body in plan.create] == ["ConfigMap ns/run-snapshot", "Job ns/run-driver"]
    stages = {"SnapshotReady", "Suspended", "DriverRunning", "EvaluatorsReady", "Trained", "Published", "Succeeded"}
    assert set(story.conditions()) == stages
    assert story.conditions()["Succeeded"] == ("Unknown", "Running")
    snapshot, job = plan.create
    assert snapshot["immutable"] is True
    config = json.loads(snapshot["data"]["config.json"])
    assert config["data"] == {"location": "https://host/table.parquet", "sha256": SHA}
    assert config["algorithm"] == "supervised"
    assert yaml.safe_load(snapshot["data"]["pool.yaml"])["spec"]["workers"][0]["name"] == "a"
    template = job["spec"]["template"]["spec"]
    assert template["containers"][0]["image"] == "trainer:dev"
    assert {"name": "models", "emptyDir": {}} in template["volumes"]
    assert template["securityContext"]["runAsNonRoot"] is True
    assert template["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_driver_reads_what_the_operator_writes() -> None:
    config_module = pytest.importorskip("kubefugu_trainer.driver.config")
    snapshot = Story().step().create[0]
    config = config_module.DriverConfig.model_validate_json(snapshot["data"]["config.json"])
    assert config.run.uid == "uid-r"
    assert config.parameters["temperature"] == "auto"


def test_a_later_edit_of_the_pool_does_not_change_the_run() -> None:
    story = Story()
    story.step()
    changed = edited(pool(), "spec.workers.0.model", "another")
    plan = story.step(1, pool=changed)
    assert [body for body in plan.create if body["kind"] == "ConfigMap"] == []
    assert "another" not in str(story.observed.child("ConfigMap", "run-snapshot"))
    assert story.step(1, pool=None).status is not None
    assert story.conditions()["SnapshotReady"] == ("True", "SnapshotFrozen")


TABLE = {"configMap": {"name": "outcomes", "key": "t.jsonl"}}


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        (run(), {"pool": None}, "PoolNotFound"),
        (run(workers=["b"]), {}, "WorkerNotInPool"),
        (run(data=TABLE), {}, "DataNotFound"),
        (run(data=TABLE), {"data": {"data": {"other": "x"}}}, "DataNotFound"),
        (run(data={**TABLE, "sha256": SHA}), {"data": {"data": {"t.jsonl": "x"}}}, "DataChecksumMismatch"),
        (run(data=TABLE), {"data": {"data": {"t.jsonl": "x" * 900_001}}}, "DataTooLarge"),
    ],
)
def test_what_is_missing_is_told_and_waited_for(body: Body, more: dict[str, Any], reason: str) -> None:
    story = Story(body, **more)
    plan = story.step()
    assert plan.create == ()
    assert story.conditions()["SnapshotReady"] == ("False", reason)
    assert story.conditions()["Succeeded"] == ("Unknown", reason)
    assert plan.requeue_after_s is not None


def test_table_of_a_config_map_travels_in_the_snapshot() -> None:
    snapshot = Story(run(data=TABLE), data={"data": {"t.jsonl": "rows"}}).step().create[0]
    assert base64.b64decode(snapshot["binaryData"]["t.jsonl"]) == b"rows"
    config = json.loads(snapshot["data"]["config.json"])
    assert config["data"]["sha256"] == hashlib.sha256(b"rows").hexdigest()


def test_progress_is_told() -> None:
    story = started()
    assert story.conditions()["DriverRunning"] == ("True", "DriverRunning")
    assert story.status["progress"] == {"state": "Running", "step": 1, "totalSteps": 3, "bestFitness": "0.5", "etaSeconds": 30}
    assert story.status["progressText"] == "1/3"
    assert story.status["attempt"] == 1
    story.step(1, view=RunView(False))
    assert story.status["progress"]["step"] == 1


def collected(story: Story, *, sha256: str = SHA_OF_CONTENT, told: str | None = None) -> Plan:
    done = RunView(True, "succeeded", 3, 3)
    return story.step(1, view=done, collected=Collected(CONTENT, sha256, told or report()))


def finish(story: Story) -> None:
    """The artifact was stored, the driver released, the Job is complete."""
    release = story.step(1, collected=None)
    assert release.release == ("10.0.0.7:50054",)
    story.job(conditions=[{"type": "Complete", "status": "True"}])
    story.step(1, pods=(pod("Succeeded", exit_code=0, message=report()),), view=None)


def test_trained_collected_released_published() -> None:
    story = started()
    plan = collected(story)
    assert plan.release == (), "the driver is let go only when its artifact is seen stored"
    assert story.conditions()["Trained"] == ("Unknown", "CollectingArtifact")
    finish(story)
    assert story.conditions()["Published"] == ("Unknown", "Waiting")
    plan = story.step(1)
    version = next(body for body in plan.create if "kubefugu.dev/policy-version" in body["metadata"]["labels"])
    assert version["metadata"]["name"] == f"main-run-{SHA_OF_CONTENT[:8]}"
    assert version["metadata"]["ownerReferences"][0]["uid"] == "uid-p"
    assert base64.b64decode(version["binaryData"]["artifact.safetensors"]) == CONTENT
    assert story.conditions()["Succeeded"] == ("True", "PublishedVersion")
    assert story.status["result"]["gainLow"] == "0.04"
    assert story.status["artifact"]["version"] == f"run-{SHA_OF_CONTENT[:8]}"
    assert story.step(1).create == ()


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ({"minimumGain": "0.05"}, "TrainedNotPublished"),
        ({"minimumGain": "0.04"}, "PublishedVersion"),
        ({"minimumGain": "0.1", "confidence": "0"}, "PublishedVersion"),
        ({"minimumGain": "-1"}, "PublishedVersion"),
    ],
)
def test_gate(gate: dict[str, str], reason: str) -> None:
    story = started(run(publish={"policy": "main", "gate": gate}))
    collected(story)
    finish(story)
    story.step(1)
    assert story.conditions()["Succeeded"] == ("True", reason)


def test_without_publishing() -> None:
    story = started(edited(run(), "spec.publish", REMOVED))
    collected(story)
    finish(story)
    assert story.conditions()["Succeeded"] == ("True", "Trained")


def test_policy_that_must_exist() -> None:
    story = started(run(publish={"policy": "main", "createPolicy": False}))
    collected(story)
    finish(story)
    assert story.conditions()["Succeeded"] == ("Unknown", "PolicyNotFound")
    story.step(1, policy=policy())
    assert story.conditions()["Succeeded"] == ("True", "PublishedVersion")


def test_artifact_with_a_wrong_checksum_is_not_stored() -> None:
    story = started()
    plan = collected(story, sha256="00" * 32)
    assert plan.create == ()
    assert story.conditions()["Succeeded"] == ("False", "ArtifactRefused")
    assert [deletion.ref.kind for deletion in story.step(1).delete] == ["Job"]


@pytest.mark.parametrize(
    ("job_reason", "exit_code", "message", "reason"),
    [
        ("BackoffLimitExceeded", 1, '{"reason": "InternalError", "message": "boom"}', "BackoffLimitExceeded"),
        ("PodFailurePolicy", 65, '{"reason": "InvalidData", "message": "no column"}', "InvalidInput"),
        ("DeadlineExceeded", 75, "{}", "ActiveDeadlineExceeded"),
    ],
)
def test_how_a_run_fails(job_reason: str, exit_code: int, message: str, reason: str) -> None:
    story = started()
    story.job(failed=1, conditions=[{"type": "Failed", "status": "True", "reason": job_reason, "message": "x"}])
    story.step(1, pods=(pod("Failed", exit_code=exit_code, message=message),), view=None)
    assert story.conditions()["Succeeded"] == ("False", reason)
    told = next(c["message"] for c in story.status["conditions"] if c["type"] == "Succeeded")
    assert str(exit_code) in told
    assert json.loads(message).get("message", "") in told
    assert story.status["completionTime"]


def test_lost_and_failed_attempts_are_counted_apart() -> None:
    story = started()
    story.step(1, pods=(pod(uid="p2"),))
    assert (story.status["attempt"], story.status.get("applicationFailures", 0)) == (2, 0)
    assert story.status["infrastructureFailures"] == 1
    story.job(failed=1)
    story.step(1, pods=(pod("Failed", uid="p2", exit_code=1), pod(uid="p3")))
    assert (story.status["attempt"], story.status["applicationFailures"], story.status["infrastructureFailures"]) == (3, 1, 1)


def counts(story: Story) -> tuple[int, int, int, int]:
    """Attempts, and how many ended by an error, by a loss and by a suspension."""
    fields = ("attempt", "applicationFailures", "infrastructureFailures", "suspensions")
    attempt, failed, lost, stopped = (story.status.get(name, 0) for name in fields)
    return attempt, failed, lost, stopped


def suspend(story: Story, value: bool) -> None:
    story.observed = replace(story.observed, body=edited(story.observed.body, "spec.suspend", value))


def test_a_suspended_attempt_is_not_a_lost_one() -> None:
    story = started()
    suspend(story, True)
    story.step(1)  # the pod still runs
    story.step(1, pods=(pod("Failed", exit_code=143),))
    story.step(1, pods=())
    assert counts(story) == (1, 0, 0, 1)
    suspend(story, False)
    story.step(1)
    story.step(1, pods=(pod(uid="p2"),))
    assert counts(story) == (2, 0, 0, 1)
    story.step(1, pods=(pod(uid="p3"),))
    assert counts(story) == (3, 0, 1, 1), "p2 was lost"
    suspend(story, True)
    story.step(1, pods=(pod(uid="p3"),))
    suspend(story, False)
    story.step(1)
    story.step(1, pods=(pod(uid="p3"), pod(uid="p4")))
    assert counts(story) == (4, 0, 1, 2)


def test_an_attempt_that_failed_before_the_suspension_stays_a_failure() -> None:
    story = started()
    failed = pod("Failed", exit_code=1)
    story.step(1, pods=(failed,))
    assert counts(story) == (1, 1, 0, 0), "the pod tells it before the Job counts it"
    suspend(story, True)
    story.step(1)
    suspend(story, False)
    story.step(1)
    story.job(failed=1)
    story.step(1, pods=(failed, pod(uid="p2")))
    assert counts(story) == (2, 1, 0, 0)


def test_a_queue_that_takes_the_run_back_suspends_it() -> None:
    body = run()
    body["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpu"}
    story = Story(body)

    def queue(held: bool) -> None:
        ref = Ref("Job", "ns", "run-driver")
        job = story.observed.children[ref]
        children = {**story.observed.children, ref: {**job, "spec": {**job["spec"], "suspend": held}}}
        story.observed = replace(story.observed, children=children)

    story.step()
    queue(False)
    story.step(1, pods=(pod(),))
    queue(True)
    story.step(1, pods=())
    queue(False)
    story.step(1, pods=(pod(uid="p2"),))
    assert counts(story) == (2, 0, 0, 1)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            {"containerStatuses": [{"name": "driver", "image": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "ImagePullFailed",
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no GPU"}]}, "Unschedulable"),
        (
            {
                "containerStatuses": [
                    {"name": "driver", "image": "i", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}
                ]
            },
            "VolumeNotReady",
        ),
    ],
)
def test_why_the_driver_does_not_run(status: dict[str, Any], reason: str) -> None:
    story = Story()
    story.step()
    story.step(1, pods=(pod("Pending", **status),))
    assert story.conditions()["DriverRunning"] == ("False", reason)
    assert story.conditions()["Succeeded"] == ("Unknown", reason)


def test_start_deadline_frees_what_the_run_holds() -> None:
    story = Story(run(startDeadlineSeconds=60))
    story.step()
    story.step(30, pods=(pod("Pending"),))
    assert story.conditions()["Succeeded"][0] == "Unknown"
    plan = story.step(40)
    assert plan.delete == (), "the end is on record before the Job goes, so that a crash does not start it again"
    assert story.conditions()["Succeeded"] == ("False", "StartDeadlineExceeded")
    assert [deletion.ref.kind for deletion in story.step(1).delete] == ["Job"]


def test_suspend_and_resume() -> None:
    story = started()
    story.observed = replace(story.observed, body=edited(story.observed.body, "spec.suspend", True))
    plan = story.step(1)
    assert [body["spec"]["suspend"] for body in plan.apply] == [True]
    assert story.conditions()["Suspended"] == ("True", "SuspendedByUser")
    assert story.conditions()["Succeeded"] == ("Unknown", "SuspendedByUser")
    story.observed = replace(story.observed, body=edited(story.observed.body, "spec.suspend", False))
    assert [body["spec"]["suspend"] for body in story.step(1).apply] == [False]


def test_run_that_begins_suspended_has_no_job() -> None:
    story = Story(run(suspend=True))
    assert [body["kind"] for body in story.step().create] == ["ConfigMap"]
    story.observed = replace(story.observed, body=edited(story.observed.body, "spec.suspend", False))
    assert "Job" in [body["kind"] for body in story.step(1).create]


def test_changed_pods_take_effect_while_nothing_runs() -> None:
    story = Story()
    story.step()
    story.observed = replace(story.observed, body=edited(story.observed.body, "spec.driver", {"image": "mended:1"}))
    assert [deletion.ref.kind for deletion in story.step(1).delete] == ["Job"]
    job = next(body for body in story.step(1).create if body["kind"] == "Job")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "mended:1"
    running = started()
    running.observed = replace(running.observed, body=edited(running.observed.body, "spec.driver", {"image": "mended:1"}))
    assert running.step(1).delete == ()


def test_queue_decides_about_suspension() -> None:
    body = run()
    body["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpu"}
    story = Story(body)
    job = next(made for made in story.step().create if made["kind"] == "Job")
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert all("suspend" not in applied["spec"] for applied in story.step(1).apply)


def test_ttl() -> None:
    story = started(run(ttlSecondsAfterFinished=100, publish=None))
    collected(story)
    finish(story)
    assert story.conditions()["Succeeded"][0] == "True"
    plan = story.step(50)
    assert plan.delete == ()
    assert plan.requeue_after_s is not None
    assert plan.requeue_after_s <= 50
    assert [str(deletion.ref) for deletion in story.step(60).delete] == ["TrainingRun ns/run"]


def test_run_of_another_controller_is_left_alone() -> None:
    plan = Story(run(managedBy="kueue.x-k8s.io/multikueue")).step()
    assert plan.create == plan.apply == ()
    assert plan.status is not None
    assert plan.status["conditions"][0]["reason"] == "ManagedElsewhere"


def test_checkpoints_volume() -> None:
    plan = Story(run(storage={"size": "1024Mi"})).step()
    claim = next(body for body in plan.create if body["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    job = next(body for body in plan.create if body["kind"] == "Job")
    volume = next(v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "work")
    assert volume["persistentVolumeClaim"]["claimName"] == "run-checkpoints"


def evolution(replicas: int = 2, **spec: Any) -> Body:
    return run(algorithm={"sepCmaEs": {}}, evaluators={"replicas": replicas, "resources": {"gpus": 1}}, **spec)


def helper(name: str, *, ready: bool = True, **status: Any) -> Body:
    told = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}], **status}
    return {"metadata": {"name": name, "namespace": "ns", "uid": name}, "status": told}


def test_evaluators_come_with_a_running_driver_and_go_when_it_needs_them_no_more() -> None:
    story = Story(evolution())
    assert "Deployment" not in [body["kind"] for body in story.step().create]
    assert story.conditions()["EvaluatorsReady"] == ("Unknown", "Waiting")
    plan = story.step(1, pods=(pod(),), view=RunView(True, "preparing"))
    (made,) = [body for body in plan.create if body["kind"] == "Deployment"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert made["spec"]["replicas"] == 2
    assert container["command"] == ["python", "-m", "kubefugu_trainer", "evaluator"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert {"name": "KUBEFUGU_TRAINER_DEVICE", "value": "cuda"} in container["env"]
    story.step(1, evaluators=(helper("e1"), helper("e2", ready=False)), view=RunView(True, "running", 1, 3))
    assert story.conditions()["EvaluatorsReady"] == ("True", "EvaluatorsRunning")
    assert story.status["evaluators"] == "1/2"
    lost = story.step(1, pods=(pod("Failed", exit_code=137),))
    assert lost.delete == ()
    assert [str(gone.ref) for gone in story.step(1, pods=(pod(),), view=RunView(True, "succeeded")).delete] == [
        "Deployment ns/run-evaluators"
    ]


def test_the_number_of_evaluators_follows_the_spec_and_nothing_else_does() -> None:
    story = Story(evolution())
    story.step()
    story.step(1, pods=(pod(),))
    more = {"replicas": 5, "image": "another:1"}
    story.observed = replace(
        story.observed, body={**story.observed.body, "spec": {**story.observed.body["spec"], "evaluators": more}}
    )
    (change,) = [body for body in story.step(1).apply if body["kind"] == "Deployment"]
    assert change["spec"] == {"replicas": 5}


def test_suspension_takes_the_evaluators_away() -> None:
    story = Story(evolution())
    story.step()
    story.step(1, pods=(pod(),))
    story.observed = replace(
        story.observed, body={**story.observed.body, "spec": {**story.observed.body["spec"], "suspend": True}}
    )
    assert [gone.ref.kind for gone in story.step(1, pods=()).delete] == ["Deployment"]
    assert story.conditions()["EvaluatorsReady"] == ("False", "SuspendedByUser")


def test_evaluators_that_cannot_start_are_the_summary_of_the_run() -> None:
    story = Story(evolution())
    story.step()
    waiting = {
        "name": "evaluator",
        "image": "x:1",
        "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
    }
    story.step(1, pods=(pod(),), evaluators=(helper("e1", ready=False, containerStatuses=[waiting]),))
    assert story.conditions()["EvaluatorsReady"] == ("False", "ImagePullFailed")
    assert story.conditions()["Succeeded"] == ("Unknown", "ImagePullFailed")


def test_a_run_that_is_over_leaves_no_evaluators() -> None:
    story = Story(evolution(backoffLimit=0))
    story.step()
    story.step(1, pods=(pod(),))
    story.job(conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}])
    gone = [ref.ref.kind for plan in (story.step(1, pods=()), story.step(1)) for ref in plan.delete]
    assert gone == ["Deployment"]


def test_a_driver_that_ended_well_is_not_being_retried() -> None:
    story = started()
    story.step(1, pods=(pod("Succeeded", exit_code=0, message=report()),), view=None)
    assert story.conditions()["DriverRunning"] == ("False", "DriverEnded")
    assert story.conditions()["Succeeded"] == ("Unknown", "Running")
