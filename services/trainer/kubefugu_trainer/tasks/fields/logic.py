"""Logic puzzles: truths by construction or by going through all cases, never by a solver."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import FirstOf, Names, NumberSet, Ordered, Verifier, YesNo
from kubefugu_trainer.tasks.wording import Wording, integer, pick

FIELD = "logic"
_PEOPLE = (
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Irene", "Jack", "Karen", "Leo", "Maria", "Noah",
    "Olivia", "Paul",
    "Rosa", "Sam", "Tina", "Victor",
)  # fmt: skip
_NEW_PEOPLE = ("Aisha", "Bruno", "Chloe", "Diego", "Elena", "Farid", "Hana", "Ivan", "Jun", "Kofi", "Lena", "Mika")
_FRESH_PEOPLE = ("Amal", "Bjorn", "Carmen", "Dalia", "Esra", "Gustav", "Ines", "Jonas", "Kenji", "Luca", "Nadia", "Otto")
_CLASSES = (
    "cats",
    "dogs",
    "birds",
    "poets",
    "doctors",
    "robots",
    "dancers",
    "bakers",
    "pilots",
    "wizards",
    "farmers",
    "painters",
    "singers",
    "judges",
)
_FACTS = (
    ("it rains", "the street is wet"), ("the alarm rings", "the dog barks"), ("the switch is on", "the lamp is lit"),
    ("Tom studies", "Tom passes the exam"),
    ("the engine is hot", "the fan runs"), ("the shop is open", "the sign is green"), ("it snows", "the school is closed"),
    ("the door is locked", "the guard is away"),
)  # fmt: skip

_KNIGHTS = Wording(
    seen=(
        "On an island, knights always tell the truth and knaves always lie. {s} Who is a knight and who is a knave?",
        "Knights always tell the truth, knaves always lie. {s} Determine who is a knight and who is a knave.",
        "Every inhabitant is either a knight, who always tells the truth, or a knave, who always lies. {s} "
        "What is each of them?",
    ),
    new=(
        "You meet {k} inhabitants of an island of knights, who always tell the truth, and knaves, who always lie. {s} "
        "Which of them are knights and which are knaves?",
        "Here knights only say true things and knaves only say false things. {s} "
        "Tell me for each whether they are a knight or a knave.",
    ),
    fresh=(
        "Knaves lie whenever they speak, knights never lie. {s} Sort out who is a knight and who is a knave.",
        "A traveller comes to a land where everybody is a knight (always truthful) or a knave (always lying). {s} Who is what?",
    ),
)  # fmt: skip
_ORDER = Wording(
    seen=(
        "{s} List them from {hi}est to {lo}est.",
        "{s} Put them in order from {hi}est to {lo}est.",
        "{s} What is the order from {hi}est to {lo}est?",
    ),
    new=("{s} Rank everyone, {hi}est first.", "{s} Sort these people starting with the {hi}est."),
    fresh=(
        "{s} Write down the names from {hi}est to {lo}est.",
        "{s} In which order do they come if the {hi}est is named first?",
        "Read this: {s} Now give the ranking from {hi}est to {lo}est.",
    ),
)
_EXTREME = Wording(
    seen=("{s} Who is the {hi}est?", "{s} Which of them is the {hi}est?", "Given: {s} Who is the {hi}est?"),
    new=("{s} Name the {hi}est person.", "{s} Can you say who is {hi}est of all?"),
    fresh=(
        "{s} So the {hi}est one is who?",
        "{s} Nobody is {hi}er than whom?",
        "I was told: {s} Tell me who is the {hi}est.",
    ),
)
_SYLLOGISM = Wording(
    seen=(
        "{p} {q} Does it follow that {c}?", "{p} {q} Can we conclude that {c}?", "Premises: {p} {q} Is it true that {c}?",
        "Given: {p} {q} Does it follow that {c}?", "{p} {q} Therefore {c}. Is this argument valid?",
    ),
    new=(
        "Suppose {p} {q} Must it be that {c}?", "{p} {q} Is the conclusion that {c} logically valid?",
        "Assume: {p} {q} Is it necessarily true that {c}?",
    ),
    fresh=(
        "We are told: {p} {q} Is it certain that {c}?",
        "I know two things. {p} {q} Is the statement that {c} a logical consequence?",
        "Take for granted: {p} {q} Is it guaranteed that {c}?",
    ),
)  # fmt: skip
_IMPLIES = Wording(
    seen=(
        "{p} {q} Does it follow that {c}?", "{p} {q} Can we conclude that {c}?", "Premises: {p} {q} Is it true that {c}?",
        "Given: {p} {q} Does it follow that {c}?",
    ),
    new=("We know this: {p} {q} Must it be that {c}?", "{p} {q} Is it necessarily true that {c}?"),
    fresh=(
        "I know two things. {p} {q} Is it certain that {c}?", "{p} Now, {q} Is the statement that {c} a logical consequence?",
        "Take for granted: {p} {q} Is it guaranteed that {c}?",
    ),
)  # fmt: skip
_SATISFIABLE = Wording(
    seen=(
        "Is the formula {f} satisfiable?", "Is {f} satisfiable?", "Can the formula {f} be true?",
        "Is the propositional formula {f} satisfiable?",
    ),
    new=(
        "Is there an assignment that makes {f} true?", "Check whether {f} is satisfiable.", "Decide the satisfiability of {f}.",
    ),
    fresh=(
        "Does {f} have a model?", "Could {f} come out true for some values of its letters?",
        "Tell me whether some truth values satisfy {f}.",
    ),
)  # fmt: skip
_TAUTOLOGY = Wording(
    seen=("Is the formula {f} a tautology?", "Is {f} a tautology?", "Is {f} always true?"),
    new=(
        "Does {f} hold under every assignment?",
        "Check whether {f} is a tautology.",
        "Is the propositional formula {f} valid?",
    ),
    fresh=(
        "Is {f} true no matter what?",
        "Does {f} come out true for all truth values?",
        "Tell me whether {f} is a tautology.",
    ),
)
_INTEGERS = Wording(
    seen=(
        "Find integers {u} and {v} such that {a}, {b} and {c}.", "Which integers {u} and {v} satisfy {a}, {b} and {c}?",
        "Find two integers {u} and {v} with {a}, {b} and {c}.",
        "Solve the constraints {a}, {b}, {c} over the integers {u} and {v}.",
    ),
    new=(
        "Give integers {u}, {v} that meet the constraints {a}, {b} and {c}.",
        "I need whole numbers {u} and {v} subject to {a}, {b} and {c}.",
    ),
    fresh=(
        "For integers {u} and {v} we know {a}, {b} and {c}. What are they?", "{a}, {b}, {c}: which integers are {u} and {v}?",
        "Two whole numbers {u} and {v} fulfil {a}, {b} and {c}. Name them.",
    ),
)  # fmt: skip


def _make(
    topic: str, wording: Wording, rng: np.random.Generator, phrasing: Phrasing, slots: dict[str, object], truth: Verifier
) -> Question:
    return Question(prompt=wording.say(rng, phrasing, slots), field=FIELD, topic=topic, phrasing=phrasing, verifier=truth)


def _people(rng: np.random.Generator, phrasing: Phrasing, count: int) -> list[str]:
    names = {Phrasing.SEEN: _PEOPLE, Phrasing.NEW: _NEW_PEOPLE, Phrasing.FRESH: _FRESH_PEOPLE}[phrasing]
    return [names[int(i)] for i in rng.choice(len(names), size=count, replace=False)]


def knights(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Knights and knaves with exactly one solution, found by going through all assignments."""
    while True:
        count = integer(rng, 2, 3)
        names = _people(rng, phrasing, count)
        claims = [_claim(rng, i, count) for i in range(count)]
        worlds = [
            world
            for world in product((True, False), repeat=count)
            if all(_holds(claim, world) == world[i] for i, claim in enumerate(claims))
        ]
        if len(worlds) == 1:
            break
    said = " ".join(f'{names[i]} says: "{_spoken(claim, names)}"' for i, claim in enumerate(claims))
    truth = Names(
        roles=tuple((name, "knight" if world else "knave") for name, world in zip(names, worlds[0], strict=True)),
        vocabulary=("knight", "knave"),
    )
    number = {2: "two", 3: "three"}[count]
    return _make("knights", _KNIGHTS, rng, phrasing, {"s": said, "k": number}, truth)


_Claim = tuple[str, int, int]


def _claim(rng: np.random.Generator, speaker: int, count: int) -> _Claim:
    other = pick(rng, [i for i in range(count) if i != speaker])
    return (pick(rng, ("is knight", "is knave", "same", "differ")), speaker, other)


def _holds(claim: _Claim, world: tuple[bool, ...]) -> bool:
    kind, speaker, other = claim
    return {
        "is knight": world[other], "is knave": not world[other], "same": world[speaker] == world[other],
        "differ": world[speaker] != world[other],
    }[kind]  # fmt: skip


def _spoken(claim: _Claim, names: list[str]) -> str:
    kind, _, other = claim
    return {
        "is knight": f"{names[other]} is a knight.", "is knave": f"{names[other]} is a knave.",
        "same": f"{names[other]} and I are of the same kind.", "differ": f"{names[other]} and I are of different kinds.",
    }[kind]  # fmt: skip


_SCALES = (("tall", "short"), ("old", "young"), ("fast", "slow"), ("strong", "weak"))


def _chain(rng: np.random.Generator, phrasing: Phrasing, high: str, low: str) -> tuple[list[str], str]:
    names = _people(rng, phrasing, integer(rng, 3, 5))
    clues = [f"{a} is {high}er than {b}." if rng.random() < 0.65 else f"{b} is {low}er than {a}." for a, b in pairwise(names)]
    return names, " ".join(clues[int(i)] for i in rng.permutation(len(clues)))


def order(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A chain of comparisons, to be put in order."""
    high, low = pick(rng, _SCALES)
    names, clues = _chain(rng, phrasing, high, low)
    return _make("order", _ORDER, rng, phrasing, {"s": clues, "hi": high, "lo": low}, Ordered(names=tuple(names)))


def extreme(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A chain of comparisons, asking for one end."""
    high, low = pick(rng, _SCALES)
    names, clues = _chain(rng, phrasing, high, low)
    if rng.random() < 0.35:
        high, names = low, names[::-1]
    truth = FirstOf(right=names[0], wrong=names[1])
    return _make("extreme", _EXTREME, rng, phrasing, {"s": clues, "hi": high}, truth)


def syllogism(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Categorical syllogisms of which the validity is known."""
    a, b, c = (_CLASSES[int(i)] for i in rng.choice(len(_CLASSES), size=3, replace=False))
    forms = (
        (f"All {a} are {b}.", f"All {b} are {c}.", f"all {a} are {c}", True),
        (f"All {a} are {b}.", f"No {b} are {c}.", f"no {a} are {c}", True),
        (f"Some {a} are {b}.", f"All {b} are {c}.", f"some {a} are {c}", True),
        (f"No {a} are {b}.", f"All {c} are {b}.", f"no {a} are {c}", True),
        (f"All {a} are {b}.", f"All {c} are {b}.", f"all {a} are {c}", False),
        (f"Some {a} are {b}.", f"Some {b} are {c}.", f"some {a} are {c}", False),
        (f"All {a} are {b}.", f"Some {b} are {c}.", f"all {a} are {c}", False),
        (f"No {a} are {b}.", f"No {b} are {c}.", f"no {a} are {c}", False),
    )
    p, q, conclusion, valid = pick(rng, forms)
    return _make("syllogism", _SYLLOGISM, rng, phrasing, {"p": p, "q": q, "c": conclusion}, YesNo(yes=valid))


def implication(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Modus ponens and tollens, and the two classical fallacies."""
    p, q = pick(rng, _FACTS)
    rule = f"If {p} then {q}."
    not_p, not_q = f"it is not the case that {p}", f"it is not the case that {q}"
    given, conclusion, valid = pick(rng, ((p, q, True), (not_q, not_p, True), (q, p, False), (not_p, not_q, False)))
    slots: dict[str, object] = {"p": rule, "q": f"{given[0].upper()}{given[1:]}.", "c": conclusion}
    return _make("implication", _IMPLIES, rng, phrasing, slots, YesNo(yes=valid))


def _formula(rng: np.random.Generator, names: str, depth: int) -> tuple[str, frozenset[tuple[bool, ...]]]:
    """A formula and the set of assignments that make it true."""
    worlds = frozenset(product((True, False), repeat=len(names)))
    if depth == 0 or rng.random() < 0.15:
        i = integer(rng, 0, len(names) - 1)
        true = frozenset(world for world in worlds if world[i])
        return (names[i], true) if rng.random() < 0.6 else (f"not {names[i]}", worlds - true)
    (left, m), (right, n) = _formula(rng, names, depth - 1), _formula(rng, names, depth - 1)
    word, models = pick(rng, (("and", m & n), ("or", m | n), ("implies", (worlds - m) | n)))
    return f"({left} {word} {right})", models


def satisfiable(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Whether a formula has a model; half of them have none."""
    wanted = rng.random() < 0.5
    while True:
        shown, models = _formula(rng, "pqr"[: integer(rng, 2, 3)], 2)
        extra, more = _formula(rng, "pq", 1)
        if len(next(iter(models), ("", "", ""))) == len(next(iter(more), ("", ""))):
            shown, models = f"{shown} and {extra}", models & more
        if bool(models) == wanted and " " in shown:
            return _make("satisfiable", _SATISFIABLE, rng, phrasing, {"f": shown}, YesNo(yes=wanted))


def tautology(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Whether a formula holds in every case; half of them do."""
    wanted = rng.random() < 0.5
    while True:
        names = "pq"
        shown, models = _formula(rng, names, 2)
        if (len(models) == 2 ** len(names)) == wanted and " " in shown:
            return _make("tautology", _TAUTOLOGY, rng, phrasing, {"f": shown}, YesNo(yes=wanted))


def integers(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Two integers from their sum, product and order."""
    u, v = pick(rng, (("x", "y"), ("a", "b"), ("m", "n")))
    low = integer(rng, 1, 12)
    high = low + integer(rng, 1, 12)
    slots: dict[str, object] = {
        "u": u, "v": v, "a": f"{u} + {v} = {low + high}", "b": f"{u} * {v} = {low * high}", "c": f"{u} < {v}",
    }  # fmt: skip
    return _make("integers", _INTEGERS, rng, phrasing, slots, NumberSet(values=(float(low), float(high))))


TOPICS: dict[str, Generator] = {
    "knights": knights, "order": order, "extreme": extreme, "syllogism": syllogism, "implication": implication,
    "satisfiable": satisfiable, "tautology": tautology, "integers": integers,
}  # fmt: skip
