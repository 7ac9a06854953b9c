"""The same request twice (L6): one effect, the same answer, a refusal too. Of each write of every door: `test_writes.py`."""

import asyncio

import pytest

from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, SUBSCRIPTION, World

pytestmark = pytest.mark.anyio


async def test_l6_the_same_request_twice_is_done_once(world: World) -> None:
    header = {"Idempotency-Key": "once"}
    first = await world.call(ALICE, "POST", "/copytrade/master", MASTER, headers=header)
    again = await world.call(ALICE, "POST", "/copytrade/master", MASTER, headers=header)
    assert (first.status_code, again.json()) == (200, first.json())
    assert len(await world.rows("master")) == 1
    other = await world.call(ALICE, "POST", "/copytrade/master", MASTER | {"strategy_name": "Other"}, headers=header)
    assert (other.status_code, other.json()["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    # Another customer's key is another key; without one, the second is refused as a double.
    assert (await world.call(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN}, headers=header)).status_code == 200
    assert (await world.call(ALICE, "POST", "/copytrade/master", MASTER)).status_code == 409
    # A refusal is an answer, too: it stays the same although the reason is gone.
    refused = {"Idempotency-Key": "refused"}
    assert (await world.call(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION, headers=refused)).json()["error"] == "FOLLOWER_NOT_FOUND"
    await world.good(BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})
    assert (await world.call(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION, headers=refused)).json()["error"] == "FOLLOWER_NOT_FOUND"
    assert await world.rows("subscription") == []
    for key in ("x" * 256, "\u00e9".encode().decode("latin-1")):
        bad = await world.http.post(
            "/copytrade/follower", json={}, headers={**world.customer(ALICE), "Idempotency-Key": key.encode("latin-1")}
        )  # type: ignore[dict-item]
        assert bad.json()["error"] == "INVALID_DATA"


async def test_l6_fifty_at_once_have_one_effect(world: World) -> None:
    header = {"Idempotency-Key": "fifty"}
    answers = await asyncio.gather(*(world.call(ALICE, "POST", "/copytrade/master", MASTER, headers=header) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert len(await world.rows("master")) == 1
    assert len(await world.config_events()) == 2
