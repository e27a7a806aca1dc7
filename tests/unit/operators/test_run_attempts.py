"""What ended a run's attempts: its own error, a suspension, or the loss of its pod."""

from __future__ import annotations

from dataclasses import replace

from support.manifests import edited
from support.run_story import Story, pod, run, started

from kubefugu_operators.cluster.objects import Ref


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
