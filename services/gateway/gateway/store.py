"""The paper venue's tables, and the few functions that read the whole book from them and write a transaction's changes to them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any

from shared.contracts.trades import REASON_COPY_REWARD
from shared.store.engine import ExactDecimal
from shared.store.outbox import log_metadata, outbox, overwriting, upsert
from sqlalchemy import BigInteger, Column, String, Table, Text, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from gateway.decide import DAY_MS, Quote
from gateway.paper import orders
from gateway.paper.book import Book
from gateway.paper.market import GROUPS, Market, Symbol
from gateway.paper.records import Account, Answer, Changes, Deal, HaltState, ManualState, Operation, Pending, Position

METADATA = log_metadata()
FIRST_LOGIN = 100_001
FIRST_TICKET = 1_000_001
KEY_LENGTH = 100
FORGET_ROWS = 5000
HISTORY_ROWS = 500


class Base(SQLModel, registry=registry(metadata=METADATA)):
    """The base of the gateway's tables: they share one MetaData with the log's."""


def _id() -> Any:
    return Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


def _big() -> Any:
    return Field(sa_type=BigInteger)


def _text(length: int, *, primary: bool = False) -> Any:
    return Field(sa_column=Column(String(length), primary_key=primary, nullable=False))


def _amount() -> Any:
    return Field(sa_type=ExactDecimal)


class AccountRecord(Base, table=True):
    """A customer's account."""

    __tablename__ = "account"
    login: int = _id()
    customer_id: int = _big()
    group_name: str = _text(32)
    leverage: int
    balance: Decimal = _amount()
    credit: Decimal = _amount()
    opened_ms: int = _big()


class PositionRecord(Base, table=True):
    """An open position. A closed one is told by its deals."""

    __tablename__ = "position"
    order: int = _id()
    login: int = _big()
    symbol: str = _text(32)
    side: str = _text(4)
    initial: int = _big()
    volume: int = _big()
    price: Decimal = _amount()
    sl: Decimal = _amount()
    tp: Decimal = _amount()
    version: int
    client_id: str = _text(KEY_LENGTH)
    reason: str = _text(32)
    leverage: int
    commission: Decimal = _amount()
    swap: Decimal = _amount()
    opened_ms: int = _big()
    margin_type: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class PendingRecord(Base, table=True):
    """A pending order that waits."""

    __tablename__ = "pending"
    order: int = _id()
    login: int = _big()
    symbol: str = _text(32)
    side: str = _text(4)
    kind: str = _text(16)
    volume: int = _big()
    price: Decimal = _amount()
    limit_price: Decimal = _amount()
    sl: Decimal = _amount()
    tp: Decimal = _amount()
    expires_ms: int = _big()
    version: int
    client_id: str = _text(KEY_LENGTH)
    reason: str = _text(32)
    master: int = _big()
    armed: bool
    leverage: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    margin_type: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class DealRecord(Base, table=True):
    """A fill."""

    __tablename__ = "deal"
    deal: int = _id()
    order: int = _big()
    login: int = Field(sa_type=BigInteger, index=True)
    symbol: str = _text(32)
    side: str = _text(4)
    entry: str = _text(3)
    volume: int = _big()
    price: Decimal = _amount()
    profit: Decimal = _amount()
    commission: Decimal = _amount()
    swap: Decimal = _amount()
    reason: str = _text(32)
    client_id: str = _text(KEY_LENGTH)
    time_ms: int = Field(sa_type=BigInteger, index=True)


class OperationRecord(Base, table=True):
    """A balance operation."""

    __tablename__ = "operation"
    id: int = _id()
    login: int = Field(sa_type=BigInteger, index=True)
    operation: str = _text(32)
    amount: Decimal = _amount()
    reason: str = _text(64)
    client_id: str = _text(KEY_LENGTH)
    api_data: str = Field(sa_type=Text)
    time_ms: int = Field(sa_type=BigInteger, index=True)


class AnswerRecord(Base, table=True):
    """What was answered to a client's own id."""

    __tablename__ = "answer"
    key: str = _text(KEY_LENGTH, primary=True)
    kind: str = _text(32)
    row: str = Field(sa_type=Text)
    request: str = Field(sa_type=Text)
    time_ms: int = Field(default=0, sa_type=BigInteger, index=True, sa_column_kwargs={"server_default": "0"})


class PriceRecord(Base, table=True):
    """A symbol's last price."""

    __tablename__ = "price"
    symbol: str = _text(32, primary=True)
    bid: Decimal = _amount()
    ask: Decimal = _amount()
    changed_ms: int = _big()


class HaltRecord(Base, table=True):
    """A stop of copying; one that was lifted stays, inactive."""

    __tablename__ = "halt"
    id: int = _id()
    scope: str = _text(16)
    key: str = _text(64)
    mode: str = _text(16)
    version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    active: int = Field(default=1, sa_column_kwargs={"server_default": "1"})


class ManualRecord(Base, table=True):
    """A follower's manual trading mode; one that has ended stays."""

    __tablename__ = "manual"
    login: int = _id()
    mode: int
    follower: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    ended: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class NumberRecord(Base, table=True):
    """The venue's counters: the next login and ticket, the day up to which swap was charged, when the feed began."""

    __tablename__ = "venue_number"
    name: str = _text(16, primary=True)
    value: int = _big()


ACCOUNT, POSITION, PENDING = METADATA.tables["account"], METADATA.tables["position"], METADATA.tables["pending"]
DEAL, OPERATION, ANSWER = METADATA.tables["deal"], METADATA.tables["operation"], METADATA.tables["answer"]
PRICE, HALT, MANUAL = METADATA.tables["price"], METADATA.tables["halt"], METADATA.tables["manual"]
NUMBER = METADATA.tables["venue_number"]
POSITION_COLUMNS = tuple(field.name for field in fields(Position))
PENDING_COLUMNS = tuple(field.name for field in fields(Pending))


async def load(session: AsyncSession, symbols: Mapping[str, Symbol], now: int) -> Book:
    """The book as it was last committed. Orders in a symbol that is no longer traded are left where they are."""
    market = Market(symbols)
    for row in await _all(session, PRICE):
        if row["symbol"] in market.symbols:
            market.set(row["symbol"], Quote(row["bid"], row["ask"]), row["changed_ms"])
    numbers = {row["name"]: row["value"] for row in await _all(session, NUMBER)}
    today = now // DAY_MS
    book = Book(market, numbers.get("login", FIRST_LOGIN), numbers.get("ticket", FIRST_TICKET), numbers.get("day", today))
    book.now = now
    book.feed_ms = numbers.get("feed", 0)
    for row in await _all(session, ACCOUNT):
        row["group"] = GROUPS[row.pop("group_name")]
        book.accounts[row["login"]] = Account(**row)
    for row in await _all(session, POSITION):
        if row["symbol"] in market.symbols:
            book.enter(Position(**row))
    for row in await _all(session, PENDING):
        if row["symbol"] in market.symbols:
            orders.rest(book, Pending(**row))
    for row in await _all(session, HALT):  # of two of the same scope and key the later one counts
        book.put_halt(HaltState(**row))
    book.manual = {row["login"]: ManualState(**row) for row in await _all(session, MANUAL)}
    return book


async def save(session: AsyncSession, book: Book, changes: Changes) -> None:
    """Writes what changed in the book, in bulk."""
    await _put_accounts(session, book, changes.accounts)
    await _put_orders(session, POSITION, POSITION_COLUMNS, changes.positions, book.positions)
    await _put_orders(session, PENDING, PENDING_COLUMNS, changes.pending, book.pending)
    await _insert(session, DEAL, Deal._fields, changes.deals)
    await _insert(session, OPERATION, Operation._fields, changes.operations)
    await _insert(session, ANSWER, (*Answer._fields, "time_ms"), [(*answer, book.now) for answer in changes.answers.values()])
    if changes.asked_again:
        await session.execute(_update(ANSWER, "key"), [{"b_key": key, "time_ms": book.now} for key in sorted(changes.asked_again)])
    if changes.prices:
        quotes = book.market.quotes
        prices = [
            {"b_symbol": name, "bid": quotes[name].bid, "ask": quotes[name].ask, "changed_ms": book.market.changed_ms[name]}
            for name in sorted(changes.prices)
        ]
        await session.execute(_update(PRICE, "symbol"), prices)
    if changes.numbers:
        await _put_numbers(session, {"login": book.next_login, "ticket": book.next_ticket, "day": book.day, "feed": book.feed_ms})
    await _put(session, MANUAL, [book.manual[login] for login in sorted(changes.manual)])
    await _put(session, HALT, [book.known_halts[place] for place in sorted(changes.halts)])


async def answers(session: AsyncSession, keys: Iterable[str]) -> dict[str, Answer]:
    """What was answered before under these ids."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    found = await session.execute(select(*(ANSWER.c[name] for name in Answer._fields)).where(ANSWER.c.key.in_(wanted)))
    return {row.key: Answer(**row._mapping) for row in found}


async def deals(session: AsyncSession, login: int) -> AsyncIterator[list[Deal]]:
    """An account's deals, oldest first, some hundred at once: others have their turn in between."""
    wanted = select(DEAL).where(DEAL.c.login == login).order_by(DEAL.c.deal)
    found = await session.stream(wanted.execution_options(yield_per=HISTORY_ROWS))
    async for part in found.partitions():
        yield [Deal(**row._mapping) for row in part]


async def operations(session: AsyncSession, login: int) -> AsyncIterator[list[Operation]]:
    """An account's balance operations, oldest first, some hundred at once."""
    wanted = select(OPERATION).where(OPERATION.c.login == login).order_by(OPERATION.c.id)
    found = await session.stream(wanted.execution_options(yield_per=HISTORY_ROWS))
    async for part in found.partitions():
        yield [Operation(**row._mapping) for row in part]


async def forget_answers(session: AsyncSession, stream: str, before_ms: int) -> int:
    """Deletes answers from before a time, some thousand at once; how many. One whose event is still in the log is kept: until every
    reader has handled that, its sender may ask again; and who did was answered again, from when its days count anew."""
    logged = (await session.execute(select(func.min(outbox.c.created_ms)).where(outbox.c.stream == stream))).scalar()
    before_ms = before_ms if logged is None else min(before_ms, logged)
    old = select(ANSWER.c.key).where(ANSWER.c.time_ms < before_ms).order_by(ANSWER.c.time_ms).limit(FORGET_ROWS)
    return await _deleted(session, ANSWER, ANSWER.c.key, old)


async def forget_history(session: AsyncSession, before_ms: int) -> int:
    """Deletes deals and balance operations from before a time, some thousand at once; how many.

    Deals of positions that are open are kept, and the operations that settle rewards: the ledger is compared with them.
    """
    deals = select(DEAL.c.deal).where(DEAL.c.time_ms < before_ms, DEAL.c.order.not_in(select(POSITION.c.order)))
    done = select(OPERATION.c.id).where(OPERATION.c.time_ms < before_ms, OPERATION.c.reason != REASON_COPY_REWARD)
    gone = await _deleted(session, DEAL, DEAL.c.deal, deals.order_by(DEAL.c.time_ms).limit(FORGET_ROWS))
    return gone + await _deleted(session, OPERATION, OPERATION.c.id, done.order_by(OPERATION.c.time_ms).limit(FORGET_ROWS))


async def _deleted(session: AsyncSession, table: Table, key: Any, old: Any) -> int:
    found = (await session.execute(old)).scalars().all()
    if found:
        await session.execute(delete(table).where(key == bindparam("b_key")), [{"b_key": one} for one in found])
    return len(found)


async def keep_first_prices(session: AsyncSession, market: Market) -> None:
    """Keeps the first price of symbols that are new."""
    for name, quote in market.quotes.items():
        values = {"symbol": name, "bid": quote.bid, "ask": quote.ask, "changed_ms": market.changed_ms[name]}
        await session.execute(upsert(session, PRICE).values(values).on_conflict_do_nothing(index_elements=["symbol"]))


async def _put_accounts(session: AsyncSession, book: Book, changed: Mapping[int, bool]) -> None:
    columns = ("login", "customer_id", "group_name", "leverage", "balance", "credit", "opened_ms")
    new: list[tuple[Any, ...]] = []
    old: list[dict[str, Any]] = []
    for login, is_new in changed.items():
        account = book.accounts[login]
        if is_new:
            new.append(
                (login, account.customer_id, account.group.name, account.leverage, account.balance, account.credit, account.opened_ms)
            )
        else:
            old.append({"b_login": login, "balance": account.balance, "credit": account.credit})
    await _insert(session, ACCOUNT, columns, new)
    if old:
        await session.execute(_update(ACCOUNT, "login"), old)


async def _put_orders(
    session: AsyncSession,
    table: Table,
    columns: Sequence[str],
    changed: Mapping[int, bool],
    present: Mapping[int, Position] | Mapping[int, Pending],
) -> None:
    values = attrgetter(*columns)
    new: list[tuple[Any, ...]] = []
    old: list[dict[str, Any]] = []
    gone: list[dict[str, Any]] = []
    for number, is_new in changed.items():
        order = present.get(number)
        if order is None:
            gone.append({"b_order": number})
        elif is_new:
            new.append(values(order))
        else:
            row = dict(zip(columns, values(order), strict=True))
            old.append({"b_order": row.pop("order")} | row)
    if gone:
        await session.execute(delete(table).where(table.c.order == bindparam("b_order")), gone)
    if old:
        await session.execute(_update(table, "order"), old)
    await _insert(session, table, columns, new)


async def _put(session: AsyncSession, table: Table, rows: Sequence[ManualState] | Sequence[HaltState]) -> None:
    if rows:
        await session.execute(overwriting(session, table, rows[0]._fields), [row._asdict() for row in rows])


async def _insert(session: AsyncSession, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows by the driver's own `executemany`: for thousands of rows the statement's compiler costs more than the rows."""
    if not rows:
        return
    connection = await session.connection()
    preparer = connection.dialect.identifier_preparer
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    names = ", ".join(preparer.quote(name) for name in columns)
    marks = ", ".join(mark for _ in columns)
    amounts = [place for place, name in enumerate(columns) if isinstance(table.c[name].type, ExactDecimal)]
    values = []
    for row in rows:
        value = list(row)
        for place in amounts:
            value[place] = format(value[place], "f")
        values.append(tuple(value))
    statement = f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES ({marks})"  # noqa: S608  (our own names alone)
    await connection.exec_driver_sql(statement, values)


def _update(table: Table, key: str) -> Any:
    """An update of the row whose key is `b_<key>`, to be run with many rows."""
    return update(table).where(table.c[key] == bindparam(f"b_{key}"))


async def _put_numbers(session: AsyncSession, numbers: Mapping[str, int]) -> None:
    rows = [{"name": name, "value": value} for name, value in numbers.items()]
    if rows:
        await session.execute(overwriting(session, NUMBER, ("name", "value")), rows)


async def _all(session: AsyncSession, table: Table) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in await session.execute(select(table).order_by(*table.primary_key.columns))]
