"""Reads a question into a skeleton: places become PLACE, continents CONTINENT, currencies CURRENCY, codes CODE, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kubefugu_experts.engines.geography.atlas import Atlas, City
from kubefugu_experts.engines.geography.words import CONTINENTS, HOME_NATIONS, VOCABULARY
from kubefugu_experts.phrasing import fold

_MOST_WORDS_OF_A_NAME = 7


@dataclass(frozen=True, slots=True)
class Place:
    """A name with everything that it may mean."""

    text: str
    country: str | None = None
    state: str | None = None
    home_nation: str | None = None
    cities: tuple[City, ...] = ()


@dataclass(slots=True)
class Reading:
    """A question with its names taken out."""

    skeleton: str = ""
    places: list[Place] = field(default_factory=list)
    continents: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def has(self, pattern: str) -> bool:
        """True where the skeleton contains the pattern."""
        return re.search(rf"\b(?:{pattern})\b", self.skeleton) is not None


_TOKEN = re.compile(r"\+\d[\d -]*\d|\+\d+|\.[a-z]{2}\b|[^\W_]+(?:[.'/&-][^\W_]+)*\.?|&", re.IGNORECASE)


def read(text: str, atlas: Atlas) -> Reading:
    """Find the names in a text; the longest wins, and a word of the vocabulary is a city only where nothing else fits."""
    tokens = [match[0] for match in _TOKEN.finditer(text)]
    folded = [fold(token) for token in tokens]
    reading = Reading()
    words: list[str] = []
    position = 0
    while position < len(tokens):
        length, word = _name_at(reading, tokens, folded, position, atlas)
        words.append(word)
        position += length
    reading.skeleton = " ".join(words)
    return reading


def _name_at(reading: Reading, tokens: list[str], folded: list[str], position: int, atlas: Atlas) -> tuple[int, str]:
    for count in range(min(_MOST_WORDS_OF_A_NAME, len(tokens) - position), 0, -1):
        key = " ".join(folded[position : position + count])
        text = " ".join(tokens[position : position + count])
        if key in ("us", "usa", "american", "the us", "the usa") and folded[position + count : position + count + 1] in (
            ["state"],
            ["states"],
        ):
            return count, "us"
        placed = None
        if re.search(r"'s?\.?$", text):
            placed = _lookup(reading, re.sub(r"s$", "", key), text, atlas, single=count == 1)
        placed = placed or _lookup(reading, key, text, atlas, single=count == 1)
        if placed:
            return count, placed
    shouting = all(token.isupper() for token in tokens if token.isalpha())
    return 1, _word(reading, tokens[position], folded[position], shouting=shouting)


def _lookup(reading: Reading, key: str, text: str, atlas: Atlas, *, single: bool) -> str | None:
    if key in CONTINENTS and key not in atlas.country_by_name:
        reading.continents.append(CONTINENTS[key])
        return "CONTINENT"
    if key in atlas.currency_by_name:
        reading.currencies.append(atlas.currency_by_name[key])
        return "CURRENCY"
    country, state = atlas.country_by_name.get(key), atlas.state_by_name.get(key)
    if country is None and single and text in ("US", "U.S.", "U.S"):
        country = "US"
    cities = atlas.cities_by_name.get(key, ())
    if single and country is None and state is None and (key in VOCABULARY or len(key) < 2):
        return None
    nation = HOME_NATIONS.get(key)
    if country is None and state is None and nation is None and not cities:
        return None
    reading.places.append(Place(text, country, state, nation, cities))
    return "PLACE"


def _word(reading: Reading, token: str, folded: str, *, shouting: bool) -> str:
    """A code (DE, DEU, +49, .de) or a plain word."""
    bare = token.rstrip(".")
    if shouting and folded in VOCABULARY:
        return folded
    if re.fullmatch(r"\+?\d[\d -]{0,8}", bare) and folded not in VOCABULARY:
        reading.codes.append(re.sub(r"[^\d]", "", bare))
        return "CODE"
    if re.fullmatch(r"\.[a-z]{2}|[A-Z]{2,3}", bare) and folded not in ("us", "iso", "tld", "km", "usps", "the", "a"):
        reading.codes.append(bare)
        return "CODE"
    return folded
