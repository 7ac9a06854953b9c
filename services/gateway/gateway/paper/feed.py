"""Recorded prices, replayed: the paper venue's market in the demo."""

import asyncio
import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from importlib import resources
from typing import NamedTuple

import structlog
from shared.money import EXACT
from shared.store.engine import AWAY

from gateway.decide import Quote
from gateway.paper import orders
from gateway.paper.market import Market, Symbol
from gateway.paper.venue import PaperVenue

log = structlog.get_logger()

BAR_MS = 300_000
TICK_S = 0.25
RECORDINGS = {"GBPUSD": "gbpusd-m5-2012-02.csv", "BTC-SWAP-USDT": "btcusd-m5-2022-01.csv"}
FOLLOWS = {"EURUSD": "GBPUSD", "ETH-SWAP-USDT": "BTC-SWAP-USDT"}
"""Symbols without a recording that move in proportion to one that has it; the others stay where they are."""


class Bar(NamedTuple):
    """Five minutes of bids."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def at(self, elapsed_ms: int) -> Decimal:
        """The price so far into the bar: open, the nearer extreme first as bars usually run, the other one, close; straight in between."""
        first, second = (self.low, self.high) if self.close >= self.open else (self.high, self.low)
        corners = (self.open, first, second, self.close)
        leg, rest = divmod(elapsed_ms * 3, BAR_MS)
        if leg >= 3:
            return self.close
        return corners[leg] + EXACT.divide(EXACT.multiply(corners[leg + 1] - corners[leg], Decimal(rest)), Decimal(BAR_MS))


def bars_of(lines: Iterable[str]) -> list[Bar]:
    """The bars of a recording: CSV with the columns time, open, high, low, close."""
    return [Bar(*(Decimal(row[name]) for name in Bar._fields)) for row in csv.DictReader(lines)]


def load_recordings(symbols: Iterable[str]) -> dict[str, Sequence[Bar]]:
    """The recordings of those symbols that have one."""
    found: dict[str, Sequence[Bar]] = {}
    for symbol in symbols:
        if symbol in RECORDINGS:
            with (resources.files("gateway") / "data" / RECORDINGS[symbol]).open(encoding="utf-8") as file:
                found[symbol] = bars_of(file)
    return found


def bid_at(bars: Sequence[Bar], played_ms: int) -> Decimal:
    """The bid after so much recorded time; at its end a recording begins anew."""
    number, elapsed = divmod(played_ms % (len(bars) * BAR_MS), BAR_MS)
    return bars[number].at(elapsed)


def quote_of(symbol: Symbol, bid: Decimal) -> Quote:
    """The bid on the symbol's grid, and the ask by the spread of its first price above it."""
    low = max(symbol.price(bid), symbol.point)
    return Quote(low, low + symbol.first_ask - symbol.first_bid)


class Feed:
    """Moves the venue's prices by the clock, so that after a stop it goes on where it would have been."""

    def __init__(self, venue: PaperVenue, speed: float) -> None:
        self._venue = venue
        self._speed = Decimal(str(speed))
        self._bars: dict[str, Sequence[Bar]] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.tick()
            except (*AWAY, OSError) as fault:
                log.warning("the feed waits for the store", fault=repr(fault))
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Sets each symbol's price as it was recorded for now; a symbol whose price was set by hand is left alone."""
        async with self._venue.transaction(lazy=True) as (book, _):
            if not self._bars:
                self._bars = dict(load_recordings(book.market.symbols))
            if not book.feed_ms:
                book.feed_ms = book.now
                book.changes.numbers = True
            played_ms = int((book.now - book.feed_ms) * self._speed)
            for name, quote in self._quotes(book.market, played_ms).items():
                if name not in self._venue.paused and book.market.quotes[name] != quote:
                    orders.set_price(book, name, quote)

    def _quotes(self, market: Market, played_ms: int) -> dict[str, Quote]:
        quotes = {name: quote_of(market.symbols[name], bid_at(bars, played_ms)) for name, bars in self._bars.items()}
        for name, leader in FOLLOWS.items():
            if name in market.symbols and leader in quotes:
                symbol = market.symbols[name]
                moved = EXACT.divide(quotes[leader].bid, self._bars[leader][0].open)
                quotes[name] = quote_of(symbol, EXACT.multiply(symbol.first_bid, moved))
        return quotes
