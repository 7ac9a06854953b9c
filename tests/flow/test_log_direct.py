"""Statements below SQLAlchemy, and entries that go from a commit to the stream without being read again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared.bus.relay import Relay
from shared.store import direct, outbox, work
from shared.store.engine import create_engine
from shared.store.outbox import Entry
from shared.store.work import Store
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tests.flow.log_world import NOTES, Noted
from tests.stores import blank_url, quick

pytestmark = pytest.mark.anyio

KEEP = "INSERT INTO log_counter (stream, last) VALUES (?, ?)"


async def opened(url: str) -> Store:
    engine = quick(create_engine(url))
    async with engine.begin() as connection:
        await connection.run_sync(outbox.LOG.create_all)
    store = Store(engine, "writer", lambda: 1000, {NOTES: NOTES})
    await store.open()
    return store


async def test_rows_go_in_and_come_out(new_store_url: Callable[[str], str]) -> None:
    store = await opened(new_store_url("direct"))
    async with store.work() as unit:
        await direct.many(unit.session, KEEP, [("a", 1), ("b", 2**62), ("c?", 3)])
        assert await direct.fetch(unit.session, "SELECT last FROM log_counter WHERE stream = ?", ("b",)) == [(2**62,)]
    async with store.read() as session:
        assert await direct.fetch(session, "SELECT stream FROM log_counter ORDER BY last LIMIT ?", (2,)) == [("a",), ("c?",)]
    await store.engine.dispose()


async def test_a_fault_of_the_driver_is_the_session_s(new_store_url: Callable[[str], str]) -> None:
    """Whoever waits for its surroundings, or gives up what is wrong by itself, tells them apart by SQLAlchemy's classes."""
    store = await opened(new_store_url("faults"))
    with pytest.raises(IntegrityError):
        async with store.work() as unit:
            await direct.many(unit.session, KEEP, [("a", 1), ("a", 2)])
    with pytest.raises((OperationalError, ProgrammingError)):
        async with store.work() as unit:
            await direct.fetch(unit.session, "SELECT nothing FROM nowhere")
    async with store.read() as session:
        assert await direct.fetch(session, "SELECT stream FROM log_counter") == [], "what failed is given up whole"
    await store.engine.dispose()


class Wire:
    """A stream in memory that counts from 1."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def last(self, _: str) -> int:
        return self.numbers[-1] if self.numbers else 0

    async def append(self, _: str, expected: int, entries: list[Entry]) -> int:
        if await self.last("") == expected:
            self.numbers += [entry.number for entry in entries]
        return await self.last("")


async def nothing(_: Any) -> None:
    """Nobody asks for a snapshot here."""


async def test_what_was_just_committed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commits at once, one by one, and more of them than memory keeps; the stream has each number once, in order."""
    store = await opened(blank_url(tmp_path, "writer"))
    wire, reads, real_kept = Wire(), [], outbox.kept
    relay = Relay(store, wire, NOTES, nothing)  # type: ignore[arg-type]

    async def kept(*arguments: Any) -> list[Entry]:
        reads.append(arguments)
        return await real_kept(*arguments)

    monkeypatch.setattr(outbox, "kept", kept)
    for commits in (1, 2, 1):
        for _ in range(commits):
            async with store.work() as unit:
                unit.emit(NOTES, Noted(value=1))
        await relay.append()
    assert (wire.numbers, reads) == ([1, 2, 3, 4], [])
    monkeypatch.setattr(work, "FRESH_LIMIT", 2)
    for _ in range(5):
        async with store.work() as unit:
            unit.emit(NOTES, Noted(value=1))
    await relay.append()
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert reads
    wire.numbers = wire.numbers[:6]  # the server has lost its tail
    async with store.work() as unit:
        unit.emit(NOTES, Noted(value=1))
    await relay.append()
    await relay.append()
    assert wire.numbers == list(range(1, 11))
    await store.engine.dispose()


async def test_what_is_kept_has_no_gap_although_the_clock_went_back(tmp_path: Path) -> None:
    """Of four entries that all have read the third was written by a clock that had gone back: only what comes before the second goes."""
    store = await opened(blank_url(tmp_path, "pruned"))
    async with store.work() as work:
        for number, created_ms in enumerate((1, 100, 1, 100), 1):
            await outbox.keep(work.session, NOTES, [outbox.Entry(number, "{}")], created_ms, None)
        assert await outbox.prune(work.session, NOTES, 4, 50) == 1
        assert [entry.number for entry in await outbox.kept(work.session, NOTES, 1, 10)] == [2, 3, 4]
        assert await outbox.prune(work.session, NOTES, 3, 500) == 2
    await store.engine.dispose()
