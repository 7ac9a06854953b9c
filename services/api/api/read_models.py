"""Read models of what the other services tell: accounts, symbols, positions, closings, trade links, accruals, statistics."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.explain import Decided
from shared.store import direct
from shared.store.engine import ExactDecimal, ScaledDecimal
from shared.store.outbox import upsert
from sqlalchemy import BigInteger, Index, Text, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, col

from api.saving import change_rows
from api.tables import Base, table_of


def change_id() -> Any:
    """The number of a row's last change: who has seen it has seen all before it (`api.news`)."""
    return Field(default=0, index=True, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


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
    change_id: int = change_id()


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
    decision: str = Field(default="", max_length=32)
    """Which row of `decision` has what the inputs share with the other followers'."""
    change_id: int = change_id()


class Decision(Base, table=True):
    """What the copy decisions for all followers of one signal were made from: the JSON of the signal, the terms and the house's limits."""

    __tablename__ = "decision"

    digest: str = Field(primary_key=True, max_length=32)
    inputs: str = Field(sa_type=Text)


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
    base_exact: Decimal = Field(sa_type=ExactDecimal)
    """The base with all its places, for the statement; `base_amount` is for lists."""
    change_id: int = change_id()


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
    # Of the details, as columns, what masters are filtered and sorted by; see docs/statistics.md.
    sharpe_ratio: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    sortino_ratio: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    profit_factor: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    avg_holding_time: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    weekly_trades: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    win_rate_lower_bound: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    minimum_capital: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    followers: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    assets_under_copy: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    copies: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    copy_success: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    copy_latency_median: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    copy_latency_p95: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    slippage_points: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    slippage_bps: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    followers_roi: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    followers_roi_gross: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    followers_in_profit: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    tracking_difference: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    tracking_error: Decimal | None = Field(default=None, sa_type=ScaledDecimal)
    change_id: int = change_id()


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
    leverage: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """0: the account's."""
    margin_type: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    change_id: int = change_id()


class PositionGone(Base, table=True):
    """A position that is held no more, for who follows the changes. Kept as long as changes can be resumed from."""

    __tablename__ = "position_gone"

    order: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    login: int = Field(sa_type=BigInteger)
    symbol: str
    change_id: int = change_id()


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
    leverage: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """0: the account's."""
    margin_type: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    change_id: int = change_id()


class ChangeCounter(Base, table=True):
    """The one row that numbers changes: locked from the moment a transaction takes numbers until it ends, so they commit in order."""

    __tablename__ = "change_counter"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last: int = Field(sa_type=BigInteger)
    floor: int = Field(default=0, sa_type=BigInteger)
    """Who has seen this change, or a later one, can resume from there."""


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


ORDERS_AT_ONCE = 5000
"""Orders in one question: well below what SQLite and Postgres take."""


async def account(session: AsyncSession, login: int) -> Account | None:
    return await session.get(Account, login)


async def accounts_of(session: AsyncSession, customer_id: int) -> list[Account]:
    statement = select(Account).where(col(Account.customer_id) == customer_id).order_by(col(Account.login))
    return list((await session.execute(statement)).scalars())


async def has_active_links(session: AsyncSession, column: Any, value: int) -> bool:
    """Whether a subscription, master or follower (the column says which) has links that are not closed yet."""
    statement = select(col(TradeLink.id)).where(column == value, col(TradeLink.state) == 0).limit(1)
    return (await session.execute(statement)).scalar() is not None


async def known_orders(session: AsyncSession, orders: Sequence[int]) -> set[int]:
    """Which of these positions are open, or were closed, as far as is known."""
    seen: set[int] = set()
    for start in range(0, len(orders), ORDERS_AT_ONCE):
        part = tuple(orders[start : start + ORDERS_AT_ONCE])
        marks = ", ".join("?" * len(part))
        statement = (
            f'SELECT "order" FROM position WHERE "order" IN ({marks}) UNION ALL SELECT position FROM deal WHERE position IN ({marks})'  # noqa: S608
        )
        seen |= {row[0] for row in await direct.fetch(session, statement, part + part)}
    return seen


async def keep_decisions(session: AsyncSession, inputs: dict[str, str]) -> None:
    """Keeps what decisions have in common, by digest; those that are known stay as they are."""
    if inputs:
        rows = [{"digest": digest, "inputs": text} for digest, text in inputs.items()]
        await session.execute(upsert(session, table_of(Decision)).on_conflict_do_nothing(), rows)


async def common_inputs(session: AsyncSession, link: TradeLink) -> str:
    """What a link's decision has in common with those for the other followers (JSON); empty when it was not told."""
    decision = await session.get(Decision, link.decision) if link.decision else None
    return decision.inputs if decision else ""


def decided(link: TradeLink) -> Decided:
    """A link as its explanation takes it."""
    parties = (link.master_login, link.follower_login, link.master_order)
    return Decided(link.id, link.subscription_id, *parties, link.phase, link.reason)


async def blank_stats(session: AsyncSession, login: int, currency: str, periods: dict[str, int]) -> None:
    """Statistics of a master that has none yet; those that it has stay."""
    rows = [
        {"login": login, "period": period, "period_days": days, "currency": currency, "pnl": Decimal(0), "trades": 0}
        | {"pnl_history": "", "coverage_days": 0, "roi_quality": "", "updated_ms": 0, "details": ""}
        for period, days in periods.items()
    ]
    await session.execute(upsert(session, table_of(MasterStats)).on_conflict_do_nothing(), rows)


async def touch_master(session: AsyncSession, login: int) -> None:
    """A new number for whatever the marketplace shows of a master."""
    await change_rows(session, MasterStats, col(MasterStats.login) == bindparam("its_login"), {}, [{"its_login": login}])
