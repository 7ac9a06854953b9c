"""The stops and pending prices of copies as they are asked for now: the master's, or as near to them as the follower's symbol allows."""

from shared.symbols import BUY

from executor.decide import pending_kind
from executor.desk import Desk
from executor.distance import Levels, Room, frozen, nearest, on_grid, over, resting, stops
from executor.records import POSITION, LinkRecord, PositionRecord

STOPS_DRIFT, PRICE_DRIFT = "SLTP_DRIFT", "PRICE_DRIFT"
DRIFTS = frozenset({STOPS_DRIFT, PRICE_DRIFT})
"""A copy's stops, or its pending price, are not what they should be: the venue refused that, or does not let them be so near yet."""

ANYWHERE = Room(0, 0, 0, 1)
"""Of a symbol that is not known nothing is known, either, that would hold its stops off."""


def room_of(desk: Desk, link: LinkRecord) -> Room:
    """What the market leaves for a copy's stops and price."""
    facts = desk.memory.market.symbols.get(link.symbol)
    return facts.room if facts else ANYWHERE


def wanted_stops(desk: Desk, link: LinkRecord) -> tuple[int, int]:
    """What a copy's stop loss and take profit should be, on its symbol's grid."""
    grid = room_of(desk, link).grid
    return on_grid(link.want_sl, grid), on_grid(link.want_tp, grid)


def stops_of(desk: Desk, link: LinkRecord) -> tuple[int, int]:
    """What a copy's stop loss and take profit can be now."""
    sl, tp = stops(link.side, link.want_sl, link.want_tp, room_of(desk, link))
    return nearest(link.want_sl, link.sl, sl), nearest(link.want_tp, link.tp, tp)


def stops_again(desk: Desk, link: LinkRecord) -> tuple[int, int]:
    """The same for a copy that could not have all of it before: what the market has reached is not asked for again until it is back."""
    now, buys = room_of(desk, link).closing(link.side), link.side == BUY
    sl, tp = stops_of(desk, link)
    return link.sl if over(sl, now, below=buys) else sl, link.tp if over(tp, now, below=not buys) else tp


def wanted_levels(desk: Desk, link: LinkRecord, position: PositionRecord) -> Levels:
    """What a pending copy's prices should be, on its symbol's grid."""
    grid = room_of(desk, link).grid
    return Levels(*(on_grid(level, grid) for level in (position.price, position.limit_price, link.want_sl, link.want_tp)))


def resting_of(desk: Desk, link: LinkRecord, position: PositionRecord) -> Levels:
    """What a pending copy's prices can be now. `link.price` is where it rests."""
    kind = pending_kind(position.kind, int(link.side != position.side))
    wanted = Levels(position.price, position.limit_price, link.want_sl, link.want_tp)
    return resting(link.side, kind, wanted, room_of(desk, link), link.price)


def is_frozen(desk: Desk, link: LinkRecord) -> bool:
    """Whether the market is so near to a copy's stops, or to its pending price, that the venue would refuse to change it."""
    facts = desk.memory.market.symbols.get(link.symbol)
    if facts is None:
        return False
    pending = link.kind != POSITION
    now = facts.room.opening(link.side) if pending else facts.room.closing(link.side)
    return frozen(now, (link.price,) if pending else (link.sl, link.tp), facts.freeze_level * facts.point)
