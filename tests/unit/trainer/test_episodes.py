"""Live episodes on scripted workers: what is scored and what is not, what is kept, what decides."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.clocks import FakeClock
from support.episodes import WORKERS, WorldServer, respond, write_pool, write_questions
from support.upstream import Script, Upstream

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.pool import Role, load_pool
from kubefugu_routing.policy import WorkerRow
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.episodes.features import FeatureBank
from kubefugu_trainer.episodes.judge import report
from kubefugu_trainer.episodes.play import Call, Episode, Player, Rules
from kubefugu_trainer.episodes.problem import EpisodeProblem
from kubefugu_trainer.episodes.questions import questions_of
from kubefugu_trainer.episodes.router import HeadPolicy, PolicyRouter, lift, role_rows
from kubefugu_trainer.runs.replies import DiskReplyCache
from kubefugu_trainer.tasks.sets import build
from kubefugu_trainer.tasks.verifiers import Numeric
from kubefugu_trainer.tasks.verify_json import InJson

ROWS = tuple(WorkerRow(name, name) for name in WORKERS)
RULES = Rules(turns=2, max_tokens=16)


class Seen:
    """Features that a test can think with: [1, JSON wanted, a thought is there]."""

    def feature(self, transcript: list[tuple[str, str]]) -> np.ndarray:
        text = "\n".join(part for _, part in transcript)
        return np.array([1.0, "JSON object" in text, "<reference_thought_0>" in text], dtype=np.float32)


def policy(**rows: tuple[float, float, float]) -> PolicyRouter:
    """Rows by worker or role; absent ones are zero."""
    names = (*WORKERS, *(str(role) for role in Role))
    head = np.array([rows.get(name, (0.0, 0.0, 0.0)) for name in names], dtype=np.float32)
    return PolicyRouter(HeadPolicy(head, ROWS, roles=True), Seen())


SOLVE_THEN_FORM = policy(calc=(1, 0, -5), form=(0, 0, 2), solver=(1, 0, 0))
SOLVE_THEN_CHECK = policy(calc=(1, 0, 0), solver=(1, 0, -9), verifier=(0, 0, 9))


@asynccontextmanager
async def playing(
    folder: Path, url: str, *, cache: DiskReplyCache | None = None, clock: FakeClock | None = None
) -> AsyncIterator[Player]:
    made = Player(load_pool(write_pool(folder / "pool.yaml", url)), cache=cache, clock=clock or FakeClock())
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(respond=respond) as server:
        yield server


@pytest.fixture
async def player(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Player]:
    async with playing(tmp_path, upstream.url) as made:
        yield made


@pytest.fixture
def sums(tmp_path: Path) -> list:
    path = write_questions(tmp_path / "questions.jsonl")
    return [row.question for row in build(f"json:{path},{path}", n=8, seed=0, split="train")]


async def test_a_second_worker_turns_half_a_point_into_a_whole_one(player: Player, sums: list) -> None:
    wanted = next(question for question in sums if question.system)
    played = await player.play(wanted, SOLVE_THEN_FORM, RULES)
    assert played.calls == (Call("calc", Role.SOLVER), Call("form", Role.SOLVER))
    assert played.reward == 1.0
    checked = await player.play(wanted, SOLVE_THEN_CHECK, RULES)
    assert checked.calls == (Call("calc", Role.SOLVER), Call("form", Role.VERIFIER))
    assert checked.reward == 0.5
    single = await player.play(wanted, SOLVE_THEN_FORM, replace(RULES, turns=1))
    assert (single.reward, len(single.calls)) == (0.5, 1)


async def test_a_policy_without_role_rows_answers_in_one_turn(player: Player, sums: list) -> None:
    router = PolicyRouter(HeadPolicy(np.eye(3, dtype=np.float32)[:, [0, 1, 2]], ROWS, roles=False), Seen())
    played = await player.play(sums[0], router, RULES)
    assert played.calls == (Call("calc", Role.SOLVER),)


async def test_an_early_verifier_ends_in_training_and_solves_in_serving(player: Player, sums: list, upstream: Upstream) -> None:
    eager = policy(form=(1, 0, 0), verifier=(9, 0, 0))
    ended = await player.play(sums[0], eager, replace(RULES, early_verifier_ends=True))
    assert (ended.reward, ended.reply, len(upstream.requests)) == (0.0, "", 0)
    served = await player.play(sums[0], eager, RULES)
    assert served.calls[0] == Call("form", Role.SOLVER)
    assert served.reply


async def test_an_episode_in_which_everybody_declines_scores_zero(player: Player, sums: list) -> None:
    played = await player.play(sums[0], SOLVE_THEN_FORM, RULES, allow=["idle"])
    assert (played.reward, played.reply) == (0.0, "")


async def test_what_fails_on_the_way_is_played_again_and_never_scored(sums: list, tmp_path: Path) -> None:
    failures = iter([Script(status=503)] * 9 + [Script(drop=True)] * 3)

    def shaky(body: dict) -> Script:
        return next(failures, None) or respond(body)

    async with Upstream(respond=shaky) as server, playing(tmp_path, server.url) as shaken:
        played = await shaken.play(next(q for q in sums if q.system), SOLVE_THEN_FORM, RULES)
        assert played.reward == 1.0
    assert next(failures, None) is None


async def test_an_unreachable_worker_is_an_error_not_a_zero(sums: list, tmp_path: Path) -> None:
    async with Upstream(Script(status=500)) as server:
        clock = FakeClock()
        async with playing(tmp_path, server.url, clock=clock) as broken:
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await broken.play(sums[0], SOLVE_THEN_FORM, RULES)
        assert sum(clock.slept) > 60


async def test_the_seed_alone_decides_what_is_sampled(player: Player, sums: list) -> None:
    rules = replace(RULES, policy_temperature=1.0)
    flat = policy(solver=(3, 0, 0))

    async def calls(*seeds: int) -> list[tuple[Call, ...]]:
        played = await player.play_all([sums[0]] * len(seeds), flat, rules, seeds=seeds)
        return [episode.calls for episode in played]

    drawn = await calls(*range(12))
    assert drawn == await calls(*range(12))
    assert drawn[3:5] == await calls(3, 4)
    assert len(set(drawn)) > 3


async def test_replies_are_found_again_by_the_full_request(upstream: Upstream, sums: list, tmp_path: Path) -> None:
    first, second = (DiskReplyCache(tmp_path / "replies.sqlite") for _ in range(2))
    async with playing(tmp_path, upstream.url, cache=first) as one, playing(tmp_path, upstream.url, cache=second) as other:
        played = await one.play_all(sums, SOLVE_THEN_FORM, RULES)
        asked = len(upstream.requests)
        assert await other.play_all(sums, SOLVE_THEN_FORM, RULES) == played
        assert len(upstream.requests) == asked
        assert len(second) == asked
        await other.play(sums[0], SOLVE_THEN_FORM, replace(RULES, max_tokens=17))
        assert len(upstream.requests) > asked
    first.close()
    second.close()


async def test_a_damaged_reply_is_asked_for_again(tmp_path: Path) -> None:
    cache = DiskReplyCache(tmp_path / "replies.sqlite")
    await cache.put("key", b"whole")
    await cache.put("key", b"later")
    assert await cache.get("key") == b"whole"
    with sqlite3.connect(tmp_path / "replies.sqlite") as database:
        database.execute("UPDATE replies SET completion = x'00'")
    database.close()
    assert await cache.get("key") is None
    cache.close()
    (tmp_path / "text").write_text("no database, but long enough to be looked at as one" * 30)
    with pytest.raises(DataError, match="reply cache cannot be used"):
        DiskReplyCache(tmp_path / "text")


async def test_a_full_disk_is_told_at_once_and_is_no_wrong_answer(upstream: Upstream, sums: list, tmp_path: Path) -> None:
    class Full:
        async def get(self, key: str) -> bytes | None:
            return None

        async def put(self, key: str, completion: bytes) -> None:
            raise DataError("replies.sqlite: the reply cache cannot be written: disk is full")

    clock = FakeClock()
    pool = load_pool(write_pool(tmp_path / "pool.yaml", upstream.url))
    player = Player(pool, cache=Full(), clock=clock)
    with pytest.raises(DataError, match="disk is full"):
        await player.play_all(sums[:2], SOLVE_THEN_FORM, RULES)
    assert clock.slept == []
    await player.close()


def test_json_answers_are_half_right_in_another_form() -> None:
    truth = InJson(inner=Numeric(value=42.0))
    for reply, score in (
        ('{"answer": "42"}', 1.0), ('{"answer": 42}', 1.0), ('```json\n{"answer": 42}\n```', 1.0), ("It is 42.", 0.5),
        ('{"answer": 42, "why": "so"}', 0.5), ('Sure: {"answer": 42}', 0.5), ('{"answer": 41}', 0.0), ("", 0.0),
    ):  # fmt: skip
        assert truth.score("What is 6 times 7?", reply) == score, reply
    rows = build("json:dates", n=3, seed=0, split="train")
    assert all(row.question.messages[0][0] == "system" and row.question.field == "json:dates" for row in rows)


def test_transcripts_are_computed_once_for_all_processes(tmp_path: Path) -> None:
    computed: list[tuple[int, ...]] = []

    def compute(ids: tuple[int, ...]) -> np.ndarray:
        computed.append(tuple(ids))
        return np.array(ids, dtype=np.float32)

    def bank() -> FeatureBank:
        return FeatureBank(
            tmp_path / "features.sqlite", revision="r1", tokens=lambda text, agents: [len(text[0][1]), agents], compute=compute
        )

    first, second = bank(), bank()
    for made in (first, first, second):
        assert made.of(3).feature([("user", "four")]).tolist() == [4, 3]
    assert computed == [(4, 3)]
    assert second.of(4).feature([("user", "four")]).tolist() == [4, 4]
    first.close()
    second.close()


def test_fitted_role_rows_solve_first_and_then_verify() -> None:
    rng = np.random.default_rng(0)
    common, later_shift = rng.normal(size=64) * 5, rng.normal(size=64)
    first = [(common + rng.normal(size=64)).astype(np.float32) for _ in range(12)]
    later = [(row + later_shift).astype(np.float32) for row in first]
    rows = role_rows(first, later, margin=0.7)
    for features, best in ((first, 0), (later, 2)):
        logits = np.array(features) @ rows.T
        assert (logits.argmax(axis=1) == best).all()
        np.testing.assert_allclose(logits[:, best], 0.7, atol=0.1)
        np.testing.assert_allclose(logits[:, 1], -0.7, atol=0.1)


def test_a_lifted_worker_is_level_with_the_best_only_after_a_response() -> None:
    rng = np.random.default_rng(1)
    common, later_shift = rng.normal(size=64) * 5, rng.normal(size=64)
    first = [(common + rng.normal(size=64)).astype(np.float32) for _ in range(12)]
    later = [(row + later_shift).astype(np.float32) for row in first]
    head = np.stack([rng.normal(size=64) + common / 20, np.zeros(64)]).astype(np.float32)
    behind = np.maximum(0, np.array(later) @ head[0])
    assert behind.min() > 3
    raised = head[1] + lift(first, later, behind=behind)
    np.testing.assert_allclose(np.array(later) @ raised, behind, rtol=0.3)
    assert np.abs(np.array(first) @ raised).max() < 0.3 * behind.min()


def test_held_out_questions_are_no_training_questions() -> None:
    config = EpisodeConfig(tasks="dates,json:algebra", train=30, held_out=20)
    found = questions_of(config)
    assert found.sha256 == questions_of(config).sha256 != questions_of(config.model_copy(update={"task_seed": 1})).sha256
    texts = [question.text for question in found.questions]
    assert len(set(texts)) == len(texts) == 50
    assert found.train_rows.tolist() == list(range(30))
    assert "fresh" not in {q.phrasing for q in found.questions[:30]}
    assert "fresh" in {q.phrasing for q in found.questions[30:]}


def test_a_problem_survives_the_way_to_an_evaluator_and_nothing_else_does(tmp_path: Path) -> None:
    path = write_questions(tmp_path / "questions.jsonl")
    config = EpisodeConfig(tasks=str(path), train=8, held_out=8)
    problem = EpisodeProblem(
        episodes=config, pool=load_pool(write_pool(tmp_path / "p.yaml", "http://127.0.0.1:1/v1")).model_dump(
            mode="json", by_alias=True, exclude_none=True
        ), rows=ROWS, agents=2, width=4, input_format="raw", backbone="x", backbone_revision="y",
        questions_sha256=questions_of(config).sha256, replies=str(tmp_path / "replies"), entropy_weight=0.1, cost_weight=0.0,
        threads=1,
    )  # fmt: skip
    again = EpisodeProblem.from_bytes(problem.to_bytes())
    assert again == problem
    assert again.layout.total == (3 + 3) * 4
    assert [spec.name for spec in again.worker_pool().spec.workers] == list(WORKERS)
    assert len(again.questions().questions) == 16
    write_questions(path, count=25)
    with pytest.raises(DataError, match="other questions here"):
        again.questions()
    for raw in (b"{}", b"[]", b"{", problem.to_bytes().replace(b'"width"', b'"breadth"')):
        with pytest.raises(DataError, match="can't be read"):
            EpisodeProblem.from_bytes(raw)


def test_the_report_pairs_questions_and_names_the_groups() -> None:
    def episodes(*rewards: float) -> list[Episode]:
        return [Episode(reward, (Call("calc", Role.SOLVER),), 0.01, "x") for reward in rewards]

    played = {"new": episodes(*([1.0] * 9 + [0.0])), "old": episodes(*([0.5] * 9 + [1.0]))}
    figures = report(played, ["json"] * 9 + ["plain"], seed=0, level=0.95)
    against = figures["against"]["new - old"]
    assert against["gain"] == pytest.approx(0.35)
    assert (against["better"], against["worse"]) == (9, 1)
    assert 0 < against["p"] < 0.2
    assert figures["groups"]["json"] == {"items": 9, "new": 1.0, "old": 0.5}
    assert figures["policies"]["old"]["calls"] == {"solver calc": 10}


@pytest.fixture
def world() -> Iterator[WorldServer]:
    with WorldServer() as server:
        yield server


def test_the_server_of_the_world_can_go_and_come_back(world: WorldServer) -> None:
    url = world.upstream.url
    world.stop()
    world.start()
    assert world.upstream.url == url
