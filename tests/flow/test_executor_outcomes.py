"""Answers that stay out, refusals, and what a reconcile finds; nothing is sent under another id than its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from executor import store
from executor.replay import again, run
from shared.contracts import orders, trades
from shared.contracts.links import LinkState
from shared.contracts.orders import CloseCopies, OpenCopies, ProtectCopies
from shared.store import outbox

from tests.flow.executor_world import ANNA, BEN, CARL, D, account, reconciled, subscription, world
from tests.stores import store_url

pytestmark = pytest.mark.anyio


async def test_an_opening_without_an_answer_is_asked_for_under_its_own_id(tmp_path: Path) -> None:
    async with world(tmp_path, unknown_after_ms=3000) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        await w.tick(2999)
        assert len(await w.orders(OpenCopies)) == 1
        await w.tick(1)
        first, second = await w.orders(OpenCopies)
        assert first.rows == second.rows
        assert ((await w.links())[1].state, (await w.links())[1].reason) == (LinkState.ACTIVE, "UNKNOWN")
        w.venue.deaf = False
        await w.tick(3000)
        assert ((await w.links())[1].phase, (await w.links())[1].reason, w.open_volume(ANNA)) == ("open", "", 100)
        sent = len(await w.orders(OpenCopies))
        await w.tick(60_000)
        assert len(await w.orders(OpenCopies)) == sent


async def test_a_lost_answer_is_told_again_and_changes_nothing_twice(tmp_path: Path) -> None:
    """The venue opened, but its answer was lost; asked again it tells the same, and once more."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[0], work)
            work.emitted.clear()
        await w.tick(5000)
        await w.told(w.venue.done["c-1-11-open-0"][1])
        assert ((await w.links())[1].volume_now, w.open_volume(ANNA)) == (100, 100)


async def test_a_gateway_that_is_behind_is_not_asked_again_and_again(tmp_path: Path) -> None:
    """What it has not read it will answer when it has: only of what it has read an answer can be lost."""
    async with world(tmp_path, unknown_after_ms=3000) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)

        async def has_read(number: int, ahead_ms: int = 0) -> None:
            async with w.executor.work() as work:
                await outbox.save_reports(work.session, orders.TOPIC, {"gateway": outbox.Report(number, w.now + ahead_ms)})

        await has_read(0, ahead_ms=7_200_000)  # by a clock that was put right since
        await w.tick(3_600_000)
        assert len(await w.orders(OpenCopies)) == 1
        await has_read(1)
        await w.tick(0)
        assert len(await w.orders(OpenCopies)) == 2


@pytest.mark.parametrize("left", [100, 40, 0])
@pytest.mark.parametrize("found", ["told", "held", "closed"])
async def test_a_copy_that_a_restored_store_skipped_is_taken_up(tmp_path: Path, found: str, left: int) -> None:
    """It was opened, 200 for the master's 100, before the store was lost; decided on again the trade was too old. The venue tells of the
    copy's opening, or holds it, or a quarter of it was closed by its owner. Of the master's 100 so much is left by then."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_signal_age_ms=500, risk_multiplier=D(2)), subscription(2, BEN))
        await w.open(11, opened_ms=w.now - 501)
        assert ((await w.links())[1].phase, (await w.links())[1].reason) == ("skipped", "TOO_OLD")
        if left < 100:
            await w.reduce(11, 100 - left, left)
        own = {"login": ANNA, "symbol": "EURUSD", "side": "buy", "initial": 200, "volume": 200, "price": D("1.1"), "sl": D(0), "tp": D(0)}
        w.venue.positions[900] = own | {"client_id": "c-1-11-open-0", "version": 1}
        match found:
            case "told":
                await w.told(trades.PositionsOpened.of([w.venue.opened_row(900)]))
            case "held":
                await reconciled(w)
            case _:
                await w.told(w.venue.closing(900, 50, trades.REASON_CLIENT))
        link = (await w.links(11))[1]
        wanted = {"closed": min(150, 2 * left)}.get(found, 2 * left)
        assert (w.open_volume(ANNA), link.volume_now, link.phase) == (wanted, wanted, "open" if left else "closed")
        if left:
            await w.reduce(11, left, 0)
        assert (w.open_volume(ANNA), (await w.links(11))[1].phase) == (0, "closed")


async def test_a_close_without_an_answer_is_asked_for_under_its_own_id(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.deaf = True
        await w.reduce(11, 40, 60)
        await w.tick(5000)
        first, second = await w.orders(CloseCopies)
        assert first.rows == second.rows
        w.venue.deaf = False
        async with w.gateway.work() as work:
            w.venue.carry_out(first, work)
            w.venue.carry_out(second, work)
        await w.loop.settle()
        assert (w.open_volume(ANNA), (await w.links())[1].volume_now) == (60, 60)


async def test_a_part_s_close_that_is_answered_late_is_unknown_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.deaf = True
        await w.reduce(11, 40, 60)
        await w.tick(5000)
        assert (await w.links())[1].reason == "UNKNOWN"
        w.venue.deaf = False
        await w.tick(5000)
        assert ((await w.links())[1].phase, (await w.links())[1].reason, w.open_volume(ANNA)) == ("open", "", 60)


async def test_a_part_s_close_leaves_the_drift_of_the_stops(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.refuse["protect"] = "INVALID_STOPS"
        await w.move_stops(11, "1.095", "0", 2)
        await w.reduce(11, 40, 60)
        assert ((await w.links())[1].reason, w.open_volume(ANNA)) == ("SLTP_DRIFT", 60)


@pytest.mark.parametrize(("left", "end"), [(100, ("open", 100)), (40, ("open", 40)), (0, ("closed", 0))])
@pytest.mark.parametrize("found", ["told", "held", "closed"])
async def test_a_copy_that_was_refused_is_taken_up_as_its_master_stands(
    tmp_path: Path, found: str, left: int, end: tuple[str, int]
) -> None:
    """Refused because nobody knew the outcome. Of the master's 100 so much is left when the venue tells of it, or holds it, or 10 of it are
    closed by its owner; his stop was moved.
    """
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.refuse["open"] = "UNKNOWN_OUTCOME"
        await w.open(11, sl=D("1.09"))
        w.venue.refuse.clear()
        assert (await w.links())[1].phase == "rejected"
        await w.move_stops(11, "1.08", "0", 1)
        if left < 100:
            await w.reduce(11, 100 - left, left)
        own = {"login": ANNA, "symbol": "EURUSD", "side": "buy", "initial": 100, "volume": 100, "price": D("1.1"), "tp": D(0)}
        w.venue.positions[900] = own | {"sl": D("1.09"), "client_id": "c-1-11-open-0", "version": 1}
        match found:
            case "told":
                await w.told(trades.PositionsOpened.of([w.venue.opened_row(900)]))
            case "held":
                await reconciled(w)
            case _:
                await w.told(w.venue.closing(900, 10, trades.REASON_CLIENT))
                await reconciled(w)
        phase, volume = end
        volume = min(volume, 90) if found == "closed" else volume
        assert ((await w.links())[1].phase, w.open_volume(ANNA)) == (phase, volume)
        if left:
            assert w.venue.positions[900]["sl"] == D("1.08")
        else:
            assert (await w.links())[1].reason == "MASTER_CLOSED"


async def test_a_refused_close_is_tried_again_under_the_next_id(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.refuse["close"] = "MARKET_CLOSED"
        await w.reduce(11, 100, 0)
        assert ((await w.links())[1].phase, (await w.links())[1].reason) == ("open", "MARKET_CLOSED")
        w.venue.refuse.clear()
        await w.tick(5000)
        assert [row.step for event in await w.orders(CloseCopies) for row in event.rows] == [1, 2]
        assert ((await w.links())[1].phase, w.open_volume(ANNA)) == ("closed", 0)


async def test_refused_stops_are_visible_and_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.refuse["protect"] = "INVALID_STOPS"
        await w.move_stops(11, "1.095", "0", 2)
        assert (await w.links())[1].reason == "SLTP_DRIFT"
        w.venue.refuse.clear()
        await w.tick(5000)
        assert [row.step for event in await w.orders(ProtectCopies) for row in event.rows] == [1, 2]
        assert ((await w.links())[1].sl, (await w.links())[1].reason) == (D("1.095"), "")


async def test_replay_gives_the_same_and_notices_a_difference(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(
            subscription(1, ANNA, volume_mode=2), subscription(2, BEN, status=1), subscription(3, CARL, reverse_direction=1),
            accounts=(account(ANNA, "3333"),),
        )  # fmt: skip
        for order in range(11, 31):
            await w.open(order, volume=7 * order, sl=D("1.09"))
        url = store_url("executor", tmp_path)
        done = await run(url, 0, w.now + 1)
        assert (done.decisions, done.differences) == (60, [])
        assert (await run(url, 0, w.now)).decisions == 0
        event = next(event for event in await w.emitted("copy.link") if event["inputs"])
        inputs = json.loads(event["inputs"])
        inputs["standing"]["equity"][0] *= 2
        event["inputs"] = json.dumps(inputs)
        assert [difference.link for difference in again(event).differences] == [event["rows"][0][0]]


async def test_old_positions_go_and_the_rest_stays(tmp_path: Path) -> None:
    day = 86_400_000
    async with world(tmp_path, retention_days=3) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN, copy_mode=1))
        await w.open(11)
        await w.reduce(11, 100, 0)
        await w.tick(4 * day)
        async with w.executor.read() as session:
            assert len(await store.read_rows(session, store.Position)) == 1, "Ben's copy of it is open still"
        await w.told(w.venue.closing(50_002, 100, trades.REASON_CLIENT))
        await w.tick(day)
        async with w.executor.read() as session:
            assert await store.read_rows(session, store.Position) == []


async def test_doubled_and_reordered_answers_end_in_the_same_state(tmp_path: Path) -> None:
    """The close is told before the fill, then everything again, twice."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        await w.reduce(11, 100, 0)
        answers: list[Any] = []
        async with w.gateway.work() as work:
            for event in w.venue.seen:
                w.venue.carry_out(event, work)
            answers = [event for _, event in work.emitted]
            work.emitted.clear()
        fill, close = answers
        for event in (close, fill, close, fill):
            await w.told(event)
        link = (await w.links())[1]
        assert (link.phase, link.reason, link.volume, link.volume_now) == ("closed", "MASTER_CLOSED", 100, 0)
        assert w.open_volume(ANNA) == 0
        assert len(await w.orders(CloseCopies)) == 1
