"""A subscription's reward statement: every accrual of a time with every input it was computed from, so that anyone can recompute it.

`tools/verify_statement.py` does, from either form. The JSON form carries the inputs as they were kept; the CSV form has a line for each:

    accrual,kind,a,b,c,d,e,f,g,h
    ID,accrual,formula,reward_type,from_ms,to_ms,base,fee,currency,state
    ID,figure,name,value                            each single figure, `reason` and `ref_accrual_id` among them
    ID,trades,order,deal,time_ms,symbol,volume,profit,commission,swap
    ID,fills,order,deal,time_ms,volume,volume_per_lot
    ID,flows,operation,time_ms,amount,equity_after
    ID,fees,accrual,time_ms,amount                  other copy fees that are taken from the profit
    ID,open,order,symbol,side,volume,open_price,price,rate,profit
    ID,days,day_ms,equity,active_ms,day_length_ms
    ID,shares,accrual,order,percent,net,withheld
    ID,rate | ID,payout,name,value                  a conversion: from, to, rate, seen, time, rounding
"""

import csv
import io
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from shared.contracts.rewards import AccrualRow, AccrualState
from shared.money import EXACT

WIDTH = 8
HEADER = ("accrual", "kind", *"abcdefgh")
CHARGED = frozenset({AccrualState.CHARGED, AccrualState.PAID})


def statement(subscription: int, start_ms: int, end_ms: int, accruals: Iterable[AccrualRow]) -> dict[str, Any]:
    """The statement of a subscription from `start_ms` until before `end_ms`: accruals whose period's last instant is in it, in that order.

    A prepaid period is on the statement of the time in which it begins. `charged` counts what was taken, less what was given back.
    """
    lines = [row for row in accruals if row.subscription_id == subscription and start_ms <= _instant(row) < end_ms]
    lines.sort(key=lambda row: (_instant(row), row.reward_type, row.ref_accrual_id != 0, row.id))
    charged = Decimal(0)
    for row in lines:
        if row.state in CHARGED:
            charged = EXACT.add(charged, row.fee_amount)
    return {
        "subscription_id": subscription,
        "from": start_ms,
        "to": end_ms,
        "currency": lines[0].currency if lines else "",
        "charged": format(charged, "f"),
        "accruals": [_line(row) for row in lines],
    }


def _instant(row: AccrualRow) -> int:
    """When an accrual falls due: a share with the closing itself, others in the last instant of their half-open period."""
    if row.formula.startswith("subscription"):
        return row.period_from
    return row.period_to if row.formula == "profit_share/1" else max(row.period_from, row.period_to - 1)


def _line(row: AccrualRow) -> dict[str, Any]:
    line: dict[str, Any] = row._asdict()
    for name in ("base_amount", "fee_amount", "payout_amount"):
        line[name] = format(line[name], "f")
    return line | {"state": int(row.state), "inputs": json.loads(row.inputs or "{}")}


def to_csv(document: dict[str, Any]) -> str:
    """The same statement as lines of a table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for line in document["accruals"]:
        names = ("formula", "reward_type", "period_from", "period_to", "base_amount", "fee_amount", "currency", "state")
        _write(writer, line["id"], "accrual", [line[name] for name in names])
        for name in ("reason", "ref_accrual_id", "policy_id", "policy_version", "source_order", "payout_amount", "payout_currency"):
            _write(writer, line["id"], "figure", [name, line[name]])
        for name, value in line["inputs"].items():
            if isinstance(value, list):
                for row in value:
                    _write(writer, line["id"], name, row)
            elif isinstance(value, dict):
                for key, part in value.items():
                    _write(writer, line["id"], name, [key, part])
            else:
                _write(writer, line["id"], "figure", [name, value])
    return out.getvalue()


def _write(writer: Any, accrual: int, kind: str, values: list[Any]) -> None:
    writer.writerow([accrual, kind, *values, *[""] * (WIDTH - len(values))])
