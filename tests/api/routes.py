"""Every route of the api's doors with what each kind of asker gets from it, and a world in which each object is Bob's."""

from typing import Any

from api import flow
from shared.contracts.links import LinkState

from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, SUBSCRIPTION, World

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


async def everything(world: World) -> list[Any]:
    """All that a write could leave behind."""
    records = ("master", "follower", "subscription", "reward_policy", "halt", "api_key", "customer", "lead_config", "position_stop")
    return [await world.rows(table) for table in (*records, "audit", "log_outbox")]
