"""Closing copies: how much of a copy is to be left, and the one close that is in flight until it is left."""

from shared.contracts.config import CopyMode

from executor import links
from executor.columns import S
from executor.desk import Desk
from executor.links import CLOSE_SENT, LET_GO, WITHDRAWN, after
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord

MASTER_CLOSED, UNSUBSCRIBED, MASTER_CANCELLED, STOPPED = "MASTER_CLOSED", "UNSUBSCRIBED", "MASTER_CANCELLED", "STOPPED"
MASTER_FILLED = "MASTER_FILLED"
"""A pending copy is withdrawn because the master's order was filled, to be opened at market instead."""
NOT_FILLED = "NOT_FILLED"
"""A pending copy is withdrawn for good because the master's order was filled without it."""


async def master_reduced(desk: Desk, out: Outgoing, link: LinkRecord, left: int, symbol: str) -> None:
    """The master has `left` open: the copy is brought to its share of that, or closed when nothing is left."""
    if not link.active or left >= link.master_now:
        return
    link.master_now = left
    if await follows(desk, link):
        link.target = min(link.target, share(desk, link))
        await settle(desk, out, link, MASTER_CLOSED)
    if link.phase == links.PENDING and not (left and link.target):
        withdraw(desk, out, link, MASTER_CLOSED)  # also one that follows no closes: it would open what the master has not
    desk.changed_link(link)
    out.tell(link, symbol)


async def follows(desk: Desk, link: LinkRecord) -> bool:
    """Whether a copy follows what its master has closed by now."""
    row = await desk.subscription(link.master_login, link.subscription)
    if row is None:
        return True
    return bool(row[S["copy_mode"]] != CopyMode.OPEN_ONLY and (link.master_now == 0 or row[S["copy_partial_close"]]))


def share(desk: Desk, link: LinkRecord) -> int:
    """What is to be left of a copy of which the master has `master_now` open."""
    facts = desk.memory.market.symbols.get(link.symbol)
    smallest, step = (facts.volume_min, max(1, facts.volume_step)) if facts else (1, 1)
    now = link.volume_now if link.follower_order and link.kind == POSITION else link.volume
    return links.target(link.volume, now, link.master_now, link.master_volume, smallest, step, desk.settings.dust_policy)


async def settle(desk: Desk, out: Outgoing, link: LinkRecord, reason: str) -> None:
    """Sends the close that brings the copy to its target, unless one is in flight: then its answer comes here again.

    One at a time, of the difference to an absolute target: nothing is closed twice, whatever is told twice or late. A close of the
    whole is sent even before the opening is confirmed (order 0); a part waits for it, since it needs the volume that was filled.
    """
    if link.close_volume or link.phase not in {links.OPENING, links.OPEN}:
        return
    there = link.volume_now if link.phase == links.OPEN else link.volume
    excess = there - link.target if link.phase == links.OPEN or link.target == 0 else 0
    if excess <= 0:
        return
    link.close_step += 1
    link.close_volume = excess
    link.close_reason = reason
    link.sent_ms = desk.now
    if link.target == 0:
        link.enter(after(link.phase, CLOSE_SENT))
    desk.changed_link(link)
    out.close(link)


async def let_go(desk: Desk, out: Outgoing, link: LinkRecord, close: bool, reason: str, symbol: str) -> None:
    """Ends the copying of one link: its position is closed, or stays with the follower; a pending copy is withdrawn either way."""
    if not link.active:
        return
    if link.phase == links.PENDING:
        withdraw(desk, out, link, reason)
    elif close:
        link.target = 0
        await settle(desk, out, link, reason)
    else:
        link.enter(after(link.phase, LET_GO))
        link.reason = reason
        link.close_volume = link.sent_ms = link.protect_ms = 0
        desk.count(link, -1)
    desk.changed_link(link)
    out.tell(link, symbol)


def withdraw(desk: Desk, out: Outgoing, link: LinkRecord, reason: str) -> None:
    """Asks the venue to cancel a pending copy. Until it answers the copy may still be filled; then it is closed.

    Unless the master's order was filled: then a copy that is filled after all is what was wanted.
    """
    if reason != MASTER_FILLED:
        link.target = 0
    if link.close_volume:
        if link.close_reason == MASTER_FILLED:
            link.close_reason = reason
        return
    link.close_step += 1
    link.close_volume = link.volume
    link.close_reason = reason
    link.sent_ms = desk.now
    desk.changed_link(link)
    out.cancel(link)


def withdrawn(desk: Desk, link: LinkRecord, reason: str) -> None:
    """The pending copy is no more."""
    if after(link.phase, WITHDRAWN) == link.phase:
        return
    link.enter(after(link.phase, WITHDRAWN))
    link.reason = reason
    link.close_volume = link.sent_ms = link.protect_ms = 0
    desk.count(link, -1)
    desk.changed_link(link)
