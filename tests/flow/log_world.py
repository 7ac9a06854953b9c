"""One writer and some readers of a numbered log on a real embedded server, small enough that every number can be counted."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from shared.bus.broker import Bus, RedisWire
from shared.bus.reader import Reader, Received
from shared.bus.relay import Keeping, Relay
from shared.clock import system_clock
from shared.contracts.event import Event
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store, Work
from sqlalchemy import BigInteger, Column, Integer, String, Table, func, insert, select

NOTES, REPLIES = "notes", "replies"
USUAL = Keeping()
NOTHING_KEPT = Keeping(retention_ms=-60_000, stream_entries=0)
"""Prunes and trims whatever every reader has handled, at once."""

METADATA = outbox.log_metadata()
handled_table = Table(
    "handled",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("topic", String(32)),
    Column("number", BigInteger),
    Column("value", BigInteger),
)


class Noted(Event):
    """The one thing that happens in this world."""

    type: Literal["noted"] = "noted"
    value: int


class Replied(Event):
    type: Literal["replied"] = "replied"
    value: int


AnyNote = Annotated[Noted | Replied, Field(discriminator="type")]


class Party:
    """A service: its store in a file, and its bus while it runs."""

    def __init__(self, store_url: str, name: str, url: Callable[[], str], writes: tuple[str, ...], keeping: Keeping) -> None:
        self.name = name
        self.store_url = store_url
        self.writes = writes
        self.keeping = keeping
        self.poison: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.snapshot_value = -1
        self._url = url
        self.reads: tuple[str, ...] = ()
        self.relays: list[Relay] = []

    async def open(self) -> None:
        engine = create_engine(self.store_url)
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        self.store = Store(engine, self.name, system_clock(), {topic: topic for topic in self.writes})
        await self.store.open()

    async def start(self) -> None:
        await self.open()
        self.bus = Bus(self._url(), self.name)
        await self.bus.connect()
        self.relays = [Relay(self.store, self.bus.wire, topic, self._snapshot, self.keeping) for topic in self.writes]
        for relay in self.relays:
            self.bus.relay(relay)
        for topic in self.reads:
            self.bus.read(Reader(self.store, topic, AnyNote, self._handle, reads=self.reads), max_records=50)
        await self.bus.start()

    async def stop(self) -> None:
        await self.bus.stop()
        await self.store.engine.dispose()

    async def write(self, *values: int, topic: str = NOTES) -> None:
        """One transaction, so one entry, for each value."""
        for value in values:
            async with self.store.work() as work:
                work.emit(topic, Noted(value=value))

    async def _handle(self, batch: Received[Any], work: Work) -> None:
        for event in batch.events:
            self.attempts[event.value] = self.attempts.get(event.value, 0) + 1
            if event.value in self.poison:
                raise ArithmeticError(f"value {event.value} cannot be handled")
            row = {"topic": batch.stream, "number": batch.number, "value": event.value}
            await work.session.execute(insert(handled_table), [row])
            if REPLIES in self.writes and batch.stream == NOTES:
                work.cause = event
                work.emit(REPLIES, Replied(value=event.value))

    async def _snapshot(self, work: Work) -> None:
        work.emit(self.writes[0], Noted(value=self.snapshot_value))

    @property
    def file(self) -> Path:
        return Path(self.store_url.removeprefix("sqlite:///"))

    async def values(self, topic: str = NOTES) -> list[int]:
        """What was handled, in the order in which it was."""
        async with self.store.read() as session:
            query = select(handled_table.c.value).where(handled_table.c.topic == topic).order_by(handled_table.c.id)
            return list((await session.execute(query)).scalars())

    async def order(self) -> list[tuple[str, int]]:
        """Topic and value of all that was handled, in order."""
        async with self.store.read() as session:
            query = select(handled_table.c.topic, handled_table.c.value).order_by(handled_table.c.id)
            return [(topic, value) for topic, value in (await session.execute(query)).all()]

    async def count(self) -> int:
        async with self.store.read() as session:
            return (await session.execute(select(func.count()).select_from(handled_table))).scalar_one()

    async def letters(self) -> list[dict[str, Any]]:
        async with self.store.read() as session:
            return await outbox.dead_letters(session)

    def backup(self, to: Path) -> None:
        """A copy of the store's files, as a file-system backup would take them while nothing is written."""
        for suffix in ("", "-wal", "-shm"):
            source = Path(f"{self.file}{suffix}")
            if source.exists():
                shutil.copy(source, Path(f"{to}{suffix}"))

    def restore(self, source: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            target = Path(f"{self.file}{suffix}")
            target.unlink(missing_ok=True)
            if Path(f"{source}{suffix}").exists():
                shutil.copy(Path(f"{source}{suffix}"), target)


class LogWorld:
    """Parties on one server."""

    def __init__(self, new_store_url: Callable[[str], str], url: Callable[[], str]) -> None:
        self.url = url
        self.parties: list[Party] = []
        self._new_store_url = new_store_url

    def party(self, name: str, *, writes: tuple[str, ...] = (), reads: tuple[str, ...] = (), keeping: Keeping = USUAL) -> Party:
        same = next((party.store_url for party in self.parties if party.name == name), None)  # a second instance of a service
        party = Party(same or self._new_store_url(name), name, self.url, writes, keeping)
        party.reads = reads
        self.parties.append(party)
        return party

    async def stop(self) -> None:
        for party in self.parties:
            if hasattr(party, "bus"):
                await party.stop()

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[RedisWire]:
        """A wire of the test's own, to break things with."""
        bus = Bus(self.url(), "test")
        await bus.connect()
        try:
            yield bus.wire
        finally:
            await bus.broker.stop()


async def started(*parties: Party) -> None:
    for party in parties:
        await party.start()


async def until(condition: Callable[[], Any], timeout_s: float = 15) -> None:
    """Waits until an (async) condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def handled(party: Party, expected: list[int], topic: str = NOTES, timeout_s: float = 15) -> None:
    """Waits until the party has handled exactly these values, in order; shows what it has when it does not come to that."""
    try:
        await until(lambda: _equals(party, expected, topic), timeout_s)
    except TimeoutError:
        assert await party.values(topic) == expected


async def _equals(party: Party, expected: list[int], topic: str) -> bool:
    return await party.values(topic) == expected


async def lowest_kept(party: Party, above: int) -> bool:
    """Whether a writer keeps nothing up to a number any more."""
    async with party.store.read() as session:
        low, _ = await outbox.ends(session, NOTES)
    return low == 0 or low > above
