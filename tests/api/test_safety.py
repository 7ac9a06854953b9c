"""What the doors withstand: other people's objects (S1), internal fields (S2), limits (S11), races (S12), the same request twice (L6)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyotp
import pytest
from api import flow
from api.errors import STATUS
from shared.contracts.links import LinkState
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import ClosedRow, PositionsClosed
from shared.store import migrate
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.api.told import link, links, stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER, MASTER_LOGIN, World, open_world

pytestmark = pytest.mark.anyio
SUBSCRIPTION = {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN}
MNG = "SESSION_MANAGER"

# S1: what each kind of asker gets from each route, on an object that is Bob's. `own` is Bob's, `other` Eve's.
# Lists answer everybody with what is theirs; "open" routes ask for no session.
BODIES: dict[str, Any] = {
    "POST /copytrade/master": MASTER | {"login": BOB_LOGIN},
    "PUT /copytrade/master/{id}": {"enabled": 1},
    "POST /copytrade/follower": {"login": BOB_LOGIN},
    "PUT /copytrade/follower/{id}": {"enabled": 1},
    "POST /copytrade/subscription": SUBSCRIPTION,
    "PUT /copytrade/subscription/{id}": {"enabled": 1},
    "POST /copytrade/subscription/preview": SUBSCRIPTION,
    "POST /copytrade/halt": {"scope": "follower", "login": BOB_LOGIN},
    "POST /copytrade/resume": {"scope": "follower", "login": BOB_LOGIN},
    "POST /copytrade/api-keys": {"login": BOB_LOGIN},
    "PUT /copytrade/api-keys/{id}": {"enabled": 1},
    "PUT /customer/auth/otp": {"otp_code": "000000", "enabled": 1},
    "POST /customer/auth/login": {"email": "bob@example.com", "password": "wrong password"},
}
OWNED = {
    "POST /copytrade/master": (409, 403),
    "PUT /copytrade/master/{id}": (200, 403),
    "DELETE /copytrade/master/{id}": (200, 403),
    "POST /copytrade/follower": (409, 403),
    "PUT /copytrade/follower/{id}": (200, 403),
    "DELETE /copytrade/follower/{id}": (200, 403),
    "POST /copytrade/subscription": (409, 403),
    "PUT /copytrade/subscription/{id}": (200, 403),
    "DELETE /copytrade/subscription/{id}": (200, 403),
    "GET /copytrade/subscription/{id}/history": (200, 403),
    "GET /copytrade/trade-links/{id}/explain": (200, 403),
    "GET /copytrade/rewards/statement": (200, 403),
    "POST /copytrade/subscription/preview": (200, 403),
    "POST /copytrade/halt": (200, 403),
    "POST /copytrade/resume": (404, 403),
    "POST /copytrade/api-keys": (200, 403),
    "PUT /copytrade/api-keys/{id}": (200, 403),
    "DELETE /copytrade/api-keys/{id}": (200, 403),
    "GET /copytrade/master/stats": (200, 403),
    "GET /copytrade/master/trades": (200, 403),
    "GET /copytrade/master/followers": (200, 403),
    "PUT /customer/auth/otp": (403, 404),
    "GET /customer/auth/otp": (200, 404),
}
LISTS = {
    *("GET /copytrade/masters", "POST /copytrade/masters/search", "GET /copytrade/my", "GET /copytrade/subscriptions"),
    *("POST /copytrade/subscriptions/search", "GET /copytrade/trade-links", "POST /copytrade/trade-links/search", "GET /copytrade/rewards"),
    *("POST /copytrade/rewards/search", "GET /copytrade/halts", "GET /copytrade/api-keys", "GET /customer/session/accounts"),
    *("GET /copytrade/positions", "POST /copytrade/positions/search", "GET /copytrade/events", "GET /copytrade/symbols"),
}
OPEN = {"POST /customer/auth/login"}
MANAGERS = {"POST /manager/{command}"}


def client_routes(world: World) -> list[str]:
    """Everything that OpenAPI names, the signed API apart, which asks for no session."""
    paths = world.app.openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if not path.startswith("/api/v2")]


async def bobs(world: World) -> None:
    """Everything that can be owned, once, all Bob's and private; Alice's master is copied by Bob."""
    await world.good(MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"})
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "visibility": "private"})
    await world.good(ALICE, "POST", "/copytrade/master", MASTER)
    await world.good(BOB, "POST", "/copytrade/follower", {"login": BOB_LOGIN})
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    await world.good(BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN})
    await world.good(BOB, "GET", "/customer/auth/otp")
    await world.told(flow.on_links, links(link(1, LinkState.CANCELLED, "skipped", "PAUSED")))


async def answer_to(world: World, who: int | str | None, route: str) -> int:
    method, path = route.split()
    path = path.replace("{id}", "1").replace("{command}", "MngGetCopyMastersByFilter")
    if path.startswith("/copytrade/master/") and method == "GET":
        path += f"?login={BOB_LOGIN}"
    if path.endswith("/statement"):
        path += "?subscription_id=1"
    if path.endswith("/events"):
        path += "?follow=0"
    return (await world.call(who, method, path, BODIES.get(route))).status_code


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
    """`tests/api/test_events.py` shows the same of what a stream tells."""
    await bobs(world)
    assert await answer_to(world, None, route) == 401
    assert await answer_to(world, MNG, route) == 401
    method, path = route.replace("/events", "/events?follow=0").split()
    seen = (await world.call(EVE, method, path)).text
    assert str(BOB_LOGIN) not in seen
    mine = (await world.call(BOB, method, path)).text
    assert (str(BOB_LOGIN) in mine) == (not any(word in path for word in ("rewards", "halts", "positions", "events", "symbols")))


async def everything(world: World) -> list[Any]:
    tables = ("master", "follower", "subscription", "reward_policy", "halt", "api_key", "audit", "log_outbox")
    return [await world.rows(table) for table in tables]


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


WRITES = sorted(route for route in OWNED if not route.startswith("GET") and not route.endswith("preview"))


async def test_l6_every_write_takes_a_key(world: World) -> None:
    assert set(WRITES) == {
        route
        for route in client_routes(world)
        if not route.startswith("GET") and not route.endswith(("search", "preview", "login", "{command}"))
    }


@pytest.mark.parametrize("route", WRITES)
async def test_l6_every_write_is_done_once(world: World, route: str) -> None:
    """The same answer again, whatever it was, and nothing written by it; another body under the same key is refused."""
    await bobs(world)
    method, path = route.replace("{id}", "1").split()
    header = {"Idempotency-Key": "key"}
    first = await world.call(BOB, method, path, BODIES.get(route), headers=header)
    before = await everything(world)
    again = await world.call(BOB, method, path, BODIES.get(route), headers=header)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    other = await world.call(BOB, method, path, BODIES.get(route, {}) | {"close_policy": "detach"}, headers=header)
    assert (other.status_code, other.json()["error"]) in {(422, "IDEMPOTENCY_KEY_REUSED"), (400, "INVALID_DATA")}
    if method == "DELETE":
        assert other.status_code == 422
    assert await everything(world) == before


async def test_l6_fifty_at_once_have_one_effect(world: World) -> None:
    header = {"Idempotency-Key": "fifty"}
    answers = await asyncio.gather(*(world.call(ALICE, "POST", "/copytrade/master", MASTER, headers=header) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert len(await world.rows("master")) == 1
    assert len(await world.config_events()) == 2


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


async def test_optimistic_concurrency(world: World) -> None:
    await world.pair()
    path = "/copytrade/follower/1"
    assert (await world.call(BOB, "PUT", path, {"enabled": 0}, headers={"If-Match": '"2"'})).status_code == 412
    world.now += 1000
    changed = await world.good(BOB, "PUT", path, {"enabled": 0}, headers={"If-Match": '"1"'})
    assert (await world.call(BOB, "DELETE", path, headers={"If-Match": '"1"'})).json()["error"] == "PRECONDITION_FAILED"
    assert (await world.call(BOB, "PUT", path, {"enabled": 1, "updated_time": changed["updated_time"] - 1})).json()["error"] == "CONFLICT"
    assert (await world.good(BOB, "PUT", path, {"enabled": 1, "updated_time": changed["updated_time"]}))["version"] == 3


async def test_another_instances_end_of_a_session_counts_within_a_moment(tmp_path: Path) -> None:
    """An instance looks at a customer again after `session_check_s`, and at once after a change of its own managers."""
    async with open_world(tmp_path, session_check_s=0.3) as world:
        await world.good(MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"})
        await world.good(BOB, "GET", "/copytrade/my")
        async with world.store.work() as elsewhere:
            await elsewhere.session.execute(text("UPDATE customer SET enabled = 0"))
        await world.good(BOB, "GET", "/copytrade/my")
        await asyncio.sleep(0.35)
        assert await answer_to(world, BOB, "GET /copytrade/my") == 401
        await world.good(MNG, "POST", "/manager/MngUpdateCustomer", {"id": BOB, "enabled": 1})
        world.now += 2000
        assert await answer_to(world, BOB, "GET /copytrade/my") == 200


async def test_history_of_a_subscriptions_settings(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION | {"max_positions": 1})
    world.now += 5000
    await world.good(BOB, "PUT", "/copytrade/subscription/1", {"max_positions": 2})
    history = await world.good(BOB, "GET", "/copytrade/subscription/1/history")
    seen = [(row["version"], row["valid_from"], row["actor"], row["settings"]["max_positions"]) for row in history["rows"]]
    assert seen == [(1, 1778160000, "SESSION_CUSTOMER:8", 1), (2, 1778160005, "SESSION_CUSTOMER:8", 2)]


async def test_a_write_waits_for_an_account_on_its_way(tmp_path: Path) -> None:
    async with open_world(tmp_path, account_wait_s=2) as world:
        waiting = asyncio.create_task(world.call(EVE, "POST", "/copytrade/follower", {"login": 300001}, headers={"Idempotency-Key": "k"}))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await world.open_account(300001, EVE)
        assert (await waiting).status_code == 200


async def test_second_factor(world: World) -> None:
    await bobs(world)
    login = {"email": "bob@example.com", "password": "correct horse"}

    async def refused(code: str, who: int | None, method: str, path: str, body: Any) -> None:
        answer = await world.call(who, method, path, body)
        assert (answer.status_code, answer.json()["error"]) == (403, code)

    await refused("OTP_NOT_CONFIGURED", None, "POST", "/customer/auth/login", login | {"otp_code": "123456"})
    offer = await world.good(BOB, "GET", "/customer/auth/otp")
    device = pyotp.TOTP(offer["secret"])
    assert offer["secret"] not in str(await world.rows("customer"))
    await world.good(None, "POST", "/customer/auth/login", login)  # not on yet
    await refused("INVALID_OTP_CODE", BOB, "PUT", "/customer/auth/otp", {"otp_code": "000000", "enabled": 1})
    assert (await world.good(BOB, "PUT", "/customer/auth/otp", {"otp_code": device.at(world.now // 1000), "enabled": 1}))["enabled"] == 1
    assert await world.good(BOB, "GET", "/customer/auth/otp") == {"enabled": 1}
    await refused("OTP_REQUIRED", None, "POST", "/customer/auth/login", login)
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": device.at(world.now // 1000)})  # used
    world.now += 30_000
    code = device.at(world.now // 1000)
    await world.good(None, "POST", "/customer/auth/login", login | {"otp_code": code})
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": code})
    world.now += 60_000
    late = device.at(world.now // 1000 - 60)
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": late})
    answer = await world.call(BOB, "PUT", "/customer/auth/otp", {"otp_code": code, "enabled": 1})
    assert (answer.status_code, answer.json()["error"]) == (409, "OTP_ALREADY_CONFIGURED")
    await world.good(BOB, "PUT", "/customer/auth/otp", {"otp_code": device.at(world.now // 1000), "enabled": 0})
    await world.good(None, "POST", "/customer/auth/login", login)


async def test_what_is_there_already(world: World) -> None:
    await world.pair()

    async def refused(command: str, data: Any) -> Any:
        answer = await world.call(MNG, "POST", f"/manager/{command}", data)
        assert answer.status_code == 409
        return answer.json()["error"]

    policy = {"master_id": 1, "reward_type": 3, "fee_percent": 5}
    assert await refused("MngCreateCopyRewardPolicy", policy) == "POLICY_ALREADY_EXISTS"
    customer = {"id": BOB, "email": "bob@example.com", "password": "correct horse"}
    await world.good(MNG, "POST", "/manager/MngCreateCustomer", customer)
    assert await refused("MngCreateCustomer", customer | {"email": "other@example.com"}) == "CUSTOMER_ALREADY_EXISTS"
    assert await refused("MngCreateCustomer", customer | {"id": 99, "email": "BOB@example.com"}) == "CUSTOMER_ALREADY_EXISTS"


def test_every_error_code_is_provoked() -> None:
    folder = Path(__file__).parent
    source = "".join(path.read_text() for path in folder.glob("test_*.py"))
    assert [code for code in STATUS if f'"{code}"' not in source] == []


async def test_a_masters_page(world: World) -> None:

    await world.pair()
    await world.good(MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"})
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    details = '{"sharpe_ratio":1.25,"weekly_trades":6.1,"followers":3,"profit_per_symbol":{"GBPUSD":12.5}}'
    await world.told(flow.on_stats, StatsChanged.of([stats("7D", 7, details=details)]))
    closed = ClosedRow(
        *(
            501,
            901,
            MASTER_LOGIN,
            "GBPUSD",
            "buy",
            100,
            100,
            0,
            Decimal("1.58"),
            Decimal("1.59"),
            Decimal("1000"),
            Decimal("-7"),
            Decimal("-1.5"),
        ),
        *("TR_REASON_CLIENT", "a", "b", world.now - 60_000, world.now),
    )
    await world.told(flow.on_trades, PositionsClosed.of([closed]))
    seen = await world.good(EVE, "GET", f"/copytrade/master/stats?login={MASTER_LOGIN}&period=7D")
    assert (seen["followers"], seen["sharp_ratio"], seen["weekly_trades"], seen["profit_per_symbol"]) == (3, 1.25, 6.1, {"GBPUSD": 12.5})
    # NOW is 2026-05-07 13:20 UTC: the curve's last day begins at 1778112000, the first six days before.
    assert (seen["pnl_history"][0]["time"], seen["pnl_history"][-1]) == (1778112000 - 6 * 86400, {"time": 1778112000, "pnl": 120.5})
    trades = await world.good(EVE, "GET", f"/copytrade/master/trades?login={MASTER_LOGIN}&format=objects&symbol=GBPUSD")
    assert trades["rows"] == [
        {
            "order": 501,
            "deal": 901,
            "symbol": "GBPUSD",
            "side": "buy",
            "volume": 100,
            "volume_initial": 100,
            "volume_left": 0,
            "open_price": 1.58,
            "close_price": 1.59,
            "open_time": world.now // 1000 - 60,
            "close_time": world.now // 1000,
            "profit": 1000,
            "commission": -7,
            "storage": -1.5,
            "reason": "TR_REASON_CLIENT",
        }
    ]
    followers = await world.good(EVE, "GET", f"/copytrade/master/followers?login={MASTER_LOGIN}")
    assert followers["rows"] == [{"follower_login": BOB_LOGIN, "email": "b***@example.com", "status": 0, "created_time": 1778160000}]
    await world.good(ALICE, "PUT", "/copytrade/master/1", {"show_trade_history": 0, "show_followers": 0})
    for page in ("trades", "followers"):
        answer = await world.call(EVE, "GET", f"/copytrade/master/{page}?login={MASTER_LOGIN}")
        assert (answer.status_code, answer.json()["error"]) == (403, "PERMISSION_DENIED")
        await world.good(ALICE, "GET", f"/copytrade/master/{page}?login={MASTER_LOGIN}")
    assert (await world.call(EVE, "GET", "/copytrade/master/stats?login=5")).json()["error"] == "MASTER_NOT_FOUND"


async def test_a_failure_inside_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("api.read_models.accounts_of", broken)
    with capture_logs() as logged:
        answer = await world.call(ALICE, "GET", "/customer/session/accounts")
    assert [entry["event"] for entry in logged] == ["request failed"]
    assert (answer.status_code, answer.json()) == (500, {"error": "INTERNAL", "message": "internal error"})


async def test_s14_without_its_database_nothing_is_let_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:

    def gone() -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(world.store, "read", gone)
    answer = await world.call(ALICE, "GET", "/copytrade/my")
    assert (answer.status_code, answer.json()["error"]) == (503, "UNAVAILABLE")
