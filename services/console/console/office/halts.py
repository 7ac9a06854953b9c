"""The halt switch: stops all opening with one confirmed decision, or that of one master, follower or symbol, and takes it back."""

from collections.abc import Callable
from typing import Any

from nicegui import ui
from starlette.responses import RedirectResponse

from console.api import Json
from console.figures import when
from console.frame import frame
from console.parts import Panel, answer_of, attempt, box, card, chip, confirmed, heading, settled
from console.session import Who, admitted
from console.tables import Act, Column, data_table

SCOPES = {"master": "A master", "follower": "A follower", "symbol": "A symbol"}
MODES = {"halt": "Halt: nothing new is opened, closes go on", "reduce_only": "Reduce only: positions may shrink"}
COLUMNS = (
    Column("what", "Stopped"),
    Column("mode", "How", "chip"),
    Column("reason", "Reason", "reason"),
    Column("by", "By"),
    Column("since", "Since (UTC)", "num"),
)


class Halts:
    """The page's data."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.panel: Panel

    async def draw(self) -> None:
        found, _ = await self.who.table(
            "MngGetHaltsByFilter", {"limit": 500, "where": [["active", "=", 1]], "orderBy": [["updated_time", "desc"]]}
        )
        everything = next((one for one in found if one["scope"] == "all"), None)
        self._switch(everything)
        rows = [_row(one) for one in found if one["scope"] != "all"]
        with box("card flush"):
            with box("card-head"):
                heading("Stops of a master, a follower or a symbol", 2)
                if self.who.may_write:
                    ui.button("Add a stop", icon="add", on_click=self._add).props("outline")
            acts = (Act("resume", "Resume", "play_arrow"),) if self.who.may_write else ()
            nothing = ("play_circle", "None is stopped", "")
            data_table(COLUMNS, rows, "id", "Stops", acts=acts, on_act=self._resume_one, nothing=nothing, per_page=20)

    def _switch(self, halted: Json | None) -> None:
        with card("", f"switch-card {'stopped' if halted else ''}"), box("card-head"):
            with box(""):
                with box("chips mt-1"):
                    heading("All copying", 2)
                    chip("stopped" if halted else "running", "bad" if halted else "good")
                if halted:
                    reason = halted["reason"] or "no reason given"
                    ui.label(f"Since {when(halted['updated_time'])} UTC, by {_by(halted)}: {reason}.").classes("soft mt-1")
                else:
                    ui.label("Masters' trades are copied. A halt holds at once, on every service, until it is taken back.").classes(
                        "soft mt-1"
                    )
            if not self.who.may_write:
                return
            if halted:
                ui.button("Resume all copying", icon="play_arrow", on_click=self._resume_all)
            else:
                ui.button("Halt all copying", icon="front_hand", on_click=self._halt_all).props("color=negative")

    async def _halt_all(self) -> None:
        with ui.dialog() as dialog, box("dialog").props('role=alertdialog aria-label="Halt all copying?"'):
            heading("Halt all copying?", 2)
            ui.label("No copy is opened for anyone until you resume. Closes, partial closes and stop-outs are still copied.").classes(
                "dialog-text"
            )
            mode = ui.radio(MODES, value="halt").props("dense").classes("choices")
            reason = ui.input("Reason").props('maxlength=500 aria-label="Reason"')
            with box("dialog-actions"):
                ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
                said = lambda: dialog.submit({"scope": "all", "mode": mode.value, "reason": reason.value or ""})  # noqa: E731
                ui.button("Halt now", on_click=said).props("color=negative")
        body = await answer_of(dialog)
        if body is not None:
            await self._do("MngHalt", body, "All copying is stopped")

    async def _resume_all(self) -> None:
        explained = "Masters' trades are copied again from now on. What was missed meanwhile is not made up for."
        if await confirmed("Resume all copying?", explained, "Resume"):
            await self._do("MngResume", {"scope": "all"}, "Copying goes on")

    async def _add(self) -> None:
        with ui.dialog() as dialog, box("dialog").props('role=dialog aria-label="Add a stop"'):
            heading("Add a stop", 2)
            scope = ui.select(SCOPES, value="master", label="Of").props('aria-label="Of"')
            key = ui.input("Account or symbol").props('aria-label="Account or symbol"')
            mode = ui.radio(MODES, value="halt").props("dense").classes("choices")
            reason = ui.input("Reason").props('maxlength=500 aria-label="Reason"')
            wrong = ui.label().classes("neg strong").props("role=alert")

            def save() -> None:
                text = (key.value or "").strip()
                if not text or (scope.value != "symbol" and not text.isdigit()):
                    wrong.text = "Give a symbol" if scope.value == "symbol" else "Give the account's number"
                    return
                named: Json = {"symbol": text} if scope.value == "symbol" else {"login": int(text)}
                dialog.submit({"scope": scope.value, "mode": mode.value, "reason": reason.value or ""} | named)

            with box("dialog-actions"):
                ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
                ui.button("Stop", on_click=save).props("color=negative")
        body = await answer_of(dialog)
        if body is not None:
            await self._do("MngHalt", body, "It is stopped")

    async def _resume_one(self, _name: str, row: Json) -> None:
        if await confirmed(f"Resume {row['what']}?", "Trades are copied again from now on.", "Resume"):
            named: Json = {"symbol": row["key"]} if row["scope"] == "symbol" else {"login": int(row["key"])}
            await self._do("MngResume", {"scope": row["scope"]} | named, resumed)

    async def _do(self, command: str, body: Any, done: str | Callable[[Json], str]) -> None:
        if await attempt(self.who.command(command, body), done) is not None:
            await self.panel.load()


def resumed(one: Json) -> str:
    """What became of a stop that was taken back: one that the customer had made before it holds again."""
    return "Taken back. The customer's own stop holds still" if one["active"] else "It goes on"


def _by(one: Json) -> str:
    return "the customer" if one["set_by"] == "SESSION_CUSTOMER" else "a manager"


def _row(one: Json) -> Json:
    return {
        "id": one["id"],
        "scope": one["scope"],
        "key": one["key"],
        "what": f"{one['scope']} {one['key']}",
        "title": f"{one['scope']} {one['key']}",
        "mode": one["mode"].replace("_", " "),
        "mode_tone": "bad",
        "reason": one["reason"],
        "by": _by(one),
        "since": when(one["updated_time"]),
    }


async def halts() -> RedirectResponse | None:
    """The page at /office/halt."""
    who = admitted("manager")
    if isinstance(who, RedirectResponse):
        return who
    page = Halts(who)
    with frame(who, "Halt switch", "/office/halt", "Stops the opening of copies at once. What is open is closed with its master as usual."):
        page.panel = Panel(page.draw, lines=4)
    await settled(page.panel)
    return None
