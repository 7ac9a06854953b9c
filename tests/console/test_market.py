"""Logging in, and the marketplace, as a person meets them."""

import json
from pathlib import Path

import httpx
import pytest
from nicegui import app, ui

from tests.api.world import ALICE, BOB, MASTER, World
from tests.console.stage import EMAILS, PASSWORD, Wire, log_in, press, sees, simulated

pytestmark = pytest.mark.anyio


async def test_who_is_not_logged_in_is_sent_to_the_login_and_from_there_back(world: World, tmp_path: Path) -> None:
    async with simulated(world, tmp_path) as user:
        await user.open("/")
        await sees(user, "Trade in step")
        await user.should_not_see("demo")
        await log_in(user, BOB)
        await sees(user, "No masters yet")


async def test_a_wrong_password_is_said_in_words_with_its_code(world: World, tmp_path: Path) -> None:
    async with simulated(world, tmp_path) as user:
        await user.open("/login")
        press(user, "Log in")
        await sees(user, "Give your e-mail and your password")
        user.find("E-mail").type(EMAILS[BOB])
        user.find("Password").type("something else")
        press(user, "Log in")
        await sees(user, "E-mail or password is wrong (CUSTOMER_NOT_FOUND_OR_INCORRECT)")


async def test_an_api_that_is_away_is_said_in_words_and_asked_again(world: World, tmp_path: Path) -> None:
    away = True

    async def answer(request: httpx.Request) -> httpx.Response:
        if away and request.url.path != "/customer/auth/login":
            raise httpx.ConnectError("nobody there")
        return await world.http.send(
            world.http.build_request(request.method, request.url.path, content=request.content, headers=request.headers)
        )

    async with simulated(world, tmp_path, httpx.MockTransport(answer)) as user:
        await log_in(user, BOB)
        await sees(user, "The server does not answer: it may be restarting (AWAY)")
        away = False
        press(user, "Try again")
        await sees(user, "No masters yet")


async def test_a_session_that_has_ended_leads_back_to_the_login(world: World, tmp_path: Path) -> None:
    async with simulated(world, tmp_path) as user:
        await log_in(user, BOB)
        world.now += 13 * 3_600_000  # a session lasts for twelve hours
        await user.open("/")
        await sees(user, "Your session has ended")


async def test_only_the_token_is_kept_and_never_sent_to_the_page(world: World, tmp_path: Path) -> None:
    async with simulated(world, tmp_path) as user:
        await log_in(user, BOB)
        [kept] = [dict(one) for one in app.storage._users.values() if "session" in one]
        token = kept["session"]["token"]
        assert token.count(".") == 2
        assert PASSWORD not in json.dumps(kept)
        answer = await user.http_client.get("/")
        assert answer.status_code == 200
        assert token not in answer.text
        assert "httponly" in (await user.http_client.get("/login", headers={"cookie": ""})).headers.get("set-cookie", "").lower()


async def test_the_marketplace_shows_a_master_with_its_fee(world: World, tmp_path: Path) -> None:
    await world.good(ALICE, "POST", "/copytrade/master", MASTER | {"strategy_name": "<b>Bold</b> {{ 7*7 }}"})
    async with simulated(world, tmp_path) as user:
        await log_in(user, BOB)
        [table] = user.find(ui.table).elements
        [row] = table.rows
        # As it was written: the page shows it through Vue's {{ }}, which makes text of it.
        assert row["name"] == "<b>Bold</b> {{ 7*7 }}"
        assert (row["login"], row["roi"], row["pnl"], row["fee"]) == (100001, "–", "0.00 USD", "20 % of new profit, by month")
        assert row["followers_words"] == "no followers yet"
        await sees(user, "1 master")


async def test_search_minds_no_case_and_filters_are_the_standard_ones(world: World, tmp_path: Path) -> None:
    await world.good(ALICE, "POST", "/copytrade/master", MASTER)
    async with simulated(world, tmp_path) as user:
        await log_in(user, BOB)
        user.find("Search by name").type("conservative")
        await sees(user, "1 master")
        user.find("Search by name").clear().type("aggressive")
        await sees(user, "No master matches")
        press(user, "Clear search and filters")


async def test_a_manager_enters_by_a_token_and_a_customer_does_not(world: World, tmp_path: Path) -> None:
    async with simulated(world, tmp_path) as user:
        await user.open("/login?next=/office")
        user.find("Session token").type(world.token("SESSION_CUSTOMER", BOB))
        press(user, "Enter the back office")
        await sees(user, "(INVALID_MANAGER_SESSION)")


async def test_a_demo_shows_its_logins_and_production_does_not(world: World, tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    shown = [{"name": "Bob", "words": "follows", "email": EMAILS[BOB]}]
    file.write_text(json.dumps({"password": PASSWORD, "manager": world.token("SESSION_MANAGER", "demo"), "shown": shown}))
    async with simulated(world, tmp_path, demo_file=file) as user:
        await user.open("/login")
        await sees(user, "This is a demo")
        await sees(user, "bob@example.com · follows")
        user.find(marker="as-bob@example.com").click()
        await sees(user, "Marketplace")
    async with simulated(world, tmp_path, demo_file=file, env="production", secret="a secret of this house, long enough for it") as user:
        await user.open("/login")
        await sees(user, "Trade in step")
        await user.should_not_see("This is a demo")


async def test_own_strategies_show_their_figures_however_many_others_there_are(world: World, tmp_path: Path) -> None:
    await world.good(ALICE, "POST", "/copytrade/master", MASTER)
    wire = Wire(world)
    async with simulated(world, tmp_path, wire) as user:
        await log_in(user, ALICE)
        wire.asked.clear()
        await user.open("/strategies")
        await sees(user, "Conservative FX", "Return, 30 days")
        [asked] = [json.loads(one.content) for one in wire.asked if one.url.path == "/copytrade/masters/search"]
        assert asked["whereIn"] == [["login", [MASTER["login"]]]]
