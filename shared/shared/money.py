"""Money as an exact value: a Decimal amount and its currency, rounded only where somebody is charged.

Two currencies never add; a binary float never enters. `Money.rounded` is the only place that rounds: half-even, to the currency's
minor unit.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Self

EXACT = Context(prec=38, rounding=ROUND_HALF_EVEN)
"""The arithmetic context of everything that is computed in money: 38 digits, no silent rounding to 28."""

MINOR_DIGITS = {"USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "AUD": 2, "CAD": 2, "JPY": 0, "USDT": 6, "USDC": 6, "BTC": 8, "ETH": 8}
"""Decimal places of each currency's smallest unit (ISO 4217; a token's own unit)."""

USUAL_DIGITS = 2


class CurrencyMismatchError(TypeError):
    """Two amounts of different currencies met in one sum or comparison."""


def minor_digits(currency: str) -> int:
    """Decimal places of the currency's smallest unit."""
    return MINOR_DIGITS.get(currency, USUAL_DIGITS)


def quantize(amount: Decimal, digits: int) -> Decimal:
    """The amount rounded half-even to `digits` decimal places."""
    return amount.quantize(Decimal(1).scaleb(-digits), context=EXACT)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount of one currency."""

    amount: Decimal
    currency: str

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(Decimal(0), currency)

    @classmethod
    def from_minor(cls, units: int, currency: str) -> Self:
        """From a whole number of minor units (cents)."""
        return cls(Decimal(units).scaleb(-minor_digits(currency), context=EXACT), currency)

    def minor(self) -> int:
        """The whole number of minor units. Only a rounded amount has one: anything else is a bug."""
        units = self.amount.scaleb(minor_digits(self.currency), context=EXACT)
        whole = int(units)
        assert units == whole, f"{self} is not a whole number of minor units"
        return whole

    def rounded(self) -> "Money":
        """Half-even to the currency's minor unit: done once, when an amount is charged."""
        return Money(quantize(self.amount, minor_digits(self.currency)), self.currency)

    def times(self, ratio: Decimal | int) -> "Money":
        return Money(EXACT.multiply(self.amount, Decimal(ratio)), self.currency)

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatchError(f"{self.currency} and {other.currency}")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(EXACT.add(self.amount, other.amount), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(EXACT.subtract(self.amount, other.amount), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
