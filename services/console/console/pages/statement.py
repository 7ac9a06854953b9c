"""The statement of a subscription: chosen by time, read here, and kept as CSV or JSON that anyone can recompute."""

import json
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from console import words
from console.api import ApiError, Json
from console.figures import exact, money, when
from console.parts import answer_of, attempt, box, empty, heading, in_words
from console.session import Who
from console.tables import Column, data_table

COLUMNS = (
    Column("id", "Accrual", "num"),
    Column("type", "Reward"),
    Column("state", "State", "chip"),
    Column("fee", "Amount", "num"),
    Column("period", "To (UTC)", "num"),
)
RECOMPUTED = "Amounts are exact; tools/verify_statement.py recomputes each from the figures in the file."


def periods(now: datetime) -> dict[str, str]:
    """What can be asked for: this month and last, this quarter, this year and last, all."""
    before = f"{now.year - 1}-12" if now.month == 1 else f"{now.year}-{now.month - 1:02d}"
    this = f"{now.year}-{now.month:02d}"
    quarter = f"{now.year}-Q{(now.month + 2) // 3}"
    return {
        "all": "All of it",
        this: f"This month ({this})",
        before: f"Last month ({before})",
        quarter: f"This quarter ({quarter})",
        str(now.year): f"This year ({now.year})",
        str(now.year - 1): f"Last year ({now.year - 1})",
    }


class Statement:
    """The dialog's state."""

    def __init__(self, who: Who, subscriptions: list[Json]) -> None:
        self.who = who
        self.choices = {one["id"]: f"{one['id']}: {one['follower_login']} copies {one['master_login']}" for one in subscriptions}
        self.chosen = next(iter(self.choices), None)
        self.period = "all"
        self.asked = 0
        self.shown: ui.element

    async def ask(self, form: str) -> str:
        params: dict[str, Any] = {"subscription_id": self.chosen, "period": self.period, "format": form}
        return await self.who.text("/copytrade/rewards/statement", params)

    async def show(self) -> None:
        """Draws the statement that is chosen. An answer that comes after another was chosen is not shown."""
        self.asked += 1
        asked = self.asked
        error = ""
        try:
            document = json.loads(await self.ask("json"))
        except ApiError as failed:
            error = in_words(failed)
        if asked != self.asked or self.shown.is_deleted:
            return
        self.shown.clear()
        with self.shown:
            if error:
                ui.label(error).classes("neg").props("role=alert")
                return
            with box("sum"):
                ui.label("Charged in this time").classes("strong")
                ui.label(money(exact(document["charged"]), document["currency"])).classes("num strong")
            rows = [_row(one) for one in document["accruals"]]
            if rows:
                data_table(COLUMNS, rows, "id", "Statement", per_page=8)
            else:
                empty("receipt_long", "Nothing was charged in this time")

    async def keep(self, form: str) -> None:
        found = await attempt(self.ask(form))
        if found is not None:
            ui.download.content(found, f"statement-{self.chosen}-{self.period}.{form}")

    async def choose(self, chosen: int | None = None, period: str | None = None) -> None:
        self.chosen, self.period = chosen or self.chosen, period or self.period
        await self.show()


def _row(one: Json) -> Json:
    state = int(one["state"])
    return {
        "id": one["id"],
        "type": words.REWARD.get(int(one["reward_type"]), "?"),
        "state": words.ACCRUAL_STATE.get(state, "?"),
        "state_tone": words.ACCRUAL_TONE.get(state, ""),
        "fee": money(exact(one["fee_amount"]), one["currency"]),
        "period": when(int(one["period_to"]) // 1000),
    }


async def statement(who: Who, subscriptions: list[Json]) -> None:
    """Opens the dialog."""
    state = Statement(who, subscriptions)
    with ui.dialog() as dialog, box("dialog wide").props('role=dialog aria-label="Statement"'):
        heading("Statement", 2)
        if not state.choices:
            empty("receipt_long", "No subscription to state")
        else:
            with box("form"):
                which = ui.select(state.choices, value=state.chosen, label="Subscription", on_change=lambda e: state.choose(chosen=e.value))
                which.props('aria-label="Subscription"')
                time = ui.select(periods(datetime.now(UTC)), value="all", label="Time", on_change=lambda e: state.choose(period=e.value))
                time.props('aria-label="Time"')
            state.shown = box("stack")
            ui.label(RECOMPUTED).classes("muted small")
        with box("dialog-actions"):
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("flat")
            if state.choices:
                ui.button("JSON", icon="download", on_click=lambda: state.keep("json")).props("outline")
                ui.button("CSV", icon="download", on_click=lambda: state.keep("csv")).props("outline")
        if state.choices:
            ui.timer(0, state.show, once=True)
    await answer_of(dialog)
