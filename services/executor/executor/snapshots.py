"""The current state of what the executor writes, told again: orders in flight under their own ids, and the links."""

from shared.store.work import Work

from executor import levels, links
from executor.desk import Desk
from executor.fanouts import everything, orders_since
from executor.follower_side import symbol_of
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord
from executor.store import Link, table

DAY_MS = 86_400_000
RECENT_DAYS = 7
"""Links that came to their end, and skips, are told again for so many days."""


async def orders(desk: Desk, work: Work) -> None:
    """Every order without an answer. The venue knows the ids: what it has done already is not done again."""
    await desk.begin(work)
    out = Outgoing()
    link = table(Link)
    for found in await desk.links_where(everything, link.c.state == 0, (link.c.sent_ms > 0) | (link.c.protect_ms > 0)):
        await ask_again(desk, out, found)
    out.emit(work)


def leverage_of(desk: Desk, link: LinkRecord) -> int:
    """The leverage that a copy was sent with; 0: the account's."""
    stake = desk.memory.follows.stake(link.subscription, link.master_order)
    return stake.leverage if stake else 0


async def ask_again(desk: Desk, out: Outgoing, link: LinkRecord, *, orders: bool = True, changes: bool = True) -> None:
    """Sends what a link waits for an answer to once more, under the same client order ids: its orders, its changes."""
    position = await desk.position(link.master_order)
    pending = position if link.phase == links.PENDING and position is not None and position.kind != POSITION else None
    if orders and link.follower_order == 0 and link.kind == POSITION:
        out.open(link, position, leverage_of(desk, link), levels.stops_of(desk, link))
    elif orders and link.follower_order == 0 and pending is not None and not link.close_volume:
        out.place(link, pending, leverage_of(desk, link), levels.resting_of(desk, link, pending))
    if orders and link.close_volume:
        (out.cancel if link.phase == links.PENDING else out.close)(link)
    if changes and link.protect_ms and link.phase == links.OPEN:
        out.protect(link, levels.stops_of(desk, link))
    elif changes and link.protect_ms and pending is not None:
        out.replace(link, levels.resting_of(desk, link, pending), pending.expires_ms)


async def link_states(desk: Desk, work: Work) -> None:
    """All active links, and those that changed lately."""
    await desk.begin(work)
    out = Outgoing()
    link = table(Link)
    since = work.now - RECENT_DAYS * DAY_MS
    for found in await desk.links_where(everything, (link.c.state == 0) | (link.c.updated_ms >= since)):
        out.tell(found, await symbol_of(desk, found))
    for order in await orders_since(desk.session, since):
        for skipped in (await desk.fan(order)).values():
            if skipped.phase == links.SKIPPED:
                out.tell(skipped, await symbol_of(desk, skipped))
    out.emit(work)
