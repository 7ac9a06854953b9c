"""How much a follower copies (formulas.md section 1), exactly, in integers; the two modes of a follow config are in `config_rules`."""

from typing import NamedTuple

from shared.contracts.config import VolumeMode

from executor.amounts import UNIT
from executor.config_rules import by_amount, by_rate, needs_margin
from executor.terms import RISK_LIMIT, Policy, Rules, Signal, Standing, Terms

STALE_EQUITY = "STALE_EQUITY"
MASTER_EQUITY_INVALID = "MASTER_EQUITY_INVALID"
FOLLOWER_EQUITY_INVALID = "FOLLOWER_EQUITY_INVALID"
FX_RATE_UNKNOWN = "FX_RATE_UNKNOWN"
BELOW_MIN = "BELOW_MIN"
BELOW_MIN_RISK = "BELOW_MIN_RISK"

PERCENT = 100


PARTS = 1000
"""What is wanted is counted in this many parts of a volume unit, rounded down: nothing that follows needs to know it finer."""

WANTED_LIMIT = 2**60
"""More than this is as good as without a limit: no symbol's largest volume comes near it."""


class Sized(NamedTuple):
    """A volume in units, or a reason why there is none; `wanted` is the volume before limits and step, in 1/1000 units."""

    volume: int
    reason: str
    wanted: int


def size(signal: Signal, terms: Terms, rules: Rules, standing: Standing, policy: Policy) -> Sized:
    """The follower's volume. Refuses with an equity code, FX_RATE_UNKNOWN, BELOW_MIN or BELOW_MIN_RISK; never guesses."""
    reason = equity_gate(signal, terms, rules.volume_mode, standing, policy)
    if not reason and needs_margin(rules) and terms.margin_num <= 0:
        reason = FX_RATE_UNKNOWN
    if reason:
        return Sized(0, reason, 0)
    num, den = raw(signal, terms, rules, standing)
    wanted = max(-WANTED_LIMIT, min(WANTED_LIMIT, num * PARTS // den))
    volume, reason = fit(wanted, terms, rules.min_volume, rules.max_volume, rules.raise_to_min)
    return Sized(volume, reason, wanted)


def equity_gate(signal: Signal, terms: Terms, mode: int, standing: Standing, policy: Policy) -> str:
    """Why a ratio mode has nothing to divide by; empty when it has, and in the modes without a ratio."""
    if mode == VolumeMode.EQUITY_RATIO:
        own, masters = standing.equity, signal.equity
    elif mode == VolumeMode.BALANCE_RATIO:
        own, masters = standing.balance, signal.balance
    elif mode == VolumeMode.FIXED_RATE:
        return MASTER_EQUITY_INVALID if signal.equity <= 0 else "" if terms.fx_num > 0 else FX_RATE_UNKNOWN
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


def raw(signal: Signal, terms: Terms, rules: Rules, standing: Standing) -> tuple[int, int]:
    """The unrounded volume as a fraction: formulas.md section 1, `raw(...)`, and `config_rules`."""
    if rules.volume_mode == VolumeMode.FIXED:
        return rules.fixed_volume, 1
    if rules.volume_mode == VolumeMode.FIXED_AMOUNT:
        return by_amount(terms, rules, standing)
    if rules.volume_mode == VolumeMode.FIXED_RATE:
        return by_rate(signal, terms, rules, standing)
    num, den = signal.volume * terms.norm_num, terms.norm_den
    if rules.volume_mode == VolumeMode.MULTIPLIER:
        return num * rules.risk_multiplier, den * UNIT
    own, masters = (standing.equity, signal.equity) if rules.volume_mode == VolumeMode.EQUITY_RATIO else (standing.balance, signal.balance)
    num *= own * terms.fx_num * rules.allocation_percent * rules.ratio_multiplier
    return num, den * masters * terms.fx_den * PERCENT * UNIT * UNIT


def fit(wanted: int, terms: Terms, smallest: int, largest: int, raise_to_min: int) -> tuple[int, str]:
    """The wanted volume (1/1000 units) on the symbol's step and within the limits of subscription and symbol, or why it does not fit."""
    step = terms.step
    cap = min(largest, terms.largest) if largest > 0 else terms.largest
    least = max(smallest, terms.smallest, 1)
    volume = min(wanted // (PARTS * step), cap // step) * step
    if volume >= least:
        return volume, ""
    raised = -(-least // step) * step
    if not raise_to_min or raised > cap or wanted <= 0:
        return 0, BELOW_MIN
    # raised <= 2 * wanted, exactly: half of what is raised is a whole number of parts
    return (raised, "") if raised * (PARTS // RISK_LIMIT) <= wanted else (0, BELOW_MIN_RISK)
