"""`lockstep bench`: how fast a running stack copies, measured through its public doors like a customer's program would."""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lockstep.client import Away, Denied, Door
from lockstep.sessions import issued
from lockstep.stack import Home, StackError

SYMBOL, VOLUME = "GBPUSD", 10
BALANCE, LEVERAGE = 1_000_000, 100
COPY_WAIT_S = 60.0
LOOK_S = 0.002
PARTS = {"decide": "executor", "carry_out": "gateway", "confirm": "executor"}

Told = Callable[[str, int, int], None]
"""Takes what is done, how much of it, and how much there is."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies are milliseconds from the master's order to a follower's copy on the venue, as seen from outside."""

    followers: int
    trades: int
    latency_ms_median: float
    latency_ms_p99: float
    copies_per_s: float
    """Of a burst: all trades at once, until every follower holds all of them."""
    parts_ms: dict[str, float]
    """What the services themselves say of the openings in this run, on average: `decide`, `carry_out`, `confirm`."""


class Bench:
    """One run: its own customers, a master and followers on the paper venue, and trades. The accounts stay."""

    def __init__(self, home: Home, followers: int, trades: int, told: Told) -> None:
        stack = home.stack()
        self._home = home
        self._followers = followers
        self._trades = trades
        self._told = told
        self._venue = Door(stack.url("gateway"))
        self._api = Door(stack.url("api"))
        self._urls = {service: stack.url(service) for service in set(PARTS.values())}
        self._master = 0
        self._logins: list[int] = []

    async def run(self) -> Measured:
        """Raises StackError when the stack does not answer, or refuses."""
        try:
            await self._set_up()
            before = await self._parts()
            latencies = [await self._one_trade(number) for number in range(self._trades)]
            copies_per_s = await self._burst()
            after = await self._parts()
        except Away as away:
            raise StackError(f"{away}: is the stack running? `lockstep doctor` says more") from None
        except Denied as denied:
            raise StackError(f"refused: {denied}") from None
        finally:
            await self._venue.close()
            await self._api.close()
        ordered = sorted(latencies)
        return Measured(
            followers=self._followers,
            trades=self._trades,
            latency_ms_median=round(statistics.median(ordered) * 1000, 1),
            latency_ms_p99=round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000, 1),
            copies_per_s=round(copies_per_s, 1),
            parts_ms={part: round(_mean(before[part], after[part]) * 1000, 1) for part in PARTS},
        )

    async def _set_up(self) -> None:
        first = int(time.time()) * 1000  # customers that no other run has
        self._master = await self._account(first)
        policy = {"reward_type": 3, "fee_percent": 20}
        master = {"login": self._master, "strategy_name": "Benchmark", "visibility": "public", "reward_policy": policy}
        record = (await self._call(first, "POST", "/copytrade/master", master))["id"]
        for number in range(1, self._followers + 1):
            login = await self._account(first + number)
            await self._call(first + number, "POST", "/copytrade/follower", {"login": login})
            copying = {"master_login": self._master, "follower_login": login, "volume_mode": 1, "risk_multiplier": 1}
            await self._call(first + number, "POST", "/copytrade/subscription", copying)
            self._logins.append(login)
            self._told("followers", number, self._followers)
        await self._call(first, "PUT", f"/copytrade/master/{record}", {"visibility": "private"})  # no strategy for the marketplace

    async def _account(self, customer: int) -> int:
        wanted = {"customer_id": customer, "group": "real-usd", "balance": BALANCE, "leverage": LEVERAGE}
        login: int = (await self._venue.call("POST", "/accounts", wanted))["login"]
        return login

    async def _call(self, customer: int, method: str, path: str, body: Any) -> Any:
        return await self._api.call(method, path, body, issued(self._home, "customer", str(customer)))

    async def _one_trade(self, number: int) -> float:
        """Opens, waits for one follower's copy, closes, waits until it is closed. Answers the seconds of the opening."""
        follower = self._logins[number % len(self._logins)]
        began = time.monotonic()
        order = await self._open()
        await self._until(follower, lambda copies: any(f"-{order}-open-" in copy for copy in copies))
        took = time.monotonic() - began
        await self._venue.call("POST", f"/orders/{order}/close", {})
        await self._until(follower, lambda copies: not copies)
        self._told("trades, one after the other", number + 1, self._trades)
        return took

    async def _burst(self) -> float:
        began = time.monotonic()
        opened = [await self._open() for _ in range(self._trades)]
        for number, follower in enumerate(self._logins, 1):
            await self._until(follower, lambda copies: len(copies) == self._trades)
            self._told("followers with all trades of a burst", number, self._followers)
        took = time.monotonic() - began
        for order in opened:
            await self._venue.call("POST", f"/orders/{order}/close", {})
        return self._trades * self._followers / took

    async def _open(self) -> int:
        wanted = {"login": self._master, "symbol": SYMBOL, "side": "buy", "volume": VOLUME}
        order: int = (await self._venue.call("POST", "/orders", wanted))["order"]
        return order

    async def _until(self, follower: int, holds: Callable[[list[str]], bool]) -> None:
        """Waits for what a follower holds, by client ids."""
        until = time.monotonic() + COPY_WAIT_S
        while True:
            account = await self._venue.call("GET", f"/accounts/{follower}")
            if holds([position["client_id"] for position in account["positions"]]):
                return
            if time.monotonic() > until:
                raise StackError(f"follower {follower} has not what it should have within {COPY_WAIT_S:g} s: `lockstep doctor` says more")
            await asyncio.sleep(LOOK_S)

    async def _parts(self) -> dict[str, tuple[float, float]]:
        """Sum and count of the openings' latency so far, by part."""
        found = {}
        async with httpx.AsyncClient(timeout=5) as client:
            for part, service in PARTS.items():
                sums = {"sum": 0.0, "count": 0.0}
                with suppress(httpx.HTTPError):  # a figure less; the measurement stands without it
                    text = (await client.get(f"{self._urls[service]}/metrics")).text
                    for family in text_string_to_metric_families(text):
                        for sample in family.samples:
                            kind = sample.name.removeprefix("lockstep_copy_seconds_")
                            if kind in sums and sample.labels == {"part": part, "action": "open"}:
                                sums[kind] = sample.value
                found[part] = (sums["sum"], sums["count"])
        return found


def _mean(before: tuple[float, float], after: tuple[float, float]) -> float:
    count = after[1] - before[1]
    return (after[0] - before[0]) / count if count else 0.0
