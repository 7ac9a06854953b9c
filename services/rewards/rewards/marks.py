"""High-water marks: which part of a profit has been charged already, on four bases (formulas, section 3).

`cumulative` compares the profit itself, so deposits and withdrawals cannot create or destroy a fee. The equity bases compare capital plus
profit less the fees taken. `gross_equity` (cTrader) sets the mark before the fee, so the follower earns the fee back free;
`nav_per_share` (Bybit) pays the fee by redeeming shares at their price: a deposit buys shares, a redemption leaves the mark per share as it
is, which in money is a mark that grows by the deposit and shrinks in proportion. `period` carries no loss forward.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from shared.money import EXACT, Money

CUMULATIVE, GROSS_EQUITY, NAV_PER_SHARE, PERIOD = "cumulative", "gross_equity", "nav_per_share", "period"
EQUITY_BASES = frozenset({GROSS_EQUITY, NAV_PER_SHARE})
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Mark:
    """What was charged up to (`mark`), and what the value is counted from. All in the follower's currency, unrounded.

    `capital` is what the follower put in (equity bases), `realised` the net result of the trades that were counted, `own_fees` what this
    fee took so far (equity bases). On `period` the mark is only the value at the period's begin: what was charged up to, for a basis that
    follows, is kept in `capital`, which that basis has no other use for.
    """

    basis: str
    mark: Decimal = ZERO
    capital: Decimal = ZERO
    realised: Decimal = ZERO
    own_fees: Decimal = ZERO

    @property
    def highest(self) -> Decimal:
        """What was charged up to, whatever the basis."""
        return max(self.mark, self.capital) if self.basis == PERIOD else self.mark

    def value(self, other: Decimal = ZERO) -> Decimal:
        """What is compared with the mark; `other` is what counts beside the realised result: open copies, less other fees."""
        profit = EXACT.add(self.realised, other)
        if self.basis in EQUITY_BASES:
            return EXACT.subtract(EXACT.add(self.capital, profit), self.own_fees)
        return profit


class Flow(NamedTuple):
    """A deposit (positive) or withdrawal of a follower, and the account's equity just after it."""

    operation_id: int
    time_ms: int
    amount: Decimal
    equity: Decimal


class Crystal(NamedTuple):
    """A mark's reckoning: the gain above it, the fee charged for it, and the mark after."""

    gain: Decimal
    fee: Decimal
    after: Mark


def begin(basis: str, equity: Decimal, other: Decimal = ZERO, former: Mark | None = None) -> Mark:
    """A mark at the value of now, or as far above it as the former basis left it: nothing is charged twice for a change of basis."""
    realised = former.realised if former else ZERO
    short = max(ZERO, EXACT.subtract(former.highest, former.value(other))) if former else ZERO
    fresh = Mark(basis, realised=realised)
    if basis in EQUITY_BASES:
        fresh = replace(fresh, capital=EXACT.subtract(equity, fresh.value(other)))
    mark = EXACT.add(fresh.value(other), short)
    return replace(fresh, mark=mark, capital=mark if basis == PERIOD else fresh.capital)


def flowed(mark: Mark, flow: Flow, withdrawal: str, other: Decimal = ZERO) -> Mark:
    """The mark after a deposit or withdrawal. `withdrawal` (`additive`, `proportional`) is what `gross_equity` does with the latter.

    In proportion, what is between the mark and the value shrinks by as much as the value does. The account's equity says nothing here: it
    has results in it that are no copies, and a mark that shrank by it would make a gain out of nothing.
    """
    if mark.basis not in EQUITY_BASES:
        return mark
    capital = EXACT.add(mark.capital, flow.amount)
    before = mark.value(other)
    in_proportion = mark.basis == NAV_PER_SHARE or withdrawal == "proportional"
    if flow.amount < 0 and in_proportion and before > 0:
        after = EXACT.add(before, flow.amount)
        rest = EXACT.divide(max(after, ZERO), before)
        return replace(mark, mark=EXACT.add(after, EXACT.multiply(EXACT.subtract(mark.mark, before), rest)), capital=capital)
    return replace(mark, mark=EXACT.add(mark.mark, flow.amount), capital=capital)


def crystallise(mark: Mark, other: Decimal, percent: Decimal, currency: str, cap: Decimal | None = None) -> Crystal:
    """Charges the gain above the mark, rounded once, and moves the mark.

    Of a fee that is cut by `cap` only the part of the gain that was paid for counts as charged; the rest stays due (formulas, section 3).
    """
    value = mark.value(other)
    gain = max(ZERO, EXACT.subtract(value, mark.mark))
    rate = EXACT.divide(percent, Decimal(100))
    fee = whole = Money(EXACT.multiply(gain, rate), currency).rounded().amount
    if cap is not None:
        fee = min(whole, cap)
    if mark.basis == PERIOD:
        reached = value
        mark = replace(mark, capital=max(mark.highest, value))
    elif fee == whole:
        reached = max(mark.mark, value)
    else:
        reached = EXACT.add(mark.mark, EXACT.divide(fee, rate))
    if mark.basis == NAV_PER_SHARE:
        reached = EXACT.subtract(reached, fee)
    return Crystal(gain, fee, replace(mark, mark=reached, own_fees=EXACT.add(mark.own_fees, fee)))
