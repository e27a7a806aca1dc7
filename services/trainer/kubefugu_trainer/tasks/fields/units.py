"""Unit conversions. Factors are the legal definitions (SI brochure; international yard and pound of 1959)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import FirstOf, Numeric
from kubefugu_trainer.tasks.wording import Wording, integer, pick

FIELD = "units"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: size in the dimension's SI unit, and how people write it."""

    size: float
    singular: str
    plural: str
    symbols: tuple[str, ...] = ()


def _units(*rows: tuple[float, str, str, tuple[str, ...]]) -> tuple[Unit, ...]:
    return tuple(Unit(*row) for row in rows)


DIMENSIONS: dict[str, tuple[Unit, ...]] = {
    "length": _units(
        (1, "metre", "metres", ("m",)), (1, "meter", "meters", ("m",)), (1000, "kilometre", "kilometres", ("km",)), (1000,
        "kilometer", "kilometers", ("km",)),
        (0.01, "centimeter", "centimeters", ("cm",)), (0.001, "millimeter", "millimeters", ("mm",)), (0.0254, "inch",
        "inches", ("in",)),
        (0.3048, "foot", "feet", ("ft",)), (0.9144, "yard", "yards", ("yd",)), (1609.344, "mile", "miles", ("mi",)), (1852,
        "nautical mile", "nautical miles", ()),
    ),
    "mass": _units(
        (1, "kilogram", "kilograms", ("kg",)), (0.001, "gram", "grams", ("g",)), (1e-6, "milligram", "milligrams", ("mg",)),
        (0.45359237, "pound", "pounds", ("lb", "lbs")), (0.028349523125, "ounce", "ounces", ("oz",)), (6.35029318, "stone",
        "stone", ()),
        (1000, "metric ton", "metric tons", ()), (1000, "tonne", "tonnes", ()),
    ),
    "volume": _units(
        (0.001, "liter", "liters", ("L", "l")), (0.001, "litre", "litres", ("l",)), (1e-6, "milliliter", "milliliters", ("ml",
        "mL")),
        (0.003785411784, "gallon", "gallons", ()), (0.000473176473, "pint", "pints", ()), (0.000946352946, "quart", "quarts",
        ()),
        (0.0002365882365, "cup", "cups", ()), (2.95735295625e-5, "fluid ounce", "fluid ounces", ()), (1.478676478125e-5,
        "tablespoon", "tablespoons", ()),
        (4.92892159375e-6, "teaspoon", "teaspoons", ()), (1, "cubic meter", "cubic meters", ()),
    ),
    "time": _units(
        (1, "second", "seconds", ()), (60, "minute", "minutes", ()), (3600, "hour", "hours", ()), (86400, "day", "days", ()),
        (604800, "week", "weeks", ()),
        (0.001, "millisecond", "milliseconds", ("ms",)),
    ),
    "speed": _units(
        (1 / 3.6, "kilometer per hour", "kilometers per hour", ("km/h", "kph")), (0.44704, "mile per hour", "miles per hour",
        ("mph",)),
        (1, "meter per second", "meters per second", ("m/s",)), (1852 / 3600, "knot", "knots", ()), (0.3048,
        "foot per second", "feet per second", ("ft/s",)),
    ),
    "area": _units(
        (1, "square meter", "square meters", ("m^2",)), (1e6, "square kilometer", "square kilometers", ("km^2",)), (10_000,
        "hectare", "hectares", ("ha",)),
        (4046.8564224, "acre", "acres", ()), (0.09290304, "square foot", "square feet", ()), (2589988.110336, "square mile",
        "square miles", ()),
    ),
    "energy": _units(
        (1, "joule", "joules", ("J",)), (1000, "kilojoule", "kilojoules", ("kJ",)), (4.184, "calorie", "calories", ()), (4184,
        "kilocalorie", "kilocalories", ("kcal",)),
        (3.6e6, "kilowatt hour", "kilowatt hours", ("kWh",)), (3600, "watt hour", "watt hours", ("Wh",)),
    ),
    "pressure": _units(
        (1, "pascal", "pascals", ("Pa",)), (1000, "kilopascal", "kilopascals", ("kPa",)), (1e5, "bar", "bars", ()), (101325,
        "atmosphere", "atmospheres", ("atm",)),
        (6894.757293168, "psi", "psi", ()),
    ),
    "data": _units(
        (1, "bit", "bits", ()), (8, "byte", "bytes", ()), (8e3, "kilobyte", "kilobytes", ("kB",)), (8e6, "megabyte",
        "megabytes", ("MB",)),
        (8e9, "gigabyte", "gigabytes", ("GB",)), (8e12, "terabyte", "terabytes", ("TB",)),
    ),
    "power": _units((1, "watt", "watts", ("W",)), (1000, "kilowatt", "kilowatts", ("kW",)), (1e6, "megawatt", "megawatts",
    ("MW",))),
    "angle": _units((math.pi / 180, "degree", "degrees", ()), (1, "radian", "radians", ())),
}  # fmt: skip

_CONVERT = Wording(
    seen=(
        "Convert {n} {a} to {b}.", "How many {b} are in {n} {a}?", "What is {n} {a} in {b}?", "{n} {a} in {b}",
        "How much is {n} {a} in {b}?",
        "Convert {n} {a} into {b}.", "How many {b} is {n} {a}?", "{n} {a} to {b}", "Express {n} {a} in {b}.",
        "What's {n} {a} in {b}?",
        "How many {b} are there in {n} {a}?",
    ),
    new=(
        "Change {n} {a} into {b}.", "{n} {a} equals how many {b}?", "I have {n} {a}; how many {b} is that?",
        "Give {n} {a} in {b}.",
        "If something measures {n} {a}, what is that in {b}?", "Turn {n} {a} into {b}.",
    ),
    fresh=(
        "How would I write {n} {a} in {b}?", "My measurement says {n} {a}. What does that make in {b}?",
        "{n} {a} corresponds to what number of {b}?", "Please translate {n} {a} into {b}.", "Tell me {n} {a} as {b}.",
        "{n} {a} = ? {b}", "The label reads {n} {a}. I want {b}.",
    ),
)  # fmt: skip
_COMPARE = Wording(
    seen=(
        "Which is {more}, {p} or {q}?", "Is {p} or {q} {more}?", "What is {more}: {p} or {q}?",
        "Which one is {more}: {p} or {q}?",
    ),
    new=("Between {p} and {q}, which is {more}?", "Tell me which is {more}, {p} or {q}.", "{p} or {q} - which is {more}?"),
    fresh=(
        "Compare {p} with {q}: which one is {more}?", "I have {p} on one side and {q} on the other. Which is {more}?",
        "Would {p} or {q} be {more}?", "Of {p} and {q}, say which is {more}.",
    ),
)  # fmt: skip
_MORE = {
    "length": "longer",
    "mass": "heavier",
    "volume": "more",
    "time": "longer",
    "speed": "faster",
    "area": "larger",
    "energy": "more",
}


def _name(rng: np.random.Generator, unit: Unit, number: float) -> str:
    if unit.symbols and rng.random() < 0.3:
        return pick(rng, unit.symbols)
    return unit.singular if number == 1 else unit.plural


def _amount(rng: np.random.Generator) -> tuple[str, float]:
    kind = rng.random()
    if kind < 0.25:
        number = float(pick(rng, (1, 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000)))
    elif kind < 0.75:
        number = float(integer(rng, 2, 400))
    else:
        number = integer(rng, 11, 999) / 10
    return (f"{number:g}", number)


def _two(rng: np.random.Generator, dimension: str) -> tuple[Unit, Unit]:
    while True:
        a, b = pick(rng, DIMENSIONS[dimension]), pick(rng, DIMENSIONS[dimension])
        if a.size != b.size:
            return a, b


def convert(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """An amount of one unit in another of the same dimension."""
    a, b = _two(rng, pick(rng, tuple(DIMENSIONS)))
    shown, number = _amount(rng)
    slots = {"n": shown, "a": _name(rng, a, number), "b": _name(rng, b, 2)}
    truth = Numeric(value=number * a.size / b.size, relative=5e-3, absolute=0)
    return Question(prompt=_CONVERT.say(rng, phrasing, slots), field=FIELD, topic="convert", phrasing=phrasing, verifier=truth)


def everyday(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The conversions that people ask for most: length, mass, volume, speed, time."""
    a, b = _two(rng, pick(rng, ("length", "length", "mass", "volume", "speed", "time")))
    shown, number = _amount(rng)
    slots = {"n": shown, "a": _name(rng, a, number), "b": _name(rng, b, 2)}
    truth = Numeric(value=number * a.size / b.size, relative=5e-3, absolute=0)
    return Question(prompt=_CONVERT.say(rng, phrasing, slots), field=FIELD, topic="everyday", phrasing=phrasing, verifier=truth)


_SCALES = {
    "Celsius": ("Celsius", "degrees Celsius", "°C"),
    "Fahrenheit": ("Fahrenheit", "degrees Fahrenheit", "°F"),
    "kelvin": ("kelvin",),
}


def temperature(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Celsius, Fahrenheit, kelvin."""
    first, second = pick(rng, [(a, b) for a in _SCALES for b in _SCALES if a != b])
    number = integer(rng, -40, 220) if first != "kelvin" else integer(rng, 150, 500)
    kelvin = {"Celsius": number + 273.15, "Fahrenheit": (number - 32) * 5 / 9 + 273.15, "kelvin": float(number)}[first]
    value = {"Celsius": kelvin - 273.15, "Fahrenheit": (kelvin - 273.15) * 9 / 5 + 32, "kelvin": kelvin}[second]
    slots = {"n": number, "a": pick(rng, _SCALES[first]), "b": pick(rng, _SCALES[second])}
    truth = Numeric(value=value, relative=1e-3, absolute=0.06)
    return Question(
        prompt=_CONVERT.say(rng, phrasing, slots), field=FIELD, topic="temperature", phrasing=phrasing, verifier=truth
    )


def compare(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Which of two amounts is more; they differ by a quarter at least."""
    dimension = pick(rng, tuple(_MORE))
    while True:
        a, b = _two(rng, dimension)
        m, x = _amount(rng)
        y = float(f"{x * a.size / b.size * float(pick(rng, (0.3, 0.5, 0.7, 1.4, 2, 3))):.2g}")
        n = f"{y:g}"
        if 0.1 <= y < 100_000 and abs(math.log(x * a.size / (y * b.size))) > 0.2:
            break
    p, q = (f"{m} {a.singular if x == 1 else a.plural}", f"{n} {b.singular if y == 1 else b.plural}")
    right, wrong = (p, q) if x * a.size > y * b.size else (q, p)
    prompt = _COMPARE.say(rng, phrasing, {"more": _MORE[dimension], "p": p, "q": q})
    return Question(prompt=prompt, field=FIELD, topic="compare", phrasing=phrasing, verifier=FirstOf(right=right, wrong=wrong))


TOPICS: dict[str, Generator] = {"convert": convert, "everyday": everyday, "temperature": temperature, "compare": compare}
