"""What the doors bear: limits (S11), slow and idle clients, many of them, and requests that are no requests (S10).

S11_IDLE=1000 pytest tests/api/test_limits.py -k idle -s      the promises' size
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api.manager.pushes import messages
from shared.bus.reader import Received
from shared.contracts.links import TOPIC, LinkEvent
from shared.health import Door
from shared.patience import many_files
from shared.service import Read
from shared.store.work import Work
from structlog.testing import capture_logs

from tests.api.fuzz import Sent, put
from tests.api.line import LineClient, connected, line_server
from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, SUBSCRIPTION, World, open_world
from tests.ports import free_base

pytestmark = pytest.mark.anyio
MNG = "SESSION_MANAGER"
IDLE = int(os.environ.get("S11_IDLE", "200"))


async def test_rate_limits_are_per_customer(tmp_path: Path) -> None:
    async with open_world(tmp_path, rate_limit="5/minute", login_rate_limit="3/minute") as world:
        statuses = [(await world.call(ALICE, "GET", "/copytrade/my")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        late = await world.call(ALICE, "GET", "/copytrade/my")
        assert late.json()["error"] == "TOO_MANY_REQUESTS"
        assert 1 <= int(late.headers["retry-after"]) <= 60
        assert (await world.call(BOB, "GET", "/copytrade/my")).status_code == 200
        body = {"email": "bob@example.com", "password": "wrong password"}
        statuses = [(await world.call(None, "POST", "/customer/auth/login", body)).status_code for _ in range(5)]
        assert statuses == [403, 403, 403, 429, 429]


async def test_s11_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with open_world(tmp_path, body_timeout_s=0.1) as world:
        scope = {"type": "http", "method": "POST", "path": "/copytrade/follower", "headers": [], "query_string": b"", "http_version": "1.1"}
        sent: list[Any] = []

        async def never() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        await world.app({**scope, "raw_path": b"/copytrade/follower", "scheme": "http", "root_path": ""}, never, send)
        assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]) == (408, "REQUEST_TIMEOUT")


async def test_limits_of_the_line(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, tcp_line_max_bytes=4096, tcp_connections_max=2, tcp_idle_s=0.3) as world,
        line_server(world) as (server, _),
        connected(world, server.port) as client,
        connected(world, server.port) as other,
    ):
        async with connected(world, server.port) as third:
            assert (await third.receive())["error"] == "TOO_MANY_REQUESTS"
            assert await third.reader.read() == b""
        client.writer.write(b"x" * 10_000)
        assert (await client.receive())["error"] == "BODY_TOO_LARGE"
        assert await client.reader.read() == b""
        assert (await other.ask("MngGetCopyMastersByFilter"))["status"] == 200
        assert await asyncio.wait_for(other.reader.read(), 5) == b"", "an idle connection is closed"


async def answered(client: LineClient, within_s: float = 20) -> None:
    """The client gets an answer, soon."""
    async with asyncio.timeout(within_s):
        assert (await client.ask("MngGetCopyMastersByFilter"))["status"] == 200


async def test_s11_who_does_not_read_is_let_go_and_others_are_not_harmed(tmp_path: Path) -> None:
    """20,000 pushes of some 400 bytes that nobody takes come to 8 MB, beyond the sockets' buffers: they are not kept without end."""
    async with (
        open_world(tmp_path, tcp_unsent_max_bytes=64 * 1024) as world,
        line_server(world) as (server, pushes),
        connected(world, server.port) as other,
    ):
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", server.port))
        slow = LineClient(*await asyncio.open_connection(sock=narrow, limit=1024), world.token(MNG, "ops"))  # reads 2 KB ahead at most
        assert (await slow.ask("Subscribe", {"chanels": ["link:event"]}))["status"] == 200

        async def keep_nothing(_batch: Received[Any], _work: Work) -> None:
            pass

        heard = pushes.reads({TOPIC: Read(LinkEvent, keep_nothing)})[TOPIC].handler
        told = links(*(link(number) for number in range(500)))
        with capture_logs() as logged:
            for number in range(1, 41):
                async with world.store.work() as work:
                    await heard(Received(TOPIC, number, "executor", world.now, (told,)), work)
                    work.move(TOPIC, number - 1, number)
                pushes.tell()
                await answered(other)
        assert [entry["event"] for entry in logged] == ["slow client let go"]
        slow.writer.close()


async def test_s11_a_line_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    """A byte now and then does not keep a connection: the whole line has its time."""
    async with (
        open_world(tmp_path, tcp_idle_s=0.4) as world,
        line_server(world) as (server, _),
        connected(world, server.port) as dripping,
        connected(world, server.port) as other,
    ):

        async def closed() -> bytes:
            try:
                return await dripping.reader.read()
            except ConnectionResetError:  # a byte was on its way when the connection was closed
                return b""

        started = asyncio.get_running_loop().time()
        ended = asyncio.create_task(closed())
        while not ended.done() and asyncio.get_running_loop().time() - started < 5:
            dripping.writer.write(b"{")
            await answered(other)
            await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(ended, 1)) == b""


async def test_who_only_listens_is_not_idle(tmp_path: Path) -> None:
    """A client that subscribes and sends nothing more waits for what it is told: it was closed as though it did nothing."""
    async with (
        open_world(tmp_path, tcp_idle_s=0.3) as world,
        line_server(world) as (server, pushes),
        connected(world, server.port) as client,
    ):
        assert (await client.ask("Subscribe", {"chanels": ["link:event"]}))["status"] == 200
        await asyncio.sleep(1)
        for message in messages(links(link(1))):
            for listener in list(pushes._listeners):
                listener(*message)
        assert (await client.receive())["data"]["link"] == 1
        assert (await client.ask("Unsubscribe", {"chanels": ["link:event"]}))["status"] == 200
        assert await asyncio.wait_for(client.reader.read(), 5) == b"", "it is idle now"


async def slowest(ask: Callable[[], Awaitable[Any]]) -> float:
    """The longest that one of 20 requests took, one after the other, in ms."""
    took = []
    for _ in range(20):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    return max(took)


async def test_s11_idle_connections_are_bounded_and_harm_nobody(tmp_path: Path) -> None:
    """Many connections that say nothing, one that works among them; one more is refused in words; one that goes makes room."""
    many_files()
    async with (
        open_world(tmp_path, tcp_connections_max=IDLE + 1) as world,
        line_server(world) as (server, _),
        connected(world, server.port) as working,
        AsyncExitStack() as opened,
    ):
        alone = await slowest(lambda: answered(working))
        idle = [await opened.enter_async_context(connected(world, server.port)) for _ in range(IDLE)]
        among = await slowest(lambda: answered(working))
        print(f"line: idle={IDLE} slowest_alone_ms={alone:.1f} slowest_among_them_ms={among:.1f}")
        async with connected(world, server.port) as refused:
            assert (await refused.receive())["error"] == "TOO_MANY_REQUESTS"
        await answered(working)
        idle[0].writer.close()
        await idle[0].writer.wait_closed()
        await answered(working)
        async with connected(world, server.port) as fresh:
            await answered(fresh)


@asynccontextmanager
async def http_door(world: World) -> AsyncIterator[int]:
    """The api on a port, as a service opens it."""
    door, port = Door(), free_base(1)
    door.serves(world.app)
    serving = asyncio.create_task(door.open("127.0.0.1", port))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    writer.close()
    yield port
    door.close()
    await serving


async def test_s11_idle_connections_on_the_http_door_harm_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them say nothing, half have begun a request and go on byte by byte; all are closed after a while, who works is not."""
    monkeypatch.setattr("shared.patience.HEAD_S", 1.5 + IDLE / 200)
    async with http_door(world) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=world.customer(BOB)) as client:

        async def ask() -> None:
            assert (await client.get("/copytrade/my", timeout=20)).status_code == 200

        alone = await slowest(ask)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE)]
        for _, writer in idle[::2]:
            writer.write(b"GET /copytrade/my HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        among = await slowest(ask)
        print(f"http: idle={IDLE} slowest_alone_ms={alone:.1f} slowest_among_them_ms={among:.1f}")
        ends = [asyncio.create_task(reader.read()) for reader, _ in idle]
        async with asyncio.timeout(60):
            while not all(end.done() for end in ends):
                for _, writer in idle[::2]:
                    writer.write(b"x")
                await asyncio.sleep(0.2)
                await ask()
        found = await asyncio.gather(*ends, return_exceptions=True)
        assert all(end == b"" or isinstance(end, ConnectionResetError) for end in found), "closed without a word"
        for _, writer in idle:
            writer.close()


async def test_s10_a_query_that_is_no_text_may_have_a_key(world: World) -> None:
    headers = [(b"authorization", world.token("SESSION_CUSTOMER", BOB).encode()), (b"idempotency-key", b"k")]
    body = b'{"login": %d}' % BOB_LOGIN
    statuses = [
        (await put(world, Sent("", "POST", "/copytrade/follower", query, body, headers))).status for query in (b"\xd5", b"\xd5", b"\xd6")
    ]
    assert statuses == [200, 200, 422]


async def test_what_was_cut_off_is_not_done(world: World) -> None:
    """The client goes after the head: that the body asked for the copies to be closed was not heard, so nothing is ended."""
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    coming: list[Any] = []
    token = world.customer(BOB)["Authorization"].encode()
    headers = [(b"authorization", token), (b"content-type", b"application/json"), (b"content-length", b"24")]
    path = "/copytrade/subscription/1"
    scope = {"type": "http", "method": "DELETE", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    for body in (b'{"close', b""):
        coming[:] = [{"type": "http.disconnect"}, {"type": "http.request", "body": body, "more_body": True}]
        await world.app(scope, receive, send)
        assert len(await world.rows("subscription")) == 1
