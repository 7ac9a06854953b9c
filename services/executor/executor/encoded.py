"""Table events whose rows their maker has encoded already: a fan-out writes the JSON of thousands of rows at once, from columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from pydantic_core import to_json
from shared.contracts.event import Event, TableEvent

from executor.columns import Integers


class Encoded(Event):
    """Stands for a table event on its way out. `fields` are the event's own, beside its rows; `body` is the rows' JSON, comma separated.

    Only to be emitted: it is written as the event that it stands for, and read as that.
    """

    fields: dict[str, Any]
    structure: tuple[str, ...]
    same: dict[str, Any]
    body: str
    count: int

    def weight(self) -> int:
        return max(1, self.count)

    def model_dump_json(self, **_: Any) -> str:
        head = {
            "type": self.type,
            "id": self.id,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "time": self.time,
            **self.fields,
            **({"same": self.same} if self.same else {}),
            "structure": self.structure,
        }
        return f'{to_json(head).decode()[:-1]},"rows":[{self.body}]}}'


def encoded(
    event: type[TableEvent],
    bodies: Sequence[str],
    count: int,
    structure: tuple[str, ...] = (),
    same: dict[str, Any] | None = None,
    **fields: Any,
) -> Encoded:
    """The event with `count` rows, given as texts of `table_rows`. Fields and `same` values that are amounts come as strings.

    Without a `structure` the rows have the event's columns, but for the last ones where these have defaults.
    """
    own_type = event.model_fields["type"].default
    columns = structure or event.model_fields["structure"].default
    return Encoded(type=own_type, fields=fields, structure=columns, same=same or {}, body=",".join(bodies), count=count)


def table_rows(*columns: Integers | str) -> str:
    """Rows as JSON lists, comma separated: a column is whole numbers, or the JSON of one or more values that all rows have.

    All rows are one format of all numbers: five times as fast as writing row by row.
    """
    numbers = [column for column in columns if not isinstance(column, str)]
    if len(numbers) == len(columns):
        return orjson.dumps(np.column_stack(numbers), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    row = ",".join(column.replace("%", "%%") if isinstance(column, str) else "%d" for column in columns)
    rows: str = ",".join([f"[{row}]"] * len(numbers[0])) % tuple(np.column_stack(numbers).ravel().tolist())
    return rows
