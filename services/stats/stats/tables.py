"""The tables of the stats service. Amounts are whole numbers of 1e-8 (`stats.amounts`), days those of `stats.days`."""

from decimal import Decimal

from shared.store.engine import ExactDecimal
from shared.store.outbox import BigId, log_metadata
from sqlalchemy import BigInteger, Column, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

METADATA = log_metadata()


class Base(SQLModel, registry=registry(metadata=METADATA)):
    """The service's own tables, beside the log's."""


class Account(Base, table=True):
    """Every account that the venue told of, master or not: see `stats.standing.Standing`, whose fields these are."""

    __tablename__ = "account"

    login: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    customer_id: int = Field(sa_type=BigInteger)
    mode: str = Field(sa_type=String(8))
    currency: str = Field(sa_type=String(16))
    inception_day: int
    inception_nav: Decimal = Field(sa_type=ExactDecimal)
    inception_equity: int = Field(sa_type=BigInteger)
    inception_epoch: int
    chain_nav: Decimal = Field(sa_type=ExactDecimal)
    chain_equity: int = Field(sa_type=BigInteger)
    epoch: int
    alive: int
    day: int
    equity: int = Field(sa_type=BigInteger)
    balance: int = Field(sa_type=BigInteger)
    held: int
    quality: int
    epoch_equity: int = Field(sa_type=BigInteger)
    day_base: int = Field(sa_type=BigInteger)
    suspect: int


class Flow(Base, table=True):
    """A balance operation, or another link of an account's chain (opening, bust, rebase), which has no operation id of the venue's."""

    __tablename__ = "flow"
    __table_args__ = (UniqueConstraint("login", "operation_id"), Index("ix_flow_login_day", "login", "day"))

    id: int | None = Field(default=None, sa_type=BigId, primary_key=True)
    login: int = Field(sa_type=BigInteger)
    operation_id: int | None = Field(default=None, sa_type=BigInteger)
    kind: str = Field(sa_type=String(16))
    day: int
    at_ms: int = Field(sa_type=BigInteger)
    amount: int = Field(sa_type=BigInteger)
    equity: int = Field(sa_type=BigInteger)
    operation: str = Field(sa_type=String(32))
    reason: str = Field(sa_type=String(64))


class DealRow(Base, table=True):
    """A closing deal, `stats.trades.Deal`. An imported trade is one deal, with its order's negative for an id.

    Of a copy that counts for its master: its subscription, and the `base` and `allocation` (1e-8 percent) that its result is a share of.
    """

    __tablename__ = "deal"
    __table_args__ = (Index("ix_deal_order", "login", "order"),)

    login: int = Field(sa_type=BigInteger, primary_key=True)
    deal: int = Field(sa_type=BigInteger, primary_key=True)
    order: int = Field(sa_type=BigInteger)
    symbol: str = Field(sa_type=String(64))
    side: str = Field(sa_type=String(4))
    closed: int = Field(sa_type=BigInteger)
    left: int = Field(sa_type=BigInteger)
    profit: int = Field(sa_type=BigInteger)
    commission: int = Field(sa_type=BigInteger)
    swap: int = Field(sa_type=BigInteger)
    opened_ms: int = Field(sa_type=BigInteger)
    closed_ms: int = Field(sa_type=BigInteger)
    capital: int | None = Field(default=None, sa_type=BigInteger)
    subscription: int | None = Field(default=None, sa_type=BigInteger, index=True)
    base: int | None = Field(default=None, sa_type=BigInteger)
    allocation: int | None = Field(default=None, sa_type=BigInteger)


class DayRow(Base, table=True):
    """A day of an account: its closings (`stats.trades.Tally`) and, once it has ended, its snapshot (`stats.standing.DayEnd`).

    `imported`: the snapshot was loaded from a file, `paid` is the file's flow of that day.
    """

    __tablename__ = "day"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(primary_key=True)
    pnl: int = Field(default=0, sa_type=BigInteger)
    trades: int = Field(default=0)
    wins: int = Field(default=0)
    gain: int = Field(default=0, sa_type=BigInteger)
    loss: int = Field(default=0, sa_type=BigInteger)
    holding_ms: int = Field(default=0, sa_type=BigInteger)
    capital: int = Field(default=0, sa_type=BigInteger)
    corrections: int = Field(default=0)
    equity: int | None = Field(default=None, sa_type=BigInteger)
    nav: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    epoch: int = Field(default=0)
    alive: int = Field(default=1)
    held: int = Field(default=0)
    quality: int = Field(default=0)
    imported: int = Field(default=0)
    paid: int = Field(default=0, sa_type=BigInteger)


class SymbolDay(Base, table=True):
    """The result of an account's day in one symbol."""

    __tablename__ = "symbol_day"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(primary_key=True)
    symbol: str = Field(sa_type=String(64), primary_key=True)
    pnl: int = Field(sa_type=BigInteger)


class MasterRow(Base, table=True):
    """A master. `stale`: its statistics have to be told again; `day`: the day for which they were told last (0: never).

    Its audience (`followers` to `with_copies`) is counted when the timer tells it, so that a closed trade need not count its followers.
    """

    __tablename__ = "master"
    __table_args__ = (Index("ix_master_stale", "stale"), Index("ix_master_day", "day"))

    login: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    customer_id: int = Field(sa_type=BigInteger)
    stale: int = Field(default=1)
    day: int = Field(default=0)
    followers: int = Field(default=0)
    assets: int = Field(default=0, sa_type=BigInteger)
    unconverted: int = Field(default=0)
    in_profit: int = Field(default=0)
    with_copies: int = Field(default=0)


class Current(Base, table=True):
    """The statistics as they were told last: `body` is the JSON of a `StatsRow`."""

    __tablename__ = "statistics"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    period: str = Field(sa_type=String(8), primary_key=True)
    body: str = Field(sa_column=Column(Text, nullable=False))


class SymbolInfo(Base, table=True):
    """What figures need of a symbol: its price grid, its least volume, and a rate between two currencies."""

    __tablename__ = "symbol"

    symbol: str = Field(sa_type=String(64), primary_key=True)
    digits: int
    volume_min: int = Field(sa_type=BigInteger)
    base_currency: str = Field(sa_type=String(16))
    quote_currency: str = Field(sa_type=String(16))
    middle: int = Field(sa_type=BigInteger)


class SubscriptionRow(Base, table=True):
    """A subscription, also one that was deleted: its copies close later. `allocation` in 1e-8 percent, `profit` of its closed copies."""

    __tablename__ = "subscription"
    __table_args__ = (Index("ix_subscription_master", "master_login"),)

    id: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    version: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    master_login: int = Field(sa_type=BigInteger)
    follower_login: int = Field(sa_type=BigInteger)
    active: int
    allocation: int = Field(sa_type=BigInteger)
    created_ms: int = Field(sa_type=BigInteger)
    profit: int = Field(default=0, sa_type=BigInteger)


class OpenedRow(Base, table=True):
    """A position that was not opened by copying: what its copies, and its own size, are compared with. `equity`: before it."""

    __tablename__ = "opened"

    order: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    login: int = Field(sa_type=BigInteger)
    price: int = Field(sa_type=BigInteger)
    equity: int = Field(sa_type=BigInteger)
    opened_ms: int = Field(sa_type=BigInteger)
    closed_ms: int = Field(default=0, sa_type=BigInteger, index=True)


class CopyRow(Base, table=True):
    """A copy that was due: `outcome` as `stats.copying.Outcome`; `filled`: its fill was seen, or is none to measure; `own`: the master's
    own, which never counts.

    Where its fill counts: the day, the latency in milliseconds, and the slippage, of which the sums of days are made.
    """

    __tablename__ = "copied"

    master_order: int = Field(sa_type=BigInteger, primary_key=True)
    subscription: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(index=True)
    outcome: int
    filled: int
    own: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    fill_day: int | None = Field(default=None)
    latency: int | None = Field(default=None, sa_type=BigInteger)
    points: int | None = Field(default=None, sa_type=BigInteger)
    bps: int | None = Field(default=None, sa_type=BigInteger)


class CopyDay(Base, table=True):
    """A master's day of being copied. `points` and `bps` are sums of slippage in 1e-8; `made` and `paid` sums, over followers, of what
    closed copies made and rewards took, as parts of 1e-12 of the money allocated; `followers`: the most there were; `participants`: how
    many of `Participant` there are."""

    __tablename__ = "copy_day"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(primary_key=True)
    copied: int = Field(default=0)
    missed: int = Field(default=0)
    fills: int = Field(default=0)
    points: int = Field(default=0, sa_type=BigInteger)
    bps: int = Field(default=0, sa_type=BigInteger)
    made: int = Field(default=0, sa_type=BigInteger)
    paid: int = Field(default=0, sa_type=BigInteger)
    followers: int = Field(default=0)
    participants: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Participant(Base, table=True):
    """A subscription that made or paid something on a master's day, whether or not it is active still."""

    __tablename__ = "participant"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(primary_key=True)
    subscription: int = Field(sa_type=BigInteger, primary_key=True)


class CopyLatency(Base, table=True):
    """How many fills of a master's day took `bucket` milliseconds (`stats.copying.bucket`)."""

    __tablename__ = "copy_latency"

    login: int = Field(sa_type=BigInteger, primary_key=True)
    day: int = Field(primary_key=True)
    bucket: int = Field(primary_key=True)
    fills: int


class AccrualSeen(Base, table=True):
    """An accrual that was charged, or that takes another one back.

    Where it counts for a master: its subscription, its day, what it took (negative: gave back), and what that is a share of.
    """

    __tablename__ = "accrual"

    id: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    refund: int
    charged: int
    subscription: int | None = Field(default=None, sa_type=BigInteger, index=True)
    day: int | None = Field(default=None)
    fee: int | None = Field(default=None, sa_type=BigInteger)
    base: int | None = Field(default=None, sa_type=BigInteger)
    allocation: int | None = Field(default=None, sa_type=BigInteger)
