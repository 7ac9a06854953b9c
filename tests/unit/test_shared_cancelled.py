"""Whoever is told to stop, stops: also when what it waits for comes at the same moment."""

import asyncio

import pytest
from shared.ending import end
from shared.store.work import Places

from shared import service

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


@pytest.mark.parametrize("losses", [0, 1, 2])
async def test_a_task_that_loses_its_cancellation_is_ended(monkeypatch: pytest.MonkeyPatch, losses: int) -> None:
    """As `asyncio.wait_for` of Python 3.11 does, now and then, in whatever library calls it."""
    monkeypatch.setattr("shared.ending.AGAIN_S", 0.01)
    lost = 0

    async def loop() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost == losses:
                    raise
                lost += 1

    tasks = [asyncio.create_task(loop()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(tasks)
    assert lost == losses
    assert tasks[0].cancelled()


async def test_a_service_lives_until_the_first_fault() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def ends() -> None:
        return

    stop, long = asyncio.Event(), asyncio.create_task(asyncio.sleep(60))
    with pytest.raises(ZeroDivisionError):
        await service._first_fault([asyncio.create_task(ends()), long, asyncio.create_task(fails())], stop)
    stop.set()
    await service._first_fault([asyncio.create_task(ends()), long], stop)
    assert not long.done()
    long.cancel()
