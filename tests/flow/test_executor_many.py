"""A fan-out to many followers: 500 rows an entry, decided by columns, written in bulk, answered in bulk."""

import json
from pathlib import Path

import pytest
from executor.replay import run
from shared.contracts import links, orders, trades
from shared.contracts.config import Follower, FollowerSaved, SubscriptionSaved
from shared.store import outbox

from tests.flow.executor_world import MASTER, D, World, account, subscription, world

pytestmark = pytest.mark.anyio

MANY = 620


async def many(w: World, count: int = MANY) -> list[int]:
    """As many followers: every third is paused, every other copies half, the rest one to one."""
    await w.ready()
    logins = list(range(3000, 3000 + count))
    await w.told(trades.AccountsOpened.of([account(login) for login in logins]))
    await w.configured(*(FollowerSaved(follower=Follower(id=login, login=login, customer_id=login)) for login in logins))
    await w.configured(
        *(
            SubscriptionSaved(subscription=subscription(n, login, status=int(n % 3 == 0), risk_multiplier=D("0.5") if n % 2 else D(1)))
            for n, login in enumerate(logins, 1)
        )
    )
    return logins


async def test_open_partial_close_and_close_of_620_followers(tmp_path: Path) -> None:
    """620: 206 paused; of the other 414, 207 copy 50 and 207 copy 100 = 31,050 units. Half of it is left, then nothing."""
    async with world(tmp_path) as w:
        logins = await many(w)
        await w.open(11)
        assert sum(w.open_volume(login) for login in logins) == 31_050
        states = await w.links()
        assert len(states) == MANY
        assert sum(row.reason == "PAUSED" for row in states.values()) == 206
        assert sum(row.phase == "open" for row in states.values()) == 414
        await w.reduce(11, 50, 50)
        assert sum(w.open_volume(login) for login in logins) == 15_525
        await w.reduce(11, 50, 0)
        assert sum(w.open_volume(login) for login in logins) == 0
        assert sum(row.phase == "closed" for row in (await w.links()).values()) == 414


async def test_entries_hold_500_rows_and_ids_are_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await many(w)
        w.venue.deaf = True
        await w.open(11)
        async with w.executor.read() as session:
            entries = await outbox.kept(session, links.TOPIC, 1, 100)
        sizes = [sum(len(event["rows"]) for event in json.loads(entry.payload)["events"]) for entry in entries]
        assert sizes == [500, 120]
        rows = [row for event in await w.orders(orders.OpenCopies) for row in event.rows]
        assert len(rows) == 414
        assert [row.link for row in rows] == sorted(row.link for row in rows)
        told = [row for event in await w.link_events() for row in event.rows]
        assert {(row.link, row.subscription) for row in told} >= {(row.link, row.subscription) for row in rows}


async def test_a_few_and_many_are_decided_alike_and_replay_agrees(tmp_path: Path) -> None:
    """Eleven followers are decided one by one, twelve by columns: the same volumes, reasons and recorded inputs."""
    seen = []
    for count in (11, 12):
        (tmp_path / str(count)).mkdir()
        async with world(tmp_path / str(count)) as w:
            await many(w, count)
            await w.open(11, sl=D("1.09"), login=MASTER)
            rows = [row for event in await w.link_events() for row in event.rows if row.inputs][:11]
            seen.append([(row.volume, row.reason, json.loads(row.inputs)) for row in rows])
            done = await run(w.settings.model_copy(update={"home": tmp_path / str(count)}).database("executor"), 0, w.now + 1)
            assert (done.decisions, done.differences) == (count, [])
    assert seen[0] == seen[1]
