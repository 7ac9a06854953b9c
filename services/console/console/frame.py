"""The frame around every page: brand, navigation, who is logged in, the theme, and the state of the connection."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nicegui import app, ui

from console import words
from console.parts import box, chip, heading
from console.session import Kind, Who, forget, is_dark

STATIC = Path(__file__).parent / "static"
LOGO = (STATIC / "mark.svg").read_text()
GROUND = {True: "#0b0f17", False: "#f4f6fa"}


class Place(NamedTuple):
    """An entry of the navigation."""

    path: str
    name: str
    icon: str
    short: str


TRADER = (
    Place("/", "Marketplace", "storefront", "Market"),
    Place("/copying", "My copying", "content_copy", "Copying"),
    Place("/rewards", "Rewards", "payments", "Rewards"),
    Place("/strategies", "My strategies", "auto_graph", "Strategies"),
)
OFFICE = (
    Place("/office", "Overview", "monitor_heart", "Overview"),
    Place("/office/masters", "Masters", "auto_graph", "Masters"),
    Place("/office/followers", "Followers", "group", "Followers"),
    Place("/office/subscriptions", "Subscriptions", "sync_alt", "Subscr."),
    Place("/office/links", "Links", "link", "Links"),
    Place("/office/accruals", "Accruals", "payments", "Accruals"),
    Place("/office/letters", "Dead letters", "mark_email_unread", "Letters"),
    Place("/office/audit", "Audit log", "history", "Audit"),
    Place("/office/halt", "Halt switch", "front_hand", "Halt"),
)
PLACES: dict[Kind, tuple[Place, ...]] = {"customer": TRADER, "manager": OFFICE}
ON_PHONE: dict[Kind, tuple[str, ...]] = {
    "customer": tuple(place.path for place in TRADER),
    "manager": ("/office", "/office/links", "/office/accruals", "/office/halt"),
}


@cache
def _stamp() -> str:
    return hashlib.sha256((STATIC / "theme.css").read_bytes()).hexdigest()[:12]


def head(title: str) -> ui.dark_mode:
    """The document's own: title, theme, ground colour before the first paint. Answers the dark switch."""
    ui.page_title(f"{title} · Lockstep")
    dark = is_dark()
    # Before the scripts have run there is only this: no flash of the other theme.
    ui.add_head_html(
        f'<link rel="stylesheet" href="/static/theme.css?{_stamp()}"><style>html{{background:{GROUND[dark]}}}</style>'
        '<meta name="color-scheme" content="light dark">'
    )
    return ui.dark_mode(value=dark)


def mark(classes: str = "mark") -> None:
    """The brand's mark, our own drawing."""
    ui.html(LOGO, sanitize=False).classes(classes).props("aria-hidden=true")


def theme_button(dark: ui.dark_mode) -> None:
    def toggle() -> None:
        dark.value = not dark.value
        app.storage.user["dark"] = bool(dark.value)
        button.props(f"icon={'light_mode' if dark.value else 'dark_mode'}")

    button = ui.button(icon="light_mode" if dark.value else "dark_mode", on_click=toggle, color=None)
    button.props('flat round dense aria-label="Switch between dark and light"').classes("quiet")


def log_out() -> None:
    forget()
    ui.navigate.to("/login")


@contextmanager
def frame(who: Who, title: str, path: str, subtitle: str = "", *, back: str = "") -> Iterator[ui.element]:
    """Everything around a page's content; answers the place beside the title, for controls. A page with `back` makes its own title."""
    dark = head(title)
    places = PLACES[who.kind]
    with box("side").props('role=complementary aria-label="Navigation"'):
        _brand(who)
        with box("nav", "nav").props('aria-label="Main"'):
            for place in places:
                _entry(place, path, place.name)
        with box("side-foot"):
            _person(who, dark)
    with box("top", "header"):
        mark()
        ui.label("Lockstep").classes("brand-name")
        box("grow")
        theme_button(dark)
        _menu(who, path)
    with box("tabs", "nav").props('aria-label="Main, short"'):
        for place in places:
            if place.path in ON_PHONE[who.kind]:
                _entry(place, path, place.short)
    main = box("main", "main").props("tabindex=-1")
    ui.skip_link("Skip to content", target=main)
    with main, box("page"):
        if back:
            with ui.link(target=back).classes("back"):
                ui.icon("arrow_back").props("aria-hidden=true")
                ui.label(next(place.name for place in places if place.path == back))
            yield box("")
            return
        with box("page-head"):
            with box("page-title"):
                heading(title, 1)
                if subtitle:
                    ui.label(subtitle).classes("page-sub")
            actions = box("actions")
        yield actions


def _brand(who: Who) -> None:
    with ui.link(target="/" if who.kind == "customer" else "/office").classes("brand").props('aria-label="Lockstep, home"'):
        mark()
        ui.label("Lockstep").classes("brand-name")
        if who.kind == "manager":
            chip("Back office", "info")


def _entry(place: Place, path: str, name: str) -> None:
    here = path == place.path
    with ui.link(target=place.path).classes("nav-entry" + (" here" if here else "")) as link:
        if here:
            link.props("aria-current=page")
        ui.icon(place.icon).props("aria-hidden=true")
        ui.label(name)


def _person(who: Who, dark: ui.dark_mode) -> None:
    with box("person"):
        ui.label(who.name[:1].upper()).classes("person-face").props("aria-hidden=true")
        with box("person-words"):
            ui.label(who.name).classes("person-name")
            ui.label(words.ROLE.get(who.role, "Trader")).classes("person-role")
    with box("side-tools"):
        theme_button(dark)
        ui.button(icon="logout", on_click=log_out, color=None).props('flat round dense aria-label="Log out"').classes("quiet")


def _menu(who: Who, path: str) -> None:
    """What the phone's bar has no room for."""
    with (
        ui.button(icon="menu", color=None).props('flat round dense aria-label="Menu"').classes("quiet"),
        ui.menu().props("auto-close"),
        box("sheet"),
    ):
        ui.label(who.name).classes("sheet-name")
        ui.label(words.ROLE.get(who.role, "Trader")).classes("person-role")
        for place in PLACES[who.kind]:
            _entry(place, path, place.name)
        ui.button("Log out", icon="logout", on_click=log_out, color=None).props("flat align=left").classes("sheet-out")
