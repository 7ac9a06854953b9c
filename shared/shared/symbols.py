"""What a symbol's numbers mean: volumes are integers, and what a price move is worth follows from the symbol's own settings."""

from dataclasses import dataclass
from decimal import Decimal

from shared.money import EXACT, quantize

BUY, SELL = "buy", "sell"
LOT = 100
"""Volume units in a lot, unless the symbol says otherwise (`volume_per_lot`)."""


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """One tradable symbol. Volumes are integers in units of 1/`volume_per_lot` lot; prices have `digits` decimal places."""

    symbol: str
    digits: int
    contract_size: Decimal
    base_currency: str
    quote_currency: str
    volume_per_lot: int = LOT
    volume_min: int = 1
    volume_step: int = 1
    volume_max: int = 1_000_000

    @property
    def point(self) -> Decimal:
        """The smallest price move."""
        return Decimal(1).scaleb(-self.digits)

    def price(self, value: Decimal) -> Decimal:
        """The value on the symbol's price grid."""
        return quantize(value, self.digits)

    def units(self, volume: int) -> Decimal:
        """How much of the base asset a volume is."""
        return EXACT.divide(EXACT.multiply(Decimal(volume), self.contract_size), Decimal(self.volume_per_lot))

    def profit(self, side: str, volume: int, open_price: Decimal, close_price: Decimal) -> Decimal:
        """The gross profit of a move, in the quote currency, unrounded."""
        return EXACT.multiply(EXACT.multiply(sign(side), close_price - open_price), self.units(volume))


def sign(side: str) -> Decimal:
    """+1 for a buy, -1 for a sell."""
    return Decimal(1) if side == BUY else Decimal(-1)


def opposite(side: str) -> str:
    """The other side."""
    return SELL if side == BUY else BUY
