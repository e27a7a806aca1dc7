"""Questions about words in free wording: which words are asked about, and what do the cues ask of them?

The words in question stand in quotes, behind "the word ...", or are the only ones left when all words of asking are taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_experts.phrasing.meaning import meant, operation
from kubefugu_experts.phrasing.small_talk import WORDS as SMALL_TALK

_POS = r"(?:noun|verb|adjective|adverb)"
_QUOTED = re.compile(r"[\"“*`]([a-z][a-z' -]{0,40}?)[.,?!]?[\"”*`]|(?<!\w)'([a-z][a-z -]{0,40}?)[.,?!]?'(?!\w)")
_NAMED = re.compile(
    rf"\b(?:words?|terms?|{_POS}|expression|adj)(?: is| called| was| here is|:)? (?!in\b|is\b|for\b|of\b|that\b|or\b|"
    rf"and\b|which\b|with\b|mean"
    r"|means\b|class\b|meaning\b|used\b|can\b|could\b|to\b|from\b|has\b|does\b|i\b|do\b|whose\b|into\b|by\b|than\b|"
    r"under\b|stands?\b|similar\b"
    r"|opposite\b|would\b|a\b|an\b|the\b|today\b|instead\b|what\b|have\b|synonym|about\b|you\b|please\b|be\b|belong|"
    r"as\b)([a-z]{3,})\b"
)
_PAIR = re.compile(
    r"\b(?:an? |the |all )?([a-z]+?)(?: really| actually)? (?:is|are|be|counts?|considered|classed|regarded|belongs?|"
    r"classified)"
    r"(?: (?:as|to|some|one|just|really|actually|of|the|a|an|kind|type|sort|form|example|instance|group|class|family|"
    r"considered|called))* ([a-z]+)\b"
)
_PAIR_ASKED = re.compile(
    r"^(?:is|are) (?:an? |the )?([a-z]+) (?:(?:considered|really|actually|also|some|just|one|of|the|an?|kind|type|sort|"
    r"form|example|instance|"
    r"member|family|group|classified|regarded|to|be|as|belongs?)s? )+([a-z]+)$"
)
_OPERATIONS = (
    operation(
        "antonyms",
        (5, r"antonym\w*|opposites?|oposite|contrar(?:y|ies)|reverse|inverse|opposed|opposing|antithesis|exact contrary"),
    ),
    operation(
        "synonyms",
        (4, r"synonym\w*|synonim\w*|thesaurus|same (?:meaning|sense|thing)|means? (?:about |nearly |almost |"
        r"roughly )?the same|interchangeabl\w*"),
        (4, r"(?:another|other|different|alternative|alternate|similar|substitute|equivalent|better|fancier|"
        r"nicer)\b.{0,30}\b(?:words?|terms?|ways?|expressions?|meanings?)"),
        (4, r"(?:instead of|in place of|replac\w+|substitut\w+|stand in for|swap|rather than|else (?:can|could|might|to|do))"),
        (4, r"words?\b.{0,25}\b(?:similar|equivalent|alike|close)"),
        (3, r"alternatives?|(?:other|which|what) words? (?:mean|could i|can i|could we)|else (?:can|could|might|do|would|to)"),
    ),
    operation(
        "pos",
        (5, r"parts? of speech|word (?:class|type|category)|class of words?|(?:kind|type|sort) of (?:a )?word|"
        r"grammatical\w*|in grammar|lexical category"),
        (5, rf"{_POS}(?:,| or\b)"),
    ),
    operation("pos check", (4, rf"(?:an? |as |used as )(?:an? )?{_POS}\b(?!,? or)")),
    operation(
        "broader",
        (4, r"(?:what|which|some|a) (?:kind|type|sort|class|category|group|family)s? of (?!word)|categor\w+|hypernym\w*|"
        r"superordinate|umbrella"),
        (5, r"(?:more |broader |wider )?(?:general|broader|generic|wider)(?: \w+)? (?:term|word|name|concept|class|category)"),
        (4, r"(?:kind|type|sort)s? of (?:what|which)|(?:group|class|family)\b.*\bbelong"),
    ),
    operation("narrower", (5, r"hyponym\w*|(?:more specific|narrower) (?:term|word)s?|(?:kinds|types|sorts|varieties) of")),
    operation(
        "definition",
        (3, r"defin\w*|meanings?|dictionary|signif\w*|means\b|mean\b|meant\b|sense of|stands? for|connotation|clarify|"
        r"glossary"),
        (2, r"explain\w*|describ\w*|understand|look up|what (?:an?|the) \w+ is|come across|what (?:is it|are they)"),
    ),
)  # fmt: skip
_YES_NO = re.compile(r"^(?:is|are|do|does|can|could|would|was|were|will|should|may|could one say|true or false)\b")
_ASKING = SMALL_TALK | frozenset(
    """
    word words term terms noun verb adjective adverb speech part parts class type kind sort category group general more
    less meaning meanings mean means meant definition definitions define defined defining dictionary synonym synonyms
    synonymous antonym antonyms opposite opposites contrary reverse inverse same similar different another other others
    alternative equivalent exact exactly english language grammar grammatically grammatical expression phrase use used
    using say says said instead place replace which what who how when where whose why this that these those them they
    their it its an the of for to with by as or not under into thing things animal object plant fall falls belong belongs
    count counts called known named sense short describe explain explained describes stands stand up look looked find come
    came across read heard learned learnt today school book text i'm don't never understand exists exist give gives given
    list names name suggest think thought about nearly almost roughly basically if already twice opposed direct simple
    person people someone somebody everybody something like alike close closest there broader wider narrower umbrella
    hypernym hyponym so then too also else often usually write writing sentence essay poem letter signify signified
    signifies refer refers concept idea context common better fancy single every each between were am pls i've instead of
    than whole true false yes isn't aren't may really actually considered belongs family some any in on at from has have
    please such wich wat wot dose tell us need want wanted looking
    """.split()  # noqa: SIM905 - words are read more easily so
)
_OF_WORDS = re.compile(r"\b(?:defin\w*|meanings?|means?|meant|dictionary|signif\w*|what an? \w+ is)\b")
"""Without one of these a plain word is not asked about as a word: "Describe your holiday"."""
_FOREIGN = re.compile(
    r"\d|\b(?:capital|country|countries|city|population|currency|translate|spanish|french|german|latin|island|knights?|"
    r"knaves?|premises?|"
    r"statements?|proposition|formula|tautology|conclusion|follows?|integral|derivative|equation|unit|convert|who (?:is|"
    r"was)|calendar|weekday|"
    r"month|leap|weather|joke|rhymes?|spell\w*|pronounc\w*|plural|past tense|origin|etymology|syllables?|code|function|"
    r"mean of|all \w+ are|no \w+ are|"
    r"every \w+ is|average|sum|life)\b"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of which words."""

    kind: str
    words: tuple[str, ...]
    sure: bool
    """True where the words are marked as words: quoted, or behind "the word"."""


def asked(text: str) -> Asked | None:
    """What a lower-case question asks about which words; None where either is not certain."""
    quoted = tuple(dict.fromkeys((one or two).strip() for one, two in _QUOTED.findall(text)))
    rest = _QUOTED.sub(" ", text)
    if _FOREIGN.search(rest) or len(quoted) > 2:
        return None
    kind = meant(rest, _OPERATIONS)
    if len(quoted) == 2 or not quoted:
        if pair := _two(text, rest, quoted, kind):
            return pair
        if len(quoted) == 2:
            return None
    if kind is None:
        return None
    if quoted:
        return Asked(kind, quoted, sure=True)
    named = list(dict.fromkeys(_NAMED.findall(rest)))
    if len(named) == 1 and named[0] not in _ASKING:
        return Asked(kind, (named[0],), sure=True)
    left = list(dict.fromkeys(word for word in re.findall(r"[a-z][a-z'-]+", rest) if word not in _ASKING))
    if len(left) != 1 or kind == "pos check" or (kind == "definition" and not _OF_WORDS.search(rest)):
        return None
    return Asked(kind, (left[0],), sure=False)


def _two(text: str, rest: str, quoted: tuple[str, ...], kind: str | None) -> Asked | None:
    """Questions about two words: the same, opposed, one a kind of the other?"""
    plain = text.strip(" ?.!")
    yes_no = bool(_YES_NO.match(plain)) or bool(re.search(r"\b(?:right|true|correct)\?*$", plain))
    checks = {"synonyms": "same", "antonyms": "opposed"}
    if len(quoted) == 2:
        return Asked(checks[kind], quoted, sure=True) if yes_no and kind in checks else None
    if not yes_no:
        return None
    if kind in checks:
        left = list(dict.fromkeys(word for word in re.findall(r"[a-z][a-z'-]+", rest) if word not in _ASKING))
        return Asked(checks[kind], (left[0], left[1]), sure=False) if len(left) == 2 else None
    if kind in (None, "broader", "narrower"):
        inner = re.sub(
            r"^(?:could|can|would|do|does|may|should) (?:one|you|we|i|people|it be)? ?(?:correctly )?(?:say|call|agree|"
            r"think|claim|said|true)? ?(?:that )?|"
            r"^(?:is it|true or false:?|would it be) ?(?:true|right|correct|fair)?(?: to say)? ?(?:that )?",
            "",
            plain,
        )
        pair = _PAIR_ASKED.match(inner) or (_PAIR.fullmatch(inner) if inner != plain else None)
        if pair and not {pair[1], pair[2]} & _ASKING:
            return Asked("kind check", (pair[1], pair[2]), sure=False)
    return None
