"""A copy decision told in words, from the inputs that were recorded with it: what was decided for one follower, and why. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from shared.contracts.config import VolumeMode
from shared.contracts.event import plain
from shared.money import EXACT

REASONS = {
    "DISABLED": "the subscription is disabled",
    "PAUSED": "the subscription is paused",
    "CLOSE_ONLY": "the subscription only closes, it opens nothing new",
    "MASTER_DISABLED": "the master is disabled",
    "FOLLOWER_DISABLED": "the follower is disabled",
    "MODE_NOT_ALLOWED": "the master does not admit followers with this kind of account (real or demo)",
    "ACCOUNT_UNKNOWN": "the venue had told nothing of the follower's account yet",
    "STOPPED": "the subscription's loss limit was reached, and nobody has resumed it",
    "PAST_DUE": "the subscription's prepaid fee is unpaid",
    "HALTED": "trading was halted",
    "REDUCE_ONLY": "positions were only to be made smaller",
    "SYMBOL_FILTERED": "the subscription's list of symbols leaves this one out",
    "SYMBOL_UNKNOWN": "the follower's venue has no such symbol",
    "MAX_POSITIONS": "the subscription already had as many copies open as it may",
    "MAX_MASTERS": "the follower copies as many masters as it may",
    "NO_SL": "the subscription copies only trades with a stop loss, and there was none",
    "MASTER_CLOSED": "the master had closed it already",
    "ALREADY_COPIED": "the follower has, or had, a copy of it by a subscription that has ended",
    "TOO_OLD": "the trade was older than the subscription allows",
    "PRICE_MOVED": "the price had moved further than the subscription allows",
    "STALE_EQUITY": "the follower's equity was told too long ago to size on",
    "MASTER_EQUITY_INVALID": "the master's equity was zero or less, so no ratio can be taken",
    "FOLLOWER_EQUITY_INVALID": "the follower's equity was zero or less, so no ratio can be taken",
    "FX_RATE_UNKNOWN": "no rate between the two accounts' currencies was known",
    "BELOW_MIN": "the volume came to less than the least that can be traded",
    "BELOW_MIN_RISK": "the least that can be traded would be more than twice what was wanted",
    "MARGIN": "the follower's free margin does not carry it",
    "NOT_LED": "the master does not lead trades like this one (its symbols, its margin type, or a cool-down)",
    "MARGIN_FILTERED": "the follow config leaves orders of this margin type out",
    "MAX_INVEST": "the copies would have bound more than the follow config lets them",
    "DAILY_MAX": "the day's copies would have come to more than the follow config lets them",
    "NOT_ENOUGH_MONEY": "the account had not enough money",
    "MARKET_CLOSED": "the market was closed",
    "INVALID_VOLUME": "the venue does not take this volume",
    "INVALID_STOPS": "the venue does not take these stops",
    "FROZEN": "the market is so near to the order that the venue does not change it any more",
    "SLTP_DRIFT": "its stops are not yet what the master's are: the venue does not take them so near to the market, or refused them",
    "PRICE_DRIFT": "it does not yet rest where the master's order does: the venue does not take it so near to the market, or refused it",
    "ACCOUNT_NOT_FOUND": "the venue has no such account",
    "ACCOUNT_DISABLED": "the account is disabled on the venue",
    "SYMBOL_NOT_FOUND": "the venue has no such symbol",
    "MANUAL_TRADING_DISABLED": "the account takes no manual trades",
}
"""The typed reasons of skips and refusals in plain words."""

SIZED = frozenset({"", "BELOW_MIN", "BELOW_MIN_RISK", "MAX_INVEST", "DAILY_MAX", "MARGIN"})
"""With these reasons a volume was reckoned; the others hold a copy back before."""
OWN_MONEY = ("equity", "balance", "free_margin")
OWN_WORDS = ("equity", "balance", "free margin")
UNIT = Decimal(10**8)
PARTS = 1000


class Decided(NamedTuple):
    """A trade link as it stands, as far as its explanation needs it."""

    link: int
    subscription: int
    master_login: int
    follower_login: int
    master_order: int
    phase: str
    reason: str


def explain(link: Decided, recorded: str, *, own_money: bool = True) -> dict[str, Any]:
    """`{"link", "decision", "reason", "text", "inputs"}` of a link's decision.

    `recorded` is what `LinksChanged.inputs` said when the link was made; without it there is only what the link itself says. `own_money`
    False leaves the follower's equity, balance and free margin out: they are not everybody's to see.
    """
    decision: Literal["copied", "skipped", "rejected"] = "copied"
    if link.phase in {"skipped", "rejected"}:
        decision = "skipped" if link.phase == "skipped" else "rejected"
    inputs = named(recorded, link.subscription, own_money) if recorded else {}
    if inputs:
        text = [_signal(inputs["signal"]), _subscription(link, inputs), *_standing(link, inputs), *_sizing(inputs), _result(link, inputs)]
    else:
        text = [f"This is the copy of order {link.master_order} of master {link.master_login} for account {link.follower_login}."]
        text.append("What the decision was made from is not kept here.")
    outcome = _outcome(link, bool(inputs))
    return {"link": link.link, "decision": decision, "reason": link.reason, "text": [*text, *outcome], "inputs": inputs}


def named(recorded: str, subscription: int, own_money: bool) -> dict[str, Any]:
    """One subscription's part of what an event recorded, each figure under its name."""
    whole = json.loads(recorded)
    own = of_subscription(whole, subscription)
    found = {"unit": whole["unit"], "signal": whole["signal"], "terms": whole["terms"][own["which"]], "policy": whole["policy"]}
    found |= {name: own[name] for name in ("rules", "standing", "result")}
    if not own_money:
        found["standing"] = {name: value for name, value in found["standing"].items() if name not in OWN_MONEY}
    return found


def of_subscription(whole: Mapping[str, Any], subscription: int) -> dict[str, Any]:
    """The recorded columns at one subscription: a column is a list of one value for each decision, or the value that all have."""
    subscriptions = whole["rules"]["subscription"]
    place = subscriptions.index(subscription) if isinstance(subscriptions, list) else 0

    def at(column: Any) -> Any:
        return column[place] if isinstance(column, list) else column

    own = {table: {name: at(column) for name, column in whole[table].items()} for table in ("rules", "standing", "result")}
    return own | {"which": at(whole["which"])}


def _signal(signal: Mapping[str, Any]) -> str:
    did = "placed a pending order" if signal["pending"] else "opened a position"
    stops = f"stop loss {_stop(signal['sl'])}, take profit {_stop(signal['tp'])}"
    what = f"{signal['side']} {signal['volume']} units of {signal['symbol']} at {_amount(signal['price'])}"
    return f"Master {signal['login']} {did} at {_when(signal['opened_ms'])}: order {signal['order']}, {what}, {stops}."


def _subscription(link: Decided, inputs: Mapping[str, Any]) -> str:
    signal = inputs["signal"]
    later = signal["now"] - signal["opened_ms"]
    asked = ", because the follower asked for the master's existing positions" if signal["asked"] else ""
    return (
        f"Account {link.follower_login} follows it by subscription {link.subscription}, settings version {inputs['rules']['version']}; "
        f"decided {later} ms after the trade{asked}."
    )


def _standing(link: Decided, inputs: Mapping[str, Any]) -> list[str]:
    signal, standing = inputs["signal"], inputs["standing"]
    told = [f"Just before the trade the master's equity was {_amount(signal['equity'])} and its balance {_amount(signal['balance'])}."]
    if not standing["known"]:
        return [*told, f"Nothing was known of account {link.follower_login}."]
    age = signal["now"] - standing["updated_ms"]
    if "equity" in standing:
        money = ", ".join(f"{word} {_amount(standing[name])}" for name, word in zip(OWN_MONEY, OWN_WORDS, strict=True))
        told.append(f"The follower had, told {age} ms before the decision: {money}, leverage {standing['leverage']}.")
    told.append(f"It had {standing['positions']} positions open, and this subscription had {standing['copies']} copies.")
    return told


def _sizing(inputs: Mapping[str, Any]) -> list[str]:
    """The steps from the master's volume to the follower's."""
    rules, terms, result = inputs["rules"], inputs["terms"], inputs["result"]
    if result["reason"] not in SIZED:
        return ["No volume was reckoned: the copy was held back before."]
    wanted = f"{_plain(Decimal(result['wanted']) / PARTS)} units wanted"
    steps = [f"{_formula(inputs)} = {wanted}."]
    largest = min(rules["max_volume"] or terms["largest"], terms["largest"])
    least = max(rules["min_volume"], terms["smallest"], 1)
    steps.append(f"Taken down to a step of {terms['step']}, at most {largest}, at least {least}{_raised(rules)}: {_volume(result)}.")
    return steps


def _formula(inputs: Mapping[str, Any]) -> str:
    signal, terms, rules, standing = inputs["signal"], inputs["terms"], inputs["rules"], inputs["standing"]
    mode = VolumeMode(rules["volume_mode"])
    if mode == VolumeMode.FIXED:
        return f"Fixed volume: {rules['fixed_volume']} units"
    parts = f"{signal['volume']} units of the master x {_ratio(terms['norm_num'], terms['norm_den'])} (contract size)"
    if mode == VolumeMode.MULTIPLIER:
        return f"Multiplier: {parts} x {_amount(rules['risk_multiplier'])} (risk multiplier)"
    gear = rules.get("leverage") or max(1, standing["leverage"])
    if mode == VolumeMode.FIXED_AMOUNT:
        unit = _ratio(terms["margin_num"], terms["margin_den"] * 10**8)
        return f"Fixed amount: {_amount(rules['single_amount'])} a copy x {gear} (leverage) / {unit} (a unit's value)"
    if mode == VolumeMode.FIXED_RATE:
        rate = _ratio(terms["fx_num"], terms["fx_den"])
        return (
            f"Fixed rate: {parts} x {_amount(rules['invested'])} (invested) x {rate} (currency) x {gear} (leverage)"
            f" / {_amount(signal['equity'])} (equity of the master) / {signal['leverage']} (leverage of the master)"
        )
    word = "equity" if mode == VolumeMode.EQUITY_RATIO else "balance"
    own = _amount(standing[word]) if word in standing else "the follower's own"
    rate = _ratio(terms["fx_num"], terms["fx_den"])
    return (
        f"{word.capitalize()} ratio: {parts} x {own} x {rate} (currency) / {_amount(signal[word])} ({word} of follower and master)"
        f" x {_amount(rules['allocation_percent'])} % (allocation) x {_amount(rules['ratio_multiplier'])} (ratio multiplier)"
    )


def _raised(rules: Mapping[str, Any]) -> str:
    return " (less is raised to it, up to twice what was wanted)" if rules["raise_to_min"] else ""


def _volume(result: Mapping[str, Any]) -> str:
    if result["reason"] in {"BELOW_MIN", "BELOW_MIN_RISK"}:
        return "nothing is left"
    return f"{result['volume']} units" if result["volume"] else "a volume that was refused afterwards"


def _result(link: Decided, inputs: Mapping[str, Any]) -> str:
    result = inputs["result"]
    if result["reason"]:
        return f"Not copied ({result['reason']}): {in_words(result['reason'])}."
    reverse = " (the other side: the subscription is reversed)" if inputs["rules"]["reverse_direction"] else ""
    worst = f", not to be filled beyond {_amount(result['worst'])}" if result["worst"] else ""
    return (
        f"Copied: {result['side']} {result['volume']} units of {inputs['terms']['symbol']}{reverse}, stop loss {_stop(result['sl'])}, "
        f"take profit {_stop(result['tp'])}{worst}.{_kept_away(inputs)}"
    )


def _kept_away(inputs: Mapping[str, Any]) -> str:
    least = inputs["terms"].get("least")
    levels = inputs["signal"]["pending"] or inputs["result"]["sl"] or inputs["result"]["tp"]
    return (
        f" Stops keep {_amount(least)} away from the market: what was nearer was moved off until it may come nearer."
        if least and levels
        else ""
    )


def _outcome(link: Decided, explained: bool) -> list[str]:
    """What became of it since, where that is not what was decided."""
    why = f" ({link.reason}): {in_words(link.reason)}" if link.reason else ""
    match link.phase:
        case "skipped":
            return [] if explained else [f"It was not copied{why}."]
        case "rejected":
            return [f"The venue refused it{why}."]
        case "closed":
            return [f"The copy is closed since{f' ({link.reason})' if link.reason else ''}."]
        case "detached" | "cancelled":
            return [f"The copy is {link.phase}{f' ({link.reason})' if link.reason else ''}."]
        case phase:
            return [f"The copy is {phase} now."]


def in_words(reason: str) -> str:
    """A typed reason in plain words; one that is not known here, as it is."""
    return REASONS.get(reason, reason)


def _amount(units: int) -> str:
    return _plain(EXACT.divide(Decimal(units), UNIT))


def _stop(units: int) -> str:
    return _amount(units) if units else "none"


def _ratio(num: int, den: int) -> str:
    return _plain(round(EXACT.divide(Decimal(num), Decimal(den)), 8)) if den else "an unknown rate"


def _plain(value: Decimal) -> str:
    return format(plain(value), "f")


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
