"""The console under NiceGUI's simulated user, in front of the real api on a real store, without a network or a browser."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from nicegui import app, ui
from nicegui.storage import Storage
from nicegui.testing import User
from nicegui.testing.user_simulation import user_simulation

from tests.api.world import ALICE, BOB, World

MAIN = Path(__file__).with_name("main_file.py")
WAIT_S = 15
"""Generous: machines that run tests are busy."""
PASSWORD = "correct horse battery"
EMAILS = {ALICE: "alice@example.com", BOB: "bob@example.com"}
staged: dict[str, Any] = {}
"""What `main_file.py` makes the console from."""


class Wire(httpx.AsyncBaseTransport):
    """The way to the api: a test tells what its event stream says, answers single paths in its place, and sees what was asked."""

    def __init__(self, world: World) -> None:
        self.answers: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        """By path: from the asked JSON to the answered."""
        self.asked: list[httpx.Request] = []
        self._api = httpx.ASGITransport(app=world.app)
        self._said: asyncio.Queue[bytes] = asyncio.Queue()

    def tell(self, event: str, **data: Any) -> None:
        self._said.put_nowait(f"id: 1\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def count(self, path: str) -> int:
        """How often it was asked for."""
        return sum(request.url.path == path for request in self.asked)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/copytrade/events":
            return httpx.Response(200, stream=_Said(self._said))
        if request.url.path in self.answers:
            return httpx.Response(200, json=await self.answers[request.url.path](json.loads(request.content or b"null")))
        return await self._api.handle_async_request(request)


class _Said(httpx.AsyncByteStream):
    def __init__(self, said: asyncio.Queue[bytes]) -> None:
        self._said = said

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._said.get()


async def until(holds: Callable[[], Any], what: str) -> None:
    """Waits for something."""
    for _ in range(WAIT_S * 20):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(what)


@asynccontextmanager
async def simulated(world: World, folder: Path, transport: httpx.AsyncBaseTransport | None = None, **settings: Any) -> AsyncIterator[User]:
    """A person in front of the console. `transport` stands in for the api."""
    Storage.path = folder / "sessions"
    app.storage = Storage()
    staged.update(transport=transport or httpx.ASGITransport(app=world.app), settings={"home": folder} | settings)
    async with user_simulation(main_file=MAIN) as user:
        yield user


async def people(world: World) -> None:
    """Alice and Bob can log in."""
    for number, email in EMAILS.items():
        wanted = {"id": number, "email": email, "password": PASSWORD, "name": email.partition("@")[0]}
        await world.good("SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", wanted)


async def sees(user: User, *texts: str) -> None:
    """Waits for each of the texts."""
    for text in texts:
        await user.should_see(text, retries=WAIT_S * 10)


def press(user: User, label: str) -> None:
    """Clicks a button by its words."""
    user.find(kind=ui.button, content=label).click()


async def log_in(user: User, number: int) -> None:
    """Logs in by the form."""
    await user.open("/login")
    user.find("E-mail").type(EMAILS[number])
    user.find("Password").type(PASSWORD)
    press(user, "Log in")
    await sees(user, "Marketplace")


async def enter_office(user: User, world: World, kind: str = "SESSION_MANAGER") -> None:
    """Enters the back office with a token."""
    await user.open("/login?next=/office")
    user.find("Session token").type(world.token(kind, "olga"))
    press(user, "Enter the back office")
    await sees(user, "Overview")
