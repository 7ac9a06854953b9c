"""Other people's objects (S1), internal fields (S2), and what is let in when something fails (S14)."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.api.routes import BODIES, LISTS, MANAGERS, MNG, OPEN, OWNED, answer_to, bobs, client_routes, everything
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, World

pytestmark = pytest.mark.anyio


async def test_s1_every_route_has_a_row(world: World) -> None:
    assert set(client_routes(world)) == set(OWNED) | LISTS | OPEN | MANAGERS


@pytest.mark.parametrize("route", sorted(OWNED))
async def test_s1_objects_belong_to_somebody(world: World, route: str) -> None:
    await bobs(world)
    own, other = OWNED[route]
    assert await answer_to(world, None, route) == 401
    assert await answer_to(world, MNG, route) == 401
    before = await everything(world)
    assert await answer_to(world, EVE, route) == other
    assert await everything(world) == before
    assert await answer_to(world, BOB, route) == own


@pytest.mark.parametrize("route", sorted(LISTS))
async def test_s1_lists_show_what_is_ones_own(world: World, route: str) -> None:
    """`tests/api/test_events.py` shows the same of what a stream tells, and of positions; `tests/api/test_lists.py` of rewards."""
    await bobs(world)
    if "halts" in route:
        await world.good(BOB, "POST", "/copytrade/halt", {"scope": "follower", "login": BOB_LOGIN})
    assert await answer_to(world, None, route) == 401
    assert await answer_to(world, MNG, route) == 401
    method, path = route.replace("/events", "/events?follow=0").split()
    seen = (await world.call(EVE, method, path)).text
    assert str(BOB_LOGIN) not in seen
    mine = (await world.call(BOB, method, path)).text
    assert (str(BOB_LOGIN) in mine) == (not any(word in path for word in ("rewards", "positions", "events", "symbols")))


INTERNAL = {
    "id": 5,
    "customer_id": EVE,
    "version": 9,
    "created_ms": 1,
    "updated_ms": 1,
    "created_time": 1,
    "state": 1,
    "balance": 1,
    "equity": 1,
    "standing": "good",
    "resumed_ms": 1,
    "valid_from_ms": 1,
    "invited": 1,
    "master_id": 1,
    "set_by": "x",
    "secret": "x",
    "key_": "x",
    "password_hash": "x",
}


@pytest.mark.parametrize("route", [route for route in sorted(BODIES) if not route.endswith("login")])
async def test_s2_internal_fields_are_refused(world: World, route: str) -> None:
    await bobs(world)
    method, path = route.split()
    before = await everything(world)
    for field, value in INTERNAL.items():
        answer = await world.call(BOB, method, path.replace("{id}", "1"), BODIES[route] | {field: value})
        assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_DATA"), field
    assert await everything(world) == before


async def test_s14_without_its_database_nothing_is_let_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:

    def gone() -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(world.store, "read", gone)
    answer = await world.call(ALICE, "GET", "/copytrade/my")
    assert (answer.status_code, answer.json()["error"]) == (503, "UNAVAILABLE")


async def test_a_failure_inside_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("api.read_models.accounts_of", broken)
    with capture_logs() as logged:
        answer = await world.call(ALICE, "GET", "/customer/session/accounts")
    assert [entry["event"] for entry in logged] == ["request failed"]
    assert (answer.status_code, answer.json()) == (500, {"error": "INTERNAL", "message": "internal error"})
