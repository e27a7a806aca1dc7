"""Islands of knights and knaves, truth-tellers and liars."""

from __future__ import annotations

import re
from dataclasses import dataclass

import z3

from kubefugu_experts.engines.logic.sentences import NotUnderstoodError, singular
from kubefugu_experts.engines.logic.solving import Bool, judge, satisfiable

_DEFAULTS = (
    ("knight", "knave"),
    ("truth-teller", "liar"),
    ("truth teller", "liar"),
    ("truthteller", "liar"),
    ("angel", "devil"),
    ("saint", "sinner"),
    ("honest person", "liar"),
)
_ALWAYS = re.compile(
    r"\b([a-z-]+(?: teller)?s?)(?:,? who)? always (?:tells?|speaks?|"
    r"says?) (?:the )?truth.*?\b([a-z-]+)(?:,? who)? always (?:lies?|lie|tells? lies)",
    re.IGNORECASE,
)
_SAYS = (
    r"(?:says|said|say|claims?|claimed|states?|stated|remarks?|remarked|tells? you|told you|declares?|"
    r"declared|mentions?|mentioned|noted|notes|commented|comments|expressed|asserts?|asserted|replies|"
    r"replied|was heard saying|announces|announced|insists)"
)
_NAME = r"([A-Z][a-z]*)"
_STATEMENTS = (
    re.compile(rf"\b{_NAME},? {_SAYS},?:?(?: that)?:? [\"'](.+?)[.,!]?[\"']"),
    re.compile(rf"[\"']([^\"']+?)[.,!]?[\"'],? (?:-|{_SAYS}) {_NAME}\b"),
    re.compile(rf"[\"']([^\"']+?)[.,!]?[\"'],? {_NAME} {_SAYS}"),
    re.compile(rf"(?:[Aa]s|[Aa]ccording to|[Ii]n) {_NAME}(?:'s words| put it)?,?:? [\"'](.+?)[.,!]?[\"']"),
    re.compile(rf"(?:[Ii]n a statement by) {_NAME}:? [\"'](.+?)[.,!]?[\"']"),
    re.compile(
        rf"\b{_NAME},? {_SAYS},?:?(?: that)? (?![\"'])(.+?)(?=\.|;|\?|, and [A-Z]|,? and [A-Z][a-z]* {_SAYS}|,? while |$)"
    ),
)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "1": 1, "2": 2, "3": 3, "a": 1}


@dataclass(slots=True)
class Island:
    """Who is there, and what the two kinds are called."""

    people: list[str]
    true_word: str
    false_word: str

    def truthful(self, name: str) -> Bool:
        """The person always tells the truth."""
        return z3.Bool(f"truthful:{name}")


def solve(text: str) -> str | None:
    """Who is what, from what they say."""
    lower = text.lower()
    kinds = _kinds(lower, text)
    if kinds is None:
        return None
    said = _statements(text)
    if not said:
        return None
    island = Island(_people(text, [speaker for speaker, _ in said]), *kinds)
    constraints = [island.truthful(speaker) == _claim(statement, speaker, island) for speaker, statement in said]
    constraints += _given(text, island, [statement for _, statement in said])
    if not satisfiable(constraints):
        return "That is impossible: the statements contradict each other."
    return _told(island, constraints, text)


def _kinds(lower: str, text: str) -> tuple[str, str] | None:
    if match := _ALWAYS.search(text):
        return singular(match[1].lower()), singular(match[2].lower())
    for true_word, false_word in _DEFAULTS:
        if re.search(rf"\b{true_word}s?\b", lower) or (
            false_word in ("knave", "liar") and re.search(rf"\b{false_word}s?\b", lower) and true_word in lower
        ):
            return true_word, false_word
    return None


def _statements(text: str) -> list[tuple[str, str]]:
    """(speaker, statement) pairs; every stretch of text is used once."""
    found: list[tuple[int, int, str, str]] = []
    for number, pattern in enumerate(_STATEMENTS):
        for match in pattern.finditer(text):
            if any(start < match.end() and match.start() < end for start, end, _, _ in found):
                continue
            speaker, statement = (match[2], match[1]) if number in (1, 2) else (match[1], match[2])
            if speaker in ("One", "The", "A", "Each", "He", "She") and number != 5 and speaker != "A":
                continue
            found.append((match.start(), match.end(), speaker, statement))
    return [(speaker, statement) for _, _, speaker, statement in sorted(found)]


def _people(text: str, speakers: list[str]) -> list[str]:
    people = list(dict.fromkeys(speakers))
    if match := re.search(
        r"(?:inhabitants|people|islanders|persons|natives|residents|strangers|meet|named|"
        r"called)[:,]? ((?:[A-Z][a-z]*(?:, and |, | and )?){2,})",
        text,
    ):
        people += [name for name in re.findall(r"[A-Z][a-z]*", match[1]) if name not in people]
    for name in re.findall(r"\b([A-Z][a-z]*) (?:is|are)\b", text):
        if (
            name not in people
            and (
                len(name) == 1
                or name not in ("One", "There", "Everyone", "Who", "What", "It", "This", "Each", "Knights", "Knaves")
            )
            and len(people) < 8
        ):
            people.append(name)
    people += [name for name in re.findall(r"\b[B-H]\b", text) if name not in people]
    if match := re.search(rf"\b(?:[Ww]hat|[Ww]ho) are ((?:{_NAME}(?:, and |, | and )?)+)", text):
        people += [name for name in re.findall(r"[A-Z][a-z]*", match[1]) if name not in people]
    return list(dict.fromkeys(people))


def _claim(text: str, speaker: str, island: Island) -> Bool:
    """A statement as a formula. Raises NotUnderstoodError."""
    text = " ".join(text.strip(" .,!?\"'").split())
    text = re.sub(r"^(?:that|at least,?|well,?) (?=[A-Z]|both|we|I |one)", "", text)
    if match := re.match(r"^[Ii]f (.+?),? then (.+)$", text):
        return z3.Implies(_claim(match[1], speaker, island), _claim(match[2], speaker, island))
    for pattern, make in (
        (r"^(.+?) if and only if (.+)$", lambda a, b: a == b),
        (r"^(?:[Ee]ither )?(.+?),? or (?:else )?(.+)$", z3.Or),
    ):
        match = re.match(pattern, text)
        if match and not re.match(r"^(?:an? )?[a-z-]+$", match[2]):
            return make(_claim(match[1], speaker, island), _claim(match[2], speaker, island))
    if (match := re.match(r"^(.+? (?:is|are|am) .+?),? (?:and|but) (.+)$", text)) and re.search(r"\b(?:is|are|am)\b", match[2]):
        return z3.And(_claim(match[1], speaker, island), _claim(match[2], speaker, island))
    return _simple(text, speaker, island)


def _simple(text: str, speaker: str, island: Island) -> Bool:
    everyone = [island.truthful(name) for name in island.people]
    lower = text.lower()
    if match := re.match(r"^([A-Z][a-z]*) (?:would|could) (?:say|claim|tell you|state) (?:that )?(.+)$", text):
        return island.truthful(match[1]) == _claim(match[2], match[1], island)
    if re.search(r"(?:same (?:kind|type|sort)|of the same|are the same)", lower) and " not " not in lower:
        group = [island.truthful(name) for name in _named(text, speaker, island)] or everyone
        return z3.And([group[0] == other for other in group[1:]])
    if re.search(r"different (?:kinds?|types?|sorts?)|not the same|are different", lower):
        group = [island.truthful(name) for name in _named(text, speaker, island)] or everyone
        return z3.Or([group[0] != other for other in group[1:]])
    match = re.match(
        r"^(at least|exactly|at most|only|precisely)? ?(one|two|three|a|\d) (?:of (?:us|them|"
        r"the (?:two|three|\d)(?: of us)?) )?(?:is|are) (?:an? )?(.+)$",
        lower,
    )
    if match:
        return _count(match[1] or "exactly", _NUMBERS.get(match[2], 0), [_kind(match[3], value, island) for value in everyone])
    if match := re.match(
        r"^(?:we are|we're|both of us are|all of us are|both are|all are|everyone (?:here )?is|"
        r"everybody is|they are) (?:all |both )?(not )?(?:an? )?(.+)$",
        lower,
    ):
        claim = z3.And([_kind(match[2], value, island) for value in everyone])
        return z3.Not(claim) if match[1] else claim
    if match := re.match(r"^(?:none of us|neither of us|no one|nobody)(?: here)? (?:is|are) (?:an? )?(.+)$", lower):
        return z3.And([z3.Not(_kind(match[1], value, island)) for value in everyone])
    if match := re.match(r"^neither (.+?) nor (.+?) (?:is|are|am) (?:an? )?(.+)$", lower):
        return z3.And([z3.Not(_kind(match[3], island.truthful(name), island)) for name in _named(text, speaker, island)])
    match = re.match(r"^(.+?) (?:is|are|am|always) (not )?(?:both |all )?(?:an? )?(.+)$", text) or re.match(
        r"^(.+?) ()(lies|tells the truth|always lies|always tells the truth)$", text
    )
    names = _named(match[1], speaker, island) if match else []
    if not match or not names:
        raise NotUnderstoodError(text)
    claim = z3.And([_kind(match[3], island.truthful(name), island) for name in names])
    return z3.Not(claim) if match[2] else claim


def _named(text: str, speaker: str, island: Island) -> list[str]:
    """People that a statement names; I and me are the speaker."""
    mine = ("I", "me", "myself", "he", "she", "himself", "herself")
    names = [speaker if word in mine else word for word in re.findall(rf"\b(?:[A-Z][a-z]*|{'|'.join(mine[1:])})\b", text)]
    return [name for name in dict.fromkeys(names) if name in island.people]


def _kind(text: str, truthful: Bool, island: Island) -> Bool:
    word = singular(re.sub(r"^(?:an? )", "", text.lower().strip(" .")))
    if word in (
        island.true_word,
        "knight",
        "truth-teller",
        "truthful",
        "honest",
        "telling the truth",
        "tells the truth",
        "always tells the truth",
        "truth teller",
    ):
        return truthful
    if word in (island.false_word, "knave", "liar", "lying", "lie", "lies", "always lies", "dishonest"):
        return z3.Not(truthful)
    raise NotUnderstoodError(text)


def _count(how: str, number: int, values: list[Bool]) -> Bool:
    total = z3.Sum([z3.If(value, 1, 0) for value in values])
    return total >= number if how == "at least" else total <= number if how == "at most" else total == number


def _given(text: str, island: Island, statements: list[str]) -> list[Bool]:
    """Facts that nobody says: "exactly one of them is a knight"."""
    rest = text
    for statement in statements:
        rest = rest.replace(statement, "")
    match = re.search(
        r"\b(exactly|at least|at most) (one|two|three) of (?:them|the \w+|these \w+) (?:is|are) (?:an? )?([a-z-]+)",
        rest,
        re.IGNORECASE,
    )
    if match is None:
        return []
    values = [_kind(match[3], island.truthful(name), island) for name in island.people]
    return [_count(match[1].lower(), _NUMBERS[match[2].lower()], values)]


def _told(island: Island, constraints: list[Bool], text: str) -> str:
    parts, open_ = [], []
    for name in island.people:
        verdict = judge(constraints, island.truthful(name))
        if verdict is None:
            open_.append(name)
        else:
            word = island.true_word if verdict else island.false_word
            parts.append(f"{name} is {'an' if word[0] in 'aeiou' else 'a'} {word}")
    sentence = ", and ".join(parts) if len(parts) <= 2 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
    if not open_:
        return f"{sentence}."
    undetermined = f"for {' and '.join(open_)} it cannot be determined"
    return f"{sentence}; {undetermined}." if parts else f"It cannot be determined: {undetermined}."
