"""What must come of the chaos workload, computed from trade numbers alone: plain Python that shares no code with the product.

A run is a row of blocks; each block opens its trades at one price, reduces some at the next, and closes all at a third. The price moves
only when everything is done, so it does not matter when a copy is carried out. Trade k's symbol, side and volume, whether it is closed
again at once, and how much of it is closed in between follow from k.

    masters    M1 20 % of each profitable copied trade, M2 10 %; 10,000,000 each; paid out to accounts of their own
    A          follows both: half the volume (rounded down), not ETH; BELOW_MIN where that leaves nothing
    B          follows both: 7 units in reverse, and ignores partial closes
    C          follows M2: volume * own balance / master's balance (rounded down)
    E          follows M1: 1.5 times the volume, at most 50, BELOW_MIN under 10
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

OPEN, REDUCE, CLOSE = 0, 1, 2
STAGES = (OPEN, REDUCE, CLOSE)

BALANCES = {"M1": 10_000_000, "M2": 10_000_000, "A": 10_000_000, "B": 10_000_000, "C": 3_000_000, "E": 10_000_000, "P1": 0, "P2": 0}
FOLLOWERS_OF = {"M1": ("A", "B", "E"), "M2": ("A", "B", "C")}
PERCENT = {"M1": 20, "M2": 10}
PAYOUT = {"M1": "P1", "M2": "P2"}
RULES: dict[str, dict[str, Any]] = {
    "A": {"volume_mode": 1, "risk_multiplier": 0.5, "symbols_mode": 2, "symbols": "ETH-SWAP-USDT"},
    "B": {"volume_mode": 0, "fixed_volume": 7, "reverse_direction": 1, "copy_partial_close": 0},
    "C": {"volume_mode": 3},
    "E": {"volume_mode": 1, "risk_multiplier": 1.5, "min_volume": 10, "max_volume": 50},
}


class Symbol(NamedTuple):
    """`unit`: what one volume unit gains in USD when the price rises by 1."""

    name: str
    digits: int
    unit: Decimal
    first: Decimal
    point: Decimal
    spread: Decimal


SYMBOLS = (
    Symbol("GBPUSD", 5, Decimal(1000), Decimal("1.50000"), Decimal("0.00001"), Decimal("0.00010")),
    Symbol("EURUSD", 5, Decimal(1000), Decimal("1.30000"), Decimal("0.00001"), Decimal("0.00012")),
    Symbol("BTC-SWAP-USDT", 2, Decimal("0.01"), Decimal("46000.00"), Decimal("0.50"), Decimal("1.00")),
    Symbol("ETH-SWAP-USDT", 2, Decimal("0.01"), Decimal("3700.00"), Decimal("0.13"), Decimal("0.50")),
)


class Trade(NamedTuple):
    """One trade of a master. `quick`: closed again at once, at the price that it was opened at. `part`: closed in the middle; 0: none."""

    number: int
    master: str
    symbol: Symbol
    side: str
    volume: int
    quick: bool
    part: int


def trade(k: int) -> Trade:
    """Trade k."""
    master = "M2" if k % 3 == 0 else "M1"
    volume = 1 + k * 7 % 60
    quick = master == "M1" and k % 5 == 4
    part = volume // 3 if k % 4 == 1 and not quick else 0
    return Trade(k, master, SYMBOLS[k * 5 % 7 % 4], "buy" if k // 2 % 2 else "sell", volume, quick, part)


def price(symbol: Symbol, block: int, stage: int) -> tuple[Decimal, Decimal]:
    """Bid and ask of a symbol in a stage of a block."""
    place = SYMBOLS.index(symbol)
    offset = (block * 31 + stage * 170 + place * 57 + 11) % 401 - 200
    bid = symbol.first + symbol.point * offset
    return bid, bid + symbol.spread


def cents(amount: Decimal) -> Decimal:
    """Rounded half-even to cents."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


class Deal(NamedTuple):
    """A fill; `side` is the position's."""

    symbol: str
    side: str
    entry: str
    volume: int
    price: Decimal
    profit: Decimal


@dataclass
class Position:
    """A position of a master or a follower, with its fills."""

    who: str
    symbol: Symbol
    side: str
    volume: int
    left: int
    price: Decimal
    deals: list[Deal]

    @property
    def net(self) -> Decimal:
        return sum((deal.profit for deal in self.deals), Decimal(0))


@dataclass
class Copy:
    """What a follower makes of a trade: a position, or the reason why there is none; once it is closed, what is owed for it."""

    position: Position | None
    reason: str = ""
    fee: Decimal | None = None


@dataclass
class World:
    """What must be so when everything is done. Apply each block's stages in order."""

    since: dict[str, int] = field(default_factory=dict)
    """The first trade that a follower may copy, for those who subscribed later."""
    balances: dict[str, Decimal] = field(default_factory=lambda: {who: Decimal(amount) for who, amount in BALANCES.items()})
    trades: dict[int, tuple[Trade, Position]] = field(default_factory=dict)
    copies: dict[tuple[str, int], Copy] = field(default_factory=dict)
    """By follower and trade number."""
    block: int = -1
    _stage: int = CLOSE

    def apply(self, block: int, stage: int, numbers: range) -> None:
        """Everything that a stage of a block does."""
        assert (block, stage) == ((self.block + 1, OPEN) if self._stage == CLOSE else (self.block, self._stage + 1))
        self.block, self._stage = block, stage
        fees: dict[str, Decimal] = defaultdict(Decimal)
        sizing = dict(self.balances)
        for k in numbers:
            one = trade(k)
            if stage == OPEN:
                self._open(one, sizing)
            if stage == REDUCE and one.part:
                self._reduce(one)
            if (stage == OPEN and one.quick) or (stage == CLOSE and not one.quick):
                self._close(one, fees)
        for who, amount in fees.items():
            self.balances[who] += amount

    def missed(self, follower: str, k: int) -> None:
        """A trade that was over before anybody could know that this follower copies it: a skip says so, and nothing was bought or owed."""
        copy = self.copies[follower, k]
        assert trade(k).quick
        assert not copy.fee
        if copy.position is not None:
            self.balances[follower] -= copy.position.net
        self.copies[follower, k] = Copy(None, "MASTER_CLOSED")

    def positions(self, who: str) -> list[tuple[int, str, str, int]]:
        """Open positions of an account: trade number, symbol, side, volume."""
        own = [(k, position) for k, (_, position) in self.trades.items() if position.who == who]
        own += [(k, copy.position) for (follower, k), copy in self.copies.items() if follower == who and copy.position]
        return sorted((k, position.symbol.name, position.side, position.left) for k, position in own if position.left)

    def statistics(self, master: str) -> tuple[int, Decimal, int]:
        """Closed trades, what they made together, and how many of them won."""
        nets = [position.net for _, position in self.trades.values() if position.who == master and not position.left]
        return len(nets), sum(nets, Decimal(0)), sum(net > 0 for net in nets)

    def _copiers(self, one: Trade) -> list[str]:
        return [follower for follower in FOLLOWERS_OF[one.master] if one.number >= self.since.get(follower, 0)]

    def _open(self, one: Trade, balances: dict[str, Decimal]) -> None:
        self.trades[one.number] = (one, self._opened(one.master, one.symbol, one.side, one.volume))
        for follower in self._copiers(one):
            volume, reason = size(follower, one, balances)
            side = one.side if follower != "B" else "sell" if one.side == "buy" else "buy"
            position = self._opened(follower, one.symbol, side, volume) if volume else None
            self.copies[follower, one.number] = Copy(position, reason)

    def _reduce(self, one: Trade) -> None:
        _, masters = self.trades[one.number]
        self._take(masters, one.part)
        for follower in self._copiers(one):
            position = self.copies[follower, one.number].position
            if position is not None and follower != "B":
                # What is left is the nearest whole number of units to the master's share, a half rounded down.
                share = Decimal(position.volume * masters.left) / masters.volume
                whole = int(share)
                left = whole + (1 if share - whole > Decimal("0.5") else 0)
                if position.left > left:
                    self._take(position, position.left - left)

    def _close(self, one: Trade, fees: dict[str, Decimal]) -> None:
        _, masters = self.trades[one.number]
        self._take(masters, masters.left)
        for follower in self._copiers(one):
            copy = self.copies[follower, one.number]
            if copy.position is not None:
                if copy.position.left:
                    self._take(copy.position, copy.position.left)
                copy.fee = cents(max(Decimal(0), copy.position.net) * PERCENT[one.master] / 100)
                fees[follower] -= copy.fee
                fees[PAYOUT[one.master]] += copy.fee

    def _opened(self, who: str, symbol: Symbol, side: str, volume: int) -> Position:
        bid, ask = price(symbol, self.block, self._stage)
        at = ask if side == "buy" else bid
        return Position(who, symbol, side, volume, volume, at, [Deal(symbol.name, side, "in", volume, at, Decimal(0))])

    def _take(self, position: Position, volume: int) -> None:
        bid, ask = price(position.symbol, self.block, self._stage)
        at = bid if position.side == "buy" else ask
        moved = at - position.price if position.side == "buy" else position.price - at
        profit = cents(position.symbol.unit * volume * moved)
        position.left -= volume
        position.deals.append(Deal(position.symbol.name, position.side, "out", volume, at, profit))
        self.balances[position.who] += profit


def size(follower: str, one: Trade, balances: dict[str, Decimal]) -> tuple[int, str]:
    """How much of a trade a follower takes, or why nothing."""
    if follower == "A" and one.symbol.name == "ETH-SWAP-USDT":
        return 0, "SYMBOL_FILTERED"
    wanted = {
        "A": Decimal(one.volume) / 2,
        "B": Decimal(7),
        "C": Decimal(one.volume) * balances["C"] / balances["M2"],
        "E": min(Decimal(one.volume) * 3 / 2, Decimal(50)),
    }[follower]
    volume = int(wanted)
    return (volume, "") if volume >= (10 if follower == "E" else 1) else (0, "BELOW_MIN")
