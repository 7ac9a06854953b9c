"""A dead letter that somebody asks for again: handled by the service's own handler, or dead once more with the new reason."""

import json
from pathlib import Path

import pytest
from shared.bus.reader import Handler, Reader, Received
from shared.bus.retry import retry_requested
from shared.contracts.config import ConfigEvent, MasterSaved
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.outbox import WHOLE_BATCH
from shared.store.work import Store, Work
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tests.stores import blank_url

TOPIC = "copy.config"
MASTER = {"type": "master.saved", "id": "copy.config:7:0", "correlation_id": "w-1", "master": {"id": 1, "login": 1001, "customer_id": 5}}


async def opened(tmp_path: Path) -> Store:
    engine = create_engine(blank_url(tmp_path, "x"))
    async with engine.begin() as connection:
        await connection.run_sync(outbox.log_metadata().create_all)
    store = Store(engine, "x", lambda: 5_000)
    await store.open()
    return store


async def buried(store: Store, payload: str, index: int = WHOLE_BATCH, stream: str = TOPIC) -> None:
    async with store.work() as work:
        await outbox.bury(work.session, stream, 7, index, "ValueError: the first time", payload, 4_000)
        assert await outbox.request_retry(work.session, 1, 4_500)


async def letter(store: Store) -> outbox.DeadLetter:
    async with store.read() as session:
        return outbox.DeadLetter(*(await session.execute(select(outbox.dead_letter))).one())


def seen_by() -> tuple[list[MasterSaved], Handler]:
    seen: list[MasterSaved] = []

    async def handle(batch: Received[MasterSaved], work: Work) -> None:
        assert work.cause is batch.events[0]
        seen.extend(batch.events)

    return seen, handle


@pytest.mark.anyio
@pytest.mark.parametrize(("payload", "index"), [(json.dumps({"events": [MASTER]}), WHOLE_BATCH), (json.dumps(MASTER), 0)])
async def test_a_letter_is_handled_once(tmp_path: Path, payload: str, index: int) -> None:
    store = await opened(tmp_path)
    await buried(store, payload, index)
    seen, handle = seen_by()
    reader = Reader(store, TOPIC, ConfigEvent, handle)
    assert await retry_requested(store, [reader]) == 1
    assert await retry_requested(store, [reader]) == 0
    assert [event.master.login for event in seen] == [1001]
    assert seen[0].correlation_id == "w-1"
    assert (await letter(store)).retried_ms == 5_000
    async with store.work() as work:
        assert not await outbox.request_retry(work.session, 1, 6_000), "what was retried cannot be asked for again"
        assert await outbox.dead_letters(work.session) == []
    await store.engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("payload", "stream", "reason"),
    [
        ("no json", TOPIC, "malformed: Invalid JSON"),
        ('{"events": []}', TOPIC, "ValueError: no events in it"),
        ('{"events": [{"type": "master.saved"}]}', TOPIC, "malformed: master.saved.master: Field required"),
        (json.dumps({"events": [MASTER]}), "gone.topic", "LookupError: x does not read gone.topic"),
    ],
)
async def test_a_letter_that_is_still_bad_stays_dead(tmp_path: Path, payload: str, stream: str, reason: str) -> None:
    store = await opened(tmp_path)
    await buried(store, payload, stream=stream)
    seen, handle = seen_by()
    assert await retry_requested(store, [Reader(store, TOPIC, ConfigEvent, handle)]) == 0
    after = await letter(store)
    assert after.reason.startswith(reason)
    assert (after.retried_ms, after.retry_requested_ms, seen) == (None, None, [])
    await store.engine.dispose()


@pytest.mark.anyio
async def test_what_the_handler_wrote_before_it_failed_is_undone(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await buried(store, json.dumps({"events": [MASTER]}))

    async def fails(batch: Received[MasterSaved], work: Work) -> None:
        await outbox.raise_counter(work.session, "written", 9)
        raise RuntimeError("again")

    assert await retry_requested(store, [Reader(store, TOPIC, ConfigEvent, fails)]) == 0
    assert (await letter(store)).reason == "RuntimeError: again"
    async with store.read() as session:
        assert await outbox.ends(session, "written") == (0, 0)
    await store.engine.dispose()


@pytest.mark.anyio
async def test_when_the_surroundings_are_away_it_stays_requested(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await buried(store, json.dumps({"events": [MASTER]}))

    async def away(batch: Received[MasterSaved], work: Work) -> None:
        raise OperationalError("select", {}, Exception("the database is away"))

    with pytest.raises(OperationalError):
        await retry_requested(store, [Reader(store, TOPIC, ConfigEvent, away)])
    assert (await letter(store)).retry_requested_ms == 4_500
    await store.engine.dispose()
