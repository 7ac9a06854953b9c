"""The executor's tables, and the few functions that read and write them. Amounts and prices are integers of 1e-8."""

from collections.abc import Iterable, Sequence
from typing import Any

from shared.store import direct
from shared.store.outbox import log_metadata
from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, String, Table, Text, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

METADATA = log_metadata()


class Base(SQLModel, registry=registry(metadata=METADATA)):
    """The base of the executor's tables: their own registry, beside the log's tables."""


def whole(**options: Any) -> Any:
    """A 64-bit integer column, 0 unless it is told otherwise."""
    return Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0"), "autoincrement": False}, **options)


def word(length: int, **options: Any) -> Any:
    """A short text column, empty unless it is told otherwise."""
    return Field(default="", sa_type=String(length), sa_column_kwargs={"server_default": text("''")}, **options)


class Subscription(Base, table=True):
    """A subscription as it was last told; `deleted` ones are kept for the links that point to them.

    `past_due` 1: a prepaid fee is not paid, as the rewards service tells it.
    """

    __tablename__ = "subscription"
    __table_args__ = (Index("ix_subscription_master", "master_login"), Index("ix_subscription_follower", "follower_login"))
    id: int = whole(primary_key=True)
    version: int = whole()
    master_login: int = whole()
    follower_login: int = whole()
    deleted: int = whole()
    created_ms: int = whole()
    enabled: int = whole()
    status: int = whole()
    copy_mode: int = whole()
    volume_mode: int = whole()
    risk_multiplier: int = whole()
    fixed_volume: int = whole()
    copy_sl: int = whole()
    copy_tp: int = whole()
    copy_partial_close: int = whole()
    copy_pending_orders: int = whole()
    reverse_direction: int = whole()
    max_volume: int = whole()
    min_volume: int = whole()
    max_positions: int = whole()
    symbols_mode: int = whole()
    symbols: str = Field(default="", sa_type=Text)
    allocation_percent: int = whole()
    raise_to_min: int = whole()
    ratio_multiplier: int = whole()
    max_slippage_points: int = whole()
    max_signal_age_ms: int = whole()
    require_sl: int = whole()
    rank: int = whole()
    past_due: int = whole()
    margin_filter: int = whole()
    zero_slippage: int = whole()
    leverage: int = whole()
    single_amount: int = whole()
    invested: int = whole()
    invest_cap: int = whole()
    daily_cap: int = whole()


class Guard(Base, table=True):
    """A subscription's stop for losses: its limits, the equity that they are measured from, and whether it has stopped."""

    __tablename__ = "guard"
    subscription: int = whole(primary_key=True)
    master_login: int = whole()
    follower_login: int = whole()
    daily_loss_percent: int = whole()
    drawdown_percent: int = whole()
    stop_action: str = word(8)
    resumed_ms: int = whole()
    day: int = whole()
    day_start: int = whole()
    peak: int = whole()
    stopped_ms: int = whole()
    reason: str = word(32)


class Master(Base, table=True):
    """A master as it was last told."""

    __tablename__ = "master"
    login: int = whole(primary_key=True)
    id: int = whole()
    version: int = whole()
    enabled: int = whole()
    follower_modes: int = whole()
    deleted: int = whole()
    lead_symbols: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": text("''")})
    lead_margin_type: int = Field(default=-1, sa_type=BigInteger, sa_column_kwargs={"server_default": text("-1")})
    unlead_from_ms: int = whole()
    unlead_to_ms: int = whole()


class Stake(Base, table=True):
    """What a copy of a subscription with a follow config binds: `margin` when it was opened, `bound` now, both 1e-8; with which leverage.

    `leverage` 0: the account's; `ended_ms` 0: the copy is active. One that was never opened has no margin any more.
    """

    __tablename__ = "stake"
    __table_args__ = (Index("ix_stake_ended", "ended_ms"),)
    subscription: int = whole(primary_key=True)
    master_order: int = whole(primary_key=True)
    follower_login: int = whole()
    margin: int = whole()
    bound: int = whole()
    leverage: int = whole()
    opened_ms: int = whole()
    ended_ms: int = whole()


class CopyStop(Base, table=True):
    """The stops of a whole copy: at which profit and which loss (1e-8, 0: none), and after how long; what was realised since `set_ms`.

    `beyond_ms`: since when the loss is beyond its stop. `stopped_ms` 0: it has not stopped.
    """

    __tablename__ = "copy_stop"
    subscription: int = whole(primary_key=True)
    master_login: int = whole()
    follower_login: int = whole()
    profit: int = whole()
    loss: int = whole()
    delay_ms: int = whole()
    set_ms: int = whole()
    realised: int = whole()
    beyond_ms: int = whole()
    stopped_ms: int = whole()
    reason: str = word(32)


class OwnStop(Base, table=True):
    """The stops that a follower set for a copy itself: prices (1e-8, 0: none); the loss acts when it has lasted for `delay_ms`."""

    __tablename__ = "own_stop"
    subscription: int = whole(primary_key=True)
    master_order: int = whole(primary_key=True)
    follower_login: int = whole()
    version: int = whole()
    profit: int = whole()
    loss: int = whole()
    delay_ms: int = whole()
    beyond_ms: int = whole()


class Follower(Base, table=True):
    """A follower as it was last told."""

    __tablename__ = "follower"
    login: int = whole(primary_key=True)
    id: int = whole()
    version: int = whole()
    enabled: int = whole()
    manual_trading_mode: int = whole()
    max_master_count: int = whole()
    deleted: int = whole()


class Halt(Base, table=True):
    """A stop of trading as it was last told."""

    __tablename__ = "halt"
    scope: str = word(16, primary_key=True)
    key: str = word(64, primary_key=True)
    version: int = whole()
    mode: str = word(16)
    active: int = whole()


class Account(Base, table=True):
    """An account's latest state, and how much reward credit is in it."""

    __tablename__ = "account"
    login: int = whole(primary_key=True)
    account_group: str = word(64)
    currency: str = word(16)
    demo: int = whole()
    leverage: int = whole()
    balance: int = whole()
    credit: int = whole()
    equity: int = whole()
    free_margin: int = whole()
    positions: int = whole()
    reward_credit: int = whole()
    updated_ms: int = whole()


class Symbol(Base, table=True):
    """A symbol's settings and the last price that came with them."""

    __tablename__ = "symbol"
    symbol: str = word(64, primary_key=True)
    digits: int = whole()
    contract_size: int = whole()
    base_currency: str = word(16)
    quote_currency: str = word(16)
    volume_per_lot: int = whole()
    volume_min: int = whole()
    volume_step: int = whole()
    volume_max: int = whole()
    bid: int = whole()
    ask: int = whole()
    stops_level: int = whole()
    freeze_level: int = whole()


class Position(Base, table=True):
    """A position or pending order that was not copied: what a master's followers copy. `volume` 0: it is closed.

    `kind` is `position`, or the kind of the pending order. `equity` and `balance` are the account's just before it, without credits.
    """

    __tablename__ = "position"
    __table_args__ = (Index("ix_position_login", "login", "volume"),)
    order: int = whole(primary_key=True)
    login: int = whole()
    kind: str = word(16)
    symbol: str = word(64)
    side: str = word(8)
    initial: int = whole()
    volume: int = whole()
    price: int = whole()
    limit_price: int = whole()
    sl: int = whole()
    tp: int = whole()
    version: int = whole()
    equity: int = whole()
    balance: int = whole()
    expires_ms: int = whole()
    opened_ms: int = whole()
    closed_ms: int = whole()
    leverage: int = whole()
    margin_type: int = whole()


class Link(Base, table=True):
    """One copy, or one skip: `links.py` says how `phase` changes.

    `volume` is what the follower got (asked for while opening), `target` what is to be left of it. `want_sl` and `want_tp` are what the
    copy should have, `sl` and `tp` what the venue says it has; `seen_version` is the master's change that they come from. `close_volume`
    is what the close in flight asks for, `sent_ms` and `protect_ms` when an order or change without an answer was sent last (0: none).
    """

    __tablename__ = "link"
    __table_args__ = (
        PrimaryKeyConstraint("master_order", "subscription"),
        Index(
            "ix_link_follower_order", "follower_order", sqlite_where=text("follower_order > 0"), postgresql_where=text("follower_order > 0")
        ),
        Index("ix_link_active", "follower_login", sqlite_where=text("state = 0"), postgresql_where=text("state = 0")),
        Index("ix_link_waiting", "sent_ms", sqlite_where=text("sent_ms > 0"), postgresql_where=text("sent_ms > 0")),
        Index("ix_link_protecting", "protect_ms", sqlite_where=text("protect_ms > 0"), postgresql_where=text("protect_ms > 0")),
        # a fan-out's rows lie side by side, in the order in which they are written and asked for
        {"sqlite_with_rowid": False},
    )
    id: int = whole()
    subscription: int = whole()
    master_login: int = whole()
    master_order: int = whole()
    follower_login: int = whole()
    follower_order: int = whole()
    state: int = whole()
    phase: str = word(16)
    reason: str = word(32)
    kind: str = word(16)
    symbol: str = word(64)
    side: str = word(8)
    volume: int = whole()
    volume_now: int = whole()
    target: int = whole()
    master_volume: int = whole()
    master_now: int = whole()
    price: int = whole()
    sl: int = whole()
    tp: int = whole()
    want_sl: int = whole()
    want_tp: int = whole()
    worst: int = whole()
    seen_version: int = whole()
    close_step: int = whole()
    close_volume: int = whole()
    close_reason: str = word(32)
    change_step: int = whole()
    sent_ms: int = whole()
    protect_ms: int = whole()
    created_ms: int = whole()
    updated_ms: int = whole()


class FanOut(Base, table=True):
    """The links that one decision made for many followers, as one row: `fanouts.py` says how. `links` is JSON, a list for each column.

    `waiting` 1: some copies have no row of their own in `link` yet.
    """

    __tablename__ = "fanout"
    __table_args__ = (
        Index("ix_fanout_order", "master_order"),
        Index("ix_fanout_waiting", "waiting", sqlite_where=text("waiting = 1"), postgresql_where=text("waiting = 1")),
    )
    first_link: int = whole(primary_key=True)
    master_order: int = whole()
    master_login: int = whole()
    created_ms: int = whole()
    waiting: int = whole()
    kind: str = word(16)
    master_volume: int = whole()
    seen_version: int = whole()
    links: str = Field(default="", sa_type=Text)


class Counter(Base, table=True):
    """The last number of a series (link ids, sync requests): allotted inside the transaction, so that none is used twice."""

    __tablename__ = "series"
    name: str = word(32, primary_key=True)
    last: int = whole()


class Sync(Base, table=True):
    """A question to the venue what an account holds, until it is answered whole. `held` gathers the pages of the answer."""

    __tablename__ = "sync"
    login: int = whole(primary_key=True)
    request: str = word(64)
    asked_ms: int = whole()
    done_ms: int = whole()
    held: str = Field(default="[]", sa_type=Text, sa_column_kwargs={"server_default": text("'[]'")})


def table(model: type[Base]) -> Table:
    """The table behind a model."""
    found = model.__table__  # type: ignore[attr-defined]
    assert isinstance(found, Table)
    return found


def columns_of(model: type[Base]) -> tuple[str, ...]:
    """A table's column names, in their order."""
    return tuple(column.name for column in table(model).columns)


async def write_rows(session: AsyncSession, model: type[Base], rows: Sequence[Sequence[Any]], *, replace: bool = False) -> None:
    """Inserts rows (tuples of all columns, in their order) in bulk; with `replace`, a row that is there takes the new values.

    The driver's own executemany: a fan-out is thousands of rows, and the values need no conversion.
    """
    if not rows:
        return
    own, names = table(model), columns_of(model)
    quoted = [f'"{name}"' for name in names]
    keys = [f'"{column.name}"' for column in own.primary_key.columns]
    statement = f'INSERT INTO "{own.name}" ({", ".join(quoted)}) VALUES ({", ".join("?" * len(names))})'  # noqa: S608
    if replace:
        sets = ", ".join(f"{name} = excluded.{name}" for name in quoted if name not in keys)
        statement += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    await direct.many(session, statement, rows)


async def read_rows(session: AsyncSession, model: type[Base], *where: Any, order_by: Any = None) -> list[tuple[Any, ...]]:
    """Rows of a table as plain tuples of all columns."""
    statement = select(*table(model).columns).where(*where)
    if order_by is not None:
        statement = statement.order_by(order_by)
    return [tuple(row) for row in (await session.execute(statement)).all()]


IN_LIMIT = 5000
"""Values of one `IN (...)`: well below SQLite's and Postgres's limits of parameters."""


async def read_in(session: AsyncSession, model: type[Base], column: str, values: Iterable[int]) -> list[tuple[Any, ...]]:
    """Rows whose column has one of the values."""
    wanted, found = sorted(set(values)), []
    for start in range(0, len(wanted), IN_LIMIT):
        found += await read_rows(session, model, table(model).c[column].in_(wanted[start : start + IN_LIMIT]))
    return found
