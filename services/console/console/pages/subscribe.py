"""The subscribe dialog: an account, how much, what, and with which limits; beside it what the last trades would have brought and cost."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from console import forms, words
from console.api import ApiError, Json
from console.figures import money, tone
from console.forms import FLAGS, LIMITS, STOPS, VOLUME_FIELDS, FormError
from console.pages.links import Grid
from console.parts import answer_of, attempt, box, complain, confirmed, empty, heading, in_words, named
from console.session import Who

DEMO_ONLY, REAL_ONLY = 1, 0
PREVIEW_WAIT_S = 0.4
PREVIEW_ROWS = 6
BY_OPENAPI = "Its volume is set by the follow settings of the OpenAPI, and stays as it is."
VOLUME_LABELS = {
    "fixed_volume": ("Each copy", "lots", 0.01),
    "risk_multiplier": ("Times the master's volume", "×", 0.1),
    "allocation_percent": ("Share of this account", "%", 5),
    "ratio_multiplier": ("Times that ratio", "×", 0.1),
}


class Subscribe:
    """The dialog's state. `existing` is the subscription that is changed, if one is."""

    def __init__(self, who: Who, master: Json, existing: Json | None) -> None:
        self.who = who
        self.master = master
        self.existing = existing
        self.filled: Json = dict(forms.DEFAULTS) if existing is None else forms.filled_of(existing)
        self.login: int | None = existing["follower_login"] if existing else None
        self.accounts: dict[int, str] = {}
        self.symbols: list[str] = []
        self.grid: Grid
        self.preview: ui.element
        self.wrong: ui.label
        self.waiting: ui.timer | None = None
        self.asked = 0
        self.overtaken = False
        """The subscription was changed elsewhere meanwhile."""

    async def load(self) -> None:
        """What can be chosen from. Raises ApiError."""
        accounts = (await self.who.call("GET", "/customer/session/accounts"))["accounts"]
        admits = self.master["allowed_follower_modes"]
        for one in accounts:
            fits = admits not in {DEMO_ONLY, REAL_ONLY} or (one["mode"] == "DEMO") == (admits == DEMO_ONLY)
            if one["login"] != self.master["login"] and fits:
                self.accounts[one["login"]] = f"{one['login']} · {one['mode'].lower()} · {money(one['equity'], one['currency'])}"
        if self.login is None:
            self.login = next(iter(self.accounts), None)
        symbols = (await self.who.call("GET", "/copytrade/symbols"))["rows"]
        self.symbols = [row["symbol"] for row in symbols]
        self.grid = Grid(symbols)

    def draw(self, dialog: ui.dialog) -> None:
        name = self.master["strategy_name"]
        heading(f"Copy {name}" if self.existing is None else f"How {self.login} copies {name}", 2)
        if not self.accounts and self.existing is None:
            empty(
                "account_balance_wallet",
                "No account that could follow",
                f"This master admits {words.ADMITS[self.master['allowed_follower_modes']]}.",
            )
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("flat")
            return
        with box("split"):
            with box("stack"):
                self._account()
                self._volume()
                self._symbols()
                self._rules()
            self.preview = box("preview").props('role=region aria-label="Preview" aria-live=polite')
        self.wrong = ui.label().classes("neg strong").props("role=alert")
        with box("dialog-actions"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
            label = "Start copying" if self.existing is None else "Save"
            ui.button(label, on_click=lambda: self._save(dialog))
        self.later()

    def _account(self) -> None:
        if self.existing is not None:
            return
        with box("section"):
            chosen = ui.select(
                self.accounts, value=self.login, label="Account that copies", on_change=lambda e: self._set("login", e.value)
            )
            chosen.props('aria-label="Account that copies"')

    def _volume(self) -> None:
        with box("section"):
            heading("How much", 3)
            modes = words.VOLUME_MODE
            if self.filled["volume_mode"] not in modes:
                ui.label(BY_OPENAPI).classes("muted")
                return
            ui.select(modes, value=self.filled["volume_mode"], label="Volume", on_change=lambda e: self._mode(e.value)).props(
                'aria-label="Volume"'
            )
            self.volumes = box("form")
            self._volume_fields()

    def _mode(self, mode: int) -> None:
        self._set("volume_mode", mode)
        self._volume_fields()

    def _volume_fields(self) -> None:
        """Only what the mode takes."""
        self.volumes.clear()
        with self.volumes:
            for name in VOLUME_FIELDS.get(self.filled["volume_mode"], ()):
                label, unit, step = VOLUME_LABELS[name]
                self._number(name, label, unit, step)

    def _symbols(self) -> None:
        with box("section"):
            heading("What", 3)
            modes = ui.select(
                words.SYMBOLS_MODE, value=self.filled["symbols_mode"], label="Symbols", on_change=lambda e: self._symbols_mode(e.value)
            )
            modes.props('aria-label="Symbols"')
            known = list(dict.fromkeys([*self.symbols, *self.filled["symbols"]]))
            self.listed = ui.select(known, value=self.filled["symbols"], label="Which", multiple=True).props(
                'use-chips aria-label="Which symbols"'
            )
            self.listed.on_value_change(lambda e: self._set("symbols", e.value))
            self.listed.visible = self.filled["symbols_mode"] != 0

    def _symbols_mode(self, mode: int) -> None:
        self.listed.visible = mode != 0
        self._set("symbols_mode", mode)

    def _rules(self) -> None:
        with ui.expansion("What is copied", icon="rule"):
            ui.select(
                words.COPY_MODE, value=self.filled["copy_mode"], label="Copying", on_change=lambda e: self._set("copy_mode", e.value)
            ).props('aria-label="Copying"')
            with box("switches"):
                for name, label in FLAGS.items():
                    ui.switch(label, value=self.filled[name], on_change=self._setter(name))
        with ui.expansion("Limits", icon="straighten"):
            with box("form"):
                for name, (label, unit) in LIMITS.items():
                    self._number(name, label, unit, 0.01 if name in forms.IN_LOTS else 1)
            small = {key: f"Too small a volume {what}" for key, what in words.SMALL_VOLUME.items()}
            ui.select(small, value=self.filled["small_volume_policy"], label="Small volumes", on_change=self._setter("small_volume_policy"))
            ui.label("0 means no limit.").classes("muted small")
        with ui.expansion("Stop when I lose", icon="shield"):
            with box("form"):
                for name, (label, unit) in STOPS.items():
                    self._number(name, label, unit, 1)
            actions = {key: what.capitalize() for key, what in words.STOP_ACTION.items()}
            ui.select(actions, value=self.filled["stop_action"], label="Then", on_change=self._setter("stop_action"))
            ui.label("0 means no stop. A stopped subscription opens nothing until you resume it.").classes("muted small")

    def _number(self, name: str, label: str, unit: str, step: float) -> None:
        field = ui.number(label, value=self.filled[name], min=0, step=step, suffix=unit or None, on_change=self._setter(name))
        named(field, label)

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda event: self._set(name, event.value)

    def _set(self, name: str, value: Any) -> None:
        if name == "login":
            self.login = value
        else:
            self.filled[name] = value
        self.later()

    def later(self) -> None:
        """The preview follows when the person has stopped typing for a moment. It knows the volume modes of the form alone."""
        if self.filled["volume_mode"] not in words.VOLUME_MODE:
            self.preview.visible = False
            return
        self.asked += 1
        if self.waiting is not None:
            self.waiting.cancel()
        with self.preview:
            self.waiting = ui.timer(PREVIEW_WAIT_S, self.show_preview, once=True)

    async def show_preview(self) -> None:
        """What the master's last trades would have brought and cost. An answer that comes after something else was asked is not shown."""
        asked = self.asked
        found: Json = {}
        said = ""
        try:
            body = forms.subscription_body(self.filled) | {"master_login": self.master["login"], "follower_login": self.login}
            found = await self.who.call("POST", "/copytrade/subscription/preview", body)
        except FormError as error:
            said = str(error)
        except ApiError as error:
            said = in_words(error)
        if asked != self.asked or self.preview.is_deleted:
            return
        self.preview.clear()
        with self.preview:
            heading("What the last trades would have brought", 3)
            if said:
                ui.label(said).classes("muted")
            elif not found["trades"]:
                ui.label("This master has closed no trade yet.").classes("muted")
            else:
                show_sums(found, self.grid)

    async def _save(self, dialog: ui.dialog) -> None:
        self.wrong.text = ""
        try:
            body = forms.subscription_body(self.filled)
        except FormError as error:
            self.wrong.text = str(error)
            return
        try:
            await self._written(body)
        except ApiError as error:
            if error.code == "MAX_MASTER_COUNT" and await self._one_more():
                await self._save(dialog)
                return
            self.wrong.text = in_words(error)
            self.overtaken = self.overtaken or error.code == "PRECONDITION_FAILED"
            return
        dialog.submit("saved")

    async def _written(self, body: Json) -> None:
        if self.existing is not None:
            await self.who.call("PUT", f"/copytrade/subscription/{self.existing['id']}", body, version=self.existing["version"])
            return
        mine = await self.who.call("GET", "/copytrade/my")
        if not any(one["login"] == self.login for one in mine["followers"]):
            await self.who.call("POST", "/copytrade/follower", {"login": self.login})
        logins = {"master_login": self.master["login"], "follower_login": self.login}
        await self.who.call("POST", "/copytrade/subscription", body | logins)

    async def _one_more(self) -> bool:
        """Offers to let the account follow one more master."""
        follower = next(one for one in (await self.who.call("GET", "/copytrade/my"))["followers"] if one["login"] == self.login)
        most = follower["max_master_count"]
        explained = (
            f"Account {self.login} follows as many as it may ({most}). Each master sizes on the whole account, or on the share you set."
        )
        if not await confirmed("Follow one more master?", explained, f"Allow {most + 1}"):
            return False
        change = self.who.call("PUT", f"/copytrade/follower/{follower['id']}", {"max_master_count": most + 1})
        return await attempt(change) is not None


def show_sums(found: Json, grid: Grid) -> None:
    """The sums of a preview, and its newest trades."""
    currency = found["currency"]
    ui.label(f"The last {found['trades']} closings with these settings: {found['copied']} copied, {found['skipped']} skipped.").classes(
        "muted small"
    )
    for label, value in (
        ("Result of the trades", found["profit"]),
        ("Commission and swap", found["costs"]),
        ("The master's fee", -found["fee"]),
    ):
        _sum(label, value, currency)
    with box("total"):
        _sum("Left for you", found["net"], currency)
    rows = found["rows"][:PREVIEW_ROWS]
    if rows:
        with ui.element("table").classes("mini num").props('aria-label="Newest trades"'):
            with ui.element("tr"):
                for name, right in (("Trade", ""), ("Lots", "r"), ("Fee", "r"), ("For you", "r")):
                    with ui.element("th").classes(right):
                        ui.label(name)
            for row in rows:
                _trade(row, currency, grid)
    ui.label("An estimate at today's equities and rates; the past says nothing certain about what comes.").classes("muted small")


def _sum(label: str, value: Any, currency: str) -> None:
    with box("sum"):
        ui.label(label)
        ui.label(money(value, currency, signed=True)).classes(f"num {tone(value)}")


def _trade(row: Json, currency: str, grid: Grid) -> None:
    skipped = not row["volume"]
    cells: list[tuple[str, str]] = [(f"{row['symbol']} {row['side']}", "")]
    if skipped:
        cells += [("–", "r"), ("–", "r"), ("skipped", "r muted")]
    else:
        cells += [
            (grid.lots(row["symbol"], row["volume"]), "r"),
            (money(row["fee"], ""), "r"),
            (money(row["net"], "", signed=True), f"r {tone(row['net'])}"),
        ]
    with ui.element("tr") as line:
        if skipped:
            line.props["title"] = words.reason(row["reason"])
        for shown, classes in cells:
            with ui.element("td").classes(classes):
                ui.label(shown)


async def subscribe(who: Who, master: Json, existing: Json | None = None, done: Callable[[], Awaitable[None]] | None = None) -> None:
    """Opens the dialog; when something was saved, says so, and calls `done` or goes to My copying."""
    state = Subscribe(who, master, existing)
    try:
        await state.load()
    except ApiError as error:
        complain(error)
        return
    with ui.dialog() as dialog, box("dialog broad").props('role=dialog aria-label="Copy settings"'):
        state.draw(dialog)
    answer = await answer_of(dialog)
    if answer != "saved":
        if state.overtaken and done is not None:
            await done()
        return
    ui.notify("Saved" if existing else f"You copy {master['strategy_name']} now", type="positive")
    if done is not None:
        await done()
    elif existing is None:
        ui.navigate.to("/copying")
