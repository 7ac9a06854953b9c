"""Rewards: what is charged and earned by copying, each accrual with what it was reckoned from, and statements to read and to keep."""

import asyncio
from decimal import Decimal
from typing import Any

from nicegui import ui
from starlette.responses import RedirectResponse

from console import words
from console.api import Json
from console.figures import day, money, plain, when
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


def sums(rows: list[Json], states: set[int], amount: str, currency: str) -> dict[str, Decimal]:
    """What accruals in these states come to, by currency."""
    found: dict[str, Decimal] = {}
    for one in rows:
        if one["state"] in states:
            found[one[currency]] = found.get(one[currency], Decimal(0)) + one[amount]
    return found


def said(amounts: dict[str, Decimal]) -> str:
    """Amounts of several currencies, which never add."""
    return " · ".join(money(value, currency) for currency, value in sorted(amounts.items())) or "none"


class Rewards:
    """The page's data. `side`: what is paid, or what is earned."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.side = "paid"
        self.accruals: dict[int, Json] = {}
        self.own: set[int] = set()
        self.table: ui.table | None = None
        self.tiles: dict[str, ui.label] = {}
        self.panel: Panel

    async def draw(self) -> None:
        newest: Json = {"orderBy": [["created_time", "desc"]], "limit": KEPT}
        accounts, accruals, mine = await asyncio.gather(
            self.who.call("GET", "/customer/session/accounts"),
            self.who.search("/copytrade/rewards", newest),
            self.who.call("GET", "/copytrade/my"),
        )
        self.own = {one["login"] for one in accounts["accounts"]}
        self.accruals = {one["id"]: one for one in accruals["rows"]}
        if mine["masters"] and not mine["followers"]:
            self.side = "earned"
        if not self.accruals and not mine["subscriptions"]:
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
            self.table = data_table(
                COLUMNS, [], "id", "Accruals", per_page=20, nothing=nothing, on_open=lambda row: detail(self.accruals[row["id"]])
            )
        self.flush()

    def _turn(self, side: str) -> None:
        self.side = side
        self.flush()

    def rows(self) -> list[Json]:
        whose = "follower_login" if self.side == "paid" else "master_login"
        return [one for one in sorted(self.accruals.values(), key=lambda one: -one["created_time"]) if one[whose] in self.own]

    def flush(self) -> None:
        """Draws what is known now."""
        if self.table is None or self.table.is_deleted:
            return
        rows = self.rows()
        amount, currency = ("fee_amount", "currency") if self.side == "paid" else ("payout_amount", "payout_currency")
        settled_ = {CHARGED, PAID} if self.side == "paid" else {PAID}
        pending = {PENDING} if self.side == "paid" else {PENDING, CHARGED}
        self.tiles["settled"].text = said(sums(rows, settled_, amount, currency))
        self.tiles["pending"].text = said(sums(rows, pending, amount, currency))
        self.tiles["failed"].text = said(sums(rows, {FAILED}, amount, currency))
        self.tiles["count"].text = str(len(rows))
        fresh = [accrual_row(one) for one in rows]
        if fresh != self.table.rows:
            self.table.rows = fresh

    def hear(self, data: Json) -> None:
        self.accruals[data["id"]] = data

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
            Live(who, page.flush, page.anew).on("accrual", page.hear)
        page.panel = Panel(page.draw, lines=6)
    await settled(page.panel)
    return None
