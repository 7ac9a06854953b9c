"""What pages are built from: panels that load, tiles, chips, empty states, errors in words, confirmations."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nicegui import background_tasks, ui

from console import words
from console.api import ApiError
from console.session import forget, is_current

T = TypeVar("T")
E = TypeVar("E", bound=ui.element)
WHOLE_PAGE_S = 1.2
"""So long a page waits for what it shows, to come whole; then it comes with what is still loading marked as such."""


def box(classes: str, tag: str = "div") -> ui.element:
    """A plain element with classes of the theme."""
    return ui.element(tag).classes(classes)


def named(element: E, label: str) -> E:
    """What a screen reader calls an element. Never within a string of `props`: a label may be somebody else's text, and a property
    whose name begins with a colon is run as code."""
    element.props["aria-label"] = label
    return element


def heading(title: str, level: int = 2) -> None:
    with box(f"h{level}").props(f"role=heading aria-level={level}"):
        ui.label(title)


def chip(label: str, tone: str = "", icon: str = "") -> ui.element:
    """A small label with a meaning: good, bad, warn, info or mute."""
    with box(f"chip {tone}", "span") as made:
        if icon:
            ui.icon(icon).props("aria-hidden=true")
        ui.label(label)
    return made


def tile(label: str, value: str, tone: str = "", note: str = "") -> ui.label:
    """A figure under its name; answers the label that holds the figure."""
    with box("tile"):
        ui.label(label).classes("tile-name")
        shown = ui.label(value).classes(f"tile-value num {tone}")
        if note:
            ui.label(note).classes("tile-note")
    return shown


@contextmanager
def card(title: str = "", classes: str = "") -> Iterator[ui.element]:
    """A titled surface."""
    with box(f"card {classes}", "section") as made:
        if title:
            named(made, title)
            with box("card-head"):
                heading(title, 2)
        yield made


@contextmanager
def card_with_actions(title: str) -> Iterator[tuple[ui.element, ui.element]]:
    """A titled surface with a place for controls beside its title: answers (the card, that place)."""
    with named(box("card", "section"), title) as made:
        with box("card-head"):
            heading(title, 2)
            actions = box("actions")
        yield made, actions


def facts(rows: list[tuple[str, str]], classes: str = "") -> None:
    """Names and values, one under the other."""
    with box(f"facts {classes}", "dl"):
        for name, value in rows:
            with box("", "dt"):
                ui.label(name)
            with box("num" if value[:1] in "0123456789+−" else "", "dd"):
                ui.label(value)


def empty(icon: str, title: str, hint: str = "", action: str = "", on_click: Callable[[], Any] | None = None) -> None:
    """What is shown where nothing is: why, and what to do about it."""
    with box("empty").props("role=status"):
        ui.icon(icon).classes("empty-icon").props("aria-hidden=true")
        ui.label(title).classes("empty-title")
        if hint:
            ui.label(hint).classes("empty-hint")
        if action and on_click:
            ui.button(action, on_click=on_click).props("outline").classes("mt")


def skeleton(lines: int) -> None:
    """What stands where something is being loaded."""
    with box("skeleton").props("role=status aria-busy=true aria-label=Loading"):
        for _ in range(lines):
            box("bone")


def in_words(error: ApiError) -> str:
    """An error as a person reads it: what is wrong, the server's detail, and the code to tell support."""
    detail = f": {error.message}" if error.message and error.code in {"INVALID_DATA", "INVALID_REWARD_POLICY", "TOO_MANY_REQUESTS"} else ""
    return f"{words.error(error.code)}{detail} ({error.code})"


def over() -> None:
    """The page's session has ended: back to the login. A newer session of the same browser is left as it is."""
    if is_current():
        forget("/login?over=1")
    ui.navigate.to("/login?over=1")


class Panel:
    """A part of a page that loads: a skeleton first, then what `draw` makes, or what went wrong and a button to try again."""

    def __init__(self, draw: Callable[[], Awaitable[None]], lines: int = 5) -> None:
        self._draw = draw
        self._drawing: asyncio.Task[None] | None = None
        self.root = box("panel")
        with self.root:
            skeleton(lines)
        self.task = background_tasks.create(self.load(), name="panel")

    async def load(self) -> None:
        """Draws anew. What is there stays until the new is known to have come; of two loads at once only the newer one comes to an end,
        so that no older answer is drawn, nor kept by what draws."""
        if self.root.is_deleted:
            return
        if self._drawing is not None:
            self._drawing.cancel()
        drawing = self._drawing = asyncio.create_task(self._drawn())
        await asyncio.wait([drawing])
        if not drawing.cancelled():
            drawing.result()

    async def _drawn(self) -> None:
        before = list(self.root)
        with self.root:
            fresh = box("panel")
        try:
            with fresh:
                await self._draw()
        except ApiError as error:
            if not fresh.is_deleted:
                fresh.clear()
                with fresh:
                    self._failed(error)
        except BaseException:
            _remove(fresh)
            raise
        for element in before:
            _remove(element)

    def _failed(self, error: ApiError) -> None:
        if error.session_over:
            over()
            return
        with box("error-box").props("role=alert"):
            ui.icon("cloud_off" if error.code == "AWAY" else "error_outline").props("aria-hidden=true")
            ui.label(in_words(error))
            ui.button("Try again", on_click=self.load).props("outline dense")


def _remove(element: ui.element) -> None:
    if not element.is_deleted:
        element.delete()


async def settled(*panels: Panel) -> None:
    """Waits a moment for the panels, so that a page usually comes whole."""
    await asyncio.wait([panel.task for panel in panels], timeout=WHOLE_PAGE_S)


async def attempt(action: Awaitable[T], done: str | Callable[[T], str] = "") -> T | None:
    """Does something that was asked for; tells that it was done (what, may depend on the answer), or in words why not (None then)."""
    try:
        result = await action
    except ApiError as error:
        if error.session_over:
            over()
        else:
            complain(error)
        return None
    if done:
        ui.notify(done if isinstance(done, str) else done(result), type="positive", position="bottom", timeout=4000)
    return result


def complain(error: ApiError) -> None:
    ui.notify(in_words(error), type="negative", position="bottom", timeout=8000, close_button="Close", multi_line=True)


async def answer_of(dialog: ui.dialog) -> Any:
    """Opens a dialog, waits for what it is submitted with (None when it was called off), and takes it away."""
    answer = await dialog
    if not (dialog.is_deleted or dialog.client.is_deleted):
        dialog.delete()
    return answer


async def confirmed(title: str, explained: str, action: str, *, danger: bool = False, choices: dict[str, str] | None = None) -> str | None:
    """Asks before something that moves money or stops copying. Answers the choice (or "yes"), None when it was called off."""
    with ui.dialog() as dialog, named(box("dialog").props("role=alertdialog"), title):
        heading(title, 2)
        ui.label(explained).classes("dialog-text")
        chosen = ui.radio(choices, value=next(iter(choices))).props("dense").classes("choices") if choices else None
        with box("dialog-actions"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
            said = lambda: dialog.submit(chosen.value if chosen else "yes")  # noqa: E731
            ui.button(action, on_click=said).props("color=negative" if danger else "color=primary")
    answer = await answer_of(dialog)
    return str(answer) if answer else None
