"""Writes the documents that are made from the code: `python tools/docs.py` writes them, `--check` says which are not as the code is.

docs/openapi.json   the api's REST                docs/asyncapi.json   all topics
docs/topics.md      an example of every event     docs/manager-api.md  the manager API
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.app import create_app
from api.manager.reference import reference
from api.settings import Settings
from shared.asyncapi import ENVELOPE, asyncapi
from shared.clock import system_clock
from shared.contracts.event import TableEvent
from shared.contracts.stats import PRICE_CHANNEL, PriceRow
from shared.examples import example
from shared.store.engine import create_engine
from shared.store.work import Store
from shared.topics import PRICES_ABOUT, PRICES_READERS, TOPICS, Topic, about, name_of

DOCS = Path(__file__).parents[1] / "docs"


def openapi() -> dict[str, Any]:
    """The api's REST as OpenAPI; nothing is opened for it."""
    app = create_app(Store(create_engine("sqlite:///:memory:"), "api", system_clock()), Settings())
    document: dict[str, Any] = app.openapi()
    return document


def topics() -> str:
    """Every topic and event, in words and as an example."""
    lines = [
        "# Topics",
        "",
        "Made from the contracts (`shared/shared/contracts`) by `make docs`; a test holds the two equal. The same as AsyncAPI is in",
        "[asyncapi.json](asyncapi.json), and as a page at `/topics` of the api.",
        "",
        ENVELOPE,
        "",
        "| topic | written by | read by | says |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| [`{one.name}`](#{_anchor(one.name)}) | {one.writer} | {', '.join(one.readers)} | {one.about} |" for one in TOPICS]
    lines += [f"| `{PRICE_CHANNEL}` | gateway | {', '.join(PRICES_READERS)} | {PRICES_ABOUT} Columns: {_columns(PriceRow)}. |", ""]
    for topic in TOPICS:
        lines += list(_topic(topic))
    return "\n".join(lines).rstrip() + "\n"


def _topic(topic: Topic) -> Iterator[str]:
    yield from (f"## {topic.name}", "", f"{topic.about} Written by {topic.writer}; read by {', '.join(topic.readers)}.", "")
    for event in topic.types():
        yield from (f"### {name_of(event)}", "", about(event), "")
        if issubclass(event, TableEvent):
            row = event.model_fields["rows"].annotation.__args__[0]  # type: ignore[union-attr]
            yield from (f"A row: {' '.join((row.__doc__ or '').split())}", "")
        yield from ("```json", _one_line(example(event)), "```", "")


def _one_line(event: dict[str, Any]) -> str:
    """One field a line: short enough to read, and to see what changed."""
    fields = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in event.items()]
    return "{\n" + ",\n".join(fields) + "\n}"


def _anchor(heading: str) -> str:
    return heading.replace(".", "")


def _columns(row: type[PriceRow]) -> str:
    return ", ".join(f"`{name}`" for name in row._fields)


def documents() -> dict[str, str]:
    """Every document that is made from the code, by its file's name."""
    return {
        "openapi.json": json.dumps(openapi(), indent=1, sort_keys=True) + "\n",
        "asyncapi.json": json.dumps(asyncapi(), indent=1, sort_keys=True) + "\n",
        "topics.md": topics(),
        "manager-api.md": reference(),
    }


def stale() -> list[str]:
    """The documents that are not as the code is."""
    return [name for name, text in documents().items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]


def main() -> None:
    if "--check" in sys.argv:
        old = stale()
        raise SystemExit(f"not as the code is: {', '.join(old)}; `make docs` writes them" if old else 0)
    for name, text in documents().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
