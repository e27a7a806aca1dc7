"""Sentences that only say what the answer shall look like: "Answer with just the number.", "(Yes or No)"."""

from __future__ import annotations

import re

_SURE = re.compile(
    r"(?:please |kindly |and )*(?:(?:just|only|simply) )?"
    r"(?:format your (?:final )?answer|answer (?:with|in|only|yes|true|using|briefly|just|simply|as|must|should|concisely)|"
    r"(?:reply|respond) (?:with|in|only|using|just|briefly|concisely)|your (?:final )?(?:answer|response|output|reply)|"
    r"(?:give|provide|state|write|return|report|express|show|output) (?:only |just |me )*(?:your|the final|only|just)\b|"
    r"the (?:final )?answer (?:should|must|is)|no (?:explanation|steps|working|need)|do not (?:explain|show|include)|"
    r"don'?t (?:explain|show|include)|only (?:reply|answer|respond|give|output|return|the)|keep (?:it|your|the))\b",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(
    r"(?:please |kindly |also |and |but )*(?:just |only |simply |briefly |do not |don'?t )*"
    r"(?:give|provide|answer|reply|respond|return|state|write|show|output|express|report|keep|format|use|include|explain|be|"
    r"print|say|present|it should|name|list|round|think|assume|thanks|thank)\b",
    re.IGNORECASE,
)
_WORDS = frozenset(
    """
    a advance all also an and answer answered answers any as assume be brief briefly but by can carefully clear comma comma-
    separated complete concise concisely correct date day days decimal decimals digit digits do don't dont e.g. each else
    exact exactly example explain explanation explanations express false figure figures final first for form format fraction
    full give i.e. if in include integer is it its just keep kindly less letter letters like list lowest monday month more
    much must name nearest no not notation nothing number number(s) numbers numeric of one only or other out output place
    places plain please present print provide real reasoning reduced reply report respond response result results return
    round rounded say scientific sentence sentences separated short should show significant simple simplified simply single
    state step steps sunday symbol symbols text than thank thanks that the them there think this three through to true two
    unit units use using value values weekday whole will with word words work working write yes you your
    """.split()  # noqa: SIM905 - words are read more easily so
)
_PARENTHESIS = re.compile(r"\s*\((?:[^()]|\([^()]*\))*\)\s*[.?!]*$")
_MOST_WORDS = 40
_KNOWN_SHARE = 0.8


def without_form(text: str) -> str:
    """Drop sentences, and a closing parenthesis, that are about the answer's form alone."""
    for _ in range(8):
        match = _PARENTHESIS.search(text)
        if match and match.start() > 0 and is_about_form(match[0].strip(" ().?!")):
            text = text[: match.start()].strip()
            continue
        parts = re.split(r"(?<=[.?!:])\s+(?=\S)", text)
        if len(parts) > 1 and is_about_form(parts[-1]):
            text = " ".join(parts[:-1])
        elif len(parts) > 1 and is_about_form(parts[0]) and not parts[0].endswith(":"):
            text = " ".join(parts[1:])
        elif len(kept := [part for part in parts if not _SURE.match(part)]) < len(parts) and kept:
            text = " ".join(kept)
        else:
            break
    return text


def is_about_form(sentence: str) -> bool:
    """True for "Answer with only the number." and the like."""
    words = re.findall(r"[\w.'()-]+", sentence.lower())
    if not words or len(words) > _MOST_WORDS:
        return False
    if _SURE.match(sentence):
        return True
    known = sum(1 for word in words if word.strip(".'()") in _WORDS or word in _WORDS or len(word) == 1)
    return bool(_POSSIBLE.match(sentence)) and known >= _KNOWN_SHARE * len(words)
