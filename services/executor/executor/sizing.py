"""How much a follower copies (formulas.md section 1): the four volume modes, exactly, in integers."""

from typing import NamedTuple

from shared.contracts.config import VolumeMode

from executor.amounts import UNIT
from executor.terms import RISK_LIMIT, Policy, Rules, Signal, Standing, Terms

STALE_EQUITY = "STALE_EQUITY"
MASTER_EQUITY_INVALID = "MASTER_EQUITY_INVALID"
FOLLOWER_EQUITY_INVALID = "FOLLOWER_EQUITY_INVALID"
FX_RATE_UNKNOWN = "FX_RATE_UNKNOWN"
BELOW_MIN = "BELOW_MIN"
BELOW_MIN_RISK = "BELOW_MIN_RISK"

PERCENT = 100


class Sized(NamedTuple):
    """A volume in units, or a reason why there is none; `num / den` is the wanted volume before rounding, limits and minimum."""

    volume: int
    reason: str
    num: int
    den: int


def size(signal: Signal, terms: Terms, rules: Rules, standing: Standing, policy: Policy) -> Sized:
    """The follower's volume. Refuses with an equity code, FX_RATE_UNKNOWN, BELOW_MIN or BELOW_MIN_RISK; never guesses."""
    reason = equity_gate(signal, terms, rules.volume_mode, standing, policy)
    if reason:
        return Sized(0, reason, 0, 1)
    num, den = wanted(signal, terms, rules, standing)
    volume, reason = fit(num, den, terms, rules.min_volume, rules.max_volume, rules.raise_to_min)
    return Sized(volume, reason, num, den)


def equity_gate(signal: Signal, terms: Terms, mode: int, standing: Standing, policy: Policy) -> str:
    """Why a ratio mode has nothing to divide by; empty when it has, and in the two other modes."""
    if mode == VolumeMode.EQUITY_RATIO:
        own, masters = standing.equity, signal.equity
    elif mode == VolumeMode.BALANCE_RATIO:
        own, masters = standing.balance, signal.balance
    else:
        return ""
    if masters <= 0:
        return MASTER_EQUITY_INVALID
    if own <= 0:
        return FOLLOWER_EQUITY_INVALID
    if stale(signal.now, standing, policy):
        return STALE_EQUITY
    return "" if terms.fx_num > 0 else FX_RATE_UNKNOWN


def stale(now: int, standing: Standing, policy: Policy) -> bool:
    """Whether the follower's equity is too old to size on. Without open positions it cannot have moved since it was told."""
    return policy.max_equity_age_ms > 0 and standing.positions > 0 and now - standing.updated_ms > policy.max_equity_age_ms


def wanted(signal: Signal, terms: Terms, rules: Rules, standing: Standing) -> tuple[int, int]:
    """The unrounded volume as a fraction: formulas.md section 1, `raw(...)`."""
    if rules.volume_mode == VolumeMode.FIXED:
        return rules.fixed_volume, 1
    num, den = signal.volume * terms.norm_num, terms.norm_den
    if rules.volume_mode == VolumeMode.MULTIPLIER:
        return num * rules.risk_multiplier, den * UNIT
    own, masters = (standing.equity, signal.equity) if rules.volume_mode == VolumeMode.EQUITY_RATIO else (standing.balance, signal.balance)
    num *= own * terms.fx_num * rules.allocation_percent * rules.ratio_multiplier
    return num, den * masters * terms.fx_den * PERCENT * UNIT * UNIT


def fit(num: int, den: int, terms: Terms, smallest: int, largest: int, raise_to_min: int) -> tuple[int, str]:
    """The wanted volume on the symbol's step and within the limits of subscription and symbol, or the reason why it does not fit."""
    step = terms.step
    cap = min(largest, terms.largest) if largest > 0 else terms.largest
    least = max(smallest, terms.smallest, 1)
    volume = min(num // (den * step), cap // step) * step
    if volume >= least:
        return volume, ""
    raised = -(-least // step) * step
    if not raise_to_min or raised > cap or num <= 0:
        return 0, BELOW_MIN
    return (raised, "") if raised * den <= RISK_LIMIT * num else (0, BELOW_MIN_RISK)
