"""Who copies a master's trade, how much, or why not: the plain one-follower rule, the reference for the columnar one.

Amounts and prices are integers of 1e-8, volumes are integer units, times Unix milliseconds. Nothing here looks anything up.
"""

from typing import NamedTuple

from shared.symbols import opposite

from executor import config_rules, limits, sizing
from executor.terms import Policy, Rules, Signal, Standing, Terms


class Decision(NamedTuple):
    """What becomes of one signal for one subscription: a copy of `volume`, or (with a `reason`) none.

    `wanted` is the volume before limits and step, in 1/1000 units, for the explanation.
    """

    reason: str
    side: str
    volume: int
    sl: int
    tp: int
    worst: int
    wanted: int


def decide(signal: Signal, terms: Terms, rules: Rules, standing: Standing, policy: Policy) -> Decision:
    """The decision for one subscription. The first rule that refuses gives the reason (limits, sizing, what may be bound, margin)."""
    side, sl, tp = stops(signal, rules.copy_sl, rules.copy_tp, rules.reverse_direction)
    worst = limits.worst_price(signal, side, rules.max_slippage_points, terms.point, rules.zero_slippage)
    nothing = Decision("", side, 0, sl, tp, worst, 0)
    reason = limits.gate(signal, terms, rules, standing, sl)
    if not reason:
        reason = limits.price_gate(terms, side, worst)
    if reason:
        return nothing._replace(reason=reason)
    sized = sizing.size(signal, terms, rules, standing, policy)
    decision = nothing._replace(reason=sized.reason, wanted=sized.wanted)
    if sized.reason:
        return decision
    if reason := config_rules.over(sized.volume, terms, rules, standing):
        return decision._replace(reason=reason)
    leverage = config_rules.gear(rules.leverage, standing.leverage)
    if not limits.margin_suffices(sized.volume, terms, standing, policy, leverage):
        return decision._replace(reason=limits.MARGIN)
    return decision._replace(volume=sized.volume)


def stops(signal: Signal, copy_sl: int, copy_tp: int, reverse: int) -> tuple[str, int, int]:
    """The copy's side, stop loss and take profit. Reversed, the master's take profit is the copy's stop loss and the other way round."""
    if not reverse:
        return signal.side, signal.sl if copy_sl else 0, signal.tp if copy_tp else 0
    return opposite(signal.side), signal.tp if copy_sl else 0, signal.sl if copy_tp else 0


def pending_kind(kind: str, reverse: int) -> str:
    """The copy's kind of pending order: at the same price, the other side of a limit is a stop and the other way round."""
    return {"limit": "stop", "stop": "limit"}[kind] if reverse else kind


def has_mirror(kind: str) -> bool:
    """Whether there is an order of the other side that is filled when a pending order of this kind is.

    There is none for a stop-limit: the other side of "once 1.20 is reached, buy at 1.15 or better" would be to sell, once 1.20 is reached,
    at 1.15 or worse. A limit at either of its prices could be filled without the master's. So it is copied when the master's is filled.
    """
    return kind != "stop_limit"
