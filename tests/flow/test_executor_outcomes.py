"""Answers that stay out, refusals, and what a reconcile finds; nothing is sent under another id than its own."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from executor import store
from executor.replay import again, run
from shared.contracts import orders, trades
from shared.contracts.config import SubscriptionDeleted, SubscriptionSaved
from shared.contracts.links import LinkState
from shared.contracts.orders import CloseCopies, OpenCopies, ProtectCopies, SyncAccounts
from shared.store import outbox

from tests.flow.executor_world import ANNA, BEN, CARL, MASTER, D, account, opened, subscription, world
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


async def test_reconcile_asks_at_the_start_on_time_and_finds_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile_every_ms=10_000) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.tick()
        assert [event.logins for event in await w.orders(SyncAccounts)] == [(MASTER, ANNA)]
        told = len(await w.link_events())
        await w.tick(9_999)
        assert len(await w.orders(SyncAccounts)) == 1
        await w.tick(1)
        assert len(await w.orders(SyncAccounts)) == 2
        assert len(await w.link_events()) == told


async def reconciled(w: Any, login: int = ANNA) -> None:
    """The venue tells what an account holds."""
    await w.told(w.venue.held(login, ""))


async def test_reconcile_a_missing_position(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_positions=1))
        await w.open(11)
        del w.venue.positions[50_001]
        await reconciled(w)
        link = (await w.links())[1]
        assert (link.state, link.reason, link.volume_now) == (LinkState.CLOSED, "MISSING", 0)
        assert len(await w.orders(OpenCopies)) == 1, "never copied again blindly"
        await w.open(12)
        assert (await w.links(12))[1].phase == "open"


@pytest.mark.parametrize(("policy", "left"), [("close_excess", 60), ("report", 100)])
async def test_reconcile_a_larger_volume(tmp_path: Path, policy: str, left: int) -> None:
    """A close of 40 that the venue confirmed was undone there: 100 are held where 60 should be."""
    async with world(tmp_path, repair_volume=policy) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.reduce(11, 40, 60)
        w.venue.positions[50_001]["volume"] = 100
        await reconciled(w)
        assert w.open_volume(ANNA) == left
        assert (await w.links())[1].volume_now == left
        assert [row.reason for event in await w.link_events() for row in event.rows if row.reason == "VOLUME_DRIFT"]


async def test_reconcile_a_smaller_volume(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.positions[50_001]["volume"] = 70
        await reconciled(w)
        assert ((await w.links())[1].volume_now, len(await w.orders(OpenCopies))) == (70, 1)


@pytest.mark.parametrize(("policy", "sl"), [("restore", D("1.09")), ("report", D("1.05"))])
async def test_reconcile_stops(tmp_path: Path, policy: str, sl: Any) -> None:
    async with world(tmp_path, repair_stops=policy) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11, sl=D("1.09"))
        w.venue.positions[50_001]["sl"] = D("1.05")
        await reconciled(w)
        assert (w.venue.positions[50_001]["sl"], (await w.links())[1].sl) == (sl, sl)


async def test_a_followers_own_stops_are_no_drift(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11, sl=D("1.09"))
        await w.told(w.venue.stops(50_001, D("1.05"), D(0)))
        await reconciled(w)
        assert ((await w.links())[1].sl, await w.orders(ProtectCopies)) == (D("1.05"), [])


async def test_reconcile_takes_up_an_opening_whose_answer_was_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        w.venue.deaf = True
        await w.open(11)
        async with w.gateway.work() as work:
            w.venue.carry_out(w.venue.seen[0], work)
            work.emitted.clear()
        await reconciled(w)
        assert ((await w.links())[1].phase, (await w.links())[1].volume_now) == ("open", 100)


@pytest.mark.parametrize(("left", "end"), [(100, ("open", "", 100)), (40, ("open", "", 40)), (0, ("skipped", "MASTER_CLOSED", 0))])
async def test_an_opening_that_comes_after_its_position_was_found_is_decided_on(tmp_path: Path, left: int, end: Any) -> None:
    """A reconcile finds a position of the master whose opening lies among the dead letters. Retried, what is left of it is copied, once."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        late = opened(11, 100, now=w.now)
        w._keep(late)
        await reconciled(w, MASTER)
        if left < 100:
            await w.reduce(11, 100 - left, left)
        assert await w.links() == {}
        for _ in range(2):
            await w.told(late)
            link = (await w.links())[1]
            assert (link.phase, link.reason, w.open_volume(ANNA)) == end
        assert len(await w.orders(OpenCopies)) == int(left > 0)
        if left:
            await w.reduce(11, left, 0)
            assert ((await w.links())[1].phase, w.open_volume(ANNA)) == ("closed", 0)


@pytest.mark.parametrize(("left", "end"), [(40, ("open", "", 40)), (0, ("skipped", "MASTER_CLOSED", 0))])
async def test_an_opening_that_is_retried_after_the_close_opens_what_is_left(tmp_path: Path, left: int, end: Any) -> None:
    """Its stop is the opening's, since a closing tells of none."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.reduce(11, 100 - left, left)
        for _ in range(2):
            await w.told(opened(11, 100, now=w.now, sl=D("1.09")))
            link = (await w.links())[1]
            assert (link.phase, link.reason, w.open_volume(ANNA)) == end
        assert link.sl == (D("1.09") if left else 0)
        assert len(await w.orders(OpenCopies)) == int(left > 0)


async def test_the_opening_of_a_pending_order_that_is_retried_after_the_close(tmp_path: Path) -> None:
    """Its fill lies among the dead letters, its close does not: who copies the order and who copies the position have nothing open."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, copy_pending_orders=1), subscription(2, BEN))
        row = trades.PendingRow(
            *(11, MASTER, "EURUSD", "buy", "limit", 100, D("1.09"), D(0), D(0), D(0), 0, 1, "", trades.REASON_CLIENT),
            *(D(10000), D(10000), D(0)),
        )
        await w.told(trades.PendingPlaced.of([row]))
        await w.reduce(11, 100, 0)
        await w.told(opened(11, 100, now=w.now))
        links = await w.links()
        assert [(links[n].phase, links[n].reason) for n in (1, 2)] == [("cancelled", "MASTER_CLOSED"), ("skipped", "MASTER_CLOSED")]
        assert (await w.orders(OpenCopies), w.venue.pending) == ([], {})


async def test_closings_of_unknown_positions_are_kept_of_masters_alone_and_for_a_while(tmp_path: Path) -> None:
    day = 86_400_000
    async with world(tmp_path, retention_days=3) as w:
        await w.ready(subscription(1, ANNA))
        await w.reduce(11, 100, 0)
        own = {"login": BEN, "symbol": "EURUSD", "side": "buy", "initial": 100, "volume": 100, "price": D("1.1"), "client_id": ""}
        w.venue.positions[12] = own
        await w.told(w.venue.closing(12, 100, trades.REASON_CLIENT))
        kept = []
        for _ in range(2):
            async with w.executor.read() as session:
                kept.append([row[0] for row in await store.read_rows(session, store.Position)])
            await w.tick(4 * day)  # the retention is 3 days
        assert kept == [[11], []]


@pytest.mark.parametrize(("policy", "closes"), [("adopt", 1), ("close", 1), ("report", 0)])
async def test_reconcile_an_orphan(tmp_path: Path, policy: str, closes: int) -> None:
    """The link says closed, the venue still holds it: it is closed there, never taken up again."""
    async with world(tmp_path, repair_orphans=policy) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.reduce(11, 100, 0)
        w.venue.positions[50_001]["volume"] = 100
        sent = len(await w.orders(CloseCopies))
        await reconciled(w)
        assert len(await w.orders(CloseCopies)) - sent == closes
        assert w.open_volume(ANNA) == (0 if closes else 100)
        assert (await w.links())[1].phase == "closed"


async def test_a_detached_position_is_no_orphan(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.configured(SubscriptionDeleted(subscription=subscription(1, ANNA), close_policy="detach"))
        await reconciled(w)
        assert (w.open_volume(ANNA), await w.orders(CloseCopies)) == (100, [])


async def test_a_masters_close_that_was_never_told(tmp_path: Path) -> None:
    """The venue's list of the master has no position 11 any more: the copies are closed."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        w.venue.positions[11]["volume"] = 0
        await reconciled(w, MASTER)
        assert (w.open_volume(ANNA), (await w.links())[1].reason) == (0, "MASTER_CLOSED")


async def test_a_masters_opening_that_was_never_told_is_noted_and_not_copied(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        held = trades.HeldRow(77, "EURUSD", "buy", 100, 100, D("1.1"), D(0), D(0), 1, "", w.now)
        await w.told(trades.AccountPositions.of([held], login=MASTER))
        assert await w.orders(OpenCopies) == []
        await w.configured(SubscriptionSaved(subscription=subscription(1, ANNA, version=2), copy_existing=True))
        assert (await w.links(77))[1].volume == 100


async def test_pages_of_an_answer_are_compared_when_the_last_is_here(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        await w.open(12)
        w.venue.deaf = True
        await w.tick()
        (sync,) = await w.orders(SyncAccounts)
        rows = w.venue.held(ANNA, "").rows
        pages = [
            trades.AccountPositions.of([row], login=ANNA, request=sync.request, pending=(), first=n == 0, last=n == 1)
            for n, row in enumerate(rows)
        ]
        await w.told(pages[0])
        await w.told(pages[1])
        old = trades.AccountPositions.of([], login=ANNA, request="reconcile-0", pending=(), first=True, last=True)
        await w.told(old)
        assert {row.phase for row in (await w.links()).values()} == {"open"}
        assert len([e for e in await w.link_events() for row in e.rows if row.reason == "MISSING"]) == 0


async def test_a_reconcile_on_request_needs_the_secret(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(w.parts.app), base_url="http://executor") as client:
            refused = await client.post("/reconcile", json={"logins": [ANNA]})
            secret = {"Authorization": w.settings.secret.get_secret_value()}
            bad = await client.post("/reconcile", json={"logins": ["x"]}, headers=secret)
            taken = await client.post("/reconcile", json={"logins": [ANNA]}, headers=secret)
        assert (refused.status_code, bad.status_code, taken.status_code) == (401, 422, 200)
        assert [event.logins for event in await w.orders(SyncAccounts)] == [(ANNA,)]


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
