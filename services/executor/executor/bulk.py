"""One decision for all followers at once: `decide.decide` on columns, with the same results. Rows that 64 bits cannot decide go to it."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from shared.contracts.config import CopyMode, FollowerModes, SubscriptionStatus, SymbolsMode, VolumeMode
from shared.symbols import BUY, opposite

from executor import config_rules, limits, sizing
from executor.amounts import UNIT
from executor.columns import RULES, A, Floats, Integers, S, Truth
from executor.decide import Decision, decide
from executor.exact import floor_ratio, wrapped
from executor.terms import HALTED, REDUCE_ONLY, RISK_LIMIT, Policy, Rules, Signal, Standing, Terms

REASONS = (
    "", limits.DISABLED, limits.PAUSED, limits.CLOSE_ONLY, limits.PAST_DUE, limits.MASTER_DISABLED, limits.ACCOUNT_UNKNOWN,
    limits.FOLLOWER_DISABLED, limits.MODE_NOT_ALLOWED, HALTED, REDUCE_ONLY, limits.STOPPED, limits.SYMBOL_FILTERED, limits.SYMBOL_UNKNOWN,
    limits.NOT_LED, config_rules.MARGIN_FILTERED, limits.MASTER_CLOSED, limits.ALREADY_COPIED,
    limits.MAX_POSITIONS, limits.MAX_MASTERS, limits.NO_SL, limits.TOO_OLD, limits.PRICE_MOVED, sizing.MASTER_EQUITY_INVALID,
    sizing.FOLLOWER_EQUITY_INVALID, sizing.STALE_EQUITY, sizing.FX_RATE_UNKNOWN, sizing.BELOW_MIN, sizing.BELOW_MIN_RISK,
    config_rules.MAX_INVEST, config_rules.DAILY_MAX, limits.MARGIN,
)  # fmt: skip
CODE = {reason: code for code, reason in enumerate(REASONS)}
CLOSE_CALL = 1e-9
"""Margins that are as near as this to their bound are left to the plain rule."""
PLAIN_LIMIT = 2**40
"""Volumes and minima beyond this are left to the plain rule."""


class Decisions(NamedTuple):
    """`Decision` as columns; `reason` is a place in REASONS, `reverse` 1 where the side is the other one."""

    reason: Integers
    reverse: Integers
    volume: Integers
    sl: Integers
    tp: Integers
    worst: Integers
    wanted: Integers

    def one(self, place: int, side: str) -> Decision:
        """One row as the plain rule gives it."""
        code, reverse, *rest = (int(column[place]) for column in self)
        return Decision(REASONS[code], opposite(side) if reverse else side, *rest)


class Table(NamedTuple):
    """The terms of a signal, spread over the rows."""

    terms: list[Terms]
    which: Integers

    def column(self, name: str) -> Integers:
        return np.array([getattr(terms, name) for terms in self.terms], dtype=np.int64)[self.which]

    def truth(self, values: list[bool]) -> Truth:
        return np.array(values, dtype=np.bool_)[self.which]


def standings(columns: Integers, accounts: Integers) -> Integers:
    """The rows' standings (`Standing`'s fields as columns), from rows of subscriptions and of their accounts."""
    made = np.empty((len(columns), len(Standing._fields)), dtype=np.int64, order="F")
    straight = ("known", "enabled", "demo", "free_margin", "leverage", "positions", "updated_ms", "max_masters", "halted")
    for place, name in enumerate(Standing._fields):
        if name in straight:
            made[:, place] = accounts[:, A[name]]
    reward = accounts[:, A["reward_credit"]]
    made[:, T["equity"]] = accounts[:, A["equity"]] - accounts[:, A["credit"]] - reward
    made[:, T["balance"]] = accounts[:, A["balance"]] - reward
    for name in ("copies", "rank", "stopped", "past_due", "bound", "spent"):
        made[:, T[name]] = columns[:, S[name]]
    made[:, T["had"]] = 0
    return made


T = {name: place for place, name in enumerate(Standing._fields)}


def decide_all(signal: Signal, table: Table, rules: Integers, listed: Truth, standing: Integers, policy: Policy) -> Decisions:
    """`decide` for each row: rows of `rules` are `Rules` without `listed`, rows of `standing` are `Standing`."""
    reverse = (rules[:, S["reverse_direction"]] != 0).astype(np.int64)
    copy_sl, copy_tp = rules[:, S["copy_sl"]] != 0, rules[:, S["copy_tp"]] != 0
    sl = np.where(copy_sl, np.where(reverse == 1, signal.tp, signal.sl), 0)
    tp = np.where(copy_tp, np.where(reverse == 1, signal.sl, signal.tp), 0)
    buys = (reverse == 0) if signal.side == BUY else (reverse == 1)
    worst = _worst(signal, table, rules, buys)
    reason = _first(_gates(signal, table, rules, listed, standing, sl, worst, buys))
    wanted, unsure = _wanted(signal, table, rules, standing)
    sized, volume, odd = _fit(table, rules, wanted)
    reason = np.where(reason == 0, _first(_equity(signal, table, rules, standing, policy)), reason)
    wanted = np.where(reason == 0, wanted, 0)
    reason = np.where(reason == 0, sized, reason)
    gear = np.where(rules[:, S["leverage"]] > 0, rules[:, S["leverage"]], np.maximum(1, standing[:, T["leverage"]]))
    over, near_cap = _over(table, rules, standing, volume, gear)
    reason = np.where(reason == 0, over, reason)
    short, close_call = _margin(table, standing, volume, policy, gear)
    reason = np.where((reason == 0) & short, CODE[limits.MARGIN], reason)
    close_call = close_call | near_cap
    volume = np.where(reason == 0, volume, 0)
    made = Decisions(reason, reverse, volume, sl, tp, worst, wanted)
    settled = (reason > 0) & (reason < CODE[sizing.BELOW_MIN])
    for place in np.flatnonzero((unsure | odd | close_call) & ~settled).tolist():
        _plain(made, place, signal, table, rules, listed, standing, policy)
    return made


def _plain(
    made: Decisions, place: int, signal: Signal, table: Table, rules: Integers, listed: Truth, standing: Integers, policy: Policy
) -> None:
    one = decide(
        signal,
        table.terms[int(table.which[place])],
        Rules._make([*rules[place, : len(RULES)].tolist(), int(listed[place])]),
        Standing._make(standing[place].tolist()),
        policy,
    )
    made.reason[place], made.volume[place], made.wanted[place] = CODE[one.reason], one.volume, one.wanted


def _first(gates: list[tuple[Truth | bool, str]]) -> Integers:
    """The code of the first gate that refuses each row; 0 where none does."""
    refusing = [(refused, CODE[reason]) for refused, reason in gates if refused is not False]
    conditions = [np.asarray(refused) for refused, _ in refusing]
    shape = next((condition.shape for condition in conditions if condition.shape), ())
    spread = [np.broadcast_to(condition, shape) for condition in conditions]
    return np.select(spread, [np.int64(code) for _, code in refusing], default=np.int64(0)).astype(np.int64)


def _worst(signal: Signal, table: Table, rules: Integers, buys: Truth) -> Integers:
    points, exactly = rules[:, S["max_slippage_points"]], rules[:, S["zero_slippage"]] != 0
    if signal.pending or not (points.any() or exactly.any()):
        return np.zeros(len(rules), dtype=np.int64)
    distance = points * table.column("point")
    price = np.where(buys, signal.price + distance, np.maximum(1, signal.price - distance))
    return np.where(exactly, signal.price, np.where(points > 0, price, 0))


def _gates(
    signal: Signal, table: Table, rules: Integers, listed: Truth, standing: Integers, sl: Integers, worst: Integers, buys: Truth
) -> list[tuple[Truth | bool, str]]:
    """`limits.gate` and `limits.price_gate`, in their order."""
    status, mode = rules[:, S["status"]], rules[:, S["symbols_mode"]]
    halted, demo = standing[:, T["halted"]], standing[:, T["demo"]] != 0
    modes = signal.follower_modes
    kind = np.zeros(len(rules), dtype=np.bool_) if modes == FollowerModes.REAL_AND_DEMO else demo != (modes == FollowerModes.DEMO_ONLY)
    terms_halted = table.truth([terms.halted == HALTED for terms in table.terms])
    terms_reduce = table.truth([terms.halted != "" for terms in table.terms])
    most, masters = rules[:, S["max_positions"]], standing[:, T["max_masters"]]
    age = rules[:, S["max_signal_age_ms"]]
    now = np.where(buys, table.column("ask"), table.column("bid"))
    margins = rules[:, S["margin_filter"]]
    left_out = config_rules.CROSS_ONLY if signal.margin_type else config_rules.ISOLATED_ONLY
    filtered = (mode != SymbolsMode.ALL) & ((mode == SymbolsMode.INCLUDE) != listed)
    return [
        ((rules[:, S["enabled"]] == 0) | (status == SubscriptionStatus.DISABLED), limits.DISABLED),
        (status == SubscriptionStatus.PAUSED, limits.PAUSED),
        (rules[:, S["copy_mode"]] == CopyMode.CLOSE_ONLY, limits.CLOSE_ONLY),
        (standing[:, T["past_due"]] != 0, limits.PAST_DUE),
        (not signal.enabled, limits.MASTER_DISABLED),
        (not signal.led, limits.NOT_LED),
        (standing[:, T["known"]] == 0, limits.ACCOUNT_UNKNOWN),
        (standing[:, T["enabled"]] == 0, limits.FOLLOWER_DISABLED),
        (kind, limits.MODE_NOT_ALLOWED),
        (bool(signal.closed), limits.MASTER_CLOSED),
        (standing[:, T["had"]] != 0, limits.ALREADY_COPIED),
        ((halted == 1) | terms_halted | (signal.halted == HALTED), HALTED),
        ((halted != 0) | terms_reduce | (signal.halted != ""), REDUCE_ONLY),
        (standing[:, T["stopped"]] != 0, limits.STOPPED),
        (filtered, limits.SYMBOL_FILTERED),
        (margins == left_out if margins.any() else False, config_rules.MARGIN_FILTERED),
        (table.column("known") == 0, limits.SYMBOL_UNKNOWN),
        ((most > 0) & (standing[:, T["copies"]] >= most), limits.MAX_POSITIONS),
        ((masters > 0) & (standing[:, T["rank"]] >= masters), limits.MAX_MASTERS),
        ((rules[:, S["require_sl"]] != 0) & (sl == 0), limits.NO_SL),
        ((age > 0) & (signal.now - signal.opened_ms > age) if not signal.asked else False, limits.TOO_OLD),
        ((worst > 0) & (now > 0) & np.where(buys, now > worst, now < worst), limits.PRICE_MOVED),
    ]


def _equity(signal: Signal, table: Table, rules: Integers, standing: Integers, policy: Policy) -> list[tuple[Truth | bool, str]]:
    """`sizing.equity_gate`, in its order."""
    mode = rules[:, S["volume_mode"]]
    by_equity, by_balance = mode == VolumeMode.EQUITY_RATIO, mode == VolumeMode.BALANCE_RATIO
    ratio = by_equity | by_balance
    own = np.where(by_equity, standing[:, T["equity"]], standing[:, T["balance"]])
    old = signal.now - standing[:, T["updated_ms"]] > policy.max_equity_age_ms
    stale = ratio & (standing[:, T["positions"]] > 0) & old if policy.max_equity_age_ms > 0 else False
    return [
        (by_equity & (signal.equity <= 0), sizing.MASTER_EQUITY_INVALID),
        (by_balance & (signal.balance <= 0), sizing.MASTER_EQUITY_INVALID),
        (ratio & (own <= 0), sizing.FOLLOWER_EQUITY_INVALID),
        (stale, sizing.STALE_EQUITY),
        (ratio & (table.column("fx_num") <= 0), sizing.FX_RATE_UNKNOWN),
        *_follow_equity(signal, table, rules),
    ]


def _follow_equity(signal: Signal, table: Table, rules: Integers) -> list[tuple[Truth | bool, str]]:
    """The part of `sizing.size` and `sizing.equity_gate` that follow configs have."""
    mode = rules[:, S["volume_mode"]]
    caps = rules[:, [S["invest_cap"], S["daily_cap"]]]
    if (mode < VolumeMode.FIXED_AMOUNT).all() and not caps.any():
        return []
    by_rate = mode == VolumeMode.FIXED_RATE
    known = mode == VolumeMode.FIXED_AMOUNT
    known = known | (caps > 0).any(axis=1)
    unknown = np.array([terms.margin_num <= 0 for terms in table.terms], dtype=np.bool_)[table.which]
    return [
        (by_rate & (signal.equity <= 0), sizing.MASTER_EQUITY_INVALID),
        (by_rate & (table.column("fx_num") <= 0), sizing.FX_RATE_UNKNOWN),
        (known & unknown, sizing.FX_RATE_UNKNOWN),
    ]


def _wanted(signal: Signal, table: Table, rules: Integers, standing: Integers) -> tuple[Integers, Truth]:
    """`sizing.raw` in 1/1000 units, rounded down, and for which rows it has to be computed plainly."""
    mode, fixed = rules[:, S["volume_mode"]], rules[:, S["fixed_volume"]]
    wanted = np.where(np.abs(fixed) < PLAIN_LIMIT, fixed, 0) * sizing.PARTS
    unsure = (mode == VolumeMode.FIXED) & (np.abs(fixed) >= PLAIN_LIMIT)
    for which_mode, masters, own_name in (
        (VolumeMode.MULTIPLIER, 0, ""),
        (VolumeMode.EQUITY_RATIO, signal.equity, "equity"),
        (VolumeMode.BALANCE_RATIO, signal.balance, "balance"),
    ):
        rows = np.flatnonzero(mode == which_mode)
        if not len(rows) or (own_name and masters <= 0):
            continue
        if own_name:
            quotient, sure = _ratio(signal, table, rules[rows], standing[rows, T[own_name]], table.which[rows], masters)
        else:
            quotient, sure = _multiplied(signal, table, rules[rows], table.which[rows])
        wanted[rows], unsure[rows] = quotient, ~sure
    _follow_wanted(signal, table, rules, standing, wanted, unsure)
    return wanted, unsure


def _follow_wanted(signal: Signal, table: Table, rules: Integers, standing: Integers, wanted: Integers, unsure: Truth) -> None:
    """The same for `config_rules.by_amount` and `config_rules.by_rate`."""
    mode = rules[:, S["volume_mode"]]
    for which_mode, own_name in ((VolumeMode.FIXED_AMOUNT, "single_amount"), (VolumeMode.FIXED_RATE, "invested")):
        rows = np.flatnonzero(mode == which_mode)
        if not len(rows) or (which_mode == VolumeMode.FIXED_RATE and signal.equity <= 0):
            continue
        chosen, which, leverage = rules[rows], table.which[rows], rules[rows, S["leverage"]]
        gear = np.where(leverage > 0, leverage, np.maximum(1, standing[rows, T["leverage"]]))
        cents = 10**6 if signal.equity % 10**6 == 0 and not (chosen[:, S[own_name]] % 10**6).any() else 1
        if which_mode == VolumeMode.FIXED_AMOUNT:
            each = [Fraction(terms.margin_den * sizing.PARTS * cents, max(1, terms.margin_num)) for terms in table.terms]
        else:
            each = [
                Fraction(
                    signal.volume * terms.norm_num * terms.fx_num * sizing.PARTS,
                    terms.norm_den * terms.fx_den * (signal.equity // cents) * max(1, signal.leverage),
                )
                for terms in table.terms
            ]
        quotient, sure = floor_ratio((chosen[:, S[own_name]] // cents, gear), *_spread(each, which))
        wanted[rows], unsure[rows] = quotient, ~sure


def _spread(fractions: list[Fraction], which: Integers) -> tuple[Integers, Integers, Floats, Floats]:
    """Fractions for each row: numerator and denominator modulo 2^64, and as floats."""
    num = np.array([wrapped(one.numerator) for one in fractions], dtype=np.int64)[which]
    den = np.array([wrapped(one.denominator) for one in fractions], dtype=np.int64)[which]
    num_f = np.array([float(one.numerator) for one in fractions])[which]
    den_f = np.array([float(one.denominator) for one in fractions])[which]
    return num, den, num_f, den_f


def _multiplied(signal: Signal, table: Table, rules: Integers, which: Integers) -> tuple[Integers, Truth]:
    each = [Fraction(signal.volume * terms.norm_num * sizing.PARTS, terms.norm_den * UNIT) for terms in table.terms]
    return floor_ratio((rules[:, S["risk_multiplier"]],), *_spread(each, which))


def _ratio(signal: Signal, table: Table, rules: Integers, own: Integers, which: Integers, masters: int) -> tuple[Integers, Truth]:
    """Equities are whole cents as a rule: what their 1e-8 units have in common with the master's is taken out first."""
    cents = 10**6 if masters % 10**6 == 0 and not (own % 10**6).any() else 1
    each = [
        Fraction(signal.volume * terms.norm_num * terms.fx_num * sizing.PARTS, terms.norm_den * terms.fx_den * (masters // cents))
        for terms in table.terms
    ]
    num, den, num_f, den_f = _spread(each, which)
    factors = [own // cents]
    for name, whole in (("allocation_percent", sizing.PERCENT * UNIT), ("ratio_multiplier", UNIT)):
        column = rules[:, S[name]]
        if (column == whole).all():
            continue
        common = np.gcd(column, whole)
        part = whole // np.maximum(common, 1)
        factors.append(column // np.maximum(common, 1))
        den, den_f = den * part, den_f * part
    return floor_ratio(tuple(factors), num, den, num_f, den_f)


def _fit(table: Table, rules: Integers, wanted: Integers) -> tuple[Integers, Integers, Truth]:
    """`sizing.fit`: code, volume, and which rows have limits too large for it here."""
    step, most, least_known = table.column("step"), table.column("largest"), table.column("smallest")
    largest, smallest = rules[:, S["max_volume"]], rules[:, S["min_volume"]]
    odd = (smallest > PLAIN_LIMIT) | (step > PLAIN_LIMIT) | (least_known > PLAIN_LIMIT)
    cap = np.where(largest > 0, np.minimum(largest, most), most)
    least = np.minimum(np.maximum(np.maximum(smallest, least_known), 1), PLAIN_LIMIT)
    step = np.minimum(step, PLAIN_LIMIT)
    volume = np.minimum(wanted // (sizing.PARTS * step), cap // step) * step
    raised = -(-least // step) * step
    fits = volume >= least
    may_raise = (rules[:, S["raise_to_min"]] != 0) & (raised <= cap) & (wanted > 0)
    risk = raised * (sizing.PARTS // RISK_LIMIT) <= wanted
    small = np.where(may_raise, np.where(risk, 0, CODE[sizing.BELOW_MIN_RISK]), CODE[sizing.BELOW_MIN])
    code = np.where(fits, 0, small)
    return code, np.where(fits, volume, np.where(code == 0, raised, 0)), odd


def _over(table: Table, rules: Integers, standing: Integers, volume: Integers, gear: Integers) -> tuple[Integers, Truth]:
    """`config_rules.over`: code, and which rows are too near to tell with floats."""
    reason, near = np.zeros(len(rules), dtype=np.int64), np.zeros(len(rules), dtype=np.bool_)
    if not rules[:, [S["invest_cap"], S["daily_cap"]]].any():
        return reason, near
    each = np.array([terms.margin_num / terms.margin_den for terms in table.terms])[table.which]
    needs = volume * each
    for cap_name, used, code in (("invest_cap", "bound", config_rules.MAX_INVEST), ("daily_cap", "spent", config_rules.DAILY_MAX)):
        cap = rules[:, S[cap_name]]
        if not cap.any():
            continue
        has = (cap - standing[:, T[used]]).astype(np.float64) * gear
        close = (cap > 0) & (np.abs(needs - has) <= CLOSE_CALL * np.maximum(np.abs(needs), np.abs(has)) + CLOSE_CALL)
        reason = np.where((reason == 0) & (cap > 0) & (needs > has), CODE[code], reason)
        near |= close
    return reason, near


def _margin(table: Table, standing: Integers, volume: Integers, policy: Policy, leverage: Integers) -> tuple[Truth, Truth]:
    """`limits.margin_suffices`: which rows surely have too little, and which are too near to tell with floats."""
    nobody = np.zeros(len(standing), dtype=np.bool_)
    if policy.margin_slippage < 0 or not any(terms.margin_num for terms in table.terms):
        return nobody, nobody
    each = np.array([terms.margin_num / terms.margin_den for terms in table.terms])[table.which]
    slippage = policy.margin_slippage / UNIT
    gear = leverage.astype(np.float64)
    share = (1 - slippage) / (1 - slippage + gear * slippage) * (float(limits.SAFETY) if slippage else 1)
    needs, has = volume * each, standing[:, T["free_margin"]] * gear * share
    near = CLOSE_CALL * np.maximum(np.abs(needs), np.abs(has)) + CLOSE_CALL
    return needs > has + near, (np.abs(needs - has) <= near) & (each > 0)
