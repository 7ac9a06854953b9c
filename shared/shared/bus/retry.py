"""Dead letters that somebody asked for again: handled by the service itself, in one transaction with the mark that they were."""

import asyncio
from collections.abc import Sequence

import structlog

from shared.bus.reader import Reader, is_surroundings
from shared.store import outbox
from shared.store.work import Store

log = structlog.get_logger()

LOOK_EVERY_S = 1.0


async def retry_requested(store: Store, readers: Sequence[Reader]) -> int:
    """Handles the requested dead letters once, oldest first; answers how many went through.

    One that fails again stays dead, with the new reason; one whose surroundings are away stays requested.
    """
    by_stream = {reader.stream: reader for reader in readers}
    async with store.read() as session:
        letters = await outbox.requested_retries(session)
    done = 0
    for letter in letters:
        try:
            if letter.stream not in by_stream:
                raise LookupError(f"{store.source} does not read {letter.stream}")
            await by_stream[letter.stream].again(letter)
        except Exception as fault:
            if is_surroundings(fault):
                raise
            log.error("dead letter failed again", letter=letter.id, stream=letter.stream, number=letter.number, exc_info=fault)
            async with store.work() as work:
                await outbox.refuse_retry(work.session, letter.id, f"{type(fault).__name__}: {fault}")
        else:
            done += 1
            log.info("dead letter retried", letter=letter.id, stream=letter.stream, number=letter.number)
    return done


async def retry_forever(store: Store, readers: Sequence[Reader]) -> None:
    """Looks each second whether somebody asked for a dead letter again."""
    while True:
        try:
            await retry_requested(store, readers)
        except Exception as fault:
            if not is_surroundings(fault):
                raise
            log.warning("retry waits for its surroundings", fault=repr(fault))
        await asyncio.sleep(LOOK_EVERY_S)
