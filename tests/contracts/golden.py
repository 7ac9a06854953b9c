"""Golden files: one example of each event, written when the event is new and never changed.

python -m tests.contracts.golden     writes those that are missing
"""

import json
import types
from decimal import Decimal
from enum import IntEnum
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from shared.contracts import config, links, orders, rewards, stats, trades
from shared.contracts.event import Event

FOLDER = Path(__file__).parent / "golden"
TOPICS: dict[str, Any] = {
    trades.TOPIC: trades.TradeEvent,
    config.TOPIC: config.ConfigEvent,
    orders.TOPIC: orders.OrderEvent,
    links.TOPIC: links.LinkEvent,
    rewards.TOPIC: rewards.RewardEvent,
    stats.TOPIC: stats.StatsEvent,
}


def event_types(union: Any) -> list[type[Event]]:
    """The event classes of a topic's tagged union (which may be of one)."""
    inner = get_args(union)[0] if get_origin(union) is Annotated else union
    return list(get_args(inner)) or [inner]


def name_of(event_type: type[Event]) -> str:
    """The event's `type` on the wire."""
    name: str = event_type.model_fields["type"].default
    return name


EVENTS = [(topic, event_type) for topic, union in TOPICS.items() for event_type in event_types(union)]


def example(event_type: type[Event]) -> str:
    """The JSON of an example in which every field has a value of its own."""
    values = value_of(event_type, count(1))
    return json.dumps(values, indent=1) + "\n"


def value_of(wanted: Any, numbers: "count[int]") -> Any:
    """A JSON value of a type, different each time where the type allows it."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return value_of(arguments[0], numbers)
    if origin is Literal:
        return arguments[0]
    if origin in (types.UnionType,) or str(origin) == "typing.Union":
        return value_of(arguments[0], numbers)
    if origin is tuple:
        return [value_of(arguments[0], numbers) for _ in range(2)]
    if origin is dict:
        return {"key": value_of(arguments[1], numbers)}
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return {name: _field(wanted, name, numbers) for name in wanted.model_fields}
    if hasattr(wanted, "_fields"):
        hints = get_type_hints(wanted, include_extras=True)
        return [value_of(hints[name], numbers) for name in wanted._fields]
    return _scalar(wanted, numbers)


def _field(model: type[BaseModel], name: str, numbers: "count[int]") -> Any:
    if name == "structure":
        return list(getattr(model, "_fields"))  # noqa: B009  (of table events alone)
    return value_of(model.model_fields[name].annotation, numbers)


def _scalar(wanted: Any, numbers: "count[int]") -> Any:
    if wanted is bool:
        return True
    if issubclass(wanted, IntEnum):
        return int(next(iter(wanted)))
    if issubclass(wanted, Decimal):
        return f"{next(numbers)}.25"
    return next(numbers) if issubclass(wanted, int) else f"text {next(numbers)}"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for _, event_type in EVENTS:
        path = FOLDER / f"{name_of(event_type)}.json"
        if not path.exists():
            path.write_text(example(event_type))
