"""Dead letters: what any service could not handle, having it handled again, and throwing it away.

This service's own letters are in its store; the others tell theirs on a board (`shared.bus.letters`), where they are asked, too.
"""

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from shared.bus.letters import Action
from shared.store import outbox
from shared.store.outbox import DeadLetter
from sqlalchemy import ColumnElement

from api import columns, filters
from api.auth import Actor
from api.bodies import Body, Id
from api.commands.change import Change
from api.context import Asked, Context
from api.errors import Refused
from api.filters import FilterField
from api.store import Audit
from api.views import Json

TABLE = outbox.dead_letter
STRUCTURE = ("id", "created_time", "stream", "number", "event_index", "reason", "payload", "retry_requested", "retried", "service")
OWN = "api"
Service = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z]+(\.[0-9]+)?$")]


class LetterKey(Body):
    """Which letter: the service that could not handle it, and the letter's number there."""

    id: Id
    service: Service = OWN


def _field(name: str, kind: Literal["int", "text"]) -> FilterField:
    column: ColumnElement[object] = TABLE.c[name]
    return FilterField(column, kind)


FIELDS = {
    **{name: _field(name, "int") for name in ("id", "number", "event_index")},
    **{name: _field(name, "text") for name in ("stream", "reason")},
    **{name: _field("created_ms", "int") for name in ("created_time", "retry_requested", "retried")},
    "service": _field("stream", "text"),
}
"""What letters are filtered by; they are filtered in memory, since most of them are in no table here."""


def _column(field: FilterField, values: list[Any]) -> columns.Column:
    return columns.texts(values) if field.kind == "text" else columns.numbers(values)


async def listed(context: Context, _actor: Actor, query: filters.Query) -> Json:
    """Raises Refused(UNAVAILABLE) when the other services' letters cannot be seen."""
    rows = sorted(((service, letter) for service, letters in (await _all(context)).items() for letter in letters), key=_place)
    shown = [_row(service, letter) for service, letter in rows]
    kept = {name: _column(field, [row[STRUCTURE.index(name)] for row in shown]) for name, field in FIELDS.items()}
    found = columns.ordered(query, kept, columns.matching(query, kept, np.arange(len(shown))))
    page = found[query.offset : query.offset + query.limit]
    return {"structure": list(STRUCTURE), "rows": [shown[at] for at in page], "count": len(found)}


async def retry(context: Context, actor: Actor, data: LetterKey, asked: Asked) -> Json:
    """Asks the service to handle it again, which it does within seconds. Raises Refused: RET_ERR_NOTFOUND, UNAVAILABLE."""
    return await _asked(context, actor, data, "retry", asked)


async def discard(context: Context, actor: Actor, data: LetterKey, asked: Asked) -> Json:
    """Throws a letter away. Raises Refused: RET_ERR_NOTFOUND, UNAVAILABLE."""
    return await _asked(context, actor, data, "discard", asked)


async def _asked(context: Context, actor: Actor, data: LetterKey, action: Action, asked: Asked) -> Json:
    letters = (await _all(context)).get(data.service, [])
    letter = next((one for one in letters if one.id == data.id and (action == "discard" or one.retried_ms is None)), None)

    async def do(change: Change) -> Json:
        if letter is None:
            raise Refused("RET_ERR_NOTFOUND", f"{data.service} has no dead letter {data.id} that waits")
        if data.service == OWN:
            await _own(change, data.id, action)
        elif context.letters is not None:
            try:
                await context.letters.ask(data.service, data.id, action)
            except ConnectionError as fault:
                raise Refused("UNAVAILABLE", str(fault)) from fault
        before = {"service": data.service, "stream": letter.stream, "number": letter.number, "reason": letter.reason}
        now = change.work.now
        after = json.dumps(before | {"retry_requested": now // 1000}) if action == "retry" else ""
        row = Audit(created_ms=now, actor=str(change.actor), action=action, noun="dead_letter", record_id=data.id)
        row.before, row.after = json.dumps(before), after
        change.session.add(row)
        return {"data": "OK"}

    return await context.write(actor, do, asked)


async def _own(change: Change, letter: int, action: Action) -> None:
    if action == "retry":
        await outbox.request_retry(change.session, letter, change.work.now)
    else:
        await outbox.discard(change.session, letter)


async def _all(context: Context) -> dict[str, list[DeadLetter]]:
    """The letters of every service: our own as they are, the others' as they were told."""
    async with context.store.read() as session:
        own = await outbox.shown_letters(session, context.settings.manager_page_max)
    if context.letters is None:
        return {OWN: own}
    try:
        return await context.letters.letters() | {OWN: own}
    except ConnectionError as fault:
        raise Refused("UNAVAILABLE", str(fault)) from fault


def _place(one: tuple[str, DeadLetter]) -> tuple[int, str, int]:
    return one[1].created_ms, one[0], one[1].id


def _row(service: str, letter: DeadLetter) -> list[object]:
    times = ((letter.retry_requested_ms or 0) // 1000, (letter.retried_ms or 0) // 1000)
    head = (letter.id, letter.created_ms // 1000, letter.stream, letter.number, letter.event_index, letter.reason, letter.payload)
    return [*head, *times, service]
