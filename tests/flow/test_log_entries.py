"""Entries of the numbered log that cannot be handled: each is put aside, with its reason, and the others go on."""

import json

import pytest
from shared.bus.reader import Reader, Verdict
from shared.contracts.trades import TradeEvent
from shared.store import outbox

from tests.flow.log_world import NOTES, AnyNote, LogWorld, handled, started, until

pytestmark = pytest.mark.anyio


async def test_a_poison_batch_is_tried_three_times_and_kept_while_the_others_go_on(either_log_world: LogWorld) -> None:
    writer, reader = either_log_world.party("writer", writes=(NOTES,)), either_log_world.party("reader", reads=(NOTES,))
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


async def test_a_malformed_event_is_put_aside_and_the_rest_of_its_entry_is_handled(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
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


async def test_a_writers_own_malformed_entry_is_kept_and_passed(log_world: LogWorld) -> None:
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
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


@pytest.mark.parametrize("entry_id", ["4-0", "9-0"])
async def test_an_entry_that_no_database_can_keep_as_it_is_holds_nothing_up(either_log_world: LogWorld, entry_id: str) -> None:
    """Postgres takes no NUL in a text."""
    writer, reader = either_log_world.party("writer", writes=(NOTES,)), either_log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    async with either_log_world.wire() as wire:
        await wire._client.xadd(NOTES, {"batch": b"gar\x00bage\xff"}, id=entry_id)
        await until(reader.letters)
        await writer.write(4, 5)
        await handled(reader, [1, 2, 3, 4, 5])
    assert [letter["payload"] for party in (reader, writer) for letter in await party.letters()] == ["gar\\u0000bage\ufffd"] * 2


@pytest.mark.parametrize("entry_id", ["*", "4-0"])
async def test_an_entry_that_the_writer_did_not_write_is_put_aside_and_removed(log_world: LogWorld, entry_id: str) -> None:
    """Each who met it has a letter: every reader, and the writer, who takes it away."""
    writer = log_world.party("writer", writes=(NOTES,))
    readers = [log_world.party(name, reads=(NOTES,)) for name in ("reader", "other")]
    await started(writer, *readers)
    await writer.write(1, 2, 3)
    for reader in readers:
        await handled(reader, [1, 2, 3])
    async with log_world.wire() as wire:
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


async def test_a_foreign_entry_under_the_writers_own_number_is_put_aside_and_replaced(log_world: LogWorld) -> None:
    """The writer was not there when it came, and has committed more meanwhile: it finds it when a reader asks for that number."""
    writer, reader = log_world.party("writer", writes=(NOTES,)), log_world.party("reader", reads=(NOTES,))
    await started(writer, reader)
    await writer.write(1, 2, 3)
    await handled(reader, [1, 2, 3])
    await writer.stop()
    async with log_world.wire() as wire:
        await wire._client.xadd(NOTES, {"batch": "garbage"}, id="4-0")
        await until(reader.letters)
        await writer.open()
        await writer.write(4, 5)
        await writer.store.engine.dispose()
        await writer.start()
        await handled(reader, [1, 2, 3, 4, 5])
        assert [entry_id for entry_id, _ in await wire.beyond(NOTES, 3, 10)] == ["4-0", "5-0"]
    (letter,) = await writer.letters()
    assert (letter["number"], letter["payload"], letter["reason"]) == (4, "garbage", "not written by the topic's writer")


async def test_two_instances_of_a_service_pass_a_batch_that_one_of_them_gave_up(either_log_world: LogWorld) -> None:
    writer = either_log_world.party("writer", writes=(NOTES,))
    one, two = either_log_world.party("reader", reads=(NOTES,)), either_log_world.party("reader", reads=(NOTES,))
    one.poison = two.poison = {2}
    await started(writer, one, two)
    await writer.write(1, 2, 3, 4)
    await handled(one, [1, 3, 4])

    async def both() -> bool:
        return one.store.places.all() == two.store.places.all() == {NOTES: 4}

    await until(both)
    assert len(await one.letters()) == 1


async def test_a_malformed_event_is_kept_although_the_rest_of_its_entry_fails(log_world: LogWorld) -> None:
    reader = log_world.party("reader")
    reader.poison = {1}
    await reader.open()
    events = [{"type": "noted", "value": 1}, {"type": "noted", "value": "many"}]
    payload = json.dumps({"source": "a", "sent": 1, "after": {}, "events": events})
    taken = await Reader(reader.store, NOTES, AnyNote, reader._handle).take([outbox.Entry(1, payload)])
    letters = await reader.letters()
    await reader.store.engine.dispose()
    assert taken is Verdict.HANDLED
    assert [(letter["event_index"], '"many"' in letter["payload"]) for letter in letters] == [(1, True), (outbox.WHOLE_BATCH, False)]


@pytest.mark.parametrize("structure", ['[["login"]]', "[{}]", "[7]"])
async def test_a_table_whose_columns_have_no_names_is_put_aside(log_world: LogWorld, structure: str) -> None:
    reader = log_world.party("reader")
    await reader.open()
    event = f'{{"type":"account.changed","structure":{structure},"rows":[]}}'
    entry = outbox.Entry(1, f'{{"source":"gateway","sent":1,"after":{{}},"events":[{event}]}}')
    taken = await Reader(reader.store, "trade.push", TradeEvent, reader._handle).take([entry])
    letters = await reader.letters()
    await reader.store.engine.dispose()
    assert (taken, [letter["event_index"] for letter in letters]) == (Verdict.HANDLED, [0])
