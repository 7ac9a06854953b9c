"""A fan-out to many followers: 500 rows an entry, decided by columns, written in bulk, answered in bulk."""

import json
from pathlib import Path
from typing import Any

import pytest
from executor import store
from executor.config_side import stored
from executor.replay import run
from executor.store import write_rows
from shared.contracts import links, orders, trades
from shared.contracts.config import Subscription
from shared.explain import of_subscription
from shared.store import outbox

from tests.flow.executor_world import MASTER, D, World, account, subscription, world
from tests.stores import store_url

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000

MANY = 620


async def filled(w: World, subscriptions: list[Subscription]) -> list[int]:
    """The usual ground, and the followers of these subscriptions, in the store at once as if they had been told one by one."""
    await w.ready()
    logins = [one.follower_login for one in subscriptions]
    await w.told(trades.AccountsOpened.of([account(login) for login in logins]))
    async with w.executor.work() as work:
        await write_rows(work.session, store.Follower, [(login, login, 1, 1, 2, 1, 0) for login in logins])
        await write_rows(work.session, store.Subscription, [stored(one, deleted=0, rank=0) for one in subscriptions])
    w.parts_desk.forget()
    return logins


async def many(w: World, count: int = MANY) -> list[int]:
    """As many followers: every third is paused, every other copies half, the rest one to one."""
    numbers = range(1, count + 1)
    return await filled(
        w, [subscription(n, 2999 + n, status=int(n % 3 == 0), risk_multiplier=D("0.5") if n % 2 else D(1)) for n in numbers]
    )


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


@pytest.mark.parametrize("followers", [1, 12], ids=["one", "a fan-out"])
async def test_nobody_waits_for_the_hour_of_a_clock_that_was_wrong(tmp_path: Path, followers: int) -> None:
    """The clock is an hour ahead when orders are sent that stay out, and right again afterwards: they are asked for at once."""
    async with world(tmp_path) as w:
        logins = await filled(w, [subscription(n, 2999 + n) for n in range(1, followers + 1)])
        for asked, act in ((orders.OpenCopies, lambda: w.open(11)), (orders.CloseCopies, lambda: w.reduce(11, 40, 60))):
            w.now += HOUR_MS
            w.venue.deaf = True
            await act()
            w.now -= HOUR_MS
            w.venue.deaf = False
            await w.tick(1)
            first, again = await w.orders(asked)
            assert sorted(row.login for row in first.rows) == sorted(row.login for row in again.rows) == [*logins]
            await w.tick(1)
            assert len(await w.orders(asked)) == 2
        assert [w.open_volume(login) for login in logins] == [60] * followers


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
            event = (await w.link_events())[0]
            recorded = json.loads(event.inputs)
            seen.append([(row.volume, row.reason, of_subscription(recorded, row.subscription)) for row in sorted(event.rows)[:11]])
            done = await run(store_url("executor", tmp_path / str(count)), 0, w.now + 1)
            assert (done.decisions, done.differences) == (count, [])
    assert seen[0] == seen[1]


def varied(n: int) -> Subscription:
    """Settings of every kind, none of them like the next one's."""
    return subscription(
        n,
        2999 + n,
        volume_mode=n % 4,
        status=int(n % 29 == 0),
        copy_mode=n % 3,
        fixed_volume=n % 50,
        risk_multiplier=D(n % 17) / 4,
        allocation_percent=D(1 + n % 100),
        ratio_multiplier=D(3) / (1 << n % 5),
        reverse_direction=n % 2,
        copy_sl=int(n % 5 > 0),
        require_sl=int(n % 7 == 0),
        min_volume=n % 11,
        max_volume=60 + n % 100,
        max_positions=n % 23,
        small_volume_policy="raise_to_min" if n % 2 else "skip",
        symbols_mode=n % 3 if n % 13 == 0 else 0,
        symbols="EURUSD",
        max_slippage_points=n % 19 * 5,
        max_signal_age_ms=n % 8 * 1000,
    )


async def test_a_recorded_run_of_10_000_decisions_gives_the_same_again(tmp_path: Path) -> None:
    """20 trades, no two alike, for 500 followers; the same rules come to the same results, to the byte."""
    async with world(tmp_path, max_equity_age_ms=60_000) as w:
        logins = await filled(w, [varied(n) for n in range(1, 501)])
        await w.told(trades.AccountsChanged.of([account(login, leverage=login % 101, positions=login % 2) for login in logins]))
        w.venue.deaf = True
        for n in range(20):
            w.now += 7000
            trade: dict[str, Any] = {
                "side": "sell" if n % 3 else "buy",
                "symbol": "GBPUSD" if n % 4 == 3 else "EURUSD",
                "sl": D(n % 2),
                "tp": D(n % 5),
            }
            trade["opened_ms"] = w.now - n * 300
            await w.open(11 + n, 1 + n * n, price=D("1.1") + D(n % 7 - 3) / 10_000, equity=D(9000 + n * 77), balance=D(9500), **trade)
        told = [row for event in await w.link_events() for row in event.rows]
        done = await run(store_url("executor", tmp_path), 0, w.now + 1)
        assert (done.decisions, done.differences) == (10_000, [])
    assert len(told) == 10_000
    assert {row.reason for row in told} >= {
        "", "PAUSED", "CLOSE_ONLY", "SYMBOL_FILTERED", "MAX_POSITIONS", "NO_SL", "PRICE_MOVED", "BELOW_MIN", "BELOW_MIN_RISK", "MARGIN",
        "TOO_OLD", "STALE_EQUITY",
    }  # fmt: skip
    assert sum(row.volume > 0 for row in told) > 1000, "enough of them are copies"
