"""Live changes: one stream of the api's events for each session, shared by its tabs, taken up again where it broke off."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Literal, NamedTuple

import httpx
import structlog
from nicegui import background_tasks, ui
from prometheus_client import Gauge

from console.api import Api, Json
from console.parts import box
from console.session import Who, here

log = structlog.get_logger()

State = Literal["connecting", "on", "lost", "over"]
Listener = Callable[[str, Json], None]

STREAMS = Gauge("lockstep_console_streams", "Event streams that the console holds open at the api")
SILENCE_S = 45
"""The api says something every 15 s; who hears nothing for so long has lost it."""
AGAIN_S = (0.5, 1, 2, 4, 8)
WORDS: dict[State, str] = {"connecting": "Connecting", "on": "Live", "lost": "Connection lost, trying again", "over": "Session ended"}


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
        async with self._api.http.stream("GET", "/copytrade/events", headers=headers, timeout=timeout, params={"symbols": "*"}) as answer:
            if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                return False
            answer.raise_for_status()
            async for told in events(answer.aiter_lines()):
                self._last = told.number or self._last
                if told.event == "ready":
                    self._become("on")
                if told.event == "end":
                    return bool(told.data.get("reason") != "INVALID_CUSTOMER_SESSION")
                self._tell(told.event, told.data)
        return True

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
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


class Live:
    """A page's ear: its indicator, and its handlers by event. What comes within half a second is drawn at once, by `on_flush`;
    when too much was missed to be told, `on_anew` loads the page's data again."""

    def __init__(self, who: Who, on_flush: Callable[[], None], on_anew: Callable[[], Awaitable[None]]) -> None:
        self._token = who.token
        self._flush = on_flush
        self._anew = on_anew
        self._handlers: dict[str, Callable[[Json], object]] = {}
        self._dirty = False
        self._stale = False
        streams = here().streams
        with box("live").props("role=status aria-live=polite") as self.indicator:
            box("dot", "span").props("aria-hidden=true")
            self.label = ui.label()
        self._stream = streams.join(self._token, self._hear)
        self._show(self._stream.state)
        ui.timer(0.5, self._draw)
        ui.context.client.on_delete(lambda: streams.leave(self._token, self._hear))

    def on(self, event: str, handler: Callable[[Json], object]) -> None:
        """What is done with an event's data."""
        self._handlers[event] = handler

    def _hear(self, event: str, data: Json) -> None:
        if event == "state":
            self._show(data["state"])
            self._dirty = True
        elif event == "reset":
            self._stale = True
        elif event in self._handlers:
            self._handlers[event](data)
            self._dirty = True

    async def _draw(self) -> None:
        if self._stale:
            self._stale = False
            await self._anew()
        elif self._dirty:
            self._dirty = False
            self._flush()

    def _show(self, state: State) -> None:
        self.indicator.classes(replace=f"live {'on' if state == 'on' else 'lost' if state in {'lost', 'over'} else ''}")
        self.label.text = WORDS[state]
