"""The manager API over the line protocol: one JSON value a line, `\\r\\n`, any number of requests in flight on one connection.

    {"command": "MngGetCopyMastersByFilter", "extID": "a1", "data": {...}, "__token": "..."}
    {"extID": "a1", "status": 200, "data": {...}}
    {"extID": "a1", "status": 400, "error": "INVALID_DATA", "message": "..."}

`Subscribe` and `Unsubscribe` `{"chanels": [...]}` (sic) choose the pushes that a connection gets, for as long as the session of the last
of them lasts: then the connection is told so (401, no `extID`) and closed.
"""

import asyncio
import contextlib
import json
import ssl
from typing import Any

import structlog
from shared.store.engine import AWAY

from api.context import KEY_MAX_LENGTH, Asked, Context, fingerprint
from api.errors import Refused
from api.intake import parse_json
from api.manager.dispatch import dispatch
from api.manager.pushes import CHANNELS, Pushes
from api.views import Json

log = structlog.get_logger()

EXT_ID_MAX = 64
TLS_HANDSHAKE_S = 10


class LineServer:
    """Takes connections on the manager's TCP port."""

    def __init__(self, context: Context, pushes: Pushes) -> None:
        self._context = context
        self._pushes = pushes
        self._open: set[_Connection] = set()
        self.port = 0

    async def run(self) -> None:
        """Serves until cancelled. With port 0 in the settings the door stays closed."""
        settings = self._context.settings
        if not settings.tcp_port:
            return
        server = await self.start(settings.tcp_port)
        try:
            await server.serve_forever()
        finally:
            for connection in list(self._open):
                connection.close()

    async def start(self, port: int) -> asyncio.Server:
        settings = self._context.settings
        tls = None
        if settings.tcp_certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(settings.tcp_certificate, settings.tcp_key)
        timeout = TLS_HANDSHAKE_S if tls else None
        limit = settings.tcp_line_max_bytes
        server = await asyncio.start_server(self._accept, settings.http_host, port, limit=limit, ssl=tls, ssl_handshake_timeout=timeout)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self._context, self._pushes, reader, writer)
        if len(self._open) >= self._context.settings.tcp_connections_max:
            connection.send(_failure("", Refused("TOO_MANY_REQUESTS", "too many connections")))
            connection.close()
            return
        self._open.add(connection)
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)


class _Connection:
    """One client."""

    def __init__(self, context: Context, pushes: Pushes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._context = context
        self._pushes = pushes
        self._reader = reader
        self._writer = writer
        self._channels: set[str] = set()
        self._token = ""
        """Of whom the pushes are for."""
        self._room = asyncio.Semaphore(context.settings.tcp_in_flight_max)
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self._writer.close()

    async def serve(self) -> None:
        """Reads until the client goes, is idle for too long, or sends a line that is too long."""
        watch = asyncio.create_task(self._watch())
        try:
            while (line := await self._line()) is not None:
                if line.strip():
                    await self._room.acquire()
                    task = asyncio.create_task(self._answer(line))
                    self._tasks.add(task)
                    task.add_done_callback(self._done)
            if self._tasks:  # half-closed: what was asked is answered
                await asyncio.wait(self._tasks)
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(self._writer.drain(), 5)
        finally:
            self._pushes.leave(self.push)
            for task in (watch, *self._tasks):
                task.cancel()
            self._writer.close()

    async def _watch(self) -> None:
        """Lets a connection go that gets pushes in a session that has ended."""
        while True:
            await asyncio.sleep(self._context.settings.events_check_s)
            try:
                if self._channels:
                    self._context.manager(self._token)
            except Refused as refused:
                self._pushes.leave(self.push)
                self.send(_failure("", refused))
                self.close()
                return

    async def _line(self) -> bytes | None:
        """The next line; None when there will be none."""
        while True:
            try:
                return await asyncio.wait_for(self._next_line(), self._context.settings.tcp_idle_s)
            except TimeoutError:
                if not self._channels:  # looked at now: the last request may have subscribed after the waiting began
                    return None

    async def _next_line(self) -> bytes | None:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            limit = self._context.settings.tcp_line_max_bytes
            self.send(_failure("", Refused("BODY_TOO_LARGE", f"a line has at most {limit} bytes")))
            return None
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, ssl.SSLError):  # the socket's own time-out, not ours
            return None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _answer(self, line: bytes) -> None:
        ext_id: str | int = ""
        try:
            message = parse_json(line, self._context.settings.json_depth_max + 2)
            if not isinstance(message, dict):
                raise Refused("INVALID_DATA", "a request is a JSON object")
            ext_id = _ext_id(message.get("extID", ""))
            answer: Json = {"extID": ext_id, "status": 200, "data": await self._do(message, line)}
        except Refused as refused:
            answer = _failure(ext_id, refused)
        except AWAY as fault:
            log.warning("database unavailable", fault=repr(fault))
            answer = _failure(ext_id, Refused("UNAVAILABLE", "try again"))
        except Exception as error:
            log.error("request failed", exc_info=error)
            answer = _failure(ext_id, Refused("INTERNAL", "internal error"))
        self.send(answer)

    async def _do(self, message: Json, line: bytes) -> Json:
        token, command = message.get("__token"), message.get("command")
        token = token if isinstance(token, str) else ""
        actor = self._context.manager(token)
        await self._context.spend(str(actor))
        if not isinstance(command, str):
            raise Refused("UNKNOWN_COMMAND", "command is a text")
        if command in {"Subscribe", "Unsubscribe"}:
            return self._subscribe(message.get("data"), token, on=command == "Subscribe")
        key = message.get("idempotencyKey", "")
        if not isinstance(key, str) or len(key) > KEY_MAX_LENGTH or not key.isascii() or not key.isprintable():
            raise Refused("INVALID_DATA", f"idempotencyKey: at most {KEY_MAX_LENGTH} printable ASCII characters")
        data = message.get("data")
        print_ = fingerprint(command, json.dumps(data, sort_keys=True, default=str)) if key else ""
        return await dispatch(self._context, actor, command, data, Asked(key, print_))

    def _subscribe(self, data: Any, token: str, *, on: bool) -> Json:
        names = data.get("chanels") if isinstance(data, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) and name in CHANNELS for name in names):
            raise Refused("INVALID_DATA", f"chanels is a list of {', '.join(CHANNELS)}")
        self._channels = self._channels | set(names) if on else self._channels - set(names)
        self._token = token
        if self._channels:
            self._pushes.join(self.push)
        else:
            self._pushes.leave(self.push)
        return {"chanels": sorted(self._channels)}

    def push(self, channel: str, message: Json) -> None:
        if channel in self._channels:
            self.send(message)

    def send(self, message: Json) -> None:
        """Queues a line. Who does not read what was queued before is let go, so that others are not harmed by it."""
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > self._context.settings.tcp_unsent_max_bytes:
            log.warning("slow client let go")
            self._writer.transport.abort()
            return
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\r\n")


def _ext_id(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, str) and len(value) > EXT_ID_MAX):
        raise Refused("INVALID_DATA", f"extID is a text of at most {EXT_ID_MAX} characters")
    return value


def _failure(ext_id: str | int, refused: Refused) -> Json:
    return {"extID": ext_id, "status": refused.status, **refused.body()}
