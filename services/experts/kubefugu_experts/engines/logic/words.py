"""Comparatives and their directions, irregular plurals, words that are no names."""

from __future__ import annotations

_MORE = """taller older faster heavier bigger larger richer stronger smarter longer higher better wealthier warmer hotter louder
    brighter wiser happier greater deeper wider newer quicker harder sweeter kinder""".split()
_LESS = """shorter younger slower lighter smaller poorer weaker briefer lower worse colder cooler quieter dimmer sadder cheaper
    shallower narrower softer""".split()
_OTHER_FORMS = {"better": "best", "worse": "worst", "less": "least"}
_PHRASES = {"more expensive": 1, "more experienced": 1, "less expensive": -1, "less experienced": -1, "less": -1}

SCALE: dict[str, int] = {**dict.fromkeys(_MORE, 1), **dict.fromkeys(_LESS, -1), **_PHRASES}
"""Comparative -> 1 where it means more, -1 where it means less."""


def _superlative(comparative: str) -> str:
    if comparative in _OTHER_FORMS:
        return _OTHER_FORMS[comparative]
    if comparative.startswith(("more ", "less ")):
        return comparative.replace("more ", "most ").replace("less ", "least ")
    return comparative.removesuffix("er") + "est"


SUPERLATIVES: dict[str, int] = {_superlative(word): direction for word, direction in SCALE.items()}
"""Superlative -> 1 or -1 likewise."""

IRREGULAR_PLURALS = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "mice": "mouse", "geese": "goose", "teeth": "tooth",
    "feet": "foot", "wolves": "wolf", "leaves": "leaf", "lives": "life", "knives": "knife", "oxen": "ox", "fish": "fish",
    "sheep": "sheep", "species": "species", "heroes": "hero", "potatoes": "potato", "buses": "bus",
}  # fmt: skip

NO_NAMES = frozenset(
    """all every each some no not only if any does is are can therefore so it this that what the there he she they who consider
    given premise conclusion both everyone someone everything something nothing nobody a an""".split()
)
"""Words that may stand where a name does, capitalised or before "is a", and are none."""

FILLERS = frozenset(
    """and but while in a an race line row queue there are three four five six friends people children students siblings kids persons
    runners the who also however if given that then so than of them all everyone nobody tied no ties contest is was standing
    sitting finished some two among their group class team family compare compared""".split()
)
"""Words between the statements of an order that say nothing about it."""
