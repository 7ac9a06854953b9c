"""The end of a session, in all of a browser's tabs; and an old tab, which ends nothing but itself."""

import time
from pathlib import Path

import pytest
from console.parts import over
from console.settings import Settings
from nicegui import Client, app, ui
from nicegui.testing.user_interaction import UserInteraction

from shared import visitors
from tests.api.world import ALICE, BOB, World
from tests.console.stage import Wire, log_in, sees, simulated

pytestmark = pytest.mark.anyio


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which pages were told to go where."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(Client, "open", lambda self, target, new_tab=False: told.append((self.id, target)))
    return told


async def test_logging_out_leads_the_other_tabs_of_the_same_browser_to_the_login(
    world: World, tmp_path: Path, opened: list[tuple[str, str]]
) -> None:
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, BOB)
        other = await user.open("/rewards")
        user.http_client.cookies.clear()
        await log_in(user, ALICE)
        alice = user.client
        assert alice is not None
        user.http_client.cookies.clear()
        await log_in(user, BOB)
        bob = await user.open("/copying")
        assert other.request.session["id"] != bob.request.session["id"], "another browser of the same person"
        tab = await user.open("/strategies")
        opened.clear()
        [button, *_] = [one for one in user.find(ui.button).elements if one.props.get("aria-label") == "Log out"]
        UserInteraction(user, {button}, None).click()
        await sees(user, "Trade in step")
        told = dict(opened)
        assert told[bob.id] == "/login"
        assert not {tab.id, other.id, alice.id} & told.keys()


async def test_an_old_tab_whose_session_has_ended_leaves_the_new_session_alone(
    world: World, tmp_path: Path, opened: list[tuple[str, str]]
) -> None:
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, BOB)
        old = await user.open("/copying")
        [kept] = [one for one in app.storage._users.values() if "session" in one]
        new = kept["session"] | {"token": world.token("SESSION_CUSTOMER", BOB) + "x"}
        kept["session"] = new
        with old:
            over()
        assert kept["session"] == new
        assert opened == []


async def test_the_end_of_the_session_is_told_in_all_tabs(world: World, tmp_path: Path, opened: list[tuple[str, str]]) -> None:
    async with simulated(world, tmp_path, Wire(world)) as user:
        await log_in(user, BOB)
        other = await user.open("/copying")
        tab = await user.open("/rewards")
        opened.clear()
        with tab:
            over()
        assert dict(opened)[other.id] == "/login?over=1"
        assert not any("session" in one for one in app.storage._users.values())


async def test_a_login_says_where_the_customer_is(world: World, tmp_path: Path) -> None:
    """Signed: the api counts the attempts of each address, and all customers come to it from the console's."""
    wire = Wire(world)
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, BOB)
        page = user.client
        assert page is not None
        browser = page.request.client
    assert browser is not None
    [login] = [request for request in wire.asked if request.url.path == "/customer/auth/login"]
    secret = Settings().secret.get_secret_value()
    assert visitors.handed_on([secret], login.headers[visitors.HEADER], int(time.time())) == browser.host
    assert [request for request in wire.asked if visitors.HEADER in request.headers] == [login]
