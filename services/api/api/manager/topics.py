"""How far each service has read each topic: what an operator looks at first."""

from typing import Any

from api.auth import Actor
from api.bodies import Body
from api.context import Asked, Context
from api.errors import Refused
from api.views import Json

STRUCTURE = ("stream", "last", "reader", "place", "lag", "reported_time")


class Nothing(Body):
    """Takes no data."""


async def listed(context: Context, _actor: Actor, _data: Any, _asked: Asked) -> Json:
    """A row for each stream and reader; `lag`: how many entries the reader is behind, as it last reported. Raises Refused(UNAVAILABLE)."""
    if context.reader_places is None:
        raise Refused("UNAVAILABLE", "this process reads no topics")
    try:
        standings = await context.reader_places()
    except ConnectionError as fault:
        raise Refused("UNAVAILABLE", str(fault)) from fault
    rows = [
        [stream, last, reader, report.number, max(0, last - report.number), report.reported_ms // 1000]
        for stream, (last, reports) in sorted(standings.items())
        for reader, report in sorted(reports.items())
    ]
    return {"structure": list(STRUCTURE), "rows": rows, "count": len(rows)}
