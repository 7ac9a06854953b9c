"""The marketplace: masters in cards or in a table, by period, with search, filters and sorting in the standard filter format."""

from decimal import Decimal
from typing import Any

from nicegui import app, ui
from starlette.responses import RedirectResponse

from console import fees, words
from console.api import Json
from console.figures import initials, money, percent, short, spark, tone
from console.frame import frame
from console.parts import Panel, answer_of, box, empty, named, settled
from console.session import Who, admitted

PER_PAGE = 24
SORTS = {
    "stats.roi desc": "Highest return",
    "stats.pnl desc": "Highest profit",
    "stats.win_rate desc": "Most wins",
    "stats.max_drawdown asc": "Smallest drawdown",
    "stats.trades desc": "Most trades",
    "created_time desc": "Newest",
    "strategy_name asc": "Name",
}
FILTERS = {
    "roi": ("stats.roi", ">=", "Return at least", "%"),
    "win_rate": ("stats.win_rate", ">=", "Wins at least", "%"),
    "max_drawdown": ("stats.max_drawdown", "<=", "Drawdown at most", "%"),
    "trades": ("stats.trades", ">=", "Trades at least", ""),
    "pnl": ("stats.pnl", ">=", "Profit at least", ""),
}
COUNTS = frozenset({"trades"})
AT_FIRST: Json = {"period": "30D", "search": "", "sort": "stats.roi desc", "filters": {}, "admits": None, "view": "cards", "page": 1}
HUES = 360

# Everything a master wrote goes through Vue's own {{ }}, which escapes it.
FACE = '<div class="face {{size}}" :style="{background: props.row.colour}" aria-hidden="true">{{ props.row.initials }}</div>'
SPARK = """
<svg class="spark {{size}}" :class="props.row.pnl_tone || 'muted'" viewBox="0 0 240 56" preserveAspectRatio="none" role="img"
     :aria-label="'Profit over the period: ' + props.row.pnl">
  <path class="area" :d="props.row.area"/><path class="line" :d="props.row.line"/></svg>
"""
CARD = f"""
<a class="mcard" :href="'/master/' + props.row.login" :aria-label="props.row.name + ', return ' + props.row.roi">
  <div class="mcard-top">
    {FACE.replace("{{size}}", "")}
    <div class="mcard-words"><div class="mcard-name">{{{{ props.row.name }}}}</div>
      <div class="mcard-sub">{{{{ props.row.login }}}} · {{{{ props.row.followers_words }}}}</div></div>
    <span v-if="props.row.own" class="chip info">yours</span>
  </div>
  <div class="mcard-result">
    <div><div class="muted small">Return, {{{{ props.row.period }}}}</div>
      <div class="mcard-roi num" :class="props.row.roi_tone">{{{{ props.row.roi }}}}</div>
      <div class="small num" :class="props.row.pnl_tone">{{{{ props.row.pnl }}}}</div></div>
    {SPARK.replace("{{size}}", "")}
  </div>
  <div class="mcard-figures num">
    <div><div class="name">Wins</div><div class="value">{{{{ props.row.win_rate }}}}</div></div>
    <div><div class="name">Drawdown</div><div class="value">{{{{ props.row.max_drawdown }}}}</div></div>
    <div><div class="name">Trades</div><div class="value">{{{{ props.row.trades }}}}</div></div>
  </div>
  <div class="mcard-foot"><span class="fee">{{{{ props.row.fee }}}}</span>
    <span v-if="props.row.fee_note" class="chip warn">{{{{ props.row.fee_note }}}}</span></div>
</a>
"""
NAME_CELL = f"""
<q-td :props="props"><a class="who-cell" :href="'/master/' + props.row.login">{FACE.replace("{{size}}", "small-face")}
  <div class="two"><div class="one">{{{{ props.row.name }}}}</div><div class="muted small">{{{{ props.row.login }}}}</div></div></a></q-td>
"""
ROI_CELL = '<q-td :props="props"><span class="strong" :class="props.row.roi_tone">{{ props.value }}</span></q-td>'
PNL_CELL = '<q-td :props="props"><span :class="props.row.pnl_tone">{{ props.value }}</span></q-td>'
SPARK_CELL = f'<q-td :props="props">{SPARK.replace("{{size}}", "in-table")}</q-td>'
COLUMNS = [
    {"name": "name", "label": "Master", "field": "name", "align": "left"},
    {"name": "roi", "label": "Return", "field": "roi", "align": "right"},
    {"name": "pnl", "label": "Profit", "field": "pnl", "align": "right"},
    {"name": "win_rate", "label": "Wins", "field": "win_rate", "align": "right"},
    {"name": "max_drawdown", "label": "Max drawdown", "field": "max_drawdown", "align": "right"},
    {"name": "trades", "label": "Trades", "field": "trades", "align": "right"},
    {"name": "followers", "label": "Followers", "field": "followers", "align": "right"},
    {"name": "fee", "label": "Fee", "field": "fee", "align": "left"},
    {"name": "line", "label": "Profit curve", "field": "line", "align": "right"},
]


def shown(master: Json) -> Json:
    """A master as its card and its row show it."""
    stats, policy = master["stats"], master["reward_policy"]
    line, area = spark(stats["pnl_history"])
    followers = master["followers"]
    return {
        "login": master["login"],
        "name": master["strategy_name"],
        "initials": initials(master["strategy_name"]),
        "colour": colour(master["login"]),
        "own": master["own"],
        "followers": followers,
        "followers_words": "no followers yet" if not followers else f"{followers} follower{'s' if followers != 1 else ''}",
        "period": words.STATS_PERIOD[stats["period"]],
        "roi": percent(stats["roi"], signed=True),
        "roi_tone": tone(stats["roi"]),
        "pnl": money(stats["pnl"], stats["currency"], signed=True),
        "pnl_tone": tone(stats["pnl"]),
        "win_rate": percent(stats["win_rate"], 1),
        "max_drawdown": percent(stats["max_drawdown"], 1),
        "trades": short(stats["trades"]),
        "fee": fees.short_terms(policy),
        "fee_note": fees.quiet_label(policy),
        "line": line,
        "area": area,
    }


def colour(login: int) -> str:
    """A colour of the master's own, the same everywhere."""
    return f"hsl({login * 137 % HUES} 52% 42%)"


def query_of(state: Json) -> Json:
    """The standard filter that the page's controls say."""
    where: list[list[Any]] = [
        [field, op, _compared(key, state["filters"][key])]
        for key, (field, op, _, _) in FILTERS.items()
        if state["filters"].get(key) is not None
    ]
    if state.get("admits") is not None:
        where.append(["allowed_follower_modes", "!=", 1 - state["admits"]])
    field, _, direction = state["sort"].partition(" ")
    page = {"limit": PER_PAGE, "offset": (state["page"] - 1) * PER_PAGE}
    return {"stats_period": state["period"], "where": where, "orderBy": [[field, direction]]} | page


def _compared(key: str, value: Any) -> int | Decimal:
    """A count compares with a whole number, a figure with any."""
    return int(value) if key in COUNTS else Decimal(str(value))


async def found(who: Who, state: Json) -> Json:
    """The masters that match. A search is by login, or by name in whichever way it is written: the filter's `like` minds the case."""
    query, asked = query_of(state), state["search"].strip()
    if asked.isdigit():
        query["where"].append(["login", "=", int(asked)])
    if not asked or asked.isdigit():
        return await who.search("/copytrade/masters", query)
    answer: Json = {"rows": [], "count": 0}
    for spelling in dict.fromkeys((asked, asked.title(), asked.capitalize(), asked.upper(), asked.lower())):
        answer = await who.search("/copytrade/masters", query | {"where": [*query["where"], ["strategy_name", "like", spelling]]})
        if answer["count"]:
            break
    return answer


class Market:
    """The page's state, kept with the session: who comes back finds the marketplace as it was."""

    def __init__(self, who: Who) -> None:
        self.who = who
        kept = app.storage.user.get("market", {})
        self.state: Json = {
            "period": "30D",
            "search": "",
            "sort": "stats.roi desc",
            "filters": {},
            "admits": None,
            "view": "cards",
            "page": 1,
        } | kept
        self.panel: Panel
        self.badge: ui.badge

    async def draw(self) -> None:
        answer = await found(self.who, self.state)
        rows = [shown(master) for master in answer["rows"]]
        if not rows:
            self._nothing()
            return
        if self.state["view"] == "cards":
            table = ui.table(rows=rows, columns=COLUMNS, row_key="login").props("grid hide-header").classes("masters full-width")
            table.add_slot("item", CARD)
        else:
            with box("card flush"):
                table = ui.table(rows=rows, columns=COLUMNS, row_key="login").props("flat").classes("data full-width")
                for name, cell in (("name", NAME_CELL), ("roi", ROI_CELL), ("pnl", PNL_CELL), ("line", SPARK_CELL)):
                    table.add_slot(f"body-cell-{name}", cell)
                    table.add_slot("item", CARD)
                table.props[":grid"] = "Quasar.Screen.lt.md"
                table.classes("masters")
        self._pages(answer["count"])

    def _nothing(self) -> None:
        asked = self.state["filters"] or self.state["search"] or self.state["admits"] is not None
        if asked:
            empty(
                "search_off", "No master matches", "Fewer filters or another period may find some.", "Clear search and filters", self.clear
            )
        else:
            empty("storefront", "No masters yet", "As soon as somebody opens a strategy to the public, it is shown here.")

    def _pages(self, count: int) -> None:
        pages = -(-count // PER_PAGE)
        with box("toolbar"):
            ui.label(f"{short(count)} master{'s' if count != 1 else ''}").classes("muted small")
            box("grow")
            if pages > 1:
                turn = ui.pagination(1, pages, value=self.state["page"], direction_links=True, on_change=lambda e: self.set(page=e.value))
                turn.props('max-pages=6 aria-label="Pages"')

    async def set(self, **news: Any) -> None:
        """Changes what is shown; anything but turning the page goes back to the first one."""
        self.state |= {"page": 1} | news
        app.storage.user["market"] = dict(self.state)
        await self.panel.load()

    async def clear(self) -> None:
        self.state |= {"filters": {}, "search": "", "admits": None}
        app.storage.user["market"] = self.state | {"page": 1}
        ui.navigate.reload()

    def controls(self) -> None:
        with box("toolbar"):
            search = ui.input(
                placeholder="Search by name or login", value=self.state["search"], on_change=lambda e: self.set(search=e.value or "")
            )
            search.props('clearable debounce=300 aria-label="Search masters"').classes("search")
            with search.add_slot("prepend"):
                ui.icon("search").props("aria-hidden=true")
            periods = ui.toggle(list(words.STATS_PERIOD), value=self.state["period"], on_change=lambda e: self.set(period=e.value))
            periods.props('no-caps unelevated toggle-color=primary aria-label="Period"')
            sort = ui.select(SORTS, value=self.state["sort"], label="Sort by", on_change=lambda e: self.set(sort=e.value))
            sort.props('aria-label="Sort by"').classes("sort")
            ui.button("Filters", icon="tune", on_click=self._filters).props("outline")
            box("grow")
            views = ui.toggle({"cards": "Cards", "table": "Table"}, value=self.state["view"], on_change=lambda e: self.set(view=e.value))
            views.props('no-caps unelevated toggle-color=primary aria-label="View"').classes("gt-sm")

    async def _filters(self) -> None:
        """The dialog with the filters."""
        with ui.dialog() as dialog, box("dialog").props('role=dialog aria-label="Filters"'):
            ui.label("Filters").classes("h2").props("role=heading aria-level=2")
            fields = {}
            with box("filters"):
                for key, (_, _, label, unit) in FILTERS.items():
                    field = ui.number(label, value=self.state["filters"].get(key), suffix=unit or None)
                    fields[key] = named(field.props("clearable"), label)
            kinds = {None: "Any account", 0: "Admits real accounts", 1: "Admits demo accounts"}
            admits = ui.select(kinds, value=self.state["admits"], label="Followers").props('aria-label="Followers"')
            with box("dialog-actions"):
                ui.button("Clear", on_click=lambda: dialog.submit({})).props("flat")
                ui.button(
                    "Show masters",
                    on_click=lambda: dialog.submit({key: field.value for key, field in fields.items()} | {"admits": admits.value}),
                )
        answer = await answer_of(dialog)
        if answer is not None:
            kind = answer.pop("admits", None)
            await self.set(filters={key: value for key, value in answer.items() if value is not None}, admits=kind)


async def market() -> RedirectResponse | None:
    """The page at /."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Market(who)
    with frame(who, "Marketplace", "/", "Strategies that are open to followers. Choose a master by what really happened."):
        page.controls()
        page.panel = Panel(page.draw, lines=6)
    await settled(page.panel)
    return None
