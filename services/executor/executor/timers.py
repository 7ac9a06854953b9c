"""What nobody tells: answers that stay out, refused closes and changes that are to be tried again, and old records."""

from typing import NamedTuple

from shared.clock import has_passed
from shared.contracts import orders
from shared.shards import numbered
from shared.store import outbox
from shared.store.work import Work
from sqlalchemy import ColumnElement

from executor import follow_stops, links, pending_side, reconcile
from executor.closing import MASTER_CLOSED, settle, withdraw
from executor.desk import Desk
from executor.fanouts import sent_outside
from executor.follower_side import symbol_of
from executor.levels import DRIFTS
from executor.links import PENDING
from executor.master_side import approach
from executor.outgoing import Outgoing
from executor.queries import forget_old
from executor.records import LinkRecord
from executor.snapshots import ask_again
from executor.store import Link, table

RING_LIMIT = 5000
"""Links that one ring looks after; the others have their turn a second later."""
UNKNOWN = "UNKNOWN"
GATEWAY = "gateway"
"""Under this name the gateway says how far it has read."""
DAY_MS = 86_400_000
CLEAN_EVERY_MS = 3_600_000


class Overdue(NamedTuple):
    """What has waited for too long: since before `due`, or since a time that has not come. The clock was wrong then, and who waited for
    that time could wait for hours with a close. A time of 0 says that nothing waits."""

    due: int
    now: int

    def since(self, at_ms: int) -> bool:
        return at_ms > 0 and (at_ms <= self.due or at_ms > self.now)

    def rows(self, at_ms: ColumnElement[int]) -> ColumnElement[bool]:
        """The same of a column."""
        return (at_ms > 0) & ((at_ms <= self.due) | (at_ms > self.now))


async def ring(desk: Desk, work: Work) -> None:
    """To be called each second."""
    await desk.begin(work)
    out = Outgoing()
    link = table(Link)
    waiting = await overdue(desk, work)
    late = waiting.rows(link.c.sent_ms) | waiting.rows(link.c.protect_ms)
    for found in await desk.links_where(sent_outside(*waiting), link.c.state == 0, late, limit=RING_LIMIT):
        await look_after(desk, out, found, waiting)
    await follow_stops.watch(desk, out)
    await reconcile.begin_due(desk, out)
    if has_passed(work.now, desk.memory.cleaned_ms, CLEAN_EVERY_MS):
        desk.memory.cleaned_ms = work.now
        await forget_old(work.session, work.now - round(desk.settings.retention_days * DAY_MS))
    out.emit(work)


async def overdue(desk: Desk, work: Work) -> Overdue:
    """What a gateway that is behind has not read, it will get from the log, and answer: asked again and again it would only fall further
    behind."""
    due = work.now - desk.settings.unknown_after_ms
    unread_ms = await outbox.unread_since(work.session, numbered(orders.TOPIC, desk.settings.part.number), GATEWAY)
    if unread_ms is not None:
        due = min(due, unread_ms - 1)
    return Overdue(due, work.now)


async def look_after(desk: Desk, out: Outgoing, link: LinkRecord, waiting: Overdue) -> None:
    """One link with something overdue. Without an answer the outcome is unknown: the very same order is asked for again.

    What was refused is another matter: that order is done, so the next one has an id of its own.
    """
    if waiting.since(link.sent_ms):
        if link.phase == links.OPEN and not link.close_volume:
            link.sent_ms = 0
            await settle(desk, out, link, link.close_reason or MASTER_CLOSED)
        elif link.phase == PENDING and link.follower_order and not link.close_volume:
            withdraw(desk, out, link, link.close_reason)
        else:
            link.sent_ms = desk.now
            await ask_again(desk, out, link, orders=True, changes=False)
            link.reason = UNKNOWN
            out.tell(link, await symbol_of(desk, link))
    if waiting.since(link.protect_ms):
        if link.reason in DRIFTS and link.phase == links.OPEN:
            approach(desk, out, link)
        elif link.reason in DRIFTS and link.phase == PENDING:
            await pending_side.approach(desk, out, link)
        elif link.phase in {links.OPEN, PENDING}:
            link.protect_ms = desk.now
            await ask_again(desk, out, link, orders=False, changes=True)
        else:
            link.protect_ms = 0
    desk.changed_link(link)
