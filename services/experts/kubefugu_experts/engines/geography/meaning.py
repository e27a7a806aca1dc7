"""Free wording as plain requests: which places are named, and what do the cues ask of them?

The requests are worded as the narrow rules of this package understand them ("what is the capital of Peru").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubefugu_experts.engines.geography.atlas import Atlas
from kubefugu_experts.engines.geography.reading import Place, Reading, read
from kubefugu_experts.phrasing.meaning import meant, operation

_FOREIGN = re.compile(
    r"\b(?:president|king|queen|minister|chancellor|mayor|weather|climate|temperature|war|died|dead|killed|born|"
    r"invent\w*|discover\w*|"
    r"founded|history|historic\w*|visited|flights?|hotels?|restaurants?|recipe|food|dish|eat|drink|translate|poem|story|"
    r"joke|river|rivers|mountains?|"
    r"lakes?|island|oldest|tallest|longest|coldest|warmest|highest mountain|airport|team|won|win|cup|olympic\w*|"
    r"university|flag|anthem|religion|"
    r"gdp|rich\w*|poor\w*|poverty|unemploy\w*|density|growth|independen\w*|president's|exchange rate|worth|dollars?|"
    r"euros?|price|cost|"
    r"capitalism|knights?|synonym|opposite|meaning|mean|define|definition|word|train|bus|recommend|plan|guide|"
    r"code review|python|sql|"
    r"moved|was the capital|former|ancient|used to be|empire|who|whose|why|miles per|convert|students?|tourists?|"
    r"immigrants?|born in|crime|doctors?|"
    r"premises?|therefore|follows?|all \w+ are|days?|weekday|date|century)\b|\b1\d{3}\b|\b20\d\d\b",
    re.IGNORECASE,
)
_OPERATIONS = (
    operation("capital", (5, r"capitals?|seat of (?:the |its )?government|governed from|government\b.*\b(?:sit|sits|seat|"
    r"located|based|meets?)"), (5, r"city of government")),
    operation(
        "population",
        (4, r"populations?|inhabitants?|populous|residents|citizens|headcount"),
        (4, r"(?:how many|number of) (?:people|persons|human beings|humans)\b.*\b(?:live|lives|living|reside|inhabit|"
        r"are|there|have|has)|people live|how populated"),
    ),
    operation("currency", (5, r"currenc\w+|money|cash|legal tender|pays?|paid|paying|coins?|banknotes?|monetary|tender|"
    r"purse|wallet|spend")),
    operation("language", (5, r"languages?|speak\w*|spoken|tongues?")),
    operation("phone", (6, r"dial\w*|calling|phon\w+|telephone|(?:country|area)? ?prefix|call (?:someone|somebody|"
    r"a friend|my)")),
    operation("domain", (6, r"domains?|tld|web ?(?:site|address|page)\w*|internet|urls?|top-level")),
    operation("code", (5, r"iso|alpha|(?:country|two-letter|three-letter|2-letter|3-letter|letter) codes?|abbreviat\w+")),
    operation("neighbours", (5, r"border\w*|neighbou?r\w*|adjacent|touch\w*|next to|adjoin\w*|frontiers?|surround\w*|"
    r"abut\w*|side by side")),
    operation("continent", (5, r"continents?|parts? of the (?:world|globe)|CONTINENT")),
    operation(
        "largest city",
        (6, r"(?:largest|biggest|most populous|most populated|greatest|main|no 1|number one) (?:\w+ ){0,2}(?:city|town|"
        r"metropolis|urban)"),
        (7, r"(?:city|cities|town|metropolis)\b.*\b(?:largest|biggest|most (?:people|inhabitants|residents|populous)|"
        r"greatest)"),
    ),
    operation(
        "largest country",
        (7, r"CONTINENT\b.*\b(?:largest|biggest|most|greatest|smallest|fewest|least)|(?:largest|biggest|most|greatest|"
        r"smallest|fewest|least)\b.*\bCONTINENT"),
    ),
    operation(
        "compare",
        (6, r"PLACE\b.*\bPLACE\b.*\b(?:larger|bigger|more|smaller|greater|fewer|less|most)"),
        (6, r"(?:larger|bigger|more|smaller|greater|fewer|less)\b.*\bPLACE\b.*\bPLACE"),
    ),
    operation("area", (4, r"areas?|square (?:kilomet\w+|miles?|km)|surface|how (?:large|big|wide)|size|km2|territory|extent")),
    operation("where", (3, r"(?:which|what|whose) (?:\w+ )?(?:country|nation|land|state)|(?:the|name of the) (?:country|"
    r"nation) (?:of|where|in which|that)"), (2, r"lies?|located|situated|found|belong\w*|part of|where|inside")),
)  # fmt: skip
_YES_NO = re.compile(
    r"^(?:is|are|was|does|do|can|would|true or false|could|has|have|am i right)\b|\b(?:right|correct|"
    r"true)\?*$",
    re.IGNORECASE,
)
_ABOUT = {
    "capital": "what is the capital of {}",
    "population": "what is the population of {}",
    "currency": "what is the currency of {}",
    "language": "what language is spoken in {}",
    "phone": "what is the calling code of {}",
    "domain": "what is the internet domain of {}",
    "continent": "which continent is {} in",
    "largest city": "what is the largest city in {}",
    "area": "what is the area of {}",
}


@dataclass(frozen=True, slots=True)
class _Named:
    """The places of a question; cities only where they are written as names."""

    text: str
    skeleton: str
    places: tuple[Place, ...]
    continents: tuple[str, ...]


def requests(text: str, atlas: Atlas) -> Iterator[str]:
    """Plain requests that mean the same; none where places or operation are missing or ambiguous."""
    if _FOREIGN.search(text):
        return
    named = _named(text, read(text, atlas))
    if not named.places and not named.continents:
        return
    name = meant(named.skeleton, _OPERATIONS)
    if name == "largest country":
        yield from _largest_country(named)
    elif len(named.places) == 1:
        yield from _about_one(name, named)
    elif len(named.places) == 2:
        yield from _about_two(name, named)


def _named(text: str, reading: Reading) -> _Named:
    places: dict[str, Place] = {}
    for place in reading.places:
        if _is_meant(place, text):
            places.setdefault(_name(place), place)
    return _Named(text, reading.skeleton, tuple(places.values()), tuple(reading.continents))


def _is_meant(place: Place, text: str) -> bool:
    """Countries and states wherever written as names; cities too, but one that opens the text only where it is large."""
    known = bool(place.country or place.state or place.home_nation)
    if text == text.lower():
        return known or _is_large(place)
    if not place.text[0].isupper():
        return False
    return known or not text.startswith(place.text) or " " in place.text or _is_large(place)


def _is_large(place: Place) -> bool:
    return any(city.population > 500_000 for city in place.cities)


def _name(place: Place) -> str:
    return re.sub(r"'s?$", "", place.text.rstrip("."))


def _largest_country(named: _Named) -> Iterator[str]:
    if named.places or len(set(named.continents)) != 1 or re.search(r"\b(?:city|cities|town)\b", named.skeleton):
        return
    word = re.search(r"\b(?:Africa|Asia|Europe|(?:North|South) America|Oceania)n?\b", named.text, re.IGNORECASE)
    if word is None:
        return
    where = re.sub(r"(?i)(?<=a)n$|(?<=e)an$", "", word[0])
    small = re.search(r"\b(?:smallest|fewest|least)\b", named.skeleton)
    by_people = re.search(r"\b(?:people|inhabitants|populous|populated|population|residents)\b", named.skeleton)
    kind = ("least populous" if small else "most populous") if by_people else ("smallest" if small else "largest")
    yield f"what is the {kind} country in {where}"


def _about_one(name: str | None, named: _Named) -> Iterator[str]:
    place = named.places[0]
    what = _name(place)
    is_country = bool(place.country or place.state or place.home_nation)
    if name == "continent" and named.continents:
        if _YES_NO.search(named.text.strip(" ?.!")) and (
            word := re.search(
                r"\b(?:Africa|Asia|Europe|North America|"
                r"South America|Oceania)\b",
                named.text,
                re.IGNORECASE,
            )
        ):
            yield f"is {what} in {word[0]}"
    elif name == "capital" and not is_country:
        yield f"{what} is the capital of which country"
    elif name == "code":
        three = re.search(r"\b(?:3|three|alpha ?3|iso3|alpha3)\b", named.skeleton.replace("-", " "))
        yield f"what is the {'three' if three else 'two'}-letter country code for {what}"
    elif name == "neighbours":
        counted = re.search(r"\bhow many\b|\bnumber of\b", named.skeleton)
        yield f"how many countries border {what}" if counted else f"which countries border {what}"
    elif name == "where" and not place.country:
        yield f"what country is {what} in"
    elif name in _ABOUT and not (name == "population" and named.continents):
        yield _ABOUT[name].format(what)


def _about_two(name: str | None, named: _Named) -> Iterator[str]:
    first, second = named.places
    one, two = _name(first), _name(second)
    yes_no = _YES_NO.search(named.text.strip(" ?.!")) is not None
    if name == "neighbours":
        yield f"does {one} share a border with {two}"
    elif name == "capital" and yes_no:
        city, country = (two, one) if first.country and not second.country else (one, two)
        yield f"is {city} the capital of {country}"
    elif name == "where" and yes_no and second.country:
        yield f"is {one} in {two}"
    elif name in ("compare", "population", "area") and not yes_no:
        by_people = re.search(r"\b(?:people|inhabitants|populous|populated|population|residents|citizens)\b", named.skeleton)
        small = re.search(r"\b(?:smaller|fewer|less|smallest|fewest|least)\b", named.skeleton)
        if not (small or re.search(r"\b(?:larger|bigger|more|greater|most|larger|biggest|largest|higher)\b", named.skeleton)):
            return
        if by_people:
            yield f"which has {'fewer' if small else 'more'} people, {one} or {two}"
        else:
            yield f"which country is {'smaller' if small else 'larger'}, {one} or {two}"
