"""Stops for losses: a subscription whose follower has lost too much today, or fallen too far, opens no more until a person resumes it."""

from typing import NamedTuple

from executor import links
from executor.amounts import UNIT
from executor.closing import STOPPED, let_go
from executor.columns import S
from executor.desk import Desk
from executor.fanouts import of_logins
from executor.follower_side import symbol_of
from executor.outgoing import Outgoing
from executor.records import GuardFacts
from executor.store import Link, table

DAILY_LOSS, DRAWDOWN = "DAILY_LOSS", "DRAWDOWN"
DAY_MS = 86_400_000
WHOLE = 100 * UNIT
"""100 percent, in the unit of percentages."""


class Watched(NamedTuple):
    """What a guard measures from, after an equity was seen, and the reason to stop (empty: none)."""

    day: int
    day_start: int
    peak: int
    reason: str


def measure(guard: GuardFacts, before: int, equity: int, now: int) -> Watched:
    """One look at the follower's own equity (without credits). A new day (UTC) starts from what was there `before` this look."""
    day = now // DAY_MS
    first = guard.day == 0
    day_start = guard.day_start if guard.day == day else equity if first else before
    peak = max(guard.peak, equity)
    if guard.daily_loss_percent and (day_start - equity) * WHOLE >= guard.daily_loss_percent * day_start > 0:
        return Watched(day, day_start, peak, DAILY_LOSS)
    if guard.drawdown_percent and (peak - equity) * WHOLE >= guard.drawdown_percent * peak > 0:
        return Watched(day, day_start, peak, DRAWDOWN)
    return Watched(day, day_start, peak, "")


async def watch(desk: Desk, out: Outgoing, login: int, before: int, equity: int) -> None:
    """A follower's equity was told: measures it against the stops of its subscriptions, and stops those that have lost too much."""
    for guard in list(desk.memory.guards.get(login, {}).values()):
        if guard.stopped_ms:
            continue
        seen = measure(guard, before, equity, desk.now)
        guard.day, guard.day_start, guard.peak = seen.day, seen.day_start, seen.peak
        desk.changed_guard(guard)
        if seen.reason:
            await stop(desk, out, guard, seen.reason)


async def stop(desk: Desk, out: Outgoing, guard: GuardFacts, reason: str) -> None:
    """No more opens; with the stop action `close`, the open copies are closed, too."""
    guard.stopped_ms, guard.reason = desk.now, reason
    columns = await desk.columns(guard.master_login)
    place = columns.find(guard.subscription)
    if place is not None:
        columns.data[place, S["stopped"]] = 1
    if guard.stop_action != "close":
        return
    link = table(Link)
    state = link.c.state == int(links.STATES[links.OPEN])
    own = link.c.follower_login == guard.follower_login
    active = await desk.links_where(of_logins([guard.follower_login]), own, link.c.subscription == guard.subscription, state)
    for found in active:
        await let_go(desk, out, found, True, f"{STOPPED}_{reason}", await symbol_of(desk, found))


def moved(desk: Desk, login: int, flow: int) -> None:
    """Money was paid in or out: neither a gain nor a loss, so what is measured from moves with it."""
    for guard in desk.memory.guards.get(login, {}).values():
        if guard.day:
            guard.day_start = max(0, guard.day_start + flow)
            guard.peak = max(0, guard.peak + flow)
            desk.changed_guard(guard)
