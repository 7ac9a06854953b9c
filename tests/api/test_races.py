"""Many at once on one object (S12), writing over what was not seen, and what is on its way."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from shared.store import migrate

from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER, MASTER_LOGIN, SUBSCRIPTION, World, open_world

pytestmark = pytest.mark.anyio


async def races(world: World) -> None:
    """50 at once on one object: subscribe, then end it; each time one has an effect."""
    await world.pair()
    answers = await asyncio.gather(*(world.call(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
    number = (await world.rows("subscription"))[0]["id"]
    answers = await asyncio.gather(*(world.call(BOB, "DELETE", f"/copytrade/subscription/{number}") for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 404: 49}
    types = Counter(event["type"] for event in await world.config_events())
    assert (types["subscription.saved"], types["subscription.deleted"]) == (1, 1)
    # Two halves of a cycle at the same time: one of them at most.
    await world.good(ALICE, "POST", "/copytrade/follower", {"login": MASTER_LOGIN})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN})
    pairs = [(BOB, SUBSCRIPTION), (ALICE, {"master_login": BOB_LOGIN, "follower_login": MASTER_LOGIN})] * 10
    answers = await asyncio.gather(*(world.call(who, "POST", "/copytrade/subscription", body) for who, body in pairs))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}


async def test_s12_races_on_sqlite(world: World) -> None:
    await races(world)


@pytest.mark.postgres
async def test_s12_races_on_postgres(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    url = postgres("api_races")
    migrate.upgrade("api", url)
    async with open_world(tmp_path, url) as opened:
        await races(opened)
        found = await opened.good(
            ALICE, "GET", "/copytrade/masters", {"where": [["strategy_name", "like", "FX"]], "orderBy": [["strategy_name", "asc"]]}
        )
        assert found["count"] == 2
        # A whole number that is longer than its column is no fault: it is more than all there are.
        for operator, count in (("=", 0), ("<", 2)):
            assert (await opened.good(ALICE, "GET", "/copytrade/masters", {"where": [["enabled", operator, 3 * 10**9]]}))["count"] == count


async def test_optimistic_concurrency(world: World) -> None:
    await world.pair()
    path = "/copytrade/follower/1"
    assert (await world.call(BOB, "PUT", path, {"enabled": 0}, headers={"If-Match": '"2"'})).status_code == 412
    world.now += 1000
    changed = await world.good(BOB, "PUT", path, {"enabled": 0}, headers={"If-Match": '"1"'})
    assert (await world.call(BOB, "DELETE", path, headers={"If-Match": '"1"'})).json()["error"] == "PRECONDITION_FAILED"
    assert (await world.call(BOB, "PUT", path, {"enabled": 1, "updated_time": changed["updated_time"] - 1})).json()["error"] == "CONFLICT"
    assert (await world.good(BOB, "PUT", path, {"enabled": 1, "updated_time": changed["updated_time"]}))["version"] == 3


async def test_a_write_waits_for_an_account_on_its_way(tmp_path: Path) -> None:
    async with open_world(tmp_path, account_wait_s=2) as world:
        waiting = asyncio.create_task(world.call(EVE, "POST", "/copytrade/follower", {"login": 300001}, headers={"Idempotency-Key": "k"}))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await world.open_account(300001, EVE)
        assert (await waiting).status_code == 200
