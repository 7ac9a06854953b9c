"""The AsyncAPI 3.0 document of all topics, from the contracts: what a stranger needs to read a stream, or to write a service of his own."""

from typing import Any

from pydantic import TypeAdapter

from shared.contracts.event import Event
from shared.contracts.stats import PRICE_CHANNEL, Prices
from shared.examples import AMOUNTS, NOW, example, example_batch
from shared.topics import PRICES_ABOUT, PRICES_READERS, TOPICS, about, name_of

SCHEMAS = "#/components/schemas/"
ENVELOPE = (
    "Each entry of a stream is one batch: what one transaction of its writer told, at most 500 rows and 32,768 characters of "
    "it, or one event that has more characters. The entry's id is the writer's own number (`17-0`), its only field is `batch`, "
    "plain JSON. `after` says how far the writer had read other streams: handle the batch when you have read as far. `lost` "
    "names numbers that this batch, the first of a snapshot, stands for. A shard of a writer has a stream of its own "
    "(`copy.order.2`). Fields and columns are only ever added, last, with a default: take columns by the names in `structure`; "
    "where there is a `same`, it has the columns that all rows share, and the rows do not. Money and prices are decimal "
    "strings, volumes and ids integers, times Unix milliseconds."
)


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic in TOPICS:
        for event in topic.types():
            messages[name_of(event)] = _message(event, schemas)
        schemas[f"{topic.name}.batch"] = _batch(topic.name, [messages[name_of(event)]["payload"] for event in topic.types()])
        batch = f"{topic.name}.batch"
        messages[batch] = {
            "name": batch,
            "summary": f"One entry of {topic.name}",
            "contentType": "application/json",
            "payload": {"$ref": SCHEMAS + batch},
            "examples": [{"payload": example_batch(topic)}],
        }
        channels[topic.name] = _channel(topic.name, topic.about, batch)
        operations |= _operations(topic.name, topic.writer, topic.readers)
    payload = _own_schemas(TypeAdapter(Prices), schemas)
    row = ["GBPUSD", AMOUNTS["bid"], AMOUNTS["ask"], NOW]
    examples = [{"payload": {"rows": [row]}}]
    messages[PRICE_CHANNEL] = {"name": PRICE_CHANNEL, "contentType": "application/json", "payload": payload, "examples": examples}
    channels[PRICE_CHANNEL] = _channel(PRICE_CHANNEL, PRICES_ABOUT, PRICE_CHANNEL)
    operations |= _operations(PRICE_CHANNEL, "gateway", PRICES_READERS)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Lockstep topics", "version": "1", "description": ENVELOPE},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(address: str, description: str, message: str) -> dict[str, Any]:
    return {"address": address, "description": description, "messages": {message: {"$ref": f"#/components/messages/{message}"}}}


def _operations(channel: str, writer: str, readers: tuple[str, ...]) -> dict[str, Any]:
    """Who sends and who receives; an operation is named by its service and its topic."""
    reference = {"$ref": f"#/channels/{channel}"}
    made: dict[str, Any] = {f"{writer}.sends.{channel}": {"action": "send", "channel": reference, "tags": [{"name": writer}]}}
    for reader in readers:
        made[f"{reader}.receives.{channel}"] = {"action": "receive", "channel": reference, "tags": [{"name": reader}]}
    return made


def _message(event: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name_of(event),
        "summary": about(event),
        "contentType": "application/json",
        "payload": _own_schemas(TypeAdapter(event), schemas),
        "examples": [{"payload": example(event)}],
    }


def _own_schemas(adapter: TypeAdapter[Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The type's schema; what it refers to goes to the document's own place for schemas."""
    schema = adapter.json_schema(mode="serialization", ref_template=SCHEMAS + "{model}")
    schemas |= schema.pop("$defs", {})
    name = schema["title"]
    schemas[name] = schema
    return {"$ref": SCHEMAS + name}


def _batch(topic: str, events: list[dict[str, str]]) -> dict[str, Any]:
    numbers = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "title": f"An entry of {topic}",
        "type": "object",
        "required": ["source", "sent", "events"],
        "properties": {
            "source": {"type": "string", "description": "The writer."},
            "sent": {"type": "integer", "description": "When it was committed: Unix milliseconds."},
            "after": numbers | {"description": "How far the writer had read other streams."},
            "lost": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "description": "First and last number."},
            "events": {"type": "array", "items": {"oneOf": events}},
        },
    }
