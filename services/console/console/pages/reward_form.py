"""The reward form: first the model, then only its fields, by the matrix that the api checks by; below it what followers will read."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from console import fees, forms, words
from console.api import Json
from console.figures import exact
from console.parts import box, heading, named

FIGURES = {"fee_amount": "Fixed amount", "fee_percent": "Percent a year"}
AMOUNT = {0: "Fee for each period", 2: "Amount a lot", 4: "Fee for each period"}
SHARE = {1: "Share of profit", 3: "Share of profit", 4: "Of the copied equity, a year"}
EMPTY: Json = {
    "reward_type": None,
    "billing_period": None,
    "fee_amount": None,
    "fee_percent": None,
    "figure": None,
    "hwm_enabled": True,
    "currency": "",
    "payout_account_login": None,
    "hwm_basis": "",
    "netting": "none",
    "rebate_sides": "both",
    "fee_cap": None,
}


def filled_of(policy: Json | None) -> Json:
    """The form of a policy that is there."""
    if policy is None:
        return dict(EMPTY)
    filled = EMPTY | {name: policy[name] for name in EMPTY if name in policy}
    filled |= {name: float(policy[name]) or None for name in ("fee_amount", "fee_percent", "fee_cap")}
    filled["hwm_enabled"] = bool(policy["hwm_enabled"]) if forms.reward_fields(policy["reward_type"]).hwm else True
    filled["figure"] = "fee_percent" if filled["fee_percent"] else "fee_amount"
    return filled


class RewardForm:
    """`accounts` are the customer's own, for the payout; `currency` is what amounts are in when none is given."""

    def __init__(self, filled: Json, accounts: dict[int, str], currency: Callable[[], str]) -> None:
        self.filled = filled
        self._accounts = accounts
        self._currency = currency
        self._options: dict[int, ui.element] = {}
        self._fields: ui.element
        self._said: ui.element

    def body(self) -> Json:
        """The policy as the api takes it. Raises FormError."""
        return forms.reward_body(self.filled)

    def draw(self) -> None:
        with box("options").props('role=radiogroup aria-label="Reward model"'):
            for number, name in words.REWARD.items():
                self._option(number, name)
        self._fields = box("stack")
        self._said = box("stack").props("aria-live=polite")
        self._draw_fields()

    def _option(self, number: int, name: str) -> None:
        with box("option", "button").props("type=button role=radio") as option:
            ui.label(name).classes("option-name")
            ui.label(words.REWARD_HINT[number]).classes("option-hint")
        option.props(f"aria-checked={'true' if self.filled['reward_type'] == number else 'false'}")
        option.on("click", lambda: self._choose(number)).mark(f"reward-{number}")
        self._options[number] = option

    def _choose(self, number: int) -> None:
        """Another model: its own fields, empty but for their defaults."""
        kept = {name: self.filled[name] for name in ("currency", "payout_account_login")}
        fields = forms.reward_fields(number)
        period = fields.periods[0] if fields.periods else None
        self.filled |= EMPTY | kept | {"reward_type": number, "billing_period": period, "figure": fields.figures[0]}
        for other, option in self._options.items():
            option.props(f"aria-checked={'true' if other == number else 'false'}")
        self._draw_fields()

    def _draw_fields(self) -> None:
        self._fields.clear()
        number = self.filled["reward_type"]
        if number is not None:
            fields = forms.reward_fields(number)
            with self._fields, box("form"):
                if fields.periods:
                    choices = {period: words.PERIOD[period].capitalize() for period in fields.periods}
                    self._select("billing_period", "Charged", choices)
                self._figure(number, fields)
                if fields.hwm:
                    label = "High-water mark: only new profit counts"
                    ui.switch(label, value=self.filled["hwm_enabled"], on_change=self._setter("hwm_enabled")).classes("whole")
            with self._fields, ui.expansion("More: currency, payout account, options", icon="tune"), box("form"):
                self._more(fields)
        self._words()

    def _figure(self, number: int, fields: forms.RewardFields) -> None:
        if len(fields.figures) > 1:
            chosen = ui.select({name: FIGURES[name] for name in fields.figures}, value=self.filled["figure"], label="Charged as")
            chosen.props('aria-label="Charged as"').on_value_change(self._figure_chosen)
        figure = fields.figures[0] if len(fields.figures) == 1 else self.filled["figure"]
        label = AMOUNT[number] if figure == "fee_amount" else SHARE[number]
        unit = self.filled["currency"] or self._currency() if figure == "fee_amount" else "%"
        field = ui.number(label, value=self.filled[figure], min=0, max=100 if figure == "fee_percent" else None, suffix=unit)
        named(field, label).on_value_change(self._setter(figure))

    def _figure_chosen(self, event: Any) -> None:
        self.filled |= {"figure": event.value, "fee_amount": None, "fee_percent": None}
        self._draw_fields()

    def _more(self, fields: forms.RewardFields) -> None:
        currency = ui.input("Currency", value=self.filled["currency"], placeholder=self._currency(), on_change=self._setter("currency"))
        currency.props('maxlength=8 aria-label="Currency"')
        self._select("payout_account_login", "Paid to", {None: "The strategy's own account", **self._accounts})
        choices = {"hwm_basis": words.BASIS, "netting": words.NETTING, "rebate_sides": words.SIDES}
        labels = {"hwm_basis": "Profit is measured by", "netting": "Settled", "rebate_sides": "Counted"}
        for name in fields.options:
            if name == "fee_cap":
                cap = ui.number("Most that one charge may be", value=self.filled[name], min=0, on_change=self._setter(name))
                cap.props('aria-label="Most that one charge may be"')
            else:
                self._select(name, labels[name], {key: text.capitalize() for key, text in choices[name].items()})

    def _select(self, name: str, label: str, choices: dict[Any, str]) -> None:
        named(ui.select(choices, value=self.filled[name], label=label, on_change=self._setter(name)), label)

    def _setter(self, name: str) -> Callable[[Any], None]:
        def change(event: Any) -> None:
            self.filled[name] = event.value
            self._words()

        return change

    def _words(self) -> None:
        """What followers will read."""
        self._said.clear()
        policy = self.policy()
        if policy is None:
            return
        with self._said, box("example"):
            heading("What followers read", 3)
            with box("lines mt"):
                for sentence in fees.in_words(policy):
                    ui.label(sentence)
            ui.label(f"For example: {fees.example(policy)}").classes("mt")

    def policy(self) -> Json | None:
        """The policy as far as it is filled in; None while something is missing."""
        try:
            body = self.body()
        except forms.FormError:
            return None
        rule = forms.rule_of(body["reward_type"])
        amounts = {"fee_amount": exact(body.get("fee_amount", 0)), "fee_percent": exact(body.get("fee_percent", 0))}
        plain = {"enabled": 1, "hwm_enabled": 0, "billing_period": rule.billing_periods[0], "currency": self._currency()}
        return plain | body | amounts
