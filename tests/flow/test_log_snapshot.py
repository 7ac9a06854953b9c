"""A snapshot stands for the numbers that are lost, and for nothing else."""

import asyncio
import json
from pathlib import Path

import pytest
from shared.bus.reader import Reader, Received, Verdict
from shared.bus.relay import Keeping
from shared.clock import system_clock
from shared.contracts.event import Lost
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store, Work, encode
from sqlalchemy import update

from tests.flow.log_world import METADATA, NOTES, NOTHING_KEPT, AnyNote, LogWorld, Noted, handled, lowest_kept, started, until
from tests.stores import ON_POSTGRES, blank_url

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("place", "verdict", "values"), [(0, Verdict.HANDLED, [10]), (3, Verdict.HANDLED, [10]), (4, Verdict.GAP, [])])
async def test_who_has_read_all_that_is_lost_gets_the_rest_before_the_snapshot(
    tmp_path: Path, place: int, verdict: Verdict, values: list[int]
) -> None:
    """Of entries 1 to 9 the first four are not kept any more, as entry 10 says, which a newcomer asked for. Whoever needs one of these
    goes on from there; whoever has read 4 needs 5, which is kept: what happened then is in no snapshot."""
    engine = create_engine(blank_url(tmp_path, "a"))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    store = Store(engine, "b", system_clock())
    await store.open()
    async with store.work() as work:
        work.move(NOTES, 0, place)
    seen: list[int] = []

    async def note(batch: Received[Noted], _work: Work) -> None:
        seen.append(batch.number)

    reader = Reader(store, NOTES, AnyNote, note)
    snapshot = encode({"source": "a", "sent": 1, "after": {}, "lost": Lost(1, 4)}, NOTES, 10, [Noted(value=10)])
    assert await reader.take([outbox.Entry(10, snapshot)]) is verdict
    assert (seen, reader.place) == (values, 10 if values else place)
    await engine.dispose()


async def test_a_reader_that_needs_what_is_no_longer_kept_gets_a_snapshot(log_world: LogWorld) -> None:
    writer = log_world.party("writer", writes=(NOTES,), keeping=NOTHING_KEPT)
    old, new = log_world.party("old", reads=(NOTES,)), log_world.party("new", reads=(NOTES,))
    writer.snapshot_value = 999
    await started(writer, old)
    await writer.write(*range(1, 6))
    await until(lambda: lowest_kept(writer, above=5))
    await started(new)
    await handled(new, [999])
    assert new.store.places[NOTES] == 6
    await writer.write(7)
    await handled(new, [999, 7])
    await handled(old, [1, 2, 3, 4, 5, 999, 7])


@pytest.mark.skipif(ON_POSTGRES, reason="copies the files of a store")
@pytest.mark.parametrize("flushed", [False, True], ids=["redis kept", "redis flushed"])
async def test_a_writer_restored_from_a_backup_goes_on_above_with_a_snapshot(log_world: LogWorld, tmp_path: Path, flushed: bool) -> None:
    writer, reader, behind = (
        log_world.party("writer", writes=(NOTES,)),
        log_world.party("reader", reads=(NOTES,)),
        log_world.party("behind", reads=(NOTES,)),
    )
    await started(writer, reader, behind)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    await handled(behind, [1, 2, 3])
    await behind.stop()
    await writer.stop()
    writer.backup(tmp_path / "backup.db")
    await writer.start()
    await writer.write(4, 5, 6)
    await handled(reader, [1, 2, 3, 4, 5, 6])
    await writer.stop()

    writer.restore(tmp_path / "backup.db")  # knows of 1 to 3 alone
    if flushed:
        async with log_world.wire() as wire:
            await wire._client.flushall()
        await asyncio.sleep(1.5)  # the reader reports its place again
    writer.snapshot_value = 999
    await writer.start()
    await handled(reader, [1, 2, 3, 4, 5, 6, 999])
    await writer.write(8)
    await handled(reader, [1, 2, 3, 4, 5, 6, 999, 8])
    async with writer.store.read() as session:
        assert await outbox.stands_for(session, NOTES, 5) == 7
    if flushed:
        await behind.start()  # 4 to 6 are gone for ever: the snapshot stands for them
        await handled(behind, [1, 2, 3, 999, 8])


async def test_a_snapshot_names_what_it_stands_for(either_log_world: LogWorld) -> None:
    writer = either_log_world.party("writer", writes=(NOTES,))
    await writer.open()
    async with writer.store.work(lost=(NOTES, Lost(1, 9))) as work:
        await outbox.raise_counter(work.session, NOTES, 9)
        work.emit(NOTES, Noted(value=5))
    async with writer.store.read() as session:
        (entry,) = await outbox.kept(session, NOTES, 1, 10)
        assert entry.number == 10
        assert json.loads(entry.payload)["lost"] == [1, 9]
        assert await outbox.stands_for(session, NOTES, 9) == 10
        assert await outbox.stands_for(session, NOTES, 10) == 0
    await writer.store.engine.dispose()


async def test_a_newcomer_goes_on_from_the_snapshot_although_entries_before_it_are_kept(log_world: LogWorld) -> None:
    """1 to 4 are older than the retention; who needs them meets 5 first, and a reader that is far behind needs that at the same time."""
    writer = log_world.party("writer", writes=(NOTES,), keeping=Keeping(retention_ms=3_600_000))
    old, slow, new = (log_world.party(name, reads=(NOTES,)) for name in ("old", "slow", "new"))
    writer.snapshot_value = 999
    await started(writer, old, slow)
    await writer.write(*range(1, 7))
    for reader in (old, slow):
        await handled(reader, list(range(1, 7)))
    await asyncio.sleep(1.2)  # both have said so
    await slow.stop()
    await writer.write(*range(7, 200))
    await handled(old, list(range(1, 200)))
    async with writer.store.work() as work:
        await work.session.execute(update(outbox.outbox).where(outbox.outbox.c.number <= 4).values(created_ms=1))
    await until(lambda: lowest_kept(writer, above=4))
    async with log_world.wire() as wire:
        await wire._client.xtrim(NOTES, minid="5-0", approximate=False)
    await asyncio.gather(new.start(), slow.start())
    await handled(slow, [*range(1, 200), 999], timeout_s=20)
    await handled(new, [999], timeout_s=20)
    await writer.write(201)
    await handled(old, [*range(1, 200), 999, 201])
    await handled(new, [999, 201])
