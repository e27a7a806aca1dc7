"""The kinds of geography questions: trigger words and what answers them, tried in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kubefugu_experts.engines.geography import cities, countries
from kubefugu_experts.engines.geography.atlas import Atlas
from kubefugu_experts.engines.geography.reading import Reading

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of question."""

    name: str
    answer: Callable[[Reading, Atlas], str | None]
    """The sentence, or None where it does not fit after all."""
    trigger: str
    """Words, one of which the skeleton must contain."""
    unless: str = ""


_NEIGHBOUR = r"neighbou?rs?|neighbou?ring|borders?|bordering|bordered|adjacent|share|shares|sharing|surrounds?|surrounding|touch|touches|next to|walk|drive|cross"
_SUPERLATIVE = r"largest|biggest|smallest|most populous|most populated|most people|most inhabitants|least populous|least populated|highest population|lowest population|greatest|fewest"
_CITY = r"city|cities|town|metropolis|municipality|urban"

RULES: tuple[Rule, ...] = (
    Rule("capital", countries.capital, r"capitals?|government", unless=r"population|populous|people|inhabitants|largest|biggest|currency|area|time ?zone|coordinates|far|distance|latitude|longitude|code"),
    Rule("currency", countries.currency, r"currency|currencies|money|legal tender|CURRENCY|pay|coins?|banknotes|monetary"),
    Rule("language", countries.language, r"languages?|speaks?|spoken|tongue"),
    Rule("phone", countries.phone, r"calling|dialing|dialling|dial|dialed|phone|telephone|prefix"),
    Rule("domain", countries.domain, r"tld|domain|internet|top level|website|web|websites"),
    Rule("state abbreviation", countries.state_abbreviation, r"abbreviation|abbreviated|abbreviations|postal|usps|two letter|2 letter|code"),
    Rule("code", countries.code, r"iso|iso2|iso3|alpha2|alpha3|alpha|codes?|abbreviation|abbreviated|letter|numeric"),
    Rule("neighbours", countries.neighbours, _NEIGHBOUR),
    Rule("largest city", cities.largest, _SUPERLATIVE + r"|second|third|top|more", unless=r"country|countries|nation|nations|area"),
    Rule("superlative", countries.superlative, _SUPERLATIVE + r"|populous|largest-by-area"),
    Rule("compare cities", cities.compare, r"more people|more populous|larger|bigger|smaller|more inhabitants|more residents|greater population|higher population|less populous|fewer people|fewer inhabitants|most people|less people"),
    Rule("compare", countries.compare, r"more people|more populous|larger|bigger|smaller|more inhabitants|more residents|greater|higher|less populous|fewer|less|most people|greater area|larger area"),
    Rule("population", countries.population, r"populations?|inhabitants|residents|people|populous|populated|citizens|persons|inhabit"),
    Rule("area", countries.area, r"area|areas|size|how big|how large|surface|square|land area|sqkm|sq"),
    Rule("time zone", cities.timezone, r"timezones?|time zones?"),
    Rule("coordinates", cities.coordinates, r"coordinates|latitude|longitude|position"),
    Rule("distance", cities.distance, r"distance|how far|apart|far"),
    Rule("in continent", countries.in_continent, r"how many countries|number of countries|list|countries|which countries|nations"),
    Rule("continent", countries.continent, r"continents?|CONTINENT"),
    Rule("where", cities.where, r"where|country|nation|state|located|situated|in|part of|belongs? to|lies?"),
)  # fmt: skip
