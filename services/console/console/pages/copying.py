"""My copying: each account that follows, whom and how; what is open now; and every copy, skip and refusal with its reason. It is live."""

import asyncio
from typing import Any

from nicegui import ui
from starlette.responses import RedirectResponse

from console import words
from console.api import Json
from console.figures import money, short, tone, when
from console.frame import frame
from console.live import Live
from console.pages.account import account_settings, stop_opening
from console.pages.links import COLUMNS, Grid, explain, link_row
from console.pages.subscribe import subscribe
from console.parts import Panel, attempt, box, card, chip, confirmed, empty, heading, named, settled, tile
from console.session import Who, admitted
from console.tables import Column, data_table

LINKS_KEPT = 200
"""So many of the newest copies that have ended are listed, and all that have not."""
ACTIVE = ("opening", "pending", "open", "closing")
LINK_FILTERS = {"all": "All", "active": "Open", "skipped": "Skipped", "closed": "Closed"}
POSITION_COLUMNS = (
    Column("symbol", "Symbol"),
    Column("side", "Side", "chip"),
    Column("lots", "Lots", "num"),
    Column("price", "Opened at", "num"),
    Column("mark", "Now", "num"),
    Column("profit", "Profit", "toned"),
    Column("stops", "Stop loss / take profit", "num"),
    Column("source", "Copied from"),
    Column("time", "Opened (UTC)", "num"),
)
CLOSING = {"detach": "Keep them: they become ordinary positions of mine", "close": "Close them at market now"}


class Copying:
    """The page's data, as loaded and as told since."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.panel: Panel
        self.live: Live
        self.accounts: dict[int, Json] = {}
        self.positions: dict[int, Json] = {}
        self.links: dict[int, Json] = {}
        self.names: dict[int, str] = {}
        self.followers: dict[int, Json] = {}
        self.subscriptions: dict[int, int] = {}
        """The master of each."""
        self.halted: set[str] = set()
        self.grid = Grid([])
        self.shown = "all"
        self.tiles: dict[int, dict[str, ui.label]] = {}
        self.positions_table: ui.table | None = None
        self.links_table: ui.table | None = None

    async def draw(self) -> None:
        async with self.live.loading():
            mine = await self._load()
        if not self.followers:
            hint = "Choose a master in the marketplace; the account that you choose there follows from then on."
            with box("card"):
                empty("content_copy", "You copy nobody yet", hint, "To the marketplace", lambda: ui.navigate.to("/"))
            return
        self.tiles = {}
        own = [one for one in mine["subscriptions"] if one["follower_login"] in self.followers]
        for login, follower in self.followers.items():
            self._account(follower, [one for one in own if one["follower_login"] == login])
        self._positions()
        self._links()

    async def _load(self) -> Json:
        who = self.who
        mine = await who.call("GET", "/copytrade/my")
        logins = [one["login"] for one in mine["followers"]]
        masters = sorted({one["master_login"] for one in mine["subscriptions"]})
        own = ["follower_login", logins]
        newest_first = [["id", "desc"]]
        accounts, positions, newest, active, halts, grid, listed = await asyncio.gather(
            who.call("GET", "/customer/session/accounts"),
            who.all("/copytrade/positions", {"whereIn": [["login", logins]]}),
            who.search("/copytrade/trade-links", {"whereIn": [own], "orderBy": newest_first, "limit": LINKS_KEPT}),
            who.all("/copytrade/trade-links", {"whereIn": [own, ["phase", ACTIVE]], "orderBy": newest_first}),
            who.call("GET", "/copytrade/halts"),
            Grid.of(who),
            who.all("/copytrade/masters", {"whereIn": [["login", masters]]}),
        )
        self.grid = grid
        self.followers = {one["login"]: one for one in mine["followers"]}
        self.subscriptions = {one["id"]: one["master_login"] for one in mine["subscriptions"]}
        self.accounts = {one["login"]: one for one in accounts["accounts"]}
        self.positions = {one["order"]: one for one in positions}
        self.links = {one["id"]: one for one in (*newest["rows"], *active)}
        self.halted = {one["key"] for one in halts["rows"] if one["scope"] == "follower"}
        self.names = {one["login"]: one["strategy_name"] for one in listed}
        found: Json = mine
        return found

    def name(self, login: int) -> str:
        return self.names.get(login, f"Master {login}")

    # Accounts

    def _account(self, follower: Json, subscriptions: list[Json]) -> None:
        login = follower["login"]
        account = self.accounts.get(login, {})
        with card():
            with box("card-head"):
                with box("chips"):
                    heading(f"Account {login}", 2)
                    chip(account.get("mode", "").lower(), "info")
                    if not follower["enabled"]:
                        chip("disabled", "warn")
                    if str(login) in self.halted:
                        chip("opening stopped", "bad", "front_hand")
                with box("actions"):
                    stopped = str(login) in self.halted
                    stop = ui.button("Open again" if stopped else "Stop opening", on_click=lambda: self._stop(login, stopped))
                    stop.props(f"outline dense icon={'play_arrow' if stopped else 'front_hand'}")
                    settings = ui.button(icon="settings", on_click=lambda: self._settings(follower), color=None)
                    named(settings, f"Settings of account {login}").props("flat round dense").classes("quiet")
            self._money(login, account)
            if not subscriptions:
                ui.label("This account follows nobody at the moment.").classes("muted")
            for one in subscriptions:
                self._subscription(one)

    def _money(self, login: int, account: Json) -> None:
        currency = account.get("currency", "")
        with box("tiles"):
            self.tiles[login] = {
                "equity": tile("Equity", money(account.get("equity"), currency)),
                "balance": tile("Balance", money(account.get("balance"), currency)),
                "free_margin": tile("Free margin", money(account.get("free_margin"), currency)),
                "open": tile("Open profit", "–"),
            }
        self._open_profit(login)

    def _open_profit(self, login: int) -> None:
        profits = [one["profit"] for one in self.positions.values() if one["login"] == login and one["profit"] is not None]
        label, currency = self.tiles[login]["open"], self.accounts.get(login, {}).get("currency", "")
        total = sum(profits)
        label.text = money(total, currency, signed=True)
        label.classes(replace=f"tile-value num {tone(total)}")

    def _subscription(self, one: Json) -> None:
        status, name = one["status"], self.name(one["master_login"])
        with box("subscription"):
            with box("grow"):
                with box("chips"):
                    ui.link(name, f"/master/{one['master_login']}").classes("strong")
                    chip(words.STATUS.get(status, "?"), "good" if status == 0 and one["enabled"] else "warn")
                    if one["standing"] != "good":
                        chip(words.STANDING.get(one["standing"], "Fee unpaid"), "bad")
                ui.label(how(one)).classes("muted small")
            with box("actions"):
                if status == 0:
                    ui.button("Pause", on_click=lambda: self._pause(one)).props("outline dense icon=pause")
                else:
                    ui.button("Resume", on_click=lambda: self._change(one, {"status": 0, "enabled": 1}, f"{name} is copied again")).props(
                        "outline dense icon=play_arrow"
                    )
                if one["daily_loss_percent"] or one["drawdown_percent"]:
                    lifted = "A reached loss limit is taken back"
                    ui.button("Take back a stop", on_click=lambda: self._change(one, {"resume": 1}, lifted)).props("outline dense")
                ui.button("Settings", on_click=lambda: self._edit(one)).props("outline dense icon=tune")
                ui.button("Stop copying", on_click=lambda: self._unsubscribe(one)).props("outline dense icon=close")

    async def _stop(self, login: int, stopped: bool) -> None:
        if await stop_opening(self.who, login, stopped):
            await self.panel.load()

    async def _settings(self, follower: Json) -> None:
        if await account_settings(self.who, follower):
            await self.panel.load()

    async def _pause(self, one: Json) -> None:
        explained = "No new trades are copied. What is open follows the master's closes, partial closes and stops as before."
        if await confirmed(f"Pause {self.name(one['master_login'])}?", explained, "Pause"):
            await self._change(one, {"status": 1}, "Paused")

    async def _change(self, one: Json, change: Json, done: str) -> None:
        if await attempt(self.who.call("PUT", f"/copytrade/subscription/{one['id']}", change), done) is not None:
            await self.panel.load()

    async def _edit(self, one: Json) -> None:
        admits = {"allowed_follower_modes": 2, "strategy_name": self.name(one["master_login"]), "login": one["master_login"]}
        await subscribe(self.who, admits, one, self.panel.load)

    async def _unsubscribe(self, one: Json) -> None:
        explained = "Nothing is copied from then on. What becomes of the copies that are open?"
        name = self.name(one["master_login"])
        choice = await confirmed(f"Stop copying {name}?", explained, "Stop copying", danger=True, choices=CLOSING)
        if choice is None:
            return
        ended = self.who.call("DELETE", f"/copytrade/subscription/{one['id']}", params={"close_policy": choice})
        if await attempt(ended, f"{name} is not copied any more") is not None:
            await self.panel.load()

    # What is open, and what was decided

    def _positions(self) -> None:
        with box("card flush"):
            with box("card-head"):
                heading("Open positions", 2)
            nothing = ("trending_flat", "Nothing is open", "Copies appear here as soon as a master that you follow trades.")
            self.positions_table = data_table(
                POSITION_COLUMNS, self._position_rows(), "order", "Open positions", per_page=20, nothing=nothing
            )

    def _position_rows(self) -> list[Json]:
        return [self._position(one) for one in sorted(self.positions.values(), key=lambda one: -one["open_time"])]

    def _position(self, one: Json) -> Json:
        currency = self.accounts.get(one["login"], {}).get("currency", "")
        followed = self.subscriptions.get(one["subscription_id"])
        symbol = one["symbol"]
        return {
            "order": one["order"],
            "symbol": symbol,
            "side": one["side"],
            "side_tone": "info" if one["side"] == "buy" else "",
            "lots": self.grid.lots(symbol, one["volume"]),
            "price": self.grid.price(symbol, one["price"]),
            "mark": self.grid.price(symbol, one["mark_price"]),
            "profit": money(one["profit"], currency, signed=True),
            "profit_tone": tone(one["profit"]),
            "stops": f"{self.grid.price(symbol, one['sl'])} / {self.grid.price(symbol, one['tp'])}",
            "source": self.name(followed) if followed else "an ended subscription" if one["subscription_id"] else "own trade",
            "time": when(one["open_time"]),
        }

    def _links(self) -> None:
        with box("card flush"):
            with box("card-head"):
                heading("Copies, skips and refusals", 2)
                turn = ui.toggle(LINK_FILTERS, value=self.shown, on_change=lambda e: self._turn(e.value))
                turn.props('no-caps unelevated toggle-color=primary aria-label="Which"')
            nothing = ("link_off", "No copy yet", "Each decision is listed here with its reason, also when nothing was opened.")
            columns = tuple(column for column in COLUMNS if column.name != "accounts")
            table = data_table(
                columns, self._link_rows(), "id", "Copies", per_page=15, nothing=nothing, on_open=lambda row: explain(self.who, row)
            )
            self.links_table = table

    def _turn(self, shown: str) -> None:
        self.shown = shown
        if self.links_table is not None:
            self.links_table.rows = self._link_rows()

    def _link_rows(self) -> list[Json]:
        wanted = {"active": ACTIVE, "skipped": {"skipped", "rejected"}, "closed": {"closed", "detached"}}
        rows = sorted(self.links.values(), key=lambda one: -one["id"])
        return [link_row(one, self.grid) for one in rows if self.shown == "all" or one["phase"] in wanted[self.shown]]

    # What is told meanwhile

    def listen(self) -> None:
        self.live = Live(self.who, self._flush, self._anew)
        self.live.on("account", lambda data: self.accounts.update({data["login"]: data}))
        self.live.on("position", self._on_position)
        self.live.on("position.closed", lambda data: self.positions.pop(data["order"], None))
        self.live.on("profit", self._on_profit)
        self.live.on("link", self._on_link)

    async def _anew(self) -> None:
        await self.panel.load()

    def _on_position(self, data: Json) -> None:
        if data["login"] in self.followers:
            self.positions[data["order"]] = data

    def _on_profit(self, data: Json) -> None:
        if data["order"] in self.positions:
            self.positions[data["order"]] |= {"mark_price": data["mark_price"], "profit": data["profit"]}

    def _on_link(self, data: Json) -> None:
        if data["follower_login"] in self.followers:
            self.links[data["id"]] = data
            ended = sorted(number for number, one in self.links.items() if one["phase"] not in ACTIVE)
            for number in ended[:-LINKS_KEPT]:
                del self.links[number]

    def _flush(self) -> None:
        for login, labels in self.tiles.items():
            account = self.accounts.get(login, {})
            for name in ("equity", "balance", "free_margin"):
                labels[name].text = money(account.get(name), account.get("currency", ""))
            self._open_profit(login)
        for table, rows in ((self.positions_table, self._position_rows), (self.links_table, self._link_rows)):
            if table is not None and not table.is_deleted:
                fresh = rows()
                if fresh != table.rows:
                    table.rows = fresh


def how(one: Json) -> str:
    """A subscription's settings in a line."""
    mode: Any = one["volume_mode"]
    volume = {
        0: f"always {short(one['fixed_volume'] / 100)} lots",
        1: f"{short(one['risk_multiplier'])} × the master's volume",
        2: f"by equity, {short(one['allocation_percent'])} % of the account",
        3: f"by balance, {short(one['allocation_percent'])} % of the account",
    }.get(mode, "by its follow settings")
    parts = [volume]
    if one["symbols_mode"]:
        parts.append(("only " if one["symbols_mode"] == 1 else "not ") + one["symbols"].replace(",", ", "))
    if one["reverse_direction"]:
        parts.append("the other way round")
    if one["max_positions"]:
        parts.append(f"at most {one['max_positions']} open")
    if one["copy_mode"]:
        parts.append("opens only" if one["copy_mode"] == 1 else "closes only")
    for name, said in (("daily_loss_percent", "a day"), ("drawdown_percent", "from the top")):
        if one[name]:
            parts.append(f"stops at −{short(one[name])} % {said}")
    return " · ".join(parts)


async def copying() -> RedirectResponse | None:
    """The page at /copying."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Copying(who)
    with frame(
        who, "My copying", "/copying", "Your accounts that follow, what they hold, and why each trade was copied or not."
    ) as actions:
        with actions:
            page.listen()
        page.panel = Panel(page.draw, lines=8)
    await settled(page.panel)
    return None
