"""The standard filter over columns in memory: the very rows, in the very order, that `filters` finds in SQL. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import eq, gt, lt, ne
from typing import Any

from shared.money import EXACT

from api.filters import Condition, Query

SCALE = 8
Column = Sequence[Any]
"""Whole numbers, texts, or amounts in units of 1e-8; None where there is no value."""

COMPARES: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, ">": gt, "<": lt}


def units(amount: Decimal | None) -> int | None:
    """An amount as a column holds it."""
    return None if amount is None else int(amount.scaleb(SCALE, context=EXACT))


def matching(query: Query, columns: Mapping[str, Column], rows: list[int]) -> list[int]:
    """Those of the rows that all conditions hold for, in their order. A value that is None matches no condition."""
    for condition in query.conditions:
        rows = _matching(condition, columns[condition.name], rows)
    return rows


def ordered(query: Query, columns: Mapping[str, Column], rows: list[int]) -> list[int]:
    """The rows sorted; where they are equal, they stay as they are. None comes last, whichever the direction."""
    for name, descending in reversed(query.order):
        column = columns[name]
        known = [row for row in rows if column[row] is not None]
        known.sort(key=column.__getitem__, reverse=descending)
        rows = known if len(known) == len(rows) else known + [row for row in rows if column[row] is None]
    return rows


def _matching(condition: Condition, column: Column, rows: list[int]) -> list[int]:
    operands = tuple(units(one) if isinstance(one, Decimal) else one for one in condition.operands)
    # What marketplaces are asked with is written out: a call for each row would double the time.
    if condition.operator == ">=":
        return [row for row in rows if (value := column[row]) is not None and value >= operands[0]]
    if condition.operator == "<=":
        return [row for row in rows if (value := column[row]) is not None and value <= operands[0]]
    holds = _test(condition.operator, operands)
    return [row for row in rows if (value := column[row]) is not None and holds(value)]


def _test(operator: str, operands: tuple[Any, ...]) -> Callable[[Any], bool]:
    if operator in COMPARES:
        compare, operand = COMPARES[operator], operands[0]
        return lambda value: compare(value, operand)
    if operator == "like":
        return _pattern(operands[0])
    if operator.endswith("between"):
        first, last = operands
        within = operator == "between"
        return lambda value: (first <= value <= last) == within
    values, among = frozenset(operands), operator == "in"
    return lambda value: (value in values) == among


def _pattern(text: str) -> Callable[[str], bool]:
    """Case-sensitive; `%` stands for anything, and without one the text is looked for anywhere. Each part is looked for once, from the
    left: no pattern takes long."""
    if "%" not in text:
        return lambda value: text in value
    first, *middle, last = text.split("%")

    def found(value: str) -> bool:
        at = len(first)
        if not value.startswith(first):
            return False
        for part in middle:
            at = value.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return value.endswith(last) and len(value) - len(last) >= at

    return found
