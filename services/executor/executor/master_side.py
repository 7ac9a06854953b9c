"""What a master does: its opens go to its followers, its closes and changes to the copies that there are."""

from collections.abc import Awaitable, Callable

from shared.contracts.config import CopyMode
from shared.contracts.trades import REASON_CLIENT, REASON_COPY, ChangedRow, ClosedRow, OpenedRow, PositionsClosed
from shared.ids import is_copy
from shared.store.work import Work

from executor import levels, links
from executor.amounts import units
from executor.closing import master_reduced
from executor.columns import S
from executor.desk import Desk
from executor.fanout import fan_out
from executor.manual import forbidden, undone
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord, PositionRecord, noted


def copied(client_id: str, reason: str) -> bool:
    """Whether a trade was made by copying: such a trade is never copied on."""
    return reason == REASON_COPY or is_copy(client_id)


OnFilled = Callable[[Desk, Outgoing, PositionRecord], Awaitable[None]]


async def opened(desk: Desk, work: Work, out: Outgoing, row: OpenedRow, on_filled: OnFilled) -> None:
    """A position that nobody copied was opened. One that is known already (told twice) changes nothing, unless a reconcile or a closing has
    only noted it: then its opening comes late (a dead letter that was retried, say), and what is left of it is decided on.

    `on_filled` is what happens when it was a pending order before; also of that something may have been closed by now.
    """
    known = await desk.position(row.order) if await may_be_known(desk, row) else None
    if known is not None and known.kind == POSITION and not known.only_noted:
        return
    accounts = await desk.accounts([row.login])
    reward = accounts.get(row.login, "reward_credit")
    balance = units(row.balance)
    position = PositionRecord(
        order=row.order,
        login=row.login,
        kind=POSITION,
        symbol=row.symbol,
        side=row.side,
        initial=row.volume,
        volume=row.volume,
        price=units(row.price),
        limit_price=0,
        sl=units(row.sl),
        tp=units(row.tp),
        version=0,  # a position counts its changes anew, also one that was a pending order
        equity=units(row.equity) - units(row.credit) - reward,
        balance=balance - reward,
        expires_ms=0,
        opened_ms=row.opened_ms,
        leverage=row.leverage,
        margin_type=row.margin_type,
    )
    if known is not None and (known.only_noted or known.volume < known.initial):
        position.volume, position.closed_ms = known.volume, known.closed_ms
    if known is not None and known.only_noted and known.version:  # without a version nobody has told of its stops
        position.version, position.sl, position.tp = known.version, known.sl, known.tp
    desk.changed_position(position)
    if await undone(desk, row.login, row.order, "opened", copied=False):
        out.close_forbidden(row)
        return
    ahead = desk.settings.closed_meanwhile == "skip" and row.order in closed_ahead(work)
    await fan_out(desk, work, position, new=known is None, closed=ahead or not position.volume)
    if known is not None and known.kind != POSITION:
        await on_filled(desk, out, position)


def closed_ahead(work: Work) -> frozenset[int]:
    """The positions that are closed within the entries that were read together."""
    closed = (event.rows for batch in work.ahead for event in batch.events if isinstance(event, PositionsClosed))
    return frozenset(row.order for rows in closed for row in rows)


async def may_be_known(desk: Desk, row: OpenedRow) -> bool:
    """Order numbers of a venue grow: one above all that were seen is new, and needs no look into the store."""
    return row.order in desk.memory.positions or row.order <= await desk.highest_order()


async def reduced(desk: Desk, out: Outgoing, row: ClosedRow) -> None:
    """A master has closed a part, or (left 0) the whole, for whatever reason: a stop loss or stop-out is a close."""
    position = await desk.position(row.order)
    if position is None and row.login in desk.memory.masters:
        _note(desk, row)
    if position is None or row.left >= position.volume:
        return
    if row.reason == REASON_CLIENT:
        await forbidden(desk, row.login, row.order, "closed", copied=False)
    position.volume = row.left
    if row.left == 0:
        position.closed_ms = row.closed_ms
    desk.changed_position(position)
    for link in list((await desk.fan(row.order)).values()):
        await master_reduced(desk, out, link, row.left, position.symbol)


def _note(desk: Desk, row: ClosedRow) -> None:
    """A closing of a position whose opening was never seen: what is left of it is known when its opening comes late."""
    position = noted(row, row.login, row.left, units(row.open_price))
    position.closed_ms = 0 if row.left else row.closed_ms
    desk.changed_position(position)


async def changed(desk: Desk, out: Outgoing, position: PositionRecord, row: ChangedRow) -> None:
    """A master has moved stop loss or take profit. An older version than the last one changes nothing."""
    if row.version <= position.version:
        return
    await forbidden(desk, row.login, row.order, "changed", copied=False)
    position.version, position.sl, position.tp = row.version, units(row.sl), units(row.tp)
    desk.changed_position(position)
    for link in list((await desk.fan(row.order)).values()):
        if link.active and link.seen_version < row.version:
            link.seen_version = row.version
            await follow_stops(desk, out, link, position)


async def follow_stops(desk: Desk, out: Outgoing, link: LinkRecord, position: PositionRecord) -> None:
    """Brings a copy's stops to the master's, by the subscription's settings as they are now."""
    row = await desk.subscription(link.master_login, link.subscription)
    desk.changed_link(link)
    if row is None or row[S["copy_mode"]] == CopyMode.OPEN_ONLY:
        return
    sl, tp = mirrored(link, position)
    own = desk.memory.follows.own_stop(link)  # what the follower set itself stays
    sl = sl if row[S["copy_sl"]] and not (own and own.loss) else link.want_sl
    tp = tp if row[S["copy_tp"]] and not (own and own.profit) else link.want_tp
    if (sl, tp) == (link.want_sl, link.want_tp):
        return
    link.want_sl, link.want_tp = sl, tp
    protect(desk, out, link)
    out.tell(link, position.symbol)


def mirrored(link: LinkRecord, position: PositionRecord) -> tuple[int, int]:
    """The master's stop loss and take profit as the copy's: reversed, one is the other."""
    return (position.tp, position.sl) if link.side != position.side else (position.sl, position.tp)


async def masters_stops(desk: Desk, link: LinkRecord) -> tuple[int, int]:
    """The stop loss and take profit that a copy has from its master; 0 what it has not."""
    position = await desk.position(link.master_order)
    row = await desk.subscription(link.master_login, link.subscription)
    if position is None or row is None:
        return 0, 0
    sl, tp = mirrored(link, position)
    return sl if row[S["copy_sl"]] else 0, tp if row[S["copy_tp"]] else 0


def protect(desk: Desk, out: Outgoing, link: LinkRecord, stops: tuple[int, int] | None = None) -> None:
    """Sends the change to these stops, or to those that are wanted. While the opening is on its way it waits for the fill."""
    if link.phase != links.OPEN or link.close_volume == link.volume_now:
        return
    link.change_step += 1
    link.protect_ms = desk.now
    desk.changed_link(link)
    out.protect(link, stops or levels.stops_of(desk, link))


def approach(desk: Desk, out: Outgoing, link: LinkRecord) -> None:
    """Brings an open copy's stops nearer to what they should be, as far as the market lets them; the timer comes here again until they are.

    Nothing of ours may be on its way for them.
    """
    held = (link.sl, link.tp)
    if held == (link.want_sl, link.want_tp) or held == levels.wanted_stops(desk, link):
        link.protect_ms = 0
        if link.reason == levels.STOPS_DRIFT:
            link.reason = ""
        return
    stops = levels.stops_again(desk, link)
    if held != stops and not levels.is_frozen(desk, link):
        protect(desk, out, link, stops)
        return
    link.reason = levels.STOPS_DRIFT
    link.protect_ms = desk.now
