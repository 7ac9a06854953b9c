#!/usr/bin/env python3
"""Recomputes a reward statement to the last unit, with nothing but Python's standard library.

    python verify_statement.py STATEMENT.json|STATEMENT.csv

Prints a line for each accrual: `ok` or what is different. Exits with 0 when everything agrees, 1 when something does not, 2 when the
file cannot be read. It shares no code with Lockstep, so that it can be read and trusted by itself.
"""

import csv
import json
import sys
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, setcontext
from pathlib import Path
from typing import Any

setcontext(Context(prec=38, rounding=ROUND_HALF_EVEN))
DIGITS = {"JPY": 0, "USDT": 6, "USDC": 6, "BTC": 8, "ETH": 8}
CANCELLED = 4
EXEMPT = ("DEMO", "OWN", "ACCOUNT_UNKNOWN")
VOIDED = ("NETTED", "PROVIDER_STOPPED")
TOLERANCE = Decimal("1e-18")
ZERO = Decimal(0)
Inputs = dict[str, Any]


def rounded(amount: Decimal, currency: str, how: str = ROUND_HALF_EVEN) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-DIGITS.get(currency, 2)), rounding=how)


def number(inputs: Inputs, name: str, default: str = "0") -> Decimal:
    return Decimal(inputs.get(name, default) or "0")


def rate_of(inputs: Inputs) -> Decimal:
    return Decimal(inputs["rate"]["rate"]) if "rate" in inputs else Decimal(1)


def net_of(trades: list[list[Any]]) -> Decimal:
    return sum((Decimal(row[5]) + Decimal(row[6]) + Decimal(row[7]) for row in trades), ZERO)


def profit_share(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    base = net_of(inputs["trades"])
    return base, max(ZERO, base * number(inputs, "percent") / 100)


def subscription(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    base = number(inputs, "amount") * rate_of(inputs)
    share = number(inputs, "part_ms") / number(inputs, "period_ms") if "part_ms" in inputs else Decimal(1)
    return base, base * share


def subscription_refund(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    fee = number(inputs, "fee")
    return fee, -fee * number(inputs, "unused_ms") / number(inputs, "period_ms")


def volume(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    lots = sum((Decimal(row[3]) / Decimal(row[4]) for row in inputs.get("fills", [])), ZERO)
    fee = lots * number(inputs, "per_lot") * rate_of(inputs)
    return lots, min(fee, number(inputs, "cap")) if "cap" in inputs else fee


def management_fixed(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    base = number(inputs, "amount") * rate_of(inputs)
    return base, base * number(inputs, "active_ms") / number(inputs, "period_ms")


def management_percent(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    days = inputs.get("days", [])
    base = sum((max(ZERO, Decimal(equity)) * Decimal(active) / Decimal(length) for _, equity, active, length in days), ZERO)
    return base, base * number(inputs, "percent") / 36500


def result_until(at: int, inputs: Inputs) -> Decimal:
    """The realised result, less other fees, up to an instant."""
    before = number(inputs, "realised_before") - number(inputs, "fees_before")
    fees = sum((Decimal(row[2]) for row in inputs.get("fees", []) if int(row[1]) <= at), ZERO)
    return before + net_of([row for row in inputs.get("trades", []) if int(row[2]) <= at]) - fees


def performance(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    basis, percent = inputs["basis"], number(inputs, "percent")
    floating = sum((Decimal(row[7]) for row in inputs.get("open", [])), ZERO)
    counted = {"none": ZERO, "negative_only": min(ZERO, floating), "full": floating}[inputs["unrealised"]]
    fees = number(inputs, "fees_before") + sum((Decimal(row[2]) for row in inputs.get("fees", [])), ZERO)
    value = number(inputs, "realised_before") + net_of(inputs.get("trades", [])) + counted - fees
    mark, capital = number(inputs, "mark_before"), number(inputs, "capital_before")
    if basis in ("gross_equity", "nav_per_share"):
        for _, at, moved, _ in inputs.get("flows", []):
            flow, before = Decimal(moved), capital - number(inputs, "own_fees_before") + result_until(int(at), inputs)
            proportional = basis == "nav_per_share" or inputs["withdrawal"] == "proportional"
            if flow < 0 and proportional and before > 0:
                mark = before + flow + (mark - before) * max(ZERO, before + flow) / before
            else:
                mark += flow
            capital += flow
        value += capital - number(inputs, "own_fees_before")
    gain = max(ZERO, value - mark)
    whole = rounded(gain * percent / 100, currency)
    fee = min(whole, number(inputs, "cap")) if "cap" in inputs else whole
    inputs["_fee"], inputs["_whole"], inputs["_value"], inputs["_mark"] = fee, whole, value, mark
    return gain, fee


def profit_share_refund(inputs: Inputs, currency: str) -> tuple[Decimal, Decimal]:
    due = sum((Decimal(row[2]) * Decimal(row[3]) / 100 for row in inputs["shares"]), ZERO)
    due = min(number(inputs, "withheld"), rounded(max(ZERO, due), currency))
    if due != number(inputs, "due"):
        raise ValueError(f"due is {due}, not {inputs['due']}")
    return number(inputs, "fee"), number(inputs, "pay") - number(inputs, "fee")


FORMULAS: dict[str, Callable[[Inputs, str], tuple[Decimal, Decimal]]] = {
    "profit_share/1": profit_share,
    "profit_share_refund/1": profit_share_refund,
    "subscription/1": subscription,
    "subscription_refund/1": subscription_refund,
    "volume/1": volume,
    "management_fixed/1": management_fixed,
    "management_percent/1": management_percent,
    "performance/1": performance,
}


def wrong_with(accrual: dict[str, Any]) -> str:
    """What is wrong with one accrual; empty when it agrees."""
    formula = FORMULAS.get(accrual["formula"])
    if formula is None:
        return f"the formula {accrual['formula']!r} is not known"
    inputs, currency = accrual["inputs"], accrual["currency"]
    try:
        base, fee = formula(inputs, currency)
    except (ValueError, KeyError, ArithmeticError) as error:
        return str(error) or type(error).__name__
    if abs(base - Decimal(accrual["base_amount"])) > TOLERANCE:
        return f"base {accrual['base_amount']}, recomputed {base}"
    return wrong_fee(accrual, rounded(fee, currency)) or wrong_mark(accrual) or wrong_payout(accrual)


def wrong_fee(accrual: dict[str, Any], recomputed: Decimal) -> str:
    """Whether the fee, and the state that follows from it, are what the inputs come to."""
    reason, stated = accrual["reason"], Decimal(accrual["fee_amount"])
    charged = ZERO if reason in EXEMPT else recomputed
    cancelled = int(accrual["state"]) == CANCELLED
    if charged != stated:
        return f"fee {stated}, recomputed {charged}"
    if stated == 0 and not cancelled:
        return "nothing is due, but it is not cancelled"
    if stated > 0 and cancelled and reason not in VOIDED:
        return f"cancelled without a reason that cancels ({reason!r})"
    return ""


def wrong_mark(accrual: dict[str, Any]) -> str:
    """Whether a performance fee moved its mark as it says."""
    inputs = accrual["inputs"]
    if "_fee" not in inputs:
        return ""
    fee, whole, value, mark = inputs["_fee"], inputs["_whole"], inputs["_value"], inputs["_mark"]
    if accrual["reason"] in EXEMPT:
        fee = whole = ZERO
    if inputs["basis"] == "period":
        after = value
    elif fee == whole:
        after = max(mark, value)
    else:
        after = mark + fee * 100 / number(inputs, "percent")
    if inputs["basis"] == "nav_per_share":
        after -= fee
    if abs(after - number(inputs, "mark_after")) > TOLERANCE:
        return f"mark {inputs['mark_after']}, recomputed {after}"
    return ""


def wrong_payout(accrual: dict[str, Any]) -> str:
    """Whether a payout in another currency is the charge at the rate that it says."""
    payout, stated = accrual["inputs"].get("payout"), Decimal(accrual["payout_amount"] or "0")
    if payout is None or stated < 0:
        return ""
    amount = Decimal(payout["amount"])
    paid = rounded(amount * Decimal(payout["rate"]), accrual["payout_currency"])
    if amount > Decimal(accrual["fee_amount"]):
        return f"{amount} was converted, which is more than the fee"
    return "" if paid == stated else f"payout {stated}, recomputed {paid}"


def wrong_chain(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Whether a performance fee goes on where the one before it ended, if nothing lies between them."""
    first, second = before["inputs"], after["inputs"]
    if int(before["period_to"]) != int(after["period_from"]) or first["basis"] != second["basis"]:
        return ""
    if number(first, "mark_after") != number(second, "mark_before"):
        return f"the mark was {first['mark_after']} and is {second['mark_before']}"
    if number(first, "realised_before") + net_of(first.get("trades", [])) != number(second, "realised_before"):
        return f"the realised result does not go on from accrual {before['id']}"
    return ""


def read(path: Path) -> list[dict[str, Any]]:
    """The accruals of a statement in either form."""
    if path.suffix != ".csv":
        accruals: list[dict[str, Any]] = json.loads(path.read_text())["accruals"]
        return accruals
    found: dict[str, dict[str, Any]] = {}
    names = ("formula", "reward_type", "period_from", "period_to", "base_amount", "fee_amount", "currency", "state")
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            values = [row[column] for column in "abcdefgh"]
            if row["kind"] == "accrual":
                found[row["accrual"]] = {"id": row["accrual"], "inputs": {}} | dict(zip(names, values, strict=True))
                continue
            accrual = found[row["accrual"]]
            if row["kind"] == "figure":
                own = values[0] in {"reason", "ref_accrual_id", "payout_amount", "payout_currency"}
                (accrual if own else accrual["inputs"])[values[0]] = values[1]
            elif row["kind"] in {"rate", "payout"}:
                accrual["inputs"].setdefault(row["kind"], {})[values[0]] = values[1]
            else:
                width = {"fills": 5, "flows": 4, "fees": 3, "days": 4, "shares": 5}.get(row["kind"], 8)
                accrual["inputs"].setdefault(row["kind"], []).append(values[:width])
    for accrual in found.values():
        if accrual["formula"].startswith("profit_share/"):
            accrual["inputs"].setdefault("trades", [])
    return list(found.values())


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        accruals = read(Path(arguments[0]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"cannot read {arguments[0]}: {error!r}\n")
        return 2
    failed = 0
    last: dict[str, Any] | None = None
    for accrual in accruals:
        wrong = wrong_with(accrual)
        if not wrong and accrual["formula"] == "performance/1":
            wrong = wrong_chain(last, accrual) if last else ""
            last = accrual
        failed += bool(wrong)
        sys.stdout.write(f"{accrual['id']} {accrual['formula']} {accrual['fee_amount']} {accrual['currency']}: {wrong or 'ok'}\n")
    sys.stdout.write(f"{len(accruals)} accruals, {failed} different\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
