"""What holds an opening back, and why: status, filters, counts, guards, margin. Closings never come here."""

from fractions import Fraction
from functools import lru_cache

from shared.contracts.config import CopyMode, FollowerModes, SubscriptionStatus, SymbolsMode
from shared.symbols import BUY

from executor.config_rules import MARGIN_FILTERED, filtered
from executor.terms import HALTED, REDUCE_ONLY, Policy, Rules, Signal, Standing, Terms

DISABLED, PAUSED, CLOSE_ONLY, PAST_DUE = "DISABLED", "PAUSED", "CLOSE_ONLY", "PAST_DUE"
MASTER_DISABLED, FOLLOWER_DISABLED, MODE_NOT_ALLOWED = "MASTER_DISABLED", "FOLLOWER_DISABLED", "MODE_NOT_ALLOWED"
ACCOUNT_UNKNOWN, STOPPED, SYMBOL_FILTERED, SYMBOL_UNKNOWN = "ACCOUNT_UNKNOWN", "STOPPED", "SYMBOL_FILTERED", "SYMBOL_UNKNOWN"
MAX_POSITIONS, MAX_MASTERS, NO_SL, TOO_OLD = "MAX_POSITIONS", "MAX_MASTERS", "NO_SL", "TOO_OLD"
PRICE_MOVED, MARGIN, NOT_LED = "PRICE_MOVED", "MARGIN", "NOT_LED"
MASTER_CLOSED, ALREADY_COPIED = "MASTER_CLOSED", "ALREADY_COPIED"

SAFETY = Fraction(98, 100)
"""The part of the available margin that a copy may take, beyond what slippage can cost."""


def gate(signal: Signal, terms: Terms, rules: Rules, standing: Standing, sl: int) -> str:
    """The first limit that refuses this opening, looked at in this order; empty when none does. `sl` is the copy's stop loss."""
    return (
        _status(signal, rules, standing)
        or (MASTER_CLOSED if signal.closed else "")
        or (ALREADY_COPIED if standing.had else "")
        or _halt(signal, terms, standing)
        or _symbol(signal, terms, rules)
        or _counts(rules, standing)
        or (NO_SL if rules.require_sl and sl == 0 else "")
        or (TOO_OLD if too_old(signal, rules.max_signal_age_ms) else "")
    )


def barred(signal: Signal, terms: Terms, rules: Rules, standing: Standing) -> str:
    """Why a subscription opens nothing now, whatever it is; empty when it may."""
    return _status(signal, rules, standing) or _halt(signal, terms, standing)


def _status(signal: Signal, rules: Rules, standing: Standing) -> str:
    refusals = (
        (not rules.enabled or rules.status == SubscriptionStatus.DISABLED, DISABLED),
        (rules.status == SubscriptionStatus.PAUSED, PAUSED),
        (rules.copy_mode == CopyMode.CLOSE_ONLY, CLOSE_ONLY),
        (bool(standing.past_due), PAST_DUE),
        (not signal.enabled, MASTER_DISABLED),
        (not signal.led, NOT_LED),
        (not standing.known, ACCOUNT_UNKNOWN),
        (not standing.enabled, FOLLOWER_DISABLED),
        (not mode_allowed(signal.follower_modes, standing.demo), MODE_NOT_ALLOWED),
    )
    return next((reason for refused, reason in refusals if refused), "")


def mode_allowed(modes: int, demo: int) -> bool:
    """Whether the master admits followers of this kind of account (`allowed_follower_modes`)."""
    return modes == FollowerModes.REAL_AND_DEMO or (modes == FollowerModes.DEMO_ONLY) == bool(demo)


def _halt(signal: Signal, terms: Terms, standing: Standing) -> str:
    if HALTED in {signal.halted, terms.halted} or standing.halted == 1:
        return HALTED
    if signal.halted or terms.halted or standing.halted:
        return REDUCE_ONLY
    return STOPPED if standing.stopped else ""


def _symbol(signal: Signal, terms: Terms, rules: Rules) -> str:
    if rules.symbols_mode != SymbolsMode.ALL and (rules.symbols_mode == SymbolsMode.INCLUDE) != bool(rules.listed):
        return SYMBOL_FILTERED
    if filtered(rules.margin_filter, signal.margin_type):
        return MARGIN_FILTERED
    return "" if terms.known else SYMBOL_UNKNOWN


def _counts(rules: Rules, standing: Standing) -> str:
    if 0 < rules.max_positions <= standing.copies:
        return MAX_POSITIONS
    return MAX_MASTERS if 0 < standing.max_masters <= standing.rank else ""


def too_old(signal: Signal, max_age_ms: int) -> bool:
    """Whether the age guard refuses. Existing positions that a follower asked for are old by nature."""
    return 0 < max_age_ms < signal.now - signal.opened_ms and not signal.asked


def worst_price(signal: Signal, side: str, max_slippage_points: int, point: int, zero_slippage: int = 0) -> int:
    """The price beyond which the copy must not be filled; 0 without a guard, and for a pending order, which names its own price.

    With zero slippage it is the master's own.
    """
    if signal.pending or (max_slippage_points <= 0 and not zero_slippage):
        return 0
    if zero_slippage:
        return signal.price
    distance = max_slippage_points * point
    return signal.price + distance if side == BUY else max(1, signal.price - distance)


def price_gate(terms: Terms, side: str, worst: int) -> str:
    """Refuses at once what the venue would have to refuse: the price has moved beyond the guard already."""
    return moved(side, terms.ask if side == BUY else terms.bid, worst)


def moved(side: str, now: int, worst: int) -> str:
    """PRICE_MOVED when the price now is beyond the worst; empty when it is not, or one of them is not known (0)."""
    if worst == 0 or now == 0:
        return ""
    return PRICE_MOVED if (now > worst if side == BUY else now < worst) else ""


def margin_share(slippage: Fraction, leverage: int) -> Fraction:
    """The part of the available margin that an opening may take: `(1 - S) / (1 - S + L * S) * 0.98` (Binance's rule), all without S."""
    if not slippage:
        return Fraction(1)
    return (1 - slippage) / (1 - slippage + leverage * slippage) * SAFETY


def margin_suffices(volume: int, terms: Terms, standing: Standing, policy: Policy, leverage: int) -> bool:
    """Whether the account's free margin carries a copy of this leverage, slippage included. What cannot be known is left to the venue."""
    if policy.margin_slippage < 0 or terms.margin_num == 0:
        return True
    num, den = margin_bound(leverage, policy)
    # volume * margin / leverage <= free * share, multiplied out
    return volume * terms.margin_num * den <= standing.free_margin * num * terms.margin_den


@lru_cache(maxsize=1024)
def margin_bound(leverage: int, policy: Policy) -> tuple[int, int]:
    """Leverage times `margin_share`, as a fraction."""
    gear = max(1, leverage)
    bound = gear * margin_share(Fraction(policy.margin_slippage, 10**8), gear)
    return bound.numerator, bound.denominator


def hold(mode: str) -> str:
    """The reason of a trading halt's mode."""
    return HALTED if mode == "halt" else REDUCE_ONLY
