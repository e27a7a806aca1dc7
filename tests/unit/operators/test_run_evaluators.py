"""Evaluators of a run: they come with its driver and go when it needs them no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.run_story import Story, pod, report, run, started

from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.trainingrun.observed import RunView


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


@pytest.mark.parametrize(
    ("algorithm", "calls"),
    [({"grpo": {}}, True), ({"sepCmaEs": {"fitness": "Episodes"}}, True), ({"sepCmaEs": {}}, False)],
)
def test_pods_of_runs_that_call_workers_have_the_pools_keys(algorithm: dict[str, Any], calls: bool) -> None:
    story = Story(run(algorithm=algorithm, evaluators={"replicas": 1}))
    made = [*story.step().create, *story.step(1, pods=(pod(),)).create]
    (snapshot,) = [body for body in made if body["kind"] == "ConfigMap"]
    assert "keys" not in json.dumps(snapshot), "keys are mounted, never written down"
    pods = [body["spec"]["template"]["spec"] for body in made if body["kind"] in ("Job", "Deployment")]
    assert len(pods) == 2
    for found in pods:
        (container,) = found["containers"]
        mounts = [mount for mount in container["volumeMounts"] if mount["name"] == "keys"]
        volumes = [volume for volume in found["volumes"] if volume["name"] == "keys"]
        told = [variable for variable in container["env"] if variable["name"] == "KUBEFUGU_TRAINER_KEYS_DIR"]
        wanted = [{"name": "keys", "mountPath": "/etc/kubefugu/keys", "readOnly": True}]
        assert mounts == (wanted if calls else [])
        assert volumes == ([{"name": "keys", "secret": {"secretName": "pool-keys", "optional": True}}] if calls else [])
        assert told == ([{"name": "KUBEFUGU_TRAINER_KEYS_DIR", "value": "/etc/kubefugu/keys"}] if calls else [])


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
