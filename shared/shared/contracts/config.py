"""`copy.config`: the whole state of a master, follower, subscription, reward policy or trading halt after each change."""

from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.contracts.event import Amount, Event

TOPIC = "copy.config"


class FollowerModes(IntEnum):
    """`allowed_follower_modes`."""

    REAL_ONLY = 0
    DEMO_ONLY = 1
    REAL_AND_DEMO = 2


class ManualTradingMode(IntEnum):
    """`manual_trading_mode`."""

    DISABLED = 0
    ALLOW_NON_COPIED = 1
    ALLOW_ALL = 2


class SubscriptionStatus(IntEnum):
    """Subscription `status`."""

    ACTIVE = 0
    PAUSED = 1
    DISABLED = 2


class CopyMode(IntEnum):
    """`copy_mode`."""

    FULL_SYNC = 0
    OPEN_ONLY = 1
    CLOSE_ONLY = 2


class VolumeMode(IntEnum):
    """`volume_mode`."""

    FIXED = 0
    MULTIPLIER = 1
    EQUITY_RATIO = 2
    BALANCE_RATIO = 3
    FIXED_AMOUNT = 4
    """The OpenAPI's `followAmountMode` 0: an amount of margin for each order."""
    FIXED_RATE = 5
    """The OpenAPI's `followAmountMode` 1: the master's share of its equity, taken of the invested amount."""


class SymbolsMode(IntEnum):
    """`symbols_mode`."""

    ALL = 0
    INCLUDE = 1
    EXCLUDE = 2


class RewardType(IntEnum):
    """`reward_type`."""

    SUBSCRIPTION_FEE = 0
    PERFORMANCE_FEE_HWM = 1
    VOLUME_REBATE = 2
    PROFIT_SHARE_PER_TRADE = 3
    MANAGEMENT_FEE = 4


ClosePolicy = Literal["detach", "close"]
"""What becomes of open copies when a master, follower or subscription is deleted."""


class RewardRule(BaseModel):
    """What a reward model takes: its billing periods (the first is the default), which figure it needs, and which options it has.

    `figure_or` is a figure that may be given in place of the usual one, never beside it.
    """

    model_config = ConfigDict(frozen=True)

    billing_periods: tuple[str, ...]
    billing_required: bool
    figure: Literal["fee_amount", "fee_percent"]
    hwm: bool
    figure_or: Literal["", "fee_amount", "fee_percent"] = ""
    options: tuple[Literal["hwm_basis", "netting", "rebate_sides", "fee_cap"], ...] = ()


REWARD_MATRIX: dict[RewardType, RewardRule] = {
    RewardType.SUBSCRIPTION_FEE: RewardRule(
        billing_periods=("monthly", "weekly", "one_time"), billing_required=True, figure="fee_amount", hwm=False
    ),
    RewardType.PERFORMANCE_FEE_HWM: RewardRule(
        billing_periods=("monthly", "quarterly"),
        billing_required=True,
        figure="fee_percent",
        hwm=True,
        options=("hwm_basis", "fee_cap"),
    ),
    RewardType.VOLUME_REBATE: RewardRule(
        billing_periods=("daily", "weekly", "monthly"),
        billing_required=True,
        figure="fee_amount",
        hwm=False,
        options=("rebate_sides", "fee_cap"),
    ),
    RewardType.PROFIT_SHARE_PER_TRADE: RewardRule(
        billing_periods=("per_trade",), billing_required=False, figure="fee_percent", hwm=False, options=("netting",)
    ),
    RewardType.MANAGEMENT_FEE: RewardRule(
        billing_periods=("monthly", "quarterly"), billing_required=True, figure="fee_amount", hwm=False, figure_or="fee_percent"
    ),
}
"""The reward form (specification 2): the one place that says which fields go with which reward model."""


class State(BaseModel):
    """A record of the configuration, whole. `version` grows by one with each change; times are Unix milliseconds."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    id: int
    version: int = 1
    created_ms: int = 0
    updated_ms: int = 0


class Master(State):
    """A strategy that followers can subscribe to: a profile of a REAL account."""

    login: int
    customer_id: int
    enabled: int = 1
    strategy_name: str = ""
    description: str = ""
    visibility: str = "private"
    allowed_follower_modes: FollowerModes = FollowerModes.REAL_AND_DEMO
    show_trade_history: int = 1
    show_followers: int = 1
    lead_symbols: str = ""
    """The symbols whose trades are led, comma separated; empty: all."""
    lead_margin_type: int = -1
    """Which orders are led: -1 all, 0 those on cross margin, 1 those on isolated margin."""
    unlead_from_ms: int = 0
    unlead_to_ms: int = 0
    """A cool-down: trades opened from the one to the other time are not led; 0 and 0: none."""


class Follower(State):
    """An account that may copy masters."""

    login: int
    customer_id: int
    enabled: int = 1
    manual_trading_mode: ManualTradingMode = ManualTradingMode.ALLOW_ALL
    max_master_count: int = 1


class FollowConfig(BaseModel):
    """What the follower set by the OpenAPI's follow config, beside the amount mode and the symbols, which every subscription has.

    Amounts are in the follower's currency; rates are parts (0.1 is 10 %), 0 means not configured. `set_ms`: when it was set; the stops of
    the whole copy count from then.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    invest_amount: Amount = Decimal(0)
    single_place_amount: Amount = Decimal(0)
    daily_max_invest_amount: Amount = Decimal(0)
    leverage: Amount = Decimal(0)
    max_invest_rate: Amount = Decimal(0)
    stop_profit_rate: Amount = Decimal(0)
    stop_loss_rate: Amount = Decimal(0)
    real_invest_amount: Amount = Decimal(0)
    stop_loss_delay: int = 0
    """Seconds that a loss has to last before the stop for it acts."""
    isolated_reserved_amount: Amount = Decimal(0)
    follow_margin_type: int = 0
    """0: all of the master's orders, 1: those on cross margin, 2: those on isolated margin."""
    zero_slippage: int = 0
    set_ms: int = 0


class Subscription(State):
    """One follower's copying of one master, by the follower's own rules. Volumes are integer units; 0 means not configured."""

    master_login: int
    follower_login: int
    enabled: int = 1
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    copy_mode: CopyMode = CopyMode.FULL_SYNC
    volume_mode: VolumeMode = VolumeMode.MULTIPLIER
    risk_multiplier: Amount = Decimal(1)
    fixed_volume: int = 0
    copy_sl: int = 1
    copy_tp: int = 1
    copy_partial_close: int = 1
    copy_pending_orders: int = 0
    copy_existing_positions: int = 0
    reverse_direction: int = 0
    max_volume: int = 0
    min_volume: int = 0
    max_positions: int = 0
    symbols_mode: SymbolsMode = SymbolsMode.ALL
    symbols: str = ""
    allocation_percent: Amount = Decimal(100)
    small_volume_policy: Literal["skip", "raise_to_min"] = "skip"
    ratio_multiplier: Amount = Decimal(1)
    """Scales the two ratio modes; the specification's `risk_multiplier` is for MULTIPLIER alone."""
    max_slippage_points: int = 0
    max_signal_age_ms: int = 0
    require_sl: int = 0
    daily_loss_percent: Amount = Decimal(0)
    """Loss of the follower's equity since the day began, in percent, at which the subscription stops opening (0: no stop)."""
    drawdown_percent: Amount = Decimal(0)
    """Fall of the follower's equity from its highest, in percent, at which the subscription stops opening (0: no stop)."""
    stop_action: Literal["halt", "close"] = "halt"
    resumed_ms: int = 0
    """When a person last resumed a stopped subscription."""
    follow: FollowConfig | None = None


class PositionStops(State):
    """Take profit and stop loss of a follower's copies of one master in one symbol and direction that were open at `updated_ms`.

    Rates are distances from the opening price, as parts of it; 0: none. A stop loss with a delay (seconds) acts when the price is still
    beyond it after so long.
    """

    follower_login: int
    master_login: int
    symbol: str
    is_long: int
    stop_profit_rate: Amount = Decimal(0)
    stop_loss_rate: Amount = Decimal(0)
    stop_loss_delay: int = 0


class RewardPolicy(State):
    """How a master is rewarded, and from when: an accrual follows the version that held at its time. `fee_percent` 20 is 20 %."""

    master_id: int
    master_login: int
    enabled: int = 1
    reward_type: RewardType
    billing_period: str = ""
    fee_amount: Amount = Decimal(0)
    fee_percent: Amount = Decimal(0)
    currency: str
    payout_account_login: int
    hwm_enabled: int = 0
    valid_from_ms: int = 0
    hwm_basis: Literal["", "cumulative", "gross_equity", "nav_per_share", "period"] = ""
    """What a performance fee's mark is measured in; empty: the service's setting."""
    netting: Literal["none", "daily", "weekly", "monthly"] = "none"
    """PROFIT_SHARE_PER_TRADE: shares are withheld and settled net of the losses of each such period."""
    rebate_sides: Literal["both", "open", "close"] = "both"
    """VOLUME_REBATE: which fills of the follower count."""
    fee_cap: Amount = Decimal(0)
    """Most that one accrual may come to, in `currency` (0: no cap)."""


class Halt(State):
    """A stop of trading. `scope` all, master, follower or symbol; `key` the login or symbol (empty for all); inactive ones are lifted."""

    scope: Literal["all", "master", "follower", "symbol"]
    key: str = ""
    mode: Literal["halt", "reduce_only"] = "halt"
    active: int = 1
    reason: str = ""


class MasterSaved(Event):
    type: Literal["master.saved"] = "master.saved"
    master: Master


class MasterDeleted(Event):
    type: Literal["master.deleted"] = "master.deleted"
    master: Master
    close_policy: ClosePolicy = "detach"


class FollowerSaved(Event):
    type: Literal["follower.saved"] = "follower.saved"
    follower: Follower


class FollowerDeleted(Event):
    type: Literal["follower.deleted"] = "follower.deleted"
    follower: Follower
    close_policy: ClosePolicy = "detach"


class SubscriptionSaved(Event):
    """`copy_existing`: this change asks to copy the master's open positions that have no link yet."""

    type: Literal["subscription.saved"] = "subscription.saved"
    subscription: Subscription
    copy_existing: bool = False


class SubscriptionDeleted(Event):
    type: Literal["subscription.deleted"] = "subscription.deleted"
    subscription: Subscription
    close_policy: ClosePolicy = "detach"


class PolicySaved(Event):
    type: Literal["policy.saved"] = "policy.saved"
    policy: RewardPolicy


class PolicyDeleted(Event):
    type: Literal["policy.deleted"] = "policy.deleted"
    policy: RewardPolicy


class HaltSaved(Event):
    type: Literal["halt.saved"] = "halt.saved"
    halt: Halt


class StopsSaved(Event):
    type: Literal["stops.saved"] = "stops.saved"
    stops: PositionStops


class RecordsHeld(Event):
    """In a snapshot, before the records themselves: of those with ids from `first` to `last` there are these alone. What else somebody
    knows of them came to its end in what is lost."""

    type: Literal["records.held"] = "records.held"
    noun: Literal["subscription", "reward_policy", "master", "follower"]
    first: int
    last: int
    ids: tuple[int, ...]


class HaltKey(NamedTuple):
    """Which halt: of what, and of whom."""

    scope: str
    key: str


class HaltsHeld(Event):
    """In a snapshot, before the halts themselves: there are these alone, by scope and key."""

    type: Literal["halts.held"] = "halts.held"
    halts: tuple[HaltKey, ...]


ConfigEvent = Annotated[
    MasterSaved
    | MasterDeleted
    | FollowerSaved
    | FollowerDeleted
    | SubscriptionSaved
    | SubscriptionDeleted
    | PolicySaved
    | PolicyDeleted
    | HaltSaved
    | StopsSaved
    | RecordsHeld
    | HaltsHeld,
    Field(discriminator="type"),
]

CONFIG_EVENTS: TypeAdapter[ConfigEvent] = TypeAdapter(ConfigEvent)
