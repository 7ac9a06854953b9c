"""Which fields a form shows, and what a filled form says to the api: the subscription's by its modes, the reward's by the matrix. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from shared.contracts.config import REWARD_MATRIX, RewardRule, RewardType, SymbolsMode, VolumeMode

from console.figures import LOT

Filled = Mapping[str, Any]
Json = dict[str, Any]

VOLUME_FIELDS: dict[int, tuple[str, ...]] = {
    VolumeMode.FIXED: ("fixed_volume",),
    VolumeMode.MULTIPLIER: ("risk_multiplier",),
    VolumeMode.EQUITY_RATIO: ("allocation_percent", "ratio_multiplier"),
    VolumeMode.BALANCE_RATIO: ("allocation_percent", "ratio_multiplier"),
}
"""The fields of each volume mode that a person chooses from; the others stay as they are."""

IN_LOTS = ("fixed_volume", "min_volume", "max_volume")
FLAGS = {
    "copy_sl": "Copy stop losses",
    "copy_tp": "Copy take profits",
    "copy_partial_close": "Copy partial closes",
    "copy_pending_orders": "Copy pending orders",
    "copy_existing_positions": "Copy what is open now",
    "reverse_direction": "Trade the other way round",
    "require_sl": "Only trades with a stop loss",
}
LIMITS = {
    "min_volume": ("Least volume", "lots"),
    "max_volume": ("Most volume", "lots"),
    "max_positions": ("Most copies open at once", ""),
    "max_slippage_points": ("Most slippage", "points"),
    "max_signal_age_ms": ("Oldest trade to copy", "ms"),
}
LABELS = {"fixed_volume": "Each copy"} | {name: label for name, (label, _) in LIMITS.items()}
STOPS = {"daily_loss_percent": ("Loss in a day", "%"), "drawdown_percent": ("Fall from the highest equity", "%")}
WHOLE = frozenset({"max_positions", "max_slippage_points", "max_signal_age_ms"})
AMOUNTS = frozenset({"risk_multiplier", "ratio_multiplier", "allocation_percent", *STOPS})
DEFAULTS: Json = {
    "volume_mode": int(VolumeMode.MULTIPLIER),
    "risk_multiplier": 1,
    "fixed_volume": 0.1,
    "allocation_percent": 100,
    "ratio_multiplier": 1,
    "copy_mode": 0,
    "symbols_mode": int(SymbolsMode.ALL),
    "symbols": [],
    "small_volume_policy": "skip",
    "stop_action": "halt",
    "copy_sl": True,
    "copy_tp": True,
    "copy_partial_close": True,
    "copy_pending_orders": False,
    "copy_existing_positions": False,
    "reverse_direction": False,
    "require_sl": False,
    **dict.fromkeys((*LIMITS, *STOPS), 0),
}
NEEDED = {
    "fixed_volume": "Say how much each copy is, in lots",
    "risk_multiplier": "Say how many times the master's volume",
    "allocation_percent": "Say how much of the account is for this master",
    "ratio_multiplier": "Say how many times the ratio",
}


class FormError(ValueError):
    """Something that has to be filled in is not; the text says what."""


def subscription_body(filled: Filled) -> Json:
    """The settings of a subscription as the api takes them: lots become integer units, only fields that apply are sent. How much is
    copied is left out where it was set by the signed OpenAPI, whose volume modes this form does not have.

    Raises FormError.
    """
    mode = filled["volume_mode"]
    body: Json = {"copy_mode": filled["copy_mode"], "small_volume_policy": filled["small_volume_policy"]}
    if mode in VOLUME_FIELDS:
        body["volume_mode"] = mode
    for name in VOLUME_FIELDS.get(mode, ()):
        if not filled[name] or filled[name] < 0:
            raise FormError(NEEDED[name])
    for name in (*VOLUME_FIELDS.get(mode, ()), *LIMITS, *STOPS):
        body[name] = _value(name, filled[name] or 0)
    body |= {name: int(bool(filled[name])) for name in FLAGS}
    body["symbols_mode"] = filled["symbols_mode"]
    if filled["symbols_mode"] != SymbolsMode.ALL:
        if not filled["symbols"]:
            raise FormError("Choose the symbols")
        body["symbols"] = ",".join(filled["symbols"])
    if body["daily_loss_percent"] or body["drawdown_percent"]:
        body["stop_action"] = filled["stop_action"]
    return body


def _value(name: str, value: Any) -> Any:
    """What is sent is what was typed: a limit that would round to 0 would be no limit."""
    number = Decimal(str(value)) * (LOT if name in IN_LOTS else 1)
    if name not in IN_LOTS and name not in WHOLE:
        return number
    if number != number.to_integral_value():
        raise FormError(f"{LABELS[name]}: {'in steps of 0.01 lots' if name in IN_LOTS else 'a whole number'}")
    return int(number)


def filled_of(subscription: Filled) -> Json:
    """The form of a subscription that is there."""
    filled = {name: subscription[name] for name in DEFAULTS}
    for name in IN_LOTS:
        filled[name] = subscription[name] / LOT
    for name in AMOUNTS:
        filled[name] = float(subscription[name])
    filled |= {name: bool(subscription[name]) for name in FLAGS} | {"copy_existing_positions": False}
    filled["symbols"] = [part.strip() for part in subscription["symbols"].split(",") if part.strip()]
    return filled


class RewardFields(NamedTuple):
    """What the reward form shows for a model."""

    periods: tuple[str, ...]
    """Empty where there is nothing to choose."""
    figures: tuple[str, ...]
    """`fee_amount`, `fee_percent`; where there are two, one of them is given."""
    hwm: bool
    options: tuple[str, ...]


def reward_fields(reward_type: int) -> RewardFields:
    """From the one matrix that the api checks by."""
    rule = rule_of(reward_type)
    figures = (rule.figure, rule.figure_or) if rule.figure_or else (rule.figure,)
    return RewardFields(rule.billing_periods if len(rule.billing_periods) > 1 else (), figures, rule.hwm, rule.options)


def rule_of(reward_type: int) -> RewardRule:
    return REWARD_MATRIX[RewardType(reward_type)]


def reward_body(filled: Filled) -> Json:
    """A reward policy as the api takes it: numbers as numbers, and only what the model has. Raises FormError."""
    reward_type = filled["reward_type"]
    if reward_type is None:
        raise FormError("Choose how the strategy is rewarded")
    fields = reward_fields(reward_type)
    figure = fields.figures[0] if len(fields.figures) == 1 else filled.get("figure", fields.figures[0])
    if not filled.get(figure):
        raise FormError("Give the fee" if figure == "fee_amount" else "Give the share in percent")
    body: Json = {"reward_type": reward_type, figure: Decimal(str(filled[figure]))}
    if fields.periods:
        body["billing_period"] = filled.get("billing_period") or fields.periods[0]
    if fields.hwm:
        body["hwm_enabled"] = int(filled.get("hwm_enabled", True))
    for name in fields.options:
        if filled.get(name):
            body[name] = Decimal(str(filled[name])) if name == "fee_cap" else filled[name]
    if filled.get("currency"):
        body["currency"] = filled["currency"].strip().upper()
    if filled.get("payout_account_login"):
        body["payout_account_login"] = filled["payout_account_login"]
    return body
