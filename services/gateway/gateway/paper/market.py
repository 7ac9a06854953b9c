"""What the paper venue trades: its account groups, its symbols, their latest prices, and what one currency is worth in another."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from shared.contracts.trades import Mode, SymbolRow
from shared.money import EXACT
from shared.symbols import SymbolSpec

from gateway.decide import NONE, Quote


@dataclass(frozen=True, slots=True)
class Group:
    """A kind of account. `stop_out` and `margin_call` are margin levels in percent."""

    name: str
    mode: Mode
    currency: str
    stop_out: int = 50
    margin_call: int = 100


GROUPS = {
    group.name: group
    for group in (
        Group("real-usd", "REAL", "USD"),
        Group("demo-usd", "DEMO", "USD"),
        Group("real-eur", "REAL", "EUR"),
        Group("real-usdt", "REAL", "USDT"),
    )
}

PEGS = (("USDT", "USD"),)
"""Currencies that are worth the same, unless a symbol trades one for the other."""


@dataclass(frozen=True, slots=True)
class Symbol(SymbolSpec):
    """A symbol with its costs. `commission` is charged per lot and side; swaps are added per lot and night (negative: charged).

    Both in the quote currency. `stops_level`: the least distance of a stop or pending price from the market; `freeze_level`: an order
    whose stop or price is nearer to it is not changed or cancelled any more; both in points.
    """

    stops_level: int = 0
    commission: Decimal = NONE
    swap_long: Decimal = NONE
    swap_short: Decimal = NONE
    first_bid: Decimal = Decimal(1)
    first_ask: Decimal = Decimal(1)
    freeze_level: int = 0

    @property
    def distance(self) -> Decimal:
        """`stops_level` as a price difference."""
        return EXACT.multiply(self.point, Decimal(self.stops_level))

    @property
    def freeze(self) -> Decimal:
        """`freeze_level` as a price difference."""
        return EXACT.multiply(self.point, Decimal(self.freeze_level))


def _symbol(name: str, base: str, quote: str, digits: int, size: str, bid: str, ask: str) -> Symbol:
    return Symbol(name, digits, Decimal(size), base, quote, first_bid=Decimal(bid), first_ask=Decimal(ask))


CATALOGUE = {
    symbol.symbol: symbol
    for symbol in (
        _symbol("GBPUSD", "GBP", "USD", 5, "100000", "1.57560", "1.57570"),
        _symbol("EURUSD", "EUR", "USD", 5, "100000", "1.31000", "1.31010"),
        _symbol("USDJPY", "USD", "JPY", 3, "100000", "77.000", "77.010"),
        _symbol("BTC-SWAP-USDT", "BTC", "USDT", 2, "1", "46319.00", "46320.00"),
        _symbol("ETH-SWAP-USDT", "ETH", "USDT", 2, "1", "3700.00", "3700.50"),
    )
}


class _Step(NamedTuple):
    """One exchange on the way from a currency to another; `symbol` empty: one for one."""

    symbol: str
    inverse: bool


class Market:
    """Symbols, their latest prices, and the rates that follow from them."""

    def __init__(self, symbols: Mapping[str, Symbol]) -> None:
        self.symbols = dict(symbols)
        self.quotes = {name: Quote(symbol.first_bid, symbol.first_ask) for name, symbol in symbols.items()}
        self.version = 0
        """Grows with each price."""
        self.changed_ms = dict.fromkeys(symbols, 0)
        self.unit = {name: symbol.units(1) for name, symbol in symbols.items()}
        """How much of the base asset one volume unit is."""
        self._edges = _edges(symbols.values())
        self._paths: dict[tuple[str, str], tuple[_Step, ...]] = {}
        self._rates: dict[tuple[str, str], Decimal] = {}

    def set(self, symbol: str, quote: Quote, now: int) -> None:
        self.quotes[symbol] = quote
        self.changed_ms[symbol] = now
        self.version += 1
        self._rates.clear()

    def rate(self, source: str, target: str) -> Decimal:
        """What one unit of `source` is worth in `target`, at the middle of bid and ask of the symbols between them, unrounded.

        Raises LookupError when no symbols lead from one to the other.
        """
        if source == target:
            return Decimal(1)
        found = self._rates.get((source, target))
        if found is None:
            found = Decimal(1)
            for step in self.path(source, target):
                if not step.symbol:
                    continue
                bid, ask = self.quotes[step.symbol]
                middle = EXACT.divide(EXACT.add(bid, ask), Decimal(2))
                found = EXACT.divide(found, middle) if step.inverse else EXACT.multiply(found, middle)
            self._rates[source, target] = found
        return found

    def converts(self, source: str, target: str) -> bool:
        """Whether there is a way from one currency to the other."""
        try:
            return source == target or bool(self.path(source, target))
        except LookupError:
            return False

    def path(self, source: str, target: str) -> tuple[_Step, ...]:
        """The fewest exchanges that lead from one currency to another."""
        key = (source, target)
        if key not in self._paths:
            self._paths[key] = self._search(source, target)
        return self._paths[key]

    def row(self, name: str) -> SymbolRow:
        """The symbol as `trade.push` tells it."""
        symbol, quote = self.symbols[name], self.quotes[name]
        return SymbolRow(
            name,
            symbol.digits,
            symbol.contract_size,
            symbol.base_currency,
            symbol.quote_currency,
            symbol.volume_per_lot,
            symbol.volume_min,
            symbol.volume_step,
            symbol.volume_max,
            symbol.stops_level,
            symbol.commission,
            symbol.swap_long,
            symbol.swap_short,
            quote.bid,
            quote.ask,
            symbol.freeze_level,
        )

    def _search(self, source: str, target: str) -> tuple[_Step, ...]:
        ways: deque[tuple[str, tuple[_Step, ...]]] = deque([(source, ())])
        seen = {source}
        while ways:
            at, steps = ways.popleft()
            if at == target:
                return steps
            for to, step in self._edges.get(at, ()):
                if to not in seen:
                    seen.add(to)
                    ways.append((to, (*steps, step)))
        raise LookupError(f"no symbols lead from {source} to {target}")


def _edges(symbols: Iterable[Symbol]) -> dict[str, list[tuple[str, _Step]]]:
    edges: dict[str, list[tuple[str, _Step]]] = {}
    for symbol in symbols:
        edges.setdefault(symbol.base_currency, []).append((symbol.quote_currency, _Step(symbol.symbol, inverse=False)))
        edges.setdefault(symbol.quote_currency, []).append((symbol.base_currency, _Step(symbol.symbol, inverse=True)))
    for one, other in PEGS:
        if not any(to == other for to, _ in edges.get(one, ())):
            edges.setdefault(one, []).append((other, _Step("", inverse=False)))
            edges.setdefault(other, []).append((one, _Step("", inverse=False)))
    return edges
