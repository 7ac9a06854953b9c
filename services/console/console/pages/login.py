"""The login: customers by e-mail and password, managers by a session token; in a demo, its logins to click."""

import json
import re
from pathlib import Path
from typing import Any

from nicegui import ui
from starlette.responses import RedirectResponse

from console.api import ApiError
from console.frame import head, mark, theme_button
from console.parts import box, chip, heading, in_words
from console.session import HOME, current, enter_office, here, log_in

PAGE = re.compile(r"/|(/[\w-]+)+", re.ASCII)
CLAIM = "Choose a master, set your own rules, and your account trades with theirs: once, exactly, and explained."
ISSUED = "Managers' sessions are issued beside the console: by your sign-on, or by the command “lockstep token manager NAME”."
POINTS = (
    ("verified", "Every figure is reckoned from closed trades and daily equity, deposits taken out."),
    ("rule", "Copied by your own rules: volume, symbols, limits, stops. Every skip says why."),
    ("receipt_long", "Fees in plain words, charged to the cent, with a statement that anyone can recompute."),
)


async def login(next: str = "", over: str = "") -> RedirectResponse | None:  # noqa: A002  (the query's own name)
    """The page at /login."""
    who = current()
    if who is not None:
        return RedirectResponse(HOME[who.kind])
    dark = head("Log in")
    with box("login", "main"):
        _story()
        with box("login-form"):
            with box("login-corner"):
                theme_button(dark)
            with box("login-box"):
                heading("Log in", 1)
                if over:
                    with box("banner").props("role=status"):
                        ui.icon("schedule").props("aria-hidden=true")
                        ui.label("Your session has ended. Log in again to go on.")
                _forms(_safe(next))
                _demo()
    return None


def _story() -> None:
    with box("login-story"):
        with box("brand"):
            mark()
            ui.label("Lockstep").classes("brand-name")
        with box(""):
            ui.label("Trade in step with the best.").classes("login-claim")
            ui.label(CLAIM).classes("login-sub")
        with box("login-points"):
            for icon, words in POINTS:
                with box("login-point"):
                    ui.icon(icon).props("aria-hidden=true")
                    ui.label(words)


def _safe(path: str) -> str:
    """Where to go after the login: a page of ours, or nowhere."""
    return path if PAGE.fullmatch(path) else ""


def _forms(target: str) -> None:
    with ui.tabs().props("dense no-caps align=left inline-label") as tabs:
        trader, office = ui.tab("Trader", icon="person"), ui.tab("Back office", icon="badge")
    with ui.tab_panels(tabs, value=office if target.startswith("/office") else trader).props("animated=false"):
        with ui.tab_panel(trader):
            _trader(target if not target.startswith("/office") else "")
        with ui.tab_panel(office):
            _office(target if target.startswith("/office") else "")


def _trader(target: str) -> None:
    email = ui.input("E-mail").props('type=email autocomplete=username aria-label="E-mail"')
    password = ui.input("Password", password=True).props('autocomplete=current-password aria-label="Password"')
    code = ui.input("One-time code").props('inputmode=numeric autocomplete=one-time-code maxlength=6 aria-label="One-time code"')
    code.visible = False
    wrong = _wrong()

    async def go() -> None:
        wrong.text = ""
        if not email.value or not password.value:
            wrong.text = "Give your e-mail and your password"
            return
        button.props("loading")
        try:
            await log_in(email.value.strip(), password.value, (code.value or "").strip())
        except ApiError as error:
            if error.code == "OTP_REQUIRED":
                code.visible = True
                code.run_method("focus")
            wrong.text = in_words(error)
        else:
            password.value = ""
            ui.navigate.to(target or "/")
        finally:
            button.props(remove="loading")

    button = ui.button("Log in", on_click=go).classes("full-width")
    for field in (email, password, code):
        field.on("keydown.enter", go)


def _office(target: str) -> None:
    token = ui.input("Session token", password=True, password_toggle_button=True).props('autocomplete=off aria-label="Session token"')
    ui.label(ISSUED).classes("muted small")
    wrong = _wrong()

    async def go() -> None:
        wrong.text = ""
        button.props("loading")
        try:
            await enter_office(token.value or "")
        except ApiError as error:
            wrong.text = in_words(error)
        else:
            ui.navigate.to(target or "/office")
        finally:
            button.props(remove="loading")

    button = ui.button("Enter the back office", on_click=go).classes("full-width")
    token.on("keydown.enter", go)


def _wrong() -> ui.label:
    wrong = ui.label().classes("neg strong").props("role=alert")
    wrong.bind_visibility_from(wrong, "text", bool)
    return wrong


def _demo() -> None:
    """The demo's logins; their passwords stay on the server."""
    known = _stage(here().settings.demo)
    if not known:
        return
    with box("demo-logins"):
        with box("card-head"):
            heading("This is a demo: come in as", 2)
            chip("demo", "info")
        for role in known["shown"]:
            _demo_login(role["name"], role["words"], role["email"], known["password"])
        if known.get("manager"):
            _demo_office(known["manager"])
        ui.label(f"By hand: the e-mails above, password {known['password']}").classes("muted small wrap-any")


def _stage(file: Path | None) -> dict[str, Any]:
    """What the demo wrote of itself; nothing while it has not."""
    if file is None:
        return {}
    try:
        known: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if {"shown", "password"} <= known.keys() else {}


def _demo_login(name: str, words: str, email: str, password: str) -> None:
    async def go() -> None:
        try:
            await log_in(email, password)
        except ApiError as error:
            ui.notify(in_words(error), type="negative")
        else:
            ui.navigate.to("/")

    _row(name, f"{email} · {words}", "person").on("click", go).mark(f"as-{email}")


def _demo_office(token: str) -> None:
    async def go() -> None:
        try:
            await enter_office(token)
        except ApiError as error:
            ui.notify(in_words(error), type="negative")
        else:
            ui.navigate.to("/office")

    _row("Back office", "halts, links, accruals, dead letters, audit", "badge").on("click", go).mark("as-office")


def _row(name: str, words: str, icon: str) -> ui.element:
    with box("demo-login", "button").props("type=button") as row:
        ui.icon(icon, size="22px").props("aria-hidden=true").classes("muted")
        with box("two"):
            ui.label(name).classes("one")
            ui.label(words).classes("muted small wrap-any")
    return row
