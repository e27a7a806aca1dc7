"""Constraints over integers: find, count, smallest, largest."""

from __future__ import annotations

import re
from typing import Any

import z3

from kubefugu_experts.engines.logic.solving import TIMEOUT_MS, Bool, UndecidedError, model, satisfiable
from kubefugu_experts.formulas import Binary, FormulaError, Negative, Node, Number, Relation, Symbol, parse_relation, symbols
from kubefugu_experts.phrasing import words_to_digits

_MOST_COUNTED = 2_000
_KIND = (
    r"((?:(?:distinct|different|consecutive|two|three|[2-6]|all|any|an?|some|the|possible|single|"
    r"unique|even|odd|small) )*)(positive |non-?negative |natural |negative |nonnegative |"
    r"strictly positive )?(?:even |odd )?(integers?|whole numbers?|natural numbers?|int|"
    r"integer values?|numbers?|integer solutions?|natural)"
)
_SUCH = (
    r"(?:such that|so that|with|where|that satisf(?:y|ies)|satisfying|satisfy|satisfies|for which|"
    r"solving|in|that solves?|which satisf(?:y|ies)|subject to|constrained by|if|to|of|"
    r"given(?: that)?|when|makes?|make|holds? for|(?:that |which )?(?:meet|meets|meeting|fulfil|"
    r"fulfill|fulfilling|obey|obeying|solve))"
)
_NAMES = r"((?:[a-zA-Z](?:, ?|,? and |,? ?))*[a-zA-Z])?"
_OPERATORS = (
    (r"is (?:greater|more|bigger|larger) than or equal to|is at least", ">="),
    (r"is (?:less|smaller) than or equal to|is at most", "<="),
    (r"(?:is )?(?:greater|more|bigger|larger) than", ">"),
    (r"(?:is )?(?:less|smaller) than", "<"),
    (r"(?:is )?equals?(?: to)?|is equal to", "="),
    (r"\bplus\b", "+"),
    (r"\bminus\b", "-"),
    (r"\btimes\b", "*"),
    (r"\bsquared\b", "^2"),
)
_ASK = re.compile(
    rf"^(?:(find|give|determine|compute|solve for|what are|what is|what's|which|are there|is there|"
    rf"do there exist|does there exist|exist|list|name|how many|count|what|is it possible to find|"
    rf"can you find|the|pick|choose|tell|i need|we need|need|give me)(?: me)?(?: the)? ?)?"
    rf"(smallest|largest|least|greatest|minimum|maximum|biggest|lowest|highest|"
    rf"number of)? ?(?:possible )?{_KIND}(?: value| solutions?)?(?: of)?(?: for)?,? ?{_NAMES},? "
    rf"?(?:are there |exist |do |does |is |are |there )*{_SUCH}(?: the (?:equations?|constraints?|"
    rf"conditions?|system|inequalit(?:y|ies)))?[:,]? (.+?)(?: (?:hold|holds|true|is true|are true|"
    rf"both hold|satisfied))?$",
    re.IGNORECASE,
)
_NAMES_FIRST = re.compile(
    r"^(find|determine|give|pick) ((?:[a-zA-Z](?:, and |, | and ))*[a-zA-Z]),? ((?:positive |non-?negative )?integers)",
    re.IGNORECASE,
)
_OVER = re.compile(
    rf"^(?:solve|find(?: the| all| all the)? (?:integer )?solutions? (?:of|to|for)|"
    rf"satisfy)(?: the)?(?: system| equations?| constraints?|"
    rf" conditions?)?(?: of)?:? (.+?) (?:over|in|for|among|with) (?:the )?(?:(positive|"
    rf"non-?negative|natural) )?(?:integers|whole numbers|natural numbers|integer (?:values|"
    rf"variables|unknowns|solutions))(?: only| {_NAMES})?$",
    re.IGNORECASE,
)
_HAS = re.compile(
    r"^(?:does|do)(?: the)?(?: equations?| system)? (.+?) have (?:an? |any )?(?:(positive|"
    r"non-?negative) )?(?:integer|whole number|integral) solutions?$",
    re.IGNORECASE,
)
_WHERE = re.compile(
    rf"^(?:let |given |if )?{_NAMES} (?:be|is|are) (?:an? )?(positive |non-?negative |"
    rf"natural )?(?:integers?|whole numbers?)(?: with| such that| where|,| and|"
    rf"\.)+ ?(.+?)[,.;]? (find|what (?:is|are)|determine|how many)(?: the| all)?(?: (smallest|"
    rf"largest|least|greatest|minimum|maximum|number of))?(?: possible)?(?: values?| solutions?|"
    rf" pairs?)?(?: of| for)?(?: [a-zA-Z](?: and [a-zA-Z])?)?(?: are there| exist)?$",
    re.IGNORECASE,
)
_SUM_DIFFERENCE = re.compile(
    r"^(?:(?:find|what are|which are) )?(?:the )?(?:two|2) (?:(?:positive|whole) )?(?:integers|"
    r"numbers|whole numbers) (?:whose|with|that have|have)(?: an?| the)? (sum|product)(?: is| of|"
    r" equals)? (-?\d+) and(?: whose| an?| the)* (difference|product|sum)(?: is| of|"
    r" equals)? (-?\d+)$",
    re.IGNORECASE,
)
_SUM_AND_PRODUCT = re.compile(
    r"^(?:two|2) (?:positive )?(?:integers|numbers|whole numbers) (?:sum|add up|add) to (-?\d+)(?: and|,) (?:their )?"
    r"(product|difference) (?:is|equals|of) (-?\d+)[.,;]? (?:what|which|find|name|determine).*$",
    re.IGNORECASE,
)
_CONSECUTIVE = re.compile(
    r"^(?:(?:find|what are|which are) )?(?:the )?(two|three|four|2|3|4) consecutive (even |"
    r"odd )?(?:integers|numbers|whole numbers) (?:whose|with|that|have|having)(?: an?| the)* (sum|"
    r"product|add up to|sum to)(?: is| of| equals| to)? ?(-?\d+)$",
    re.IGNORECASE,
)
_HEADS = re.compile(
    r"^(?:a |the |on a |in a |there is a )?(?:farm|farmer|yard|barn|field|cage|pen)(?: has|"
    r" there are| with| contains)?(?: only)? ?(chickens|hens|ducks|birds) and (cows|rabbits|pigs|"
    r"sheep|goats|horses|dogs|cats)(?: .*?)?[,.;:]? .*?(\d+) heads and (\d+) (?:legs|"
    r"feet)(?: in total| altogether)?[.;,]? (?:how many|find|determine).*$",
    re.IGNORECASE,
)


def solve(text: str) -> str | None:
    """Find positive integers x and y with x + y = 10 and x - y = 2."""
    text = words_to_digits(text)
    text = _NAMES_FIRST.sub(r"\1 \3 \2", text)
    if reply := _worded(text):
        return reply
    if match := _WHERE.match(text):
        return _constrained(
            match[3], f"{match[2] or ''}", match[5] or "", count="how many" in match[4].lower() or match[5] == "number of"
        )
    if match := _OVER.match(text):
        return _constrained(match[1], match[2] or "", "", count=False)
    if match := _HAS.match(text):
        return _constrained(match[1], match[2] or "", "exists", count=False)
    match = _ASK.match(text)
    if match is None:
        return None
    verb, extreme, _, sign, noun, names, body = (group or "" for group in match.groups())
    if noun.lower().startswith("number") and not names:
        return None
    if noun.lower().startswith("natural") or "natural" in sign:
        sign = "positive"
    if re.search(r"\bwhole\b", noun, re.IGNORECASE) and not sign:
        sign = "nonnegative"
    if not noun.lower().startswith(("int", "whole", "natural")):
        return None
    count = verb.lower() in ("how many", "count") or extreme.lower() == "number of"
    goal = extreme.lower() if extreme.lower() != "number of" else ""
    if not goal and re.match(r"are there|is there|do there|does there|exist|is it possible", verb, re.IGNORECASE):
        goal = "exists"
    return _constrained(body, sign, goal, count=count, every="all" in match[3].lower().split())


def _worded(text: str) -> str | None:
    x, y = z3.Int("x"), z3.Int("y")
    text = _SUM_AND_PRODUCT.sub(r"two integers with sum \1 and \2 \3", text)
    if match := _SUM_DIFFERENCE.match(text):
        made = {"sum": x + y, "difference": x - y, "product": x * y}
        found = model([made[match[1].lower()] == int(match[2]), made[match[3].lower()] == int(match[4]), x >= y])
        return f"The numbers are {found.eval(x)} and {found.eval(y)}." if found is not None else "There are no such integers."
    if match := _CONSECUTIVE.match(text):
        number = {"two": 2, "three": 3, "four": 4}.get(match[1].lower()) or int(match[1])
        step = 2 if match[2] else 1
        terms = [x + step * index for index in range(number)]
        total = z3.Product(terms) if match[3].lower() == "product" else z3.Sum(terms)
        parity = [x % 2 == (0 if match[2].strip().lower() == "even" else 1)] if match[2] else []
        found = model([total == int(match[4]), *parity, *([x > 0] if match[3].lower() == "product" else [])])
        if found is None:
            return "There are no such integers."
        values = [str(found.eval(term)) for term in terms]
        return f"The integers are {', '.join(values[:-1])} and {values[-1]}."
    if match := _HEADS.match(text):
        found = model([x + y == int(match[3]), 2 * x + 4 * y == int(match[4]), x >= 0, y >= 0])
        return (
            f"There are {found.eval(x)} {match[1]} and {found.eval(y)} {match[2]}."
            if found is not None
            else "That is impossible."
        )
    return None


def _constrained(body: str, sign: str, goal: str, *, count: bool, every: bool = False) -> str | None:
    relations = _relations(body)
    names = sorted({name for relation in relations for name in symbols(relation)} | _plain_letters(relations))
    if not names or len(names) > 6:
        return None
    variables = {name: z3.Int(name) for name in names}
    constraints: list[Bool] = [_compare(relation, variables) for relation in relations]
    sign = sign.strip().lower().replace("-", "")
    if sign in ("positive", "natural", "strictly positive"):
        constraints += [variable > 0 for variable in variables.values()]
    elif sign in ("nonnegative", "whole"):
        constraints += [variable >= 0 for variable in variables.values()]
    elif sign == "negative":
        constraints += [variable < 0 for variable in variables.values()]
    if count or every:
        return _counted(variables, constraints, count=count)
    if goal in ("smallest", "least", "minimum", "lowest", "largest", "greatest", "maximum", "biggest", "highest"):
        return _extreme(variables, constraints, largest=goal in ("largest", "greatest", "maximum", "biggest", "highest"))
    found = model(constraints)
    if found is None:
        return "No, there is no integer solution." if goal == "exists" else "There is no integer solution."
    more = satisfiable(
        [*constraints, z3.Or([variable != found.eval(variable, model_completion=True) for variable in variables.values()])]
    )
    lead = (
        "Yes, for example " if goal == "exists" and more else "Yes: " if goal == "exists" else "For example, " if more else ""
    )
    return f"{lead}{_told(found, variables)}."


def _relations(body: str) -> list[Relation]:
    body = re.sub(r"\bis (?:divisible by|a multiple of) (\d+)", r"mod \1 = 0", body)
    body = re.sub(r"\bis even\b", "mod 2 = 0", body)
    body = re.sub(r"\bis odd\b", "mod 2 = 1", body)
    for words, operator in _OPERATORS:
        body = re.sub(words, operator, body, flags=re.IGNORECASE)
    if match := re.fullmatch(r"([a-zA-Z]) is between (-?\d+) and (-?\d+)(.*)", body.strip(" .?")):
        body = f"{match[2]} < {match[1]}, {match[1]} < {match[3]}{match[4]}"
    pieces = [piece.strip(" .?") for piece in re.split(r",\s*(?:and\s+)?|;|\band\b|\n", body)]
    relations = [
        relation for piece in pieces if piece for relation in parse_relation(re.sub(r"^(?:that|where|with) ", "", piece))
    ]
    if not relations:
        raise FormulaError("no constraint")
    return relations


def _plain_letters(relations: list[Relation]) -> set[str]:
    return {
        part.name
        for relation in relations
        for part in (relation.left, relation.right)
        if isinstance(part, Symbol) and part.name in ("i", "e")
    }


def _compare(relation: Relation, variables: dict[str, Any]) -> Bool:
    left, right = _term(relation.left, variables), _term(relation.right, variables)
    match relation.operator:
        case "=":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def _term(node: Node, variables: dict[str, Any]) -> Any:
    """A term over the integers; other functions and fractions are refused."""
    match node:
        case Number(value) if value.denominator == 1 and abs(value) < 10**30:
            return z3.IntVal(int(value))
        case Symbol(name) if name in variables:
            return variables[name]
        case Negative(part):
            return -_term(part, variables)
        case Binary("^", base, Number(value)) if value.denominator == 1 and 0 < value <= 6:
            power = _term(base, variables)
            result = power
            for _ in range(int(value) - 1):
                result = result * power
            return result
        case Binary("+", left, right):
            return _term(left, variables) + _term(right, variables)
        case Binary("-", left, right):
            return _term(left, variables) - _term(right, variables)
        case Binary("*", left, right):
            return _term(left, variables) * _term(right, variables)
        case Binary("mod", left, Number(value)) if value.denominator == 1 and value > 0:
            return _term(left, variables) % int(value)
        case _:
            raise FormulaError("not over the integers")


def _told(found: Any, variables: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {found.eval(variable, model_completion=True)}" for name, variable in variables.items())


def _counted(variables: dict[str, Any], constraints: list[Bool], *, count: bool) -> str | None:
    """The number of solutions, or all of them where they are few."""
    for variable in variables.values():
        if not (_bounded(variable, constraints, largest=True) and _bounded(variable, constraints, largest=False)):
            return "There are infinitely many."
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(*constraints)
    solutions = []
    while solver.check() == z3.sat:
        found = solver.model()
        solutions.append([found.eval(variable, model_completion=True).as_long() for variable in variables.values()])
        if len(solutions) > _MOST_COUNTED:
            return None
        solver.add(z3.Or([variable != value for variable, value in zip(variables.values(), solutions[-1], strict=True)]))
    if count:
        return f"There are {len(solutions)}." if len(solutions) != 1 else "There is 1."
    if not solutions:
        return "There is no integer solution."
    told = [
        ", ".join(f"{name} = {value}" for name, value in zip(variables, values, strict=True))
        for values in sorted(solutions)[:30]
    ]
    return f"{'; '.join(told)}."


def _bounded(variable: Any, constraints: list[Bool], *, largest: bool) -> bool:
    return _extreme_value(variable, constraints, largest=largest) is not None or not satisfiable(constraints)


def _extreme_value(variable: Any, constraints: list[Bool], *, largest: bool) -> int | None:
    """The largest or smallest value, or None where there is no bound."""
    optimizer = z3.Optimize()
    optimizer.set("timeout", TIMEOUT_MS)
    optimizer.add(*constraints)
    goal = optimizer.maximize(variable) if largest else optimizer.minimize(variable)
    result = optimizer.check()
    if result == z3.unknown:
        raise UndecidedError
    if result == z3.unsat:
        return None
    bound = optimizer.upper(goal) if largest else optimizer.lower(goal)
    return bound.as_long() if z3.is_int_value(bound) else None


def _extreme(variables: dict[str, Any], constraints: list[Bool], *, largest: bool) -> str | None:
    if len(variables) != 1:
        return None
    (name, variable), word = next(iter(variables.items())), "largest" if largest else "smallest"
    if not satisfiable(constraints):
        return "There is no such integer."
    value = _extreme_value(variable, constraints, largest=largest)
    return f"The {word} is {name} = {value}." if value is not None else f"There is no {word}: it has no bound."
