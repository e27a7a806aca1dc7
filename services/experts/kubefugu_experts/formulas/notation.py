"""Unicode and LaTeX as plain notation, and the names that formulas may use."""

from __future__ import annotations

import re

FUNCTIONS = {
    "sin": (1, 1), "cos": (1, 1), "tan": (1, 1), "cot": (1, 1), "sec": (1, 1), "csc": (1, 1), "asin": (1, 1), "acos": (1, 1),
    "atan": (1, 1), "sinh": (1, 1), "cosh": (1, 1), "tanh": (1, 1), "exp": (1, 1), "ln": (1, 1), "log": (1, 2), "log10": (1, 1),
    "log2": (1, 1), "sqrt": (1, 1), "cbrt": (1, 1), "abs": (1, 1), "factorial": (1, 1), "gcd": (2, 20), "lcm": (2, 20),
    "floor": (1, 1), "ceil": (1, 1), "binomial": (2, 2), "max": (1, 20), "min": (1, 20), "root": (2, 2),
}  # fmt: skip
"""Name -> least and most arguments."""

NAMES = {
    **{name: name for name in FUNCTIONS}, "mod": "mod", "pi": "pi", "π": "pi", "e": "e", "i": "i", "oo": "oo", "infinity": "oo",
    "inf": "oo", "infty": "oo", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "tg": "tan", "ctg": "cot", "cosec": "csc",
    "lg": "log10", "log_2": "log2", "log_10": "log10", "ceiling": "ceil", "fact": "factorial", "choose": "binomial",
    "ncr": "binomial", "theta": "θ", "alpha": "α", "beta": "β", "gamma": "γ", "lambda": "λ",
}  # fmt: skip
"""What a name means; functions, constants, and Greek letters."""

_SIGNS = str.maketrans({"×": "*", "·": "*", "∙": "*", "⋅": "*", "✕": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "—": "-",
    "≤": " <= ", "≥": " >= ", "≠": " != ", "∞": "oo", "√": "sqrt", "∛": "cbrt", "[": "(", "]": ")", "{": "(", "}": ")",
    "½": "(1/2)", "¼": "(1/4)", "¾": "(3/4)", "⅓": "(1/3)", "⅔": "(2/3)", "$": " ", "＝": "="})  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿˣ", "0123456789-+nx")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿˣ]+")
_BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_LATEX: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\left|\\right|\\,|\\;|\\!|\\displaystyle|\\quad|\\big[lr]?|\\limits", " "),
        (rf"\\[dt]?frac\s*{_BRACED}\s*{_BRACED}", r"((\1)/(\2))"),
        (r"\\[dt]?frac(\d)(\d)", r"((\1)/(\2))"),
        (rf"\\sqrt\s*\[(\d+)\]\s*{_BRACED}", r"root(\2, \1)"),
        (rf"\\sqrt\s*{_BRACED}", r"sqrt(\1)"),
        (r"\\cdot|\\times|\\ast", "*"),
        (r"\\div", "/"),
        (r"\\leq?\b", "<="),
        (r"\\geq?\b", ">="),
        (r"\\neq?\b", "!="),
        (r"\\to\b|\\rightarrow", "->"),
        (r"\\infty", "oo"),
        (r"\\log_\{?(\d+)\}?", r"log_\1"),
        (r"\\(?:text|mathrm|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\([a-zA-Z]+)", r" \1 "),
    )
)


def plain_notation(text: str) -> str:
    """ASCII operators, no LaTeX, no Unicode powers."""
    for _ in range(4):  # nested fractions
        before = text
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
        if text == before:
            break
    text = _RAISED.sub(lambda match: f"^({match[0].translate(_SUPERSCRIPTS)})", text)
    return text.translate(_SIGNS)
