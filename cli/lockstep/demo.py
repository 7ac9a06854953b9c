"""The demo: masters who trade by themselves on replayed prices and followers who copy them, all of it through the public doors.

`python -m lockstep.demo HOME` is what `lockstep up` runs: its figures come as JSON lines.
"""

import asyncio
import json
import secrets
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from lockstep.cast import FOLLOWERS, MASTERS, SHOWN, FollowerRole, MasterRole
from lockstep.client import Away, Customer, Denied, Door, Manager
from lockstep.figures import Figures
from lockstep.sessions import issued
from lockstep.stack import Home, StackError
from lockstep.strategies import KEPT_PRICES, Close, Held, orders, stops
from lockstep.supervise import write_whole
from lockstep.table import Snapshot

LEVERAGE = 100
LOOK_EVERY_S = 0.2
SHOW_EVERY_S = 1.0
AGAIN_AFTER_S = 1.0
COPY_WAIT_S = 5.0
COPY_LOOK_S = 0.01

Show = Callable[[Snapshot], None]
Say = Callable[[str], None]


class Book:
    """What the demo made before, in `HOME/demo.json`: so it is made once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        self.password: str = known.get("password") or secrets.token_urlsafe(12)
        self.customers: dict[str, int] = known.get("customers", {})
        """Ids by e-mail."""
        self.logins: dict[str, int] = known.get("logins", {})
        """Accounts by role."""
        self.manager: str = known.get("manager", "")
        """A session of the back office, for the console's login page."""

    def keep(self) -> None:
        shown = [{"name": one.name, "words": one.words, "email": one.email} for one in SHOWN if one.email in self.customers]
        whole = {"password": self.password, "customers": self.customers, "logins": self.logins, "manager": self.manager, "shown": shown}
        write_whole(self._file, json.dumps(whole, indent=2) + "\n")


class Demo:
    """One run of it. What is away is waited for; it goes on for ever."""

    def __init__(self, home: Home, show: Show, say: Say, api_url: str = "", venue_url: str = "") -> None:
        """The doors are those of the stack on the home, unless their URLs are given."""
        stack = home.stack()
        self._home = home
        self._show = show
        self._say = say
        self._book = Book(home.demo_file)
        self._venue = Door(venue_url or stack.url("gateway"))
        self._api = Door(api_url or stack.url("api"))
        self._symbols: dict[str, dict[str, Any]] = {}
        self._prices: dict[str, deque[Decimal]] = {role.symbol: deque(maxlen=KEPT_PRICES) for role in MASTERS}
        self._turns = dict.fromkeys(self._prices, 0)
        self._moved = asyncio.Condition()
        self._customers: dict[str, Customer] = {}
        self._figures: Figures

    async def run(self) -> None:
        """Makes what is not there yet, then trades. Raises StackError when the home does not know the customers that are there."""
        try:
            await self._persist("sets the stage", self._set_up)
            self._figures = Figures(self._venue, self._customers, self._book.logins)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_prices())
                group.create_task(self._show_figures())
                for role in MASTERS:
                    group.create_task(self._trade(role))
        finally:
            await self._venue.close()
            await self._api.close()

    async def _persist(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        """Does something, again and again while the other side is away."""
        told = False
        while True:
            try:
                await step()
            except Away as away:
                if not told:
                    self._say(f"{what}: waits, {away}")
                    told = True
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return

    # The stage

    async def _set_up(self) -> None:
        self._book.manager = issued(self._home, "manager", "demo")
        self._book.keep()
        manager = Manager(self._api, lambda: issued(self._home, "manager", "demo"))
        emails = dict.fromkeys(role.email for role in (*MASTERS, *FOLLOWERS))
        for email in emails:
            await self._customer(manager, email)
        for role in (*MASTERS, *FOLLOWERS):
            await self._account(role)
        for master in MASTERS:
            await self._master(master)
        for follower in FOLLOWERS:
            await self._follower(follower)

    async def _customer(self, manager: Manager, email: str) -> None:
        if email not in self._customers:
            self._customers[email] = Customer(self._api, email, self._book.password)
        if email in self._book.customers:
            return
        try:
            made = await manager.call(
                "MngCreateCustomer", {"email": email, "password": self._book.password, "name": email.partition("@")[0]}
            )
            self._book.customers[email] = made["id"]
        except Denied as denied:
            if denied.code != "CUSTOMER_ALREADY_EXISTS":
                raise
            # Made by a run that was ended before it could write this down; or by one whose demo.json is gone.
            try:
                self._book.customers[email] = (await self._customers[email].log_in())["id"]
            except Denied:
                lost = f"the demo's customer {email} exists already, but {self._home.demo_file} does not know its password"
                raise StackError(f"{lost}: put the file back, or start with another --home") from denied
        self._book.keep()

    async def _account(self, role: MasterRole | FollowerRole) -> None:
        if role.key in self._book.logins:
            return
        wanted = {"customer_id": self._book.customers[role.email], "group": role.group, "balance": role.balance, "leverage": LEVERAGE}
        self._book.logins[role.key] = (await self._venue.call("POST", "/accounts", wanted))["login"]
        self._book.keep()

    async def _master(self, role: MasterRole) -> None:
        customer, login = self._customers[role.email], self._book.logins[role.key]
        if any(master["login"] == login for master in (await customer.call("GET", "/copytrade/my"))["masters"]):
            return
        await customer.call(
            "POST",
            "/copytrade/master",
            {
                "login": login,
                "strategy_name": role.name,
                "description": role.description,
                "visibility": "public",
                "reward_policy": role.reward,
            },
        )
        self._say(f"{role.name} is open to followers (login {login})")

    async def _follower(self, role: FollowerRole) -> None:
        customer, login = self._customers[role.email], self._book.logins[role.key]
        mine = await customer.call("GET", "/copytrade/my")
        if not any(follower["login"] == login for follower in mine["followers"]):
            await customer.call("POST", "/copytrade/follower", {"login": login} | role.follower)
        there = {one["master_login"] for one in mine["subscriptions"] if one["follower_login"] == login}
        for key, settings in role.copies.items():
            master_login = self._book.logins[key]
            if master_login not in there:
                await customer.call("POST", "/copytrade/subscription", {"master_login": master_login, "follower_login": login} | settings)
                self._say(f"{role.key} copies {key} ({role.words})")

    # The play

    async def _watch_prices(self) -> None:
        while True:
            await self._persist("prices", self._read_prices)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read_prices(self) -> None:
        moved = False
        for row in await self._venue.call("GET", "/symbols"):
            name = row["symbol"]
            self._symbols[name] = row
            if name not in self._prices:
                continue
            price = (Decimal(row["bid"]) + Decimal(row["ask"])) / 2
            if not self._prices[name] or self._prices[name][-1] != price:
                self._prices[name].append(price)
                self._turns[name] += 1
                self._figures.prices[name] = str(row["bid"])
                moved = True
        if moved:
            async with self._moved:
                self._moved.notify_all()

    async def _trade(self, role: MasterRole) -> None:
        """Looks at each new price of the master's symbol and sends what its rule wants."""
        seen = 0
        while True:
            async with self._moved:
                while self._turns[role.symbol] == seen:
                    await self._moved.wait()
            seen = self._turns[role.symbol]
            try:
                await self._act(role)
            except Away as away:
                self._figures.note = f"{role.name} waits: {away}"
                await asyncio.sleep(AGAIN_AFTER_S)
            except Denied as denied:
                self._say(f"{role.name}: {denied}")

    async def _act(self, role: MasterRole) -> None:
        want = role.rule(list(self._prices[role.symbol]))
        login = self._book.logins[role.key]
        account = await self._venue.call("GET", f"/accounts/{login}")
        held = [Held(one["order"], one["side"], int(one["volume"])) for one in account["positions"] if one["symbol"] == role.symbol]
        for order in orders(want, held, role.volume):
            if isinstance(order, Close):
                await self._venue.call("POST", f"/orders/{order.order}/close", {"volume": order.volume})
                continue
            symbol = self._symbols[role.symbol]
            price = Decimal(symbol["ask"] if order.side == "buy" else symbol["bid"])
            sl, tp = stops(order.side, price, symbol["digits"], role.loss, role.gain)
            wanted = {"login": login, "symbol": role.symbol, "side": order.side, "volume": order.volume, "sl": sl, "tp": tp}
            began = time.monotonic()
            opened = await self._venue.call("POST", "/orders", wanted)
            await self._measure(role, opened["order"], began)
        self._figures.note = ""

    async def _measure(self, role: MasterRole, order: int, began: float) -> None:
        """How long it takes from the master's order until a follower's copy of it is there on the venue."""
        follower = next(one for one in FOLLOWERS if role.key in one.copies)
        while time.monotonic() - began < COPY_WAIT_S:
            account = await self._venue.call("GET", f"/accounts/{self._book.logins[follower.key]}")
            if any(f"-{order}-open-" in one["client_id"] for one in account["positions"]):
                self._figures.latency_ms = round((time.monotonic() - began) * 1000)
                return
            await asyncio.sleep(COPY_LOOK_S)

    async def _show_figures(self) -> None:
        while True:
            try:
                self._show(await self._figures.snapshot())
            except (Away, Denied) as fault:
                self._figures.note = f"figures wait: {fault}"
            await asyncio.sleep(SHOW_EVERY_S)


def main(home: Home) -> None:
    """Runs the demo with its figures as JSON lines, for the screen of `lockstep up`."""

    def show(snapshot: Snapshot) -> None:
        print(json.dumps(snapshot.raw()), flush=True)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        asyncio.run(Demo(home, show, say).run())
    except (Denied, StackError) as error:
        raise SystemExit(f"ends: {error}") from None


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])))
