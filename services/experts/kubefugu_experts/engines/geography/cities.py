"""Facts about cities: a sentence each, or None where the question does not fit after all."""

from __future__ import annotations

import math
import re

from kubefugu_experts.engines.geography.atlas import Atlas, City
from kubefugu_experts.engines.geography.countries import capital_name, join
from kubefugu_experts.engines.geography.reading import Place, Reading
from kubefugu_experts.phrasing import fold

_EARTH_RADIUS_KM, _KM_PER_MILE = 6371.0, 1.609344
_RANKS = {"second": 2, "2nd": 2, "third": 3, "3rd": 3}
_COUNTS = {"two": 2, "2": 2, "three": 3, "3": 3, "four": 4, "4": 4, "five": 5, "5": 5, "ten": 10, "10": 10}


def _city_of(place: Place, atlas: Atlas) -> City | None:
    """The largest city of the name; a country stands for its capital."""
    if place.cities:
        return place.cities[0]
    return atlas.capital_city(atlas.countries[place.country]) if place.country in atlas.countries else None


def largest(reading: Reading, atlas: Atlas) -> str | None:
    """The largest (second, third, n largest) city of a country, US state, continent or the world."""
    if not reading.has("city|cities|town|metropolis|municipality") or reading.has("smallest|least|smaller|larger|bigger|more"):
        return None
    if len(reading.places) == 1 and not reading.continents:
        place = reading.places[0]
        if place.country in atlas.countries and not (place.state and reading.has("state|us|usa")):
            pool, where = atlas.cities_by_country.get(place.country or "", ()), atlas.countries[place.country or ""].spoken
        elif place.state:
            pool = tuple(city for city in atlas.cities_by_country["US"] if city.admin1 == place.state)
            where = atlas.states[place.state]
        else:
            return None
    elif not reading.places and len(reading.continents) == 1:
        isos = {country.iso for country in atlas.in_continent(reading.continents[0])}
        pool, where = _all_cities(atlas, isos), atlas.continents[reading.continents[0]]
    elif not reading.places and reading.has("world|worlds|earth|globally|globe|worldwide"):
        pool, where = _all_cities(atlas, set(atlas.countries)), "the world"
    else:
        return None
    return _rank(pool, where, reading)


def _all_cities(atlas: Atlas, isos: set[str]) -> tuple[City, ...]:
    tops = [city for iso in isos for city in atlas.cities_by_country.get(iso, ())[:10]]
    return tuple(sorted(tops, key=lambda city: -city.population))


def _rank(pool: tuple[City, ...], where: str, reading: Reading) -> str | None:
    if reading.has("cities"):
        match = re.search(rf"\b({'|'.join(_COUNTS)})\b", reading.skeleton)
        count = _COUNTS[match[1]] if match else 5
        return (
            f"The {min(count, len(pool))} largest cities of {where} are {join([city.name for city in pool[:count]])}."
            if pool
            else None
        )
    place = next((number for word, number in _RANKS.items() if reading.has(word)), 1)
    if len(pool) < place:
        return None
    rank = {1: "", 2: "second ", 3: "third "}[place]
    return f"The {rank}largest city of {where} is {pool[place - 1].name}."


def compare(reading: Reading, atlas: Atlas) -> str | None:
    """Which city has more people, Paris or Rome?"""
    if len(reading.places) != 2 or any(place.country or not place.cities for place in reading.places):
        return None
    first, second = (place.cities[0] for place in reading.places)
    less = reading.has("smaller|less|fewer")
    if re.match(r"(?:is|does|has|do)\b", reading.skeleton):
        yes = first.population < second.population if less else first.population > second.population
        larger = max(first, second, key=lambda city: city.population)
        return f"{'Yes' if yes else 'No'}, {larger.name} has more inhabitants."
    best = (min if less else max)(first, second, key=lambda city: city.population)
    return f"{best.name} has {'fewer' if less else 'more'} inhabitants."


def timezone(reading: Reading, atlas: Atlas) -> str | None:
    """The time zone of a city (of a country: its capital's)."""
    if len(reading.places) != 1:
        return None
    city = _city_of(reading.places[0], atlas)
    return f"The time zone of {city.name} is {city.timezone}." if city else None


def coordinates(reading: Reading, atlas: Atlas) -> str | None:
    """Latitude and longitude of a city."""
    if len(reading.places) != 1:
        return None
    city = _city_of(reading.places[0], atlas)
    if city is None:
        return None
    latitude = f"{abs(city.latitude):.4f}° {'N' if city.latitude >= 0 else 'S'}"
    longitude = f"{abs(city.longitude):.4f}° {'E' if city.longitude >= 0 else 'W'}"
    if reading.has("latitude") and not reading.has("longitude"):
        return f"The latitude of {city.name} is {latitude}."
    if reading.has("longitude") and not reading.has("latitude"):
        return f"The longitude of {city.name} is {longitude}."
    return f"{city.name} lies at {latitude}, {longitude}."


def distance(reading: Reading, atlas: Atlas) -> str | None:
    """The great-circle distance between two cities (countries: their capitals)."""
    if len(reading.places) != 2:
        return None
    first, second = (_city_of(place, atlas) for place in reading.places)
    if first is None or second is None:
        return None
    lat1, lat2 = math.radians(first.latitude), math.radians(second.latitude)
    east = math.radians(second.longitude - first.longitude)
    # haversine formula
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(east / 2) ** 2
    km = 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(a))
    shown = f"{km / _KM_PER_MILE:.0f} miles" if reading.has("miles|mile") else f"{km:.0f} km"
    return f"The straight-line distance between {first.name} and {second.name} is about {shown}."


def where(reading: Reading, atlas: Atlas) -> str | None:
    """The country (or US state) of a city; the continent of a country; whether a city lies in a country."""
    places = reading.places
    if reading.continents or reading.codes or reading.currencies:
        return None
    if (
        len(places) == 2
        and re.match(r"(?:is|are|was|does|can|do)\b", reading.skeleton)
        and reading.has("in|part of|belongs? to|city of|located")
    ):
        return _lies_in(places[0], places[1], atlas)
    if len(places) != 1 or not reading.has(r"where|which|what"):
        return None
    place = places[0]
    if place.country in atlas.countries and not (reading.has("country|nation") and place.cities):
        country = atlas.countries[place.country or ""]
        if not reading.has("where|part of|located|situated|lies?"):
            return None
        return f"{country.spoken[0].upper()}{country.spoken[1:]} is in {atlas.continents[country.continent]}."
    if place.state and not reading.has("city"):
        return f"{atlas.states[place.state]} is a state of the United States." if reading.has("where|country|located") else None
    if not place.cities:
        return _by_capital(place, atlas)
    city = place.cities[0]
    if reading.has("states?") and city.iso == "US":
        return f"{city.name} is in {atlas.states.get(city.admin1, 'the United States')}."
    if not reading.has("where|country|nation|part of|located|situated|belongs?"):
        return None
    inside = f"{atlas.states[city.admin1]}, " if city.iso == "US" and city.admin1 in atlas.states else ""
    return f"{city.name} is in {inside}{atlas.countries[city.iso].spoken}."


def _by_capital(place: Place, atlas: Atlas) -> str | None:
    """Capitals with fewer inhabitants than the list of cities starts at."""
    for country in atlas.countries.values():
        if country.capital and fold(country.capital) == fold(place.text):
            return f"{capital_name(country)} is in {country.spoken}."
    return None


def _lies_in(inner: Place, outer: Place, atlas: Atlas) -> str | None:
    if not inner.cities or not (outer.country or outer.state):
        return None
    found = next(
        (city for city in inner.cities if city.iso == outer.country or (city.iso == "US" and city.admin1 == outer.state)), None
    )
    city = found or inner.cities[0]
    if found is None and outer.country is None and outer.state and city.iso == "US":
        return f"No, {city.name} is in {atlas.states.get(city.admin1, 'another state')}."
    return f"{'Yes' if found else 'No'}, {city.name} is in {atlas.countries[city.iso].spoken}."
