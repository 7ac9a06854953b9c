"""What following a master costs, in plain words, with a worked example; from a reward policy as the api tells it. Pure."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from shared.contracts.config import RewardType

from console import words
from console.figures import exact, money, percent, short

Policy = Mapping[str, Any]
EXAMPLE_PROFIT = Decimal(1000)
EXAMPLE_LOSS = Decimal(400)
EXAMPLE_EQUITY = Decimal(10_000)
EXAMPLE_LOTS = Decimal(3)
MONTHS = {"monthly": 1, "quarterly": 3}
NAMES = {"weekly": "week", "monthly": "month", "quarterly": "quarter", "daily": "day", "one_time": "", "per_trade": ""}


def short_terms(policy: Policy | None) -> str:
    """The price tag: `20 % of new profit, monthly`."""
    if not policy or not policy["enabled"]:
        return "No fee"
    amount, share, currency = exact(policy["fee_amount"]), exact(policy["fee_percent"]), policy["currency"]
    each = NAMES.get(policy["billing_period"], "")
    match RewardType(policy["reward_type"]):
        case RewardType.SUBSCRIPTION_FEE:
            return f"{money(amount, currency)} a {each}" if each else f"{money(amount, currency)} once"
        case RewardType.PERFORMANCE_FEE_HWM:
            return f"{short(share)} % of {'new ' if policy['hwm_enabled'] else ''}profit, by {each}"
        case RewardType.VOLUME_REBATE:
            return f"{money(amount, currency)} a lot"
        case RewardType.PROFIT_SHARE_PER_TRADE:
            return f"{short(share)} % of each profit"
        case RewardType.MANAGEMENT_FEE:
            return f"{short(share)} % a year" if share else f"{money(amount, currency)} a {each}"


def in_words(policy: Policy | None) -> list[str]:
    """The terms as sentences."""
    if not policy or not policy["enabled"]:
        return ["This master takes no fee."]
    amount, share, currency = exact(policy["fee_amount"]), exact(policy["fee_percent"]), policy["currency"]
    often = words.PERIOD.get(policy["billing_period"], "")
    said: list[str]
    match RewardType(policy["reward_type"]):
        case RewardType.SUBSCRIPTION_FEE:
            said = [
                f"You pay {money(amount, currency)} {often}, in advance, whatever the result.",
                "A fee that cannot be paid stops new copies until it is; what is open is closed as usual.",
            ]
        case RewardType.PERFORMANCE_FEE_HWM:
            mark = (
                "Only profit above the highest result so far counts (high-water mark): after a loss nothing is due until it is made good."
                if policy["hwm_enabled"]
                else "There is no high-water mark: each period counts by itself, also after a loss."
            )
            said = [f"You pay {short(share)} % of your profit from copying, reckoned {often}.", mark]
            if policy.get("hwm_basis"):
                said.append(f"Profit is measured by {words.BASIS[policy['hwm_basis']]}.")
        case RewardType.VOLUME_REBATE:
            said = [
                f"You pay {money(amount, currency)} for each lot that you trade by copying, reckoned {often}.",
                f"Counted: {words.SIDES[policy.get('rebate_sides') or 'both']}.",
            ]
        case RewardType.PROFIT_SHARE_PER_TRADE:
            net = policy.get("netting") or "none"
            said = [f"You pay {short(share)} % of the profit of each copied trade that closes with one; a loss costs no fee."]
            if net != "none":
                said.append(f"Shares are settled {words.NETTING[net]}.")
        case RewardType.MANAGEMENT_FEE:
            what = f"{short(share)} % a year of your copied equity" if share else f"{money(amount, currency)}"
            said = [f"You pay {what}, charged {often}, whatever the result."]
    if exact(policy.get("fee_cap") or 0):
        said.append(f"No single charge is more than {money(policy['fee_cap'], currency)}.")
    return [*said, "Charges go from your trading account to the master's; what the venue takes for a trade comes on top."]


class Terms:
    """A policy's figures, ready to reckon an example with."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.amount = exact(policy["fee_amount"])
        self.share = exact(policy["fee_percent"])
        self.currency = str(policy["currency"])
        self.cap = exact(policy.get("fee_cap") or 0)
        self.each = NAMES.get(policy["billing_period"], "")

    def money(self, value: Decimal) -> str:
        return money(value, self.currency)

    def fee(self, value: Decimal) -> str:
        """A single charge, cut off at the cap."""
        return self.money(min(value, self.cap) if self.cap else value)


def example(policy: Policy | None) -> str:
    """A worked example with round figures; empty where nothing is charged."""
    if not policy or not policy["enabled"]:
        return ""
    return EXAMPLES[RewardType(policy["reward_type"])](Terms(policy))


def _subscription(terms: Terms) -> str:
    if not terms.each:
        return f"You pay {terms.fee(terms.amount)} once."
    return f"You follow for three {terms.each}s: {terms.fee(terms.amount)} × 3 = {terms.money(terms.amount * 3)}."


def _performance(terms: Terms) -> str:
    win, loss, each = terms.money(EXAMPLE_PROFIT), terms.money(EXAMPLE_LOSS), terms.each
    first = terms.fee(EXAMPLE_PROFIT * terms.share / 100)
    begin = f"First {each}: {win} profit × {short(terms.share)} % = {first}. Next {each}: a loss of {loss}, no fee."
    begin += f" The {each} after: {win} profit"
    if not terms.policy["hwm_enabled"]:
        return f"{begin}, again {first}."
    again = terms.fee((EXAMPLE_PROFIT - EXAMPLE_LOSS) * terms.share / 100)
    return f"{begin}, of which {loss} makes the loss good: ({win} − {loss}) × {short(terms.share)} % = {again}."


def _rebate(terms: Terms) -> str:
    sides = 1 if terms.policy.get("rebate_sides") in {"open", "close"} else 2
    both = " opened and closed again" if sides == 2 else ""
    due = terms.fee(terms.amount * EXAMPLE_LOTS * sides)
    return f"{short(EXAMPLE_LOTS)} lots{both}: {short(EXAMPLE_LOTS * sides)} × {terms.money(terms.amount)} = {due}."


def _profit_share(terms: Terms) -> str:
    win, due = terms.money(EXAMPLE_PROFIT), terms.fee(EXAMPLE_PROFIT * terms.share / 100)
    loser = f"One that loses {terms.money(EXAMPLE_LOSS)} costs no fee."
    return f"A copied trade closes with {win} profit: {win} × {short(terms.share)} % = {due}. {loser}"


def _management(terms: Terms) -> str:
    if not terms.share:
        return f"Each {terms.each} you pay {terms.fee(terms.amount)}."
    months = MONTHS.get(terms.policy["billing_period"], 1)
    due = terms.fee(EXAMPLE_EQUITY * terms.share / 100 * months / 12)
    begin = f"You copy with {terms.money(EXAMPLE_EQUITY)}: × {percent(terms.share, 2)}"
    return f"{begin} × {months}/12 of a year = about {due} each {terms.each}."


EXAMPLES: dict[RewardType, Callable[[Terms], str]] = {
    RewardType.SUBSCRIPTION_FEE: _subscription,
    RewardType.PERFORMANCE_FEE_HWM: _performance,
    RewardType.VOLUME_REBATE: _rebate,
    RewardType.PROFIT_SHARE_PER_TRADE: _profit_share,
    RewardType.MANAGEMENT_FEE: _management,
}


def quiet_label(policy: Policy | None) -> str:
    """What is said wherever a performance fee without a high-water mark is shown."""
    unmarked = policy and policy["reward_type"] == RewardType.PERFORMANCE_FEE_HWM and not policy["hwm_enabled"]
    return "no high-water mark" if unmarked else ""
