"""What decisions were made from, and what they came to, as `copy.link` records it: one table of columns for all rows of an event."""

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic_core import to_json

from executor.columns import Integers
from executor.decide import Decision
from executor.terms import Policy, Rules, Signal, Standing, Terms

Values = dict[str, Any]
"""Columns by name: a list of values, or one value that all rows have."""


def common(signal: Signal, terms: Sequence[Terms], policy: Policy) -> str:
    """What all decisions on a signal have in common, as the beginning of a JSON object."""
    shared = {"unit": "1e-8", "signal": signal._asdict(), "policy": policy._asdict(), "terms": [one._asdict() for one in terms]}
    return to_json(shared).decode()[:-1]


def recorded(start: str, which: Any, rules: Values, standing: Values, result: Values) -> str:
    """The inputs of an event's decisions. `start` is `common`'s; `which` are the places of the rows' terms."""
    columns = {"which": which, "rules": rules, "standing": standing}
    made = orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    return f'{start},{made},"result":{as_json(result)}}}'


def as_json(values: Values) -> str:
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def column(values: Sequence[Any]) -> Any:
    """A column: its one value when all are the same."""
    return values[0] if all(value == values[0] for value in values) else list(values)


def of_plain(decided: Sequence[tuple[Rules, Standing, Decision]]) -> tuple[Values, Values, Values]:
    """The columns of a few decisions."""
    if len(decided) == 1:
        rules_of, standing_of, result_of = decided[0]
        return rules_of._asdict(), standing_of._asdict(), result_of._asdict()
    parts = (zip(*part, strict=True) for part in zip(*decided, strict=True))
    rules, standing, result = ([column(values) for values in part] for part in parts)
    return (
        dict(zip(Rules._fields, rules, strict=True)),
        dict(zip(Standing._fields, standing, strict=True)),
        dict(zip(Decision._fields, result, strict=True)),
    )


def alike(columns: Integers) -> list[bool]:
    """Of each column (a row here) whether all its values are the same."""
    same: list[bool] = (columns == columns[:, :1]).all(axis=1).tolist()
    return same


def of_table(names: Sequence[str], columns: Integers, same: Sequence[bool]) -> Values:
    """The columns of many decisions: `columns` has a row for each name; what is the same in all of them is told as one value."""
    return {name: int(columns[n, 0]) if same[n] else columns[n] for n, name in enumerate(names)}


def of_texts(texts: Sequence[str], codes: Integers) -> Any:
    """A column of texts that are told by their places."""
    first = int(codes[0])
    return texts[first] if (codes == first).all() else [texts[code] for code in codes.tolist()]
