"""How near to the market a copy's stops and pending prices may be: what would be nearer is moved off, as little as the symbol lets it.

Prices are whole numbers of 1e-8, 0 is none. Formulas.md section 2: clamp to `stops_level` and `freeze_level`, and keep the master's price
otherwise.
"""

from typing import NamedTuple

from shared.symbols import BUY


class Room(NamedTuple):
    """A symbol's prices (0: not known), the least distance from them, and the grid of its prices.

    The least distance is the larger one of `stops_level` and `freeze_level`: a stop set within the latter could not be changed any more.
    """

    bid: int
    ask: int
    least: int
    grid: int

    def opening(self, side: str) -> int:
        return self.ask if side == BUY else self.bid

    def closing(self, side: str) -> int:
        return self.bid if side == BUY else self.ask


class Levels(NamedTuple):
    """A pending order's prices and its stops."""

    price: int
    limit_price: int
    sl: int
    tp: int


def on_grid(level: int, grid: int) -> int:
    """The level on the symbol's price grid, half-even as the venue rounds it."""
    steps, rest = divmod(level, grid)
    return (steps + (2 * rest > grid or (2 * rest == grid and steps % 2))) * grid


def over(level: int, now: int, *, below: bool) -> bool:
    """Whether the price is at a level (0: none) or beyond it, which should lie below (or above) the price."""
    return bool(level and now) and (level >= now if below else level <= now)


def away(level: int, now: int, *, below: bool, least: int, meant: int = 0) -> int:
    """The level, or the nearest one that is at least so far below (or above) the price now.

    One that the price has reached is left as it is: it is not too near but over, and to move it would make another trade of it. `meant` is
    the price that this is judged by, where it is another one than the price now.
    """
    if not level or not now or over(level, meant or now, below=below):
        return level
    bound = now - least if below else now + least
    moved = min(level, bound) if below else max(level, bound)
    return moved if moved > 0 else level


def around(side: str, sl: int, tp: int, now: int, room: Room, meant: int = 0) -> tuple[int, int]:
    """Stop loss and take profit at least the least distance from the price that would hit them, on the symbol's grid."""
    least, buys = room.least, side == BUY
    loss = away(on_grid(sl, room.grid), now, below=buys, least=least, meant=meant)
    return loss, away(on_grid(tp, room.grid), now, below=not buys, least=least, meant=meant)


def stops(side: str, sl: int, tp: int, room: Room) -> tuple[int, int]:
    """The stops of a position that is open, or opened now."""
    return around(side, sl, tp, room.closing(side), room)


def resting(side: str, kind: str, wanted: Levels, room: Room, held: int = 0) -> Levels:
    """A pending order at least the least distance from the market, and its stops as far from where it would be filled.

    `held` is the price at which it rests already.
    """
    below = (side == BUY) == (kind == "limit")
    meant, limit_price = on_grid(wanted.price, room.grid), on_grid(wanted.limit_price, room.grid)
    price = nearest(meant, held, away(meant, room.opening(side), below=below, least=room.least))
    at, meant = (limit_price, limit_price) if kind == "stop_limit" else (price, meant)
    return Levels(price, limit_price, *around(side, wanted.sl, wanted.tp, at, room, meant))


def nearest(wanted: int, held: int, allowed: int) -> int:
    """What to ask for: the allowed level, but never one that is farther from the wanted one than the level in force is already."""
    return held if held and min(wanted, allowed) <= held <= max(wanted, allowed) else allowed


def frozen(now: int, levels: tuple[int, ...], freeze: int) -> bool:
    """Whether one of an order's levels is so near to the price that hits it that the venue changes nothing any more."""
    return bool(now) and any(level and abs(now - level) < freeze for level in levels)
