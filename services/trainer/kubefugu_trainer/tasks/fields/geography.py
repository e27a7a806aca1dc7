"""Geography: capitals, countries, continents, currencies, codes, neighbours, sizes; truths from `geography_facts`."""

from __future__ import annotations

import numpy as np

from kubefugu_trainer.tasks.fields.geography_facts import CITIES, COUNTRIES, Country
from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Contains, FirstOf, IsoCode, Millions, Verifier, YesNo
from kubefugu_trainer.tasks.wording import Wording, pick

FIELD = "geography"
_CONTINENTS = ("Europe", "Asia", "Africa", "North America", "South America", "Oceania")
_LARGE_POPULATION_RATIO = 2.5

_CAPITAL = Wording(
    seen=(
        "What is the capital of {c}?", "Which city is the capital of {c}?", "Name the capital of {c}.",
        "What's the capital city of {c}?", "capital of {c}",
        "Tell me the capital of {c}.", "What is the capital city of {c}?", "Do you know the capital of {c}?",
    ),
    new=(
        "{c}'s capital is which city?", "Which city serves as the capital of {c}?", "The capital of {c}?",
        "Give me the name of {c}'s capital.",
    ),
    fresh=(
        "If I visit the capital of {c}, which city am I in?",
        "In which city does the government of {c} sit, i.e. what is its capital?", "{c} has what capital?",
        "I forgot the capital of {c}. Remind me.", "Capital city of {c}, please.",
    ),
)  # fmt: skip
_WHOSE = Wording(
    seen=(
        "{p} is the capital of which country?", "Which country has {p} as its capital?", "What country is {p} the capital of?",
        "Of which country is {p} the capital?",
    ),
    new=("Whose capital is {p}?", "Name the country whose capital is {p}.", "{p} is the capital city of what country?"),
    fresh=(
        "{p} is a capital, but of which country?", "Which nation has its capital in {p}?", "What country's capital is {p}?",
    ),
)  # fmt: skip
_WHERE = Wording(
    seen=(
        "In which country is {p}?", "What country is {p} in?", "Which country is the city of {p} in?", "Where is {p}?",
        "In what country is {p} located?",
        "Which country does {p} belong to?", "Where is the city of {p} located?",
    ),
    new=(
        "{p} lies in which country?", "The city of {p} is part of which country?", "Name the country where {p} is.",
        "To which country does the city {p} belong?",
    ),
    fresh=(
        "If I am in {p}, what country am I in?", "I am flying to {p}. Which country is that?",
        "Which nation is home to the city of {p}?", "{p} is a city of what country?",
    ),
)  # fmt: skip
_CONTINENT = Wording(
    seen=(
        "On which continent is {c}?", "Which continent is {c} on?", "What continent is {c} in?",
        "In which continent is {c} located?", "Name the continent of {c}.",
    ),
    new=("{c} is on which continent?", "To what continent does {c} belong?", "Which continent does {c} belong to?"),
    fresh=(
        "What part of the world, as a continent, is {c} in?", "{c}: Europe, Asia, Africa, America or Oceania?",
        "Say on what continent I find {c}.", "Which continent would I travel to if I went to {c}?",
    ),
)  # fmt: skip
_CURRENCY = Wording(
    seen=(
        "What is the currency of {c}?", "Which currency is used in {c}?", "What currency do they use in {c}?",
        "What money is used in {c}?",
        "Name the currency of {c}.", "currency of {c}",
    ),
    new=(
        "What do people pay with in {c}?", "{c}'s currency is called what?", "With which currency do you pay in {c}?",
        "What is the official currency of {c}?",
    ),
    fresh=(
        "I am travelling to {c}. Which money do I need?", "{c} uses which currency?", "What are prices in {c} given in?",
        "Name the money that shops in {c} take.", "Tell me {c}'s currency.",
    ),
)  # fmt: skip
_CODE = Wording(
    seen=(
        "What is the ISO country code of {c}?", "What is the two-letter country code of {c}?",
        "What is the ISO code for {c}?", "Give the country code of {c}.",
    ),
    new=(
        "Which two-letter ISO code stands for {c}?", "What is the ISO 3166 alpha-2 code of {c}?",
        "{c} has which ISO country code?",
    ),
    fresh=(
        "How is {c} abbreviated in ISO 3166, with two letters?", "Which two letters are {c}'s ISO code?",
        "I need the alpha-2 code for {c}.", "Tell me {c}'s two-letter country code.",
    ),
)  # fmt: skip
_POPULATION = Wording(
    seen=(
        "What is the population of {c}?", "How many people live in {c}?", "How many inhabitants does {c} have?",
        "population of {c}", "How large is the population of {c}?",
    ),
    new=("What is the number of inhabitants of {c}?", "About how many people are there in {c}?", "How populous is {c}?"),
    fresh=(
        "Roughly how many citizens does {c} count?", "How big is {c} in terms of people?", "Number of people in {c}?",
        "Tell me how many people call {c} home.",
    ),
)  # fmt: skip
_LARGER = Wording(
    seen=(
        "Which country has more people, {a} or {b}?", "Which has the larger population, {a} or {b}?",
        "Does {a} or {b} have more inhabitants?",
        "Which country is more populous: {a} or {b}?",
    ),
    new=(
        "Where do more people live, in {a} or in {b}?", "Of {a} and {b}, which has the bigger population?",
        "{a} or {b}: which country has more inhabitants?",
    ),
    fresh=(
        "Compare the populations of {a} and {b}: which is larger?", "Who has more citizens, {a} or {b}?",
        "Is it {a} or {b} that has the greater population?", "More people: {a} or {b}?",
    ),
)  # fmt: skip
_NEIGHBOURS = Wording(
    seen=(
        "Which countries border {c}?", "What are the neighbours of {c}?", "Name the countries that border {c}.",
        "Which countries are next to {c}?",
    ),
    new=(
        "List the neighbouring countries of {c}.", "With which countries does {c} share a border?",
        "What countries does {c} border on?",
    ),
    fresh=(
        "If I leave {c} by land, in which countries can I end up?", "{c} has borders with which countries?",
        "Tell me the countries around {c}.", "Which nations touch {c}?",
    ),
)  # fmt: skip
_BORDER = Wording(
    seen=(
        "Does {a} border {b}?", "Do {a} and {b} share a border?", "Is {a} a neighbour of {b}?",
        "Is there a border between {a} and {b}?",
    ),
    new=(
        "Are {a} and {b} neighbouring countries?", "Do {a} and {b} touch each other?",
        "Can you walk straight from {a} into {b}?",
    ),
    fresh=(
        "Is {b} next to {a}?", "Is {a} adjacent to {b}?", "Have {a} and {b} got a common border?",
        "Does {a} have a land border with {b}?",
    ),
)  # fmt: skip


def _spoken(name: str) -> str:
    return f"the {name}" if name in ("United Kingdom", "United States", "Philippines") else name


def _make(
    topic: str, wording: Wording, rng: np.random.Generator, phrasing: Phrasing, slots: dict[str, object], truth: Verifier
) -> Question:
    prompt = wording.say(rng, phrasing, slots)
    return Question(prompt=prompt[0].upper() + prompt[1:], field=FIELD, topic=topic, phrasing=phrasing, verifier=truth)


def capital(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The capital of a country."""
    country = pick(rng, COUNTRIES)
    return _make("capital", _CAPITAL, rng, phrasing, {"c": _spoken(country.name)}, Contains(accepted=(country.capital,)))


def whose_capital(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The country of a capital."""
    country = pick(rng, COUNTRIES)
    return _make("whose_capital", _WHOSE, rng, phrasing, {"p": country.capital}, Contains(accepted=_aliases(country.name)))


def where(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The country of a large city that is no capital."""
    city, country = pick(rng, CITIES)
    return _make("where", _WHERE, rng, phrasing, {"p": city}, Contains(accepted=_aliases(country)))


def _aliases(country: str) -> tuple[str, ...]:
    more = {"United Kingdom": ("UK", "England", "Scotland", "Britain"), "United States": ("USA", "US", "America")}
    return (country, *more.get(country, ()))


def continent(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The continent of a country; Russia is left out."""
    country = pick(rng, [c for c in COUNTRIES if c.name != "Russia"])
    others = tuple(name for name in _CONTINENTS if name != country.continent)
    truth = Contains(accepted=(country.continent,), excluded=others)
    return _make("continent", _CONTINENT, rng, phrasing, {"c": _spoken(country.name)}, truth)


def currency(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The currency of a country."""
    country = pick(rng, COUNTRIES)
    names = (*country.currency, *(f"{name}s" for name in country.currency if name.islower()))
    return _make("currency", _CURRENCY, rng, phrasing, {"c": _spoken(country.name)}, Contains(accepted=names))


def code(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The ISO 3166 alpha-2 code of a country."""
    country = pick(rng, COUNTRIES)
    return _make("code", _CODE, rng, phrasing, {"c": _spoken(country.name)}, IsoCode(code=country.iso2))


def population(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Population of a country, right within a quarter."""
    country = pick(rng, COUNTRIES)
    truth = Millions(millions=country.population_millions, relative=0.25)
    return _make("population", _POPULATION, rng, phrasing, {"c": _spoken(country.name)}, truth)


def larger(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The more populous of two countries of clearly different size."""
    while True:
        a, b = pick(rng, COUNTRIES), pick(rng, COUNTRIES)
        high, low = sorted((a, b), key=lambda c: -c.population_millions)
        if high.population_millions > _LARGE_POPULATION_RATIO * low.population_millions:
            break
    slots: dict[str, object] = {"a": _spoken(a.name), "b": _spoken(b.name)}
    return _make("larger", _LARGER, rng, phrasing, slots, FirstOf(right=high.name, wrong=low.name))


def neighbours(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Neighbours of a country: one of the well-known ones must be named."""
    country = pick(rng, [c for c in COUNTRIES if c.neighbours])
    return _make("neighbours", _NEIGHBOURS, rng, phrasing, {"c": _spoken(country.name)}, Contains(accepted=country.neighbours))


def border(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Whether two countries share a land border; the negatives lie on different continents."""
    first = pick(rng, [c for c in COUNTRIES if c.neighbours])
    if rng.random() < 0.5:
        other, truth = pick(rng, first.neighbours), True
    else:
        other, truth = _far(rng, first).name, False
    return _make("border", _BORDER, rng, phrasing, {"a": _spoken(first.name), "b": _spoken(other)}, YesNo(yes=truth))


def _far(rng: np.random.Generator, country: Country) -> Country:
    near = {"North America": "South America", "South America": "North America", "Europe": "Asia", "Asia": "Europe"}
    apart = [c for c in COUNTRIES if c.continent not in (country.continent, near.get(country.continent)) and c.name != "Egypt"]
    return pick(rng, [c for c in apart if c.name not in country.neighbours and country.name not in c.neighbours])


TOPICS: dict[str, Generator] = {
    "capital": capital, "whose_capital": whose_capital, "where": where, "continent": continent, "currency": currency,
    "code": code, "population": population, "larger": larger, "neighbours": neighbours, "border": border,
}  # fmt: skip
