"""The definitions engine."""

from __future__ import annotations

import re

from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.engines.definitions import meaning
from kubefugu_experts.engines.definitions.answers import Lexicon, Word
from kubefugu_experts.engines.definitions.patterns import FRAMES, NOT_WORDS, NOT_WORDS_EITHER
from kubefugu_experts.engines.definitions.wordnet import WordNet, find_folder
from kubefugu_experts.phrasing import bare, follow_up, tidy

NOT_MINE = "I only answer questions about the meaning of English words."
_MOST_WORDS = 30
_MOST_WORDS_OF_A_TERM = 4
_COUNT = re.compile(
    r"\b(one|two|three|four|five|six|seven|eight|nine|ten|\d{1,2}) (?:\w+ )?(?:synonym|antonym|"
    r"word|kind|type|example|hyponym|opposite)"
)
_LETTERS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"}
_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def make_engine() -> Engine:
    """Build the engine. Raises FileNotFoundError where WordNet's files are missing."""
    return DefinitionsEngine(Lexicon(WordNet(find_folder())))


class DefinitionsEngine:
    """Answers from WordNet alone."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is not about words."""
        reply = self._answer(question.text)
        new = follow_up(tidy(question.text))
        if isinstance(reply, Declined) and new and question.earlier:
            for text in self._rewritten(bare(question.earlier[-1]), new):
                reply = self._answer(text)
                if isinstance(reply, Answer):
                    break
        return reply

    def _answer(self, text: str) -> Reply:
        raw = tidy(text).lower()
        text = _plain(text)
        if not text or len(text.split()) > _MOST_WORDS:
            return Declined(NOT_MINE)
        for frame in FRAMES:
            match = frame.pattern.fullmatch(text)
            if match is None:
                continue
            words = [self._word(match, name, text) for name in ("word", "second") if name in match.re.groupindex]
            if None in words:
                continue
            reply = self._lexicon.answer(frame.kind, [word for word in words if word], _pos(match, text), _count(text))
            if reply is not None:
                return reply
        return self._read_by_meaning(raw) or Declined(NOT_MINE)

    def _read_by_meaning(self, text: str) -> Reply | None:
        """The reply to free wording, where the words in question and what is asked of them are certain."""
        asked = meaning.asked(text)
        if asked is None:
            return None
        words = [
            Word(term, lemmas)
            for term in asked.words
            if term not in NOT_WORDS_EITHER and (lemmas := self._lexicon.lemmas(term))
        ]
        if len(words) != len(asked.words) or (asked.kind == "definition" and not asked.sure and not self._is_plain(words[0])):
            return None
        named = re.findall(r"\b(noun|verb|adjective|adverb)\b", text)
        pos = tuple(_LETTERS[name] for name in dict.fromkeys(named)) if asked.kind != "pos" or len(set(named)) > 1 else ()
        kind = "pos check" if asked.kind == "pos" and pos else asked.kind
        if kind in ("definition", "synonyms", "antonyms") and len(set(named)) > 1:
            pos = ()
        return self._lexicon.answer(kind, words, pos, _count(text))

    def _is_plain(self, word: Word) -> bool:
        return "n" not in word.lemmas or self._lexicon.is_common_noun(word.text)

    def _word(self, match: re.Match[str], name: str, text: str) -> Word | None:
        """The word of a slot, where WordNet has it."""
        term = match[name].strip(" '\".,-")
        term = re.sub(r" as an? (?:noun|verb|adjective|adverb)$", "", term)
        quoted = bool(
            re.search(rf"['\"]{re.escape(term)}['\"]|\b(?:word|term|noun|verb|adjective|adverb) {re.escape(term)}\b", text)
        )
        if (
            not term
            or len(term.split()) > _MOST_WORDS_OF_A_TERM
            or (not quoted and term in NOT_WORDS)
            or term in NOT_WORDS_EITHER
        ):
            return None
        if "article" in match.re.groupindex and not self._lexicon.is_common_noun(term):
            return None
        lemmas = self._lexicon.lemmas(term)
        return Word(term, lemmas) if lemmas else None

    def _rewritten(self, earlier: str, new: str) -> list[str]:
        """The earlier question with its word, or what it asks, replaced by the follow-up's."""
        plain = _plain(earlier)
        for frame in FRAMES:
            match = frame.pattern.fullmatch(plain)
            if match and self._word(match, "word", plain):
                asked = re.sub(r"^(?:its|the|an?) ", "", new.lower())
                return [plain.replace(match["word"], new.lower()), f"{asked} of {match['word']}"]
        return []


def _plain(text: str) -> str:
    """Lower case without politeness and contractions."""
    text = bare(text).lower()
    text = re.sub(r"\b(what|who|that|which)(?:'s|s)\b(?= )", r"\1 is", text)
    text = re.sub(r"^(?:thesaurus|dictionary|wordnet)[:,]? (?=\w+ \w)", "", text)
    text = re.sub(r"(?<=['\"])\. (?=what|can|so)", ", ", text)
    return re.sub(r"[,;]? ?(?:and )?(?:use it in a sentence|with an example)$", "", text).strip(" ?.")


def _pos(match: re.Match[str], text: str) -> tuple[str, ...]:
    """Parts of speech that the question names, by WordNet's letter."""
    groups = match.groupdict()
    named = [groups[name] for name in ("pos", "pos2") if groups.get(name)]
    if not named and (found := re.search(r"\b(?:as an? |the |used as an? )(noun|verb|adjective|adverb)\b", text)):
        named = [found[1]]
    return tuple(_LETTERS[name] for name in named)


def _count(text: str) -> int | None:
    match = _COUNT.search(text)
    return None if match is None else _COUNTS.get(match[1]) or int(match[1])
