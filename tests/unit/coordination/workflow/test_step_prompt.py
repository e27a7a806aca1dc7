"""What a step's worker is sent where its subtask is the client's message itself."""

from __future__ import annotations

import pytest

from kubefugu_coordination.workflow.step_prompt import StepPrompt, VisibleStep

HELLO = {"role": "user", "content": "Write a haiku about\nrain."}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TALK = [{"role": "system", "content": "Be brief."}, HELLO]


@pytest.mark.parametrize("narrow", [False, True])
def test_a_step_that_is_the_whole_task_gets_the_conversation_as_it_is(narrow: bool) -> None:
    assert StepPrompt(TALK, (), "Write a haiku about rain.").messages(narrow=narrow) == TALK
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert StepPrompt(parts, (), "Hi").messages(narrow=narrow) == parts


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    "prompt",
    [
        StepPrompt(TALK, (), "Write a haiku about snow."),
        StepPrompt(TALK, (VisibleStep("Which weather?", "Rain."),), "Write a haiku about rain."),
        StepPrompt(TALK, (), "Write a haiku about rain.", memory="A tool said: wet."),
        StepPrompt([*TALK, {"role": "assistant", "content": "Done."}], (), "Write a haiku about rain."),
        StepPrompt([{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}], (), "Hi"),
        StepPrompt([], (), "Hi"),
    ],
)
def test_any_other_step_is_told_its_subtask_and_what_it_sees(prompt: StepPrompt, narrow: bool) -> None:
    told = str(prompt.messages(narrow=narrow))
    assert prompt.messages(narrow=narrow) != list(prompt.conversation)
    assert prompt.subtask in told
    assert prompt.memory in told
    assert all(str(step.output) in told for step in prompt.visible)
