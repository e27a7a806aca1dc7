"""Arithmetic in words as notation: "the sum of three and four squared" -> "(3)+(4^2)"."""

from __future__ import annotations

import re

from kubefugu_experts.phrasing import words_to_digits

_ORDINALS = {"second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}
_PART = r"((?:[^\s]|(?<=[^\w]) | (?=[^\w]))+?)"
_TERM = r"(\([^()]*(?:\([^()]*\)[^()]*)*\)|[\w.]+(?:\^[\w.]+)?(?:\([^()]*\))?)"

_STEPS: tuple[tuple[str, str], ...] = (
    (r"\bone\b", "1"),
    (r"\b(?:what|how much) (?:do|does|is|are|would)?\s*(?:you get (?:if|when) you )?", ""),
    (
        r"\bthe (?=sum|product|difference|quotient|square|cube|absolute|natural|remainder|number|"
        r"value|factorial|reciprocal|negative|inverse)",
        "",
    ),
    (rf"\bsum of {_TERM},? and {_TERM}", r"(\1+\2)"),
    (rf"\bproduct of {_TERM},? and {_TERM}", r"(\1*\2)"),
    (rf"\bdifference (?:of|between) {_TERM},? and {_TERM}", r"(\1-\2)"),
    (rf"\bquotient (?:of|between) {_TERM},? and {_TERM}", r"(\1/\2)"),
    (rf"\b(?:add|adding) {_TERM} (?:and|to|with) {_TERM}", r"(\1+\2)"),
    (rf"\b(?:subtract|subtracting|take|taking) {_TERM} (?:away )?from {_TERM}", r"(\2-\1)"),
    (rf"\b(?:multiply|multiplying) {_TERM} (?:by|and|with|times) {_TERM}", r"(\1*\2)"),
    (rf"\b(?:divide|dividing) {_TERM} by {_TERM}", r"(\1/\2)"),
    (rf"\b(?:divide|dividing) {_TERM} into {_TERM}", r"(\2/\1)"),
    (rf"\b(?:raise|raising) {_TERM} to (?:the )?(?:power (?:of )?)?{_TERM}(?: power)?", r"(\1^\2)"),
    (r"\b(\d+) choose (\d+)\b", r"binomial(\1,\2)"),
    (rf"\bsquare root of {_TERM}", r"sqrt(\1)"),
    (rf"\bcube root of {_TERM}", r"cbrt(\1)"),
    (rf"\b(\d+)(?:st|nd|rd|th) root of {_TERM}", r"root(\2,\1)"),
    (rf"\bsquare of {_TERM}", r"(\1)^2"),
    (rf"\bcube of {_TERM}", r"(\1)^3"),
    (rf"\babsolute value of {_TERM}", r"abs(\1)"),
    (rf"\bfactorial of {_TERM}", r"(\1)!"),
    (rf"{_TERM} factorial\b", r"(\1)!"),
    (rf"\bnatural log(?:arithm)?(?: of)? {_TERM}", r"ln(\1)"),
    (rf"\blog(?:arithm)?,? (?:to )?(?:the )?base {_TERM} of {_TERM}", r"log(\2,\1)"),
    (rf"\blog(?:arithm)?(?: of)? {_TERM},? (?:to |in |with )?(?:the )?base {_TERM}", r"log(\1,\2)"),
    (r"\blog(\d+)\(?([\w.]+)\)?(?!\w)", r"log(\2,\1)"),
    (rf"\b(?:log|logarithm) of {_TERM}", r"log(\1)"),
    (rf"\b(sine|cosine|tangent) of {_TERM}", r"\1(\2)"),
    (r"\bsine\b", "sin"),
    (r"\bcosine\b", "cos"),
    (r"\btangent\b(?! line)", "tan"),
    (r"\b(?:reciprocal|multiplicative inverse) of (\S+)", r"(1/(\1))"),
    (r"\b(?:half|one half|1 half) of (\S+)", r"((\1)/2)"),
    (r"\b(?:a |one |1 )?third of (?=\d)(\S+)", r"((\1)/3)"),
    (r"\b(?:a |one |1 )?(?:quarter|fourth) of (?=\d)(\S+)", r"((\1)/4)"),
    (r"\b(?:three|3) (?:quarters|fourths) of (?=\d)(\S+)", r"(3*(\1)/4)"),
    (r"\b(?:two|2) thirds of (?=\d)(\S+)", r"(2*(\1)/3)"),
    (r"(\d+/\d+) of (?=\d)(\S+)", r"((\1)*(\2))"),
    (r"\b(?:double|twice) (\S+)", r"(2*\1)"),
    (r"\btriple (\S+)", r"(3*\1)"),
    (r"([\d.]+) ?(?:%|percent|per cent|pct) of ([\d.,]+)", r"((\1/100)*\2)"),
    (r"(?<=\d) ?(?:percent|per cent|pct)\b", "%"),
    (r"\bto the power (?:of )?(?=[-\w(])", "^"),
    (r"\b(?:raised to|to) (?:the )?(\d+)(?:st|nd|rd|th)(?: power)?", r"^\1"),
    (r"\braised (?:to )?(?:the )?(?:power (?:of )?)?(?=[-\w(])", "^"),
    (r"\bto the minus (?=\d)", "^-"),
    (r"(?<=[\w)]) squared\b", "^2"),
    (r"(?<=[\w)]) cubed\b", "^3"),
    (r"\bplus\b|\badded to\b|\bincreased by\b", "+"),
    (r"\bminus\b|\bnegative\b|\bsubtracted by\b|\bdecreased by\b|\bless\b(?! than)", "-"),
    (r"\btimes\b|\bmultiplied (?:by|with)\b", "*"),
    (r"(?<=[\d)]) ?[xX] ?(?=[\d(])(?!\d*[xX])", "*"),
    (r"\bdivided by\b|\bover\b", "/"),
    (r"\bmodulo\b|\bmodulus\b", "mod"),
    (r"\bis (?:greater|more|bigger) than or equal to\b", ">="),
    (r"\bis (?:less|smaller) than or equal to\b", "<="),
    (r"\bis (?:greater|more|bigger) than\b|\bgreater than\b", ">"),
    (r"\bis (?:less|smaller) than\b|\bless than\b", "<"),
    (r"\bequals?(?: to)?\b|\bis equal to\b|\bare equal to\b|\bequal to\b", "="),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), replacement) for pattern, replacement in _STEPS)


def to_notation(text: str) -> str:
    """The text with its arithmetic words replaced; words that are none stay and make the parser refuse."""
    text = words_to_digits(text)
    for name, number in _ORDINALS.items():
        text = re.sub(rf"\bto (?:the )?{name}(?: power)?\b", f"^{number}", text, flags=re.IGNORECASE)
        text = re.sub(rf"\b{name} root of\b", f"{number}th root of", text, flags=re.IGNORECASE)
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    text = re.sub(r"\bthe (?=[-\d(\w])", "", text)
    return text.strip(" ,.?=:;").strip()
