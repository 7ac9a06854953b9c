"""What a reconcile asks for and finds, and what is told after it: each drift has its policy."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from executor import store
from shared.contracts import trades
from shared.contracts.config import SubscriptionDeleted, SubscriptionSaved
from shared.contracts.links import LinkState
from shared.contracts.orders import CloseCopies, OpenCopies, ProtectCopies, SyncAccounts

from tests.flow.executor_world import ANNA, BEN, MASTER, D, opened, reconciled, subscription, world

pytestmark = pytest.mark.anyio


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
