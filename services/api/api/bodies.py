"""What a request may say: strict shapes in which an unknown field, a wrong type or a number out of range is refused."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.intake import INT64_MAX, fits

EMAIL_MAX = 254


def _id(value: Any) -> Any:
    """64-bit ids come as numbers or as strings of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    return value


def _email(value: str) -> str:
    if len(value.lower()) > EMAIL_MAX:  # it is kept in lower case, which can be longer
        raise ValueError(f"must have at most {EMAIL_MAX} characters")
    return value


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    number = Decimal(value)
    if not number.is_finite() or not fits(number):
        raise ValueError("must be a finite number of at most 8 decimal places")
    return number


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value.strip()


def _schema(low: int, high: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": low, "maximum": high, "multipleOf": 0.00000001})


ID_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 1, "maximum": INT64_MAX}, {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}]}
)
AMOUNT_MAX = 1_000_000_000
VOLUME_MAX = 1_000_000_000

Id = Annotated[int, Field(strict=True, ge=1, le=INT64_MAX), BeforeValidator(_id), ID_SCHEMA]
Flag = Annotated[int, Field(strict=True, ge=0, le=1)]
OneOfThree = Annotated[int, Field(strict=True, ge=0, le=2)]
Volume = Annotated[int, Field(strict=True, ge=0, le=VOLUME_MAX)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Percent = Annotated[Decimal, Field(ge=0, le=100), BeforeValidator(_amount), _schema(0, 100)]
Fee = Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX), BeforeValidator(_amount), _schema(0, AMOUNT_MAX)]
Multiplier = Annotated[Decimal, Field(ge=0, le=10_000), BeforeValidator(_amount), _schema(0, 10_000)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=100), AfterValidator(_name)]
Email = Annotated[str, Field(strict=True, min_length=3, max_length=EMAIL_MAX, pattern=r"^[^@\s]+@[^@\s]+$"), AfterValidator(_email)]
Password = Annotated[str, Field(strict=True, min_length=8, max_length=256)]
Stamp = Annotated[int, Field(strict=True, ge=0, le=INT64_MAX)]
ClosePolicy = Literal["detach", "close"]


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RewardPolicyBody(Body):
    """How a master is rewarded; which fields go with which `reward_type` says the reward form of specification 2."""

    reward_type: Annotated[int, Field(ge=0, le=4)]
    enabled: Flag = 1
    billing_period: Literal["one_time", "per_trade", "daily", "weekly", "monthly", "quarterly"] | None = None
    fee_amount: Fee | None = None
    fee_percent: Percent | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,8}$")] | None = None
    payout_account_login: Id | None = None
    hwm_enabled: Flag | None = None
    hwm_basis: Literal["", "cumulative", "gross_equity", "nav_per_share", "period"] = ""
    netting: Literal["none", "daily", "weekly", "monthly"] = "none"
    rebate_sides: Literal["both", "open", "close"] = "both"
    fee_cap: Fee = Decimal(0)


class MasterCreate(Body):
    login: Id
    enabled: Flag = 1
    strategy_name: Name
    description: Annotated[str, Field(max_length=2000)] = ""
    visibility: Literal["private", "public"] = "private"
    allowed_follower_modes: OneOfThree = 2
    show_trade_history: Flag = 1
    show_followers: Flag = 1
    reward_policy: RewardPolicyBody


class MasterUpdate(Body):
    """Fields that are left out stay as they are; `updated_time`, when given, has to be the record's."""

    login: Id | None = None
    enabled: Flag | None = None
    strategy_name: Name | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None
    visibility: Literal["private", "public"] | None = None
    allowed_follower_modes: OneOfThree | None = None
    show_trade_history: Flag | None = None
    show_followers: Flag | None = None
    reward_policy: RewardPolicyBody | None = None
    updated_time: Stamp | None = None


class FollowerCreate(Body):
    login: Id
    enabled: Flag = 1
    manual_trading_mode: OneOfThree = 2
    max_master_count: Annotated[int, Field(ge=1, le=1000)] = 1


class FollowerUpdate(Body):
    login: Id | None = None
    enabled: Flag | None = None
    manual_trading_mode: OneOfThree | None = None
    max_master_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    updated_time: Stamp | None = None


class SubscriptionSettings(Body):
    """The follower's own rules. Volumes are integer units; 0 means not configured."""

    enabled: Flag = 1
    status: OneOfThree = 0
    copy_mode: OneOfThree = 0
    volume_mode: Annotated[int, Field(ge=0, le=3)] = 1
    risk_multiplier: Multiplier = Decimal(1)
    fixed_volume: Volume = 0
    copy_sl: Flag = 1
    copy_tp: Flag = 1
    copy_partial_close: Flag = 1
    copy_pending_orders: Flag = 0
    copy_existing_positions: Flag = 0
    reverse_direction: Flag = 0
    max_volume: Volume = 0
    min_volume: Volume = 0
    max_positions: Count = 0
    symbols_mode: OneOfThree = 0
    symbols: Annotated[str, Field(max_length=4000)] = ""
    allocation_percent: Percent = Decimal(100)
    small_volume_policy: Literal["skip", "raise_to_min"] = "skip"
    ratio_multiplier: Multiplier = Decimal(1)
    max_slippage_points: Count = 0
    max_signal_age_ms: Annotated[int, Field(ge=0, le=86_400_000)] = 0
    require_sl: Flag = 0
    daily_loss_percent: Percent = Decimal(0)
    drawdown_percent: Percent = Decimal(0)
    stop_action: Literal["halt", "close"] = "halt"


class SubscriptionCreate(SubscriptionSettings):
    """`invite_code`: the one that a private master gave out by the signed OpenAPI's leader config."""

    master_login: Id
    follower_login: Id
    invite_code: Annotated[str, Field(max_length=16)] = ""


class SubscriptionUpdate(SubscriptionSettings):
    """Only the fields that are sent are changed; the two logins may be sent, unchanged. `resume` 1 takes a stop back."""

    master_login: Id | None = None
    follower_login: Id | None = None
    resume: Flag = 0
    updated_time: Stamp | None = None


class DeleteBody(Body):
    """What becomes of open copies; without it, a record with active links is not deleted."""

    close_policy: ClosePolicy | None = None


class HaltBody(Body):
    """A stop of trading: of everything, of a master's or a follower's `login`, or of a `symbol`. `reduce_only` lets positions shrink."""

    scope: Literal["all", "master", "follower", "symbol"]
    login: Id | None = None
    symbol: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    mode: Literal["halt", "reduce_only"] = "halt"
    reason: Annotated[str, Field(max_length=500)] = ""


class ResumeBody(Body):
    """Which stop of trading ends."""

    scope: Literal["all", "master", "follower", "symbol"]
    login: Id | None = None
    symbol: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class ApiKeyCreate(Body):
    """A key of the signed OpenAPI for one account.

    `ips`: addresses that may use it, comma-separated (empty: any); `expires_time` in Unix seconds, 0: never.
    """

    login: Id
    name: Annotated[str, Field(max_length=100)] = ""
    read_only: Flag = 0
    ips: Annotated[str, Field(max_length=1000)] = ""
    require_nonce: Flag = 0
    expires_time: Annotated[int, Field(ge=0, le=10**11)] = 0


class ApiKeyUpdate(Body):
    """Fields that are left out stay as they are."""

    name: Annotated[str, Field(max_length=100)] | None = None
    enabled: Flag | None = None
    ips: Annotated[str, Field(max_length=1000)] | None = None
    require_nonce: Flag | None = None
    expires_time: Annotated[int, Field(ge=0, le=10**11)] | None = None


class OtpBody(Body):
    """`enabled` 1 switches the second factor on, 0 off; either needs a code of the device."""

    otp_code: Annotated[str, Field(max_length=16)]
    enabled: Flag


class LoginBody(Body):
    email: Annotated[str, Field(max_length=EMAIL_MAX)]
    password: Annotated[str, Field(max_length=256)]
    otp_code: Annotated[str, Field(max_length=16)] | None = None
