"""My strategies: what a customer trades for others, how it does, who follows, and how it is rewarded."""

from nicegui import ui
from starlette.responses import RedirectResponse

from console import fees, words
from console.api import Json
from console.figures import money, percent, short, tone
from console.forms import FormError
from console.frame import frame
from console.pages.market import colour
from console.pages.reward_form import RewardForm, filled_of
from console.parts import Panel, answer_of, attempt, box, card, chip, confirmed, empty, heading, settled, tile
from console.session import Who, admitted

CLOSING = {"detach": "Keep them: they become ordinary positions of the followers", "close": "Close them at market now"}


async def own_accounts(who: Who) -> list[Json]:
    found: list[Json] = (await who.call("GET", "/customer/session/accounts"))["accounts"]
    return found


def named(accounts: list[Json]) -> dict[int, str]:
    """Accounts as they are chosen from."""
    return {one["login"]: f"{one['login']} · {one['mode'].lower()} · {money(one['balance'], one['currency'])}" for one in accounts}


class Strategies:
    """The page's data."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.panel: Panel

    async def draw(self) -> None:
        mine = await self.who.call("GET", "/copytrade/my")
        own = {"whereIn": [["login", [one["login"] for one in mine["masters"]]]], "stats_period": "30D"}
        figures = {one["login"]: one for one in await self.who.all("/copytrade/masters", own)}
        if not mine["masters"]:
            hint = "Open one of your real accounts to followers: you trade as always, they copy, and you are rewarded by your terms."
            with box("card"):
                empty("auto_graph", "No strategy yet", hint, "Create a strategy", lambda: ui.navigate.to("/strategies/new"))
            return
        for master in mine["masters"]:
            self._strategy(master, figures.get(master["login"]))

    def _strategy(self, master: Json, listed: Json | None) -> None:
        with card():
            with box("card-head"):
                with box("mcard-top"):
                    with box("face").style(f"background:{colour(master['login'])}").props("aria-hidden=true"):
                        ui.label(master["strategy_name"][:1].upper())
                    with box(""):
                        heading(master["strategy_name"], 2)
                        ui.label(f"account {master['login']}").classes("muted small")
                with box("chips"):
                    chip(
                        "public" if master["visibility"] == "public" else "private", "good" if master["visibility"] == "public" else "warn"
                    )
                    if not master["enabled"]:
                        chip("disabled", "bad")
                    chip(f"admits {words.ADMITS[master['allowed_follower_modes']]}")
                    if fees.quiet_label(master["reward_policy"]):
                        chip(fees.quiet_label(master["reward_policy"]), "warn")
            if listed is not None:
                stats = listed["stats"]
                with box("tiles"):
                    tile("Return, 30 days", percent(stats["roi"], signed=True), tone(stats["roi"]))
                    tile("Profit", money(stats["pnl"], stats["currency"], signed=True), tone(stats["pnl"]))
                    tile("Trades", short(stats["trades"]))
                    tile("Followers", short(listed["followers"]))
                    tile("Fee", fees.short_terms(master["reward_policy"]))
            with box("actions"):
                ui.button("Open its page", on_click=lambda: ui.navigate.to(f"/master/{master['login']}")).props("outline dense")
                ui.button("Edit", on_click=lambda: self._edit(master)).props("outline dense icon=edit")
                ui.button("Change the reward", on_click=lambda: self._reward(master)).props("outline dense icon=payments")
                ui.button("Delete", on_click=lambda: self._delete(master)).props("outline dense icon=delete")

    async def _edit(self, master: Json) -> None:
        with ui.dialog() as dialog, box("dialog").props('role=dialog aria-label="Edit strategy"'):
            heading("Edit strategy", 2)
            form = ProfileForm(master)
            form.draw()
            with box("dialog-actions"):
                ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
                ui.button("Save", on_click=lambda: dialog.submit("save"))
        if await answer_of(dialog) == "save":
            await attempt(self.who.call("PUT", f"/copytrade/master/{master['id']}", form.body(), version=master["version"]), "Saved")
            await self.panel.load()

    async def _reward(self, master: Json) -> None:
        accounts = await attempt(own_accounts(self.who))
        if accounts is None:
            return
        currency = next((one["currency"] for one in accounts if one["login"] == master["login"]), "")
        form = RewardForm(filled_of(master["reward_policy"]), named(accounts), lambda: currency)
        with ui.dialog() as dialog, box("dialog wide").props('role=dialog aria-label="Change the reward"'):
            heading("Change the reward", 2)
            ui.label("Holds from now on; what was agreed before stays as it was.").classes("dialog-text")
            form.draw()
            wrong = ui.label().classes("neg strong").props("role=alert")

            def save() -> None:
                try:
                    dialog.submit(form.body())
                except FormError as error:
                    wrong.text = str(error)

            with box("dialog-actions"):
                ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat")
                ui.button("Save", on_click=save)
        body = await answer_of(dialog)
        if body is not None:
            change = self.who.call("PUT", f"/copytrade/master/{master['id']}", {"reward_policy": body}, version=master["version"])
            await attempt(change, "The new reward holds from now on")
            await self.panel.load()

    async def _delete(self, master: Json) -> None:
        explained = "Its followers copy nothing from then on, and the strategy is gone. What becomes of the copies that are open?"
        choice = await confirmed(f"Delete {master['strategy_name']}?", explained, "Delete", danger=True, choices=CLOSING)
        if choice is None:
            return
        ended = self.who.call("DELETE", f"/copytrade/master/{master['id']}", params={"close_policy": choice})
        if await attempt(ended, "The strategy is deleted") is not None:
            await self.panel.load()


class ProfileForm:
    """A strategy's profile."""

    def __init__(self, master: Json | None = None) -> None:
        first: Json = {"strategy_name": "", "description": "", "visibility": "public", "allowed_follower_modes": 2, "enabled": 1}
        self.filled: Json = first | {"show_trade_history": 1, "show_followers": 1} | (master or {})

    def draw(self) -> None:
        name = ui.input("Name", value=self.filled["strategy_name"], on_change=lambda e: self._set("strategy_name", e.value or ""))
        name.props('maxlength=100 counter aria-label="Name"')
        about = ui.textarea("Description", value=self.filled["description"], on_change=lambda e: self._set("description", e.value or ""))
        about.props('maxlength=2000 autogrow aria-label="Description"')
        with box("form"):
            seen = {"public": "Everybody sees it", "private": "Only I see it"}
            visibility = ui.select(
                seen, value=self.filled["visibility"], label="Visibility", on_change=lambda e: self._set("visibility", e.value)
            )
            visibility.props('aria-label="Visibility"')
            modes = {key: text.capitalize() for key, text in words.ADMITS.items()}
            admits = ui.select(modes, value=self.filled["allowed_follower_modes"], label="Followers")
            admits.props('aria-label="Followers"').on_value_change(lambda e: self._set("allowed_follower_modes", e.value))
        with box("switches"):
            for key, label in (
                ("enabled", "Open: trades are copied"),
                ("show_trade_history", "Show my trades"),
                ("show_followers", "Show my followers"),
            ):
                ui.switch(label, value=bool(self.filled[key]), on_change=lambda e, key=key: self._set(key, int(e.value)))

    def _set(self, name: str, value: object) -> None:
        self.filled[name] = value

    def body(self) -> Json:
        names = ("strategy_name", "description", "visibility", "allowed_follower_modes", "enabled", "show_trade_history", "show_followers")
        return {name: self.filled[name] for name in names}


async def strategies() -> RedirectResponse | None:
    """The page at /strategies."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Strategies(who)
    with frame(who, "My strategies", "/strategies", "What you trade for others: your terms, your followers, your rewards.") as actions:
        with actions:
            ui.button("Create a strategy", icon="add", on_click=lambda: ui.navigate.to("/strategies/new"))
        page.panel = Panel(page.draw, lines=6)
    await settled(page.panel)
    return None
