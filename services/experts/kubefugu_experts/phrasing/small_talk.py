"""Sentences around a question that hold nothing of it: "Please help:", "My teacher asked:", "Any idea?", "Cheers." """

from __future__ import annotations

import re

WORDS = frozenset(
    """
    a about advance afternoon again all alright also am an and another answer answered answering answers any appreciate
    appreciate's appreciated are asap ask asked asking asks assignment at be been been's best boss bother bothering brief
    briefly brother but bye can cheers class clue colleague cool could curiosity curious dad daughter day dear did do does
    don't dont easy evening everyone exam excuse exercise father favor favour figure find fine first folks for forward
    friend friends from good got grateful great greetings guys had has have hello help helped helping here here's hey hi
    hiya hmm homework hope hoping howdy husband i i'd i'm i've idea ideas if im in is it ive just keep kids kindly know
    knows last let let's lets like little long looking love many may me might mind minute mom moment more morning mother
    much must my need needs next nice no not now of ok okay on one only our out pardon perfect please pls plz possible
    problem problems professor puzzle q question questions quick quickly quiz random really regards reply respond response
    riddle right school sec second short should simple sincerely sister small so somebody someone something son soon sorry
    struggling stuck take task teacher team tell telling test thank thanks that the then there there's these thing thinking
    this thoughts thx time to today told trivia trying ty u uh um understand us very want wanted wants was we we're well
    were wife will with wonder wonderful wondering work would would'd yo you your
    """.split()  # noqa: SIM905 - words are read more easily so
)
"""Words that sentences of small talk are made of."""
_ASKS = re.compile(r"^(?:what|which|who|whose|where|when|why|how|is|are|was|were|define|name|list|find|give)\b", re.IGNORECASE)
_MOST_WORDS = 12
_BOUNDARY = re.compile(r"(?<=[.?!:])\s+(?=\S)|\s+-+\s+(?=\S)")
_UNMARKED = re.compile(
    r"(?<=[\w)'\"%]) (?=(?:Please (?:answer|reply|respond|keep)|Give (?:only|just)|Thank you|"
    r"Thanks|Many thanks|Keep it|Cheers|Any idea|"
    r"Answer (?:with|in|only|briefly)|I'd appreciate|I would appreciate|Just the|Reply (?:with|only)|Respond (?:with|only))\b)"
)


def without_small_talk(text: str) -> str:
    """Drop sentences of small talk at both ends; a closing wish without a full stop before it gets one."""
    text = _UNMARKED.sub(". ", text)
    parts = [part for part in _BOUNDARY.split(text) if part.strip()]
    start, stop = 0, len(parts)
    while stop - start > 1 and is_small_talk(parts[start]):
        start += 1
    while stop - start > 1 and is_small_talk(parts[stop - 1]):
        stop -= 1
    if (start, stop) == (0, len(parts)):
        return text
    first = text.find(parts[start])
    last = text.rfind(parts[stop - 1]) + len(parts[stop - 1])
    return text[first:last]


def is_small_talk(sentence: str) -> bool:
    """True where every word is small talk and nothing is asked."""
    words = re.findall(r"[\w']+", sentence.lower())
    if not words or len(words) > _MOST_WORDS or re.search(r"\d", sentence):
        return not words
    return all(word in WORDS for word in words) and not (
        _ASKS.match(sentence) and sentence.rstrip().endswith("?") and len(words) < 3
    )
