"""Writes `docs/manager-api.md` from the commands themselves: `python -m api.manager.reference [FILE]`."""

import sys
from pathlib import Path
from typing import Any

from api import auth
from api.errors import STATUS
from api.manager.commands import COMMANDS, Command
from api.manager.pushes import CHANNELS

HEAD = """# The manager API

Made from the code by `python -m api.manager.reference docs/manager-api.md`; a test holds the two equal.

## Two transports, the same commands

**HTTP**: `POST /manager/{command}`, the data as the JSON body, `Authorization: <token>`. The answer is the data.

**TCP**: one JSON value a line, `\\r\\n`, in both directions; any number of requests may be in flight on one connection.

    {"command": "MngGetCopyMastersByFilter", "extID": "a1", "data": {"limit": 10, "offset": 0}, "__token": "<token>"}
    {"extID": "a1", "status": 200, "data": {"structure": ["id", ...], "rows": [[1, ...]], "count": 1}}
    {"extID": "a2", "status": 400, "error": "INVALID_DATA", "message": "..."}

The role comes from the token (`lockstep token manager NAME`), never from the wire. `Idempotency-Key` (HTTP) or `idempotencyKey` (TCP,
beside `extID`) makes a write safe to send again: the same key and data get the same answer, other data 422. `If-Match: <version>` (HTTP)
and `updated_time` refuse to write over a change that was not seen.

`Subscribe` and `Unsubscribe` take `{"chanels": [...]}` (TCP alone) with any of CHANNELS. A push is
`{"event": channel, "type": "open", "data": {...}}`. When the session of the last of them has ended, the connection is told so
(401 `INVALID_MANAGER_SESSION`, without an `extID`) and closed.

Tables answer `{"structure": [...], "rows": [[...]], "count": N}`; `count` is how many match on all pages. They take the standard filter:
`where` `[[field, op, value]]` (`= == != > < >= <= like`), `whereNot`, `whereIn`, `whereNotIn`, `whereBetween`, `whereNotBetween`,
`orderBy`, `limit` (default 100, at most 50,000), `offset`. Times are Unix seconds, 64-bit ids may be sent as numbers or strings.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD.replace("CHANNELS", ", ".join(f"`{channel}`" for channel in CHANNELS)), "## Commands\n"]
    parts += [_command(command) for command in COMMANDS.values()]
    parts.append(
        "## Error codes\n\n| status | error |\n| --- | --- |\n" + "\n".join(f"| {s} | `{code}` |" for code, s in STATUS.items()) + "\n"
    )
    return "\n".join(parts)


def _command(command: Command) -> str:
    roles = "every manager role" if command.roles == auth.MANAGERS else ", ".join(sorted(f"`{role}`" for role in command.roles))
    lines = [f"### {command.name}\n", f"{command.does} For {roles}.\n"]
    if command.structure:
        lines.append(f"Answers a table with the columns {', '.join(f'`{name}`' for name in command.structure)}.\n")
        return "\n".join(lines)
    schema = command.body.model_json_schema()
    needed = set(schema.get("required", []))
    lines += ["| field | type | required |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {_type(its, schema)} | {'yes' if name in needed else 'no'} |" for name, its in schema["properties"].items()]
    for name, its in schema.get("$defs", {}).items():
        lines += [f"\n`{name}`:\n", "| field | type |", "| --- | --- |"]
        lines += [f"| `{field}` | {_type(kind, schema)} |" for field, kind in its["properties"].items()]
    return "\n".join(lines) + "\n"


def _type(its: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in its:
        return f"`{its['$ref'].rpartition('/')[2]}`"
    if "anyOf" in its:
        return " or ".join(dict.fromkeys(_type(one, schema) for one in its["anyOf"]))
    words = [", ".join(f"`{value}`" for value in its["enum"])] if "enum" in its else [str(its.get("type", "any"))]
    words += [f"{word} {its[key]}" for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "up to")) if key in its]
    if its.get("default") not in {None, ""}:
        words.append(f"(default {its['default']})")
    return " ".join(words)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
