"""`reward.accrual`: accruals and their states, and the balance operations that settle them, told by rewards."""

from enum import IntEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from shared.contracts.event import Amount, TableEvent

TOPIC = "reward.accrual"


class AccrualState(IntEnum):
    """The specification's reward accrual states."""

    PENDING = 0
    CHARGED = 1
    PAID = 2
    FAILED = 3
    CANCELLED = 4


class AccrualRow(NamedTuple):
    """An accrual as it stands: the specification's fields, then ours. Times are Unix milliseconds.

    `fee_amount` and `base_amount` are in `currency`, the follower's; `payout_amount` in `payout_currency`, the payout account's.
    `charge_order` and `payout_order` are the venue's ids of the two balance operations. `inputs` is JSON; `formula` names the rule.
    """

    id: int
    subscription_id: int
    master_login: int
    follower_login: int
    reward_type: int
    period_from: int
    period_to: int
    base_amount: Amount
    fee_amount: Amount
    currency: str
    state: AccrualState
    created_ms: int
    updated_ms: int
    payout_account_login: int
    payout_amount: Amount
    payout_currency: str
    policy_id: int
    policy_version: int
    source_order: int
    charge_order: int
    payout_order: int
    reason: str
    formula: str
    inputs: str
    ref_accrual_id: int = 0


class AccrualsChanged(TableEvent):
    """Accruals that were made or have changed their state."""

    type: Literal["accrual.changed"] = "accrual.changed"
    structure: tuple[str, ...] = AccrualRow._fields
    rows: tuple[AccrualRow, ...]


class BalanceOrderRow(NamedTuple):
    """A balance operation to carry out, once, under its `client_id`.

    `amount` is positive and in `currency`; `api_data` is JSON with `copy_reward_accrual_id`. `keep_margin_level` is the guard of a
    charge: the margin level in percent that the account must keep (0: no guard beyond free margin).
    """

    client_id: str
    accrual: int
    login: int
    operation: Literal["OP_BALANCE_IN", "OP_BALANCE_OUT"]
    amount: Amount
    currency: str
    reason: str
    api_data: str
    keep_margin_level: int = 0


class BalancesRequested(TableEvent):
    """Balance operations that settle accruals."""

    type: Literal["balance.requested"] = "balance.requested"
    structure: tuple[str, ...] = BalanceOrderRow._fields
    rows: tuple[BalanceOrderRow, ...]


class SharingRow(NamedTuple):
    """What one subscription's rewards come to so far: withheld (due, not yet paid) and settled, in the follower's currency."""

    subscription: int
    follower_login: int
    master_login: int
    currency: str
    realized_profit: Amount
    holding: Amount
    settled: Amount


class SharingChanged(TableEvent):
    """Holding and settled profit sharing of subscriptions."""

    type: Literal["sharing.changed"] = "sharing.changed"
    structure: tuple[str, ...] = SharingRow._fields
    rows: tuple[SharingRow, ...]


class StandingRow(NamedTuple):
    """Whether a subscription's prepaid fees are paid: `good`, `close_only` (past due: no opens) or `disabled`.

    `accrual` is the unpaid one.
    """

    subscription: int
    follower_login: int
    master_login: int
    standing: Literal["good", "close_only", "disabled"]
    accrual: int
    since_ms: int


class StandingsChanged(TableEvent):
    """Subscriptions whose standing has changed. Who opens copies or shows subscriptions follows it."""

    type: Literal["standing.changed"] = "standing.changed"
    structure: tuple[str, ...] = StandingRow._fields
    rows: tuple[StandingRow, ...]


RewardEvent = Annotated[AccrualsChanged | BalancesRequested | SharingChanged | StandingsChanged, Field(discriminator="type")]

REWARD_EVENTS: TypeAdapter[RewardEvent] = TypeAdapter(RewardEvent)
