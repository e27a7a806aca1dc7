"""Facts about countries: a sentence each, or None where the question does not fit after all."""

from __future__ import annotations

import re
from collections.abc import Callable

from kubefugu_experts.engines.geography.atlas import Atlas, Country
from kubefugu_experts.engines.geography.reading import Place, Reading
from kubefugu_experts.engines.geography.words import CAPITAL_NOTES, LANGUAGES, STATE_CAPITALS
from kubefugu_experts.phrasing import fold


def join(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def countries_of(reading: Reading, atlas: Atlas) -> list[Country] | None:
    """All places as countries; None where one is none, or where there is none."""
    found = [atlas.countries[place.country] for place in reading.places if place.country in atlas.countries]
    return found if found and len(found) == len(reading.places) else None


def one_country(reading: Reading, atlas: Atlas) -> Country | None:
    """The only place, a country."""
    found = countries_of(reading, atlas)
    return found[0] if found and len(found) == 1 else None


def _yes(found: bool) -> str:
    return "Yes" if found else "No"


def _asks_yes_or_no(reading: Reading) -> bool:
    return re.match(r"(?:is|are|was|does|do|did|has|have|can|if|true|whether)\b", reading.skeleton) is not None


def capital_name(country: Country) -> str:
    """As people write it."""
    return CAPITAL_NOTES.get(country.iso, country.capital)


def capital(reading: Reading, atlas: Atlas) -> str | None:
    """The capital of a country or US state; the country of a capital; whether a city is the capital."""
    places = reading.places
    if _asks_yes_or_no(reading) and len(places) == 2:
        return _capital_check(places, reading, atlas)
    if len(places) == 1 and re.search(
        r"(?:which|what) (?:country|nation|state)|country's|PLACE (?:is|serves as|"
        r"was) (?:the )?(?:national )?capital|PLACE the capital of (?:which|what)|whose capital|"
        r"capital of (?:which|what)|PLACE as (?:its|their|the) capital",
        reading.skeleton,
    ):
        return _country_of_capital(places[0], reading, atlas)
    sentences = [_capital_of(place, reading, atlas) for place in places]
    if not sentences or None in sentences or reading.continents or reading.codes or len(places) > 8:
        return None
    return " ".join(sentence for sentence in sentences if sentence)


def _means_state(place: Place, reading: Reading) -> bool:
    return place.state is not None and (place.country is None or reading.has(r"states?|us|usa|american"))


def _capital_of(place: Place, reading: Reading, atlas: Atlas) -> str | None:
    if place.country in atlas.countries and not _means_state(place, reading):
        country = atlas.countries[place.country]
        return f"The capital of {country.spoken} is {capital_name(country)}." if country.capital else None
    if place.state in STATE_CAPITALS:
        return f"The capital of {atlas.states[place.state]} is {STATE_CAPITALS[place.state]}."
    return f"The capital of {place.text.title()} is {place.home_nation}." if place.home_nation else None


def _country_of_capital(place: Place, reading: Reading, atlas: Atlas) -> str | None:
    name = fold(place.text)
    if not reading.has("states?"):
        for country in atlas.countries.values():
            if country.capital and name in (
                fold(country.capital),
                fold(capital_name(country).partition(" (")[0]),
                f"{fold(country.capital)} dc",
            ):
                return f"{country.capital} is the capital of {country.spoken}."
    for state, city in STATE_CAPITALS.items():
        if fold(city) == name:
            return f"{city} is the capital of {atlas.states[state]}."
    if place.country in atlas.countries:
        country = atlas.countries[place.country]
        return f"The capital of {country.spoken} is {capital_name(country)}." if country.capital else None
    return None


def _capital_check(places: list[Place], reading: Reading, atlas: Atlas) -> str | None:
    """Is Sydney the capital of Australia? Does France have Paris as its capital?"""
    order = re.search(r"PLACE (?:have|has) PLACE", reading.skeleton) or re.search(r"PLACE's capital", reading.skeleton)
    city, area = (places[1], places[0]) if order else (places[0], places[1])
    if area.country in atlas.countries and not _means_state(area, reading):
        country = atlas.countries[area.country]
        real, name = country.capital, country.spoken
        shown = capital_name(country)
    elif area.state in STATE_CAPITALS:
        real = shown = STATE_CAPITALS[area.state]
        name = atlas.states[area.state]
    else:
        return None
    return f"{_yes(fold(city.text).removesuffix(' dc') == fold(real))}, the capital of {name} is {shown}." if real else None


def population(reading: Reading, atlas: Atlas) -> str | None:
    """The population of a country, continent or city."""
    if not reading.places and len(reading.continents) == 1:
        total = sum(country.population for country in atlas.in_continent(reading.continents[0]))
        return f"{atlas.continents[reading.continents[0]]} has a population of {total}."
    if reading.has("capital"):
        country = one_country(reading, atlas)
        city = atlas.capital_city(country) if country else None
        return f"{city.name} has a population of {city.population}." if city else None
    if reading.continents:
        return None
    sentences = []
    for place in _with_qualifiers(reading, atlas):
        if place.country in atlas.countries and not (reading.has("city") and place.cities):
            country = atlas.countries[place.country]
            sentences.append(f"{country.name} has a population of {country.population}.")
        elif place.cities:
            sentences.append(f"{place.cities[0].name} has a population of {place.cities[0].population}.")
        else:
            return None
    return " ".join(sentences) or None


def _with_qualifiers(reading: Reading, atlas: Atlas) -> list[Place]:
    """ "Paris, Texas" and "Birmingham in the UK" are one place each."""
    places = list(reading.places)
    if len(places) == 2 and places[0].cities and re.search(r"PLACE (?:in |of |the )*PLACE", reading.skeleton):
        inside = places[1]
        matching = tuple(
            city
            for city in places[0].cities
            if city.iso == inside.country or (city.iso == "US" and city.admin1 == inside.state)
        )
        if matching:
            return [Place(places[0].text, None, None, None, matching)]
    return places


def area(reading: Reading, atlas: Atlas) -> str | None:
    """The area of a country."""
    found = countries_of(reading, atlas)
    if found is None and not reading.places and len(reading.continents) == 1:
        total = sum(country.area_km2 for country in atlas.in_continent(reading.continents[0]))
        return f"The countries of {atlas.continents[reading.continents[0]]} have an area of {total:.0f} square kilometers."
    if not found or reading.continents:
        return None
    return " ".join(
        f"{country.name} has an area of {country.area_km2:g} square kilometers."
        if country.area_km2 < 1e5
        else f"{country.name} has an area of {country.area_km2:.0f} square kilometers."
        for country in found
    )


def _by_area(reading: Reading) -> bool:
    if reading.has(r"area|land|by area|size|square|surface|largest-by-area"):
        return True
    return not reading.has(r"population|populous|populated|people|inhabitants|residents|populations|most-populous")


def compare(reading: Reading, atlas: Atlas) -> str | None:
    """Which is larger, France or Germany? Does Japan have more people than Mexico?"""
    found = countries_of(reading, atlas)
    if not found or len(found) < 2 or reading.continents:
        return None
    by_area = _by_area(reading)
    measure: Callable[[Country], float] = (
        (lambda country: country.area_km2) if by_area else (lambda country: country.population)
    )
    less = reading.has(r"smaller|less|fewer|smallest|least|lowest|lower")
    word = ("smaller" if less else "larger") if by_area else ("fewer people" if less else "more people")
    if _asks_yes_or_no(reading) and not reading.has("which|what|or") and len(found) == 2:
        yes = measure(found[0]) < measure(found[1]) if less else measure(found[0]) > measure(found[1])
        larger = max(found, key=measure)
        return f"{_yes(yes)}, {larger.spoken} {'is larger' if by_area else 'has more people'}."
    best = min(found, key=measure) if less else max(found, key=measure)
    return f"{best.name} {'is' if by_area else 'has'} {word}."


_ORDINALS = {"second": 2, "third": 3, "fourth": 4, "fifth": 5, "2nd": 2, "3rd": 3}


def superlative(reading: Reading, atlas: Atlas) -> str | None:
    """The largest (most populous, smallest) country of the world or a continent."""
    if reading.places or not reading.has(r"country|countries|nation|nations|state") or len(reading.continents) > 1:
        return None
    if reading.continents:
        pool, where = atlas.in_continent(reading.continents[0]), f"in {atlas.continents[reading.continents[0]]}"
    elif reading.has(r"world|worlds|earth|globe|globally|worldwide"):
        pool, where = [country for country in atlas.countries.values() if country.population > 0], "in the world"
    else:
        return None
    by_area = _by_area(reading)
    measure: Callable[[Country], float] = (
        (lambda country: country.area_km2) if by_area else (lambda country: country.population)
    )
    least = reading.has(r"smallest|least|fewest|lowest")
    ranked = sorted((country for country in pool if measure(country) > 0), key=measure, reverse=not least)
    place = next((number for word, number in _ORDINALS.items() if reading.has(word)), 1)
    kind = ("smallest" if least else "largest") if by_area else ("least populous" if least else "most populous")
    rank = "" if place == 1 else f"{ {2: 'second', 3: 'third', 4: 'fourth', 5: 'fifth'}[place] } "
    return f"The {rank}{kind} country {where} is {ranked[place - 1].spoken}." if len(ranked) >= place else None


def currency(reading: Reading, atlas: Atlas) -> str | None:
    """The currency of a country; the countries of a currency."""
    if reading.currencies and not reading.places:
        return _users_of(reading.currencies[0], atlas)
    if reading.codes and not reading.places and not reading.has("country code") and len(reading.codes[0]) == 3:
        return _users_of(reading.codes[0], atlas)
    found = countries_of(reading, atlas)
    if not found or reading.continents:
        return None
    if (reading.currencies or reading.codes) and len(found) == 1 and _asks_yes_or_no(reading):
        code = reading.currencies[0] if reading.currencies else reading.codes[0]
        return f"{_yes(found[0].currency_code == code)}, the currency of {found[0].spoken} is the {_money(found[0])}."
    if _asks_yes_or_no(reading) and len(found) == 2:
        same = found[0].currency_code == found[1].currency_code
        return f"{_yes(same)}, {found[0].spoken} uses the {_money(found[0])} and {found[1].spoken} the {_money(found[1])}."
    return (
        " ".join(f"The currency of {country.spoken} is the {_money(country)}." for country in found if country.currency_code)
        or None
    )


def _money(country: Country) -> str:
    return f"{country.currency_name} ({country.currency_code})"


def _users_of(code: str, atlas: Atlas) -> str | None:
    users = sorted(country.name for country in atlas.countries.values() if country.currency_code == code.upper())
    return f"{code.upper()} is the currency of {join(users)}." if users else None


def language(reading: Reading, atlas: Atlas) -> str | None:
    """The languages of a country, the most important first; the countries of a language."""
    if reading.has("countries|nations") or (reading.has("country|nation|where") and not reading.has("in|of")):
        return _speakers_of(reading, atlas)
    found = countries_of(reading, atlas)
    if not found or reading.continents:
        return None
    sentences = []
    for country in found:
        names = list(dict.fromkeys(LANGUAGES[code].replace("_", " ") for code in country.languages if code in LANGUAGES))
        if not names:
            return None
        sentences.append(
            f"The main language of {country.spoken} is {names[0]}{f'; also spoken: {join(names[1:5])}' if names[1:] else ''}."
        )
    return " ".join(sentences)


def _speakers_of(reading: Reading, atlas: Atlas) -> str | None:
    """Countries whose first language it is."""
    if len(reading.places) != 1 or reading.continents:
        return None
    name = reading.places[0].text.capitalize()
    codes = {code for code, language_name in LANGUAGES.items() if language_name == name}
    speakers = sorted(
        country.name for country in atlas.countries.values() if country.languages[:1] and country.languages[0] in codes
    )
    return f"{name} is the main language of {join(speakers)}." if speakers else None


def phone(reading: Reading, atlas: Atlas) -> str | None:
    """The calling code of a country; the country of a code."""
    if reading.codes and not reading.places:
        users = sorted(country.name for country in atlas.countries.values() if country.phone == reading.codes[0])
        return f"+{reading.codes[0]} is the calling code of {join(users)}." if users else None
    found = countries_of(reading, atlas)
    if not found:
        return None
    return " ".join(f"The calling code of {country.spoken} is +{country.phone}." for country in found if country.phone) or None


def domain(reading: Reading, atlas: Atlas) -> str | None:
    """The top-level domain of a country; the country of a domain."""
    if reading.codes and not reading.places:
        users = [
            country.spoken
            for country in atlas.countries.values()
            if country.tld.lstrip(".") == reading.codes[0].lstrip(".").lower()
        ]
        return f".{reading.codes[0].lstrip('.').lower()} is the domain of {join(users)}." if users else None
    country = one_country(reading, atlas)
    return f"The top-level domain of {country.spoken} is {country.tld}." if country and country.tld else None


def state_abbreviation(reading: Reading, atlas: Atlas) -> str | None:
    """The postal abbreviation of a US state."""
    if len(reading.places) != 1 or reading.places[0].state is None or reading.has("iso|calling|area"):
        return None
    place = reading.places[0]
    if place.country and not reading.has("states?|postal|usps"):
        return None
    return f"The abbreviation of {atlas.states[place.state or '']} is {place.state}."


def code(reading: Reading, atlas: Atlas) -> str | None:
    """ISO codes of a country; the country of a code."""
    if reading.codes and not reading.places:
        wanted = reading.codes[0].upper().lstrip(".")
        owners = [country.spoken for country in atlas.countries.values() if wanted in (country.iso, country.iso3)]
        return f"{wanted} is the code of {owners[0]}." if owners else None
    country = one_country(reading, atlas)
    if country is None or reading.has("area code|city|zip"):
        return None
    if reading.has(r"iso3|alpha3|alpha 3|three|3 letter|3166 1 alpha 3"):
        return f"The three-letter ISO code of {country.spoken} is {country.iso3}."
    if reading.has("numeric"):
        return f"The numeric ISO code of {country.spoken} is {country.numeric:03d}."
    if reading.has(r"iso|two|2 letter|alpha|alpha2|iso2|abbreviation|abbreviated|letter"):
        return f"The two-letter ISO code of {country.spoken} is {country.iso}."
    return (
        f"The ISO code of {country.spoken} is {country.iso}, its calling code +{country.phone}."
        if reading.has("country code|code")
        else None
    )


def neighbours(reading: Reading, atlas: Atlas) -> str | None:
    """The neighbours of a country, their number, or whether two countries share a border."""
    found = countries_of(reading, atlas)
    if not found or reading.continents:
        return None
    first = found[0]
    if len(found) == 2:
        shares = found[1].iso in first.neighbours or first.iso in found[1].neighbours
        return f"{_yes(shares)}, {first.spoken} and {found[1].spoken} {'share' if shares else 'do not share'} a border."
    if len(found) > 2:
        return None
    names = sorted(atlas.countries[code].spoken for code in first.neighbours if code in atlas.countries)
    if reading.has("how many|number of|count"):
        return (
            f"{first.name} borders {len(names)} countr{'y' if len(names) == 1 else 'ies'}{f': {join(names)}' if names else ''}."
        )
    return f"{first.name} borders {join(names)}." if names else f"{first.name} has no land borders."


def in_continent(reading: Reading, atlas: Atlas) -> str | None:
    """How many countries a continent has, or which."""
    if reading.places or len(reading.continents) != 1 or not reading.has("countries|nations"):
        return None
    found = sorted(country.name for country in atlas.in_continent(reading.continents[0]))
    name = atlas.continents[reading.continents[0]]
    if reading.has("how many|number|count|total"):
        return f"{name} has {len(found)} countries and territories."
    return f"Countries and territories of {name}: {join(found)}."


def continent(reading: Reading, atlas: Atlas) -> str | None:
    """The continent of a country or city, or whether it lies there."""
    if len(reading.places) != 1 or len(reading.continents) > 1:
        return None
    place = reading.places[0]
    iso = place.country or (place.cities[0].iso if place.cities else None)
    if iso not in atlas.countries:
        return None
    code = atlas.countries[iso].continent
    name = atlas.countries[iso].spoken if place.country else place.cities[0].name
    name = name[0].upper() + name[1:]
    if reading.continents:
        return (
            f"{_yes(code == reading.continents[0])}, {name} is in {atlas.continents[code]}."
            if _asks_yes_or_no(reading) or reading.has("or")
            else None
        )
    return f"{name} is in {atlas.continents[code]}."
