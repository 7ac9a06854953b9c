"""A client of the line protocol, and the server that it talks to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api import auth
from api.manager.pushes import Pushes
from api.manager.tcp import LineServer

from tests.api.world import World


class LineClient:
    """Plain TCP, one JSON value a line, `\\r\\n`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self.reader, self.writer, self.token = reader, writer, token

    def send(self, command: str, ext_id: str, data: Any = None, **more: Any) -> None:
        message = {"command": command, "extID": ext_id, "data": data or {}, "__token": self.token} | more
        self.writer.write(json.dumps(message).encode() + b"\r\n")

    async def receive(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, command: str, data: Any = None, **more: Any) -> dict[str, Any]:
        self.send(command, "one", data, **more)
        return await self.receive()


@asynccontextmanager
async def line_server(world: World) -> AsyncIterator[tuple[LineServer, Pushes]]:
    pushes = Pushes(world.store)
    lines = LineServer(world.context, pushes)
    server = await lines.start(0)
    async with server:
        yield lines, pushes


@asynccontextmanager
async def connected(world: World, port: int, kind: str = auth.MANAGER) -> AsyncIterator[LineClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    yield LineClient(reader, writer, world.token(kind, "ops"))
    writer.close()
