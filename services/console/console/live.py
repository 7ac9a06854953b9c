"""Live changes on a page."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from console.api import Json
from console.parts import box
from console.session import Who, here
from console.streams import State

WORDS: dict[State, str] = {"connecting": "Connecting", "on": "Live", "lost": "Connection lost, trying again", "over": "Session ended"}


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
