"""Dead letters of this service: what it could not handle, and asking for it again."""

from shared.store import outbox
from sqlalchemy import ColumnElement, func, select

from api import filters
from api.auth import Actor
from api.commands.change import Change
from api.context import Context
from api.errors import Refused
from api.filters import FilterField
from api.views import Json

TABLE = outbox.dead_letter
STRUCTURE = ("id", "created_time", "stream", "number", "event_index", "reason", "payload", "retry_requested", "retried")


def _column(name: str) -> ColumnElement[object]:
    column: ColumnElement[object] = TABLE.c[name]
    return column


FIELDS = {
    "id": FilterField(_column("id"), "int"),
    "created_time": FilterField(TABLE.c.created_ms // 1000, "int"),
    "stream": FilterField(_column("stream"), "text"),
    "number": FilterField(_column("number"), "int"),
    "event_index": FilterField(_column("event_index"), "int"),
    "reason": FilterField(_column("reason"), "text"),
    "retry_requested": FilterField(func.coalesce(TABLE.c.retry_requested_ms // 1000, 0), "int"),
    "retried": FilterField(func.coalesce(TABLE.c.retried_ms // 1000, 0), "int"),
}


async def listed(context: Context, _actor: Actor, query: filters.Query) -> Json:
    columns = [FIELDS[name].column.label(name) if name in FIELDS else TABLE.c[name] for name in STRUCTURE]
    async with context.store.read() as session:
        rows, count = await filters.page(session, select(*columns), query, FIELDS, TABLE.c.id)
    return {"structure": list(STRUCTURE), "rows": [list(row) for row in rows], "count": count}


async def retry(change: Change, letter: int) -> Json:
    """Asks the service to handle it again, which it does within a second. Raises Refused(RET_ERR_NOTFOUND)."""
    if not await outbox.request_retry(change.session, letter, change.work.now):
        raise Refused("RET_ERR_NOTFOUND", f"there is no dead letter {letter} that waits")
    return {"data": "OK"}
