"""Stops by rate (specification 5): of a whole copy, and of single copies that a follower has set; looked at each second."""

from fractions import Fraction

from shared.contracts.config import FollowConfig, PositionStops, StopsSaved, Subscription
from shared.money import EXACT
from shared.symbols import BUY

from executor import links
from executor.amounts import UNIT, units
from executor.closing import let_go
from executor.columns import S
from executor.desk import Desk
from executor.fanouts import of_logins
from executor.follower_side import symbol_of
from executor.follows import CopyStopFacts, OwnStopFacts
from executor.master_side import masters_stops, protect
from executor.outgoing import Outgoing
from executor.records import LinkRecord
from executor.store import Link, table

COPY_PROFIT, COPY_LOSS = "COPY_STOP_PROFIT", "COPY_STOP_LOSS"
RATE_PROFIT, RATE_LOSS = "STOP_PROFIT_RATE", "STOP_LOSS_RATE"


def put_copy_stop(desk: Desk, subscription: Subscription) -> None:
    """Takes over the stops of the whole copy. A config that is set anew lifts a stop that has acted, and then counts anew."""
    follows, config = desk.memory.follows, subscription.follow
    profit, loss = stop_amounts(config) if config else (0, 0)
    if config is None or not (profit or loss):
        follows.drop_copy_stop(subscription.id)
        return
    known = follows.copy_stops.get(subscription.id)
    delay_ms = config.stop_loss_delay * 1000
    if known is None or (known.stopped_ms and config.set_ms > known.set_ms):
        logins = (subscription.master_login, subscription.follower_login)
        known = CopyStopFacts(subscription.id, *logins, profit, loss, delay_ms, config.set_ms)
    known.profit, known.loss, known.delay_ms, known.set_ms = profit, loss, delay_ms, max(known.set_ms, config.set_ms)
    follows.put_copy_stop(known)


def stop_amounts(config: FollowConfig) -> tuple[int, int]:
    """The profit and the loss at which a copy ends: the rates of the amount that is really invested."""
    rates = (config.stop_profit_rate, config.stop_loss_rate)
    profit, loss = (units(EXACT.multiply(rate, config.real_invest_amount)) for rate in rates)
    return profit, loss


async def stops_saved(desk: Desk, out: Outgoing, event: StopsSaved) -> None:
    """A follower has set stops for what it holds under a master in a symbol: the venue's stops, and ours for the rates and the delay.

    Told again, in a snapshot, they are not for copies of later. Of what is told for the first time no clock decides: the api's is not ours,
    and a copy that has just been opened may seem to be of later. One that rests is not held: for it they are none, which is kept, too.
    """
    stops = event.stops
    again = event.time > stops.updated_ms
    link, side = table(Link), BUY if stops.is_long else "sell"
    mine = (link.c.follower_login == stops.follower_login, link.c.master_login == stops.master_login)
    for found in await desk.links_where(of_logins([stops.follower_login]), *mine, link.c.state == 0):
        known = desk.memory.follows.own_stop(found)
        fits = (found.symbol, found.side) == (stops.symbol, side)
        later = again and found.created_ms > stops.updated_ms
        rests = found.phase == links.PENDING
        if not fits or later or (found.follower_order == 0 and not rests) or (known and known.version >= stops.version):
            continue
        profit, loss = (0, 0) if rests else _prices(desk, found, stops)
        own = OwnStopFacts(found.subscription, found.master_order, found.follower_login, stops.version, profit, loss, 0)
        own.delay_ms = stops.stop_loss_delay * 1000
        desk.memory.follows.put_own_stop(own)
        await _follow_own(desk, out, found, own, known)


async def _follow_own(desk: Desk, out: Outgoing, link: LinkRecord, own: OwnStopFacts, known: OwnStopFacts | None) -> None:
    """Brings a copy's stops to what its follower has set. One that is not set stays, or is the master's again if it was set before."""
    before = (link.want_sl, link.want_tp)
    sl, tp = await masters_stops(desk, link)
    if own.loss:
        link.want_sl = 0 if own.delay_ms else own.loss  # the venue knows no delay: a stop with one is ours alone
    elif known and known.loss:
        link.want_sl = sl
    if own.profit:
        link.want_tp = own.profit
    elif known and known.profit:
        link.want_tp = tp
    if (link.want_sl, link.want_tp) == before:
        return
    protect(desk, out, link)
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


def _prices(desk: Desk, link: LinkRecord, stops: PositionStops) -> tuple[int, int]:
    """Take profit and stop loss as prices on the symbol's grid; 0 where no rate is set, or no price above 0 is so far away."""
    facts = desk.memory.market.symbols.get(link.symbol)
    grid = facts.point if facts else 1
    sign = 1 if link.side == BUY else -1

    def at(rate: int, direction: int) -> int:
        price = link.price + sign * direction * link.price * rate // UNIT
        return max(0, round(price / grid) * grid) if rate else 0

    return at(units(stops.stop_profit_rate), 1), at(units(stops.stop_loss_rate), -1)


async def watch(desk: Desk, out: Outgoing) -> None:
    """To be called each second: closes what is beyond its stop, losses after their delay."""
    for own in list(desk.memory.follows.own_stops.values()):
        await _look_at_copy(desk, out, own)
    for stop in desk.memory.follows.watched():
        await _look_at_all(desk, out, stop)


async def _look_at_copy(desk: Desk, out: Outgoing, own: OwnStopFacts) -> None:
    link = await desk.link(own.master_order, own.subscription)
    if link is None or not link.active:
        desk.memory.follows.drop_own_stop(own)
        return
    price = closing_price(desk, link)
    if link.phase != links.OPEN or not link.target or not price:
        return
    sign = 1 if link.side == BUY else -1
    reason = RATE_PROFIT if own.profit and (price - own.profit) * sign >= 0 else ""
    beyond = bool(own.loss) and (price - own.loss) * sign <= 0
    since = min(own.beyond_ms or desk.now, desk.now) if beyond else 0
    if beyond and desk.now - since >= own.delay_ms:
        reason = RATE_LOSS
    if since != own.beyond_ms:
        own.beyond_ms = since
        desk.memory.follows.put_own_stop(own)
    if reason:
        await let_go(desk, out, link, True, reason, await symbol_of(desk, link))


def closing_price(desk: Desk, link: LinkRecord) -> int:
    """The price at which a copy would be closed now; 0 when none is known."""
    facts = desk.memory.market.symbols.get(link.symbol)
    return facts.room.closing(link.side) if facts else 0


async def _look_at_all(desk: Desk, out: Outgoing, stop: CopyStopFacts) -> None:
    await desk.accounts([stop.follower_login])
    active = [await desk.link(stake.master_order, stake.subscription) for stake in desk.memory.follows.open_stakes(stop.subscription)]
    made = stop.realised + sum(floating(desk, link) for link in active if link is not None and link.volume_now)
    beyond = stop.loss > 0 and made <= -stop.loss
    since = min(stop.beyond_ms or desk.now, desk.now) if beyond else 0
    if since != stop.beyond_ms:
        stop.beyond_ms = since
        desk.memory.follows.put_copy_stop(stop)
    reason = COPY_PROFIT if 0 < stop.profit <= made else COPY_LOSS if beyond and desk.now - since >= stop.delay_ms else ""
    if not reason:
        return
    stop.stopped_ms, stop.reason = desk.now, reason
    desk.memory.follows.put_copy_stop(stop)
    columns = await desk.columns(stop.master_login)
    place = columns.find(stop.subscription)
    if place is not None:
        columns.data[place, S["stopped"]] = 1
    for link in active:
        if link is not None:
            await let_go(desk, out, link, True, reason, await symbol_of(desk, link))


def floating(desk: Desk, link: LinkRecord) -> int:
    """The gross profit of closing a copy now, in 1e-8 of its account's currency; 0 while no price or rate is known."""
    facts, price = desk.memory.market.symbols.get(link.symbol), closing_price(desk, link)
    if facts is None or not price:
        return 0
    rate = desk.memory.market.rate(facts.quote_currency, desk.memory.accounts.currency(link.follower_login))
    moved = (price - link.price) * (1 if link.side == BUY else -1)
    made = rate * Fraction(moved * link.volume_now * facts.contract_size, facts.volume_per_lot * UNIT)
    return made.numerator // made.denominator
