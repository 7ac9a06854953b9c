"""Who is logged in: the session token and what is shown of its holder, kept on the server and known by an HTTP-only cookie."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from nicegui import Client, app, ui
from starlette.responses import RedirectResponse

from console.api import Api, ApiError, Json
from console.settings import Settings
from console.streams import Streams
from shared import visitors

Kind = Literal["customer", "manager"]
HOME: dict[Kind, str] = {"customer": "/", "manager": "/office"}
READ_ONLY = "SESSION_READ_ONLY"
PAGE = 500
"""Rows of a list that the api answers at once, at most."""


@dataclass(frozen=True, slots=True)
class Console:
    """What all pages share."""

    settings: Settings
    api: Api
    streams: Streams

    def cookie_secret(self) -> str:
        """What signs the session cookie: derived, so that it says nothing of what signs the api's sessions."""
        secret = self.settings.secret.get_secret_value()
        return hmac.new(secret.encode(), b"lockstep console cookie", hashlib.sha256).hexdigest()


def here() -> Console:
    """The running console."""
    console = app.state.console
    assert isinstance(console, Console)
    return console


@dataclass(frozen=True, slots=True)
class Who:
    """The holder of a session. `name` is an e-mail or a manager's name."""

    token: str
    kind: Kind
    name: str
    role: str = ""

    async def call(
        self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None, version: int | None = None
    ) -> Any:
        """A call of the client REST. `version`: of the record that is written over, as it was seen. Raises ApiError."""
        return await here().api.call(method, path, self.token, body, params, version)

    async def search(self, path: str, query: Json) -> Json:
        """A list by the standard filter, as objects: `{"rows", "count"}`. Raises ApiError."""
        found: Json = await self.call("POST", f"{path}/search", query | ({} if path.endswith("masters") else {"format": "objects"}))
        return found

    async def all(self, path: str, query: Json) -> list[Json]:
        """The rows of a list on all of its pages. Raises ApiError."""
        rows: list[Json] = []
        while True:
            found = await self.search(path, query | {"limit": PAGE, "offset": len(rows)})
            rows += found["rows"]
            if not found["rows"] or len(rows) >= found["count"]:
                return rows

    async def text(self, path: str, params: Mapping[str, Any]) -> str:
        """An answer of the client REST as it is. Raises ApiError."""
        return await here().api.text(path, self.token, params)

    async def command(self, name: str, data: Json | None = None) -> Any:
        """A command of the manager API. Raises ApiError."""
        return await here().api.call("POST", f"/manager/{name}", self.token, data or {})

    async def table(self, name: str, query: Json) -> tuple[list[Json], int]:
        """The rows of a manager's table as objects, and how many match. Raises ApiError."""
        answer = await self.command(name, query)
        return [dict(zip(answer["structure"], row, strict=True)) for row in answer["rows"]], answer["count"]

    @property
    def may_write(self) -> bool:
        return self.role != READ_ONLY


def current() -> Who | None:
    """The session of the browser that asks, if it has one."""
    kept = app.storage.user.get("session")
    return Who(**kept) if kept else None


def remember(who: Who) -> None:
    app.storage.user["session"] = {"token": who.token, "kind": who.kind, "name": who.name, "role": who.role}


def is_current() -> bool:
    """Whether the page belongs to the session that the browser has now, and not to one from before."""
    who = current()
    return who is not None and who.token == app.storage.client.get("token")


def forget(leads_to: str = "/login") -> None:
    """Logs out: nothing of the session is left, and the browser's other pages are left, too."""
    dark = is_dark()
    app.storage.user.clear()
    app.storage.user["dark"] = dark
    browser = app.storage.browser["id"]
    for client in list(Client.instances.values()):
        if "token" in client.storage and client is not ui.context.client and client.request.session.get("id") == browser:
            client.open(leads_to)


def is_dark() -> bool:
    """Always a plain bool: the theme that the person chose, dark at first."""
    return bool(app.storage.user.get("dark", True))


def admitted(kind: Kind) -> Who | RedirectResponse:
    """Who may see a page of this kind; anyone else is sent where to go instead."""
    who = current()
    if who is None:
        request = ui.context.client.request
        asked = request.url.path if request else "/"
        return RedirectResponse("/login" if asked == "/" else f"/login?next={quote(asked)}")
    app.storage.client["token"] = who.token
    return who if who.kind == kind else RedirectResponse(HOME[who.kind])


def role_of(token: str) -> str:
    """The kind of session that a token says it is for, unverified: it only decides what is shown, the api decides what is done."""
    try:
        part = token.removeprefix("Bearer ").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return str(claims["kind"])
    except (IndexError, KeyError, ValueError, TypeError, binascii.Error):
        return ""


def subject_of(token: str) -> str:
    """The manager's name in a token, unverified, to be shown."""
    try:
        part = token.removeprefix("Bearer ").split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"])
    except (IndexError, KeyError, ValueError, TypeError, binascii.Error):
        return ""


async def log_in(email: str, password: str, otp_code: str = "") -> Who:
    """A customer's session. Raises ApiError."""
    body = {"email": email, "password": password} | ({"otp_code": otp_code} if otp_code else {})
    address = ui.context.client.request.client
    # All customers come to the api from the console's address: they would share one allowance of attempts.
    signed = visitors.hand_on(here().settings.secret.get_secret_value(), address.host, int(time.time())) if address else ""
    profile = await here().api.call("POST", "/customer/auth/login", body=body, more={visitors.HEADER: signed} if signed else {})
    who = Who(profile["__token"], "customer", profile["email"])
    remember(who)
    return who


async def enter_office(token: str) -> Who:
    """A manager's session from a token that was issued elsewhere, once the api has taken it. Raises ApiError."""
    token = token.strip().removeprefix("Bearer ").strip()
    if not token.isascii():
        raise ApiError("INVALID_MANAGER_SESSION")
    who = Who(token, "manager", subject_of(token) or "manager", role_of(token))
    await who.table("MngGetHaltsByFilter", {"limit": 1})
    remember(who)
    return who
