"""Free wording as plain requests: what is to be done, and with what, wherever both stand in the question.

The requests are worded as the narrow readers of this package understand them ("differentiate 3*x^2").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubefugu_experts.engines.algebra.operands import Operands, find_operands
from kubefugu_experts.phrasing.meaning import meant, operation

_FOREIGN = re.compile(
    r"\b(?:jan(?:uary)?|feb(?:ruary)?|march|april|june|july|"
    r"aug(?:ust)?|sept(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|"
    r"years?|dates?|days?|weeks?|months?|hours?|minutes?|century|o'clock|am|pm|celsius|fahrenheit|degrees?|"
    r"integers?|whole numbers?|"
    r"truth|tautology|satisf(?:y|iable)|(?:un)?true|false|consecutive|legs|heads|numbers (?:add|sum|differ|have|whose|"
    r"with|are)|function does|"
    r"code|python|sql)\b|"
    r"->|\d{4}-\d\d-\d\d|\d+/\d+/\d+|def \w+\(",
    re.IGNORECASE,
)
_MONEY = re.compile(r"[$€£]| ?\b(?:dollars?|euros?|usd|eur|bucks)\b", re.IGNORECASE)
_VALUE = re.compile(
    r"\b(?:values?|evaluat\w*|plug\w*|put\w*|substitut\w*|insert\w*|comes?|comput\w*|calculat\w*|find|tell|give|get|"
    r"equals?|what|"
    r"how (?:large|big|much|many|high)|work out|result)\b|[a-zA-Z]\(-?\d",
    re.IGNORECASE,
)
_ON_FORMULAS = (
    operation(
        "differentiate",
        (3, r"(?:first |1st )?derivatives?|differentiat\w*|d/d[a-z]|dy/dx"),
        (3, r"slopes?|gradient|rates? of change|steep\w*|tangent line"),
        (3, r"how (?:fast|quickly)\b.*\bchang\w*"),
        (3, r"[a-zA-Z]'\("),
    ),
    operation("second", (5, r"(?:second|2nd) derivative"), (5, r"differentiat\w* twice"), (5, r"[a-zA-Z]''\(")),
    operation(
        "integrate",
        (3, r"integra\w*|area (?:under|below|beneath)|primitive"),
        (4, r"anti-?derivatives?"),
        (5, r"(?:has|have) .{1,20} as (?:its|their|a|the) derivative|whose derivative"),
    ),
    operation("limit", (4, r"limits?|lim|approach(?:es)?|tends? to|tending to|without bound|goes? to (?:0|zero|infinity)")),
    operation(
        "factor",
        (3, r"factor\w*|as (?:a |the )?product"),
        (2, r"into (?:a )?(?:factors|product|brackets)|common factors?"),
    ),
    operation(
        "expand",
        (3, r"expan\w*|multipl\w+ (?:it |this |that |everything )?out|distribut\w*|as a (?:sum|polynomial)|open the"),
        (3, r"(?:without|get rid of|remov\w+|drop\w*|clear\w*)(?: the| any)? (?:brackets|parenthes[ei]s)"),
    ),
    operation(
        "simplify",
        (2, r"simpl\w*|boils? down|reduc\w*|tidy|shorte\w+|condens\w+|like terms|combin\w+|collect\w*|clean up"),
    ),
    operation(
        "roots",
        (3, r"roots?|zero(?:s|es)|x-?intercepts?|cross\w*|hits?|meets? the x|vanish\w*|solutions?"),
        (3, r"equal(?:s|ling)?(?: to)? (?:0|zero)|(?:become|is|be)s? (?:0|zero)|gives? zero"),
    ),
)
_SOLVING = re.compile(
    r"\b(?:solv\w*|solutions?|roots?|zeros?|values?|find|determin\w*|work out|which|what|how (?:much|large|big)|get|unknowns?|"
    r"satisf\w*|"
    r"isolat\w*|make \w the subject|tell me|need|so [a-z] is|calculat\w*|comput\w*)\b",
    re.IGNORECASE,
)
_ON_NUMBERS = (
    operation(
        "gcd",
        (5, r"(?:g\.?c\.?d|g\.?c\.?f|h\.?c\.?f)\b|common (?:divisor|factor)"),
        (4, r"(?:biggest|largest|greatest|highest)\b.*\b(?:divid\w+|goes into|fits? into)"),
    ),
    operation(
        "lcm",
        (5, r"l\.?c\.?m\b|common multiple|(?:smallest|least|lowest|first)\b.*\bmultiple"),
        (4, r"(?:smallest|least|lowest)\b.*\b(?:divid\w+|divisible|go(?:es)? into)"),
    ),
    operation(
        "prime factors",
        (5, r"prime factor\w*|(?:into|as|of|product of) (?:its |the )?primes?|primes? (?:multipl\w+|divid\w+|make)"),
    ),
    operation("is prime", (3, r"primes?(?: number)?\b|composite"),),
    operation("mean", (4, r"mean(?! )|mean (?:of|value)|averages?")),
    operation("median", (4, r"medians?")),
    operation("remainder", (4, r"remainders?|modul\w+|left(?:over| over)?\b.*\bdivid\w+|divid\w+\b.*\bleft")),
    operation("percentage", (3, r"(?:what|which|how many|as a|the) (?:percent\w*|%)|percentage")),
    operation("sum", (2, r"sum|add(?:ed|ing|s)?|total|together|plus|sum up")),
    operation("difference", (2, r"difference|subtract\w*|minus|take\b.*\b(?:away|from)|less than|deduct\w*")),
    operation("product", (2, r"product|multipl\w*|times")),
    operation("quotient", (2, r"quotient|divid\w*|split\w*|goes into")),
    operation("square root", (4, r"(?:square )?root|squared? (?:gives|equals|is|makes)|times itself")),
    operation("cube root", (6, r"cube root|cubed? (?:gives|equals|is|makes)")),
    operation("square", (3, r"(?:the )?square of|squared$")),
    operation("cube", (3, r"(?:the )?cube of|cubed$")),
    operation("power", (4, r"raised to|power")),
    operation("decimal", (3, r"decimals?(?! places?)")),
    operation("fraction", (3, r"(?:as|to|into|in) (?:an? |the )?(?:\w+ )?fraction|ratio of integers|lowest terms")),
    operation(
        "reduce",
        (4, r"(?:reduc\w+|simplif\w+|cancel\w*|lowest terms)\b.*\bfraction"),
        (4, r"fraction\b.*\b(?:reduc|simpl|cancel|lowest)\w*"),
    ),
    operation("binary", (4, r"binary|base (?:2|two)\b")),
    operation("larger", (3, r"larger|bigger|greater|largest|biggest|higher|more")),
    operation("smaller", (3, r"smaller|smallest|lesser|lower|less(?! than)")),
)  # fmt: skip
_UP = re.compile(r"\b(?:goes up|increas\w*|rais\w*|grow\w*|rises?|rising|add|more|up by|mark\w* up)\b", re.IGNORECASE)
_DOWN = re.compile(
    r"\b(?:goes down|decreas\w*|reduc\w*|lower\w*|discount\w*|drop\w*|falls?|cut|off|less|down by)\b", re.IGNORECASE
)


def requests(text: str) -> Iterator[str]:
    """Plain requests that mean the same, the likeliest first; none where the meaning is not certain."""
    if _FOREIGN.search(text):
        return
    operands = find_operands(_MONEY.sub("", text))
    if operands.equations or operands.expressions:
        yield from _on_formulas(operands)
    elif not operands.counted:
        yield from _on_numbers(operands)


def _on_formulas(operands: Operands) -> Iterator[str]:
    name = meant(operands.text, _ON_FORMULAS)
    if operands.equations:
        asked = _SOLVING.search(operands.text) or len(_letters(" ".join(operands.equations))) == 1
        if name in (None, "roots", "factor", "simplify") and asked and not operands.expressions:
            yield f"solve {', '.join(operands.equations)}{_wished(operands)}"
        return
    if len(operands.expressions) != 1:
        return
    body = operands.expressions[0]
    point = next(iter(operands.values.items()), None) or next((("x", value) for value in operands.calls), None)
    if name == "differentiate" and point is not None:
        yield f"if f({_letter(body)}) = {body}, what is f'({point[1]})"
    elif name == "second":
        yield f"what is the second derivative of {body}"
    elif name == "integrate" and (bounds := _bounds(operands)):
        yield f"what is the integral of {body} from {bounds[0]} to {bounds[1]}"
    elif name == "limit":
        yield from _limit(operands, body)
    elif name == "roots":
        yield f"find the roots of {body}"
    elif name is None and point is not None and _VALUE.search(operands.text):
        values = operands.values or {_letter(body): point[1]}
        yield f"evaluate {body} at {', '.join(f'{letter} = {value}' for letter, value in values.items())}"
    elif name is not None and point is None:
        yield f"{name} {body}"


def _letters(body: str) -> set[str]:
    return set(re.findall(r"(?<![a-z])[a-zA-Z](?![a-z])", body))


def _letter(body: str) -> str:
    letters = re.findall(r"(?<![a-z])[a-zA-Z](?![a-z])", body)
    return "x" if "x" in letters else letters[0]


def _wished(operands: Operands) -> str:
    """The variable that is asked for, where there is one equation with several."""
    if len(operands.equations) != 1:
        return ""
    letters = set(re.findall(r"(?<![a-z])[a-zA-Z](?![a-z])", operands.equations[0]))
    found = re.findall(r"\b(?:for|is|of|determine|find|get|what|out|isolate|make) ([a-zA-Z])\b(?! ?[-+*/=])", operands.text)
    wished = [letter for letter in found if letter in letters]
    return f" for {wished[0]}" if wished and len(letters) > 1 else ""


def _bounds(operands: Operands) -> tuple[str, str] | None:
    match = re.search(
        r"\b(?:from|between) (?:[a-z] ?= ?)?(-?[\d.]+|pi) "
        r"(?:to|and|until|up to) (?:[a-z] ?= ?)?(-?(?:\d+(?:\.\d+)?|pi|infinity))",
        operands.text,
    )
    return (match[1], match[2]) if match else None


def _limit(operands: Operands, body: str) -> Iterator[str]:
    text = operands.text.replace(body, " ", 1)
    if re.search(r"without bound|infinit|arbitrarily large", text):
        point = "-infinity" if re.search(r"(?:minus|negative|-) ?infinit", text) else "infinity"
    elif match := re.search(r"\b[a-z] (?:\w+ ){0,2}(?:to|approach\w*|towards?|near|nears) (-?[\d.]*\d|zero|pi)", text):
        point = "0" if match[1] == "zero" else match[1]
    else:
        return
    yield f"limit of {body} as {_letter(body)} approaches {point}"


def _on_numbers(operands: Operands) -> Iterator[str]:
    numbers, text = operands.numbers, operands.text
    if operands.percents:
        if len(operands.percents) == 1 and len(set(numbers)) == 1:
            yield _by_percent(text, operands.percents[0], numbers[0])
        return
    name = meant(text, _ON_NUMBERS)
    if (
        name is None
        and "round" not in text
        and len(operands.sums) == 1
        and re.search(r"[-+*/^] | [-+*/^]|\^|\*", operands.sums[0])
    ):
        yield f"what is {operands.sums[0]}"
    elif len(numbers) == 1 and name is not None:
        yield from _on_one(name, numbers[0], text)
    elif len(numbers) >= 2 and name is not None:
        yield from _on_several(name, numbers, text)


def _by_percent(text: str, percent: str, number: str) -> str:
    of = re.search(rf"{re.escape(percent)} ?(?:%|per ?cent) of\b", text, re.IGNORECASE)
    if not of and _UP.search(text):
        return f"increase {number} by {percent}%"
    if not of and _DOWN.search(text):
        return f"decrease {number} by {percent}%"
    return f"{percent}% of {number}"


def _on_one(name: str, number: str, text: str) -> Iterator[str]:
    """What can be asked of one number."""
    power = re.search(
        r"\b(second|third|fourth|fifth|sixth|seventh|eighth) power|power (?:of )?(second|third|fourth|fifth)", text
    )
    plain = {
        "prime factors": f"prime factorization of {number}",
        "square root": f"square root of {number}",
        "cube root": f"cube root of {number}",
        "square": f"{number}^2",
        "cube": f"{number}^3",
        "power": f"{number} to the {power[1] or power[2]} power" if power else "",
        "decimal": f"write {number} as a decimal" if "/" in number else "",
        "fraction": f"convert {number} to a fraction" if "." in number else f"simplify {number}" if "/" in number else "",
        "reduce": f"simplify {number}" if "/" in number else "",
        "binary": f"convert {number} to binary",
    }
    if name == "is prime" and not re.search(
        r"\b(?:next|after|before|previous|below|first|how many|\d+(?:th|st|nd|rd))\b", text
    ):
        yield f"is {number} prime"
    elif plain.get(name):
        yield plain[name]


def _on_several(name: str, numbers: tuple[str, ...], text: str) -> Iterator[str]:
    """What can be asked of two numbers and more."""
    listed = ", ".join(numbers[:-1]) + f" and {numbers[-1]}"
    of_all = {"gcd": "gcd of", "lcm": "lcm of", "mean": "average of", "median": "median of"}
    if name in of_all:
        yield f"what is the {of_all[name]} {listed}"
    elif name == "sum" and (len(numbers) == 2 or re.search(r"\b(?:sum|total|together)\b", text)):
        yield f"what is {' + '.join(numbers)}"
    elif name in ("larger", "smaller"):
        if re.search(r"\b(?:which|what|whether|is|or)\b", text):
            yield f"which is {name}, {' or '.join(numbers)}"
    elif len(numbers) == 2:
        yield from _on_two(name, *numbers, text=text)


def _on_two(name: str, one: str, two: str, *, text: str) -> Iterator[str]:
    if name == "product":
        yield f"what is {one} * {two}"
    elif name == "difference":
        turned = re.search(rf"{re.escape(one)} (?:away )?from", text)
        yield f"what is {two} - {one}" if turned else f"what is {one} - {two}"
    elif name == "quotient":
        turned = re.search(r"\b(?:goes|go|fits?|divided?) into\b", text)
        yield f"what is {two} / {one}" if turned else f"what is {one} / {two}"
    elif name == "remainder":
        yield f"what is the remainder when {one} is divided by {two}"
    elif name == "power":
        yield f"{one} to the power of {two}"
    elif name == "percentage":
        of_first = re.search(rf"\bof {re.escape(one)}\b", text) and not re.search(rf"\bof {re.escape(two)}\b", text)
        part, whole = (two, one) if of_first else (one, two)
        yield f"{part} is what percent of {whole}"
