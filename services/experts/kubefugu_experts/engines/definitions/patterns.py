"""The frames of questions about words. {w} stands for a word or short phrase, {w2} for a second one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_POS = r"noun|verb|adjective|adverb"
_KIND = rf"(?:(?:english |following |given )?(?:word|term|expression|phrase|{_POS}|name) )"
_QUOTED = r"['\"*_`]?"
_SLOT = rf"(?:the |an? )?{_KIND}?{_QUOTED}(?P<{{name}}>[a-z][a-z' .-]*?){_QUOTED}"
_LEAD = r"(?:(?:what word|which word|what term|which term|which words|what words|what|which|who|tell|say|find|find me|give|show|list|name|write|state|provide|suggest|tell|need|want|think of|look up|get|come up with) )?(?:(?:is|are|would be|was|were|'s|me) )?(?:i )?(?:the |an? |any |some |all )?(?:best |correct |right |exact |common |good |possible |proper |simple |dictionary |english |precise |literal |basic |short |direct )*(?:(?:one|two|three|four|five|\d|a few|several|some) )?"
_TAIL = r"(?: in (?:english|the english language|the dictionary|simple (?:words|terms|english)|general|a dictionary|this context|a sentence|language|grammar|plain english))?(?: according to (?:wordnet|the dictionary))?(?: (?:mean|be|is|are|there|called))?"
_MEAN_SAME = r"(?:that |which |to )?(?:means?|meaning|having|with|has|have|is|are|carr(?:y|ies)|shares?)? ?(?:roughly |nearly |almost |basically |exactly )?(?:the |a |an )?(?:same|similar|equivalent|close)(?: in)?(?: meanings?| thing| sense)?(?: in meaning)?(?: as| to| with| of)?"
_MEAN_OPPOSITE = r"(?:that |which |to )?(?:means?|meaning|having|with|has|have|is|are)? ?(?:exactly |basically )?(?:the |an? )?(?:exact |direct |complete )?(?:opposite|contrary|reverse|inverse)(?: in)?(?: meanings?| sense)?(?: of| to| from| for)?"
_SYNONYM = r"(?:synon[yi]mn?s?|synonymous words?|syn\.)"
_ANTONYM = r"(?:anton[yi]mn?s?|opposite words?|opposites?|opposite terms?)"
_DEFINITION = r"(?:definitions?|defin[ai]tions?|definitons?|defenitions?|meanings?|dictionary (?:entry|meaning)|explanation|sense|signification)"

_FRAMES: tuple[tuple[str, str], ...] = (
    # two words
    ("same", r"(?:are|is|do|does|would you say|can|could) {w} and {w2} (?:both )?(?:synon[yi]ms?|synonymous|mean the same(?: thing)?|the same(?: in meaning| thing)?|have the same meaning|similar in meaning|share a meaning|be used as synonyms|alike in meaning)(?: of each other| of one another)?"),
    ("same", r"(?:is|are|can|could|does) {w} (?:be )?(?:an? )?(?:valid |good |possible )?(?:synon[yi]m|synonymous|another word|mean the same(?: thing)?|have the same meaning|(?:have )?a similar meaning)(?: of| for| to| as| with)+ {w2}"),
    ("opposed", r"(?:are|is|do|does) {w} and {w2} (?:both )?(?:anton[yi]ms?|opposites?|opposite in meaning|opposite words|mean the opposite|have opposite meanings)(?: of each other| of one another)?"),
    ("opposed", r"(?:is|are|does|would) {w} (?:be |mean )?(?:the |an )?(?:direct |exact )?(?:anton[yi]m|opposite|contrary)(?: of| for| to)+ {w2}"),
    ("kind check", r"(?:is|are) (?:an? |the )?{w} (?:an? |the )?(?:kinds?|types?|sorts?|forms?|species|example|instance|hyponym|subclass|variety) of (?:an? |the )?{w2}"),
    ("kind check", r"(?:is|are) (?:an |a ){w} (?:considered |classified as |really |actually |regarded as )?(?:an |a ){w2}"),
    ("pos check", rf"(?:is|can|could|does|would) {{w}} (?:be |being |function as |act as |count as |serve as |used as |be used as )*(?:an? )?(?P<pos>{_POS})s?(?:,? or (?:an? )?(?P<pos2>{_POS})s?)?"),
    # part of speech
    ("pos", r"(?:what|which) (?:is the )?(?:parts? of speech|word class|word type|grammatical (?:category|class)|lexical category|kind of word|type of word|sort of word|class of words?)(?: (?:is|are|does|do|would be|of|for|can|be))+ {w}(?: belong(?:s)?(?: to| in)?| have| be| fall (?:in|into|under)| used as| serve as)?"),
    ("pos", rf"{_LEAD}(?:parts? of speech|pos|word class|grammatical category|word type|lexical category)(?: of| for)? {{w}}"),
    ("pos", r"(?:to )?(?:what|which) (?:parts? of speech|word class|grammatical category|class of words) (?:does|do|is|are) {w} (?:belong(?: to)?|have|fall (?:in|into|under)|a part of)"),
    ("pos", r"(?:in|as) (?:what|which) part of speech (?:is|can) {w} (?:be )?used"),
    ("pos", r"identify the (?:part of speech|word class)(?: of| for)? {w}"),
    # broader, narrower
    ("broader", rf"{_LEAD}(?:hypern[yi]ms?|superordinates?(?: terms?)?|(?:broader|more general|wider|parent|general|generic|umbrella|superordinate)(?: \w+)? (?:terms?|words?|category|categories|concepts?|class)|supercategor(?:y|ies)|category|categories|class)(?: of| for| to| that includes| above| than) {{w}}"),
    ("broader", r"(?:what|which) (?:kind|type|sort|category|class|form) of (?:thing|things|object|animal|creature|being|entity|item|concept|plant|food|tool|person|device|substance|something)s? (?:is|are|would be|does|describes) {w}(?: considered| classified as| belong to| a)?"),
    ("broader", r"(?:what|which) (?:category|class|group|family)(?: of things| of objects| of animals)? (?:does|do|is|would|are) {w} (?:belong|belongs|fall|falls|in|part of|classified)(?: to| into| under| in| as)?"),
    ("broader", r"(?:an? |the )?{w} (?:is|are) (?:an? )?(?:kinds?|types?|sorts?|forms?|examples?) of what(?: thing| animal| object)?"),
    ("broader", r"what (?:is|are) {w} (?:an? )?(?:kinds?|types?|sorts?|forms?|examples?) of"),
    ("broader", r"{w} hypern[yi]ms?"),
    ("narrower", rf"{_LEAD}(?:hypon[yi]ms?|subtypes?|subordinates?|more specific (?:terms?|words?)|narrower terms?|kinds|types|sorts|varieties)(?: of| for| than| to) {{w}}(?: are there| exist| do you know)?"),
    ("narrower", r"(?:what|which) (?:different )?(?:kinds|types|sorts|varieties) of {w} (?:are there|exist|do you know)"),
    ("narrower", r"{w} hypon[yi]ms?"),
    ("parts", rf"{_LEAD}(?:parts|meron[yi]ms?|components)(?: of| for| does) {{w}}(?: have)?"),
    ("parts", r"(?:what|which) parts (?:does|do) {w} have"),
    # antonyms
    ("antonyms", rf"{_LEAD}{_ANTONYM}(?: word| words| term)?(?: of| for| to| from) {{w}}"),
    ("antonyms", rf"{_LEAD}(?:words?|terms?|{_POS})?(?: is| are)? ?{_MEAN_OPPOSITE} {{w}}"),
    ("antonyms", rf"{{w}} ?(?:'s)? {_ANTONYM}"),
    ("antonyms", r"(?:what|which)(?: word| words)?(?: is| are)? {w} (?:the )?(?:opposite|antonym|contrary)(?: of| to)?"),
    ("antonyms", r"how (?:do|would|can|could) (?:you|i|one) say the opposite of {w}"),
    # synonyms
    ("synonyms", rf"{_LEAD}{_SYNONYM}(?: word| words| term)?(?: of| for| to| with) {{w}}"),
    ("synonyms", rf"{_LEAD}(?:other|another|different|alternative|alternate|fancier|better|similar|equivalent|related|substitute|second)(?: \w+)? ?(?:words?|terms?|ways?|expressions?|names?|{_POS})? ?(?:of saying|to say|for saying|for|to|of|with the meaning of|meaning|in place of|instead of) {{w}}"),
    ("synonyms", rf"{_LEAD}(?:words?|terms?|expressions?|{_POS})(?: is| are| could i use| can i use)? ?{_MEAN_SAME} {{w}}(?: does| do| is| has)?"),
    ("synonyms", rf"{{w}} ?(?:'s)? {_SYNONYM}"),
    ("synonyms", r"what (?:else )?(?:word )?(?:can|could|might|should|do|would) (?:i|you|we|one) (?:say|use|write)(?: instead of| in place of| other than| for| rather than) {w}"),
    ("synonyms", r"how else (?:can|could|might|do|would) (?:i|you|we|one) say {w}"),
    ("synonyms", r"what (?:words? )?(?:is|are) synonymous (?:with|to) {w}"),
    ("synonyms", r"what (?:is|are) {w} synonymous (?:with|to)"),
    ("synonyms", r"(?:replace|substitute) {w} (?:with|by) (?:a synonym|another word|a similar word|a different word)"),
    ("synonyms", rf"(?:find|use) a {_SYNONYM} (?:to replace|instead of) {{w}}"),
    # definitions
    ("definition", r"(?:please )?(?:define|definition|meaning|dictionary|explain (?:the )?(?:meaning|definition|sense|word|term|what))(?: for| of| to| me| what| the (?:meaning|sense|definition) of)* ?:? {w}(?: means?| is| for me| to me)?"),
    ("definition", rf"{_LEAD}{_DEFINITION}(?: of| for| behind| to) {{w}}"),
    ("definition", r"(?:what|wat|wht) (?:exactly |actually |really )?(?:does|do|dose|did|is|would) {w} (?:exactly |actually |really |even |usually )?(?:mean|means|meaning|signify|denote|refer to|stand for|meant)(?: exactly| really| as an? (?P<pos>noun|verb|adjective|adverb))?"),
    ("definition", r"what does it mean (?:to be|to|if (?:something|someone) is|when (?:something|someone) is|for (?:something|someone) to be) {w}"),
    ("definition", r"what (?:exactly |actually )?{w} (?:means|signifies|denotes|is|refers to)"),
    ("definition", r"what (?:exactly )?(?:is|are|does one|do we|do you|do people|does it) (?:meant|understood|mean|understand)(?: when (?:someone|people|you|we) (?:says?|is|are|to be))?(?: by| with| to be| it) {w}"),
    ("definition", r"what (?:do|does|did) (?:people|we|they|you|someone|somebody|one) (?:usually |really )?mean (?:when (?:they|we|you|someone|people|he|she|somebody) says?|by(?: saying)?|with) {w}"),
    ("definition", r"(?:i (?:don'?t|do not) (?:know|understand)|i (?:never heard|just read|came across|saw|have never heard)(?: of)?|i'?m not sure about) {w}[.,;:]* (?:so |and )?(?:what does (?:it|that|this)(?: word)? mean|what is (?:it|that)|what is (?:its|the) (?:meaning|definition)|can you (?:define|explain) (?:it|that))"),
    ("definition", r"how (?:is|are|would|do|does|can|could|should|might) (?:you |one |we |i |the dictionary |a dictionary |wordnet |dictionaries |people )?(?:define|defined|explain|describe) {w}"),
    ("definition", r"how (?:is|are|can|would) {w} (?:be )?(?:defined|explained|described)"),
    ("definition", r"(?:look|looking) up {w}(?: in (?:a|the|your) dictionary)?"),
    ("definition", r"what (?:does|do) (?:the|a|your) dictionary say (?:about|for|on) {w}"),
    ("definition", rf"{{w}} ?(?:'s|,|:|-)? {_DEFINITION}"),
    ("definition", r"{w}[.,;:]* (?:so |and )?(?:what|wat) (?:does|do) (?:it|that|this(?: word)?) mean"),
    ("definition", r"{w} means?(?: what)?"),
    ("definition", r"(?:an? )(?P<article>){w} is what"),
    ("definition", r"(?:what|wat) (?:is|are|exactly is) (?:an? )(?P<article>){w}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """A kind of question and its compiled pattern."""

    kind: str
    pattern: re.Pattern[str]


def _compiled() -> Iterator[Frame]:
    for kind, frame in _FRAMES:
        text = frame.replace("{w2}", _SLOT.format(name="second")).replace("{w}", _SLOT.format(name="word"))
        yield Frame(kind, re.compile(f"{text}{_TAIL}"))


FRAMES: tuple[Frame, ...] = tuple(_compiled())
"""In the order in which they are tried: the more telling first."""

NOT_WORDS = frozenset(
    [
        "i",
        "you",
        "he",
        "she",
        "it",
        "we",
        "they",
        "me",
        "him",
        "her",
        "us",
        "them",
        "this",
        "that",
        "these",
        "those",
        "my",
        "your",
        "his",
        "its",
        "our",
        "their",
        "mine",
        "yours",
        "who",
        "whom",
        "whose",
        "which",
        "what",
        "where",
        "when",
        "why",
        "how",
        "there",
        "here",
        "everything",
        "something",
        "anything",
        "nothing",
        "everyone",
        "someone",
        "anyone",
        "stuff",
        "things",
        "thing",
        "so",
        "too",
        "today",
        "tomorrow",
        "yesterday",
        "now",
        "it",
        "all",
        "more",
        "most",
    ]
)
"""Asked about without quotes, these are part of the sentence, not the word in question."""
NOT_WORDS_EITHER = frozenset(("life", "this word", "that word", "the universe", "christmas spirit"))
"""Questions that are not about words although they look like it ("the meaning of life")."""
