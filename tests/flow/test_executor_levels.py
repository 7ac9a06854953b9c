"""Stops and pending prices nearer to the market than the follower's symbol lets them be: executor and paper venue together.

The master trades EURUSD, its followers EURUSD.f, whose levels are the test's; both cost 1.31000 / 1.31010, a point is 0.00001.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from executor.wiring import WRITES, parts
from fastapi import FastAPI
from gateway.flow import reads
from gateway.paper.http import add_routes
from gateway.paper.venue import PaperVenue
from gateway.settings import GatewaySettings, SymbolOverride
from shared.contracts import config, trades
from shared.contracts.config import Follower, FollowerSaved, Master, MasterSaved, Subscription, SubscriptionSaved
from shared.contracts.orders import CancelCopies, OpenCopies, PlaceCopies, ProtectCopies, ReplaceCopies
from shared.explain import Decided, explain

from tests.flow.executor_world import MASTER, NOW, D, World, subscription, symbol, world
from tests.flow.test_executor_many import filled
from tests.flow.test_executor_pending import pending

pytestmark = pytest.mark.anyio
OWN = "EURUSD.f"


class OnPaper(World):
    """The world of executor tests with the paper venue in it; `master` and `anna` are its logins."""

    def __init__(self, folder: Path, levels: dict[str, Any], **settings: Any) -> None:
        super().__init__(folder, symbol_map={"*": {"EURUSD": OWN}}, unknown_after_ms=1000, **settings)
        self.symbols = {OWN: SymbolOverride(**({"digits": 5, "contract_size": 100_000, **PRICED} | levels))}

    async def start(self) -> None:
        self.api = await self.log_store("api", (config.TOPIC,))
        self.gateway = await self.loop.open_store("gateway", (trades.TOPIC,))
        self.paper = PaperVenue(self.gateway, GatewaySettings(venue_symbols=self.symbols).symbols())
        self.gateway.on_rollback.append(self.paper.forget)
        await self.paper.prepare()
        self.executor = await self.loop.open_store("executor", WRITES)
        self.parts = parts(self.settings, self.executor)
        for store, joined in ((self.api, {}), (self.gateway, reads(self.paper)), (self.executor, self.parts)):
            self.loop.join(store, joined)
        app = FastAPI()
        add_routes(app, self.paper)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://venue")
        self.master, self.anna = [int((await self.call("POST", "/accounts", ACCOUNT))["login"]) for _ in range(2)]
        await self.configured(
            MasterSaved(master=Master(id=1, login=self.master, customer_id=1)),
            FollowerSaved(follower=Follower(id=1, login=self.anna, customer_id=2)),
        )

    async def close(self) -> None:
        await self.http.aclose()
        await super().close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the venue's door, and all that follows from it."""
        answer = await self.http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        await self.loop.settle()
        return json.loads(answer.text, parse_float=Decimal)

    async def subscribed(self, **settings: Any) -> None:
        known = {"master_login": self.master, "follower_login": self.anna}
        await self.configured(SubscriptionSaved(subscription=Subscription(id=1, created_ms=NOW - 1000, **(known | settings))))

    async def trade(self, **order: Any) -> int:
        """The master's own order."""
        body = {"login": self.master, "symbol": "EURUSD", "side": "buy", "volume": 10}
        return int((await self.call("POST", "/orders", body | order))["order"])

    async def price(self, bid: str, ask: str, name: str = OWN) -> None:
        await self.call("PUT", f"/prices/{name}", {"bid": float(bid), "ask": float(ask)})

    async def copy(self) -> tuple[str, Decimal, Decimal]:
        """How Anna's copy stands: the link's reason, and the venue's stops, which the link tells as well."""
        link = (await self.links())[1]
        (held,) = (await self.call("GET", f"/accounts/{self.anna}"))["positions"]
        assert (link.phase, link.sl, link.tp) == ("open", held["sl"], held["tp"])
        return link.reason, held["sl"], held["tp"]

    async def resting(self) -> tuple[str, Decimal, Decimal]:
        """How Anna's pending copy stands: the link's reason, the price, the stop loss."""
        link = (await self.links())[1]
        (held,) = (await self.call("GET", f"/accounts/{self.anna}"))["pending"]
        assert (link.phase, link.price, link.sl) == ("pending", held["price"], held["sl"])
        return link.reason, held["price"], held["sl"]


ACCOUNT = {"customer_id": 1, "group": "real-usd", "balance": 10_000, "leverage": 100}
PRICED: dict[str, Any] = {"base_currency": "EUR", "quote_currency": "USD", "bid": D("1.31"), "ask": D("1.3101")}


@asynccontextmanager
async def on_paper(folder: Path, levels: dict[str, Any], **settings: Any) -> AsyncIterator[OnPaper]:
    made = OnPaper(folder, levels, **settings)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def test_stops_that_are_too_near_are_moved_off_and_follow_as_the_market_lets_them(tmp_path: Path) -> None:
    """50 points: the stop loss at 1.30980 becomes 1.30950 and the take profit at 1.31030 becomes 1.31050, both from the bid."""
    async with on_paper(tmp_path, {"stops_level": 50}) as w:
        await w.subscribed()
        await w.trade(sl=1.3098, tp=1.3103)
        assert await w.copy() == ("SLTP_DRIFT", D("1.3095"), D("1.3105"))
        await w.tick(1000)
        assert await w.orders(ProtectCopies) == [], "nothing can be nearer yet"
        await w.price("1.31020", "1.31030")  # 1.30970 is nearer to 1.30980; 1.31070 would be farther from 1.31030
        await w.tick(1000)
        assert await w.copy() == ("SLTP_DRIFT", D("1.3097"), D("1.3105"))
        await w.price("1.31000", "1.31010")
        await w.tick(1000)
        assert await w.copy() == ("SLTP_DRIFT", D("1.3097"), D("1.3105")), "never farther off again"
        await w.price("1.30978", "1.30988")  # the market is below the stop loss that is wanted, but 52 points below the take profit
        await w.tick(1000)
        assert await w.copy() == ("SLTP_DRIFT", D("1.3097"), D("1.3103"))
        await w.price("1.31030", "1.31040")
        assert (await w.links())[1].reason == "TP", "the take profit that it has now"


async def test_what_was_moved_off_comes_to_where_it_should_be(tmp_path: Path) -> None:
    async with on_paper(tmp_path, {"stops_level": 50}) as w:
        await w.subscribed()
        await w.trade(sl=1.3098)
        await w.price("1.31030", "1.31040")
        await w.tick(1000)
        assert await w.copy() == ("", D("1.3098"), D(0))
        sent = len(await w.orders(ProtectCopies))
        await w.tick(60_000)
        assert (len(await w.orders(ProtectCopies)), sent) == (1, 1)
        link = (await w.links())[1]
        assert link.reason == ""


async def test_a_master_s_change_is_moved_off_too(tmp_path: Path) -> None:
    """Sold at 1.31000, closed at the ask of 1.31010: the stop loss goes to 1.31060, where 1.31020 was wanted; the freeze level counts like
    the stops level. A reversed follower would buy; this one sells."""
    async with on_paper(tmp_path, {"stops_level": 20, "freeze_level": 50}) as w:
        await w.subscribed()
        order = await w.trade(side="sell", sl=1.32)
        assert await w.copy() == ("", D("1.32"), D(0))
        await w.call("PUT", f"/orders/{order}", {"sl": 1.3102})
        assert await w.copy() == ("SLTP_DRIFT", D("1.3106"), D(0))
        await w.call("PUT", f"/orders/{order}", {"sl": 1.315})
        assert await w.copy() == ("", D("1.315"), D(0))


async def test_frozen_stops_are_changed_when_the_market_has_gone(tmp_path: Path) -> None:
    """10 points: the stop loss at 1.30900 is frozen at a bid of 1.30905. Refused once, then not asked again before 1.30910."""
    async with on_paper(tmp_path, {"freeze_level": 10}) as w:
        await w.subscribed()
        order = await w.trade(sl=1.309)
        await w.price("1.30905", "1.30915")
        await w.call("PUT", f"/orders/{order}", {"sl": 1.308})
        assert await w.copy() == ("SLTP_DRIFT", D("1.309"), D(0))
        await w.tick(1000)
        await w.tick(1000)
        assert len(await w.orders(ProtectCopies)) == 1
        await w.price("1.30910", "1.30920")
        await w.tick(1000)
        assert await w.copy() == ("", D("1.308"), D(0))
        assert [row.step for event in await w.orders(ProtectCopies) for row in event.rows] == [1, 2]


async def test_a_pending_copy_is_placed_as_near_as_may_be_and_follows(tmp_path: Path) -> None:
    """Buy limit 1.31000 with the ask at 1.31010: 50 points are 1.30960; its stop loss 1.30940 has to be 1.30910 then."""
    async with on_paper(tmp_path, {"stops_level": 50}) as w:
        await w.subscribed(copy_pending_orders=1)
        order = await w.trade(type="limit", price=1.31, sl=1.3094)
        assert await w.resting() == ("PRICE_DRIFT", D("1.3096"), D("1.3091"))
        await w.price("1.31030", "1.31040")
        await w.tick(1000)
        assert await w.resting() == ("PRICE_DRIFT", D("1.3099"), D("1.3094"))
        await w.price("1.31100", "1.31110")
        await w.tick(1000)
        assert await w.resting() == ("", D("1.31"), D("1.3094"))
        await w.price("1.31020", "1.31030")
        await w.call("PUT", f"/orders/{order}", {"price": 1.3098})
        assert await w.resting() == ("SLTP_DRIFT", D("1.3098"), D("1.3093")), "the stop loss would be 40 points from the new price"
        await w.tick(1000)
        assert [row.step for event in await w.orders(ReplaceCopies) for row in event.rows] == [1, 2, 3]


async def test_a_frozen_pending_copy_is_withdrawn_when_the_market_has_gone(tmp_path: Path) -> None:
    """The master cancels its buy limit at 1.30900; the copy is 5 points from its ask, 10 are needed."""
    async with on_paper(tmp_path, {"freeze_level": 10}) as w:
        await w.subscribed(copy_pending_orders=1)
        order = await w.trade(type="limit", price=1.309)
        await w.price("1.30895", "1.30905")
        await w.call("DELETE", f"/orders/{order}")
        assert await w.resting() == ("FROZEN", D("1.309"), D(0))
        await w.tick(1000)
        await w.price("1.31000", "1.31010")
        await w.tick(1000)
        link = (await w.links())[1]
        assert (link.phase, link.reason) == ("cancelled", "MASTER_CANCELLED")
        assert (await w.call("GET", f"/accounts/{w.anna}"))["pending"] == []
        assert [row.step for event in await w.orders(CancelCopies) for row in event.rows] == [1, 2, 3]


async def test_a_frozen_pending_copy_that_is_filled_after_all_is_closed(tmp_path: Path) -> None:
    async with on_paper(tmp_path, {"freeze_level": 10}) as w:
        await w.subscribed(copy_pending_orders=1)
        order = await w.trade(type="limit", price=1.309)
        await w.price("1.30895", "1.30905")
        await w.call("DELETE", f"/orders/{order}")
        await w.price("1.30885", "1.30895")
        link = (await w.links())[1]
        assert (link.phase, link.reason, link.volume_now) == ("closed", "MASTER_CANCELLED", 0)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("policy", ["cancel", "market_if_within_slippage", "leave"])
async def test_a_frozen_pending_copy_whose_stops_were_to_be_changed_outlives_its_master_s(
    tmp_path: Path, reverse: int, policy: str
) -> None:
    """The master's buy stop is filled at an ask of 1.31055; the copy, 5 points from its own price, can be neither withdrawn nor changed."""
    levels = {"stops_level": 20, "freeze_level": 10}
    async with on_paper(tmp_path, levels, pending_fill_policy=policy) as w:
        await w.subscribed(copy_pending_orders=1, reverse_direction=reverse)
        await w.trade(type="stop", price=1.3105, tp=1.3106)
        assert (await w.resting())[0] == "SLTP_DRIFT"
        await (w.price("1.31045", "1.31055") if reverse else w.price("1.31035", "1.31045"))
        await w.price("1.31045", "1.31055", "EURUSD")
        for _ in range(3):
            await w.tick(2000)
            assert (await w.resting())[1] == D("1.3105")
        assert await w.orders(ReplaceCopies) == []
        await w.price("1.31000", "1.31010")
        await w.tick(2000)
        assert (await w.links())[1].phase == {"cancel": "cancelled", "market_if_within_slippage": "open", "leave": "pending"}[policy]


async def test_a_frozen_change_of_a_pending_copy_is_tried_again(tmp_path: Path) -> None:
    async with on_paper(tmp_path, {"freeze_level": 10}) as w:
        await w.subscribed(copy_pending_orders=1)
        order = await w.trade(type="limit", price=1.309)
        await w.price("1.30895", "1.30905")
        await w.call("PUT", f"/orders/{order}", {"price": 1.308})
        assert await w.resting() == ("PRICE_DRIFT", D("1.309"), D(0))
        await w.tick(1000)
        await w.price("1.31000", "1.31010")
        await w.tick(1000)
        assert await w.resting() == ("", D("1.308"), D(0))


async def test_a_symbol_with_fewer_digits_is_no_drift(tmp_path: Path) -> None:
    """The stop loss at 1.30905 is 1.3090 on a grid of four digits, half-even as the venue rounds: nothing is to be mended."""
    async with on_paper(tmp_path, {"digits": 4, "bid": D("1.31"), "ask": D("1.3101")}, reconcile_every_ms=1000) as w:
        await w.subscribed()
        await w.trade(sl=1.30905)
        assert await w.copy() == ("", D("1.309"), D(0))
        await w.tick(60_000)
        await w.tick(60_000)
        assert await w.copy() == ("", D("1.309"), D(0))
        assert await w.orders(ProtectCopies) == []


@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_a_reversed_stop_limit_is_copied_when_the_master_s_is_filled(tmp_path: Path, side: str) -> None:
    """Buy stop-limit 1.32 / 1.315: nothing rests for who reverses; reached at 1.32 and filled at 1.315 it becomes a sell at market."""
    up = side == "buy"
    price, limit_price = (1.32, 1.315) if up else (1.30, 1.305)
    async with on_paper(tmp_path, {}) as w:
        await w.subscribed(copy_pending_orders=1, reverse_direction=1)
        await w.trade(side=side, type="stop_limit", price=price, limit_price=limit_price)
        assert (await w.links(), await w.orders(PlaceCopies)) == ({}, [])
        await w.price(*(("1.32", "1.3201") if up else ("1.2999", "1.3")), "EURUSD")
        assert await w.links() == {}, "reached, and not filled"
        await w.price(*(("1.3149", "1.315") if up else ("1.305", "1.3051")), "EURUSD")
        link = (await w.links())[1]
        assert (link.phase, link.side, link.volume_now) == ("open", "sell" if up else "buy", 10)


async def test_a_few_and_many_are_sent_the_same_levels(tmp_path: Path) -> None:
    """Eleven followers one by one, twelve by columns; 50 points from a price of 1.10000 on both sides. Every other one is reversed."""
    sent = []
    for count in (11, 12):
        (tmp_path / str(count)).mkdir()
        async with world(tmp_path / str(count)) as w:
            made = [subscription(n, 2999 + n, reverse_direction=n % 2, copy_pending_orders=1) for n in range(1, count + 1)]
            await filled(w, made)
            await w.told(trades.SymbolsChanged.of([symbol("EURUSD", stops_level=50)]))
            w.venue.deaf = True
            await w.open(11, sl=D("1.0998"), tp=D("1.1003"))
            await w.told(trades.PendingPlaced.of([pending(12, price=D("1.0999"), sl=D("1.0998"), tp=D("1.12"))]))
            opened = sorted(row for event in await w.orders(OpenCopies) for row in event.rows)[:11]
            placed = [(event.kind, row._replace(link=0)) for event in await w.orders(PlaceCopies) for row in event.rows[:5]]
            sent.append((opened, sorted(placed)))
            link = (await w.links(11))[2]
            recorded = next(event.inputs for event in await w.link_events() if event.inputs)
            told = Decided(link.link, link.subscription, MASTER, link.follower_login, 11, link.phase, link.reason)
            assert "Stops keep 0.0005 away from the market" in " ".join(explain(told, recorded)["text"])
    assert sent[0] == sent[1]
    assert {(row.side, row.sl, row.tp) for row in sent[0][0]} == {("buy", D("1.0995"), D("1.1005")), ("sell", D("1.1005"), D("1.0995"))}
    assert {(kind, row.side, row.price, row.sl, row.tp) for kind, row in sent[0][1]} == {
        ("limit", "buy", D("1.0995"), D("1.099"), D("1.12")),
        ("stop", "sell", D("1.0995"), D("1.12"), D("1.099")),
    }
