"""The rules of the configuration: who may lead, follow and subscribe, and which settings make sense. Pure: values in, values out."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.contracts.config import (
    REWARD_MATRIX,
    FollowerModes,
    RewardPolicy,
    RewardType,
    Subscription,
    SubscriptionStatus,
    SymbolsMode,
    VolumeMode,
)
from shared.money import MINOR_DIGITS


class Refusal(NamedTuple):
    """Why something may not be: an error code of the specification, and words for a person."""

    code: str
    message: str = ""


class Terms(NamedTuple):
    """What a reward policy asks for, whole."""

    reward_type: RewardType
    billing_period: str
    fee_amount: Decimal
    fee_percent: Decimal
    hwm_enabled: int


def reward_terms(
    reward_type: int, billing_period: str | None, fee_amount: Decimal | None, fee_percent: Decimal | None, hwm_enabled: int | None
) -> Terms | Refusal:
    """The terms of a reward policy by the reward form (specification 2), or what is wrong with them.

    The figure that the model needs has to be above 0 and the other one 0 or left out (a management fee takes either, never both); the
    first billing period is the default; the high-water mark is for `PERFORMANCE_FEE_HWM` alone, where it is on unless it is switched off.
    """
    kind = RewardType(reward_type)
    rule = REWARD_MATRIX[kind]
    name = kind.name.lower()
    figures = {"fee_amount": fee_amount or Decimal(0), "fee_percent": fee_percent or Decimal(0)}
    taken = (rule.figure, rule.figure_or)
    if stray := [figure for figure, value in figures.items() if value != 0 and figure not in taken]:
        return Refusal("INVALID_REWARD_POLICY", f"{name} takes no {stray[0]}")
    if sum(value > 0 for value in figures.values()) != 1:
        either = f"either a {rule.figure} or a {rule.figure_or}" if rule.figure_or else f"a {rule.figure}"
        return Refusal("INVALID_REWARD_POLICY", f"{name} needs {either} above 0")
    if hwm_enabled and not rule.hwm:
        return Refusal("INVALID_REWARD_POLICY", f"{name} has no high-water mark")
    period = billing_period or rule.billing_periods[0]
    if period not in rule.billing_periods:
        return Refusal("INVALID_REWARD_POLICY", f"billing_period of {name} is one of {', '.join(rule.billing_periods)}")
    hwm = (1 if hwm_enabled is None else hwm_enabled) if rule.hwm else 0
    return Terms(kind, period, figures["fee_amount"], figures["fee_percent"], hwm)


def fee_currency(currency: str) -> Refusal | None:
    """A fee in a currency whose smallest unit nobody knows could never be charged."""
    if currency in MINOR_DIGITS:
        return None
    return Refusal("INVALID_REWARD_POLICY", f"currency is one of {', '.join(MINOR_DIGITS)}")


def reward_options(terms: Terms, options: Mapping[str, object]) -> Refusal | None:
    """Whether the reward model has the options that differ from their defaults, and whether a mark's basis fits `hwm_enabled`."""
    name, rule = terms.reward_type.name.lower(), REWARD_MATRIX[terms.reward_type]
    for option, value in options.items():
        if value != RewardPolicy.model_fields[option].default and option not in rule.options:
            return Refusal("INVALID_REWARD_POLICY", f"{name} takes no {option}")
    basis = options["hwm_basis"]
    if basis and (basis == "period") == bool(terms.hwm_enabled):
        return Refusal("INVALID_REWARD_POLICY", f"hwm_basis {basis} needs hwm_enabled {0 if basis == 'period' else 1}")
    return None


def may_lead(mode: str) -> Refusal | None:
    """Masters are REAL accounts only."""
    return None if mode == "REAL" else Refusal("MASTER_ACCOUNT_MUST_BE_REAL", "a DEMO account cannot be a master")


def may_pay_out(owner: int, mode: str, customer_id: int) -> Refusal | None:
    """Rewards are paid to a REAL account of the master's own customer."""
    if owner != customer_id or mode != "REAL":
        return Refusal("INVALID_PAYOUT_ACCOUNT", "the payout account is not a real account of the master's customer")
    return None


def may_copy(master_enabled: int, master_public: bool, master_owner: int, allowed: int, customer_id: int, mode: str) -> Refusal | None:
    """Whether a customer's account of this mode may subscribe to a master: enabled, public or the customer's own, and open to the mode."""
    if not master_enabled:
        return Refusal("MASTER_NOT_AVAILABLE", "the master is disabled")
    if not master_public and master_owner != customer_id:
        return Refusal("MASTER_NOT_AVAILABLE", "the master is private")
    refused_mode = "DEMO" if allowed == FollowerModes.REAL_ONLY else "REAL"
    if allowed != FollowerModes.REAL_AND_DEMO and mode == refused_mode:
        return Refusal("FOLLOWER_MODE_NOT_ALLOWED", f"the master takes no {mode} followers")
    return None


def no_cycle(master_login: int, follower_login: int, copied_by_master: Iterable[int]) -> Refusal | None:
    """`copied_by_master`: everyone whose trades reach the master by copying. A follower among them would copy itself."""
    if master_login == follower_login or follower_login in set(copied_by_master):
        return Refusal("COPY_CYCLE", f"{master_login} already copies {follower_login}, directly or through others")
    return None


def is_live(enabled: int, status: int) -> bool:
    """Whether a subscription counts among the masters that a follower has."""
    return bool(enabled) and status != SubscriptionStatus.DISABLED


def within_master_count(live: int, max_master_count: int) -> Refusal | None:
    """`live`: subscriptions of the follower that count, the one in question among them."""
    if live > max_master_count:
        return Refusal("MAX_MASTER_COUNT", f"the follower may copy {max_master_count} masters at most")
    return None


def within_allocation(percents: Iterable[Decimal]) -> Refusal | None:
    """Once any subscription of a follower sets its allocation, they may not come to more than 100 together."""
    shares = list(percents)
    if any(share != 100 for share in shares) and sum(shares) > 100:
        return Refusal("ALLOCATION_EXCEEDED", "allocation_percent of the follower's subscriptions comes to more than 100")
    return None


def subscription_settings(sub: Subscription) -> Refusal | None:
    """Whether a subscription's settings make sense together."""
    wrong = ""
    if sub.volume_mode == VolumeMode.FIXED and sub.fixed_volume < 1:
        wrong = "volume_mode 0 (fixed) needs a fixed_volume of at least 1"
    elif sub.volume_mode == VolumeMode.MULTIPLIER and sub.risk_multiplier <= 0:
        wrong = "volume_mode 1 (multiplier) needs a risk_multiplier above 0"
    elif sub.volume_mode in {VolumeMode.EQUITY_RATIO, VolumeMode.BALANCE_RATIO} and sub.ratio_multiplier <= 0:
        wrong = "the ratio modes need a ratio_multiplier above 0"
    elif sub.max_volume and sub.min_volume > sub.max_volume:
        wrong = "min_volume is above max_volume"
    elif sub.symbols_mode == SymbolsMode.INCLUDE and not sub.symbols:
        wrong = "symbols_mode 1 (include) needs symbols"
    return Refusal("INVALID_DATA", wrong) if wrong else None


def symbol_list(symbols: str) -> str | Refusal:
    """The symbols as they are kept: comma-separated, trimmed, each once, in the order given."""
    if not symbols.strip():
        return ""
    names = [name.strip() for name in symbols.split(",")]
    if not all(names):
        return Refusal("INVALID_DATA", "symbols has an empty name in it")
    return ",".join(dict.fromkeys(names))
