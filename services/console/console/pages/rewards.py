"""Rewards: what is charged and earned by copying, each accrual with what it was reckoned from, and statements to read and to keep."""

import asyncio
from decimal import Decimal
from typing import Any

from nicegui import ui
from starlette.responses import RedirectResponse

from console import words
from console.api import Json
from console.figures import day, money, plain, short, when
from console.frame import frame
from console.live import Live
from console.pages.statement import statement
from console.parts import Panel, answer_of, box, chip, empty, facts, heading, settled, tile
from console.session import Who, admitted
from console.tables import Column, data_table

KEPT = 500
PENDING, CHARGED, PAID, FAILED, CANCELLED = range(5)
COLUMNS = (
    Column("type", "Reward"),
    Column("state", "State", "chip"),
    Column("fee", "Amount", "num"),
    Column("base", "Reckoned from", "num"),
    Column("period", "For", "num"),
    Column("accounts", "Follower → master", "num"),
    Column("reason", "Note", "reason"),
    Column("time", "Last change (UTC)", "num"),
)


def accrual_row(one: Json) -> Json:
    """An accrual as its row."""
    begin, end = day(one["period_from"]), day(one["period_to"])
    return {
        "id": one["id"],
        "title": f"accrual {one['id']}",
        "type": words.REWARD.get(one["reward_type"], "?"),
        "state": words.ACCRUAL_STATE.get(one["state"], "?"),
        "state_tone": words.ACCRUAL_TONE.get(one["state"], ""),
        "fee": money(one["fee_amount"], one["currency"]),
        "base": plain(one["base_amount"], 2),
        "period": begin if begin == end else f"{begin} – {end}",
        "accounts": f"{one['follower_login']} → {one['payout_account_login'] or one['master_login']}",
        "reason": words.reason(one["failure_reason"]) if one["failure_reason"] else "",
        "time": when(one["updated_time"]),
    }


def said(amounts: dict[str, Decimal]) -> str:
    """Amounts of several currencies, which never add."""
    return " · ".join(money(value, currency) for currency, value in sorted(amounts.items())) or "none"


class Side:
    """All accruals of one side: of each what the sums need, and the newest ones whole."""

    def __init__(self, whose: str, amount: str, settled: set[int], pending: set[int]) -> None:
        self.whose = whose
        self.states = {"settled": settled, "pending": pending, "failed": {FAILED}}
        self.newest: dict[int, Json] = {}
        self._amount = f"{amount}_amount"
        self._currency = "currency" if amount == "fee" else f"{amount}_currency"
        self._figures: dict[int, tuple[int, str, Decimal]] = {}

    async def load(self, who: Who, own: list[int]) -> None:
        """Raises ApiError."""
        rows = await who.all("/copytrade/rewards", {"whereIn": [[self.whose, own]], "orderBy": [["created_time", "desc"]]})
        self.newest, self._figures = {}, {}
        for one in rows:
            self._count(one)
        self.newest = {one["id"]: one for one in rows[:KEPT]}

    def put(self, one: Json) -> None:
        """An accrual that is new, or stands otherwise now."""
        self._count(one)
        self.newest[one["id"]] = one
        if len(self.newest) > KEPT:
            del self.newest[min(self.newest.values(), key=_age)["id"]]

    def _count(self, one: Json) -> None:
        self._figures[one["id"]] = (one["state"], one[self._currency], one[self._amount])

    def __len__(self) -> int:
        return len(self._figures)

    def rows(self) -> list[Json]:
        """The newest ones."""
        return sorted(self.newest.values(), key=_age, reverse=True)

    def sums(self, name: str) -> dict[str, Decimal]:
        """What all accruals in these states come to, by currency."""
        found: dict[str, Decimal] = {}
        for state, currency, amount in self._figures.values():
            if state in self.states[name]:
                found[currency] = found.get(currency, Decimal(0)) + amount
        return found


def _age(one: Json) -> tuple[int, int]:
    return one["created_time"], one["id"]


class Rewards:
    """The page's data. `side`: what is paid, or what is earned."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.side = "paid"
        self.sides = {
            "paid": Side("follower_login", "fee", {CHARGED, PAID}, {PENDING}),
            "earned": Side("master_login", "payout", {PAID}, {PENDING, CHARGED}),
        }
        self.own: set[int] = set()
        self.nothing = False
        self.table: ui.table | None = None
        self.tiles: dict[str, ui.label] = {}
        self.panel: Panel
        self.live: Live

    async def draw(self) -> None:
        self.nothing = False
        async with self.live.loading():
            accounts, mine = await asyncio.gather(self.who.call("GET", "/customer/session/accounts"), self.who.call("GET", "/copytrade/my"))
            own = [one["login"] for one in accounts["accounts"]]
            await asyncio.gather(*(side.load(self.who, own) for side in self.sides.values()))
            self.own = set(own)
        if self.table is None and mine["masters"] and not mine["followers"]:
            self.side = "earned"
        self.nothing = not mine["subscriptions"] and not any(self.sides.values())
        if self.nothing:
            with box("card"):
                empty("payments", "No rewards yet", "What you pay to masters, and what followers pay to you, is listed here to the cent.")
            return
        with box("toolbar"):
            turn = ui.toggle({"paid": "I pay", "earned": "I earn"}, value=self.side, on_change=lambda e: self._turn(e.value))
            turn.props('no-caps unelevated toggle-color=primary aria-label="Which side"')
            box("grow")
            ui.button("Statement", icon="receipt_long", on_click=lambda: statement(self.who, mine["subscriptions"])).props("outline")
        with box("tiles"):
            names = (("settled", "Settled"), ("pending", "On its way"), ("failed", "Failed"), ("count", "Accruals"))
            self.tiles = {key: tile(name, "–") for key, name in names}
        with box("card flush"):
            with box("card-head"):
                heading("Accruals", 2)
            nothing = ("payments", "Nothing on this side", "")
            self.table = data_table(COLUMNS, [], "id", "Accruals", per_page=20, nothing=nothing, on_open=self._open)
        self.flush()

    async def _open(self, row: Json) -> None:
        one = self.sides[self.side].newest.get(row["id"])
        if one is not None:
            await detail(one)

    def _turn(self, side: str) -> None:
        self.side = side
        self.flush()

    def flush(self) -> None:
        """Draws what is known now."""
        if self.table is None or self.table.is_deleted:
            return
        side = self.sides[self.side]
        for name in side.states:
            self.tiles[name].text = said(side.sums(name))
        self.tiles["count"].text = short(len(side))
        fresh = [accrual_row(one) for one in side.rows()]
        if fresh != self.table.rows:
            self.table.rows = fresh

    def hear(self, data: Json) -> None:
        """An accrual as it stands now; the page that had none has no place for it yet."""
        for side in self.sides.values():
            if data[side.whose] in self.own:
                side.put(data)
        if self.nothing:
            self.live.load_anew()

    async def anew(self) -> None:
        await self.panel.load()


async def detail(one: Json) -> None:
    """Opens all that an accrual says."""
    with ui.dialog() as dialog, box("dialog wide").props('role=dialog aria-label="Accrual"'):
        with box("card-head"):
            heading(f"{words.REWARD.get(one['reward_type'], '?')}, accrual {one['id']}", 2)
            chip(words.ACCRUAL_STATE.get(one["state"], "?"), words.ACCRUAL_TONE.get(one["state"], ""))
        rows: list[tuple[str, str]] = [
            ("Charged to the follower", money(one["fee_amount"], one["currency"])),
            ("Paid to the master", money(one["payout_amount"], one["payout_currency"])),
            ("Reckoned from", plain(one["base_amount"], 8).rstrip("0").rstrip(".")),
            ("Formula", one["formula"] or "–"),
            ("From", when(one["period_from"])),
            ("To", when(one["period_to"])),
            ("Subscription", str(one["subscription_id"])),
            ("Policy", f"{one['policy_id']}, version {one['policy_version']}"),
            ("Trade", str(one["source_order"]) if one["source_order"] else "–"),
            ("Operations on the venue", _operations(one)),
        ]
        if one["ref_accrual_id"]:
            rows.append(("Refers to accrual", str(one["ref_accrual_id"])))
        if one["failure_reason"]:
            rows.append(("Note", words.reason(one["failure_reason"])))
        facts(rows, "wide")
        if one["inputs"]:
            with ui.expansion("Everything that it was reckoned from"):
                ui.label(str(one["inputs"])).classes("code")
        with box("dialog-actions"):
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("flat")
    await answer_of(dialog)


def _operations(one: Json) -> str:
    done: list[Any] = [
        f"out {one['charge_order']}" if one["charge_order"] else "",
        f"in {one['payout_order']}" if one["payout_order"] else "",
    ]
    return ", ".join(part for part in done if part) or "none yet"


async def rewards() -> RedirectResponse | None:
    """The page at /rewards."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Rewards(who)
    with frame(
        who, "Rewards", "/rewards", "What copying costs you and what it earns you: every charge with what it was reckoned from."
    ) as actions:
        with actions:
            page.live = Live(who, page.flush, page.anew)
            page.live.on("accrual", page.hear)
        page.panel = Panel(page.draw, lines=6)
    await settled(page.panel)
    return None
