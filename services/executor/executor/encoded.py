"""Table events whose rows their maker has encoded already: a fan-out writes each row's JSON once, from columns."""

from typing import Any

from pydantic_core import to_json
from shared.contracts.event import Event, TableEvent


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


def encoded(event: type[TableEvent], rows: list[str], **fields: Any) -> Encoded:
    """The event with these rows, each a JSON list in the order of the event's columns. Fields that are amounts come as strings."""
    own_type = event.model_fields["type"].default
    structure = event.model_fields["structure"].default
    return Encoded(type=own_type, fields=fields, structure=structure, body=",".join(rows), count=len(rows))
