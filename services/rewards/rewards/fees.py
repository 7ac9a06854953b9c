"""The formulas of the fees that are billed by period (formulas, sections 3 and 4), pure: figures in, a fee with its inputs out."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from functools import reduce
from typing import Any, NamedTuple

from shared.contracts.config import RewardPolicy
from shared.money import EXACT, Money, minor_digits

from rewards import marks
from rewards.decide import HUNDRED, NO_FEE, ROUNDS_TO_ZERO, Fee, Rate, Slice, text, trade_input
from rewards.marks import Flow, Mark
from rewards.periods import Period

DAYS_A_YEAR = Decimal(365)
ZERO = Decimal(0)
CAPPED = "CAPPED"
"""The reason of an accrual of 0 whose cap is less than the currency's smallest unit."""


class Fill(NamedTuple):
    """A fill of a copied position, for volume: `deal` 0 is the opening."""

    order: int
    deal: int
    time_ms: int
    volume: int
    volume_per_lot: int


class Day(NamedTuple):
    """A day of a management fee: the equity at its end, and for how much of it the subscription was active (milliseconds)."""

    start_ms: int
    equity: Decimal
    active_ms: int
    length_ms: int


class Open(NamedTuple):
    """An open copy at a price: `profit` in the follower's currency at `rate` from the quote currency."""

    order: int
    symbol: str
    side: str
    volume: int
    open_price: Decimal
    price: Decimal
    rate: Decimal
    profit: Decimal


class Charged(NamedTuple):
    """Another copy fee: its accrual, the instant that it belongs to, its amount."""

    accrual: int
    at_ms: int
    amount: Decimal


def exchanged(amount: Decimal, rate: Rate | None) -> Decimal:
    """An amount of the policy's currency in the follower's; unrounded."""
    return amount if rate is None else EXACT.multiply(amount, rate.rate)


def cap_of(policy: RewardPolicy, rate: Rate | None, currency: str) -> Decimal | None:
    """Most that one accrual may come to, in whole minor units of the follower's currency; None without a cap."""
    if not policy.fee_cap:
        return None
    unit = Decimal(1).scaleb(-minor_digits(currency))
    return exchanged(policy.fee_cap, rate).quantize(unit, rounding=ROUND_DOWN, context=EXACT)


def subscription_fee(policy: RewardPolicy, part: Period, whole: Period | None, rate: Rate | None) -> Fee:
    """The fixed fee of a period; with `whole`, the part of it that `part` covers (a first period charged pro rata)."""
    share = EXACT.divide(Decimal(part.length), Decimal(whole.length)) if whole else Decimal(1)
    base = exchanged(policy.fee_amount, rate)
    inputs = {"amount": text(policy.fee_amount), **rate_input(rate)}
    if whole:
        inputs |= {"part_ms": part.length, "period_ms": whole.length}
    return Fee("subscription/1", base, EXACT.multiply(base, share), inputs, NO_FEE)


def subscription_refund(fee: Decimal, paid_for: Period, stopped_ms: int) -> Fee:
    """What the provider gives back who stopped in a period that was paid for: the fee's unused part, negative."""
    unused = max(0, paid_for.end - stopped_ms)
    back = EXACT.divide(EXACT.multiply(fee, Decimal(unused)), Decimal(paid_for.length))
    inputs = {"fee": text(fee), "unused_ms": unused, "period_ms": paid_for.length}
    return Fee("subscription_refund/1", fee, -back, inputs, "NOTHING_UNUSED")


def volume_fee(fills: Sequence[Fill], policy: RewardPolicy, rate: Rate | None, currency: str) -> Fee:
    """So much a lot and side of the follower's copied fills (base: lots), cut at the policy's cap."""
    sides = policy.rebate_sides
    counted = [one for one in fills if sides == "both" or (sides == "open") == (one.deal == 0)]
    lots = ZERO
    for one in counted:
        lots = EXACT.add(lots, EXACT.divide(Decimal(one.volume), Decimal(one.volume_per_lot)))
    fee = EXACT.multiply(lots, exchanged(policy.fee_amount, rate))
    cap = cap_of(policy, rate, currency)
    inputs: dict[str, Any] = {
        "per_lot": text(policy.fee_amount),
        "sides": sides,
        "fills": [list(one) for one in counted],
        **rate_input(rate),
    }
    if cap is not None:
        fee = min(fee, cap)
        inputs["cap"] = text(cap)
    return Fee("volume/1", lots, fee, inputs, "NO_VOLUME" if not lots else NO_FEE if not policy.fee_amount else CAPPED)


def management_fixed(policy: RewardPolicy, active_ms: int, period: Period, rate: Rate | None) -> Fee:
    """The fixed fee of a calendar period for the time in it that the subscription was active."""
    base = exchanged(policy.fee_amount, rate)
    fee = EXACT.divide(EXACT.multiply(base, Decimal(active_ms)), Decimal(period.length))
    inputs = {"amount": text(policy.fee_amount), "active_ms": active_ms, "period_ms": period.length, **rate_input(rate)}
    return Fee("management_fixed/1", base, fee, inputs, NO_FEE if active_ms else "NOT_ACTIVE")


def management_percent(policy: RewardPolicy, days: Sequence[Day]) -> Fee:
    """Annual percent on daily equity: the sum of max(0, E) * percent / 365 over the active part of each day, rounded once."""
    equity_days = ZERO
    for day in days:
        part = EXACT.divide(EXACT.multiply(max(ZERO, day.equity), Decimal(day.active_ms)), Decimal(day.length_ms))
        equity_days = EXACT.add(equity_days, part)
    fee = EXACT.divide(EXACT.multiply(equity_days, policy.fee_percent), EXACT.multiply(HUNDRED, DAYS_A_YEAR))
    rows = [[day.start_ms, text(day.equity), day.active_ms, day.length_ms] for day in days]
    active = any(day.active_ms for day in days)
    cause = "NOT_ACTIVE" if not active else NO_FEE if equity_days else "NO_EQUITY"
    return Fee("management_percent/1", equity_days, fee, {"percent": text(policy.fee_percent), "days": rows}, cause)


class Performance(NamedTuple):
    """What a performance fee is reckoned from, beside the mark."""

    slices: Sequence[Slice]
    fees: Sequence[Charged]
    """The other copy fees so far, all of them; empty when they do not count."""
    since_ms: int
    """Fees of later instants are listed one by one in the inputs."""
    opens: Sequence[Open]
    mode: str
    """How open copies count: `none`, `negative_only` or `full`."""
    flows: Sequence[Flow]
    withdrawal: str
    cause: str
    """Why it is reckoned now: `period_end`, `terms_changed`, `master_stop`, `unsubscribed`."""


def lived(mark: Mark, slices: Sequence[Slice], others: Sequence[Charged], flows: Sequence[Flow], withdrawal: str) -> Mark:
    """The mark after closings, deposits and withdrawals, in the order of their times. Other fees lower the value that a flow meets."""
    for flow in flows:
        results = reduce(EXACT.add, (one.net for one in slices if one.time_ms <= flow.time_ms), ZERO)
        taken = reduce(EXACT.add, (fee.amount for fee in others if fee.at_ms <= flow.time_ms), ZERO)
        mark = marks.flowed(mark, flow, withdrawal, EXACT.subtract(results, taken))
    return replace(mark, realised=reduce(EXACT.add, (one.net for one in slices), mark.realised))


def performance_fee(
    mark: Mark, material: Performance, policy: RewardPolicy, currency: str, cap: Decimal | None, charged: bool
) -> tuple[Fee, Mark]:
    """The fee on the gain above the mark, and the mark after it. Without `charged` (a follower who never pays) only the mark moves."""
    floating, taken, listed = ZERO, ZERO, []
    for copy in material.opens:
        floating = EXACT.add(floating, copy.profit)
    for fee in material.fees:
        taken = EXACT.add(taken, fee.amount)
        if fee.at_ms > material.since_ms:
            listed.append(fee)
    counted = {"none": ZERO, "negative_only": min(ZERO, floating), "full": floating}[material.mode]
    other = EXACT.subtract(counted, taken)
    moved = lived(mark, material.slices, material.fees, material.flows, material.withdrawal)
    crystal = marks.crystallise(moved, other, policy.fee_percent if charged else ZERO, currency, cap)
    earlier = EXACT.subtract(taken, sum((fee.amount for fee in listed), ZERO))
    inputs: dict[str, Any] = {
        "basis": mark.basis,
        "cause": material.cause,
        "percent": text(policy.fee_percent),
        "realised_before": text(mark.realised),
        "trades": [trade_input(one) for one in material.slices],
        "fees_before": text(earlier),
        "fees": [[fee.accrual, fee.at_ms, text(fee.amount)] for fee in listed],
        "unrealised": material.mode,
        "open": [_open_input(one) for one in material.opens],
        "flows": [[flow.operation_id, flow.time_ms, text(flow.amount), text(flow.equity)] for flow in material.flows],
        "withdrawal": material.withdrawal,
        "capital_before": text(mark.capital),
        "own_fees_before": text(mark.own_fees),
        "mark_before": text(mark.mark),
        "mark_after": text(crystal.after.mark),
    }
    if cap is not None:
        inputs["cap"] = text(cap)
    return Fee("performance/1", crystal.gain, crystal.fee, inputs, _cause(crystal.gain, policy.fee_percent, cap)), crystal.after


def _cause(gain: Decimal, percent: Decimal, cap: Decimal | None) -> str:
    """Why no performance fee is due."""
    if not gain:
        return "NO_GAIN"
    if not percent:
        return NO_FEE
    return ROUNDS_TO_ZERO if cap is None or cap else CAPPED


def netted(shares: Sequence[tuple[Decimal, Decimal]], withheld: Decimal, currency: str) -> Decimal:
    """What is due of withheld shares when their period ends: max(0, sum of percent * net), not more than was withheld.

    `shares` are (percent, net result) of each position of the period, losses among them.
    """
    due = ZERO
    for percent, net in shares:
        due = EXACT.add(due, EXACT.divide(EXACT.multiply(percent, net), HUNDRED))
    return min(withheld, Money(max(ZERO, due), currency).rounded().amount)


def rate_input(rate: Rate | None) -> dict[str, Any]:
    """The rate from the policy's currency, as it stands in inputs; nothing when none was needed."""
    if rate is None:
        return {}
    return {"rate": {"from": rate.source, "to": rate.target, "rate": text(rate.rate), "seen": rate.seen, "time": rate.time_ms}}


def _open_input(one: Open) -> list[Any]:
    return [one.order, one.symbol, one.side, one.volume, text(one.open_price), text(one.price), text(one.rate), text(one.profit)]
