"""Writes the documents that are made from the code: `python tools/docs.py` writes them, `--check` says which are not as the code is.

docs/openapi.json   the api's REST                docs/asyncapi.json   all topics
docs/topics.md      an example of every event     docs/manager-api.md  the manager API
docs/settings.md    every setting
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.app import create_app
from api.manager.reference import reference
from api.settings import Settings
from console.settings import Settings as ConsoleSettings
from executor.settings import ExecutorSettings
from gateway.settings import GatewaySettings
from pydantic import SecretStr
from pydantic_core import PydanticUndefined, to_jsonable_python
from rewards.settings import RewardsSettings
from shared.asyncapi import ENVELOPE, asyncapi
from shared.clock import system_clock
from shared.contracts.event import TableEvent
from shared.contracts.stats import PRICE_CHANNEL, PriceRow
from shared.examples import example
from shared.settings import Settings as CommonSettings
from shared.store.engine import create_engine
from shared.store.work import Store
from shared.topics import PRICES_ABOUT, PRICES_READERS, TOPICS, Topic, about, name_of
from stats.settings import StatsSettings

DOCS = Path(__file__).parents[1] / "docs"

SETTINGS: dict[str, type[CommonSettings]] = {
    "api": Settings,
    "executor": ExecutorSettings,
    "gateway": GatewaySettings,
    "rewards": RewardsSettings,
    "stats": StatsSettings,
    "console": ConsoleSettings,
}
WORDS = {
    "env": "`production` refuses what only a demo may have: published secrets and passwords, a Redis without one, a moved clock.",
    "home": "The folder of SQLite stores and of what is kept beside them.",
    "redis_url": "Redis, with the user and password in it.",
    "http_host": "The address that the HTTP port is bound to.",
    "log_level": "debug, info, warning or error.",
    "log_json": "Log lines as JSON.",
    "body_max_bytes": "Largest body of a request.",
    "json_depth_max": "Deepest nesting of a JSON body.",
    "page_default": "Rows of a list when the request names no limit.",
    "page_max": "Most rows of a list.",
    "manager_page_max": "Most rows of a list of the manager API.",
    "tcp_line_max_bytes": "Longest line of the manager's line protocol.",
    "tcp_connections_max": "Most connections to the line protocol.",
    "tcp_key": "PEM file with the key of `tcp_certificate`.",
    "api_timeout_s": "How long the console waits for an answer of the api.",
}
"""What settings mean whose names say nearly all of it."""


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


def settings() -> str:
    """Every setting of every service, from the classes that read them."""
    lines = [
        "# Settings",
        "",
        "Environment variables, read once at the start. Made from each service's `settings.py` by `make docs`; a test holds the two equal.",
        "",
        "## Every service",
        "",
        *_table(CommonSettings, {}),
    ]
    for service, model in SETTINGS.items():
        own = _table(model, CommonSettings.model_fields)
        if len(own) > 2:
            lines += ["", f"## {service}", "", *own]
    return "\n".join(lines) + "\n"


def _table(model: type[CommonSettings], without: dict[str, Any]) -> list[str]:
    words = WORDS | _docstrings(model)
    lines = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if name in without:
            continue
        default = field.get_default(call_default_factory=True)
        if isinstance(default, SecretStr):
            shown = "the demo's" if default.get_secret_value() else "-"
        else:
            shown = "required" if default is PydanticUndefined else _shown(default)
        lines.append(f"| `LOCKSTEP_{name.upper()}` | {shown} | {' '.join(words[name].split()).replace('|', chr(92) + '|')} |")
    return lines


def _shown(default: Any) -> str:
    plain = to_jsonable_python(sorted(default) if isinstance(default, set | frozenset) else default)
    return "-" if plain in ("", None) else f"`{json.dumps(plain).strip(chr(34))}`"


def _docstrings(model: type[CommonSettings]) -> dict[str, str]:
    """The words below each field, which Python itself does not keep."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if not issubclass(part, CommonSettings):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = str(ast.literal_eval(below.value))
    return found


def documents() -> dict[str, str]:
    """Every document that is made from the code, by its file's name."""
    return {
        "openapi.json": json.dumps(openapi(), indent=1, sort_keys=True) + "\n",
        "asyncapi.json": json.dumps(asyncapi(), indent=1, sort_keys=True) + "\n",
        "topics.md": topics(),
        "manager-api.md": reference(),
        "settings.md": settings(),
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
