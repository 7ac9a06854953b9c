"""Event streams: they take no connection from calls, and are live again after what was missed cannot be told."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from console.api import IDLE_S, Api
from console.streams import Stream

pytestmark = pytest.mark.anyio
OPEN = 230
"""More than calls may have connections."""


class Said(httpx.AsyncByteStream):
    """An answer that begins with a text and never ends."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._text.encode()
        await asyncio.Event().wait()


class Server:
    """Answers calls at once, and streams never."""

    def __init__(self) -> None:
        self.streams = 0
        self.full = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/copytrade/events" in head:
            self.streams += 1
            if self.streams == OPEN:
                self.full.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await writer.drain()
            await reader.read()
        else:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"a": 1}')
            await writer.drain()
        writer.close()


async def test_a_call_is_answered_while_more_pages_listen_than_calls_may_have_connections() -> None:
    served = Server()
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    api = Api(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 5)
    listening = [asyncio.create_task(Stream(api, f"session {number}").run()) for number in range(OPEN)]
    try:
        async with asyncio.timeout(30):
            await served.full.wait()
            assert await api.call("GET", "/copytrade/my") == {"a": 1}
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await api.close()
        server.close()


@pytest.mark.parametrize(("first", "data"), [("ready", '{"resumed":1}'), ("reset", '{"reason":"NOT_KEPT"}')])
async def test_a_stream_is_live_once_it_goes_on_even_when_what_was_missed_is_not_kept(first: str, data: str) -> None:
    said = Said(f"id: 7\nevent: {first}\ndata: {data}\n\n")
    api = Api("http://api", 5, httpx.MockTransport(lambda _: httpx.Response(200, stream=said)))
    stream = Stream(api, "token")
    stream.state = "lost"
    task = asyncio.create_task(stream.run())
    async with asyncio.timeout(5):
        await stream.begun.wait()
    assert stream.state == "on"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await api.close()


async def test_a_connection_that_the_api_is_about_to_close_is_not_used_any_more() -> None:
    """It closes one that was idle for 5 s; here it is the second request on a connection that comes at that very moment."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')
        await writer.drain()
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    api = Api(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 5)
    for _ in range(2):
        assert await api.call("GET", "/copytrade/my") == {"a": 1}
        await asyncio.sleep(IDLE_S + 0.2)
    await api.close()
    server.close()
