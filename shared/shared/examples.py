"""An example of every event, made from its type: a field's value goes by its name, so that an example reads like the real thing."""

from decimal import Decimal
from enum import IntEnum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from shared.contracts.event import Event, TableEvent
from shared.topics import TOPICS, Topic

NOW = 1_767_225_600_000
"""2026-01-01 00:00 UTC in Unix milliseconds."""
DAY_MS = 86_400_000

INTEGERS = {
    "login": 100002, "logins": 100002, "follower_login": 100002, "master_login": 100001, "payout_account_login": 100001, "customer_id": 2,
    "order": 500012, "follower_order": 500012, "master_order": 500011, "source_order": 500012, "charge_order": 900021,
    "payout_order": 900022, "deal": 700031, "operation_id": 900021, "link": 41, "subscription": 7, "subscription_id": 7, "accrual": 3,
    "master_id": 1, "policy_id": 1, "leverage": 100, "volume": 50, "initial": 50, "closed": 20, "left": 30, "volume_now": 50,
    "master_volume": 100, "master_volume_now": 100, "volume_per_lot": 100, "volume_min": 1, "volume_step": 1, "volume_max": 10000,
    "stops_level": 0, "digits": 5, "positions": 1, "version": 1, "step": 1, "period_days": 7, "coverage_days": 7, "trades": 1,
    "period_from": NOW - 30 * DAY_MS, "period_to": NOW, "time": NOW, "expires_ms": 0, "fixed_volume": 0, "max_volume": 0, "min_volume": 0,
    "max_positions": 0, "max_master_count": 1, "keep_margin_level": 100, "ref_accrual_id": 0, "resumed_ms": 0, "id": 1,
}  # fmt: skip
AMOUNTS = {
    "balance": "10000.00", "equity": "10098.00", "credit": "0", "margin": "75.00", "free_margin": "10023.00", "contract_size": "100000",
    "commission": "-3.50", "swap": "0", "swap_long": "-2.10", "swap_short": "0.40", "price": "1.50010", "open_price": "1.50010",
    "bid": "1.50000", "ask": "1.50010", "sl": "1.49000", "tp": "1.52000", "limit_price": "0", "worst_price": "1.50060", "profit": "98.00",
    "amount": "79.00", "base_amount": "395.00", "fee_amount": "79.00", "payout_amount": "79.00", "realized_profit": "395.00",
    "holding": "0", "settled": "79.00", "risk_multiplier": "0.5", "ratio_multiplier": "1", "allocation_percent": "100",
    "daily_loss_percent": "0", "drawdown_percent": "0", "fee_percent": "20", "fee_cap": "0", "roi": "7.90", "roi_simple": "7.90",
    "pnl": "790.00", "win_rate": "100", "max_drawdown": "0", "avg_pnl_per_trade": "790.00", "pnl_history": "790.00",
}  # fmt: skip
TEXTS = {
    "id": "trade.push:17:0", "correlation_id": "trade.push:17:0", "causation_id": "", "symbol": "GBPUSD", "master_symbol": "GBPUSD",
    "group": "real-usd", "currency": "USD", "payout_currency": "USD", "base_currency": "GBP", "quote_currency": "USD",
    "client_id": "c-7-500011-open-0", "position_client_id": "c-7-500011-open-0", "reason": "TR_REASON_COPY", "action": "open",
    "message": "", "api_data": '{"copy_reward_accrual_id": 3}', "operation": "OP_BALANCE_OUT", "request": "reconcile-12",
    "phase": "open", "formula": "profit_share", "inputs": "", "details": "", "roi_quality": "ok", "strategy_name": "Conservative FX",
    "description": "Few trades, small stops.", "visibility": "public", "symbols": "", "key": "", "billing_period": "per_trade",
}  # fmt: skip
OF_EVENT: dict[str, dict[str, Any]] = {
    "order.rejected": {"reason": "NOT_ENOUGH_MONEY", "order": 0},
    "balance.changed": {"reason": "TR_REASON_COPY_REWARD", "client_id": "r-3-out"},
    "balance.refused": {"reason": "NOT_ENOUGH_MONEY", "client_id": "r-3-out", "final": False},
    "balance.requested": {"reason": "TR_REASON_COPY_REWARD", "client_id": "r-3-out"},
    "position.reduced": {"client_id": "c-7-500011-close-1"},
    "position.closed": {"client_id": "c-7-500011-close-1", "closed": 50, "left": 0},
    "copy.close": {"reason": "MASTER_CLOSED"},
    "copy.cancel": {"reason": "MASTER_CANCELLED"},
    "link.changed": {"reason": ""},
    "account.positions": {"pending": []},
    "accrual.changed": {"reason": "", "id": 3, "reward_type": 3, "state": 2, "policy_version": 1},
    "policy.saved": {"reward_type": 3, "fee_amount": "0"},
    "policy.deleted": {"reward_type": 3, "fee_amount": "0"},
    "subscription.saved": {"copy_existing": False},
    "stats.changed": {"login": 100001, "pnl_history": ["0", "0", "0", "0", "0", "0", "790.00"]},
    "halt.saved": {"reason": "maintenance"},
}
"""What an event says otherwise than its fields' names would."""


def example(event: type[Event]) -> dict[str, Any]:
    """The JSON of one event, with one row if it is a table."""
    own = OF_EVENT.get(event.model_fields["type"].default, {})
    return {name: _field(event, name, own) for name in event.model_fields}


def example_batch(topic: Topic) -> dict[str, Any]:
    """The JSON of one entry of a topic, with its first kind of event."""
    event = example(topic.types()[0]) | {"id": f"{topic.name}:17:0"}
    return {"source": topic.writer, "sent": NOW, "after": dict.fromkeys(_read_by(topic), 12), "events": [event]}


def _read_by(topic: Topic) -> list[str]:
    return [other.name for other in TOPICS if topic.writer in other.readers]


def _field(model: type[BaseModel], name: str, own: dict[str, Any]) -> Any:
    if issubclass(model, TableEvent) and name in {"structure", "rows"}:
        row = get_args(model.model_fields["rows"].annotation)[0]
        return list(row._fields) if name == "structure" else [_value(row, name, own)]
    if issubclass(model, Event) and name in {"id", "time"}:
        return TEXTS["id"] if name == "id" else NOW
    default = model.model_fields[name].default
    if not issubclass(model, Event) and isinstance(default, int | str) and name not in {*own, *AMOUNTS, *INTEGERS, *TEXTS}:
        return int(default) if isinstance(default, IntEnum) else default
    return _value(model.model_fields[name].annotation, name, own)


def _value(wanted: Any, name: str, own: dict[str, Any]) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if name in own:
        return own[name]
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return [_value(arguments[0], name, own)]
    if arguments:
        return _value(arguments[0], name, own)
    return _composite(wanted, name, own)


def _composite(wanted: Any, name: str, own: dict[str, Any]) -> Any:
    if issubclass(wanted, BaseModel):
        return {field: _field(wanted, field, own) for field in wanted.model_fields}
    if hasattr(wanted, "_fields"):
        hints = get_type_hints(wanted, include_extras=True)
        return [_value(hints[field], field, own) for field in wanted._fields]
    if wanted is bool:
        return True
    if issubclass(wanted, IntEnum):
        return int(next(iter(wanted)))
    if issubclass(wanted, Decimal):
        return AMOUNTS.get(name, "0")
    return INTEGERS.get(name, NOW if name.endswith("_ms") else 0) if issubclass(wanted, int) else TEXTS.get(name, "")
