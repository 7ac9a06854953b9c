"""The api's tables: customers, the configuration with its history, and read models of what the other services tell."""

from decimal import Decimal
from typing import Any, Literal

from shared.contracts import config
from shared.store.engine import ScaledDecimal
from shared.store.outbox import BigId, log_metadata, upsert
from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, col

METADATA = log_metadata()
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Ids are never given out again, not even the last one after its record was deleted: client order ids are made of them."""


class Base(SQLModel, registry=registry(metadata=METADATA)):
    """A table of this service."""


def _key() -> Any:
    return Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))


class Customer(Base, table=True):
    """A person who may log in. Customers of the broker who never log in here need no row."""

    __tablename__ = "customer"
    __table_args__ = (NEVER_AGAIN,)

    id: int = _key()
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


class Account(Base, table=True):
    """A trading account as the venue last told it."""

    __tablename__ = "account"

    login: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    customer_id: int = Field(index=True, sa_type=BigInteger)
    group_name: str
    mode: str
    currency: str
    leverage: int
    balance: Decimal = Field(sa_type=ScaledDecimal)
    credit: Decimal = Field(sa_type=ScaledDecimal)
    equity: Decimal = Field(sa_type=ScaledDecimal)
    margin: Decimal = Field(sa_type=ScaledDecimal)
    free_margin: Decimal = Field(sa_type=ScaledDecimal)
    positions: int
    updated_ms: int = Field(sa_type=BigInteger)


class Master(Base, table=True):
    __tablename__ = "master"
    __table_args__ = (NEVER_AGAIN,)

    id: int = _key()
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


class Follower(Base, table=True):
    __tablename__ = "follower"
    __table_args__ = (NEVER_AGAIN,)

    id: int = _key()
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

    id: int = _key()
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


class RewardPolicy(Base, table=True):
    __tablename__ = "reward_policy"
    __table_args__ = (NEVER_AGAIN,)

    id: int = _key()
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

    id: int = _key()
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


class ApiKey(Base, table=True):
    """A key of the signed OpenAPI: for one account, its secret encrypted."""

    __tablename__ = "api_key"
    __table_args__ = (NEVER_AGAIN,)

    id: int = _key()
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

    id: int = _key()
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


class TradeLink(Base, table=True):
    """Read model of copy.link."""

    __tablename__ = "trade_link"
    __table_args__ = (
        Index("ix_trade_link_follower", "follower_login", "id"),
        Index("ix_trade_link_master", "master_login", "id"),
        Index("ix_trade_link_subscription", "subscription_id", "state"),
    )

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    subscription_id: int = Field(sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    follower_login: int = Field(sa_type=BigInteger)
    master_order: int = Field(sa_type=BigInteger)
    follower_order: int = Field(sa_type=BigInteger)
    state: int
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    phase: str
    reason: str
    symbol: str
    side: str
    volume: int = Field(sa_type=BigInteger)
    volume_now: int = Field(sa_type=BigInteger)
    master_volume: int = Field(sa_type=BigInteger)
    master_volume_now: int = Field(sa_type=BigInteger)
    price: Decimal = Field(sa_type=ScaledDecimal)
    sl: Decimal = Field(sa_type=ScaledDecimal)
    tp: Decimal = Field(sa_type=ScaledDecimal)
    inputs: str = Field(default="", sa_type=Text)


class Accrual(Base, table=True):
    """Read model of reward.accrual."""

    __tablename__ = "accrual"
    __table_args__ = (Index("ix_accrual_follower", "follower_login", "id"), Index("ix_accrual_master", "master_login", "id"))

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    subscription_id: int = Field(index=True, sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    follower_login: int = Field(sa_type=BigInteger)
    reward_type: int
    period_from: int = Field(sa_type=BigInteger)
    period_to: int = Field(sa_type=BigInteger)
    base_amount: Decimal = Field(sa_type=ScaledDecimal)
    fee_amount: Decimal = Field(sa_type=ScaledDecimal)
    currency: str
    state: int
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    payout_account_login: int = Field(sa_type=BigInteger)
    payout_amount: Decimal = Field(sa_type=ScaledDecimal)
    payout_currency: str
    policy_id: int = Field(sa_type=BigInteger)
    policy_version: int
    source_order: int = Field(sa_type=BigInteger)
    charge_order: int = Field(sa_type=BigInteger)
    payout_order: int = Field(sa_type=BigInteger)
    reason: str
    formula: str
    inputs: str = Field(default="", sa_type=Text)
    ref_accrual_id: int = Field(default=0, sa_type=BigInteger)


class Sharing(Base, table=True):
    """Read model of what a subscription's rewards come to."""

    __tablename__ = "sharing"

    subscription: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    follower_login: int = Field(index=True, sa_type=BigInteger)
    master_login: int = Field(sa_type=BigInteger)
    currency: str
    realized_profit: Decimal = Field(sa_type=ScaledDecimal)
    holding: Decimal = Field(sa_type=ScaledDecimal)
    settled: Decimal = Field(sa_type=ScaledDecimal)


class MasterStats(Base, table=True):
    """Read model of master.stats; every master has a row for each period from its creation on, so that the marketplace joins plainly."""

    __tablename__ = "master_stats"
    __table_args__ = (
        Index("ix_stats_pnl", "period", "pnl"),
        Index("ix_stats_roi", "period", "roi"),
    )

    login: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    period: str = Field(primary_key=True, max_length=8)
    period_days: int
    roi: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    roi_simple: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    pnl: Decimal = Field(default=Decimal(0), sa_type=ScaledDecimal)
    win_rate: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    max_drawdown: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    avg_pnl_per_trade: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    trades: int = 0
    pnl_history: str = Field(default="", sa_type=Text)
    """JSON array of numbers, ready to be answered; empty: zeros."""
    currency: str = ""
    coverage_days: int = 0
    roi_quality: str = ""
    updated_ms: int = Field(default=0, sa_type=BigInteger)
    details: str = Field(default="", sa_type=Text)


class Position(Base, table=True):
    """Read model of open positions."""

    __tablename__ = "position"
    __table_args__ = (Index("ix_position_login", "login"),)

    order: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    login: int = Field(sa_type=BigInteger)
    symbol: str
    side: str
    initial: int = Field(sa_type=BigInteger)
    volume: int = Field(sa_type=BigInteger)
    price: Decimal = Field(sa_type=ScaledDecimal)
    sl: Decimal = Field(sa_type=ScaledDecimal)
    tp: Decimal = Field(sa_type=ScaledDecimal)
    client_id: str
    opened_ms: int = Field(sa_type=BigInteger)


class Deal(Base, table=True):
    """Read model of closings: one row a closing deal."""

    __tablename__ = "deal"
    __table_args__ = (Index("ix_deal_login", "login", "closed_ms"), Index("ix_deal_order", "position"))

    deal: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    position: int = Field(sa_type=BigInteger)
    login: int = Field(sa_type=BigInteger)
    symbol: str
    side: str
    initial: int = Field(sa_type=BigInteger)
    closed: int = Field(sa_type=BigInteger)
    left: int = Field(sa_type=BigInteger)
    open_price: Decimal = Field(sa_type=ScaledDecimal)
    price: Decimal = Field(sa_type=ScaledDecimal)
    profit: Decimal = Field(sa_type=ScaledDecimal)
    commission: Decimal = Field(sa_type=ScaledDecimal)
    swap: Decimal = Field(sa_type=ScaledDecimal)
    reason: str
    client_id: str
    position_client_id: str
    opened_ms: int = Field(sa_type=BigInteger)
    closed_ms: int = Field(sa_type=BigInteger)


class Symbol(Base, table=True):
    """Read model of a symbol's settings, with the prices of its last change."""

    __tablename__ = "symbol"

    symbol: str = Field(primary_key=True)
    digits: int
    contract_size: Decimal = Field(sa_type=ScaledDecimal)
    base_currency: str
    quote_currency: str
    volume_per_lot: int
    volume_min: int
    volume_step: int
    volume_max: int = Field(sa_type=BigInteger)
    bid: Decimal = Field(sa_type=ScaledDecimal)
    ask: Decimal = Field(sa_type=ScaledDecimal)


Row = Master | Follower | Subscription | RewardPolicy | Halt


def master_state(row: Master) -> config.Master:
    return config.Master(**row.model_dump())


def follower_state(row: Follower) -> config.Follower:
    return config.Follower(**row.model_dump())


def subscription_state(row: Subscription) -> config.Subscription:
    return config.Subscription(**(row.model_dump() | {"id": row.id or 0}))  # 0: not written yet


def policy_state(row: RewardPolicy) -> config.RewardPolicy:
    return config.RewardPolicy(**row.model_dump())


def halt_state(row: Halt) -> config.Halt:
    return config.Halt(**row.model_dump())


async def one_at_a_time(session: AsyncSession) -> None:
    """Changes of the configuration happen one after the other, so that no two of them miss each other's rows (cycles, limits, doubles)."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(727274)"))


async def account(session: AsyncSession, login: int) -> Account | None:
    return await session.get(Account, login)


async def accounts_of(session: AsyncSession, customer_id: int) -> list[Account]:
    statement = select(Account).where(col(Account.customer_id) == customer_id).order_by(col(Account.login))
    return list((await session.execute(statement)).scalars())


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


async def has_active_links(session: AsyncSession, column: Any, value: int) -> bool:
    """Whether a subscription, master or follower (the column says which) has links that are not closed yet."""
    statement = select(col(TradeLink.id)).where(column == value, col(TradeLink.state) == 0).limit(1)
    return (await session.execute(statement)).scalar() is not None


async def blank_stats(session: AsyncSession, login: int, currency: str, periods: dict[str, int]) -> None:
    """Statistics of a master that has none yet; those that it has stay."""
    rows = [
        {"login": login, "period": period, "period_days": days, "currency": currency, "pnl": Decimal(0), "trades": 0}
        | {"pnl_history": "", "coverage_days": 0, "roi_quality": "", "updated_ms": 0, "details": ""}
        for period, days in periods.items()
    ]
    await session.execute(upsert(session, table_of(MasterStats)).on_conflict_do_nothing(), rows)


Kind = Literal["int", "number", "text"]


def kind_of(column: Any) -> Kind:
    """What a column holds: whole numbers, amounts, or text."""
    if isinstance(column.type, ScaledDecimal):
        return "number"
    return "int" if isinstance(column.type, Integer) else "text"


def table_of(model: type[Base]) -> Any:
    """The SQLAlchemy table behind a model."""
    return model.__table__  # type: ignore[attr-defined]


async def save_rows(session: AsyncSession, model: type[Base], rows: list[dict[str, Any]], keep_when_empty: str = "") -> None:
    """Writes rows of a read model, in bulk, over what is there. An empty `keep_when_empty` column leaves the old value in place."""
    if not rows:
        return
    table = table_of(model)
    keys = [column.name for column in table.primary_key]
    statement = upsert(session, table)
    fresh = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    if keep_when_empty:
        old, new = table.c[keep_when_empty], statement.excluded[keep_when_empty]
        fresh[keep_when_empty] = func.coalesce(func.nullif(new, ""), old)
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh), rows)


async def change_rows(session: AsyncSession, model: type[Base], where: Any, values: Any, rows: list[dict[str, Any]]) -> None:
    """One update for many rows, with bound parameters."""
    if rows:
        connection = await session.connection()
        await connection.execute(update(table_of(model)).where(where).values(values), rows)
