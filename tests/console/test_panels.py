"""Two loads at once: only the newer one's content is on the page, whichever answer comes last."""

import asyncio
import json
from typing import Any

import pytest
from console.api import ApiError
from console.pages.statement import Statement
from console.pages.subscribe import Subscribe
from console.parts import Panel
from console.session import Who
from nicegui import ui
from nicegui.testing.user_simulation import user_simulation

from tests.console.stage import until

pytestmark = pytest.mark.anyio


class Answers:
    """What is asked waits until the test answers it, in whatever order."""

    def __init__(self) -> None:
        self.open: list[asyncio.Future[Any]] = []

    async def ask(self, *_: Any, **__: Any) -> Any:
        self.open.append(asyncio.get_running_loop().create_future())
        return await self.open[-1]

    async def wait_for(self, count: int) -> None:
        await until(lambda: len(self.open) >= count, "nobody asks")


class Drawn:
    """A panel on a page, drawn from what is answered; it also keeps the answer."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.kept = ""
        self.panel: Panel

    async def draw(self) -> None:
        ui.label("begun")
        self.kept = await self.answers.ask()
        ui.label(self.kept)

    def page(self) -> None:
        self.panel = Panel(self.draw)

    def texts(self) -> list[str]:
        return [one.text for one in self.panel.root.descendants() if isinstance(one, ui.label)]


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_loads_at_once_the_newer_is_on_the_page_and_kept(first: int) -> None:
    drawn = Drawn()
    async with user_simulation(drawn.page) as user:
        await user.open("/")
        await drawn.answers.wait_for(1)
        again = asyncio.create_task(drawn.panel.load())
        await drawn.answers.wait_for(2)
        for number in (first, 1 - first):
            if not drawn.answers.open[number].done():
                drawn.answers.open[number].set_result(("older", "newer")[number])
            await asyncio.sleep(0.05)
        await asyncio.gather(again, drawn.panel.task)
        assert drawn.texts() == ["begun", "newer"]
        assert drawn.kept == "newer"


async def test_a_load_that_fails_says_so_in_place_of_what_was_there_and_can_be_tried_again() -> None:
    drawn = Drawn()
    async with user_simulation(drawn.page) as user:
        await user.open("/")
        await drawn.answers.wait_for(1)
        drawn.answers.open[0].set_exception(ApiError("AWAY"))
        await user.should_see("The server does not answer")
        assert "begun" not in drawn.texts()
        user.find(kind=ui.button, content="Try again").click()
        await drawn.answers.wait_for(2)
        drawn.answers.open[1].set_result("there again")
        await user.should_see("there again")
        await user.should_not_see("The server does not answer")


async def test_a_statement_that_comes_after_another_was_chosen_is_not_shown() -> None:
    answers = Answers()
    state = Statement(Who("", "customer", ""), [{"id": number, "follower_login": 1, "master_login": 2} for number in (1, 2)])
    state.ask = answers.ask  # type: ignore[method-assign]

    def page() -> None:
        state.shown = ui.column()

    async with user_simulation(page) as user:
        await user.open("/")
        with user:
            shows = [asyncio.create_task(state.choose(chosen=number)) for number in (1, 2)]
            await answers.wait_for(2)
        for number, charged in ((1, 22), (0, 11)):
            answers.open[number].set_result(json.dumps({"charged": charged, "currency": "USD", "accruals": []}))
            await asyncio.sleep(0.05)
        await asyncio.gather(*shows)
        await user.should_see("22.00 USD")
        await user.should_not_see("11.00 USD")


async def test_a_preview_that_comes_after_something_else_was_typed_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers()
    monkeypatch.setattr(Who, "call", answers.ask)
    state = Subscribe(Who("", "customer", ""), {"login": 1}, None)
    state.login = 2
    state.grid = None  # type: ignore[assignment]

    def page() -> None:
        state.preview = ui.column()

    figures = {"currency": "USD", "copied": 1, "skipped": 0, "profit": 0, "costs": 0, "fee": 0, "net": 0, "rows": []}
    async with user_simulation(page) as user:
        await user.open("/")
        with user:
            state.later()
            await answers.wait_for(1)
            state.later()
        # The older answer comes before the newer question is asked: it does not take its place.
        answers.open[0].set_result(figures | {"trades": 11})
        await answers.wait_for(2)
        await user.should_not_see("The last 11 closings")
        answers.open[1].set_result(figures | {"trades": 22})
        await user.should_see("The last 22 closings")
        await user.should_not_see("The last 11 closings")
