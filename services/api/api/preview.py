"""What a master's last trades would have brought and cost a follower by given settings: an estimate at today's equities and rates. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from shared.contracts.config import RewardType, SymbolsMode, VolumeMode
from shared.money import EXACT, minor_digits, quantize

ZERO, HUNDRED = Decimal(0), Decimal(100)
DAY_MS = 86_400_000
YEAR_DAYS = Decimal(365)
PERIOD_DAYS = {"daily": 1, "weekly": 7, "monthly": 30, "quarterly": 91}


class Closing(NamedTuple):
    """A closing of the master's, amounts in the master's currency."""

    order: int
    deal: int
    symbol: str
    side: str
    initial: int
    closed: int
    profit: Decimal
    costs: Decimal
    opened_ms: int
    closed_ms: int


class Grid(NamedTuple):
    """What volumes a symbol takes."""

    volume_per_lot: int
    smallest: int
    step: int
    largest: int


class Copying(NamedTuple):
    """The settings that decide volumes; volumes in integer units, 0 for no limit."""

    volume_mode: int
    risk_multiplier: Decimal
    fixed_volume: int
    allocation_percent: Decimal
    ratio_multiplier: Decimal
    min_volume: int
    max_volume: int
    raise_to_min: bool
    symbols_mode: int
    symbols: frozenset[str]
    reverse: bool


class Standing(NamedTuple):
    """Both accounts now; `rate`: how much of the follower's currency one of the master's is."""

    equity: Decimal
    balance: Decimal
    master_equity: Decimal
    master_balance: Decimal
    rate: Decimal
    currency: str


class Fee(NamedTuple):
    """A reward policy's figures, its amounts in the follower's currency already."""

    reward_type: int
    billing_period: str
    amount: Decimal
    percent: Decimal
    sides: str
    cap: Decimal


@dataclass(frozen=True, slots=True)
class Estimate:
    """One closing as it would have been copied, in the follower's currency; costs are negative, the fee is what is charged with it."""

    closing: Closing
    volume: int
    reason: str
    profit: Decimal
    costs: Decimal
    fee: Decimal

    @property
    def net(self) -> Decimal:
        return self.profit + self.costs - self.fee


class Total(NamedTuple):
    """All closings together; `fee` with what is charged by period."""

    profit: Decimal
    costs: Decimal
    fee: Decimal
    net: Decimal


def volume_of(initial: int, symbol: str, copying: Copying, standing: Standing, grid: Grid | None) -> tuple[int, str]:
    """The follower's volume for an opening of the master's, or why there is none."""
    listed = symbol in copying.symbols
    if copying.symbols_mode != SymbolsMode.ALL and listed != (copying.symbols_mode == SymbolsMode.INCLUDE):
        return 0, "SYMBOL_FILTERED"
    if grid is None:
        return 0, "SYMBOL_UNKNOWN"
    wanted = _wanted(initial, copying, standing)
    if wanted is None:
        return 0, "MASTER_EQUITY_INVALID"
    largest = min(copying.max_volume or grid.largest, grid.largest)
    least = max(copying.min_volume, grid.smallest, 1)
    steps = int(min(wanted, Decimal(largest)).to_integral_value(ROUND_FLOOR)) // grid.step
    if steps * grid.step >= least:
        return steps * grid.step, ""
    raised = -(-least // grid.step) * grid.step
    if copying.raise_to_min and raised <= largest and raised <= 2 * wanted:
        return raised, ""
    return 0, "BELOW_MIN"


def _wanted(initial: int, copying: Copying, standing: Standing) -> Decimal | None:
    if copying.volume_mode == VolumeMode.FIXED:
        return Decimal(copying.fixed_volume)
    if copying.volume_mode == VolumeMode.MULTIPLIER:
        return EXACT.multiply(Decimal(initial), copying.risk_multiplier)
    by_equity = copying.volume_mode == VolumeMode.EQUITY_RATIO
    own, masters = (standing.equity, standing.master_equity) if by_equity else (standing.balance, standing.master_balance)
    if masters <= 0 or standing.rate <= 0:
        return None
    share = EXACT.divide(EXACT.multiply(own, copying.allocation_percent * copying.ratio_multiplier), masters * standing.rate * HUNDRED)
    return EXACT.multiply(Decimal(initial), share)


def estimate(
    closings: Sequence[Closing], copying: Copying, standing: Standing, fee: Fee | None, grid_of: Callable[[str], Grid | None]
) -> tuple[list[Estimate], Total]:
    """Each closing, the newest first, as it would have been copied, and all together."""
    rows = [_estimate(closing, copying, standing, fee, grid_of(closing.symbol)) for closing in closings]
    if fee and fee.reward_type == RewardType.PROFIT_SHARE_PER_TRADE:
        rows = _shared(rows, fee, standing.currency)
    profit = sum((row.profit for row in rows), ZERO)
    costs = sum((row.costs for row in rows), ZERO)
    charged = sum((row.fee for row in rows), ZERO) + (_by_period(rows, fee, standing, copying) if fee else ZERO)
    return rows, Total(profit, costs, charged, profit + costs - charged)


def _estimate(closing: Closing, copying: Copying, standing: Standing, fee: Fee | None, grid: Grid | None) -> Estimate:
    volume, reason = volume_of(closing.initial, closing.symbol, copying, standing, grid)
    if not volume:
        return Estimate(closing, 0, reason, ZERO, ZERO, ZERO)
    part = EXACT.multiply(EXACT.divide(Decimal(volume), Decimal(closing.initial)), standing.rate)
    profit = _money(EXACT.multiply(closing.profit, -part if copying.reverse else part), standing.currency)
    costs = _money(EXACT.multiply(closing.costs, part), standing.currency)
    charged = _rebate(closing, volume, fee, grid) if fee and grid and fee.reward_type == RewardType.VOLUME_REBATE else ZERO
    return Estimate(closing, volume, "", profit, costs, _money(charged, standing.currency))


def _rebate(closing: Closing, volume: int, fee: Fee, grid: Grid) -> Decimal:
    """What a single closing is charged for its lots."""
    lots = EXACT.divide(Decimal(volume * closing.closed), Decimal(closing.initial * grid.volume_per_lot))
    return EXACT.multiply(lots * (2 if fee.sides == "both" else 1), fee.amount)


def _shared(rows: Sequence[Estimate], fee: Fee, currency: str) -> list[Estimate]:
    """The rows with the profit share: of what a position's closings come to together, charged with the newest of them."""
    nets: dict[int, Decimal] = {}
    for row in rows:
        nets[row.closing.order] = nets.get(row.closing.order, ZERO) + row.profit + row.costs
    due = [max(ZERO, nets.pop(row.closing.order, ZERO)) for row in rows]
    return [
        replace(row, fee=_money(EXACT.divide(EXACT.multiply(net, fee.percent), HUNDRED), currency))
        for row, net in zip(rows, due, strict=True)
    ]


def _by_period(rows: Sequence[Estimate], fee: Fee, standing: Standing, copying: Copying) -> Decimal:
    """What is charged by time, for the time that the closings span; a performance fee as though all of it were one period."""
    if not rows:
        return ZERO
    days = max(1, -(-(max(row.closing.closed_ms for row in rows) - min(row.closing.opened_ms for row in rows)) // DAY_MS))
    length = PERIOD_DAYS.get(fee.billing_period, 0)
    due = ZERO
    match RewardType(fee.reward_type):
        case RewardType.PERFORMANCE_FEE_HWM:
            net = sum((row.profit + row.costs for row in rows), ZERO)
            due = EXACT.divide(EXACT.multiply(max(ZERO, net), fee.percent), HUNDRED)
            due = min(due, fee.cap) if fee.cap else due
        case RewardType.SUBSCRIPTION_FEE:
            due = fee.amount * (-(-days // length) if length else 1)
        case RewardType.MANAGEMENT_FEE if fee.percent:
            copied = EXACT.divide(EXACT.multiply(standing.equity, copying.allocation_percent), HUNDRED)
            due = EXACT.divide(EXACT.multiply(copied, fee.percent * days), HUNDRED * YEAR_DAYS)
        case RewardType.MANAGEMENT_FEE:
            due = EXACT.divide(fee.amount * days, Decimal(length or PERIOD_DAYS["monthly"]))
        case _:
            pass
    return _money(due, standing.currency)


def _money(value: Decimal, currency: str) -> Decimal:
    return quantize(value, minor_digits(currency))
