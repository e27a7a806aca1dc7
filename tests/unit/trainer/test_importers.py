from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import import_table
from kubefugu_trainer.outcomes.importers.answers import Answer, assemble, split_of
from kubefugu_trainer.outcomes.importers.routerbench import prompt_text
from kubefugu_trainer.outcomes.importers.zeroeval import stated_answer
from kubefugu_trainer.outcomes.reader import read_table

ROUTERBENCH = """sample_id,prompt,eval_name,alpha/chat,beta,alpha/chat|model_response,beta|model_response,alpha/chat|total_cost,beta|total_cost,oracle_model_to_route_to
mmlu-x.val.1,"['Is it ""red""?\\nA) yes, B) no']",mmlu-x,1.0,0.25,"['A']","['B, or
so']",0.0001,0.002,alpha/chat
hellaswag.val.2,What then?,hellaswag,0.0,True,x,y,0.0002,0.001,beta
"""  # noqa: E501 - a line of the corpus

ROUTELLM = """prompt,mixtral-8x7b,gpt-4
"Which one?
A. this, B. that
Answer:",True,False
"Which ""other""?",False,True
"""


def _records(*preds: str | None) -> list[dict[str, Any]]:
    return [
        {
            "question_id": i, "question": f"Question {i}?", "options": ["one", "two", "N/A"], "answer": "B", "answer_index": 1,
            "cot_content": "", "category": "law", "src": "x", "pred": pred, "model_outputs": "The answer is (B).",
        }
        for i, pred in enumerate(preds)
    ]  # fmt: skip


def _zeroeval(task: str, output: str, **fields: Any) -> dict[str, Any]:
    return {
        "session_id": "s", "chat_history": ["## Question"], "model_input": "n/a", "output": [output], "generator": "g",
        "configs": {"engine": "openai"}, "dataset": task, "id": "1", **fields,
    }  # fmt: skip


def test_routerbench_csv(tmp_path: Path) -> None:
    (tmp_path / "rb.csv").write_text(ROUTERBENCH, encoding="utf-8")
    import_table("routerbench", [tmp_path / "rb.csv"], tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.workers == ("alpha/chat", "beta")
    assert table.messages[0] == (("user", 'Is it "red"?\nA) yes, B) no'),)
    assert table.groups == ("mmlu-x", "hellaswag")
    np.testing.assert_array_equal(table.scores, [[1.0, 0.25], [0.0, 1.0]])
    assert table.costs is not None
    np.testing.assert_allclose(table.costs, [[0.0001, 0.002], [0.0002, 0.001]])


@pytest.mark.parametrize("cell", ["[not python", "['a', 3]", "[]", "plain [x]"])
def test_a_prompt_that_is_no_list_of_texts_is_kept_as_it_is(cell: str) -> None:
    assert prompt_text(cell) == cell


def test_routellm_csv_files_of_several_subjects(tmp_path: Path) -> None:
    (tmp_path / "mmlu_anatomy.csv").write_text(ROUTELLM, encoding="utf-8")
    (tmp_path / "gsm8k_responses.csv").write_text(
        'prompt,mixtral-8x7b,gpt-4,mixtral-8x7b_response,gpt-4_response\nHow many?,False,True,none,"one,\ntwo"\n',
        encoding="utf-8",
    )
    table = import_table("routellm", [tmp_path], tmp_path / "t.jsonl")
    assert table.workers == ("mixtral-8x7b", "gpt-4")
    assert table.groups == ("gsm8k", "anatomy", "anatomy")
    np.testing.assert_array_equal(table.scores, [[0, 1], [1, 0], [0, 1]])
    assert read_table(tmp_path / "t.jsonl").messages == table.messages


def test_mmlupro_zips_and_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model_outputs_Yi-6b_5shots.zip", "w") as archive:
        archive.writestr("model_outputs_Yi-6b_5shots.json", json.dumps(_records("B", None, "A")))
    (tmp_path / "gpt4o").mkdir()
    (tmp_path / "gpt4o" / "law_result.json").write_text(json.dumps(_records("B", "B", "B")), encoding="utf-8")
    (tmp_path / "gpt4o" / "law_summary.json").write_text(json.dumps({"acc": 1}), encoding="utf-8")
    table = import_table("mmlupro", [tmp_path], tmp_path / "t.parquet")
    assert dict(zip(table.workers, table.scores.T.tolist(), strict=True)) == {"gpt4o": [1, 1, 1], "Yi-6b": [1, 0, 0]}
    assert table.messages[0] == (("user", "Question 0?\nA. one\nB. two"),)
    assert set(table.groups or ()) == {"law"}


def test_zeroeval_scores_numbers_literals_and_letters(tmp_path: Path) -> None:
    said = '```json\n{\n "reasoning": "because {x}",\n "answer": "$1,200"\n}\n```'
    for task, record in {
        "gsm": _zeroeval("gsm", said, question="How much?", answer="# 1200"),
        "math-l5": _zeroeval("math-l5", '{"reasoning": "", "answer": 3/4', problem="What part?", answer="0.75"),
        "crux": _zeroeval("crux", 'so {"answer": "ab"}', question="f() == ??", answer="'ab'"),
        "mmlu-redux": _zeroeval("mmlu-redux", '{"answer": "B"}', question="Which?", choices=["x", "y"], correct_answer="x"),
    }.items():
        (tmp_path / task).mkdir()
        (tmp_path / task / "m@host.json").write_text(json.dumps([record]), encoding="utf-8")
    (tmp_path / "gsm.summary.json").write_text("[]", encoding="utf-8")
    table = import_table("zeroeval", [tmp_path], tmp_path / "t.parquet")
    scores = dict(zip(table.groups or (), table.scores[:, 0].tolist(), strict=True))
    assert table.workers == ("m@host",)
    assert scores == {"gsm": 1.0, "math-l5": 1.0, "crux": 1.0, "mmlu-redux": 0.0}


def test_the_stated_answer_of_broken_json() -> None:
    assert stated_answer('x {"reasoning": "a "quoted" b", "answer": "7"}') == "7"
    assert stated_answer("answer: 12, surely") == "12"
    assert stated_answer("no idea") is None


def test_ragged_corpora_lose_workers_then_questions_and_say_so() -> None:
    answers = [Answer(f"q{i}", "g", "full", 1.0) for i in range(20)]
    answers += [Answer(f"q{i}", "g", "nearly", 0.0) for i in range(19)]
    answers += [Answer(f"q{i}", "g", "rarely", 0.5) for i in range(5)]
    answers += [Answer("q0", "g", "full", 0.0)]  # asked twice
    table = assemble(answers, source="corpus", provenance={})
    assert table.workers == ("full", "nearly")
    assert len(table) == 19
    assert table.scores[0].tolist() == [0.5, 0.0]
    assert any("rarely is left out" in note for note in table.notes)
    assert any("1 of 20 questions" in note for note in table.notes)
    named = assemble(answers, source="corpus", provenance={}, workers=["rarely", "full"])
    assert (named.workers, len(named)) == (("rarely", "full"), 5)


def test_the_split_depends_on_the_text_alone_and_is_about_seventy_percent() -> None:
    splits = [split_of(f"question {i}") for i in range(3000)]
    assert splits.count("train") / 3000 == pytest.approx(0.7, abs=0.03)
    assert split_of(" question 5\n") == splits[5]


@pytest.mark.parametrize(
    ("fmt", "name", "text", "sentence"),
    [
        ("routerbench", "rb.csv", "prompt,eval_name,m\nq,g,1\n", "no pair of columns '<model>' and '<model>|total_cost'"),
        (
            "routerbench",
            "rb.csv",
            "prompt,eval_name,m,m|total_cost\nq,g,often,1\n",
            "line 2: column 'm': 'often' is not a number",
        ),
        ("routerbench", "rb.csv", "prompt,eval_name,m,m|total_cost\nq,g,1.5,1\n", r"the score 1.5 of 'q' is out of \[0, 1\]"),
        ("routerbench", "rb.csv", "prompt,eval_name,m,m|total_cost\nq,g,nan,1\n", r"is out of \[0, 1\]"),
        ("routerbench", "rb.pkl", "x", "a pickle runs code"),
        ("routellm", "r.csv", "question,m\nq,True\n", "no column 'prompt'"),
        ("routellm", "r.csv", "prompt,m\nq,maybe\n", "neither True nor False"),
        ("mmlupro", "model_outputs_m_5shots.json", "{}", "expected a JSON list"),
        ("mmlupro", "model_outputs_m_5shots.json", '[{"options": [], "pred": "A"}]', "record 1: no field 'answer'"),
        ("mmlupro", "model_outputs_m_5shots.zip", "no archive", "cannot be read"),
        ("zeroeval", "m.json", '[{"output": ["x"], "question": "q"}]', "record 1: no field 'answer'"),
        ("zeroeval", "m.json", "[", "not JSON"),
        ("elsewhere", "m.json", "[]", "--format takes routerbench, mmlupro, zeroeval, routellm"),
        ("zeroeval", "m.json", "[]", "there are no answers in it"),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, fmt: str, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=sentence) as caught:
        import_table(fmt, [tmp_path / name], tmp_path / "t.parquet")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "t.parquet").exists()


def test_a_missing_source_and_an_unknown_worker_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        import_table("routellm", [tmp_path / "gone"], tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"there is no \.csv file in it"):
        import_table("routellm", [tmp_path], tmp_path / "t.parquet")
    (tmp_path / "x.csv").write_text(ROUTELLM, encoding="utf-8")
    with pytest.raises(DataError, match="no answers of 'claude'"):
        import_table("routellm", [tmp_path], tmp_path / "t.parquet", workers=["claude"])
