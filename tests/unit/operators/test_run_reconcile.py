"""The decision about a run, stage by stage."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from support.manifests import REMOVED, SHA, edited
from support.run_story import CONTENT, SHA_OF_CONTENT, Story, collected, finish, pod, policy, pool, run, started

from kubefugu_operators.cluster.objects import Body, ref_of
from kubefugu_operators.trainingrun.observed import RunView


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
