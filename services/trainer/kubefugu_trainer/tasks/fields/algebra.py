"""Algebra and calculus. Truths are built in: equations from roots, derivatives by the power rule, integrals by fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from kubefugu_trainer.tasks.fields import polynomials as poly
from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import NumberSet, Numeric, PrimeFactors, Verifier
from kubefugu_trainer.tasks.verify_expressions import Expression
from kubefugu_trainer.tasks.wording import Wording, integer, nonzero, pick

FIELD = "algebra"
_VARIABLES = ("x", "x", "x", "y", "t", "n")

_SOLVE = Wording(
    seen=(
        "Solve {eq} for {v}.", "Solve the equation {eq}.", "Find {v} if {eq}.", "What is {v} when {eq}?",
        "What value of {v} satisfies {eq}?",
        "Solve for {v}: {eq}", "Determine {v} such that {eq}.", "Given {eq}, what is {v}?", "{eq}. What is {v}?", "solve {eq}",
    ),
    new=(
        "Which {v} makes {eq} true?", "Work out {v} from {eq}.", "For which {v} does {eq} hold?", "{v} = ? if {eq}",
        "Compute {v} given that {eq}.",
    ),
    fresh=(
        "If {eq}, then {v} must be what?", "Suppose that {eq}. Determine the value of {v}.",
        "I'm stuck on {eq}. What number is {v}?", "What does {v} equal in {eq}?", "Isolate {v} in {eq} and give its value.",
        "Check my homework: {eq}, {v} = ?",
    ),
)  # fmt: skip
_ROOTS = Wording(
    seen=(
        "Solve {eq} for {v}.", "Find the roots of {p}.", "Solve the quadratic equation {eq}.",
        "What are the solutions of {eq}?",
        "Find all values of {v} with {eq}.", "Which values of {v} satisfy {eq}?", "What are the zeros of {p}?", "solve {eq}",
    ),
    new=(
        "For which {v} is {p} equal to 0?", "Give both roots of {p}.", "Find every {v} such that {eq}.",
        "At which {v} does {p} vanish?",
    ),
    fresh=(
        "Where does {p} cross the {v}-axis?", "The equation {eq} holds for which values of {v}?",
        "Tell me all real solutions of {eq}.", "What numbers can {v} be if {eq}?",
        "List the values of {v} for which {p} is zero.",
    ),
)  # fmt: skip
_SYSTEM = Wording(
    seen=(
        "Solve the system {a} and {b}.", "Find {u} and {v} if {a} and {b}.", "Solve the simultaneous equations {a}, {b}.",
        "What are {u} and {v} when {a} and {b}?", "Solve {a} and {b} for {u} and {v}.",
    ),
    new=(
        "Given {a} and {b}, find {u} and {v}.", "Which {u} and {v} satisfy both {a} and {b}?",
        "Solve this pair of equations: {a}, {b}",
    ),
    fresh=(
        "Two equations: {a}; {b}. What are {u} and {v}?", "Suppose {a} and also {b}. Tell me {u} and {v}.",
        "I need the numbers {u} and {v} for which {a} and {b} both hold.", "Work out {u} and {v} from {a} and {b}.",
    ),
)  # fmt: skip
_DERIVE = Wording(
    seen=(
        "What is the derivative of {p}?", "Differentiate {p}.", "Find the derivative of {p} with respect to {v}.",
        "Compute d/d{v} of {p}.",
        "Differentiate {p} with respect to {v}.", "What is d/d{v} ({p})?", "derivative of {p}", "Find f'({v}) if f({v}) = {p}.",
    ),
    new=(
        "Take the derivative of {p}.", "If f({v}) = {p}, what is f'({v})?", "Calculate the first derivative of {p}.",
        "Derive {p} with respect to {v}.",
    ),
    fresh=(
        "How does one differentiate {p}? Give the result.", "What is the rate of change of {p} with respect to {v}?",
        "Write down the derivative of f({v}) = {p}.", "{p}: what is its derivative?", "Let y = {p}. What is dy/d{v}?",
    ),
)  # fmt: skip
_SLOPE = Wording(
    seen=(
        "What is the derivative of {p} at {v} = {x}?", "Find the slope of {p} at {v} = {x}.",
        "Evaluate the derivative of {p} at {v} = {x}.",
        "If f({v}) = {p}, what is f'({x})?",
    ),
    new=(
        "How steep is the curve {p} at {v} = {x}?", "Compute f'({x}) for f({v}) = {p}.",
        "Give the value of the derivative of {p} when {v} = {x}.",
    ),
    fresh=(
        "What is the gradient of {p} when {v} equals {x}?", "Let y = {p}. What is dy/d{v} when {v} = {x}?",
        "At {v} = {x}, how fast does {p} change?", "Find the tangent's slope on the curve y = {p} at {v} = {x}.",
    ),
)  # fmt: skip
_ANTIDERIVE = Wording(
    seen=(
        "What is the integral of {p}?", "Integrate {p}.", "Find the indefinite integral of {p}.",
        "Find the antiderivative of {p}.",
        "Integrate {p} with respect to {v}.", "Compute the indefinite integral of {p} d{v}.", "integral of {p}",
    ),
    new=(
        "Give an antiderivative of {p}.", "What function has the derivative {p}?",
        "Work out the indefinite integral of {p} with respect to {v}.",
    ),
    fresh=(
        "Which function, once differentiated, gives {p}?", "Find F({v}) such that F'({v}) = {p}.",
        "{p}: what is its indefinite integral?", "Undo the derivative {p}: what was the function?",
    ),
)  # fmt: skip
_AREA = Wording(
    seen=(
        "Integrate {p} from {a} to {b}.", "What is the integral of {p} from {a} to {b}?",
        "Compute the definite integral of {p} between {a} and {b}.",
        "Evaluate the integral of {p} from {v} = {a} to {v} = {b}.", "Find the definite integral of {p} from {a} to {b}.",
    ),
    new=(
        "Calculate the area under {p} between {v} = {a} and {v} = {b}.",
        "What do you get when you integrate {p} from {a} up to {b}?",
    ),
    fresh=(
        "{p} integrated from {a} to {b} equals what?", "With {v} running from {a} to {b}, what is the integral of {p}?",
        "Tell me the value of the definite integral of {p}, lower limit {a}, upper limit {b}.",
    ),
)  # fmt: skip
_EXPAND = Wording(
    seen=(
        "Expand {p}.",
        "Multiply out {p}.",
        "Expand the product {p}.",
        "What is {p} expanded?",
        "expand {p}",
        "Expand and simplify {p}.",
    ),
    new=("Write {p} without brackets.", "Work out the product {p}.", "Multiply the brackets in {p}."),
    fresh=(
        "Remove the parentheses: {p}",
        "{p} = ? (multiplied out)",
        "Express {p} as a polynomial.",
        "What polynomial is {p}?",
    ),
)
_FACTOR = Wording(
    seen=(
        "Factor {p}.", "Factorise {p}.", "Factor the polynomial {p}.", "What is the factored form of {p}?", "factor {p}",
        "Factorize {p} completely.",
    ),
    new=("Write {p} as a product of factors.", "Give the factorization of {p}.", "Split {p} into linear factors."),
    fresh=(
        "Which factors does {p} have?", "Turn {p} into a product of two brackets.", "Put {p} in factored form.",
        "{p}: how does it factor?",
    ),
)  # fmt: skip
_VALUE = Wording(
    seen=(
        "What is {p} at {v} = {x}?",
        "Evaluate {p} for {v} = {x}.",
        "Compute {p} when {v} = {x}.",
        "If {v} = {x}, what is {p}?",
    ),
    new=("Find the value of {p} given {v} = {x}.", "Substitute {v} = {x} into {p}.", "Let {v} = {x}. Calculate {p}."),
    fresh=(
        "How much is {p} if {v} is {x}?",
        "For {v} equal to {x}, what does {p} come to?",
        "Plug {v} = {x} into {p}; what comes out?",
        "Given that {v} = {x}, work out {p}.",
    ),
)
_CALCULATE = Wording(
    seen=(
        "What is {e}?", "Calculate {e}.", "Compute {e}.", "{e} = ?", "How much is {e}?", "Evaluate {e}.", "What's {e}?",
        "calculate {e}",
        "Find the value of {e}.",
    ),
    new=("Work out {e}.", "What do you get for {e}?", "Tell me the result of {e}.", "{e}"),
    fresh=(
        "{e} equals what?", "I need to know {e}.", "Can you do {e} for me?", "The result of {e} is?", "Please compute: {e}",
    ),
)  # fmt: skip
_COMMON = Wording(
    seen=(
        "What is the {name} of {a} and {b}?", "Find the {name} of {a} and {b}.", "Compute the {name} of {a} and {b}.",
        "{name} of {a} and {b}",
        "Calculate the {name} of {a} and {b}.",
    ),
    new=(
        "Determine the {name} of the numbers {a} and {b}.", "Give me the {name} of {a} and {b}.",
        "For {a} and {b}, what is the {name}?",
    ),
    fresh=(
        "{a} and {b}: what is their {name}?", "The {name} of {a} and {b} is what number?",
        "I have {a} and {b} and need the {name}.", "Tell me the {name} for the pair {a}, {b}.",
    ),
)  # fmt: skip
_PRIMES = Wording(
    seen=(
        "What are the prime factors of {n}?", "Find the prime factorization of {n}.", "Factor {n} into primes.",
        "Factorize {n}.", "prime factors of {n}",
    ),
    new=("Which primes divide {n}?", "Write {n} as a product of primes.", "Decompose {n} into prime factors."),
    fresh=(
        "{n} is divisible by which prime numbers?", "Break {n} down into primes.", "Tell me the prime divisors of {n}.",
        "What primes multiply to {n}?",
    ),
)  # fmt: skip
_PERCENT = Wording(
    seen=(
        "What is {p}% of {n}?", "Calculate {p}% of {n}.", "Find {p} percent of {n}.", "How much is {p}% of {n}?",
        "What is {p} percent of {n}?",
    ),
    new=("Compute {p} percent of {n}.", "{p}% of {n} is how much?", "Take {p}% of {n}."),
    fresh=(
        "{p}% out of {n} is what number?", "If I pay {p}% of {n} euros, how many euros is that?",
        "Work out {p} per cent of {n}.", "A tip of {p}% on a bill of {n} dollars is how many dollars?",
    ),
)  # fmt: skip
_LIMIT = Wording(
    seen=(
        "What is the limit of {e} as {v} approaches {a}?", "Find the limit of {e} as {v} goes to {a}.",
        "Compute the limit of {e} as {v} -> {a}.",
        "Evaluate the limit as {v} approaches {a} of {e}.",
    ),
    new=("What does {e} tend to as {v} approaches {a}?", "Determine the limit of {e} when {v} tends to {a}."),
    fresh=(
        "As {v} gets close to {a}, {e} gets close to what number?", "Let {v} go to {a}. What is the limit of {e}?",
        "lim {v}->{a} of {e} = ?",
    ),
)  # fmt: skip


def _question(
    topic: str, wording: Wording, rng: np.random.Generator, phrasing: Phrasing, slots: dict[str, object], verifier: Verifier
) -> Question:
    prompt = wording.say(rng, phrasing, slots)
    return Question(prompt=prompt, field=FIELD, topic=topic, phrasing=phrasing, verifier=verifier)


def _show(rng: np.random.Generator, p: poly.Polynomial, v: str) -> str:
    return poly.text(p, v, star=rng.random() < 0.25)


def _random_polynomial(rng: np.random.Generator, degree: int) -> poly.Polynomial:
    low = [integer(rng, -9, 9) if rng.random() < 0.75 else 0 for _ in range(degree)]
    return (*low, integer(rng, 1, 9))


def linear(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """a v + b = c v + d with an integer root."""
    v, root, a, b = pick(rng, _VARIABLES), integer(rng, -15, 15), nonzero(rng, 12), nonzero(rng, 30)
    c = nonzero(rng, 6) if rng.random() < 0.35 else 0
    if a == c:
        a += 1 if a != -1 else 2
    right = poly.text(((a - c) * root + b, c), v)
    return _question(
        "linear", _SOLVE, rng, phrasing, {"eq": f"{_show(rng, (b, a), v)} = {right}", "v": v}, NumberSet(values=(float(root),))
    )


def quadratic(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """k (v - r)(v - s) = 0."""
    v, r, s = pick(rng, _VARIABLES), integer(rng, -9, 9), integer(rng, -9, 9)
    p = poly.multiply((pick(rng, (1, 1, 1, 2, 3)),), poly.multiply((-r, 1), (-s, 1)))
    shown = _show(rng, p, v)
    truth = NumberSet(values=tuple(float(x) for x in sorted({r, s})))
    return _question("quadratic", _ROOTS, rng, phrasing, {"eq": f"{shown} = 0", "p": shown, "v": v}, truth)


def system(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Two linear equations in two unknowns with integer solution."""
    u, v = pick(rng, (("x", "y"), ("x", "y"), ("a", "b"), ("p", "q")))
    x, y = integer(rng, -9, 9), integer(rng, -9, 9)
    while True:
        a, b, c, d = (nonzero(rng, 6) for _ in range(4))
        if a * d != b * c:
            break
    first, second = (_pair(m, n, u, v) + f" = {m * x + n * y}" for m, n in ((a, b), (c, d)))
    truth = NumberSet(values=tuple(float(z) for z in sorted({x, y})))
    return _question("system", _SYSTEM, rng, phrasing, {"a": first, "b": second, "u": u, "v": v}, truth)


def _pair(a: int, b: int, u: str, v: str) -> str:
    left = poly.text((0, a), u)
    return f"{left} {'-' if b < 0 else '+'} {poly.text((0, abs(b)), v)}"


def derivative(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Derivative of a polynomial."""
    v = pick(rng, _VARIABLES[:5])
    p = _random_polynomial(rng, integer(rng, 2, 4))
    truth = Expression(expression=poly.text(poly.derivative(p), v), variable=v)
    return _question("derivative", _DERIVE, rng, phrasing, {"p": _show(rng, p, v), "v": v}, truth)


def slope(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Derivative of a polynomial at a point."""
    v, x = pick(rng, _VARIABLES[:5]), integer(rng, -4, 6)
    p = _random_polynomial(rng, integer(rng, 2, 3))
    truth = Numeric(value=float(poly.value(poly.derivative(p), x)))
    return _question("slope", _SLOPE, rng, phrasing, {"p": _show(rng, p, v), "v": v, "x": x}, truth)


def antiderivative(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Indefinite integral of a polynomial."""
    v = pick(rng, _VARIABLES[:5])
    p = _random_polynomial(rng, integer(rng, 1, 3))
    truth = Expression(expression=poly.antiderivative_text(p, v), variable=v, up_to_constant=True)
    return _question("antiderivative", _ANTIDERIVE, rng, phrasing, {"p": _show(rng, p, v), "v": v}, truth)


def area(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Definite integral of a polynomial."""
    v, a = pick(rng, _VARIABLES[:5]), integer(rng, -3, 3)
    b = a + integer(rng, 1, 5)
    p = _random_polynomial(rng, integer(rng, 1, 3))
    truth = Numeric(value=float(poly.integral(p, a, b)))
    return _question("area", _AREA, rng, phrasing, {"p": _show(rng, p, v), "a": a, "b": b, "v": v}, truth)


def expand(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Product of two linear factors, expanded."""
    v = pick(rng, _VARIABLES)
    f, g = (nonzero(rng, 9), integer(rng, 1, 4)), (nonzero(rng, 9), integer(rng, 1, 4))
    shown = f"({poly.text(f, v)})({poly.text(g, v)})" if rng.random() < 0.7 else f"({poly.text(f, v)})*({poly.text(g, v)})"
    truth = Expression(expression=poly.text(poly.multiply(f, g), v), variable=v)
    return _question("expand", _EXPAND, rng, phrasing, {"p": shown}, truth)


def factor(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Product of two linear factors, to be factored again."""
    v = pick(rng, _VARIABLES)
    p = poly.multiply((nonzero(rng, 9), 1), (nonzero(rng, 9), integer(rng, 1, 3)))
    return _question(
        "factor", _FACTOR, rng, phrasing, {"p": _show(rng, p, v)}, Expression(expression=poly.text(p, v), variable=v)
    )


def evaluate(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Value of a polynomial at a point."""
    v, x = pick(rng, _VARIABLES), integer(rng, -6, 9)
    p = _random_polynomial(rng, integer(rng, 2, 3))
    return _question(
        "evaluate", _VALUE, rng, phrasing, {"p": _show(rng, p, v), "v": v, "x": x}, Numeric(value=float(poly.value(p, x)))
    )


def calculate(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Arithmetic with two or three operations, powers and roots among them."""
    a, b, c = integer(rng, 12, 99), integer(rng, 11, 99), integer(rng, 2, 500)
    kind = integer(rng, 0, 6)
    shown, value = (
        (f"{a} * {b}", Fraction(a * b)),
        (f"{a} * {b} + {c}", Fraction(a * b + c)),
        (f"({a} + {b}) * {c % 20 + 2}", Fraction((a + b) * (c % 20 + 2))),
        (f"{a * b} / {a}", Fraction(b)),
        (f"{a} - {c} + {b}", Fraction(a - c + b)),
        (f"{a % 9 + 2}^{b % 4 + 2}", Fraction((a % 9 + 2) ** (b % 4 + 2))),
        (f"sqrt({a * a})", Fraction(a)),
    )[kind]
    return _question("calculate", _CALCULATE, rng, phrasing, {"e": shown}, Numeric(value=float(value)))


def fractions(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Sum, difference or product of two fractions."""
    a, b = Fraction(integer(rng, 1, 9), integer(rng, 2, 12)), Fraction(integer(rng, 1, 9), integer(rng, 2, 12))
    sign, value = pick(rng, (("+", a + b), ("-", a - b), ("*", a * b)))
    shown = f"{a.numerator}/{a.denominator} {sign} {b.numerator}/{b.denominator}"
    return _question("fractions", _CALCULATE, rng, phrasing, {"e": shown}, Numeric(value=float(value), absolute=2e-3))


def common(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Greatest common divisor or least common multiple."""
    g = integer(rng, 2, 24)
    a, b = g * integer(rng, 2, 15), g * integer(rng, 2, 15)
    names = (
        ("greatest common divisor", "gcd", "greatest common factor") if rng.random() < 0.5 else ("least common multiple", "lcm")
    )
    value = math.gcd(a, b) if names[0].startswith("greatest") else math.lcm(a, b)
    return _question("common", _COMMON, rng, phrasing, {"name": pick(rng, names), "a": a, "b": b}, Numeric(value=float(value)))


def primes(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """Prime factors of a product of small primes."""
    chosen = [pick(rng, (2, 3, 5, 7, 11, 13, 17, 19, 23)) for _ in range(integer(rng, 2, 4))]
    return _question(
        "primes", _PRIMES, rng, phrasing, {"n": math.prod(chosen)}, PrimeFactors(primes=tuple(sorted(set(chosen))))
    )


def percent(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A percentage of a number."""
    p, n = integer(rng, 1, 95), integer(rng, 2, 120) * 10
    return _question("percent", _PERCENT, rng, phrasing, {"p": p, "n": n}, Numeric(value=p * n / 100))


def limit(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """(v - a)(v - b)/(v - a) at a."""
    v, a, b = pick(rng, ("x", "x", "t")), nonzero(rng, 9), nonzero(rng, 9)
    shown = f"({poly.text(poly.multiply((-a, 1), (-b, 1)), v)})/({poly.text((-a, 1), v)})"
    return _question("limit", _LIMIT, rng, phrasing, {"e": shown, "v": v, "a": a}, Numeric(value=float(a - b)))


TOPICS: dict[str, Generator] = {
    "linear": linear, "quadratic": quadratic, "system": system, "derivative": derivative, "slope": slope,
    "antiderivative": antiderivative, "area": area, "expand": expand, "factor": factor, "evaluate": evaluate,
    "calculate": calculate, "fractions": fractions, "common": common, "primes": primes, "percent": percent, "limit": limit,
}  # fmt: skip
