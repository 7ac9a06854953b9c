"""What a balance operation is to an account's statistics: the owner's money (a flow), a result (performance), or nothing at all.

The table is formulas.md section 7. A reward that is credited is the owner's money, never performance; a reward that is charged is a cost
of copying, hence a follower's performance. A refund reverses an accrual, so its two operations have the opposite meaning.
"""

import json
from decimal import Decimal
from typing import Literal, NamedTuple

from shared.contracts.trades import OP_BALANCE_IN, OP_CREDIT_IN, OP_CREDIT_OUT, REASON_COPY_REWARD, REASON_CORRECTION

Kind = Literal["external", "performance", "credit"]

CREDIT = frozenset({OP_CREDIT_IN, OP_CREDIT_OUT, "OP_BONUS", "OP_BONUS_IN", "OP_BONUS_OUT"})
PERFORMANCE = frozenset(
    {
        "OP_CHARGE",
        "OP_COMMISSION",
        "OP_COMMISSION_DAILY",
        "OP_COMMISSION_MONTHLY",
        "OP_INTEREST",
        "OP_DIVIDEND",
        "OP_DIVIDEND_FRANKED",
        "OP_TAX",
    }
)
CORRECTIONS = frozenset({"OP_CORRECTION", "OP_SO_COMPENSATION", REASON_CORRECTION, "TR_REASON_SO_COMPENSATION"})
PERFORMANCE_REASONS = frozenset(
    {
        "TR_REASON_CHARGE",
        "TR_REASON_COMMISSION",
        "TR_REASON_INTEREST",
        "TR_REASON_DIVIDEND",
        "TR_REASON_TAX",
        "TR_REASON_SWAP",
        "TR_REASON_ROLLOVER",
    }
)
COSTS = frozenset({"OP_CHARGE", "OP_COMMISSION", "OP_COMMISSION_DAILY", "OP_COMMISSION_MONTHLY", "OP_TAX"})


class Class(NamedTuple):
    """What an operation is; `flagged`: a person should look at it."""

    kind: Kind
    flagged: bool = False


def classify(operation: str, reason: str, *, refund: bool = False, corrections: Literal["external", "performance"] = "external") -> Class:
    """The class of a balance operation. `refund`: it settles an accrual that takes another one back."""
    if operation in CREDIT:
        return Class("credit")
    if operation in CORRECTIONS or reason in CORRECTIONS:
        return Class(corrections, flagged=corrections == "external")
    if reason == REASON_COPY_REWARD:
        owners = (operation == OP_BALANCE_IN) is not refund
        return Class("external" if owners else "performance")
    if operation in PERFORMANCE or reason in PERFORMANCE_REASONS:
        return Class("performance")
    return Class("external")


def signed(operation: str, amount: Decimal) -> Decimal:
    """What an operation of this (positive) amount adds to the balance."""
    return -amount if operation.endswith("_OUT") or operation in COSTS else amount


def accrual_of(api_data: str) -> int:
    """The accrual that an operation settles, from its `api_data`; 0 when it settles none."""
    try:
        found = json.loads(api_data).get("copy_reward_accrual_id", 0)
    except (ValueError, AttributeError):
        return 0
    return found if isinstance(found, int) else int(found) if isinstance(found, str) and found.isdigit() else 0
