"""Elementary number theory, sums of runs of integers, bases: questions about given integers."""

from __future__ import annotations

import re

import sympy

from kubefugu_experts.engines.algebra.given import ASK, INT, integer, integers
from kubefugu_experts.phrasing import Rounding

_DIVISOR = re.compile(
    ASK + r"(?:\(?gcd\)?|\(?gcf\)?|\(?hcf\)?|(?:greatest|highest|largest) common (?:divisor|factor|"
    r"denominator|measure))(?: \((?:gcd|gcf|hcf)\))?(?: of| for| between)?(?: these|"
    r" the)?(?: following| two| three)*(?: numbers|"
    r" integers)?:? ?\(?([-\d,\s]+(?:and [-\d,\s]+)*)\)?$",
    re.IGNORECASE,
)
_MULTIPLE = re.compile(
    ASK + r"(?:\(?lcm\)?|(?:least|lowest|smallest) common (?:multiple|denominator))(?: \(lcm\))?(?: of|"
    r" for| between)?(?: these| the)?(?: following| two| three)*(?: numbers|"
    r" integers)?:? ?\(?([-\d,\s]+(?:and [-\d,\s]+)*)\)?$",
    re.IGNORECASE,
)


def divisor(text: str, rounding: Rounding) -> str | None:
    """gcd and lcm."""
    for pattern, make, name in (
        (_DIVISOR, sympy.igcd, "greatest common divisor"),
        (_MULTIPLE, sympy.ilcm, "least common multiple"),
    ):
        if match := pattern.match(text):
            numbers = integers(match[1])
            return f"The {name} is {make(*numbers)}." if len(numbers) >= 2 else None
        if match := re.match(r"^(?:for|of|given) (?:the numbers? )?([-\d, ]+(?:and [-\d, ]+)+),? (.+)$", text, re.IGNORECASE):
            return divisor(f"{match[2]} of {match[1].rstrip(', ')}", rounding)
    return None


_PRIME = re.compile(
    rf"^(?:is|was|check (?:if|whether)|determine (?:if|whether)|decide (?:if|whether)|if|"
    rf"whether) (?:the )?(?:number |integer )?{INT} (?:is )?(?:an? )?(prime|composite)(?: number|"
    rf" or composite| or prime| or not| or a composite number)*$",
    re.IGNORECASE,
)
_NEXT = re.compile(
    ASK + rf"(next|first|smallest|previous|largest|nearest|closest)?\s?prime(?: number)? (?:that (?:is|"
    rf"comes) )?(after|following|greater than|larger than|bigger than|above|before|less than|"
    rf"smaller than|below|preceding) {INT}$",
    re.IGNORECASE,
)
_NTH = re.compile(ASK + r"(\d+)(?:st|nd|rd|th) prime(?: number)?$", re.IGNORECASE)
_COUNT = re.compile(
    rf"^(?:count )?(?:how many|number of|the number of|find the number of) prime(?: number)?s?(?: "
    rf"numbers)? (?:are there |there are |are |there )?(?:exist )?(?:(?:between|"
    rf"from) {INT} (?:and|to) {INT}|(?:below|less than|smaller than|under|up to|"
    rf"not greater than) {INT})(?: ?\(?(?:inclusive|both included)\)?)?(?: are there)?$",
    re.IGNORECASE,
)


def primes(text: str, rounding: Rounding) -> str | None:
    """Is 97 prime? The next prime after 100; how many primes are between 10 and 50."""
    if match := _PRIME.match(text):
        number = integer(match[1])
        prime = bool(sympy.isprime(number))
        yes = prime == (match[2].lower() == "prime")
        reason = "" if prime or number < 4 else f": it is divisible by {min(sympy.primefactors(number))}"
        return f"{'Yes' if yes else 'No'}, {number} is {'a' if prime else 'not a'} prime number{reason}."
    if match := _NEXT.match(text):
        number = integer(match[3])
        after = match[2].lower() in ("after", "following", "greater than", "larger than", "bigger than", "above")
        if not after and number <= 2:
            return "There is no smaller prime number."
        return f"It is {sympy.nextprime(number) if after else sympy.prevprime(number)}."
    if match := _NTH.match(text):
        return f"It is {sympy.prime(integer(match[1]))}." if 1 <= integer(match[1]) <= 100_000 else None
    if match := _COUNT.match(re.sub(r"^count how many", "how many", text, flags=re.IGNORECASE)):
        low, high = (integer(match[1]), integer(match[2])) if match[1] else (2, integer(match[3]))
        if not match[1] and re.search(r"below|less|smaller|under", text, re.IGNORECASE):
            high -= 1
        if high > 5_000_000:
            return None
        return f"There are {int(sympy.primepi(high)) - int(sympy.primepi(low - 1))} prime numbers."
    return None


_FACTORS = re.compile(
    ASK + rf"(?:prime factori[sz]ation|prime factors?|prime decomposition|factor(?:ize|"
    rf"ise)? (?:the )?(?:number|integer)|factor(?:ize|ise)?|decompose)(?: of|"
    rf" for)?(?: the)?(?: number| integer)? {INT}(?: into(?: its)? primes?(?: "
    rf"factors)?)?(?:[. ]*\(?[Ww]rite.*)?$",
    re.IGNORECASE,
)
_DIVIDING = re.compile(
    rf"^(?:which|what) (?:primes?|prime numbers?|prime factors?) (?:divide|divides|does|do) {INT}(?: have)?$", re.IGNORECASE
)
_AS_PRIMES = re.compile(
    rf"^(?:write|express|split|decompose|give|show) (?:the )?(?:number )?{INT} (?:as|"
    rf"into) (?:an? |its |the )?(?:product of )?(?:its )?(?:primes?|prime factors|prime numbers|"
    rf"prime factori[sz]ation)$",
    re.IGNORECASE,
)
_DIVISORS = re.compile(
    rf"^(?:(?:find|compute|calculate|determine|what is|what's|what are|give|get|tell|list|write|"
    rf"name|show) )?(how many |number of |the number of |count )?(?:all |the |all the |positive |"
    rf"distinct )*(?:divisors?|factors?) (?:of|does) (?:the )?(?:number )?{INT}(?: have)?(?: "
    rf"are there)?$",
    re.IGNORECASE,
)


def factors(text: str, rounding: Rounding) -> str | None:
    """Prime factorization and divisors."""
    if match := _FACTORS.match(text) or _AS_PRIMES.match(text) or _DIVIDING.match(text):
        number = integer(match[1])
        if number < 2:
            return None
        found = sympy.factorint(number)
        parts = [str(prime) for prime, power in found.items() for _ in range(power)]
        return (
            f"{number} = {' × '.join(parts)}." if len(parts) > 1 else f"{number} is prime: its only prime factor is {number}."
        )
    if match := _DIVISORS.match(text):
        number = integer(match[2])
        if not 0 < number < 10**15:
            return None
        divisors = sympy.divisors(number)
        if match[1] and "list" not in text.lower():
            return f"There are {len(divisors)} divisors."
        return f"The divisors are {', '.join(map(str, divisors))}." if len(divisors) <= 100 else None
    return None


_REMAINDER = re.compile(
    ASK + rf"remainder (?:when|if|of|after|from)? ?(?:you )?(?:divide |dividing |"
    rf"the division of )?{INT} ?(?:is |gets )?(?:divided )?by {INT}$",
    re.IGNORECASE,
)
_DIVISIBLE = re.compile(
    rf"^(?:is|are|does|check (?:if|whether)|determine (?:if|whether)|if|"
    rf"whether) (?:the number )?{INT} (?:is )?(?:evenly )?(?:divisible by|a multiple of|"
    rf"divide(?:d)? evenly by) {INT}(?: evenly)?$",
    re.IGNORECASE,
)
_DIVIDES = re.compile(
    rf"^(?:does|is) {INT} (?:divide|divides|evenly divide|a (?:factor|divisor) of) {INT}(?: evenly)?$", re.IGNORECASE
)
_EVEN = re.compile(
    rf"^(?:is|check (?:if|whether)|determine (?:if|whether)|if|"
    rf"whether) (?:the number )?{INT} (?:is )?(?:an? )?(even|odd|perfect square|square number|"
    rf"perfect cube)(?: or (?:an? )?(?:odd|even))?(?: number)?$",
    re.IGNORECASE,
)


def divisibility(text: str, rounding: Rounding) -> str | None:
    """Remainders, divisibility, even and odd, perfect squares."""
    if match := _REMAINDER.match(text):
        return f"The remainder is {integer(match[1]) % integer(match[2])}." if integer(match[2]) else None
    if (match := _DIVISIBLE.match(text)) or (match := _DIVIDES.match(text)):
        first, second = integer(match[1]), integer(match[2])
        number, by = (first, second) if match.re is _DIVISIBLE else (second, first)
        if by == 0:
            return None
        return f"{'Yes' if number % by == 0 else 'No'}, {number} is {'' if number % by == 0 else 'not '}divisible by {by}."
    if match := _EVEN.match(text):
        number, kind = integer(match[1]), match[2].lower()
        if kind in ("even", "odd"):
            real = "even" if number % 2 == 0 else "odd"
            return f"{number} is {real}." if " or " in text else f"{'Yes' if real == kind else 'No'}, {number} is {real}."
        root = sympy.integer_nthroot(number, 3 if "cube" in kind else 2)
        return f"{'Yes' if root[1] else 'No'}, {number} is {'' if root[1] else 'not '}a {kind}."
    return None


_SERIES = re.compile(
    ASK + rf"(?:sum|total) of (?:all |the )*(?:(even|odd) )?(?:positive |natural |whole |counting |"
    rf"consecutive )*(?:integers|numbers|whole numbers|natural numbers)(even|odd)? (?:from|"
    rf"between) {INT} (?:to|through|and|up to) {INT}(?: inclusive)?$",
    re.IGNORECASE,
)
_FIRST = re.compile(
    ASK + rf"(?:sum|total) of (?:all )?(?:the )?first {INT} (?:positive |natural )?(even|odd|positive|"
    rf"natural|whole|counting|prime)? ?(?:integers|numbers|naturals|primes)$",
    re.IGNORECASE,
)


def series(text: str, rounding: Rounding) -> str | None:
    """The sum of the integers from 1 to 100; of the first 10 odd numbers."""
    text = re.sub(r"^(?:add up|add|sum(?: up)?) (?=all|the)", "sum of ", text, flags=re.IGNORECASE)
    if match := _SERIES.match(text):
        low, high = integer(match[3]), integer(match[4])
        kind = (match[1] or match[2] or "").lower()
        if kind:
            wanted = 0 if kind == "even" else 1
            low += (low - wanted) % 2
            high -= (high - wanted) % 2
            return f"The sum is {(low + high) * ((high - low) // 2 + 1) // 2 if high >= low else 0}."
        return f"The sum is {(low + high) * (high - low + 1) // 2}."
    if match := _FIRST.match(text):
        number, kind = integer(match[1]), (match[2] or "").lower()
        if kind == "prime" or "primes" in text:
            return f"The sum is {sum(sympy.prime(index) for index in range(1, number + 1))}." if number <= 2000 else None
        total = number * (number + 1) if kind == "even" else number**2 if kind == "odd" else number * (number + 1) // 2
        return f"The sum is {total}."
    return None


_BASES = {
    "binary": 2,
    "octal": 8,
    "decimal": 10,
    "hexadecimal": 16,
    "hex": 16,
    "ternary": 3,
    "base 10": 10,
    "base ten": 10,
    "base two": 2,
}
_BASE = r"(binary|octal|decimal|hexadecimal|hex|ternary|base[- ]?\d{1,2}|base ten|base two)"
_CONVERT = re.compile(
    rf"^(?:(?:convert|change|write|express|translate|what is|what's|"
    rf"turn) )?(?:the )?(?:(?:{_BASE})[- ]?(?:number )?)?(?:number )?((?:0x[0-9a-fA-F]+)|"
    rf"(?:0b[01]+)|[0-9a-zA-Z]+)(?: ?\(?(?:in|from|of)? ?{_BASE}\)?)? (?:to|in|into|"
    rf"as)(?: an?)? {_BASE}(?: number| notation| form| representation)?$",
    re.IGNORECASE,
)
_OF = re.compile(
    rf"^(?:what is |what's |find |give )?(?:the )?{_BASE} (?:representation|form|equivalent|value|"
    rf"notation|for|version)? ?(?:of|for)? ?(?:the )?(?:decimal )?(?:number )?(\d+)$",
    re.IGNORECASE,
)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def bases(text: str, rounding: Rounding) -> str | None:
    """Convert 255 to binary; base-11 number 115 to base-15."""
    text = re.sub(r"^.*\bNow, (?=convert)", "", text)
    if match := _CONVERT.match(text):
        source, digits, target = _base(match[1] or match[3] or ""), match[2].lower(), _base(match[4])
        if digits.startswith("0x"):
            source, digits = 16, digits[2:]
        elif digits.startswith("0b"):
            source, digits = 2, digits[2:]
        elif not digits.isdigit() and source == 10:
            return None
    elif match := _OF.match(text):
        source, digits, target = 10, match[2], _base(match[1])
        if target == 10:
            return None
    else:
        return None
    if not 2 <= source <= 36 or not 2 <= target <= 36 or len(digits) > 100 or source == target:
        return None
    try:
        value = int(digits, source)
    except ValueError:
        return f"{digits} is not a number in base {source}."
    return f"It is {_in_base(value, target)}."


def _base(name: str) -> int:
    name = name.lower()
    return _BASES.get(name) or (int(re.sub(r"\D", "", name)) if re.search(r"\d", name) else 10)


def _in_base(value: int, base: int) -> str:
    digits = ""
    while value:
        value, rest = divmod(value, base)
        digits = _DIGITS[rest] + digits
    return digits or "0"
