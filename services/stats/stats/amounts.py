"""Amounts as whole numbers of 1e-8: what the store keeps and adds up exactly, in SQL as in Python."""

from decimal import Decimal

from shared.money import EXACT, minor_digits, quantize

PLACES = 8
ONE = 10**PLACES
LARGEST = 2**62
"""Amounts beyond this (46 billion) are kept as this: larger than any account, and still an integer of a database."""


def units(amount: Decimal) -> int:
    """An amount in units of 1e-8, rounded half-even where it has more places; what is too large is bounded."""
    return bounded(int(amount.scaleb(PLACES, context=EXACT).to_integral_value(context=EXACT)))


def bounded(value: int, most: int = LARGEST) -> int:
    """A whole number within what is kept: one account's price spike must not keep the others' rows of an entry out."""
    return max(-most, min(most, value))


def amount(value: int) -> Decimal:
    """The amount that a number of units is."""
    return Decimal(value).scaleb(-PLACES, context=EXACT)


def money(value: int, currency: str) -> Decimal:
    """The amount rounded half-even to the currency's minor digits: only for what is told to others."""
    return quantize(amount(value), minor_digits(currency))


def ratio(value: Decimal) -> Decimal:
    """A percentage or ratio rounded half-even to 4 places: only for what is told to others."""
    return quantize(value, 4)
