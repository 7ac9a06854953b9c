"""A master's page: growth, profit and drawdown, results by symbol, the fee in words, and trades and followers where they are shown."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui
from starlette.responses import RedirectResponse

from console import charts, fees, words
from console.api import ApiError, Json
from console.figures import day, initials, money, percent, plain, short, span, tone, when
from console.frame import frame
from console.pages.links import Grid
from console.pages.market import colour
from console.pages.subscribe import subscribe
from console.parts import Panel, box, card, chip, empty, facts, heading, settled, tile
from console.session import Who, admitted, here
from console.tables import Column, data_table

TRADES_SHOWN = 50
TRADE_COLUMNS = (
    Column("symbol", "Symbol"),
    Column("side", "Side", "chip"),
    Column("lots", "Lots", "num"),
    Column("open_price", "Opened at", "num"),
    Column("close_price", "Closed at", "num"),
    Column("result", "Result", "toned"),
    Column("closed", "Closed (UTC)", "num"),
)
FOLLOWER_COLUMNS = (
    Column("who", "Follower"),
    Column("login", "Account", "num"),
    Column("status", "Status", "chip"),
    Column("since", "Since", "num"),
)


async def found(who: Who, login: int, period: str) -> Json:
    """The master as the marketplace lists it. Raises ApiError."""
    listed = await who.search("/copytrade/masters", {"where": [["login", "=", login]], "stats_period": period})
    if not listed["rows"]:
        raise ApiError("MASTER_NOT_AVAILABLE")
    master: Json = listed["rows"][0]
    return master


class Page:
    """A master's page at one period."""

    def __init__(self, who: Who, login: int) -> None:
        self.who = who
        self.login = login
        self.period = "30D"
        self.panel: Panel

    async def draw(self) -> None:
        listed = found(self.who, self.login, self.period)
        asked = self.who.call("GET", "/copytrade/master/stats", params={"login": self.login, "period": self.period})
        master, stats = await asyncio.gather(listed, asked)
        self._top(master)
        self._tiles(stats)
        with box("columns"):
            with box("stack"):
                self._charts(stats)
            with box("stack"):
                self._terms(master)
                self._more(stats, master)
        self._symbols(stats)
        await self._trades(master, stats["currency"])
        await self._followers(master)

    def _top(self, master: Json) -> None:
        with box("page-head"):
            with box("mcard-top"):
                with box("face big").style(f"background:{colour(master['login'])}").props("aria-hidden=true"):
                    ui.label(initials(master["strategy_name"]))
                with box(""):
                    heading(master["strategy_name"], 1)
                    with box("chips mt-1"):
                        ui.label(f"{master['login']} · since {day(master['created_time'])}").classes("muted small")
                        chip(f"admits {words.ADMITS[master['allowed_follower_modes']]}")
                        if master["visibility"] != "public":
                            chip("private", "warn")
                        if master["own"]:
                            chip("yours", "info")
                        if fees.quiet_label(master["reward_policy"]):
                            chip(fees.quiet_label(master["reward_policy"]), "warn")
            with box("actions"):
                toggle = ui.toggle(list(words.STATS_PERIOD), value=self.period, on_change=lambda e: self._turn(e.value))
                toggle.props('no-caps unelevated toggle-color=primary aria-label="Period"')
                ui.button("Copy this master", icon="content_copy", on_click=lambda: subscribe(self.who, master))
        if master["description"]:
            ui.label(master["description"]).classes("prose")

    async def _turn(self, period: str) -> None:
        self.period = period
        await self.panel.load()

    def _tiles(self, stats: Json) -> None:
        currency = stats["currency"]
        with box("tiles"):
            tile(
                f"Return, {words.STATS_PERIOD[stats['period']]}",
                percent(stats["roi"], signed=True),
                tone(stats["roi"]),
                "deposits taken out",
            )
            tile("Profit", money(stats["pnl"], currency, signed=True), tone(stats["pnl"]), f"{short(stats['trades'])} closed trades")
            tile("Wins", percent(stats["win_rate"], 1), note=_bound(stats))
            tile("Deepest drawdown", percent(stats["max_drawdown"]), note="of daily equity")
            tile("Followers", short(stats["followers"]), note=_copied(stats))

    def _charts(self, stats: Json) -> None:
        count, currency = stats["period_days"], stats["currency"]
        last = stats["pnl_history"][-1]["time"]
        names = charts.days(last, count, ZoneInfo(here().settings.broker_timezone))
        growth = charts.padded(stats["details"].get("growth_history") or [], count)
        with card("Equity, as growth in percent"):
            if any(value is not None for value in growth):
                said = f"Growth over {words.STATS_PERIOD[stats['period']]}: {percent(stats['roi'], signed=True)}"
                charts.draw(charts.line("Growth", names, growth, "%"), said)
                heading("Drawdown", 3)
                deepest = f"Deepest drawdown: {percent(stats['max_drawdown'])}"
                charts.draw(charts.under_water("Drawdown", names, charts.drawdowns(growth)), deepest, low=True)
            else:
                empty("show_chart", "No full day yet", "The curve begins with the first day's end.")
        with card(f"Realised profit, {currency}"):
            profits = [point["pnl"] for point in stats["pnl_history"]]
            shade = charts.GREEN if profits[-1] >= 0 else charts.RED
            charts.draw(charts.line("Profit", names, profits, currency, shade), f"Profit: {money(stats['pnl'], currency)}")

    def _terms(self, master: Json) -> None:
        policy = master["reward_policy"]
        with card("What it costs"):
            with box("chips"):
                chip(words.REWARD[policy["reward_type"]] if policy else "No fee", "info")
                ui.label(fees.short_terms(policy)).classes("strong")
            with box("lines"):
                for sentence in fees.in_words(policy):
                    ui.label(sentence)
            if shown := fees.example(policy):
                with box("example"):
                    ui.label("For example").classes("strong small")
                    ui.label(shown)

    def _more(self, stats: Json, master: Json) -> None:
        details = stats["details"]
        slippage = details.get("slippage_points")
        with card("In detail"):
            facts(
                [
                    ("Average trade", money(stats["avg_pnl_per_trade"], stats["currency"], signed=True)),
                    ("Average holding time", span(stats["avg_holding_time"])),
                    ("Trades a week", _rounded(stats["weekly_trades"])),
                    ("Profit factor", _rounded(details.get("profit_factor"))),
                    ("Sharpe ratio", _rounded(stats["sharp_ratio"])),
                    ("Sortino ratio", _rounded(stats["sortino_ratio"])),
                    ("Days covered", f"{short(stats['coverage_days'])} of {stats['period_days']}"),
                    ("Least capital to copy all", money(details.get("minimum_capital"), stats["currency"])),
                ]
            )
        with card("What followers really got"):
            facts(
                [
                    ("Their return, after fees", percent(details.get("followers_roi"), signed=True)),
                    ("Copies opened", percent(details.get("copy_success"), 1)),
                    ("Delay, middle and slow", f"{_ms(details.get('copy_latency_median'))}, {_ms(details.get('copy_latency_p95'))}"),
                    ("Slippage", "–" if slippage is None else f"{_rounded(slippage)} points"),
                    ("Followers in profit", percent(details.get("followers_in_profit"), 0)),
                ]
            )

    def _symbols(self, stats: Json) -> None:
        results = sorted(stats["profit_per_symbol"].items(), key=lambda item: -abs(item[1]))
        if not results:
            return
        largest = max(abs(value) for _, value in results) or 1
        with card("By symbol"):
            for symbol, value in results:
                with box("symbol-line"):
                    ui.label(symbol).classes("strong")
                    shade = charts.GREEN if value >= 0 else charts.RED
                    with box("bar").props("aria-hidden=true"):
                        box("").style(f"width:{float(abs(value) / largest) * 100:.1f}%;background:{shade}")
                    ui.label(money(value, stats["currency"], signed=True)).classes(f"num {tone(value)}")

    async def _trades(self, master: Json, currency: str) -> None:
        if not (master["show_trade_history"] or master["own"]):
            with card("Trades"):
                empty("visibility_off", "This master does not show its trades")
            return
        query = {"login": self.login, "format": "objects", "orderBy": '[["close_time","desc"]]', "limit": TRADES_SHOWN}
        answer = await self.who.call("GET", "/copytrade/master/trades", params=query)
        grid = await Grid.of(self.who)
        rows = [trade_row(row, currency, grid) for row in answer["rows"]]
        with box("card flush"):
            with box("card-head"):
                heading("Trades", 2)
                ui.label(f"the last {len(rows)} of {short(answer['count'])}" if rows else "").classes("muted small")
            if rows:
                data_table(TRADE_COLUMNS, rows, "key", "Trades", per_page=10)
            else:
                empty("swap_vert", "No closed trade yet")

    async def _followers(self, master: Json) -> None:
        if not (master["show_followers"] or master["own"]):
            return
        answer = await self.who.call("GET", "/copytrade/master/followers", params={"login": self.login})
        rows = [
            {
                "who": row["email"] or "a customer",
                "login": str(row["follower_login"]),
                "status": words.STATUS.get(row["status"], "?"),
                "status_tone": "good" if row["status"] == 0 else "warn",
                "since": day(row["created_time"]),
            }
            for row in answer["rows"]
        ]
        with box("card flush"):
            with box("card-head"):
                heading("Followers", 2)
            if rows:
                data_table(FOLLOWER_COLUMNS, rows, "login", "Followers", per_page=10)
            else:
                empty("group", "Nobody follows yet")


def trade_row(row: Json, currency: str, grid: Grid) -> Json:
    """A closing as the table shows it."""
    result = row["profit"] + row["commission"] + row["storage"]
    return {
        "key": row["deal"],
        "title": f"{row['symbol']} {row['order']}",
        "symbol": row["symbol"],
        "side": row["side"],
        "side_tone": "info" if row["side"] == "buy" else "",
        "lots": grid.lots(row["symbol"], row["volume"]),
        "open_price": grid.price(row["symbol"], row["open_price"]),
        "close_price": grid.price(row["symbol"], row["close_price"]),
        "result": money(result, currency, signed=True),
        "result_tone": tone(result),
        "closed": when(row["close_time"]),
    }


def _rounded(value: Any) -> str:
    return plain(value, 2)


def _ms(value: Any) -> str:
    return "–" if value is None else f"{short(value)} ms"


def _bound(stats: Json) -> str:
    bound = stats["details"].get("win_rate_lower_bound")
    return "" if bound is None else f"at least {percent(bound * 100, 0)}, 95 % sure"


def _copied(stats: Json) -> str:
    under = stats["details"].get("assets_under_copy")
    return f"{money(under, stats['currency'])} copied" if under else ""


async def master(login: int) -> RedirectResponse | None:
    """The page at /master/{login}."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Page(who, login)
    with frame(who, f"Master {login}", "/", back="/"):
        page.panel = Panel(page.draw, lines=8)
    await settled(page.panel)
    return None
