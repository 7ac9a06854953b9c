"""The executor's figures: how long each part of a copy takes, what was skipped and why, where the links stand."""

from collections import Counter as Tally

from prometheus_client import Counter, Gauge
from shared.contracts.links import LinkState
from shared.contracts.trades import PositionsClosed, PositionsOpened, PositionsReduced
from shared.ids import is_copy
from shared.store.work import Work
from shared.telemetry import COPY_SECONDS, show
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from executor.fanouts import in_flight
from executor.levels import DRIFTS
from executor.links import SKIPPED
from executor.settings import ExecutorSettings
from executor.store import Link, table

SKIPS = Counter("lockstep_skips", "Copies that were not made, by the code of the decision", ["reason"])
LINKS = Gauge("lockstep_links", "Trade links by the specification's state; skips are left out, `lockstep_skips` counts them", ["state"])
UNKNOWN = Gauge("lockstep_unknown_orders", "Copy orders and changes that the venue has not answered in time; they are asked for again")

DECIDED = {"copy.open": "open", "copy.close": "close"}


def skipped(work: Work, tally: "Tally[str]") -> None:
    """Counts decisions by their reason (empty: copied), once they are committed."""
    del tally[""]
    if tally:
        work.after_commit.append(lambda: _count(tally))


def _count(tally: "Tally[str]") -> None:
    for reason, number in tally.items():
        SKIPS.labels(reason).inc(number)


def told(work: Work, now_ms: int) -> None:
    """From the venue's word to our order (`decide`), and from its fill to the link that says so (`confirm`): once an entry."""
    sent_ms = {f"{batch.stream}:{batch.number}": batch.sent for batch in work.handled}
    ours = (event for _, _, sent in work.sent for event in sent if event.type in DECIDED)
    decided = {(event.causation_id.rpartition(":")[0], DECIDED[event.type]) for event in ours}
    for entry, action in decided:
        if entry in sent_ms:
            COPY_SECONDS.labels("decide", action).observe(max(0, now_ms - sent_ms[entry]) / 1000)
    for batch in work.handled:
        for action in {action for event in batch.events if (action := _confirmed(event))}:
            COPY_SECONDS.labels("confirm", action).observe(max(0, now_ms - batch.sent) / 1000)


def _confirmed(event: object) -> str:
    """What an event says was done for a copy; an event of the venue is about copies, or about others, never about both."""
    if isinstance(event, PositionsOpened):
        return "open" if event.rows and is_copy(event.rows[0].client_id) else ""
    if isinstance(event, PositionsClosed | PositionsReduced):
        return "close" if event.rows and is_copy(event.rows[0].client_id) else ""
    return ""


async def links(session: AsyncSession, _now: int) -> None:
    """Links by state."""
    link = table(Link)
    made = select(link.c.state, func.count()).where(link.c.phase != SKIPPED).group_by(link.c.state)
    states = Tally({LinkState(row[0]).name.lower(): row[1] for row in await session.execute(made)})
    states["active"] += sum(int(flight.alone.sum()) for flight in await in_flight(session))
    show(LINKS, states)


class UnknownOrders:
    """Orders in flight for longer than the executor waits before it asks again."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self._after_ms = settings.unknown_after_ms

    async def __call__(self, session: AsyncSession, now: int) -> None:
        link = table(Link)
        due = now - self._after_ms
        late = ((link.c.sent_ms > 0) & ((link.c.sent_ms <= due) | (link.c.reason == "UNKNOWN"))) | (
            (link.c.protect_ms > 0) & (link.c.protect_ms <= due) & link.c.reason.not_in(DRIFTS)
        )
        rows = (await session.execute(select(func.count()).where(link.c.state == 0, late))).scalar() or 0
        UNKNOWN.set(rows + sum(int(flight.alone.sum()) for flight in await in_flight(session) if flight.created_ms <= due))
