"""Dead letters that somebody asked for again: handled by the service itself, in one transaction with the mark that they were."""

import asyncio
from collections.abc import Awaitable, Sequence

import structlog
from pydantic import ValidationError

from shared.bus.letters import TOLD_MAX, Board
from shared.bus.reader import Reader, is_surroundings, reason_of
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
                await outbox.refuse_retry(work.session, letter.id, _words(fault))
        else:
            done += 1
            log.info("dead letter retried", letter=letter.id, stream=letter.stream, number=letter.number)
    return done


async def take_asked(store: Store, board: Board) -> None:
    """Takes over what managers ask of this service's letters: into its own store first, off the board then."""
    for letter, action in (await board.asked(store.source)).items():
        async with store.work() as work:
            if action == "discard":
                await outbox.discard(work.session, letter)
            else:
                await outbox.request_retry(work.session, letter, work.now)
        log.info("dead letter asked for", letter=letter, action=action)
        await board.done(store.source, letter)


async def tell_letters(store: Store, board: Board) -> None:
    """Puts this service's letters on the board."""
    async with store.read() as session:
        letters = await outbox.shown_letters(session, TOLD_MAX)
    await board.tell(store.source, letters)


async def retry_forever(store: Store, readers: Sequence[Reader], board: Board | None = None) -> None:
    """Looks each second whether somebody asked for a dead letter again, and tells which there are."""
    while True:
        if board is not None:
            await _unless_away(take_asked(store, board))
        await _unless_away(retry_requested(store, readers))
        if board is not None:
            await _unless_away(tell_letters(store, board))
        await asyncio.sleep(LOOK_EVERY_S)


async def _unless_away(step: Awaitable[object]) -> None:
    try:
        await step
    except Exception as fault:
        if not is_surroundings(fault):
            raise
        log.warning("retry waits for its surroundings", fault=repr(fault))


def _words(fault: Exception) -> str:
    """Why it failed, in words: of what is malformed the first thing, without the input, which stands beside it."""
    return reason_of(fault) if isinstance(fault, ValidationError) else f"{type(fault).__name__}: {fault}"
