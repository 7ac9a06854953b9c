"""What the doors answer: each record's fields in the specification's order, ours after them. Times are Unix seconds, amounts numbers."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from shared.contracts import config

from api.read_models import Account, MasterStats
from api.store import Follower, Master, RewardPolicy, Subscription, Version
from api.tables import Base

Json = dict[str, Any]

MASTER = (
    *("id", "login", "enabled", "strategy_name", "description", "visibility", "allowed_follower_modes"),
    *("show_trade_history", "show_followers", "created_time", "updated_time", "version"),
)
FOLLOWER = ("id", "login", "enabled", "manual_trading_mode", "max_master_count", "created_time", "updated_time", "version")
SUBSCRIPTION = (
    *("id", "master_login", "follower_login", "enabled", "status", "copy_mode", "volume_mode", "risk_multiplier", "fixed_volume"),
    *("copy_sl", "copy_tp", "copy_partial_close", "copy_pending_orders", "copy_existing_positions", "reverse_direction"),
    *("max_volume", "min_volume", "max_positions", "symbols_mode", "symbols", "created_time", "updated_time"),
    *("allocation_percent", "small_volume_policy", "ratio_multiplier", "max_slippage_points", "max_signal_age_ms", "require_sl"),
    *("daily_loss_percent", "drawdown_percent", "stop_action", "resumed_time", "standing", "version"),
)
POLICY = (
    *("id", "master_id", "enabled", "reward_type", "billing_period", "fee_amount", "fee_percent", "currency"),
    *("payout_account_login", "hwm_enabled", "created_time", "updated_time", "master_login", "version"),
    *("hwm_basis", "netting", "rebate_sides", "fee_cap"),
)
LINK = (
    *("id", "subscription_id", "master_login", "follower_login", "master_order", "follower_order", "state", "created_time", "updated_time"),
    *("phase", "reason", "symbol", "side", "volume", "volume_now", "master_volume", "master_volume_now", "price", "sl", "tp"),
)
ACCRUAL = (
    *("id", "subscription_id", "master_login", "follower_login", "reward_type", "period_from", "period_to", "base_amount", "fee_amount"),
    *("currency", "state", "created_time", "updated_time", "payout_account_login", "source_order", "charge_order", "payout_order"),
    *("failure_reason", "payout_amount", "payout_currency", "policy_id", "policy_version", "formula", "ref_accrual_id", "inputs"),
)
ACCOUNT = (
    *("login", "customer_id", "group", "mode", "currency", "leverage", "balance", "credit", "equity", "margin", "free_margin"),
    "positions",
)
SYMBOL = (
    *("symbol", "digits", "contract_size", "base_currency", "quote_currency", "volume_per_lot", "volume_min", "volume_step", "volume_max"),
    *("bid", "ask"),
)
HALT = ("id", "scope", "key", "mode", "active", "reason", "created_time", "updated_time", "set_by", "version")
API_KEY = (
    *("id", "key", "login", "account_type", "name", "read_only", "enabled", "ips", "require_nonce", "expires_time"),
    *("created_time", "updated_time"),
)
TRADE = (
    *("order", "deal", "symbol", "side", "volume", "volume_initial", "volume_left", "open_price", "close_price", "open_time", "close_time"),
    *("profit", "commission", "storage", "reason"),
)
POSITION = ("order", "login", "symbol", "side", "volume", "volume_initial", "price", "sl", "tp", "open_time", "client_id")
POSITION_NOW = ("subscription_id", "master_order", "mark_price", "profit")
"""What a position's row does not hold: whose copy it is (0: nobody's), and what it is worth now."""
CLOSED_POSITION = ("order", "login", "symbol")
DEAL = ("login", *TRADE, "client_id")
STATS = ("roi", "pnl", "win_rate", "max_drawdown", "avg_pnl_per_trade", "trades")

MORE_STATS = (
    *("sharpe_ratio", "sortino_ratio", "profit_factor", "avg_holding_time", "weekly_trades", "win_rate_lower_bound", "minimum_capital"),
    *("followers", "assets_under_copy", "copies", "copy_success", "copy_latency_median", "copy_latency_p95"),
    *("slippage_points", "slippage_bps", "followers_roi", "followers_roi_gross", "followers_in_profit"),
    *("tracking_difference", "tracking_error"),
)
"""Beyond the specification: risk and manner of trading, and what followers really got."""


class Source(NamedTuple):
    """Where a field that is not a column of its own comes from: the column, and how many of its units make one of the field's."""

    column: str
    divisor: int = 1


RENAMED = {
    "created_time": Source("created_ms", 1000),
    "updated_time": Source("updated_ms", 1000),
    "period_from": Source("period_from", 1000),
    "period_to": Source("period_to", 1000),
    "resumed_time": Source("resumed_ms", 1000),
    "expires_time": Source("expires_ms", 1000),
    "failure_reason": Source("reason"),
    "group": Source("group_name"),
    "open_time": Source("opened_ms", 1000),
    "close_time": Source("closed_ms", 1000),
    "order": Source("position"),
    "close_price": Source("price"),
    "storage": Source("swap"),
    "volume": Source("closed"),
    "volume_initial": Source("initial"),
    "volume_left": Source("left"),
}


def number(value: Decimal | None) -> int | float | None:
    """An amount as a JSON number: whole ones without a fraction."""
    if value is None:
        return None
    whole = int(value)
    return whole if whole == value else float(value)


@cache
def sources(model: Hashable, fields: tuple[str, ...]) -> tuple[tuple[str, Source], ...]:
    """Where each field of a model's view comes from."""
    found = [(field, RENAMED.get(field, Source(field))) for field in fields]
    return tuple((field, source if hasattr(model, source.column) else Source(field)) for field, source in found)


def values_of(row: Any, fields: Sequence[str]) -> list[Any]:
    """The fields of a record as they are answered."""
    values = []
    for _, (column, divisor) in sources(row.__class__, tuple(fields)):
        value = getattr(row, column)
        if isinstance(value, Decimal):
            value = number(value)
        values.append(value // divisor if divisor != 1 else value)
    return values


def as_object(row: Base, fields: Sequence[str]) -> Json:
    return dict(zip(fields, values_of(row, fields), strict=True))


def table(rows: Iterable[Base], fields: Sequence[str], count: int) -> Json:
    """The table form: `structure` names the columns, `rows` holds a list each."""
    return {"structure": list(fields), "rows": [values_of(row, fields) for row in rows], "count": count}


def objects(rows: Iterable[Base], fields: Sequence[str], count: int) -> Json:
    return {"rows": [as_object(row, fields) for row in rows], "count": count}


def master_view(row: Master, policy: RewardPolicy | None, extra: Mapping[str, Any] | None = None) -> Json:
    return as_object(row, MASTER) | {"reward_policy": policy_view(policy) if policy else None} | dict(extra or {})


def policy_view(row: RewardPolicy) -> Json:
    return as_object(row, POLICY)


def follower_view(row: Follower) -> Json:
    return as_object(row, FOLLOWER)


def subscription_view(row: Subscription) -> Json:
    return as_object(row, SUBSCRIPTION)


def version_view(row: Version) -> Json:
    settings = config.Subscription.model_validate_json(row.state)
    shown = {name: getattr(settings, name) for name in SUBSCRIPTION if name in config.Subscription.model_fields}
    shown = {name: number(value) if isinstance(value, Decimal) else value for name, value in shown.items() if name not in {"id", "version"}}
    return {"version": row.version, "valid_from": row.valid_from_ms // 1000, "actor": row.actor, "settings": shown}


def account_view(row: Account) -> Json:
    return as_object(row, ACCOUNT)


def stats_view(row: MasterStats) -> Json:
    """The statistics of specification 4, then ours. A curve has one value a day, zeros while nothing was closed."""
    return {
        "period": row.period,
        "period_days": row.period_days,
        **{field: number(getattr(row, field)) if field != "trades" else row.trades for field in STATS},
        "pnl_history": json.loads(row.pnl_history) if row.pnl_history else [0] * row.period_days,
        "roi_simple": number(row.roi_simple),
        "currency": row.currency,
        "coverage_days": row.coverage_days,
        "roi_quality": row.roi_quality,
        "updated_time": row.updated_ms // 1000,
        **{field: number(getattr(row, field)) for field in MORE_STATS},
    }
