"""The part of the numbered log that lives in a service's store: what it wrote, what it has read, and what it could not handle.

The outbox is the log; a Redis stream is a window of it. Numbers have no gap and are committed in order: the counter's row stays locked
from the moment a transaction takes a number until it ends.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.event import Lost
from shared.store import direct

LOG = MetaData()
BigId = BigInteger().with_variant(Integer, "sqlite")

counter = Table("log_counter", LOG, Column("stream", String(64), primary_key=True), Column("last", BigInteger, nullable=False))
outbox = Table(
    "log_outbox",
    LOG,
    Column("stream", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("lost_first", BigInteger),
    Column("lost_last", BigInteger),
)
place = Table("log_place", LOG, Column("stream", String(64), primary_key=True), Column("number", BigInteger, nullable=False))
report = Table(
    "log_report",
    LOG,
    Column("stream", String(64), primary_key=True),
    Column("reader", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("reported_ms", BigInteger, nullable=False),
)
dead_letter = Table(
    "dead_letter",
    LOG,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("stream", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("event_index", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("retried_ms", BigInteger),
    Column("retry_requested_ms", BigInteger),
    Index("ix_dead_letter_stream", "stream", "number"),
)
identity = Table("log_identity", LOG, Column("name", String(32), primary_key=True), Column("value", String(64), nullable=False))

TERM = ":term"
"""The counter that numbers the terms of ownership; no stream has a colon first."""
WHOLE_BATCH = -1
"""`event_index` of a dead letter that is a whole entry."""


COUNTED = "SELECT last FROM log_counter WHERE stream = ?"
COUNTED_AND_HELD = f"{COUNTED} FOR SHARE"
TAKE_NUMBERS = """
INSERT INTO log_counter (stream, last) VALUES (?, ?)
ON CONFLICT (stream) DO UPDATE SET last = log_counter.last + excluded.last RETURNING last
"""
KEEP = "INSERT INTO log_outbox (stream, number, payload, created_ms, lost_first, lost_last) VALUES (?, ?, ?, ?, ?, ?)"
KEPT = "SELECT number, payload FROM log_outbox WHERE stream = ? AND number >= ? ORDER BY number LIMIT ?"
MOVE_PLACE = """
INSERT INTO log_place (stream, number) VALUES (?, ?)
ON CONFLICT (stream) DO UPDATE SET number = excluded.number WHERE log_place.number = ? RETURNING number
"""


class Entry(NamedTuple):
    """One entry of a stream, as it is sent: its number and its JSON."""

    number: int
    payload: str


class DeadLetter(NamedTuple):
    """What a service could not handle: a whole entry (`event_index` -1) or one event of it. Times are Unix milliseconds."""

    id: int
    stream: str
    number: int
    event_index: int
    reason: str
    payload: str
    created_ms: int
    retried_ms: int | None
    retry_requested_ms: int | None


class Report(NamedTuple):
    """How far a reader says it is, and when it said so (Unix milliseconds of its own clock)."""

    number: int
    reported_ms: int


class PlaceMovedError(Exception):
    """Another instance has handled these entries: this one is not the owner any more, or read from an old place."""


def log_metadata() -> MetaData:
    """A fresh MetaData with the log's tables: the base of a service's own tables."""
    metadata = MetaData()
    for table in LOG.sorted_tables:
        table.to_metadata(metadata)
    return metadata


def upsert(session: AsyncSession, table: Table) -> Any:
    """`INSERT ... ON CONFLICT` in the session's dialect."""
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(table)


def overwriting(session: AsyncSession, table: Table, names: tuple[str, ...], kept: tuple[str, ...] = ()) -> Any:
    """An insert of rows with these columns over what is there, by primary key. Where a `kept` column comes empty, the old value stays."""
    return _overwriting(session.get_bind().dialect.name, table, names, kept)


@cache
def _overwriting(dialect: str, table: Table, names: tuple[str, ...], kept: tuple[str, ...]) -> Any:
    """Made once: to make it takes as long as to run it."""
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    keys = [column.name for column in table.primary_key]
    fresh: dict[str, Any] = {name: statement.excluded[name] for name in names if name not in keys}
    for name in kept:
        fresh[name] = func.coalesce(func.nullif(statement.excluded[name], ""), table.c[name])
    return statement.on_conflict_do_update(index_elements=keys, set_=fresh)


async def claim(session: AsyncSession, name: str, value: str) -> str:
    """What the store is (its `shard`, say), as it was first told; answers what it was told then."""
    await session.execute(upsert(session, identity).values(name=name, value=value).on_conflict_do_nothing())
    known: str = (await session.execute(select(identity.c.value).where(identity.c.name == name))).scalar_one()
    return known


class NotOwnerError(Exception):
    """Another instance has taken over the store: this one must not write any more."""


async def hold_term(session: AsyncSession, term: int) -> None:
    """Nobody else begins a term until this transaction ends. Raises NotOwnerError when somebody has."""
    sqlite_only = session.get_bind().dialect.name == "sqlite"
    if await direct.fetch(session, COUNTED if sqlite_only else COUNTED_AND_HELD, (TERM,)) != [(term,)]:
        raise NotOwnerError(f"term {term} is over: another instance owns the store")


async def take_numbers(session: AsyncSession, stream: str, count: int) -> int:
    """Takes the next `count` numbers of a stream and answers the first; their order is the order of commit."""
    ((last,),) = await direct.fetch(session, TAKE_NUMBERS, (stream, count))
    return int(last) - count + 1


async def raise_counter(session: AsyncSession, stream: str, to: int) -> int:
    """Moves the counter up to `to` if it is lower; answers where it was."""
    before = (await session.execute(select(counter.c.last).where(counter.c.stream == stream).with_for_update())).scalar() or 0
    if before < to:
        statement = upsert(session, counter).values(stream=stream, last=to)
        await session.execute(statement.on_conflict_do_update(index_elements=["stream"], set_={"last": to}))
    return before


async def keep(session: AsyncSession, stream: str, entries: Sequence[Entry], now: int, lost: Lost | None) -> None:
    """Writes entries to the outbox; `lost` belongs to the first of them."""
    none = (None, None)
    rows = [(stream, *entry, now, *((lost or none) if place == 0 else none)) for place, entry in enumerate(entries)]
    await direct.many(session, KEEP, rows)


async def kept(session: AsyncSession, stream: str, first: int, limit: int) -> list[Entry]:
    """The outbox's entries from `first` on."""
    return [Entry(*row) for row in await direct.fetch(session, KEPT, (stream, first, limit))]


async def replace(session: AsyncSession, stream: str, number: int, payload: str) -> None:
    """Puts another payload under a number."""
    await session.execute(update(outbox).where(outbox.c.stream == stream, outbox.c.number == number).values(payload=payload))


async def ends(session: AsyncSession, stream: str) -> tuple[int, int]:
    """The lowest number that the outbox still keeps (0: none) and the last number that was ever taken."""
    low = (await session.execute(select(func.min(outbox.c.number)).where(outbox.c.stream == stream))).scalar() or 0
    last = (await session.execute(select(counter.c.last).where(counter.c.stream == stream))).scalar() or 0
    return low, last


async def stands_for(session: AsyncSession, stream: str, number: int) -> int:
    """The number of the newest snapshot that stands for a lost number; 0 when there is none."""
    statement = select(func.max(outbox.c.number)).where(
        outbox.c.stream == stream, outbox.c.lost_first <= number, outbox.c.lost_last >= number, outbox.c.number > number
    )
    return (await session.execute(statement)).scalar() or 0


async def places(session: AsyncSession) -> dict[str, int]:
    """The last number handled of each stream that was ever read."""
    return {row.stream: row.number for row in await session.execute(select(place.c.stream, place.c.number))}


async def move_place(session: AsyncSession, stream: str, before: int, after: int) -> None:
    """Moves the place of a stream, only from where this instance believes it to be. Raises PlaceMovedError otherwise."""
    if not await direct.fetch(session, MOVE_PLACE, (stream, after, before)):
        raise PlaceMovedError(f"{stream} is not at {before}")


async def save_reports(session: AsyncSession, stream: str, reported: Mapping[str, Report]) -> None:
    """Keeps how far each reader says it is. The last word counts, whatever time it bears: a reader whose store was restored is further back
    than it was, and one whose clock was ahead would be believed to stand still until it is that late."""
    for reader, (number, reported_ms) in reported.items():
        statement = upsert(session, report).values(stream=stream, reader=reader, number=number, reported_ms=reported_ms)
        await session.execute(
            statement.on_conflict_do_update(index_elements=["stream", "reader"], set_={"number": number, "reported_ms": reported_ms})
        )


async def reports(session: AsyncSession, stream: str, since_ms: int) -> dict[str, int]:
    """How far each reader was that has reported since then."""
    statement = select(report.c.reader, report.c.number).where(report.c.stream == stream, report.c.reported_ms >= since_ms)
    return {row.reader: row.number for row in await session.execute(statement)}


async def unread_since(session: AsyncSession, stream: str, reader: str) -> int | None:
    """When the oldest entry was written that a reader has not reported yet (Unix milliseconds); None without such an entry, or a report."""
    known = select(report.c.number).where(report.c.stream == stream, report.c.reader == reader).scalar_subquery()
    statement = select(outbox.c.created_ms).where(outbox.c.stream == stream, outbox.c.number > known)
    return (await session.execute(statement.order_by(outbox.c.number).limit(1))).scalar()


async def prune(session: AsyncSession, stream: str, upto: int, before_ms: int) -> int:
    """Deletes entries that every reader has handled, up to the first that is not old enough (by a clock that may have gone back); answers
    how many. What is kept has no gap."""
    young = select(outbox.c.number).where(outbox.c.stream == stream, outbox.c.created_ms >= before_ms).order_by(outbox.c.number).limit(1)
    first = func.coalesce(young.scalar_subquery(), upto + 1)
    statement = delete(outbox).where(outbox.c.stream == stream, outbox.c.number <= upto, outbox.c.number < first)
    return (await session.execute(statement)).rowcount  # type: ignore[attr-defined,no-any-return]


async def bury(session: AsyncSession, stream: str, number: int, event_index: int, reason: str, payload: str, now: int) -> None:
    """Keeps what could not be handled, with the reason, for a person to look at and retry."""
    values = {"stream": stream, "number": number, "event_index": event_index, "reason": reason, "payload": payload, "created_ms": now}
    await session.execute(insert(dead_letter).values(values))


async def is_buried(session: AsyncSession, stream: str, number: int, payload: str) -> bool:
    """Whether an entry is kept as a dead letter already."""
    same = (dead_letter.c.stream == stream, dead_letter.c.number == number, dead_letter.c.payload == payload)
    return (await session.execute(select(dead_letter.c.id).where(*same).limit(1))).scalar() is not None


async def shown_letters(session: AsyncSession, limit: int) -> list[DeadLetter]:
    """Dead letters, those that wait first, each oldest first."""
    statement = select(dead_letter).order_by(dead_letter.c.retried_ms.is_not(None), dead_letter.c.id).limit(limit)
    return [DeadLetter(*row) for row in (await session.execute(statement)).all()]


async def discard(session: AsyncSession, letter: int) -> bool:
    """Throws a dead letter away, unhandled; False when there is no such letter."""
    return bool((await session.execute(delete(dead_letter).where(dead_letter.c.id == letter))).rowcount)  # type: ignore[attr-defined]


async def dead_letters(session: AsyncSession, *, retried: bool = False, limit: int = 100) -> list[dict[str, Any]]:
    """Dead letters, oldest first; those already retried only when asked for."""
    statement = select(dead_letter).order_by(dead_letter.c.id).limit(limit)
    if not retried:
        statement = statement.where(dead_letter.c.retried_ms.is_(None))
    return [dict(row._mapping) for row in (await session.execute(statement)).all()]


async def request_retry(session: AsyncSession, letter: int, now: int) -> bool:
    """Asks the service to handle a dead letter again; False when there is no such letter, or it was retried already."""
    statement = update(dead_letter).where(dead_letter.c.id == letter, dead_letter.c.retried_ms.is_(None)).values(retry_requested_ms=now)
    return bool((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]


async def requested_retries(session: AsyncSession) -> list[DeadLetter]:
    """The dead letters that somebody wants handled again, oldest first."""
    statement = select(dead_letter).where(dead_letter.c.retry_requested_ms.is_not(None), dead_letter.c.retried_ms.is_(None))
    return [DeadLetter(*row) for row in (await session.execute(statement.order_by(dead_letter.c.id))).all()]


async def refuse_retry(session: AsyncSession, letter: int, reason: str) -> None:
    """The letter stays dead, for what went wrong this time."""
    await session.execute(update(dead_letter).where(dead_letter.c.id == letter).values(retry_requested_ms=None, reason=reason))


async def mark_retried(session: AsyncSession, letter: int, now: int) -> None:
    await session.execute(update(dead_letter).where(dead_letter.c.id == letter).values(retried_ms=now))


async def created(session: AsyncSession, stream: str, number: int) -> int:
    """When an entry was written: Unix milliseconds."""
    return (await session.execute(select(outbox.c.created_ms).where(outbox.c.stream == stream, outbox.c.number == number))).scalar() or 0
