"""What the numbered log stands on misbehaves: a full Redis, a wrong key, another clock, a database that takes no writes."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shared.bus.reader import Reader, Received
from shared.bus.relay import Keeping
from shared.clock import system_clock
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store, Work, encode
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from tests.flow.log_world import METADATA, NOTES, AnyNote, LogWorld, Noted, Party, handled, handled_table, started, until
from tests.ports import started_valkey
from tests.stores import blank_url

pytestmark = pytest.mark.anyio


async def test_a_redis_that_a_slow_reader_filled_comes_right_when_it_has_read(tmp_path: Path) -> None:
    """It refuses entries, and yet hears how far the reader is, so that its writer trims it."""
    server = started_valkey()
    world = LogWorld(lambda name: blank_url(tmp_path, name), lambda: f"redis://127.0.0.1:{server.port}")
    writer = world.party("writer", writes=(NOTES,), keeping=Keeping(stream_entries=0))
    reader = world.party("reader", reads=(NOTES,))
    try:
        await started(writer, reader)
        await writer.write(1)
        await handled(reader, [1])
        await until(lambda: reported(writer, 1))
        await reader.stop()
        async with world.wire() as wire:
            used = (await wire._client.info("memory"))["used_memory"]
            await wire._client.config_set("maxmemory-policy", "noeviction")
            await wire._client.config_set("maxmemory", used + 6_000_000)
            for value in range(2, 300):
                async with writer.store.work(correlation_id="x" * 30_000) as work:
                    work.emit(NOTES, Noted(value=value))
            await asyncio.sleep(1)
            assert await wire.last(NOTES) < 299, "it is full"
        await reader.start()
        await handled(reader, list(range(1, 300)), timeout_s=40)
    finally:
        await world.stop()
        server.stop()


async def reported(writer: Party, number: int) -> bool:
    async with writer.store.read() as session:
        return {number} == set((await outbox.reports(session, NOTES, 0)).values())


async def test_a_key_that_is_no_stream_is_waited_out(log_world: LogWorld) -> None:
    """Without a new task for each refused read; when somebody has removed the key, all goes on."""
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with log_world.wire() as wire:
        pipe = wire._client.pipeline(transaction=True)
        pipe.delete(NOTES)
        pipe.set(NOTES, "no stream")
        await pipe.execute()
        await asyncio.sleep(1)
        assert len(reader.bus._feeds[0]._subscriber.tasks) == 1
        await wire._client.delete(NOTES)
    await writer.write(4)
    await handled(reader, [1, 2, 3, 4], timeout_s=30)


async def test_a_writer_hears_requests_on_a_redis_whose_clock_is_behind_the_last_one_s(log_world: LogWorld) -> None:
    """A request was read whose number is an hour ahead; then an empty Redis with the right clock is in its place."""
    writer, first = log_world.party("writer", writes=(NOTES,)), log_world.party("first", reads=(NOTES,))
    new = log_world.party("new", reads=(NOTES,))
    await started(writer, first)
    await writer.write(1, 2, 3)
    await handled(first, [1, 2, 3])
    async with log_world.wire() as wire:
        ahead = int(time.time() * 1000) + 3_600_000
        await wire._client.xadd("control", {"stream": NOTES, "number": 3, "reader": "first"}, id=f"{ahead}-0")
        await until(lambda: heard(writer, ahead))
        await wire._client.flushall()
    await writer.write(4)
    await handled(first, [1, 2, 3, 4])
    await started(new)
    await handled(new, [1, 2, 3, 4])


async def heard(writer: Party, number: int) -> bool:
    return str(number) in str(writer.bus._requests.last_id)


@pytest.mark.postgres
async def test_a_postgres_that_takes_no_writes_for_a_while_is_waited_out(postgres: Callable[[str], str]) -> None:
    """As after a demotion, or at a provider whose disk is full. It ends at the third try: there must be no letter after it."""
    url = postgres("reader")
    engine, admin = create_engine(url), create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    store = Store(engine, "reader", system_clock())
    await store.open()

    async def read_only(word: str) -> None:
        async with admin.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("SET transaction_read_only = off"))
            await connection.execute(text(f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = {word}"))
        await engine.dispose()  # new sessions have it

    tries = 0

    async def note(batch: Received[Noted], work: Work) -> None:
        nonlocal tries
        tries += 1
        try:
            await work.session.execute(insert(handled_table), [{"topic": NOTES, "number": batch.number, "value": 1}])
        except DBAPIError:
            if tries == 3:
                await read_only("off")
            raise

    await read_only("on")
    reader = Reader(store, NOTES, AnyNote, note)
    await reader.take([outbox.Entry(1, encode({"source": "a", "sent": 1, "after": {}}, NOTES, 1, [Noted(value=1)]))])
    async with store.read() as session:
        letters = await outbox.dead_letters(session)
    await engine.dispose()
    await admin.dispose()
    assert (reader.place, letters) == (1, [])
    assert tries > 3
