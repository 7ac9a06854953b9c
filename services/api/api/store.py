"""The api's own tables: customers, the configuration with its history, halts, keys, and what was answered before."""

from decimal import Decimal

from shared.contracts import config
from shared.store.engine import ScaledDecimal
from sqlalchemy import BigInteger, Index, Text, UniqueConstraint, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from api import read_models, tables
from api.tables import NEVER_AGAIN, Base, key

METADATA = tables.METADATA
assert read_models.Account.metadata is METADATA, "the read models are tables of this store, too"


class Customer(Base, table=True):
    """A person who may log in. Customers of the broker who never log in here need no row."""

    __tablename__ = "customer"
    __table_args__ = (NEVER_AGAIN,)

    id: int = key()
    email: str = Field(unique=True, max_length=254)
    name: str = ""
    password_hash: str = ""
    enabled: int = 1
    otp_sealed: str = ""
    """The one-time password's secret, encrypted."""
    otp_enabled: int = 0
    otp_used: int = Field(default=0, sa_type=BigInteger)
    """The time step of the last code that was used: no code is taken twice."""
    sessions_from_s: int = Field(default=0, sa_type=BigInteger)
    """Sessions that were issued earlier are no longer valid."""
    created_ms: int = Field(default=0, sa_type=BigInteger)
    updated_ms: int = Field(default=0, sa_type=BigInteger)


class Master(Base, table=True):
    __tablename__ = "master"
    __table_args__ = (NEVER_AGAIN,)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    login: int = Field(unique=True, sa_type=BigInteger)
    customer_id: int = Field(index=True, sa_type=BigInteger)
    enabled: int = 1
    strategy_name: str = ""
    description: str = ""
    visibility: str = "private"
    allowed_follower_modes: int = 2
    show_trade_history: int = 1
    show_followers: int = 1
    lead_symbols: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    lead_margin_type: int = Field(default=-1, sa_column_kwargs={"server_default": "-1"})
    unlead_from_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    unlead_to_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


class LeadConfig(Base, table=True):
    """What a master asks of those who follow by the OpenAPI, how it admits them, and its level; without a row, the system's bounds hold."""

    __tablename__ = "lead_config"

    master_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    invest_min: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    place_min: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    rate_invest_min: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    un_lead_type: int = 0
    invite_code: str = Field(default="", index=True, max_length=16)
    level: str = Field(default="", max_length=32, sa_column_kwargs={"server_default": ""})
    """Of the settings' `openapi_levels`, as a manager gave it; empty: none."""


class Follower(Base, table=True):
    __tablename__ = "follower"
    __table_args__ = (NEVER_AGAIN,)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    login: int = Field(unique=True, sa_type=BigInteger)
    customer_id: int = Field(index=True, sa_type=BigInteger)
    enabled: int = 1
    manual_trading_mode: int = 2
    max_master_count: int = 1


class Subscription(Base, table=True):
    __tablename__ = "subscription"
    __table_args__ = (UniqueConstraint("follower_login", "master_login"), Index("ix_subscription_master", "master_login"), NEVER_AGAIN)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    follower_login: int = Field(sa_type=BigInteger)
    enabled: int = 1
    status: int = 0
    copy_mode: int = 0
    volume_mode: int = 1
    risk_multiplier: Decimal = Field(default=Decimal(1), sa_type=ScaledDecimal)
    fixed_volume: int = Field(default=0, sa_type=BigInteger)
    copy_sl: int = 1
    copy_tp: int = 1
    copy_partial_close: int = 1
    copy_pending_orders: int = 0
    copy_existing_positions: int = 0
    reverse_direction: int = 0
    max_volume: int = Field(default=0, sa_type=BigInteger)
    min_volume: int = Field(default=0, sa_type=BigInteger)
    max_positions: int = 0
    symbols_mode: int = 0
    symbols: str = Field(default="", sa_type=Text)
    allocation_percent: Decimal = Field(default=Decimal(100), sa_type=ScaledDecimal)
    small_volume_policy: str = "skip"
    ratio_multiplier: Decimal = Field(default=Decimal(1), sa_type=ScaledDecimal)
    max_slippage_points: int = 0
    max_signal_age_ms: int = Field(default=0, sa_type=BigInteger)
    require_sl: int = 0
    daily_loss_percent: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    drawdown_percent: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    stop_action: str = "halt"
    resumed_ms: int = Field(default=0, sa_type=BigInteger)
    standing: str = "good"
    """Whether prepaid fees are paid, as rewards tells it: good, close_only or disabled. Not ours to send."""
    follow: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    """The OpenAPI's follow config as JSON; empty: none was set."""
    invited: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Whether the follower came with the invitation of a private master, and so may come back to the copying at any time."""


class PositionStop(Base, table=True):
    """The stops that a follower set by the OpenAPI for what it held under a master, in a symbol and a direction, at `updated_ms`."""

    __tablename__ = "position_stop"
    __table_args__ = (UniqueConstraint("follower_login", "master_login", "symbol", "is_long"), NEVER_AGAIN)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    follower_login: int = Field(sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    symbol: str = Field(max_length=64)
    is_long: int
    stop_profit_rate: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    stop_loss_rate: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    stop_loss_delay: int = 0


class RewardPolicy(Base, table=True):
    __tablename__ = "reward_policy"
    __table_args__ = (NEVER_AGAIN,)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    master_id: int = Field(unique=True, sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    enabled: int = 1
    reward_type: int
    billing_period: str = ""
    fee_amount: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    fee_percent: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    currency: str
    payout_account_login: int = Field(sa_type=BigInteger)
    hwm_enabled: int = 0
    valid_from_ms: int = Field(default=0, sa_type=BigInteger)
    hwm_basis: str = ""
    netting: str = "none"
    rebate_sides: str = "both"
    fee_cap: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)


class Halt(Base, table=True):
    """A stop of trading; lifted ones stay, inactive."""

    __tablename__ = "halt"
    __table_args__ = (UniqueConstraint("scope", "key"), NEVER_AGAIN)

    id: int = key()
    version: int = 1
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    scope: str
    key: str = ""
    mode: str = "halt"
    active: int = 1
    reason: str = ""
    set_by: str = ""
    """The kind of session that set it: a customer does not lift what a manager has set."""
    beneath: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    """The customer's own halt that a manager has set one over, as JSON; empty: none. It holds again when the manager's is lifted."""


class ApiKey(Base, table=True):
    """A key of the signed OpenAPI: for one account, its secret encrypted."""

    __tablename__ = "api_key"
    __table_args__ = (NEVER_AGAIN,)

    id: int = key()
    key: str = Field(unique=True, max_length=64)
    secret_sealed: str
    login: int = Field(index=True, sa_type=BigInteger)
    customer_id: int = Field(index=True, sa_type=BigInteger)
    account_type: str = "COPY_TRADING"
    name: str = ""
    read_only: int = 0
    enabled: int = 1
    ips: str = ""
    """Addresses that may use it, comma-separated; empty: any."""
    require_nonce: int = 0
    expires_ms: int = Field(default=0, sa_type=BigInteger)
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)


class Signed(Base, table=True):
    """What a signed request may use once: a nonce, or the signature of a write. Kept until it would be out of its window anyway."""

    __tablename__ = "signed"

    key_id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    used: str = Field(primary_key=True, max_length=128)
    expires_ms: int = Field(index=True, sa_type=BigInteger)


class Version(Base, table=True):
    """What a reward policy or a subscription was from a time on: each version whole, as JSON."""

    __tablename__ = "version"

    noun: str = Field(primary_key=True, max_length=32)
    record_id: int = Field(primary_key=True, sa_type=BigInteger)
    version: int = Field(primary_key=True)
    valid_from_ms: int = Field(sa_type=BigInteger)
    actor: str
    state: str = Field(sa_type=Text)


class Audit(Base, table=True):
    """One change: who changed what, and what it was before and after (JSON; empty where there is none)."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_record", "noun", "record_id"), NEVER_AGAIN)

    id: int = key()
    created_ms: int = Field(index=True, sa_type=BigInteger)
    actor: str
    action: str
    noun: str
    record_id: int = Field(sa_type=BigInteger)
    before: str = Field(default="", sa_type=Text)
    after: str = Field(default="", sa_type=Text)


class Answered(Base, table=True):
    """The answer to a write that carried an Idempotency-Key; encrypted, since the answer may be a new API key with its secret."""

    __tablename__ = "idempotency"

    owner: str = Field(primary_key=True, max_length=160)
    key: str = Field(primary_key=True, max_length=255)
    fingerprint: str
    status: int = 0
    body: str = Field(default="", sa_type=Text)
    created_ms: int = Field(index=True, sa_type=BigInteger)


def master_state(row: Master) -> config.Master:
    return config.Master(**row.model_dump())


def follower_state(row: Follower) -> config.Follower:
    return config.Follower(**row.model_dump())


def subscription_state(row: Subscription) -> config.Subscription:
    values = row.model_dump() | {"id": row.id or 0, "follow": follow_of(row)}  # 0: not written yet
    return config.Subscription(**values)


def follow_of(row: Subscription) -> config.FollowConfig | None:
    """The follow config of a subscription, if one was set."""
    return config.FollowConfig.model_validate_json(row.follow) if row.follow else None


def stops_state(row: PositionStop) -> config.PositionStops:
    return config.PositionStops(**row.model_dump())


def policy_state(row: RewardPolicy) -> config.RewardPolicy:
    return config.RewardPolicy(**row.model_dump())


def halt_state(row: Halt) -> config.Halt:
    return config.Halt(**row.model_dump())


async def one_at_a_time(session: AsyncSession) -> None:
    """Commands are carried out one after the other, so that no two of them miss each other's rows (cycles, limits, versions, doubles).

    On SQLite they are anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(727274)"))


async def master_of(session: AsyncSession, login: int) -> Master | None:
    return (await session.execute(select(Master).where(col(Master.login) == login))).scalar_one_or_none()


async def follower_of(session: AsyncSession, login: int) -> Follower | None:
    return (await session.execute(select(Follower).where(col(Follower.login) == login))).scalar_one_or_none()


async def policy_of(session: AsyncSession, master_id: int) -> RewardPolicy | None:
    return (await session.execute(select(RewardPolicy).where(col(RewardPolicy.master_id) == master_id))).scalar_one_or_none()


async def subscriptions_of(session: AsyncSession, *, follower: int | None = None, master: int | None = None) -> list[Subscription]:
    """The subscriptions of a follower, or to a master."""
    statement = select(Subscription).order_by(col(Subscription.id))
    if follower is not None:
        statement = statement.where(col(Subscription.follower_login) == follower)
    if master is not None:
        statement = statement.where(col(Subscription.master_login) == master)
    return list((await session.execute(statement)).scalars())


async def copied_by(session: AsyncSession, login: int) -> set[int]:
    """Everyone whose trades reach this account by copying, directly or through others."""
    found: set[int] = set()
    edge = {login}
    while edge:
        statement = select(col(Subscription.master_login)).where(col(Subscription.follower_login).in_(edge))
        edge = set((await session.execute(statement)).scalars()) - found
        found |= edge
    return found
