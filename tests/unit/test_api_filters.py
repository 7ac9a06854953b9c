"""The standard filter against an oracle in plain Python: whatever is asked, SQL finds the very rows that a loop finds."""

from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import numpy as np
import pytest
from api import columns, filters
from api.columns import units
from api.errors import Refused
from api.filters import FilterField
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared.store.engine import ScaledDecimal
from sqlalchemy import BigInteger, Column, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.engine import Connection

TABLE = Table("thing", MetaData(), Column("id", BigInteger, primary_key=True), Column("name", String), Column("amount", ScaledDecimal))
FIELDS = {
    "id": FilterField(TABLE.c.id, "int"),
    "name": FilterField(TABLE.c.name, "text"),
    "amount": FilterField(TABLE.c.amount, "number"),
    "stats.amount": FilterField(TABLE.c.amount, "number"),
}
Row = tuple[int, str | None, Decimal | None]
PLACE = {"id": 0, "name": 1, "amount": 2, "stats.amount": 2}

NAMES = st.text(alphabet="aAbB%_*?[]^-\\ é", max_size=4)
AMOUNTS = st.decimals(min_value=-5, max_value=5, places=2)
VALUES = {"id": st.integers(-1, 12), "name": NAMES, "amount": AMOUNTS, "stats.amount": st.one_of(AMOUNTS, st.integers(-5, 5))}
ROWS = st.lists(st.tuples(st.none() | NAMES, st.none() | AMOUNTS), max_size=10).map(
    lambda pairs: [(number, name, amount) for number, (name, amount) in enumerate(pairs)]
)


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    """A filter of any shape that is allowed."""
    given_: dict[str, Any] = {}
    for key in draw(st.sets(st.sampled_from(filters.CONDITION_KEYS))):
        items = []
        for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
            value = VALUES[name]
            if key == "where":
                operators = filters.OPERATORS if name == "name" else filters.OPERATORS[:-1]
                items.append([name, draw(st.sampled_from(operators)), draw(value)])
            elif key == "whereNot":
                items.append([name, draw(value)])
            elif key in {"whereIn", "whereNotIn"}:
                items.append([name, draw(st.lists(value, max_size=3))])
            else:
                items.append([name, [draw(value), draw(value)]])
        given_[key] = items
    given_["orderBy"] = [
        [name, draw(st.sampled_from(["asc", "desc", "DESC"]))] for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2))
    ]
    given_["limit"] = draw(st.integers(1, 12))
    given_["offset"] = draw(st.integers(0, 12))
    return given_


def like(value: str, pattern: str) -> bool:
    """`%` stands for anything; without one, the text contains the pattern."""
    if "%" not in pattern:
        return pattern in value
    first, *middle, last = pattern.split("%")
    if not value.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = value.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return value.endswith(last) and len(value) - len(last) >= at


def holds(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "=" | "==":
            return bool(value == operand)
        case "!=":
            return bool(value != operand)
        case ">":
            return bool(value > operand)
        case "<":
            return bool(value < operand)
        case ">=":
            return bool(value >= operand)
        case "<=":
            return bool(value <= operand)
        case "in":
            return value in operand
        case "between":
            return bool(operand[0] <= value <= operand[1])
        case _:
            return like(value, operand)


def matches(row: Row, given_: dict[str, Any]) -> bool:
    """All conditions hold; null fulfils none, a negated one neither."""
    asked_: list[tuple[str, str, Any, bool]] = [(name, op, value, False) for name, op, value in given_.get("where", [])]
    for key, op, negated in (
        ("whereNot", "=", True),
        ("whereIn", "in", False),
        ("whereNotIn", "in", True),
        ("whereBetween", "between", False),
        ("whereNotBetween", "between", True),
    ):
        asked_ += [(name, op, value, negated) for name, value in given_.get(key, [])]
    return all(
        row[PLACE[name]] is not None and holds(row[PLACE[name]], operator, value) != negated for name, operator, value, negated in asked_
    )


def page(rows: list[Row], given_: dict[str, Any]) -> tuple[list[int], int]:
    found = [row for row in rows if matches(row, given_)]

    def compare(one: Row, other: Row) -> int:
        for name, direction in given_["orderBy"]:
            a, b = one[PLACE[name]], other[PLACE[name]]
            if a == b:
                continue
            if a is None or b is None:
                return 1 if a is None else -1
            less = a < b  # type: ignore[operator]
            return (-1 if less else 1) * (1 if direction == "asc" else -1)
        return one[0] - other[0]

    found.sort(key=cmp_to_key(compare))
    return [row[0] for row in found[given_["offset"] :][: given_["limit"]]], len(found)


@pytest.fixture(scope="module")
def connection() -> Any:
    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        TABLE.create(opened)
        yield opened


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, given_=asked())
def test_sql_finds_what_a_loop_finds(connection: Connection, rows: list[Row], given_: dict[str, Any]) -> None:
    connection.execute(TABLE.delete())
    if rows:
        connection.execute(insert(TABLE), [{"id": number, "name": name, "amount": amount} for number, name, amount in rows])
    query = filters.parse(given_, FIELDS, 100, 500, {})
    matching = select(TABLE.c.id).where(*filters.conditions(query, FIELDS, "sqlite"))
    found = list(connection.execute(filters.ordered(matching, query, FIELDS, TABLE.c.id, "sqlite")).scalars())
    assert (found, len(connection.execute(matching).all())) == page(rows, given_)


@settings(max_examples=400, deadline=None)
@given(rows=ROWS, given_=asked())
def test_columns_in_memory_find_what_a_loop_finds(rows: list[Row], given_: dict[str, Any]) -> None:
    query = filters.parse(given_, FIELDS, 100, 500, {})
    amounts = columns.numbers(units(amount) for _, _, amount in rows)
    ids, names = columns.numbers(number for number, _, _ in rows), columns.texts([name for _, name, _ in rows])
    kept = {"id": ids, "name": names, "amount": amounts, "stats.amount": amounts}
    found = columns.ordered(query, kept, columns.matching(query, kept, np.arange(len(rows))))
    assert ([rows[one][0] for one in found[query.offset :][: query.limit]], len(found)) == page(rows, given_)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=True)
    | st.text(max_size=5)
    | st.sampled_from([*FIELDS, "asc", "=", "like"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(given_=st.dictionaries(st.sampled_from([*filters.KEYS, *FIELDS, "nonsense"]), JSON, max_size=4))
@example(given_={"amount": Decimal("NaN")})
@example(given_={"amount": Decimal("-Infinity")})
def test_whatever_is_sent_is_a_filter_or_refused(connection: Connection, given_: dict[str, Any]) -> None:
    try:
        query = filters.parse(given_, FIELDS, 100, 500, {})
    except Refused:
        return
    matching = select(TABLE.c.id).where(*filters.conditions(query, FIELDS, "sqlite"))
    connection.execute(filters.ordered(matching, query, FIELDS, TABLE.c.id, "sqlite")).all()


@pytest.mark.parametrize("value", ["x'; DROP TABLE thing; --", '"', "\\", "%' OR 1=1 --"])
def test_values_are_bound_never_pasted(connection: Connection, value: str) -> None:
    query = filters.parse({"where": [["name", "=", value], ["name", "like", value]]}, FIELDS, 100, 500, {})
    connection.execute(TABLE.delete())
    statement = select(TABLE).where(*filters.conditions(query, FIELDS, "sqlite"))
    assert value not in str(statement)
    assert connection.execute(statement).all() == []


def test_limits() -> None:
    for given_ in (
        {"where": [["id", "=", 1]] * 51},
        {"whereIn": [["id", [1] * 1001]]},
        {"where": [["name", "=", "x" * 257]]},
        {"limit": 501},
        {"where": [["amount", "=", Decimal("0.123456789")]]},
        {"where": [["amount", "=", Decimal("92233720369")]]},
        {"orderBy": [["id", "asc"]] * 6},
    ):
        with pytest.raises(Refused, match="INVALID_DATA"):
            filters.parse(given_, FIELDS, 100, 500, {})


def test_query_strings_hold_json_and_plain_equality() -> None:
    given_ = filters.from_query_string([("where", '[["amount", ">=", 1.10]]'), ("orderBy", '["id", "DESC"]'), ("id", "7"), ("name", "7")])
    query = filters.parse(given_, FIELDS, 100, 500, {})
    assert [(one.name, one.operator, one.operands) for one in query.conditions] == [
        ("amount", ">=", (Decimal("1.10"),)),
        ("id", "=", (7,)),
        ("name", "=", ("7",)),
    ]
    assert query.order == (("id", True),)
