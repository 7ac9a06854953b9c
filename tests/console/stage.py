"""The console under NiceGUI's simulated user, in front of the real api on a real store, without a network or a browser."""

from collections.abc import AsyncIterator
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
