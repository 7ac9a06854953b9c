"""An account's unit value (NAV): its equity chained over the owner's deposits and withdrawals, so that only trading moves it.

Exact chaining (formulas.md section 8): between two flows the NAV moves as the equity does; at a flow it moves by the equity just before it
and goes on from the equity just after it. Equity is without credit, amounts are units of 1e-8, the NAV begins at 1.

An equity of zero or less ends the epoch at NAV 0; the next deposit begins another at 1. A return on less than `min_base` means nothing:
the NAV is carried over such a stretch, until a day begins with more. An account that was emptied by a withdrawal is no loss: it goes on
where it was.
"""

from decimal import Decimal
from typing import NamedTuple

from shared.money import EXACT, quantize

PLACES = 20
"""Decimal places of a NAV: it is rounded, half-even, to them at every link of the chain, so that whoever recomputes gets the same."""
ONE, ZERO = Decimal(1), Decimal(0)
HIGHEST = Decimal(10) ** 15
"""A NAV stays at most this, so that no gain on next to nothing can leave the 38 digits of the arithmetic."""
LARGE_FLOW = 10
"""A flow of more than so many times the equity, without the equity just before it, breaks a daily return."""

EXACT_QUALITY, DIETZ_QUALITY, BROKEN_QUALITY = 0, 1, 2
QUALITIES = ("exact", "dietz", "broken")


class Chain(NamedTuple):
    """Where the chain stands: `nav` when the equity was `equity`, at the last flow. Dead: the epoch has ended at 0."""

    nav: Decimal = ONE
    equity: int = 0
    epoch: int = 1
    alive: bool = True


def value(chain: Chain, equity: int, min_base: int) -> Decimal:
    """The NAV at an equity that trading alone has made of the last flow's."""
    if not chain.alive:
        return ZERO
    if chain.equity < max(min_base, 1):
        return chain.nav
    if equity <= 0:
        return ZERO
    return rounded(EXACT.divide(EXACT.multiply(chain.nav, Decimal(equity)), Decimal(chain.equity)))


def rounded(nav: Decimal) -> Decimal:
    """A NAV as the chain keeps it."""
    return quantize(min(nav, HIGHEST), PLACES)


def grown(nav: Decimal, factor: Decimal) -> Decimal:
    """A NAV after a day's growth."""
    return rounded(EXACT.multiply(nav, factor))


def measured(nav: Decimal, unit: Decimal) -> Decimal:
    """A NAV measured in another."""
    return rounded(EXACT.divide(nav, unit))


def is_bust(chain: Chain, equity: int, min_base: int) -> bool:
    """Whether this equity ends the epoch."""
    return chain.alive and equity <= 0 and chain.equity >= max(min_base, 1)


def bust(chain: Chain) -> Chain:
    """The chain after its epoch has ended."""
    return Chain(ZERO, 0, chain.epoch, False)


def flow(chain: Chain, amount: int, after: int, min_base: int) -> Chain:
    """The chain after the owner put `amount` in (took it out, when negative), which left the equity at `after`."""
    if is_bust(chain, after - amount, min_base):
        chain = bust(chain)
    if not chain.alive:
        return Chain(ONE, after, chain.epoch + 1, True) if after > 0 and amount > 0 else chain
    return Chain(value(chain, after - amount, min_base), max(after, 0), chain.epoch, True)


def rebase(chain: Chain, nav: Decimal, equity: int) -> Chain:
    """The chain at an equity that is not explained: the NAV is carried."""
    return Chain(nav, max(equity, 0), chain.epoch, True) if chain.alive else chain


def dietz(before: int, after: int, paid: int, min_base: int) -> tuple[Decimal | None, int]:
    """A day's growth factor from its two snapshots and its net flow alone, and the quality of it.

    Modified Dietz with the flow at noon, since its time is not known: `1 + (after - before - paid) / (before + paid / 2)`. None: it cannot
    be told (a flow of more than 10 times the equity, a base of nothing), the NAV is carried.
    """
    if before < max(min_base, 1):
        return None, EXACT_QUALITY
    if not paid:
        return max(ZERO, EXACT.divide(Decimal(after), Decimal(before))), EXACT_QUALITY
    base = 2 * before + paid
    if abs(paid) > LARGE_FLOW * before or base <= 0:
        return None, BROKEN_QUALITY
    gain = EXACT.divide(Decimal(2 * (after - before - paid)), Decimal(base))
    return max(ZERO, ONE + gain), DIETZ_QUALITY
