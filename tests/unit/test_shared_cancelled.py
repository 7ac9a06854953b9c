"""Whoever is told to stop, stops: also when what it waits for comes at the same moment."""

import asyncio

import pytest
from shared.store.work import Places

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("turns", range(6))
async def test_a_wait_for_progress_that_is_cancelled_ends(turns: int) -> None:
    """The loop turns so often between the progress and the cancellation: in none of these moments is the cancellation lost."""
    places = Places()
    returned = False

    async def loop() -> None:
        nonlocal returned
        await places.wait(10)
        returned = True
        await places.wait(10)

    waiting = asyncio.create_task(loop())
    for _ in range(10):
        await asyncio.sleep(0)
    await places.moved({"trade.push": 1})
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=1)
    assert done, f"still waiting; the first wait returned: {returned}"
    assert waiting.cancelled()
