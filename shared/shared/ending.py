"""The end of tasks, whatever they do about being cancelled."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 1.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until all have ended; who goes on is cancelled again each second. What they ended with is theirs to say.

    Before Python 3.12 `asyncio.wait_for` answers as if nothing had happened when it is cancelled in the moment in which what it waits for
    is done (gh-86296), and libraries call it, redis-py for each command: once in some hundred stops a loop went on for ever.
    """
    going = {task for task in tasks if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=AGAIN_S)
