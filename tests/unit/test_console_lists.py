"""Lists longer than a page of the api: sums are of all rows, and nothing that is open is left out."""

import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from console.api import Api
from console.pages.copying import LINKS_KEPT, Copying
from console.pages.links import Grid, link_row
from console.pages.rewards import CHARGED, FAILED, KEPT, PAID, PENDING, Rewards
from console.session import Console, Who
from console.settings import Settings
from console.streams import Streams
from nicegui import app

pytestmark = pytest.mark.anyio
MINE, OTHERS = 1, 2
PAGE_MAX = 500


class Lists:
    """An api with lists, whose filter knows `whereIn` and descending orders."""

    def __init__(self, **lists: Any) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {name.replace("_", "-"): rows for name, rows in lists.items()}
        self.plain: dict[str, Any] = {"customer/session/accounts": {"accounts": [{"login": MINE}]}, "copytrade/halts": {"rows": []}}
        self.plain |= {"copytrade/symbols": {"rows": []}}

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.strip("/")
        if path in self.plain:
            return httpx.Response(200, json=self.plain[path])
        asked = json.loads(request.content)
        assert asked["limit"] <= PAGE_MAX
        rows = self.lists[path.removeprefix("copytrade/").removesuffix("/search")]
        for name, values in asked.get("whereIn", []):
            rows = [one for one in rows if one[name] in values]
        for name, _ in asked.get("orderBy", []):
            rows = sorted(rows, key=lambda one: one[name], reverse=True)
        first = asked.get("offset", 0)
        return httpx.Response(200, json={"rows": rows[first : first + asked["limit"]], "count": len(rows)})


class Quiet:
    """A page's ear that hears nothing."""

    @contextlib.asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        yield


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    """The console in front of them."""
    found = Lists()
    api = Api("http://api", 5, httpx.MockTransport(found.answer))
    monkeypatch.setattr(app.state, "console", Console(Settings(), api, Streams(api)), raising=False)
    return found


def who() -> Who:
    return Who("token", "customer", "bob@example.com")


def accrual(number: int, follower: int, master: int, state: int = PAID) -> dict[str, Any]:
    return {
        "id": number,
        "follower_login": follower,
        "master_login": master,
        "state": state,
        "fee_amount": 2,
        "currency": "USD",
        "payout_amount": 3,
        "payout_currency": "EUR",
        "created_time": number,
    }


async def test_rewards_are_summed_over_all_accruals_of_each_side(lists: Lists) -> None:
    # Another 600 that are earned are newer than what is paid.
    paid = [accrual(number, MINE, OTHERS) for number in range(1, 1201)] + [accrual(1201, MINE, OTHERS, FAILED)]
    earned = [accrual(number, OTHERS, MINE) for number in range(2001, 2601)]
    lists.lists["rewards"] = paid + earned
    page = Rewards(who())
    for side in page.sides.values():
        await side.load(page.who, [MINE])
    page.own = {MINE}
    paying, earning = page.sides["paid"], page.sides["earned"]
    assert (len(paying), paying.sums("settled"), paying.sums("failed")) == (1201, {"USD": Decimal(2400)}, {"USD": Decimal(2)})
    assert (len(earning), earning.sums("settled")) == (600, {"EUR": Decimal(1800)})
    assert [one["id"] for one in paying.rows()] == list(range(1201, 1201 - KEPT, -1))


async def test_an_accrual_that_is_told_again_is_counted_once_and_as_it_is_now(lists: Lists) -> None:
    lists.lists["rewards"] = [accrual(number, MINE, OTHERS, PENDING) for number in range(1, 701)]
    page = Rewards(who())
    for side in page.sides.values():
        await side.load(page.who, [MINE])
    page.own, paying = {MINE}, page.sides["paid"]
    page.hear(accrual(1, MINE, OTHERS, CHARGED))  # long out of the table
    assert (paying.sums("pending"), paying.sums("settled")) == ({"USD": Decimal(1398)}, {"USD": Decimal(2)})
    page.hear(accrual(701, MINE, OTHERS, PENDING))
    page.hear(accrual(702, OTHERS, MINE))
    assert (len(paying), paying.sums("pending")) == (701, {"USD": Decimal(1400)})
    assert [one["id"] for one in paying.rows()] == list(range(701, 701 - KEPT, -1))
    assert page.sides["earned"].sums("settled") == {"EUR": Decimal(3)}


def link(number: int, phase: str, follower: int = MINE) -> dict[str, Any]:
    sizes = dict.fromkeys(("volume", "master_volume", "price", "master_order", "updated_time"), 1)
    return {"id": number, "phase": phase, "follower_login": follower, "master_login": 9, "symbol": "X", "side": "buy", "reason": ""} | sizes


@pytest.fixture
def following(lists: Lists) -> Copying:
    """My copying, of one follower."""
    lists.plain["copytrade/my"] = {"followers": [{"login": MINE}], "subscriptions": [{"id": 3, "master_login": 9}], "masters": []}
    lists.lists |= {"trade-links": [], "positions": [], "masters": [{"login": 9, "strategy_name": "Nine"}]}
    page = Copying(who())
    page.live = Quiet()  # type: ignore[assignment]
    return page


async def test_an_open_copy_is_listed_however_many_skips_are_newer(lists: Lists, following: Copying) -> None:
    old, others = link(1, "open"), [link(number, "closed", OTHERS) for number in range(1000, 1300)]
    lists.lists["trade-links"] = [old, *(link(number, "skipped") for number in range(2, 500)), *others]
    await following._load()
    following.shown = "active"
    assert following._link_rows() == [link_row(old, Grid([]))]
    following.shown = "all"
    assert [row["id"] for row in following._link_rows()] == [*range(499, 499 - LINKS_KEPT, -1), 1]
    assert following.name(9) == "Nine"


async def test_an_open_copy_stays_listed_while_skips_are_told(lists: Lists, following: Copying) -> None:
    lists.lists["trade-links"] = [link(1, "open")]
    await following._load()
    for number in range(2, 2 * LINKS_KEPT):
        following._on_link(link(number, "skipped"))
    assert len(following.links) == LINKS_KEPT + 1
    assert 1 in following.links
    following._on_link(link(1, "closed"))
    assert 1 not in following.links


async def test_open_profit_is_of_all_positions_of_the_followers(lists: Lists, following: Copying) -> None:
    lists.lists["positions"] = [{"order": number, "login": MINE if number % 2 else OTHERS, "profit": 1} for number in range(2400)]
    await following._load()
    assert len(following.positions) == 1200
    assert {one["login"] for one in following.positions.values()} == {MINE}


async def test_a_list_that_ends_early_is_not_asked_for_forever(lists: Lists) -> None:
    lists.plain["copytrade/rewards/search"] = {"rows": [], "count": 10}
    assert await who().all("/copytrade/rewards", {}) == []
