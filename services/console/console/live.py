"""Live changes on a page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from nicegui import ui

from console.api import Json
from console.parts import box
from console.session import Who, here
from console.streams import State

WORDS: dict[State, str] = {"connecting": "Connecting", "on": "Live", "lost": "Connection lost, trying again", "over": "Session ended"}
BEGIN_S = 0.5
"""So long a page waits with its lists for the stream to begin; if it begins later, they are loaded again then."""


class Live:
    """A page's ear: its indicator, and its handlers by event. What comes within half a second is drawn at once, by `on_flush`;
    when something was missed that is not told, `on_anew` loads the page's data again."""

    def __init__(self, who: Who, on_flush: Callable[[], None], on_anew: Callable[[], Awaitable[None]]) -> None:
        self._token = who.token
        self._flush = on_flush
        self._anew = on_anew
        self._handlers: dict[str, Callable[[Json], object]] = {}
        self._dirty = False
        self._stale = False
        self._waiting = 0
        self._loads = 0
        self._held: list[tuple[str, Json]] = []
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

    @contextlib.asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Around the asking for the page's lists: it is done once the stream has begun, so that nothing falls between the two, and what
        is told meanwhile is put over the lists after it, since an answer may be older."""
        self._stale = False
        self._waiting += 1
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._stream.begun.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
        self._loads += 1
        try:
            yield
        finally:
            self._loads -= 1
            if not self._loads:
                held, self._held = self._held, []
                for event, data in held:
                    self._handle(event, data)

    def load_anew(self) -> None:
        """What is shown cannot take in what was told: the page is loaded again."""
        self._stale = True

    def _hear(self, event: str, data: Json) -> None:
        if event == "state":
            self._show(data["state"])
            self._dirty = True
        elif event == "reset" or (event == "ready" and not data["resumed"]):
            self._stale = not self._waiting
        elif event in self._handlers:
            if self._loads:
                self._held.append((event, data))
            else:
                self._handle(event, data)

    def _handle(self, event: str, data: Json) -> None:
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
