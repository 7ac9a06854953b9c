"""A snapshot stands for the numbers that are lost, and for nothing else."""

from pathlib import Path

import pytest
from shared.bus.reader import Reader, Received, Verdict
from shared.clock import system_clock
from shared.contracts.event import Lost
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.work import Store, Work, encode

from tests.flow.log_world import METADATA, NOTES, AnyNote, Noted
from tests.stores import blank_url

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("place", "verdict", "handled"), [(0, Verdict.HANDLED, [10]), (3, Verdict.HANDLED, [10]), (4, Verdict.GAP, [])])
async def test_who_has_read_all_that_is_lost_gets_the_rest_before_the_snapshot(
    tmp_path: Path, place: int, verdict: Verdict, handled: list[int]
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
    assert (seen, reader.place) == (handled, 10 if handled else place)
    await engine.dispose()
