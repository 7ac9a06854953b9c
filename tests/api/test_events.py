"""`GET /copytrade/events` and `/copytrade/positions`: what changes for a customer, told once, resumed without loss, and to nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from api import auth, flow, news
from shared.contracts.links import LinkState
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState
from shared.contracts.stats import PriceRow
from shared.contracts.trades import (
    AccountPositions,
    AccountsChanged,
    ChangedRow,
    ClosedRow,
    HeldRow,
    OpenedRow,
    PositionsChanged,
    PositionsClosed,
    PositionsOpened,
    SymbolRow,
    SymbolsChanged,
)
from shared.ids import copy_client_id
from shared.store import migrate

from tests.api.told import link, links, refused
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, FOLLOWER_LOGIN, MASTER_LOGIN, NOW_MS, World, account, open_world

pytestmark = pytest.mark.anyio

ZERO = Decimal(0)
GBPUSD = SymbolRow("GBPUSD", 5, Decimal(100_000), "GBP", "USD", 100, 1, 1, 10_000, 0, ZERO, ZERO, ZERO, Decimal("1.58"), Decimal("1.5802"))


class Told(NamedTuple):
    """One event of a stream."""

    id: int | None
    event: str
    data: dict[str, Any]


def parsed(text: str) -> list[Told]:
    """The events of a stream's text, as the standard says to read it."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append(Told(int(fields["id"]) if "id" in fields else None, fields["event"], json.loads(fields["data"])))
    return found


async def since(world: World, who: int, last: int | None = None, **more: Any) -> list[Told]:
    """What a customer is told who comes back having seen `last`."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    answer = await world.call(who, "GET", "/copytrade/events?follow=0", headers=headers, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parsed(answer.text)


def opened(order: int, login: int, client_id: str = "", **more: Any) -> OpenedRow:
    row = OpenedRow(order, login, "GBPUSD", "buy", 100, Decimal("1.57"), ZERO, ZERO, client_id, "TR_REASON_CLIENT", *[ZERO] * 4, NOW_MS)
    return row._replace(**more)


def closed(order: int, login: int, left: int = 0) -> ClosedRow:
    prices = (Decimal("1.57"), Decimal("1.58"), Decimal("1000"), Decimal("-7"), ZERO)
    told = ("TR_REASON_CLIENT", "", "", NOW_MS, NOW_MS)
    return ClosedRow(order, order + 9000 + left, login, "GBPUSD", "buy", 100, 100 - left, left, *prices, *told)


def accrual(number: int) -> AccrualRow:
    return AccrualRow(
        *(number, 1, MASTER_LOGIN, BOB_LOGIN, 3, 0, NOW_MS, Decimal(25), Decimal("5.02"), "USD", AccrualState.PENDING, NOW_MS, NOW_MS),
        *(MASTER_LOGIN, Decimal("5.02"), "USD", 1, 1, 5001, 0, 0, "", "profit_share_per_trade", "{}"),
    )


async def test_a_stream_begins_now_and_is_resumed_from_what_was_seen_last(world: World) -> None:
    first = await since(world, BOB)
    assert [(one.event, one.data) for one in first] == [("ready", {"resumed": 0})]
    await world.told(flow.on_links, links(link(1), link(2, LinkState.CANCELLED, "skipped", "BELOW_MIN", follower_order=0)))
    await world.told(flow.on_trades, PositionsOpened.of([opened(5001, BOB_LOGIN, copy_client_id(1, 1001, "open"))]))
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual(31)]))
    await world.told(flow.on_trades, AccountsChanged.of([account(BOB_LOGIN, BOB)._replace(equity=Decimal("9990.5"))], time=NOW_MS))
    news_ = await since(world, BOB, first[-1].id)
    assert news_[0] == Told(first[-1].id, "ready", {"resumed": 1})
    assert [(one.event, one.data.get("id", one.data.get("order", one.data.get("login")))) for one in news_[1:]] == [
        ("link", 1),
        ("link", 2),
        ("position", 5001),
        ("accrual", 31),
        ("account", BOB_LOGIN),
    ]
    ids = [one.id for one in news_[1:]]
    assert ids == sorted(ids, key=lambda one: one or 0)
    assert len(set(ids)) == 5
    assert (news_[2].data["reason"], news_[3].data["subscription_id"], news_[3].data["master_order"]) == ("BELOW_MIN", 1, 1001)
    assert (news_[4].data["fee_amount"], news_[5].data["equity"]) == (5.02, 9990.5)
    # Whoever was interrupted after any of them gets the rest, and nothing twice.
    for seen, one in enumerate(news_[1:], 1):
        assert (await since(world, BOB, one.id))[1:] == news_[seen + 1 :]


async def test_what_changed_twice_is_told_as_it_stands(world: World) -> None:
    start = (await since(world, BOB))[-1].id
    await world.told(flow.on_links, links(link(1, LinkState.ACTIVE, "opening"), link(2)))
    await world.told(flow.on_links, links(link(1, LinkState.CLOSED, "closed", "MASTER_CLOSED")))
    await world.told(flow.on_trades, PositionsOpened.of([opened(1, BOB_LOGIN), opened(2, BOB_LOGIN), opened(3, BOB_LOGIN)]))
    await world.told(flow.on_trades, PositionsChanged.of([ChangedRow(3, BOB_LOGIN, "GBPUSD", Decimal("1.5"), ZERO, 2, "")]))
    await world.told(flow.on_trades, PositionsClosed.of([closed(1, BOB_LOGIN), closed(2, BOB_LOGIN, left=40)]))
    seen = [
        (one.event, *(one.data.get(name) for name in ("id", "phase", "order", "volume", "sl")))
        for one in (await since(world, BOB, start))[1:]
    ]
    assert seen == [
        ("link", 2, "open", None, 10, 0),
        ("link", 1, "closed", None, 10, 0),
        ("position", None, None, 3, 100, 1.5),
        ("deal", None, None, 1, 100, None),
        ("deal", None, None, 2, 60, None),
        ("position", None, None, 2, 40, 0),
        ("position.closed", None, None, 1, None, None),
    ]


async def test_a_position_that_a_sync_does_not_name_is_gone(world: World) -> None:
    await world.told(flow.on_trades, PositionsOpened.of([opened(1, BOB_LOGIN), opened(2, BOB_LOGIN)]))
    start = (await since(world, BOB))[-1].id
    held = HeldRow(2, "GBPUSD", "buy", 100, 100, Decimal("1.57"), ZERO, ZERO, 1, "", NOW_MS)
    await world.told(flow.on_trades, AccountPositions.of([held], login=BOB_LOGIN))
    told = {one.event: one.data["order"] for one in (await since(world, BOB, start))[1:]}
    assert told == {"position.closed": 1, "position": 2}


async def test_nobody_is_told_what_is_not_theirs(world: World) -> None:
    start = (await since(world, EVE))[-1].id
    await world.told(flow.on_links, links(link(1)))
    await world.told(flow.on_rewards, AccrualsChanged.of([accrual(31)]))
    orders = {BOB: 5001, ALICE: 6001}
    await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]))
    await world.told(flow.on_trades, PositionsOpened.of([opened(orders[BOB], BOB_LOGIN), opened(orders[ALICE], FOLLOWER_LOGIN)]))
    await world.told(flow.on_trades, PositionsOpened.of([opened(5002, BOB_LOGIN), opened(6002, FOLLOWER_LOGIN)]))
    await world.told(flow.on_trades, PositionsClosed.of([closed(5002, BOB_LOGIN), closed(6002, FOLLOWER_LOGIN)]))
    await world.told(flow.on_trades, AccountsChanged.of([account(BOB_LOGIN, BOB), account(FOLLOWER_LOGIN, ALICE)], time=NOW_MS))
    assert [one.event for one in await since(world, EVE, start)] == ["ready"]
    for who, login, logins in ((BOB, BOB_LOGIN, {BOB_LOGIN}), (ALICE, FOLLOWER_LOGIN, {MASTER_LOGIN, FOLLOWER_LOGIN, 100003})):
        told = (await since(world, who, start))[1:]
        assert {"account", "position", "position.closed", "deal", "link", "accrual"} <= {one.event for one in told}
        for one in told:
            if one.event in {"link", "accrual"}:  # both sides of a copy see it
                assert {one.data["master_login"], one.data["follower_login"]} & logins
            elif one.event != "price":
                assert one.data["login"] == login
        rows = await world.good(who, "GET", "/copytrade/positions?format=objects")
        assert [row["order"] for row in rows["rows"]] == [orders[who]]
    assert (await world.good(EVE, "GET", "/copytrade/positions"))["rows"] == []


async def test_positions_are_worth_what_the_latest_price_says(world: World) -> None:
    """1 lot bought at 1.57 and closed at 1.58 makes 0.01 x 100,000 = 1,000 USD; at 1.575, 500; in EUR nobody knows without EURUSD."""
    await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]))
    await world.open_account(300001, BOB, currency="EUR")
    await world.told(flow.on_trades, PositionsOpened.of([opened(1, BOB_LOGIN, copy_client_id(7, 1001, "open")), opened(2, 300001)]))
    table = await world.good(BOB, "GET", "/copytrade/positions")
    shown = [dict(zip(table["structure"], row, strict=True)) for row in table["rows"]]
    assert [(row["order"], row["mark_price"], row["profit"]) for row in shown] == [(1, 1.58, 1000), (2, 1.58, None)]
    assert [(row["subscription_id"], row["master_order"]) for row in shown] == [(7, 1001), (0, 0)]
    world.context.prices["GBPUSD"] = PriceRow("GBPUSD", Decimal("1.575"), Decimal("1.5752"), NOW_MS)
    found = await world.good(BOB, "POST", "/copytrade/positions/search", {"where": [["order", "=", 1]], "format": "objects"})
    assert (found["count"], found["rows"][0]["profit"]) == (1, 500)
    told = await since(world, BOB)
    assert [(one.event, one.data.get("bid", one.data.get("profit"))) for one in told[1:]] == [
        ("price", 1.575),
        ("profit", 500),
        ("profit", None),
    ]
    assert {one.id for one in told[1:]} == {None}, "prices are not numbered"


async def test_prices_that_a_client_asks_for(world: World) -> None:
    await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD, GBPUSD._replace(symbol="EURUSD"), GBPUSD._replace(symbol="USDCHF")]))
    for symbols, told in (("", []), ("EURUSD,NONE", ["EURUSD"]), ("*", ["EURUSD", "GBPUSD", "USDCHF"])):
        answer = await world.call(EVE, "GET", f"/copytrade/events?follow=0&symbols={symbols}")
        assert [one.data["symbol"] for one in parsed(answer.text) if one.event == "price"] == told
    await refused(world, 400, "INVALID_DATA", EVE, "GET", "/copytrade/events?symbols=" + ",".join(map(str, range(101))))


async def test_what_is_no_longer_kept_is_said(tmp_path: Path) -> None:
    async with open_world(tmp_path, events_kept=3) as world:
        start = (await since(world, BOB))[-1].id or 0
        await world.told(flow.on_trades, PositionsOpened.of([opened(1, BOB_LOGIN)]))
        await world.told(flow.on_trades, PositionsClosed.of([closed(1, BOB_LOGIN)]))
        assert [one.event for one in await since(world, BOB, start)] == ["ready", "deal", "position.closed"]
        await world.told(flow.on_links, links(link(1), link(2), link(3)))
        await world.context.forget_old_answers()
        now = start + 6
        assert await since(world, BOB, start) == [Told(now, "reset", {"reason": "NOT_KEPT"})]
        assert await since(world, BOB, now + 1) == [Told(now, "reset", {"reason": "NOT_KEPT"})], "from another store's future"
        assert [one.data["id"] for one in (await since(world, BOB, now - 3))[1:]] == [1, 2, 3]
        assert await world.rows("position_gone") == []
        for bad in ("x", "-1", "1.5", "9" * 19):
            await refused(world, 400, "INVALID_DATA", BOB, "GET", f"/copytrade/events?last_event_id={bad}")


async def test_more_than_a_page_is_told_whole_and_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "PAGE", 7)
    start = (await since(world, BOB))[-1].id
    for number in range(10):
        rows = [link(number * 3 + one) for one in range(3)]
        await world.told(flow.on_links, links(*rows))
        await world.told(flow.on_trades, PositionsOpened.of([opened(100 + number, BOB_LOGIN)]))
    told = (await since(world, BOB, start))[1:]
    assert [one.id for one in told] == list(range((start or 0) + 1, (start or 0) + 41))
    assert [one.data["id"] for one in told if one.event == "link"] == list(range(30))


@pytest.mark.postgres
async def test_resuming_on_postgres(tmp_path: Path, postgres: Any) -> None:
    """Numbers are committed in their order although four readers write at once: nobody who follows misses one."""
    url = postgres("api_events")
    migrate.upgrade("api", url)
    async with open_world(tmp_path, url) as world:
        place = (await since(world, BOB))[-1].id
        seen: list[int] = []

        async def follow() -> None:
            nonlocal place
            for one in (await since(world, BOB, place))[1:]:
                seen.append(one.id or 0)
                place = one.id

        async def write(number: int) -> None:
            await world.told(flow.on_links, links(link(number)))
            await world.told(flow.on_trades, PositionsOpened.of([opened(1000 + number, BOB_LOGIN)]))

        for start in range(0, 40, 8):
            await asyncio.gather(*(write(number) for number in range(start, start + 8)), follow())
        await follow()
        assert sorted(seen) == seen
        assert len(seen) == 80


class Live:
    """A stream that is followed over a real connection."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.text = ""
        self._chunks = response.aiter_text()

    async def until(self, event: str) -> Told:
        """The next event of this name."""
        async with asyncio.timeout(10):
            while True:
                for index, one in enumerate(parsed(self.text.rpartition("\n\n")[0])):
                    if one.event == event:
                        blocks = self.text.split("\n\n")
                        told = [number for number, block in enumerate(blocks) if "data: " in block][index]
                        self.text = "\n\n".join(blocks[told + 1 :])
                        return one
                self.text += await anext(self._chunks)

    async def ended(self) -> str:
        """What else comes until the stream ends."""
        async with asyncio.timeout(10):
            async for chunk in self._chunks:
                self.text += chunk
        return self.text


@asynccontextmanager
async def served(world: World) -> AsyncIterator[httpx.AsyncClient]:
    server = uvicorn.Server(uvicorn.Config(world.app, port=0, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve())
    hub = asyncio.create_task(world.context.hub.run())
    while not server.started:  # noqa: ASYNC110  (uvicorn does not tell)
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
    server.should_exit = True
    hub.cancel()
    with suppress(asyncio.CancelledError):
        await hub
    await asyncio.wait_for(running, 10)


@asynccontextmanager
async def following(client: httpx.AsyncClient, headers: dict[str, str], query: str = "") -> AsyncIterator[Live]:
    async with client.stream("GET", f"/copytrade/events{query}", headers=headers) as response:
        assert response.status_code == 200
        yield Live(response)


async def test_a_stream_goes_on(tmp_path: Path) -> None:
    """News come by themselves; prices move what positions are worth; the service's stop ends it."""
    async with open_world(tmp_path) as world:
        await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]), PositionsOpened.of([opened(1, BOB_LOGIN)]))
        async with served(world) as client:
            async with following(client, world.customer(BOB)) as bob, following(client, world.customer(EVE)) as eve:
                assert (await bob.until("ready")).data == {"resumed": 0}
                assert (await bob.until("profit")).data["profit"] == 1000
                await world.told(flow.on_links, links(link(1)))
                assert (await bob.until("link")).data["id"] == 1
                world.context.prices["GBPUSD"] = PriceRow("GBPUSD", Decimal("1.575"), Decimal("1.5752"), NOW_MS)
                assert (await bob.until("price")).data == {"symbol": "GBPUSD", "bid": 1.575, "ask": 1.5752}
                assert (await bob.until("profit")).data["profit"] == 500
                await world.open_account(300001, EVE)  # an account that is new is told, and heard from then on
                assert (await eve.until("account")).data["login"] == 300001
                await world.told(flow.on_trades, PositionsOpened.of([opened(2, 300001)]))
                assert (await eve.until("position")).data["order"] == 2
                world.context.hub.closing = True
                ended = await eve.ended()
                assert parsed(ended)[-1][1:] == ("end", {"reason": "STOPPING"})
                assert '"login":200001' not in ended
            assert world.context.hub._listeners == set()


async def test_silence_is_broken_by_heartbeats(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, events_heartbeat_s=0.1) as world,
        served(world) as client,
        following(client, world.customer(EVE)) as eve,
    ):
        async with asyncio.timeout(10):
            while eve.text.count(": still here\n\n") < 3:
                eve.text += await anext(eve._chunks)


async def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    async with open_world(tmp_path, events_check_s=0.1) as world, served(world) as client:
        await world.good(auth.ADMIN, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "b@c.de", "password": "correct horse"})
        login = await client.post("/customer/auth/login", json={"email": "b@c.de", "password": "correct horse"})
        cookie = login.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/copytrade/events"))
        # A browser's EventSource sends the cookie and no header; no other route takes it.
        async with following(client, {}) as bob:
            await bob.until("ready")
            token = {"Cookie": f"{auth.COOKIE}={login.json()['__token']}"}
            assert (await client.get("/copytrade/my", headers=token)).status_code == 401
            await world.good(auth.ADMIN, "POST", "/manager/MngUpdateCustomer", {"id": BOB, "enabled": 0})
            assert parsed(await bob.ended())[-1][1:] == ("end", {"reason": "INVALID_CUSTOMER_SESSION"})
        assert (await client.get("/copytrade/events")).status_code == 401


async def test_a_customer_has_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path, events_streams_max=2, events_streams_total=3) as world,
        served(world) as client,
        following(client, world.customer(BOB)),
        following(client, world.customer(BOB)) as second,
    ):
        third = await client.get("/copytrade/events", headers=world.customer(BOB))
        assert (third.status_code, third.json()["error"], third.headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "5")
        async with following(client, world.customer(EVE)):
            assert (await client.get("/copytrade/events", headers=world.customer(ALICE))).status_code == 429
        await second.response.aclose()
        for _ in range(100):  # who goes makes room
            answer = await client.get("/copytrade/events?follow=0", headers=world.customer(BOB))
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert "ready" in answer.text
