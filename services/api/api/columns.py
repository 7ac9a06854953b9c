"""The standard filter over columns in memory: the very rows, in the very order, that `filters` finds in SQL. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shared.money import EXACT

from api.filters import Condition, Query

SCALE = 8
NULL = np.iinfo(np.int64).min
"""No value, among numbers: one below what a filter can ask for."""

Column = NDArray[Any]
"""Whole numbers or amounts in units of 1e-8 as int64, with NULL for no value; or texts as objects, with None."""
Rows = NDArray[np.intp]
"""Places in the columns."""

COMPARES: dict[str, Callable[[Any, Any], Any]] = {"=": eq, "!=": ne, ">": gt, "<": lt, ">=": ge, "<=": le}


def units(amount: Decimal | None) -> int | None:
    """An amount as a column holds it."""
    return None if amount is None else int(amount.scaleb(SCALE, context=EXACT))


def numbers(values: Iterable[int | None]) -> Column:
    """A column of whole numbers."""
    return np.array([NULL if value is None else value for value in values], dtype=np.int64)


def texts(values: Sequence[str | None]) -> Column:
    """A column of texts."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def matching(query: Query, columns: Mapping[str, Column], rows: Rows) -> Rows:
    """Those of the rows that all conditions hold for, in their order. A row without a value matches no condition."""
    for condition in query.conditions:
        values = columns[condition.name][rows]
        rows = rows[_known(values) & _holds(condition, values)]
    return rows


def ordered(query: Query, columns: Mapping[str, Column], rows: Rows) -> Rows:
    """The rows sorted; where they are equal, they stay as they are. No value comes last, whichever the direction."""
    for name, descending in reversed(query.order):
        values = columns[name][rows]
        known = _known(values)
        rows = np.concatenate([rows[known][_sorted(values[known], descending)], rows[~known]])
    return rows


def _known(values: Column) -> NDArray[np.bool_]:
    nothing: Any = None if values.dtype.hasobject else NULL
    return np.asarray(values != nothing, dtype=np.bool_)


def _sorted(values: Column, descending: bool) -> Rows:
    if values.dtype.hasobject:
        known = values.tolist()
        return np.array(sorted(range(len(known)), key=known.__getitem__, reverse=descending), dtype=np.intp)
    return np.argsort(-values if descending else values, kind="stable")


def _holds(condition: Condition, values: Column) -> NDArray[np.bool_]:
    operands = [units(one) if isinstance(one, Decimal) else one for one in condition.operands]
    if values.dtype.hasobject:
        holds = _test(condition.operator, operands)
        return np.fromiter((value is not None and holds(value) for value in values.tolist()), dtype=np.bool_, count=len(values))
    if condition.operator.endswith("between"):
        first, last = operands
        within = (values >= first) & (values <= last)
        return within if condition.operator == "between" else ~within
    if condition.operator.endswith("in"):
        return np.isin(values, np.array(operands, dtype=np.int64), invert=condition.operator == "not in")
    return np.asarray(COMPARES[condition.operator](values, operands[0]), dtype=np.bool_)


def _test(operator: str, operands: Sequence[Any]) -> Callable[[str], bool]:
    """What a text is tested by."""
    if operator in COMPARES:
        compare, operand = COMPARES[operator], operands[0]
        return lambda value: bool(compare(value, operand))
    if operator == "like":
        return _pattern(operands[0])
    if operator.endswith("between"):
        first, last = operands
        within = operator == "between"
        return lambda value: (first <= value <= last) == within
    among, one_of = frozenset(operands), operator == "in"
    return lambda value: (value in among) == one_of


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
