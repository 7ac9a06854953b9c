"""Every write of every door, taken from the code: done once under its key however often and at once it is sent (L6, S12), and traced in
the audit with who, what, before and after."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from api.openapi.door import KIND

from tests.api.routes import MNG, everything
from tests.api.world import BOB_LOGIN, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, PERFORMANCE, World
from tests.api.writes import ALL, CLIENT, MANAGER, NOUNS, SIGNED, everybodys, kept, ready, registered, send_signed, traced

pytestmark = pytest.mark.anyio
AT_ONCE = 10


async def test_every_write_has_a_row_here(world: World) -> None:
    assert registered(world) == (set(CLIENT), set(MANAGER), set(SIGNED))
    assert {
        *("customer", "master", "lead_config", "follower", "subscription", "position_stop", "reward_policy", "halt", "api_key"),
    } == NOUNS


def another(body: Any) -> Any:
    """A body that could be as good, and is not the same."""
    if body is None:
        return {"close_policy": "detach"}
    if "scope" in body:
        return {"scope": "symbol", "symbol": "GBPUSD"}
    its_id = next((name for name in ("id", "login", "master_id", "follower_login") if name in body), None)
    return body | ({its_id: 999} if its_id else {"enabled": 0})


@pytest.mark.parametrize("name", sorted(ALL))
async def test_l6_s12_a_write_is_done_once_and_leaves_its_trace(world: World, name: str) -> None:
    await everybodys(world)
    ask, body = await ready(world, name)
    world.now += 5000
    before, noted = await kept(world), len(await world.rows("audit"))
    answers = await asyncio.gather(*(ask(body, "key") for _ in range(AT_ONCE)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}, answers[0].text
    who = ALL[name].who
    actor = f"{MNG}:ops" if who == MNG else f"SESSION_CUSTOMER:{who}"
    traced((await world.rows("audit"))[noted:], before, await kept(world), actor, world.now)
    done = await everything(world)
    again = await ask(body, "key")
    assert (again.status_code, again.json()) == (200, answers[0].json())
    other = await ask(another(body), "key")
    assert (other.status_code, other.json()["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await everything(world) == done


@pytest.mark.parametrize("route", sorted(SIGNED))
async def test_a_signed_write_leaves_its_trace(world: World, route: str) -> None:
    send = await send_signed(world, route)
    before, noted, keys = await kept(world), len(await world.rows("audit")), await world.rows("api_key")
    answer = await send()
    assert answer.json() == {"code": 200, "msg": "success", "data": None}
    key = next(row["id"] for row in keys if row["login"] == (MASTER_LOGIN if "/leader/" in route else BOB_LOGIN))
    traced((await world.rows("audit"))[noted:], before, await kept(world), f"{KIND}:{key}", world.now)


async def test_s12_a_managers_writes_at_once_without_a_key(world: World) -> None:
    """Of ten that make or end the same thing one has an effect; of ten that have seen the same version, one changes it."""

    async def at_once(command: str, data: Any, **headers: str) -> Counter[int]:
        calls = (world.call(MNG, "POST", f"/manager/{command}", data, headers=headers) for _ in range(AT_ONCE))
        return Counter(answer.status_code for answer in await asyncio.gather(*calls))

    others = AT_ONCE - 1
    made = {"master_login": MASTER_LOGIN, "follower_login": FOLLOWER_LOGIN}
    for command, data in (
        ("MngCreateCopyMaster", MASTER),
        ("MngCreateCopyFollower", {"login": FOLLOWER_LOGIN}),
        ("MngCreateCopySubscription", made),
        ("MngCreateCustomer", {"id": 77, "email": "new@example.com", "password": "correct horse"}),
    ):
        assert await at_once(command, data) == {200: 1, 409: others}, command
    for noun in ("Master", "Follower", "Subscription"):
        assert await at_once(f"MngUpdateCopy{noun}", {"id": 1, "enabled": 0}, **{"If-Match": "1"}) == {200: 1, 412: others}, noun
    assert await at_once("MngUpdateCopyRewardPolicy", {"id": 1, "reward_type": 3, "fee_percent": 5}, **{"If-Match": "1"}) == {
        200: 1,
        412: others,
    }
    assert await at_once("MngHalt", {"scope": "all"}) == {200: AT_ONCE}
    assert [(row["active"], row["scope"]) for row in await world.rows("halt")] == [(1, "all")]
    assert await at_once("MngResume", {"scope": "all"}) == {200: 1, 404: others}
    assert await at_once("MngDeleteCopyRewardPolicy", {"id": 1}) == {200: 1, 404: others}
    assert await at_once("MngCreateCopyRewardPolicy", {"master_id": 1, **PERFORMANCE}) == {200: 1, 409: others}
    for noun in ("Subscription", "Follower", "Master"):
        assert await at_once(f"MngDeleteCopy{noun}", {"id": 1}) == {200: 1, 404: others}, noun
    types = Counter(event["type"] for event in await world.config_events())
    assert (types["master.saved"], types["subscription.saved"], types["master.deleted"], types["subscription.deleted"]) == (2, 2, 1, 1)
