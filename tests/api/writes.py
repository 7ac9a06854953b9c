"""For each write of the doors, by its route or command, a request that succeeds in `everybodys`; and what a write left behind it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pyotp
from api import flow, store, tables
from api.manager.commands import COMMANDS
from api.settings import Level
from shared.contracts.links import LinkState
from shared.store.outbox import bury

from tests.api.routes import MNG, bobs, client_routes
from tests.api.signed import FOLLOW_CONFIG, LEAD_CONFIG, Client, leading
from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, PERFORMANCE, World

NO_CHANGE = ("search", "preview", "login", "{command}")
"""Of the routes that take a body, those that ask, and the managers' one door."""
V2 = "/api/v2/copy-trading"
BOOKS = {"signed", "version", "audit", "idempotency"}
NOUNS = {str(model.__table__.name) for model in vars(store).values() if hasattr(model, "__table__")} - BOOKS
"""The tables of what can be changed by somebody."""


class Write(NamedTuple):
    """A request, and what is asked first so that it succeeds."""

    who: int | str
    body: Any = None
    first: tuple[tuple[str, Any], ...] = ()


async def one_time_code(world: World) -> Any:
    offer = await world.good(BOB, "GET", "/customer/auth/otp")
    return {"otp_code": pyotp.TOTP(offer["secret"]).at(world.now // 1000), "enabled": 1}


ALICES = MASTER | {"login": FOLLOWER_LOGIN}
OWN = {"master_login": MASTER_LOGIN, "follower_login": FOLLOWER_LOGIN}
BOBS_HALT = {"scope": "follower", "login": BOB_LOGIN}
CLIENT: dict[str, Write] = {
    "POST /copytrade/master": Write(ALICE, ALICES),
    "PUT /copytrade/master/{id}": Write(BOB, {"strategy_name": "Other"}),
    "DELETE /copytrade/master/{id}": Write(BOB),
    "POST /copytrade/follower": Write(ALICE, {"login": FOLLOWER_LOGIN}),
    "PUT /copytrade/follower/{id}": Write(BOB, {"max_master_count": 3}),
    "DELETE /copytrade/follower/{id}": Write(BOB),
    "POST /copytrade/subscription": Write(ALICE, OWN, (("POST /copytrade/follower", {"login": FOLLOWER_LOGIN}),)),
    "PUT /copytrade/subscription/{id}": Write(BOB, {"max_positions": 3}),
    "DELETE /copytrade/subscription/{id}": Write(BOB),
    "POST /copytrade/halt": Write(BOB, BOBS_HALT),
    "POST /copytrade/resume": Write(BOB, BOBS_HALT, (("POST /copytrade/halt", BOBS_HALT),)),
    "POST /copytrade/api-keys": Write(BOB, {"login": BOB_LOGIN}),
    "PUT /copytrade/api-keys/{id}": Write(BOB, {"name": "robot"}),
    "DELETE /copytrade/api-keys/{id}": Write(BOB),
    "PUT /customer/auth/otp": Write(BOB, one_time_code),
}
MANAGER: dict[str, Write] = {
    "MngCreateCopyMaster": Write(MNG, ALICES),
    "MngUpdateCopyMaster": Write(MNG, {"id": 1, "strategy_name": "Other"}),
    "MngDeleteCopyMaster": Write(MNG, {"id": 2}),
    "MngCreateCopyFollower": Write(MNG, {"login": FOLLOWER_LOGIN}),
    "MngUpdateCopyFollower": Write(MNG, {"id": 1, "max_master_count": 3}),
    "MngDeleteCopyFollower": Write(MNG, {"id": 1}),
    "MngCreateCopySubscription": Write(MNG, OWN, (("MngCreateCopyFollower", {"login": FOLLOWER_LOGIN}),)),
    "MngUpdateCopySubscription": Write(MNG, {"id": 1, "max_positions": 3}),
    "MngDeleteCopySubscription": Write(MNG, {"id": 1}),
    "MngCreateCopyRewardPolicy": Write(MNG, {"master_id": 1, **PERFORMANCE}, (("MngDeleteCopyRewardPolicy", {"id": 1}),)),
    "MngUpdateCopyRewardPolicy": Write(MNG, {"id": 1, "reward_type": 3, "fee_percent": 5}),
    "MngDeleteCopyRewardPolicy": Write(MNG, {"id": 1}),
    "MngSetLeaderLevel": Write(MNG, {"id": 1, "level": "pilot"}),
    "MngCreateCustomer": Write(MNG, {"id": 77, "email": "new@example.com", "password": "correct horse"}),
    "MngUpdateCustomer": Write(MNG, {"id": BOB, "password": "another horse"}),
    "MngHalt": Write(MNG, {"scope": "all"}),
    "MngResume": Write(MNG, {"scope": "all"}, (("MngHalt", {"scope": "all"}),)),
    "MngCreateApiKey": Write(MNG, {"login": BOB_LOGIN}),
    "MngUpdateApiKey": Write(MNG, {"id": 1, "name": "robot"}),
    "MngDeleteApiKey": Write(MNG, {"id": 1}),
    "MngRetryDeadLetter": Write(MNG, {"id": 1}),
    "MngDiscardDeadLetter": Write(MNG, {"id": 1}),
}
STOPS = {"leaderUserId": MASTER_LOGIN, "symbolId": "BTC-SWAP-USDT", "isLong": 1, "stopProfitRate": "0.1"}
SIGNED: dict[str, Any] = {
    f"PUT {V2}/follower/config": FOLLOW_CONFIG,
    f"PUT {V2}/follower/positions/stop-profit-loss": STOPS,
    f"DELETE {V2}/follower/leaders/{{leader}}": None,
    f"PUT {V2}/leader/config": LEAD_CONFIG | {"tradeProtect": 1, "profitRate": "0.2"},
    f"DELETE {V2}/leader/followers/{{follower}}": None,
}
ALL = {**CLIENT, **MANAGER}


def registered(world: World) -> tuple[set[str], set[str], set[str]]:
    """Every write that the code has: the clients', the managers', the signed ones."""
    clients = {route for route in client_routes(world) if not route.startswith("GET") and not route.endswith(NO_CHANGE)}
    paths = world.app.openapi()["paths"]
    signed = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if path.startswith("/api/v2")}
    return clients, {name for name in COMMANDS if not name.startswith("MngGet")}, {route for route in signed if not route.startswith("GET")}


async def everybodys(world: World) -> None:
    """What `bobs` has, a dead letter, and a level."""
    await bobs(world)
    world.settings.openapi_levels["pilot"] = Level()
    async with world.store.work() as work:
        await bury(work.session, "copy.link", 12, 0, "malformed: rows", '{"type":"link.changed"}', work.now)


Ask = Callable[..., Awaitable[Any]]


async def ready(world: World, name: str) -> tuple[Ask, Any]:
    """Does what has to be done first; how the write is sent, and its body."""
    write = ALL[name]
    for before, body in write.first:
        method, path = address(before)
        await world.good(write.who, method, path, body)
    method, path = address(name)
    body = await write.body(world) if callable(write.body) else write.body

    async def ask(body: Any, key: str = "") -> Any:
        return await world.call(write.who, method, path, body, headers={"Idempotency-Key": key} if key else {})

    return ask, body


def address(name: str) -> tuple[str, str]:
    if name.startswith("Mng"):
        return "POST", f"/manager/{name}"
    method, path = name.replace("{id}", "1").split()
    return method, path


async def send_signed(world: World, route: str) -> Callable[[], Awaitable[Any]]:
    """How a signed write is sent, in a world where Bob follows Alice and holds a copy."""
    alice, bob = await leading(world)
    method, path = route.split()
    if method == "DELETE":  # nobody is let go who holds something
        await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed")))
    client: Client = alice if "/leader/" in path else bob
    path = path.removeprefix(client.base).replace("{leader}", str(MASTER_LOGIN)).replace("{follower}", str(BOB_LOGIN))

    async def send() -> Any:
        return await (client.put(path, SIGNED[route]) if method == "PUT" else client.send(method, path))

    return send


Kept = dict[tuple[str, int], dict[str, Any]]


async def kept(world: World) -> Kept:
    """Every record that somebody can change, by its noun and id."""
    return {
        (noun, row["master_id"] if noun == "lead_config" else row["id"]): row
        for noun in sorted(NOUNS | {"dead_letter"})
        for row in await world.rows(noun)
    }


def traced(audit: list[dict[str, Any]], before: Kept, after: Kept, actor: str, now_ms: int) -> None:
    """Each record that differs has one row in the audit, which says who, and what it was and is; and nothing else has one."""
    changed = {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
    assert changed, "the write changed nothing"
    assert sorted((row["noun"], row["record_id"]) for row in audit) == sorted(changed)
    for row in audit:
        one = row["noun"], row["record_id"]
        assert (row["actor"], row["created_ms"]) == (actor, now_ms)
        told = [json.loads(row[side]) if row[side] else None for side in ("before", "after")]
        assert [state is not None for state in told] == [one in before, one in after], row
        assert told[0] != told[1], row
        for state, record in zip(told, (before.get(one), after.get(one)), strict=True):
            for name in (state or {}).keys() & (record or {}).keys():
                assert record is not None
                assert state[name] == record[name] or (isinstance(state[name], float | int) and kind(one[0], name) == "number"), (row, name)


def kind(noun: str, column: str) -> str:
    return tables.kind_of(tables.METADATA.tables[noun].c[column])
