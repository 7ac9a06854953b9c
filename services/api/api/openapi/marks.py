"""What a copied position is worth now: margin, profit and the price at which it would be liquidated. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.money import EXACT, quantize

PLACES = 8
ONE_TO_ONE = frozenset({"USD", "USDT"})


class Quote(NamedTuple):
    """A symbol's prices and currencies, as far as they are known."""

    bid: Decimal
    ask: Decimal
    base_currency: str
    quote_currency: str


class Held(NamedTuple):
    """A position: `units` of the base asset."""

    is_long: bool
    units: Decimal
    open_price: Decimal
    leverage: int
    isolated: bool = False


class Worth(NamedTuple):
    """A position's figures; amounts in the account's currency, None where no rate, or no price, is known."""

    mark_price: Decimal | None
    margin: Decimal | None
    profit: Decimal | None
    profit_rate: Decimal | None
    liquidation_price: Decimal | None


def margin_of(held: Held, rate: Decimal) -> Decimal:
    """What a position binds: its open value / leverage."""
    return EXACT.divide(EXACT.multiply(EXACT.multiply(held.units, rate), held.open_price), Decimal(max(1, held.leverage)))


def worth(held: Held, quote: Quote | None, rate: Decimal | None, equity: Decimal) -> Worth:
    """The mark is the price at which the position would be closed; the margin, what it binds. The liquidation price is where
    the account's equity (on isolated margin, the position's own margin) would be used up if nothing else moved; None when no price above
    0 does that."""
    if quote is None:
        return Worth(None, None if rate is None else margin_of(held, rate), None, None, None)
    mark = quote.bid if held.is_long else quote.ask
    sign = Decimal(1) if held.is_long else Decimal(-1)
    if rate is None:
        return Worth(mark, None, None, None, None)
    value = EXACT.multiply(held.units, rate)
    margin = margin_of(held, rate)
    profit = EXACT.multiply(EXACT.multiply(sign, mark - held.open_price), value)
    carried = margin + profit if held.isolated else equity
    used_up = mark - EXACT.multiply(sign, EXACT.divide(carried, value)) if value else Decimal(0)
    profit_rate = quantize(EXACT.divide(profit, margin), 4) if margin else None
    return Worth(mark, margin, profit, profit_rate, used_up if used_up > 0 else None)


def rate_between(quotes: Mapping[str, Quote], source: str, target: str) -> Decimal | None:
    """How much of the target currency one of the source is, at the middle of a pair of the two; USD and USDT are one to one."""
    if source == target or {source, target} <= ONE_TO_ONE:
        return Decimal(1)
    for quote in quotes.values():
        middle = (quote.bid + quote.ask) / 2
        if middle <= 0:
            continue
        if (quote.base_currency, quote.quote_currency) == (source, target):
            return middle
        if (quote.base_currency, quote.quote_currency) == (target, source):
            return EXACT.divide(Decimal(1), middle)
    return None


def text(value: Decimal | int | None, places: int = PLACES) -> str:
    """A number as the V2 writes it: a decimal string without trailing zeros; empty when there is none."""
    if value is None:
        return ""
    plain = format(quantize(Decimal(value), places), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
