"""Elementary number theory, percentages, averages, bases: questions about given numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from statistics import median as middle
from statistics import multimode

import sympy

from kubefugu_experts.engines.algebra.telling import plain, tell_number
from kubefugu_experts.engines.algebra.wording import to_notation
from kubefugu_experts.formulas import FormulaError, parse
from kubefugu_experts.phrasing import Rounding, words_to_digits

_LARGEST = 10**18
_ASK = (
    r"^(?:(?:find|compute|calculate|determine|what is|what's|what are|give|get|tell|list|write|name|"
    r"show|state|work out|do) )?(?:the |all |all the |an? )*"
)
_NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"
_INT = r"(\d[\d,]*)"


def _int(text: str) -> int:
    value = int(text.replace(",", ""))
    if abs(value) > _LARGEST:
        raise FormulaError("too large")
    return value


def _ints(text: str) -> list[int]:
    return [
        _int(number)
        for number in re.findall(r"-?\d+", re.sub(r"(?<=\d),(?=\d{3}\b)", "" if ", " in text or " and " in text else ",", text))
    ]


def _numbers(text: str) -> list[Fraction] | None:
    """A list of numbers and fractions with nothing else between them."""
    text = re.sub(
        r"\band\b|[,;\[\](){}]|\bthe numbers?\b|\bthese\b|\bnumbers?\b|:",
        " ",
        re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))(?=.* )", "", text),
    )
    parts = text.split()
    if (
        not parts
        or not all(re.fullmatch(r"-?\d+(?:\.\d+)?(?:/\d+)?", part) for part in parts)
        or any("/0" in part for part in parts)
    ):
        return None
    return [Fraction(part) for part in parts]


def _tell(value: Fraction, rounding: Rounding, *, decimal: bool = False) -> str:
    return tell_number(sympy.Rational(value.numerator, value.denominator), rounding, decimal=decimal)


_DIVISOR = re.compile(
    _ASK + r"(?:\(?gcd\)?|\(?gcf\)?|\(?hcf\)?|(?:greatest|highest|largest) common (?:divisor|factor|"
    r"denominator|measure))(?: \((?:gcd|gcf|hcf)\))?(?: of| for| between)?(?: these|"
    r" the)?(?: following| two| three)*(?: numbers|"
    r" integers)?:? ?\(?([-\d,\s]+(?:and [-\d,\s]+)*)\)?$",
    re.IGNORECASE,
)
_MULTIPLE = re.compile(
    _ASK + r"(?:\(?lcm\)?|(?:least|lowest|smallest) common (?:multiple|denominator))(?: \(lcm\))?(?: of|"
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
            numbers = _ints(match[1])
            return f"The {name} is {make(*numbers)}." if len(numbers) >= 2 else None
        if match := re.match(r"^(?:for|of|given) (?:the numbers? )?([-\d, ]+(?:and [-\d, ]+)+),? (.+)$", text, re.IGNORECASE):
            return divisor(f"{match[2]} of {match[1].rstrip(', ')}", rounding)
    return None


_PRIME = re.compile(
    rf"^(?:is|was|check (?:if|whether)|determine (?:if|whether)|decide (?:if|whether)|if|"
    rf"whether) (?:the )?(?:number |integer )?{_INT} (?:is )?(?:an? )?(prime|composite)(?: number|"
    rf" or composite| or prime| or not| or a composite number)*$",
    re.IGNORECASE,
)
_NEXT = re.compile(
    _ASK + rf"(next|first|smallest|previous|largest|nearest|closest)?\s?prime(?: number)? (?:that (?:is|"
    rf"comes) )?(after|following|greater than|larger than|bigger than|above|before|less than|"
    rf"smaller than|below|preceding) {_INT}$",
    re.IGNORECASE,
)
_NTH = re.compile(_ASK + r"(\d+)(?:st|nd|rd|th) prime(?: number)?$", re.IGNORECASE)
_COUNT = re.compile(
    rf"^(?:count )?(?:how many|number of|the number of|find the number of) prime(?: number)?s?(?: "
    rf"numbers)? (?:are there |there are |are |there )?(?:exist )?(?:(?:between|"
    rf"from) {_INT} (?:and|to) {_INT}|(?:below|less than|smaller than|under|up to|"
    rf"not greater than) {_INT})(?: ?\(?(?:inclusive|both included)\)?)?(?: are there)?$",
    re.IGNORECASE,
)


def primes(text: str, rounding: Rounding) -> str | None:
    """Is 97 prime? The next prime after 100; how many primes are between 10 and 50."""
    if match := _PRIME.match(text):
        number = _int(match[1])
        prime = bool(sympy.isprime(number))
        yes = prime == (match[2].lower() == "prime")
        reason = "" if prime or number < 4 else f": it is divisible by {min(sympy.primefactors(number))}"
        return f"{'Yes' if yes else 'No'}, {number} is {'a' if prime else 'not a'} prime number{reason}."
    if match := _NEXT.match(text):
        number = _int(match[3])
        after = match[2].lower() in ("after", "following", "greater than", "larger than", "bigger than", "above")
        if not after and number <= 2:
            return "There is no smaller prime number."
        return f"It is {sympy.nextprime(number) if after else sympy.prevprime(number)}."
    if match := _NTH.match(text):
        return f"It is {sympy.prime(_int(match[1]))}." if 1 <= _int(match[1]) <= 100_000 else None
    if match := _COUNT.match(re.sub(r"^count how many", "how many", text, flags=re.IGNORECASE)):
        low, high = (_int(match[1]), _int(match[2])) if match[1] else (2, _int(match[3]))
        if not match[1] and re.search(r"below|less|smaller|under", text, re.IGNORECASE):
            high -= 1
        if high > 5_000_000:
            return None
        return f"There are {int(sympy.primepi(high)) - int(sympy.primepi(low - 1))} prime numbers."
    return None


_FACTORS = re.compile(
    _ASK + rf"(?:prime factori[sz]ation|prime factors?|prime decomposition|factor(?:ize|"
    rf"ise)? (?:the )?(?:number|integer)|factor(?:ize|ise)?|decompose)(?: of|"
    rf" for)?(?: the)?(?: number| integer)? {_INT}(?: into(?: its)? primes?(?: "
    rf"factors)?)?(?:[. ]*\(?[Ww]rite.*)?$",
    re.IGNORECASE,
)
_DIVIDING = re.compile(
    rf"^(?:which|what) (?:primes?|prime numbers?|prime factors?) (?:divide|divides|does|do) {_INT}(?: have)?$", re.IGNORECASE
)
_AS_PRIMES = re.compile(
    rf"^(?:write|express|split|decompose|give|show) (?:the )?(?:number )?{_INT} (?:as|"
    rf"into) (?:an? |its |the )?(?:product of )?(?:its )?(?:primes?|prime factors|prime numbers|"
    rf"prime factori[sz]ation)$",
    re.IGNORECASE,
)
_DIVISORS = re.compile(
    rf"^(?:(?:find|compute|calculate|determine|what is|what's|what are|give|get|tell|list|write|"
    rf"name|show) )?(how many |number of |the number of |count )?(?:all |the |all the |positive |"
    rf"distinct )*(?:divisors?|factors?) (?:of|does) (?:the )?(?:number )?{_INT}(?: have)?(?: "
    rf"are there)?$",
    re.IGNORECASE,
)


def factors(text: str, rounding: Rounding) -> str | None:
    """Prime factorization and divisors."""
    if match := _FACTORS.match(text) or _AS_PRIMES.match(text) or _DIVIDING.match(text):
        number = _int(match[1])
        if number < 2:
            return None
        found = sympy.factorint(number)
        parts = [str(prime) for prime, power in found.items() for _ in range(power)]
        return (
            f"{number} = {' × '.join(parts)}." if len(parts) > 1 else f"{number} is prime: its only prime factor is {number}."
        )
    if match := _DIVISORS.match(text):
        number = _int(match[2])
        if not 0 < number < 10**15:
            return None
        divisors = sympy.divisors(number)
        if match[1] and "list" not in text.lower():
            return f"There are {len(divisors)} divisors."
        return f"The divisors are {', '.join(map(str, divisors))}." if len(divisors) <= 100 else None
    return None


_REMAINDER = re.compile(
    _ASK + rf"remainder (?:when|if|of|after|from)? ?(?:you )?(?:divide |dividing |"
    rf"the division of )?{_INT} ?(?:is |gets )?(?:divided )?by {_INT}$",
    re.IGNORECASE,
)
_DIVISIBLE = re.compile(
    rf"^(?:is|are|does|check (?:if|whether)|determine (?:if|whether)|if|"
    rf"whether) (?:the number )?{_INT} (?:is )?(?:evenly )?(?:divisible by|a multiple of|"
    rf"divide(?:d)? evenly by) {_INT}(?: evenly)?$",
    re.IGNORECASE,
)
_DIVIDES = re.compile(
    rf"^(?:does|is) {_INT} (?:divide|divides|evenly divide|a (?:factor|divisor) of) {_INT}(?: evenly)?$", re.IGNORECASE
)
_EVEN = re.compile(
    rf"^(?:is|check (?:if|whether)|determine (?:if|whether)|if|"
    rf"whether) (?:the number )?{_INT} (?:is )?(?:an? )?(even|odd|perfect square|square number|"
    rf"perfect cube)(?: or (?:an? )?(?:odd|even))?(?: number)?$",
    re.IGNORECASE,
)


def divisibility(text: str, rounding: Rounding) -> str | None:
    """Remainders, divisibility, even and odd, perfect squares."""
    if match := _REMAINDER.match(text):
        return f"The remainder is {_int(match[1]) % _int(match[2])}." if _int(match[2]) else None
    if (match := _DIVISIBLE.match(text)) or (match := _DIVIDES.match(text)):
        number, by = (_int(match[1]), _int(match[2])) if match.re is _DIVISIBLE else (_int(match[2]), _int(match[1]))
        if by == 0:
            return None
        return f"{'Yes' if number % by == 0 else 'No'}, {number} is {'' if number % by == 0 else 'not '}divisible by {by}."
    if match := _EVEN.match(text):
        number, kind = _int(match[1]), match[2].lower()
        if kind in ("even", "odd"):
            real = "even" if number % 2 == 0 else "odd"
            return f"{number} is {real}." if " or " in text else f"{'Yes' if real == kind else 'No'}, {number} is {real}."
        root = sympy.integer_nthroot(number, 3 if "cube" in kind else 2)
        return f"{'Yes' if root[1] else 'No'}, {number} is {'' if root[1] else 'not '}a {kind}."
    return None


_PERCENT_OF = re.compile(
    rf"^(?:{_NUMBER} is what (?:percent(?:age)?|%) of {_NUMBER}|(?:what|which) (?:percent(?:age)?|"
    rf"%) (?:of {_NUMBER} is {_NUMBER}|is {_NUMBER} (?:out )?of {_NUMBER}))$",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    _ASK + rf"(?:percent(?:age)?|%) (change|increase|decrease|difference)(?: when (?:something )?(?:going|"
    rf"it goes))? (?:from|between) {_NUMBER} (?:to|and) {_NUMBER}$",
    re.IGNORECASE,
)
_BY_PERCENT = re.compile(
    rf"^(?:what is |what's )?(?:(increase|decrease|reduce|raise|"
    rf"discount) {_NUMBER} by {_NUMBER} ?(?:%|percent)|{_NUMBER} (increased|decreased|reduced|"
    rf"raised|discounted) by {_NUMBER} ?(?:%|percent))$",
    re.IGNORECASE,
)
_OF_WHAT = re.compile(rf"^{_NUMBER} is {_NUMBER} ?(?:%|percent) of (?:what|which)(?: number)?$", re.IGNORECASE)
_AS = re.compile(
    r"^(?:convert |write |express |change |turn |what is |what's |how (?:do|would) (?:you|"
    r"i) write )?(?:the )?(?:fraction |decimal |number |percentage )?(-?\d[\d,]*(?:\.\d+)?(?: ?/ "
    r"?\d+)?) ?(%|percent)? (?:as|to|in|into) (?:an? )?(?:exact |simplified |reduced |"
    r"its )?(decimal|fraction|percent|percentage|mixed number|lowest terms|simplest form|"
    r"simplest terms)(?: number| form| notation)?(?: in (?:lowest terms|simplest form|"
    r"its simplest form|simplest terms))?$",
    re.IGNORECASE,
)


def percent(text: str, rounding: Rounding) -> str | None:
    """Percentages, and fractions, decimals and percentages as each other."""
    if match := _PERCENT_OF.match(text):
        part, whole = (match[1], match[2]) if match[1] else (match[4], match[3]) if match[3] else (match[5], match[6])
        part_value, whole_value = _fraction(part), _fraction(whole)
        return f"It is {_tell(100 * part_value / whole_value, rounding, decimal=True)}%." if whole_value else None
    if match := _CHANGE.match(text):
        old, new = _fraction(match[2]), _fraction(match[3])
        change = 100 * (new - old) / old
        return f"It is {'an increase' if change >= 0 else 'a decrease'} of {_tell(abs(change), rounding, decimal=True)}%."
    if match := _BY_PERCENT.match(text):
        word, base, rate = (match[1], match[2], match[3]) if match[1] else (match[5], match[4], match[6])
        sign = 1 if word.lower().startswith(("increase", "raise")) else -1
        return f"It is {_tell(_fraction(base) * (1 + sign * _fraction(rate) / 100), rounding, decimal=True)}."
    if match := _OF_WHAT.match(text):
        return f"It is {_tell(100 * _fraction(match[1]) / _fraction(match[2]), rounding, decimal=True)}."
    if match := _AS.match(text):
        value = Fraction(re.sub(r"[ ,]", "", match[1])) / (100 if match[2] else 1)
        kind = match[3].lower()
        if kind == "decimal":
            exact = Decimal(value.numerator) / Decimal(value.denominator)
            return f"It is {rounding.apply(exact) or plain(Decimal(f'{float(value):.10g}') if _repeats(value) else exact)}."
        if kind in ("percent", "percentage"):
            return f"It is {_tell(100 * value, rounding, decimal=True)}%."
        if kind == "mixed number" and abs(value) > 1 and value.denominator > 1:
            whole = int(value)
            return f"It is {whole} {abs(value - whole)}."
        return f"It is {value}."
    return None


def _repeats(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1


def _fraction(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


_AVERAGE = re.compile(
    _ASK + r"(average|(?:arithmetic )?mean|median|mode|sum|total|product|maximum|minimum|largest|"
    r"smallest|range|max|min|greatest|biggest|lowest|highest|least)(?: value| number)?(?: of| for|"
    r" between| among| in)?(?: the)?(?: following)?(?: numbers?| values?| integers?| list|"
    r" set)*:? ?(-?\d.*)$",
    re.IGNORECASE,
)


def statistics(text: str, rounding: Rounding) -> str | None:
    """Average, median, mode, sum, product, largest and smallest of a list."""
    match = _AVERAGE.match(text)
    if match is None:
        return None
    values = _numbers(match[2])
    if values is None or len(values) < 2 or len(values) > 200:
        return None
    kind = match[1].lower().removeprefix("arithmetic ")
    if kind == "mode":
        modes = multimode(values)
        return (
            f"The mode is {' and '.join(_tell(mode, rounding, decimal=True) for mode in modes)}."
            if len(modes) < len(values)
            else "There is no mode: every value occurs once."
        )
    makers: dict[str, Callable[[list[Fraction]], Fraction]] = {
        "average": lambda items: sum(items, Fraction(0)) / len(items),
        "mean": lambda items: sum(items, Fraction(0)) / len(items),
        "median": middle,
        "sum": lambda items: sum(items, Fraction(0)),
        "total": lambda items: sum(items, Fraction(0)),
        "product": _product,
        "range": lambda items: max(items) - min(items),
    }
    large = kind in ("maximum", "largest", "max", "greatest", "biggest", "highest")
    value = makers[kind](values) if kind in makers else max(values) if large else min(values)
    return f"The {kind} is {_tell(value, rounding, decimal='.' in match[2] or kind in ('average', 'mean', 'median'))}."


def _product(items: list[Fraction]) -> Fraction:
    result = Fraction(1)
    for item in items:
        result *= item
    return result


_COMPARE = re.compile(
    r"^(?:which|what)(?: number| one| fraction| value)?(?: of (?:these|the following|"
    r"the two))?(?: is| are)?(?: the)? (larger|bigger|greater|smaller|less|lesser|largest|biggest|"
    r"greatest|smallest|least|higher|lower|more)(?: number| fraction| value| one)?[:,]? ?(?:of |"
    r"between |among )?(.+)$",
    re.IGNORECASE,
)
_IS_MORE = re.compile(
    r"^(?:is|are|if|whether) (.+?) (?:is )?(larger|bigger|greater|smaller|less|more|higher|lower) than (.+)$", re.IGNORECASE
)
_PICK = re.compile(r"^(?:.*\b)?pick the (largest|smallest) number of the following candidates: (.+)$", re.IGNORECASE)


def compare(text: str, rounding: Rounding) -> str | None:
    """Which is larger, 3/4 or 2/3? Is 0.5 less than 2/5?"""
    if match := _PICK.match(text) or _COMPARE.match(text):
        pieces = match[2].split() if match.re is _PICK else re.split(r",? or |, (?!\d{3}\b)| and ", match[2])
        values = [_value(piece) for piece in pieces]
        if len(values) < 2:
            return None
        small = match[1].lower() in ("smaller", "less", "lesser", "smallest", "least", "lower")
        if len(set(values)) == 1:
            return "They are equal."
        best = (min if small else max)(range(len(values)), key=lambda number: values[number])
        return f"{pieces[best].strip()} is {match[1].lower()}."
    if match := _IS_MORE.match(text):
        left, right = _value(match[1]), _value(match[3])
        small = match[2].lower() in ("smaller", "less", "lower")
        yes = left < right if small else left > right
        return (
            f"{'Yes' if yes else 'No'}, {match[1].strip()} {'<' if left < right else '=' if left == right else '>'}"
            f" {match[3].strip()}."
        )
    return None


def _value(text: str) -> float:
    from kubefugu_experts.engines.algebra.convert import to_sympy

    expression = to_sympy(parse(to_notation(text)))
    if not expression.is_number or not expression.is_real:
        raise FormulaError("no number")
    return float(expression)


_SERIES = re.compile(
    _ASK + rf"(?:sum|total) of (?:all |the )*(?:(even|odd) )?(?:positive |natural |whole |counting |"
    rf"consecutive )*(?:integers|numbers|whole numbers|natural numbers)(even|odd)? (?:from|"
    rf"between) {_INT} (?:to|through|and|up to) {_INT}(?: inclusive)?$",
    re.IGNORECASE,
)
_FIRST = re.compile(
    _ASK + rf"(?:sum|total) of (?:all )?(?:the )?first {_INT} (?:positive |natural )?(even|odd|positive|"
    rf"natural|whole|counting|prime)? ?(?:integers|numbers|naturals|primes)$",
    re.IGNORECASE,
)


def series(text: str, rounding: Rounding) -> str | None:
    """The sum of the integers from 1 to 100; of the first 10 odd numbers."""
    text = re.sub(r"^(?:add up|add|sum(?: up)?) (?=all|the)", "sum of ", text, flags=re.IGNORECASE)
    if match := _SERIES.match(text):
        low, high = _int(match[3]), _int(match[4])
        kind = (match[1] or match[2] or "").lower()
        if kind:
            wanted = 0 if kind == "even" else 1
            low += (low - wanted) % 2
            high -= (high - wanted) % 2
            return f"The sum is {(low + high) * ((high - low) // 2 + 1) // 2 if high >= low else 0}."
        return f"The sum is {(low + high) * (high - low + 1) // 2}."
    if match := _FIRST.match(text):
        number, kind = _int(match[1]), (match[2] or "").lower()
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


_ROUND = re.compile(rf"^(?:round(?: off| up| down)?|what is|what's) (?:the number )?{_NUMBER}(?: rounded)?$", re.IGNORECASE)


def rounded(text: str, rounding: Rounding) -> str | None:
    """Round 3.14159 to two decimal places."""
    match = _ROUND.match(words_to_digits(text))
    if match is None or (rounding.decimals is None and rounding.significant is None):
        return None
    if rounding.decimals is not None and rounding.decimals < 0:
        quantum = Decimal(1).scaleb(-rounding.decimals)
        value = (Decimal(match[1].replace(",", "")) / quantum).to_integral_value(rounding="ROUND_HALF_UP") * quantum
        return f"It is {value:f}."
    return f"It is {rounding.apply(Decimal(match[1].replace(',', '')))}."
