"""The standard filter of every list: from a whitelist of fields to SQL with bound parameters, never from text to SQL.

`where [[field, op, value]]`, `whereNot [[field, value]]`, `whereIn`/`whereNotIn [[field, [values]]]`, `whereBetween`/`whereNotBetween
[[field, [from, to]]]`, `orderBy [[field, "asc"|"desc"]]`, `limit`, `offset`. All conditions hold together. A value that is null matches no
condition, a negated one neither. `like` is case-sensitive, `%` stands for anything; without a `%` it looks for a part of the text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from shared.store.engine import SCALE
from sqlalchemy import BigInteger, ColumnElement, Select, false, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api.errors import Refused
from api.intake import INT64_MAX, check_text, fits, parse_json
from api.tables import Base, Kind, kind_of
from api.views import RENAMED, Source

CONDITIONS_MAX = 50
VALUES_MAX = 1000
TEXT_MAX = 256
CONDITION_KEYS = ("where", "whereNot", "whereIn", "whereNotIn", "whereBetween", "whereNotBetween")
KEYS = (*CONDITION_KEYS, "orderBy", "limit", "offset")
WHOLE = re.compile(r"-?[0-9]{1,19}")
OPERATORS = ("=", "==", "!=", ">", "<", ">=", "<=", "like")


class FilterField(NamedTuple):
    """A field that may be filtered and sorted by: its SQL expression, and which values compare with it."""

    column: ColumnElement[Any]
    kind: Kind


Fields = Mapping[str, FilterField]


class QueryText(str):
    """A value from a query string: what it is, its field says."""

    __slots__ = ()


class Condition(NamedTuple):
    """One condition of a filter, checked: the operands have the field's kind."""

    name: str
    operator: str
    operands: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A checked filter."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    """Fields, and whether descending."""
    limit: int = 100
    offset: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def fields_of(model: type[Base], names: tuple[str, ...], prefix: str = "") -> dict[str, FilterField]:
    """The whitelist of a table: these fields of its views. With a prefix (`stats.`), the bare name works, too."""
    found = {}
    for name in names:
        source = RENAMED.get(name, Source(name))
        if not hasattr(model, source.column):
            source = Source(name)
        column: Any = col(getattr(model, source.column))
        expression = column // source.divisor if source.divisor != 1 else column
        found[name] = found[prefix + name] = FilterField(expression, kind_of(column))
    return found


def parse(given: Mapping[str, Any], fields: Fields, default: int, maximum: int, options: Mapping[str, Callable[[Any], Any]]) -> Query:
    """A filter from a request's values. `options` are the list's other parameters, each with its own check; anything else that is a
    field's name means equality (`?master_login=100001`). Raises Refused(INVALID_DATA)."""
    conditions: list[Condition] = []
    taken: dict[str, Any] = {}
    for key, value in given.items():
        if key in CONDITION_KEYS:
            conditions += [_condition(key, item, fields) for item in _list(value, key, CONDITIONS_MAX)]
        elif key in options:
            taken[key] = options[key](value)
        elif key not in KEYS:
            conditions.append(_condition("where", [key, "=", value], fields))
    if len(conditions) > CONDITIONS_MAX:
        raise _invalid(f"more than {CONDITIONS_MAX} conditions")
    limit = _whole(given.get("limit", min(default, maximum)), "limit", 1, maximum)
    offset = _whole(given.get("offset", 0), "offset", 0, INT64_MAX)
    return Query(tuple(conditions), _order(given.get("orderBy", []), fields), limit, offset, taken)


def from_query_string(items: list[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters as values: the filter's own are JSON, all others text."""
    found: dict[str, Any] = {}
    for key, text in items:
        if key in found:
            raise _invalid(f"{key} is given twice")
        check_text(key)
        check_text(text)
        found[key] = parse_json(text) if key in KEYS else QueryText(text)
    return found


def conditions(query: Query, fields: Fields, dialect: str) -> list[ColumnElement[bool]]:
    """The filter's conditions as SQL."""
    return [_sql(condition, fields[condition.name], dialect) for condition in query.conditions]


def ordering(query: Query, fields: Fields, key: Any, dialect: str) -> list[Any]:
    """What the rows are sorted by. Nulls come last; equal ones by their key, so that pages do not overlap."""
    found: list[Any] = []
    for name, descending in query.order:
        column = _collated(fields[name], dialect)
        found.append((column.desc() if descending else column.asc()).nulls_last())
    return [*found, key]


def ordered(statement: Select[Any], query: Query, fields: Fields, key: Any, dialect: str) -> Select[Any]:
    """The statement sorted and cut to the page."""
    return statement.order_by(*ordering(query, fields, key, dialect)).limit(query.limit).offset(query.offset)


async def page(session: AsyncSession, statement: Select[Any], query: Query, fields: Fields, key: Any) -> tuple[list[Any], int]:
    """The page's rows, and how many match in all."""
    dialect = session.get_bind().dialect.name
    matching = statement.where(*conditions(query, fields, dialect))
    count = await counted(session, matching)
    rows = (await session.execute(ordered(matching, query, fields, key, dialect))).all()
    return list(rows), count


async def counted(session: AsyncSession, matching: Select[Any]) -> int:
    """How many rows a statement has, on all pages."""
    count: int = (await session.execute(select(func.count()).select_from(matching.order_by(None).subquery()))).scalar_one()
    return count


def _invalid(message: str) -> Refused:
    return Refused("INVALID_DATA", message)


def _list(value: Any, name: str, longest: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > longest:
        raise _invalid(f"{name} must be a list of at most {longest}")
    return value


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _invalid(f"{name} must be a whole number from {low} to {high}")
    return value


def _condition(key: str, item: Any, fields: Fields) -> Condition:
    parts = _list(item, f"an item of {key}", 3)
    if len(parts) != (3 if key == "where" else 2):
        raise _invalid(f"an item of {key} has {len(parts)} parts")
    name = _known(parts[0], fields)
    kind = fields[name].kind
    match key:
        case "where":
            operator = parts[1]
            if not isinstance(operator, str) or operator not in OPERATORS:
                raise _invalid(f"unknown operator {str(operator)[:20]}")
            if operator == "like" and kind != "text":
                raise _invalid(f"like is for text, {name} is a number")
            return Condition(name, "=" if operator == "==" else operator, (_operand(parts[2], name, kind),))
        case "whereNot":
            return Condition(name, "!=", (_operand(parts[1], name, kind),))
        case "whereIn" | "whereNotIn":
            values = _list(parts[1], f"the values of {name}", VALUES_MAX)
            return Condition(name, "in" if key == "whereIn" else "not in", tuple(_operand(value, name, kind) for value in values))
        case _:
            ends = _list(parts[1], f"the range of {name}", 2)
            if len(ends) != 2:
                raise _invalid(f"the range of {name} has two ends")
            operator = "between" if key == "whereBetween" else "not between"
            return Condition(name, operator, tuple(_operand(value, name, kind) for value in ends))


def _known(name: Any, fields: Fields) -> str:
    if not isinstance(name, str) or name not in fields:
        raise _invalid(f"unknown field {str(name)[:40]}")
    return name


def _operand(value: Any, name: str, kind: Kind) -> Any:
    """A value that compares with the field: text with text, whole numbers with ids and counts, any number with amounts."""
    if kind == "text":
        if not isinstance(value, str) or len(value) > TEXT_MAX:
            raise _invalid(f"{name} compares with a text of at most {TEXT_MAX} characters")
        return str(value)
    if isinstance(value, QueryText):
        value = parse_json(value)
    if kind == "int" and isinstance(value, str) and WHOLE.fullmatch(value):
        value = int(value)
    number = isinstance(value, int if kind == "int" else int | Decimal) and not isinstance(value, bool)
    if not number or not Decimal(value).is_finite() or abs(value) > INT64_MAX:
        raise _invalid(f"{name} compares with a {'whole ' if kind == 'int' else ''}number")
    if kind == "number":
        amount = Decimal(value)
        if abs(amount) >= Decimal(2**63).scaleb(-SCALE) or not fits(amount):
            raise _invalid(f"{name} compares with a number of at most {SCALE} decimal places")
        return amount
    return value


def _order(value: Any, fields: Fields) -> tuple[tuple[str, bool], ...]:
    items = _list(value, "orderBy", 5)
    if len(items) == 2 and all(isinstance(item, str) for item in items):
        items = [items]  # one older page has it flat: ["field", "DESC"]
    found = []
    for item in items:
        parts = _list(item, "an item of orderBy", 2)
        direction = parts[1] if len(parts) == 2 else "asc"
        if not parts or not isinstance(direction, str) or direction.lower() not in {"asc", "desc"}:
            raise _invalid('an item of orderBy is ["field", "asc" or "desc"]')
        found.append((_known(parts[0], fields), direction.lower() == "desc"))
    return tuple(found)


def _collated(of: FilterField, dialect: str) -> ColumnElement[Any]:
    """Text compares by its code points everywhere, not by a database's language."""
    return of.column.collate("C") if of.kind == "text" and dialect == "postgresql" else of.column


COMPARES: dict[str, Callable[[Any, Any], Any]] = {
    "=": eq,
    "!=": ne,
    ">": gt,
    "<": lt,
    ">=": ge,
    "<=": le,
    "in": lambda column, values: column.in_(values) if values else false(),
    "not in": lambda column, values: column.not_in(values) if values else column.is_not(None),
    "between": lambda column, ends: column.between(*ends),
    "not between": lambda column, ends: ~column.between(*ends),
}


def _sql(condition: Condition, of: FilterField, dialect: str) -> Any:
    if condition.operator == "like":
        return _like(of.column, condition.operands[0], dialect)
    whole = condition.operator.endswith(("in", "between"))
    # A whole number may be longer than the column's: bound as the column's type, Postgres would refuse it.
    column = type_coerce(of.column, BigInteger) if of.kind == "int" else _collated(of, dialect)
    return COMPARES[condition.operator](column, condition.operands if whole else condition.operands[0])


def _like(column: ColumnElement[Any], pattern: str, dialect: str) -> ColumnElement[bool]:
    """Case-sensitive on both databases: `GLOB` on SQLite, whose `LIKE` is not; nothing but `%` is special."""
    if "%" not in pattern:
        pattern = f"%{pattern}%"
    if dialect == "sqlite":
        glob = "".join("*" if sign == "%" else f"[{sign}]" if sign in "*?[" else sign for sign in pattern)
        return column.op("GLOB", is_comparison=True)(glob)
    escaped = pattern.replace("\\", "\\\\").replace("_", "\\_")
    return column.like(escaped, escape="\\")
