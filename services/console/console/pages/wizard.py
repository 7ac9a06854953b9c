"""Creating a strategy in three steps: the account and its profile, the reward, and a look at what followers will see."""

from nicegui import ui
from starlette.responses import RedirectResponse

from console import fees, words
from console.api import ApiError, Json
from console.forms import FormError
from console.frame import frame
from console.pages.reward_form import RewardForm, filled_of
from console.pages.strategies import ProfileForm, named, own_accounts
from console.parts import Panel, box, card, empty, facts, heading, in_words, settled
from console.session import Who, admitted

STEPS = ("Account and profile", "Reward", "Check and open")


class Wizard:
    """The state of the three steps; going back loses nothing."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.step = 0
        self.login: int | None = None
        self.accounts: list[Json] = []
        self.profile = ProfileForm()
        self.reward: RewardForm
        self.body: ui.element
        self.panel: Panel

    async def draw(self) -> None:
        self.accounts = await own_accounts(self.who)
        mine = await self.who.call("GET", "/copytrade/my")
        taken = {one["login"] for one in mine["masters"]}
        self.free = [one for one in self.accounts if one["mode"] == "REAL" and one["login"] not in taken]
        if not self.free:
            with box("card"):
                hint = "A strategy needs a real account of its own; demo accounts cannot become masters."
                empty("account_balance_wallet", "No account that could become a master", hint)
            return
        self.login = self.free[0]["login"]
        self.reward = RewardForm(filled_of(None), named(self.accounts), self.currency)
        self.body = box("stack")
        self.show()

    def currency(self) -> str:
        """What amounts are in when nothing else is said: the master account's currency."""
        return next((str(one["currency"]) for one in self.accounts if one["login"] == self.login), "")

    def show(self) -> None:
        """Draws the step that is reached."""
        self.body.clear()
        with self.body:
            with box("steps", "ol").props('aria-label="Steps"'):
                for at, name in enumerate(STEPS):
                    with box(f"step {'here' if at == self.step else 'done' if at < self.step else ''}", "li") as item:
                        ui.label(str(at + 1)).classes("nr")
                        ui.label(name)
                        if at == self.step:
                            item.props("aria-current=step")
            with card(STEPS[self.step]):
                (self._first, self._second, self._third)[self.step]()
                self.wrong = ui.label().classes("neg strong").props("role=alert")
                with box("dialog-actions"):
                    if self.step:
                        ui.button("Back", on_click=lambda: self._go(self.step - 1)).props("flat")
                    if self.step < len(STEPS) - 1:
                        ui.button("Next", on_click=self._next)
                    else:
                        self.create = ui.button("Open the strategy", on_click=self._create)

    def _go(self, step: int) -> None:
        self.step = step
        self.show()

    def _next(self) -> None:
        try:
            if self.step == 0 and not self.profile.filled["strategy_name"].strip():
                raise FormError("Give the strategy a name")
            if self.step == 1:
                self.reward.body()
        except FormError as error:
            self.wrong.text = str(error)
            return
        self._go(self.step + 1)

    def _first(self) -> None:
        choices = named(self.free)
        account = ui.select(
            choices, value=self.login, label="Account that you trade on", on_change=lambda e: setattr(self, "login", e.value)
        )
        account.props('aria-label="Account that you trade on"')
        self.profile.draw()

    def _second(self) -> None:
        ui.label("How are you rewarded? Choose the model; only its fields are shown.").classes("soft")
        self.reward.draw()

    def _third(self) -> None:
        profile, policy = self.profile.filled, self.reward.policy()
        facts(
            [
                ("Name", profile["strategy_name"].strip()),
                ("Account", str(self.login)),
                ("Seen by", "everybody" if profile["visibility"] == "public" else "only you"),
                ("Followers", words.ADMITS[profile["allowed_follower_modes"]]),
                ("Reward", f"{words.REWARD[policy['reward_type']]}: {fees.short_terms(policy)}" if policy else "–"),
            ],
            "wide",
        )
        with box("example"):
            heading("What followers read", 3)
            with box("lines mt"):
                for sentence in fees.in_words(policy):
                    ui.label(sentence)
            ui.label(f"For example: {fees.example(policy)}").classes("mt")

    async def _create(self) -> None:
        self.wrong.text = ""
        self.create.props("loading")
        body = self.profile.body() | {"login": self.login, "strategy_name": self.profile.filled["strategy_name"].strip()}
        try:
            await self.who.call("POST", "/copytrade/master", body | {"reward_policy": self.reward.body()})
        except ApiError as error:
            self.wrong.text = in_words(error)
        else:
            ui.notify("Your strategy is open", type="positive")
            ui.navigate.to("/strategies")
        finally:
            self.create.props(remove="loading")


async def wizard() -> RedirectResponse | None:
    """The page at /strategies/new."""
    who = admitted("customer")
    if isinstance(who, RedirectResponse):
        return who
    page = Wizard(who)
    with frame(who, "Create a strategy", "/strategies", back="/strategies"):
        heading("Create a strategy", 1)
        page.panel = Panel(page.draw, lines=6)
    await settled(page.panel)
    return None
