"""Amounts as whole numbers of 1e-8: what the executor computes and stores, so that columns of them are integers."""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from shared.contracts.event import plain
from shared.money import EXACT

PLACES = 8
UNIT = 10**PLACES
LARGEST = 2**62
"""Amounts beyond this (46 billion) are kept as this: larger than any account, and still an integer of a database."""


@lru_cache(maxsize=8192)
def units(value: Decimal) -> int:
    """A Decimal amount as a number of 1e-8 units; further places are rounded half-even, what is too large is bounded."""
    scaled = int(value.scaleb(PLACES, context=EXACT).to_integral_value(ROUND_HALF_EVEN))
    return max(-LARGEST, min(LARGEST, scaled))


@lru_cache(maxsize=8192)
def amount(value: int) -> Decimal:
    """The Decimal of a number of 1e-8 units, without trailing zeros."""
    return plain(Decimal(value).scaleb(-PLACES, context=EXACT))


def bounded(value: int) -> int:
    """A whole number that a database can hold: what is larger is as good as without a limit."""
    return max(-LARGEST, min(LARGEST, value))
