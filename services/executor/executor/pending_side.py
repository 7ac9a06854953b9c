"""Pending orders: placed, changed, cancelled and filled with the master's; and what happens when only one side is filled."""

from shared.contracts.trades import REASON_CLIENT, PendingGoneRow, PendingRow
from shared.ids import is_copy
from shared.store.work import Work

from executor import levels, limits, links
from executor.amounts import units
from executor.closing import MASTER_CANCELLED, MASTER_FILLED, NOT_FILLED, let_go, withdraw, withdrawn
from executor.columns import S
from executor.decide import stops
from executor.desk import Desk
from executor.distance import Levels
from executor.fanout import fan_out, ground_of, signal_of
from executor.follower_side import link_of, symbol_of
from executor.links import OPEN_SENT, after
from executor.manual import forbidden, undone
from executor.master_side import copied, follow_stops
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord, PositionRecord

EXPIRED = "EXPIRED"
MASTER_EXPIRED, FOLLOWER_CANCELLED = "MASTER_EXPIRED", "FOLLOWER_CANCELLED"


async def placed(desk: Desk, work: Work, out: Outgoing, row: PendingRow, time: int) -> None:
    """A pending order was placed: by a master (then it is copied), or by us (then it is confirmed)."""
    if copied(row.client_id, row.reason):
        await _confirmed(desk, out, row)
        return
    if await desk.position(row.order) is not None:
        return
    accounts = await desk.accounts([row.login])
    reward = accounts.get(row.login, "reward_credit")
    position = PositionRecord(
        order=row.order,
        login=row.login,
        kind=row.kind,
        symbol=row.symbol,
        side=row.side,
        initial=row.volume,
        volume=row.volume,
        price=units(row.price),
        limit_price=units(row.limit_price),
        sl=units(row.sl),
        tp=units(row.tp),
        version=row.version,
        equity=units(row.equity) - units(row.credit) - reward,
        balance=units(row.balance) - reward,
        expires_ms=row.expires_ms,
        opened_ms=time,
        leverage=row.leverage,
        margin_type=row.margin_type,
    )
    desk.changed_position(position)
    if await undone(desk, row.login, row.order, "placed", copied=False):
        out.cancel_forbidden(row)
        return
    await fan_out(desk, work, position, new=True)


async def _confirmed(desk: Desk, out: Outgoing, row: PendingRow) -> None:
    """Our pending copy rests on the venue, with these prices; what the master changed meanwhile follows now.

    When nothing of ours was on its way, the follower has changed it, whose wish its prices are until the master changes his.
    """
    found = await link_of(desk, row.client_id)
    if found is None or found[0].phase != links.PENDING:
        return
    link = found[0]
    ours = link.follower_order == 0 or bool(link.sent_ms or link.protect_ms)
    link.follower_order = row.order
    link.price, link.sl, link.tp = units(row.price), units(row.sl), units(row.tp)
    if not ours and await undone(desk, row.login, row.order, "changed", copied=True):
        await approach(desk, out, link)
    elif not ours:
        link.want_sl, link.want_tp = link.sl, link.tp
    else:
        if not link.close_reason:
            link.sent_ms = 0
            link.reason = ""
        await approach(desk, out, link)
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


async def approach(desk: Desk, out: Outgoing, link: LinkRecord) -> None:
    """Brings a resting copy to the master's order as it stands now, as far as the market lets it; the timer comes here again until it is.

    Nothing of ours may be on its way for it.
    """
    link.protect_ms = 0
    position = await desk.position(link.master_order)
    if position is None or position.kind == POSITION or link.close_reason:
        return
    held = (link.price, link.sl, link.tp)
    wanted, allowed = levels.wanted_levels(desk, link, position), levels.resting_of(desk, link, position)
    if link.seen_version < position.version or (held != _held(allowed) and not levels.is_frozen(desk, link)):
        await _replace(desk, out, link, position)
    elif held != _held(wanted):
        link.protect_ms = desk.now
        link.reason = levels.PRICE_DRIFT if link.price != wanted.price else levels.STOPS_DRIFT
    elif link.reason in levels.DRIFTS:
        link.reason = ""


def _held(of: Levels) -> tuple[int, int, int]:
    """What a link knows of where its pending copy rests."""
    return of.price, of.sl, of.tp


async def changed(desk: Desk, out: Outgoing, row: PendingRow) -> None:
    """A pending order was changed: by a master (the copies follow; an older version changes nothing), or a copy as we wanted."""
    if copied(row.client_id, row.reason):
        await _confirmed(desk, out, row)
        return
    position = await desk.position(row.order)
    if position is None or position.kind == POSITION or row.version <= position.version:
        return
    await forbidden(desk, row.login, row.order, "changed", copied=False)
    position.version, position.expires_ms = row.version, row.expires_ms
    position.price, position.limit_price = units(row.price), units(row.limit_price)
    position.sl, position.tp = units(row.sl), units(row.tp)
    desk.changed_position(position)
    for link in list((await desk.fan(row.order)).values()):
        if link.phase == links.PENDING and link.follower_order and not link.close_reason:
            await _replace(desk, out, link, position)
            out.tell(link, position.symbol)
        elif link.phase == links.OPEN and link.seen_version < row.version:  # it was filled before the master's
            link.seen_version = row.version
            await follow_stops(desk, out, link, position)


async def _replace(desk: Desk, out: Outgoing, link: LinkRecord, position: PositionRecord) -> None:
    row = await desk.subscription(link.master_login, link.subscription)
    if row is None:
        return
    signal = await signal_of(desk, position, asked=False)
    _, link.want_sl, link.want_tp = stops(signal, row[S["copy_sl"]], row[S["copy_tp"]], int(link.side != position.side))
    link.seen_version = position.version
    link.change_step += 1
    link.protect_ms = desk.now
    desk.changed_link(link)
    out.replace(link, levels.resting_of(desk, link, position), position.expires_ms)


async def cancelled(desk: Desk, out: Outgoing, row: PendingGoneRow) -> None:
    """A pending order is no more: a master's (the copies are withdrawn), or a copy."""
    if is_copy(row.client_id):
        await _copy_gone(desk, out, row)
        return
    position = await desk.position(row.order)
    if position is None or position.kind == POSITION or position.volume == 0:
        return
    if row.reason == REASON_CLIENT:
        await forbidden(desk, row.login, row.order, "cancelled", copied=False)
    position.volume, position.closed_ms = 0, desk.now
    desk.changed_position(position)
    reason = MASTER_EXPIRED if row.reason == EXPIRED else MASTER_CANCELLED
    for link in list((await desk.fan(row.order)).values()):
        if not link.active:
            continue
        link.master_now = 0
        # one that was filled alone copies nothing that the master has
        await let_go(desk, out, link, desk.settings.pending_fill_policy != "leave", reason, position.symbol)


async def _copy_gone(desk: Desk, out: Outgoing, row: PendingGoneRow) -> None:
    found = await link_of(desk, row.client_id)
    if found is None or found[0].phase != links.PENDING:
        return
    link = found[0]
    if link.close_reason == MASTER_FILLED and link.target:
        await _open_instead(desk, out, link)
    else:
        if not link.close_reason and row.reason == REASON_CLIENT:
            await forbidden(desk, row.login, row.order, "cancelled", copied=True)
        own = FOLLOWER_CANCELLED if row.reason == REASON_CLIENT else row.reason
        withdrawn(desk, link, link.close_reason or own)
    out.tell(link, await symbol_of(desk, link))


async def master_filled(desk: Desk, out: Outgoing, position: PositionRecord) -> None:
    """The master's pending order became a position. Copies that are filled belong to it; for those that still rest the policy says."""
    policy = desk.settings.pending_fill_policy
    for link in list((await desk.fan(position.order)).values()):
        if not link.active:
            continue
        link.seen_version = 0
        desk.changed_link(link)
        if link.phase != links.PENDING:
            continue
        link.protect_ms = 0  # there is no order any more whose changes it could follow
        if policy != "leave":
            withdraw(desk, out, link, MASTER_FILLED if policy == "market_if_within_slippage" else NOT_FILLED)
            out.tell(link, position.symbol)


async def _open_instead(desk: Desk, out: Outgoing, link: LinkRecord) -> None:
    """The resting copy is withdrawn, the master's was filled: opened at market, if the subscription opens anything now and the price is
    not beyond its guard. The counts are left out: the link is among them already.
    """
    position = await desk.position(link.master_order)
    ground = await ground_of(desk, position, link.subscription) if position is not None else None
    facts = desk.memory.market.symbols.get(link.symbol)
    if position is None or ground is None or facts is None or position.volume == 0:
        withdrawn(desk, link, NOT_FILLED)
        return
    terms, rules, standing = ground
    signal = await signal_of(desk, position, asked=False)
    worst = limits.worst_price(signal, link.side, rules.max_slippage_points, facts.point, rules.zero_slippage)
    reason = limits.barred(signal, terms, rules, standing) or limits.moved(link.side, facts.room.opening(link.side), worst)
    if reason:
        withdrawn(desk, link, reason)
        return
    link.enter(after(link.phase, OPEN_SENT))
    link.kind, link.follower_order, link.close_volume, link.close_reason = POSITION, 0, 0, ""
    link.price = link.sl = link.tp = 0
    link.worst, link.sent_ms, link.reason = worst, desk.now, ""
    link.master_volume = position.initial
    link.master_now = position.volume
    desk.changed_link(link)
    stake = desk.memory.follows.stake(link.subscription, link.master_order)
    out.open(link, position, stake.leverage if stake else 0, levels.stops_of(desk, link))
