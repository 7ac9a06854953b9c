"""Every error code of the doors, provoked: the tables in the code held against what is answered, code, status and words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api import flow
from api.errors import STATUS
from api.openapi.door import MESSAGES
from api.read_models import Position
from api.store import ApiKey, LeadConfig
from api.tables import table_of
from shared.contracts.links import LinkState
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.api.routes import MNG
from tests.api.signed import FOLLOW_CONFIG, LEAD_CONFIG, LEADER, SHARE, Client, client_of, leading, opens
from tests.api.told import link, links
from tests.api.world import (
    ALICE,
    BOB,
    BOB_LOGIN,
    DEMO_LOGIN,
    EVE,
    FOLLOWER_LOGIN,
    MASTER,
    MASTER_LOGIN,
    PERFORMANCE,
    SUBSCRIPTION,
    World,
    open_world,
)
from tests.api.writes import everybodys, one_time_code

pytestmark = pytest.mark.anyio

BOBS_LOGIN = {"email": "bob@example.com", "password": "correct horse"}
EVES_LOGIN = {"email": "eve@example.com", "password": "correct horse"}
MASTERS, FOLLOWERS, SUBSCRIPTIONS, LOGIN, OTP = (
    *("/copytrade/master", "/copytrade/follower", "/copytrade/subscription", "/customer/auth/login", "/customer/auth/otp"),
)
OWN = {"master_login": MASTER_LOGIN, "follower_login": FOLLOWER_LOGIN}
SECOND = MASTER | {"login": FOLLOWER_LOGIN}
Step = tuple[str, Any, str, str, Any]
"""The code that is expected, or nothing where all goes well; who asks, how, where, and what."""
STEPS: tuple[Step, ...] = (
    ("INVALID_CUSTOMER_SESSION", None, "GET", "/copytrade/my", None),
    ("INVALID_MANAGER_SESSION", ALICE, "POST", "/manager/MngHalt", {"scope": "all"}),
    ("UNKNOWN_COMMAND", MNG, "POST", "/manager/MngNothing", {}),
    ("NOT_FOUND", ALICE, "GET", "/nowhere", None),
    ("METHOD_NOT_ALLOWED", ALICE, "PATCH", "/copytrade/my", None),
    ("BODY_TOO_LARGE", ALICE, "POST", FOLLOWERS, {"login": "1" * 5000}),
    ("INVALID_DATA", ALICE, "POST", FOLLOWERS, {}),
    ("ACCOUNT_NOT_FOUND", ALICE, "POST", MASTERS, MASTER | {"login": 999}),
    ("MASTER_ACCOUNT_MUST_BE_REAL", ALICE, "POST", MASTERS, MASTER | {"login": DEMO_LOGIN}),
    ("REWARD_POLICY_REQUIRED", ALICE, "POST", MASTERS, SECOND | {"reward_policy": None}),
    ("INVALID_REWARD_POLICY", ALICE, "POST", MASTERS, SECOND | {"reward_policy": {"reward_type": 5}}),
    ("INVALID_PAYOUT_ACCOUNT", ALICE, "POST", MASTERS, SECOND | {"reward_policy": PERFORMANCE | {"payout_account_login": BOB_LOGIN}}),
    ("MASTER_ALREADY_EXISTS", ALICE, "POST", MASTERS, MASTER),
    ("INVALID_ACCOUNT", ALICE, "POST", FOLLOWERS, {"login": BOB_LOGIN}),
    ("FOLLOWER_ALREADY_EXISTS", BOB, "POST", FOLLOWERS, {"login": BOB_LOGIN}),
    ("PERMISSION_DENIED", ALICE, "PUT", f"{FOLLOWERS}/1", {"enabled": 1}),
    ("RET_ERR_NOTFOUND", BOB, "PUT", f"{FOLLOWERS}/77", {"enabled": 1}),
    ("CONFLICT", BOB, "PUT", f"{FOLLOWERS}/1", {"enabled": 1, "updated_time": 1}),
    ("FOLLOWER_NOT_FOUND", ALICE, "POST", SUBSCRIPTIONS, OWN),
    ("", ALICE, "POST", FOLLOWERS, {"login": FOLLOWER_LOGIN}),
    ("MASTER_NOT_FOUND", ALICE, "POST", SUBSCRIPTIONS, OWN | {"master_login": DEMO_LOGIN}),
    ("MASTER_NOT_AVAILABLE", ALICE, "POST", SUBSCRIPTIONS, OWN | {"master_login": BOB_LOGIN}),  # it is private
    ("SUBSCRIPTION_ALREADY_EXISTS", BOB, "POST", SUBSCRIPTIONS, SUBSCRIPTION),
    ("", ALICE, "PUT", f"{MASTERS}/2", {"allowed_follower_modes": 1}),
    ("FOLLOWER_MODE_NOT_ALLOWED", ALICE, "POST", SUBSCRIPTIONS, OWN),
    ("", BOB, "PUT", f"{MASTERS}/1", {"visibility": "public"}),
    ("", ALICE, "POST", FOLLOWERS, {"login": MASTER_LOGIN}),
    ("COPY_CYCLE", ALICE, "POST", SUBSCRIPTIONS, {"master_login": BOB_LOGIN, "follower_login": MASTER_LOGIN}),
    ("", ALICE, "POST", MASTERS, SECOND),
    ("MAX_MASTER_COUNT", BOB, "POST", SUBSCRIPTIONS, SUBSCRIPTION | {"master_login": FOLLOWER_LOGIN}),
    ("", BOB, "PUT", f"{FOLLOWERS}/1", {"max_master_count": 2}),
    ("ALLOCATION_EXCEEDED", BOB, "POST", SUBSCRIPTIONS, SUBSCRIPTION | {"master_login": FOLLOWER_LOGIN, "allocation_percent": 50}),
    ("ACTIVE_LINKS", BOB, "DELETE", f"{SUBSCRIPTIONS}/1", None),
    ("POLICY_ALREADY_EXISTS", MNG, "POST", "/manager/MngCreateCopyRewardPolicy", {"master_id": 1, **PERFORMANCE}),
    ("CUSTOMER_ALREADY_EXISTS", MNG, "POST", "/manager/MngCreateCustomer", {"id": 99, **BOBS_LOGIN, "email": "BOB@example.com"}),
    ("CUSTOMER_ALREADY_EXISTS", MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, **EVES_LOGIN}),
    ("UNAVAILABLE", MNG, "POST", "/manager/MngGetTopics", {}),  # there is no bus here
    ("CUSTOMER_NOT_FOUND_OR_INCORRECT", None, "POST", LOGIN, BOBS_LOGIN | {"password": "wrong"}),
    ("OTP_NOT_CONFIGURED", None, "POST", LOGIN, BOBS_LOGIN | {"otp_code": "123456"}),
    ("", BOB, "PUT", OTP, one_time_code),
    ("OTP_REQUIRED", None, "POST", LOGIN, BOBS_LOGIN),
    ("INVALID_OTP_CODE", None, "POST", LOGIN, BOBS_LOGIN | {"otp_code": "no"}),
    ("OTP_ALREADY_CONFIGURED", BOB, "PUT", OTP, {"otp_code": "000000", "enabled": 1}),
    ("", MNG, "POST", "/manager/MngCreateCustomer", {"id": EVE, **EVES_LOGIN}),
    ("", MNG, "POST", "/manager/MngUpdateCustomer", {"id": EVE, "enabled": 0}),
    ("CUSTOMER_DISABLED", None, "POST", LOGIN, EVES_LOGIN),
)


async def test_every_error_code_is_provoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = set()

    def meets(answer: Any, code: str) -> None:
        assert (answer.status_code, answer.json()["error"]) == (STATUS[code], code), answer.text
        assert set(answer.json()) == {"error", "message"}
        met.add(code)

    async with open_world(tmp_path, body_max_bytes=4096, body_timeout_s=0.3, login_rate_limit="6/minute") as world:
        await everybodys(world)
        await world.told(flow.on_links, links(link(1)))
        for code, who, method, path, body in STEPS:
            sent = await body(world) if callable(body) else body
            answer = await world.call(who, method, path, sent)
            if code:
                meets(answer, code)
            else:
                assert answer.status_code == 200, answer.text
        follower = (BOB, "PUT", f"{FOLLOWERS}/1", {"enabled": 1})
        meets(await world.call(*follower, headers={"If-Match": "99"}), "PRECONDITION_FAILED")
        for body, code in (({"enabled": 1}, ""), ({"enabled": 0}, "IDEMPOTENCY_KEY_REUSED")):
            answer = await world.call(*follower[:3], body, headers={"Idempotency-Key": "k"})
            if code:
                meets(answer, code)
        meets(await _without_its_body(world), "REQUEST_TIMEOUT")
        tries = [await world.call(None, "POST", LOGIN, BOBS_LOGIN) for _ in range(3)]  # the fifth, sixth and seventh
        meets(tries[-1], "TOO_MANY_REQUESTS")

        async def broken(*_: Any) -> None:
            raise RuntimeError("the secret of the house")

        monkeypatch.setattr("api.read_models.accounts_of", broken)
        with capture_logs():
            meets(await world.call(ALICE, "GET", "/customer/session/accounts"), "INTERNAL")
    assert met == set(STATUS)


async def _without_its_body(world: World) -> Any:
    async def never() -> Any:
        await asyncio.sleep(60)
        yield b""

    return await world.http.request("POST", FOLLOWERS, content=never(), headers=world.customer(BOB))


async def test_every_code_of_the_v2_is_provoked(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    met = set()

    async def meets(answer: Any, code: int) -> None:
        status, words = MESSAGES[code]
        answer = await answer
        assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (status, code, None), answer.text
        head, _, tail = words.partition("%s")
        assert answer.json()["msg"].startswith(head)
        assert answer.json()["msg"].endswith(tail)
        met.add(code)

    async with open_world(tmp_path_factory.mktemp("v2")) as world:
        await _at_the_door(world, meets)
        await _of_a_leader(world, meets)

        async def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("the secret of the house")

        bob = await client_of(world)
        monkeypatch.setattr("api.store.subscriptions_of", broken)
        with capture_logs():
            await meets(bob.send("GET", "/leaders"), -1000)
        monkeypatch.undo()
        async with world.store.work() as work:
            await work.session.execute(update(table_of(ApiKey)).values(account_type="SPOT"))
        await meets(bob.send("GET", "/leaders"), -1005)
    limits = {"rate_limit": "8/minute", "openapi_write_rate_limit": "1/minute", "openapi_require_ip_list": True}
    async with open_world(tmp_path_factory.mktemp("limits"), **limits) as world:
        await world.pair()
        bob = await client_of(world)
        await meets(bob.put("/config", FOLLOW_CONFIG), -1023)
        await meets(bob.put("/config", FOLLOW_CONFIG), -1015)
        for _ in range(6):
            await bob.send("GET", "/leaders")
        await meets(bob.send("GET", "/leaders"), -1003)
    assert met == set(MESSAGES)


async def _at_the_door(world: World, meets: Any) -> None:
    """Alice leads, Bob follows and holds a copy; what the door says, and what a follower is told."""
    _, bob = await leading(world)
    await meets(Client(world, "short", "x").send("GET", "/leaders"), -1107)
    await meets(Client(world, "-" * 64, "x").send("GET", "/leaders"), -2014)
    await meets(Client(world, "f" * 64, "x").send("GET", "/leaders"), -2015)
    await meets(bob.raw("GET", "/leaders", ""), -1103)
    await meets(bob.raw("GET", "/leaders", "timestamp=1"), -1102)
    await meets(bob.send("GET", "/leaders", timestamp=world.now - 5001), -1021)
    await meets(Client(world, bob.key, "wrong").send("GET", "/leaders"), -1022)
    await meets(bob.send("GET", "/orders/history", size=101), -1130)
    await meets((await client_of(world, expires_time=world.now // 1000)).send("GET", "/leaders"), -2017)
    await meets((await client_of(world, read_only=1)).put("/config", FOLLOW_CONFIG), -1020)
    await meets(bob.put("/config", FOLLOW_CONFIG | {"leaderUserId": 77}), -32045)
    world.now += 1
    await meets(bob.send("DELETE", f"/leaders/{MASTER_LOGIN}"), -120055)
    off = await client_of(world)
    await world.good(BOB, "PUT", f"/copytrade/api-keys/{(await world.rows('api_key'))[-1]['id']}", {"enabled": 0})
    await meets(off.send("GET", "/leaders"), -2018)


async def _of_a_leader(world: World, meets: Any) -> None:
    """Bob, who leads as well by now, has taken an invitation code; Alice holds a position on isolated margin."""
    alice = await client_of(world, ALICE, MASTER_LOGIN)
    bob = await client_of(world)
    alice.base = bob.base = LEADER
    await meets(bob.send("GET", "/orders/current"), -120041)
    await meets(bob.put("/config", LEAD_CONFIG), -120047)
    await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN, "reward_policy": SHARE})
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
    async with world.store.work() as work:  # what he copied is closed: nothing that he holds hinders him
        await work.session.execute(table_of(Position).delete())
    assert (await bob.put("/config", LEAD_CONFIG | {"isNeedInvite": 1, "inviteCode": "TAKEN123"})).json()["code"] == 200
    for code, changed in (
        (-120072, {"profitRate": "0.31"}),
        (-120078, {"unLeadType": 1}),
        (-120510, {"isNeedInvite": 1, "inviteCode": "TAKEN123"}),
        (-120511, {"isNeedInvite": 1, "inviteCode": "ADMIN123"}),
        (-120512, {"isNeedInvite": 1, "inviteCode": "short"}),
    ):
        await meets(alice.put("/config", LEAD_CONFIG | changed), code)
    await opens(world, margin_type=1)
    await meets(alice.put("/config", LEAD_CONFIG | {"symbolIds": ["ETH-SWAP-USDT"]}), -32090)
    await meets(alice.put("/config", LEAD_CONFIG | {"leadPositionType": 0}), -32093)
    assert (await alice.put("/config", LEAD_CONFIG | {"isNeedInvite": 1, "profitRate": "0.4"})).json()["code"] == 200
    await meets(alice.put("/config", LEAD_CONFIG | {"profitRate": "0.4"}), -120073)
    async with world.store.work() as work:  # a level that the settings no longer name
        await work.session.execute(update(table_of(LeadConfig)).values(level="emperor"))
    await meets(alice.put("/config", LEAD_CONFIG), -120067)
