"""S3 and S5 of the promises: what was captured is not accepted a second time, and nothing of a signed request can be changed.

S3_REQUESTS=10000 pytest tests/api/test_openapi_replay.py      runs S3 in the promises' size
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from api.app import create_app
from api.errors import Refused
from api.openapi import signing
from api.openapi.door import SignedRefusal, admit
from fastapi import FastAPI
from starlette.requests import Request

from tests.api.signed import FOLLOWER, Client, client_of, following, trade
from tests.api.test_openapi_settings import EXAMPLE
from tests.api.world import MASTER_LOGIN, World, open_world
from tests.stores import quick

pytestmark = pytest.mark.anyio

REQUESTS = int(os.environ.get("S3_REQUESTS", "100"))
HOUR_MS = 3_600_000
WINDOW_MS = 5000
FLIPS = (1, 16)


class Captured(NamedTuple):
    """A request as it went over the wire."""

    method: str
    path: str
    query: bytes
    body: bytes
    key: str
    form: bool


async def sent(app: FastAPI, captured: Captured) -> int:
    """The code that the door answers: 200 when it lets the request in."""
    kind = b"application/x-www-form-urlencoded" if captured.form else b"application/json"
    scope = {
        "type": "http",
        "method": captured.method,
        "path": captured.path,
        "query_string": captured.query,
        "app": app,
        "headers": [(b"x-bb-apikey", captured.key.encode()), (b"content-type", kind)],
        "client": ("127.0.0.1", 5000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": captured.body, "more_body": False}

    try:
        await admit(Request(scope, receive), 1)
    except SignedRefusal as refusal:
        code: int = refusal.body["code"]
        return code
    except Refused:
        return -1003
    return 200


def signed(client: Client, method: str, path: str, query: str, body: str = "", form: bool = False) -> Captured:
    """A request with its signature at the end of the query, or of the form."""
    mark = f"&signature={signing.signature(client.secret, query + body)}"
    if form:
        return Captured(method, FOLLOWER + path, query.encode(), (body + mark).encode(), client.key, form)
    return Captured(method, FOLLOWER + path, (query + mark).encode(), body.encode(), client.key, form)


def capture(world: World, strict: Client, plain: Client, number: int) -> Captured:
    """Reads under a nonce, and writes of each form that clients send."""
    stamp = f"timestamp={world.now}"
    match number % 4:
        case 0:
            return signed(strict, "GET", "/leaders", f"nonce=n{number}&{stamp}")
        case 1:
            return signed(strict, "GET", "/config", f"leaderUserId={MASTER_LOGIN}&{stamp}&nonce=n{number}")
        case 2:
            return signed(plain, "PUT", "/config", f"recvWindow=5000&{stamp}&number={number}")
        case _:
            return signed(plain, "DELETE", f"/leaders/{MASTER_LOGIN}", "", f"number={number}&{stamp}", form=True)


async def test_s3_captured_requests_are_not_accepted_again(tmp_path: Path) -> None:
    """At once, later in the window, after a restart, after what is old was cleared away; and outside the window never."""
    unlimited = "1000000000/minute"
    async with open_world(tmp_path, rate_limit=unlimited, openapi_write_rate_limit=unlimited) as world:
        quick(world.store.engine)
        await world.store.engine.dispose()
        plain = await following(world)
        strict = await client_of(world, require_nonce=1)
        requests = [capture(world, strict, plain, number) for number in range(REQUESTS)]
        app, again = world.app, Counter[int]()
        accepted = 0
        for request in requests:
            accepted += await sent(app, request) == 200
            again[await sent(app, request)] += 1
        assert accepted == REQUESTS
        world.now += WINDOW_MS - 1
        app = create_app(world.store, world.settings)  # another process: it remembers nothing but the store
        await app.state.context.forget_old_answers()
        world.now += HOUR_MS
        await app.state.context.forget_old_answers()  # another instance, whose clock is wrong
        world.now -= HOUR_MS
        for request in requests:
            again[await sent(app, request)] += 1
        world.now += 2
        outside = Counter([await sent(app, request) for request in requests])
        world.now += 2 * HOUR_MS
        await app.state.context.forget_old_answers()
        assert await world.rows("signed") == [], "what is out of its window is not kept for ever"
        outside += Counter([await sent(app, request) for request in requests])
        print(f"captured={REQUESTS} accepted_again={again[200] + outside[200]}")
        assert again == {-1022: 2 * REQUESTS}
        assert outside == {-1021: 2 * REQUESTS}


def flipped(raw: bytes) -> list[bytes]:
    """The text with each of its bytes changed, one at a time, in several ways."""
    return [raw[:place] + bytes([raw[place] ^ flip]) + raw[place + 1 :] for place in range(len(raw)) for flip in FLIPS]


async def test_s5_no_byte_of_query_or_signed_body_can_be_changed(tmp_path: Path) -> None:
    """Each request is told apart from what was signed before it is ever accepted; unchanged, it is accepted in the end."""
    async with open_world(tmp_path, openapi_require_signed_body=True) as world:
        client = await following(world)
        stamp, later = (f"recvWindow=5000&timestamp={world.now + ahead}" for ahead in (0, 1))
        requests = [
            signed(client, "GET", "/config", f"leaderUserId={MASTER_LOGIN}&{stamp}"),
            signed(client, "PUT", "/config", stamp, '{"leaderUserId": 100001, "leverage": "20"}'),
            signed(client, "DELETE", f"/leaders/{MASTER_LOGIN}", "", f"leaderUserId={MASTER_LOGIN}&{later}", form=True),
        ]
        for request in requests:
            changed = [request._replace(query=query) for query in flipped(request.query)]
            changed += [request._replace(body=body) for body in flipped(request.body)]
            codes = Counter([await sent(world.app, one) for one in changed])
            assert 200 not in codes, codes
            assert codes[-1022] > len(changed) / 2
            assert await sent(world.app, request) == 200


async def test_s5_a_changed_path_is_another_request_and_gets_nothing(world: World) -> None:
    """The path is not part of what is signed, by the published rule; whoever changes it reaches nothing that the key may not reach."""
    client = await following(world)
    await trade(world)
    before = await world.config_events()
    for path in (f"{FOLLOWER}/leaders/{MASTER_LOGIN}", f"{FOLLOWER}/config", f"{FOLLOWER}/positions/stop-profit-loss"):
        method = "DELETE" if "leaders" in path else "PUT"
        for place in range(1, len(path)):
            for flip in FLIPS:
                changed = path[:place] + chr(ord(path[place]) ^ flip) + path[place + 1 :]
                query = f"timestamp={world.now}&signature={signing.signature(client.secret, f'timestamp={world.now}')}"
                url = f"http://api{quote(changed)}?{query}"
                answer = await world.http.request(method, url, json=EXAMPLE, headers={"X-BB-APIKEY": client.key})
                assert answer.json().get("code") != 200, changed
                world.now += 1
    assert await world.config_events() == before


async def test_s3_a_captured_read_is_no_write(world: World) -> None:
    """Its query, as a proxy's log shows it, is all that a DELETE needs: the path is not signed, and the signature was used for no write."""
    client = await following(world)
    query = f"timestamp={world.now}"
    query += f"&signature={signing.signature(client.secret, query)}"
    before = await world.config_events()
    for method, path, code in (("GET", "/leaders", 200), ("DELETE", f"/leaders/{MASTER_LOGIN}", -1022), ("GET", "/leaders", 200)):
        assert (await client.raw(method, path, query)).json()["code"] == code
    assert await world.config_events() == before
