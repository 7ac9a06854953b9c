"""What the venue answers about copies: fills, closes, changes and refusals; and what followers do with their copies themselves."""

from shared.contracts.trades import REASON_CLIENT, REASON_SL, REASON_STOP_OUT, REASON_TP, ChangedRow, ClosedRow, OpenedRow, RejectedRow
from shared.ids import CopyId, copy_client_id, parse_copy_client_id

from executor import links, stakes
from executor.amounts import units
from executor.closing import MASTER_CLOSED, MASTER_FILLED, NOT_FILLED, follows, settle, share, withdrawn
from executor.desk import Desk
from executor.levels import DRIFTS, PRICE_DRIFT, STOPS_DRIFT, wanted_stops
from executor.links import CLOSE_LOST, CLOSE_REFUSED, FILLED, GONE, REFUSED, after
from executor.manual import forbidden, undone
from executor.master_side import approach, follow_stops
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord

FOLLOWER_CLOSED = "FOLLOWER_CLOSED"
CLOSE_REASONS = {REASON_SL: "SL", REASON_TP: "TP", REASON_STOP_OUT: "STOP_OUT"}


async def link_of(desk: Desk, client_id: str) -> tuple[LinkRecord, CopyId] | None:
    """The link that a copy's client order id names."""
    copy = parse_copy_client_id(client_id)
    link = await desk.link(copy.master_order, copy.subscription) if copy else None
    return (link, copy) if link and copy else None


async def symbol_of(desk: Desk, link: LinkRecord) -> str:
    """The master's symbol of a link."""
    position = await desk.position(link.master_order)
    return position.symbol if position else link.symbol


async def filled(desk: Desk, out: Outgoing, row: OpenedRow) -> None:
    """A copy was opened. What the master did meanwhile is done now: a part or the whole closed, stops moved."""
    found = await link_of(desk, row.client_id)
    if found is None:
        return
    link, _ = found
    phase = after(link.phase, FILLED)
    if (link.follower_order and link.kind == POSITION) or (phase == link.phase and phase != links.CLOSING):
        return  # told before, or a link that has come to its end
    taken_up = not link.active
    if link.phase == links.SKIPPED:
        link.want_sl, link.want_tp = units(row.sl), units(row.tp)
    if taken_up:
        await _take_up(desk, out, link, row, row.volume)
    wanted_whole = link.target == link.volume
    link.enter(phase)
    link.kind = POSITION
    link.follower_order = row.order
    link.volume = link.volume_now = row.volume
    link.price, link.sl, link.tp = units(row.price), units(row.sl), units(row.tp)
    link.reason = ""
    if taken_up:
        await stakes.of_taken_up(desk, link)
    if phase == links.OPEN:
        link.sent_ms = link.close_volume = 0
        if link.target:
            link.target = row.volume if wanted_whole else share(desk, link)
        await settle(desk, out, link, link.close_reason or MASTER_CLOSED)
        if link.phase == links.OPEN:
            approach(desk, out, link)
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


async def _take_up(desk: Desk, out: Outgoing, link: LinkRecord, row: OpenedRow | ClosedRow, volume: int) -> None:
    """A link without a copy, which the venue has all the same: refused because nobody knew the outcome, withdrawn too late, or skipped,
    but decided on before this store was lost. What its master has closed and changed since, nobody told it.
    """
    desk.count(link, 1)
    position = await desk.position(link.master_order)
    if link.phase == links.SKIPPED:
        link.symbol, link.side = row.symbol, row.side
        link.volume = link.target = volume
        link.master_volume = link.master_volume or (position.initial if position else 0)
    link.master_now = position.volume if position else 0
    link.reason = ""
    if link.target:
        link.close_reason = ""  # it is not to be closed as it was to be withdrawn
    if await follows(desk, link):
        link.target = min(link.target, share(desk, link))
    if position is not None and link.seen_version < position.version:
        link.seen_version = position.version
        await follow_stops(desk, out, link, position)


async def reduced(desk: Desk, out: Outgoing, row: ClosedRow) -> None:
    """A copy was closed, in part or whole, by us or by its owner or by its stops. A closed link is never opened again."""
    found = await link_of(desk, row.position_client_id)
    if found is None:
        return
    link, _ = found
    # The closing of a copy that was taken for refused or withdrawn may be told before its opening, which takes it up.
    taken_up = not link.active and link.follower_order == 0 and after(link.phase, FILLED) != link.phase
    if not link.active and link.phase != links.DETACHED and not taken_up:
        return
    if taken_up:
        await _take_up(desk, out, link, row, row.initial)
    own = row.client_id == copy_client_id(link.subscription, link.master_order, "close", link.close_step)
    told_first = link.follower_order == 0 or row.left < link.volume_now
    if link.follower_order == 0:  # the closing is told before the opening
        link.enter(after(link.phase, FILLED))
        link.kind = POSITION
        link.follower_order, link.volume, link.price = row.order, row.initial, units(row.open_price)
        if taken_up:
            await stakes.of_taken_up(desk, link)
    elif row.left >= link.volume_now and not own:
        return
    if told_first and row.reason == REASON_CLIENT:
        await forbidden(desk, row.login, row.order, "closed", copied=True)
    if told_first:
        desk.memory.follows.realised(link, units(row.profit) + units(row.commission) + units(row.swap))
    link.volume_now = min(row.left, link.volume_now) if link.volume_now else row.left
    if own:
        link.close_volume = link.sent_ms = 0
    if row.left == 0:
        _closed(desk, link, row, own)
    else:
        await _part_closed(desk, out, link, row, own)
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


async def _part_closed(desk: Desk, out: Outgoing, link: LinkRecord, row: ClosedRow, own: bool) -> None:
    if own and link.phase == links.CLOSING:
        link.enter(after(link.phase, CLOSE_REFUSED))
    if own and link.reason not in DRIFTS:
        link.reason = ""
    link.target = min(link.target, row.left)
    await settle(desk, out, link, link.close_reason or MASTER_CLOSED)


def _closed(desk: Desk, link: LinkRecord, row: ClosedRow, own: bool) -> None:
    link.volume_now = link.close_volume = link.sent_ms = link.protect_ms = 0
    if not link.active:
        return  # detached: it was the follower's own, and its end is only noted
    link.enter(after(link.phase, GONE))
    link.reason = link.close_reason if own else CLOSE_REASONS.get(row.reason, FOLLOWER_CLOSED)
    desk.count(link, -1)


async def changed(desk: Desk, out: Outgoing, link: LinkRecord, row: ChangedRow) -> None:
    """A copy's stops were changed: by us (then they are as wanted), or by the follower, whose wish they are from now on, if it may."""
    link.sl, link.tp = units(row.sl), units(row.tp)
    copy = parse_copy_client_id(row.client_id)
    if copy is None and await undone(desk, row.login, row.order, "changed", copied=True):
        if not link.protect_ms and link.phase == links.OPEN:
            approach(desk, out, link)
    elif copy is None:
        link.want_sl, link.want_tp = link.sl, link.tp
    elif copy.step == link.change_step:
        link.protect_ms = 0
    if (link.sl, link.tp) == wanted_stops(desk, link):
        link.protect_ms = 0
        if link.reason == STOPS_DRIFT:
            link.reason = ""
    elif not link.protect_ms and link.phase == links.OPEN:
        link.reason, link.protect_ms = STOPS_DRIFT, desk.now  # as near as the market let them come
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


async def rejected(desk: Desk, out: Outgoing, row: RejectedRow) -> None:
    """The venue refused an order of ours. A refused opening ends the link; a refused close or change is tried again later."""
    found = await link_of(desk, row.client_id)
    if found is None:
        return
    link, copy = found
    match copy.action:
        case "open" | "place" if link.follower_order == 0 and after(link.phase, REFUSED) != link.phase:
            if copy.action == "place" and link.phase != links.PENDING:
                return  # the pending copy was given up for an opening at market
            link.enter(after(link.phase, REFUSED))
            link.reason = row.reason
            link.close_volume = link.sent_ms = link.protect_ms = 0
            desk.count(link, -1)
        case "close" if copy.step == link.close_step and link.close_volume and link.active:
            close_refused(desk, link, row.reason)
        case "cancel" if copy.step == link.close_step and link.phase == links.PENDING:
            if row.reason == "ORDER_NOT_FOUND":
                withdrawn(desk, link, NOT_FILLED if link.close_reason == MASTER_FILLED else link.close_reason)
            elif link.close_volume:
                link.close_volume, link.sent_ms, link.reason = 0, desk.now, row.reason
        # `protect_ms` stays: the timer sends the change again, under a new step
        case "protect" if copy.step == link.change_step and link.active:
            link.reason = STOPS_DRIFT
        case "replace" if copy.step == link.change_step and link.phase == links.PENDING:
            link.reason = PRICE_DRIFT
        case _:
            return
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


def close_refused(desk: Desk, link: LinkRecord, reason: str) -> None:
    """The close did nothing. It is sent again with the fill, or by the timer; `sent_ms` is when the refusal came."""
    link.close_volume = 0
    link.enter(after(link.phase, CLOSE_REFUSED if link.follower_order else CLOSE_LOST))
    link.reason = reason
    link.sent_ms = desk.now
