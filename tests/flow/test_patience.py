"""An HTTP port waits for no one without end, and lets alone who is being answered: streams, sockets, one request after another."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import websockets
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from shared.health import Door

from shared import patience
from tests.ports import free_base

pytestmark = pytest.mark.anyio
HEAD_S = 0.3


@pytest.fixture
async def port(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(patience, "HEAD_S", HEAD_S)
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def slowly() -> AsyncIterator[str]:
            for word in ("one", "two"):
                await asyncio.sleep(2 * HEAD_S)
                yield word

        return StreamingResponse(slowly())

    @app.websocket("/socket")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())

    door, number = Door(), free_base(1)
    door.serves(app)
    serving = asyncio.create_task(door.open("127.0.0.1", number))
    while True:
        try:
            (await asyncio.open_connection("127.0.0.1", number))[1].close()
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    yield number
    door.close()
    await serving


async def test_who_says_nothing_or_half_a_head_is_let_go(port: int) -> None:
    for said in (b"", b"GET /stream HT", b"GET /stream HTTP/1.1\r\nHost: a\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 10) == b"", said
        writer.close()


async def test_who_is_being_answered_is_let_alone(port: int) -> None:
    """A stream that takes longer than a head may, twice on one connection; the second head comes in two pieces, in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for pieces in ((b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",), (b"GET /stream HTTP/1.1\r\n", b"Host: a\r\n\r\n")):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        answer = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
        assert (b"200 OK" in answer, b"one" in answer, b"two" in answer) == (True, True, True)
    writer.write(b"GET /stream HTTP/1.1\r\n")  # a third that stays half
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_browsers_socket_is_let_alone(port: int) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{port}/socket") as socket:
        await asyncio.sleep(2 * HEAD_S)
        await socket.send("still here")
        assert await socket.recv() == "still here"


def test_as_many_files_as_the_system_allows() -> None:
    patience.many_files()
    soft, hard = patience.resource.getrlimit(patience.resource.RLIMIT_NOFILE)
    assert soft == hard or soft >= patience.FILES_MAX
