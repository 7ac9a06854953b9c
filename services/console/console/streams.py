"""The api's events: one stream for each session, shared by its tabs, taken up again where it broke off."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Literal, NamedTuple

import httpx
import structlog
from nicegui import background_tasks
from prometheus_client import Gauge

from console.api import Api, Json

log = structlog.get_logger()

State = Literal["connecting", "on", "lost", "over"]
Listener = Callable[[str, Json], None]

STREAMS = Gauge("lockstep_console_streams", "Event streams that the console holds open at the api")
SILENCE_S = 45
"""The api says something every 15 s; who hears nothing for so long has lost it."""
AGAIN_S = (0.5, 1, 2, 4, 8)


class Told(NamedTuple):
    """One event of the stream."""

    event: str
    data: Json
    number: str


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Told]:
    """The events of a stream's lines, as the standard for server-sent events has them."""
    name, number = "message", ""
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield Told(name, json.loads("\n".join(data), parse_float=Decimal), number)
            name, number, data = "message", "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "id":
                number = value
            case "data":
                data.append(value)
            case _:  # comments, and `retry`, which we decide ourselves
                pass


class Stream:
    """The events of one session, for as long as somebody listens."""

    def __init__(self, api: Api, token: str) -> None:
        self.state: State = "connecting"
        self.begun = asyncio.Event()
        """Set once it is known whether the api answers."""
        self.listeners: list[Listener] = []
        self._api = api
        self._token = token
        self._last = ""

    async def run(self) -> None:
        """Reads until the session is over; a fault is waited out, and what was missed is told when it is over."""
        tries = 0
        while True:
            try:
                if not await self._read():
                    self._become("over")
                    return
            except (httpx.HTTPError, ValueError) as fault:
                log.debug("events interrupted", fault=repr(fault))
            tries = 0 if self.state == "on" else tries + 1
            self._become("lost")
            await asyncio.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])

    async def _read(self) -> bool:
        """Reads until the stream ends. Answers whether the session still holds."""
        headers = {"Authorization": self._token, "Accept": "text/event-stream"} | ({"Last-Event-ID": self._last} if self._last else {})
        timeout = httpx.Timeout(10, read=SILENCE_S)
        async with self._api.streams.stream(
            "GET", "/copytrade/events", headers=headers, timeout=timeout, params={"symbols": "*"}
        ) as answer:
            if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                return False
            answer.raise_for_status()
            async for told in events(answer.aiter_lines()):
                self._last = told.number or self._last
                if told.event in {"ready", "reset"}:
                    self._become("on")
                if told.event == "end":
                    return bool(told.data.get("reason") != "INVALID_CUSTOMER_SESSION")
                self._tell(told.event, told.data)
        return True

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.begun.set()
            self._tell("state", {"state": state})

    def _tell(self, event: str, data: Json) -> None:
        for listener in list(self.listeners):
            listener(event, data)


class Streams:
    """All streams of this process, by session."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._open: dict[str, tuple[Stream, asyncio.Task[None]]] = {}

    def join(self, token: str, listener: Listener) -> Stream:
        """A stream with one more listener; begun with the first."""
        if token not in self._open:
            stream = Stream(self._api, token)
            self._open[token] = (stream, background_tasks.create(stream.run(), name="events"))
            STREAMS.inc()
        stream = self._open[token][0]
        stream.listeners.append(listener)
        return stream

    def leave(self, token: str, listener: Listener) -> None:
        """Ends with the last listener."""
        if token not in self._open:
            return
        stream, task = self._open[token]
        with contextlib.suppress(ValueError):
            stream.listeners.remove(listener)
        if not stream.listeners:
            task.cancel()
            del self._open[token]
            STREAMS.dec()
