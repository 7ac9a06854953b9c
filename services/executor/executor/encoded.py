"""Table events whose rows their maker has encoded already: a fan-out writes the JSON of thousands of rows at once, from columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json
from shared.contracts.event import Event, TableEvent

from executor.columns import Integers


class Encoded(Event):
    """Stands for a table event on its way out. `fields` are the event's own, beside its rows; `body` is the rows' JSON, comma separated.

    Only to be emitted: it is written as the event that it stands for, and read as that.
    """

    fields: dict[str, Any]
    structure: tuple[str, ...]
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
            "structure": self.structure,
        }
        return f'{to_json(head).decode()[:-1]},"rows":[{self.body}]}}'


def encoded(event: type[TableEvent], bodies: Sequence[str], count: int, **fields: Any) -> Encoded:
    """The event with `count` rows, given as texts of `table_rows`. Fields that are amounts come as strings.

    Rows may leave out the event's last columns where these have defaults.
    """
    own_type = event.model_fields["type"].default
    structure = event.model_fields["structure"].default
    return Encoded(type=own_type, fields=fields, structure=structure, body=",".join(bodies), count=count)


def table_rows(*columns: Integers | str) -> str:
    """Rows as JSON lists, comma separated: a column is whole numbers, or the JSON of one or more values that all rows have.

    All rows are one format of all numbers: five times as fast as writing row by row.
    """
    numbers = [column for column in columns if not isinstance(column, str)]
    row = ",".join(column.replace("%", "%%") if isinstance(column, str) else "%d" for column in columns)
    rows: str = ",".join([f"[{row}]"] * len(numbers[0])) % tuple(np.column_stack(numbers).ravel().tolist())
    return rows
