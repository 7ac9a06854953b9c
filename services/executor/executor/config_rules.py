"""The OpenAPI's follow config (specification 5): which orders it leaves out, how much a copy is by it, and how much money copies may bind.

Amounts are in 1e-8 of the follower's currency, margins those of the follow leverage. What the document leaves open is settled in
docs/decisions/0013-the-follow-config.md.
"""

from fractions import Fraction

from shared.contracts.config import VolumeMode

from executor.terms import Rules, Signal, Standing, Terms

MARGIN_FILTERED, MAX_INVEST, DAILY_MAX = "MARGIN_FILTERED", "MAX_INVEST", "DAILY_MAX"
CROSS_ONLY, ISOLATED_ONLY = 1, 2
"""`followMarginType`; 0 is every order."""


def filtered(margin_filter: int, margin_type: int) -> bool:
    """Whether an order's margin type is not among those that are followed."""
    return margin_filter == (CROSS_ONLY if margin_type else ISOLATED_ONLY)


def led(symbol: str, margin_type: int, opened_ms: int, symbols: str, margin_types: int, from_ms: int, to_ms: int) -> bool:
    """Whether a master leads an order: by its lists of symbols and margin types, and outside its cool-down."""
    if symbols and symbol not in symbols.split(","):
        return False
    return margin_types in {-1, margin_type} and not (to_ms and from_ms <= opened_ms <= to_ms)


def gear(leverage: int, accounts: int) -> int:
    """The leverage of a copy: the config's, or (0) the account's."""
    return leverage or max(1, accounts)


def by_amount(terms: Terms, rules: Rules, standing: Standing) -> tuple[int, int]:
    """The unrounded volume, as a fraction, whose margin is `singlePlaceAmount`."""
    return rules.single_amount * gear(rules.leverage, standing.leverage) * terms.margin_den, terms.margin_num


def by_rate(signal: Signal, terms: Terms, rules: Rules, standing: Standing) -> tuple[int, int]:
    """The unrounded volume, as a fraction, that binds the same part of what is invested as the master's order binds of its equity."""
    num = signal.volume * terms.norm_num * rules.invested * terms.fx_num * gear(rules.leverage, standing.leverage)
    return num, terms.norm_den * signal.equity * terms.fx_den * max(1, signal.leverage)


def needs_margin(rules: Rules) -> bool:
    """Whether the volume cannot be decided without knowing what a unit binds."""
    return rules.volume_mode == VolumeMode.FIXED_AMOUNT or rules.invest_cap > 0 or rules.daily_cap > 0


def over(volume: int, terms: Terms, rules: Rules, standing: Standing) -> str:
    """MAX_INVEST or DAILY_MAX when the copy would bind more than all copies together may; empty when it would not."""
    wanted, unit = volume * terms.margin_num, terms.margin_den * gear(rules.leverage, standing.leverage)
    if rules.invest_cap > 0 and wanted > (rules.invest_cap - standing.bound) * unit:
        return MAX_INVEST
    if rules.daily_cap > 0 and wanted > (rules.daily_cap - standing.spent) * unit:
        return DAILY_MAX
    return ""


def stake(volume: int, margin: Fraction, leverage: int) -> int:
    """What a copy binds, rounded up: its notional (`margin` is that of a volume unit) by its leverage."""
    return -(-volume * margin.numerator // (margin.denominator * leverage))
