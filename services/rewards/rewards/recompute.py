"""Computes an accrual again from the inputs that it keeps, with the formulas that made it, pure."""

import json
from decimal import Decimal
from typing import Any

from shared.contracts.config import RewardPolicy, RewardType
from shared.money import Money

from rewards import decide, fees
from rewards.decide import Accrual, Fee, Rate, Slice
from rewards.fees import Charged, Day, Fill, Open, Performance
from rewards.marks import Flow, Mark
from rewards.periods import Period

EXEMPT = frozenset({"DEMO", "OWN", "ACCOUNT_UNKNOWN"})


def difference(accrual: Accrual) -> str:
    """What an accrual's own inputs say otherwise; empty when they agree."""
    try:
        fee = _fee(accrual.formula, json.loads(accrual.inputs), accrual.currency, accrual.reason in EXEMPT)
    except (KeyError, ValueError, ArithmeticError, TypeError) as error:
        return f"the inputs cannot be read: {error!r}"
    if fee is None:
        return f"the formula {accrual.formula!r} is not known"
    if fee.base != accrual.base_amount:
        return f"base_amount is {accrual.base_amount}, its inputs give {fee.base}"
    amount = Money(fee.amount, accrual.currency).rounded().amount if accrual.reason not in EXEMPT else Decimal(0)
    if amount != accrual.fee_amount:
        return f"fee_amount is {accrual.fee_amount}, its inputs give {amount}"
    kept = json.loads(accrual.inputs)
    if "mark_after" in kept and kept["mark_after"] != fee.inputs["mark_after"]:
        return f"mark_after is {kept['mark_after']}, its inputs give {fee.inputs['mark_after']}"
    return ""


def slices(rows: list[list[Any]]) -> list[Slice]:
    """The closing deals that stand in inputs."""
    return [
        Slice(order, deal, symbol, volume, Decimal(profit), Decimal(commission), Decimal(swap), at)
        for order, deal, at, symbol, volume, profit, commission, swap in rows
    ]


def _fee(formula: str, inputs: dict[str, Any], currency: str, exempt: bool) -> Fee | None:
    rate = _rate(inputs.get("rate"))
    fee: Fee | None = None
    match formula:
        case "profit_share/1":
            fee = decide.profit_share(slices(inputs["trades"]), _policy(percent=inputs["percent"]))
        case "profit_share_refund/1":
            fee = _netting(inputs, currency)
        case "subscription/1":
            part, whole = Period(0, inputs.get("part_ms", 1)), Period(0, inputs.get("period_ms", 1))
            fee = fees.subscription_fee(_policy(inputs["amount"]), part, whole if "part_ms" in inputs else None, rate)
        case "subscription_refund/1":
            whole = Period(0, inputs["period_ms"])
            fee = fees.subscription_refund(Decimal(inputs["fee"]), whole, whole.end - inputs["unused_ms"])
        case "volume/1":
            fee = fees.volume_fee(
                [Fill(*row) for row in inputs["fills"]], _policy(inputs["per_lot"], sides=inputs["sides"]), rate, currency
            )
            # The cap in the inputs is in the follower's currency already, so it is not for the formula to convert.
            fee = fee._replace(amount=min(fee.amount, Decimal(inputs["cap"]))) if "cap" in inputs else fee
        case "management_fixed/1":
            fee = fees.management_fixed(_policy(inputs["amount"]), inputs["active_ms"], Period(0, inputs["period_ms"]), rate)
        case "management_percent/1":
            days = [Day(at, Decimal(equity), active, length) for at, equity, active, length in inputs["days"]]
            fee = fees.management_percent(_policy(percent=inputs["percent"]), days)
        case "performance/1":
            fee = _performance(inputs, currency, exempt)
        case _:
            pass
    return fee


def _netting(inputs: dict[str, Any], currency: str) -> Fee:
    due = fees.netted([(Decimal(row[2]), Decimal(row[3])) for row in inputs["shares"]], Decimal(inputs["withheld"]), currency)
    if due != Decimal(inputs["due"]):
        raise ValueError(f"due is {inputs['due']}, its shares give {due}")
    return Fee("profit_share_refund/1", Decimal(inputs["fee"]), Decimal(inputs["pay"]) - Decimal(inputs["fee"]), inputs)


def _performance(inputs: dict[str, Any], currency: str, exempt: bool) -> Fee:
    before = [Charged(0, 0, Decimal(inputs["fees_before"]))]
    material = Performance(
        slices=slices(inputs["trades"]),
        fees=before + [Charged(accrual, at, Decimal(amount)) for accrual, at, amount in inputs["fees"]],
        since_ms=0,
        opens=[Open(*row[:4], *(Decimal(value) for value in row[4:])) for row in inputs["open"]],
        mode=inputs["unrealised"],
        flows=[Flow(operation, at, Decimal(amount), Decimal(equity)) for operation, at, amount, equity in inputs["flows"]],
        withdrawal=inputs["withdrawal"],
        cause=inputs["cause"],
    )
    figures = ("mark_before", "capital_before", "realised_before", "own_fees_before")
    mark = Mark(inputs["basis"], *(Decimal(inputs[name]) for name in figures))
    cap = Decimal(inputs["cap"]) if "cap" in inputs else None
    return fees.performance_fee(mark, material, _policy(percent=inputs["percent"]), currency, cap, not exempt)[0]


def _policy(amount: str = "0", percent: str = "0", sides: Any = "both") -> RewardPolicy:
    return RewardPolicy(
        id=0,
        master_id=0,
        master_login=0,
        reward_type=RewardType.PROFIT_SHARE_PER_TRADE,
        currency="",
        payout_account_login=0,
        fee_amount=Decimal(amount),
        fee_percent=Decimal(percent),
        rebate_sides=sides,
    )


def _rate(kept: dict[str, Any] | None) -> Rate | None:
    return Rate(kept["from"], kept["to"], Decimal(kept["rate"]), kept["seen"], kept["time"]) if kept else None
