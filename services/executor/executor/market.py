"""Symbols and their latest prices, and what they mean for a follower: its own symbol, its volume units, rates between currencies."""

from dataclasses import dataclass
from fractions import Fraction

from executor.amounts import UNIT
from executor.distance import Room
from executor.terms import Terms

ANY_GROUP = "*"
SAME = {"USDT": "USD", "USDC": "USD"}
"""Currencies that count as another where no symbol gives a rate."""


@dataclass(slots=True)
class SymbolFacts:
    """A symbol as the executor needs it; prices in 1e-8, 0 when none is known, `stops_level` and `freeze_level` in points."""

    symbol: str
    digits: int
    contract_size: int
    base_currency: str
    quote_currency: str
    volume_per_lot: int
    volume_min: int
    volume_step: int
    volume_max: int
    bid: int
    ask: int
    stops_level: int = 0
    freeze_level: int = 0

    @property
    def point(self) -> int:
        """The smallest price move, in 1e-8."""
        return int(10 ** max(0, 8 - self.digits))

    @property
    def room(self) -> Room:
        """What the market leaves for stops and pending prices."""
        return Room(self.bid, self.ask, max(self.stops_level, self.freeze_level) * self.point, self.point)


class Market:
    """All symbols by name."""

    def __init__(self, symbol_map: dict[str, dict[str, str]]) -> None:
        self.symbols: dict[str, SymbolFacts] = {}
        self._map = symbol_map
        self._terms: dict[tuple[str, str, str, str], Terms] = {}

    def put(self, facts: SymbolFacts) -> None:
        """Takes over a symbol's settings and price."""
        self.symbols[facts.symbol] = facts
        self._terms.clear()

    def price(self, symbol: str, bid: int, ask: int) -> None:
        """Takes over a latest price."""
        facts = self.symbols.get(symbol)
        if facts is not None:
            facts.bid, facts.ask = bid, ask
            self._terms.clear()

    def own_symbol(self, symbol: str, group: str) -> str:
        """The symbol that a group's accounts trade for the master's symbol."""
        return self._map.get(group, {}).get(symbol) or self._map.get(ANY_GROUP, {}).get(symbol) or symbol

    def rate(self, source: str, target: str) -> Fraction:
        """What one unit of a currency is in another, at mid prices: directly, the other way round, or over USD; 0 when unknown."""
        if source == target:
            return Fraction(1)
        direct = self._direct(source, target)
        if direct:
            return direct
        if SAME.get(source) == target or SAME.get(target) == source:
            return Fraction(1)
        source, target = SAME.get(source, source), SAME.get(target, target)
        if source == target:
            return Fraction(1)
        direct = self._direct(source, target)
        if direct or "USD" in (source, target):
            return direct
        return self._direct(source, "USD") * self._direct("USD", target)

    def _direct(self, source: str, target: str) -> Fraction:
        for facts in self.symbols.values():
            if not facts.bid or not facts.ask:
                continue
            if (facts.base_currency, facts.quote_currency) == (source, target):
                return Fraction(facts.bid + facts.ask, 2 * UNIT)
            if (facts.base_currency, facts.quote_currency) == (target, source):
                return Fraction(2 * UNIT, facts.bid + facts.ask)
        return Fraction(0)

    def terms(self, symbol: str, group: str, currency: str, master_currency: str, halts: dict[str, str]) -> Terms:
        """What a master's symbol means for the accounts of a group and currency; worked out again when a price has changed."""
        key = (symbol, group, currency, master_currency)
        known = self._terms.get(key)
        if known is None:
            known = self._terms[key] = self._work_out(symbol, group, currency, master_currency)
        halted = halts.get(known.symbol, "")
        return known._replace(halted=halted) if halted else known

    def _work_out(self, symbol: str, group: str, currency: str, master_currency: str) -> Terms:
        name = self.own_symbol(symbol, group)
        own, masters = self.symbols.get(name), self.symbols.get(symbol)
        if own is None or masters is None:
            return Terms(name, 0, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1)
        norm = Fraction(masters.contract_size * own.volume_per_lot, own.contract_size * masters.volume_per_lot)
        fx = self.rate(currency, master_currency)
        margin = self.margin(own, currency, own.ask)
        return Terms(
            symbol=name,
            known=1,
            step=max(1, own.volume_step),
            smallest=own.volume_min,
            largest=own.volume_max,
            norm_num=norm.numerator,
            norm_den=norm.denominator,
            fx_num=fx.numerator,
            fx_den=fx.denominator,
            point=own.point,
            bid=own.bid,
            ask=own.ask,
            margin_num=margin.numerator,
            margin_den=margin.denominator,
            least=own.room.least,
        )

    def margin(self, facts: SymbolFacts, currency: str, price: int) -> Fraction:
        """1e-8 of the account's currency that one volume unit needs at leverage 1: its notional at this price."""
        notional = Fraction(facts.contract_size * price, UNIT * facts.volume_per_lot)
        return notional * self.rate(facts.quote_currency, currency)
