"""One decision for all followers of a master: by the plain rule for a few, by columns for many; and what it becomes."""

from collections import Counter as Tally
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from shared.store.work import Work

from executor import config_rules, figures, inputs, levels, links
from executor.bulk import REASONS, Table, decide_all, standings
from executor.columns import RULES, A, Columns, Integers, Places, S, rows_at
from executor.decide import Decision, decide, has_mirror
from executor.desk import Desk, Fan
from executor.fanouts import Flight
from executor.follows import StakeFacts
from executor.links import STATES
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord, PositionRecord, new_link
from executor.sheet import Sheet, emit_links, emit_orders, stored_links
from executor.store import FanOut
from executor.terms import Rules, Signal, Standing, Terms

FEW = 12
"""Fewer followers than this are decided one by one: setting up columns would take longer."""


async def fan_out(
    desk: Desk, work: Work, position: PositionRecord, *, new: bool, asked: bool = False, only: int = 0, closed: bool = False
) -> None:
    """Decides on a master's position or pending order for its subscriptions (or for `only` one), and sends what follows.

    `new`: nobody can have a link to it yet. `asked`: the follower asked for existing positions, also for those that were skipped.
    `closed`: the master is known to have closed it, so that it is a skip for everybody.
    """
    columns = await desk.columns(position.login)
    if not len(columns):
        return
    desk.memory.follows.new_day(desk.now, desk.memory.columns)
    fan = desk.new_fan(position.order) if new else await desk.fan(position.order)
    places = eligible(columns, position, fan, asked=asked, only=only)
    if not len(places):
        return
    signal = await signal_of(desk, position, asked=asked, closed=closed)
    table = await terms_of(desk, position.symbol, columns, places, position.login)
    if len(places) < FEW:
        had = await had_by_another(desk, fan, only) if only else frozenset()
        _few(desk, work, position, fan, signal, table, columns, places, had)
    else:
        _many(desk, work, position, signal, table, columns, places)


def _few(
    desk: Desk,
    work: Work,
    position: PositionRecord,
    fan: Fan,
    signal: Signal,
    table: Table,
    columns: Columns,
    places: Places,
    had: frozenset[int],
) -> None:
    """By the plain rule, one after the other; each link has a row of its own at once."""
    lists = desk.memory.lists_with(signal.symbol)
    data = rows_at(columns.data, places)
    standing = standings(data, rows_at(desk.memory.accounts.grid.data, data[:, S["account"]])).tolist()
    which, out, made = table.which.tolist(), Outgoing(), []
    for n, place in enumerate(places.tolist()):
        terms, rules, stands = table.terms[which[n]], columns.rules(place, lists), Standing._make(standing[n])
        login = int(columns.data[place, S["follower_login"]])
        stands = stands._replace(had=int(login in had))
        decision = decide(signal, terms, rules, stands, desk.policy)
        made.append((rules, stands, decision))
        known = fan.get(rules.subscription)
        link = link_of(position, decision, known.id if known else desk.take_links(1), rules.subscription, login, terms.symbol, desk.now)
        desk.add_link(link)
        out.tell(link, position.symbol)
        if decision.reason:
            continue
        columns.data[place, S["copies"]] += 1
        if position.kind == POSITION:
            out.open(link, position, rules.leverage, levels.stops_of(desk, link))
        else:
            out.place(link, position, rules.leverage, levels.resting_of(desk, link, position))
        if rules.invest_cap:
            _stake(desk, position, rules, stands, terms, login, decision.volume)
    recorded = inputs.recorded(inputs.common(signal, table.terms, desk.policy), inputs.column(which), *inputs.of_plain(made))
    out.emit(work, recorded)
    figures.skipped(work, Tally(decision.reason for _, _, decision in made))


def _stake(desk: Desk, position: PositionRecord, rules: Rules, standing: Standing, terms: Terms, login: int, volume: int) -> None:
    """Keeps what a copy binds of a follow config's money."""
    unit = Fraction(terms.margin_num, terms.margin_den)
    margin = config_rules.stake(volume, unit, config_rules.gear(rules.leverage, standing.leverage))
    desk.memory.follows.take(StakeFacts(rules.subscription, position.order, login, margin, margin, rules.leverage, desk.now))
    desk.put_sums(position.login, rules.subscription)


def link_of(position: PositionRecord, decision: Decision, number: int, subscription: int, login: int, symbol: str, now: int) -> LinkRecord:
    """The link that a decision becomes."""
    phase = links.SKIPPED if decision.reason else links.OPENING if position.kind == POSITION else links.PENDING
    return new_link(
        {
            "id": number,
            "subscription": subscription,
            "master_login": position.login,
            "master_order": position.order,
            "follower_login": login,
            "state": int(STATES[phase]),
            "phase": phase,
            "reason": decision.reason,
            "kind": position.kind,
            "symbol": symbol,
            "side": decision.side,
            "volume": decision.volume,
            "target": decision.volume,
            "master_volume": position.volume or position.initial,
            "master_now": position.volume,
            "want_sl": decision.sl,
            "want_tp": decision.tp,
            "worst": decision.worst,
            "seen_version": position.version,
            "sent_ms": 0 if decision.reason else now,
            "created_ms": now,
            "updated_ms": now,
        }
    )


def _many(desk: Desk, work: Work, position: PositionRecord, signal: Signal, table: Table, columns: Columns, places: Places) -> None:
    """By columns, all at once; the links are stored as one row until something happens to them."""
    data = rows_at(columns.data, places)
    lists = desk.memory.lists_with(signal.symbol)
    listed = np.isin(data[:, S["symbols"]], list(lists)) if lists else np.zeros(len(places), dtype=np.bool_)
    standing = standings(data, rows_at(desk.memory.accounts.grid.data, data[:, S["account"]]))
    made = decide_all(signal, table, data, listed, standing, desk.policy)
    copied = made.reason == 0
    columns.data[places[copied], S["copies"]] += 1
    first = desk.take_links(len(places))
    rules: Integers = np.vstack((data.T[: len(RULES)], listed.astype(np.int64)))
    subscriptions, logins = rules[0], data[:, S["follower_login"]].copy()
    ids: Integers = np.arange(first, first + len(places))
    sheet = Sheet(ids, subscriptions, logins, table, rules, standing.T, made)
    emit_orders(work, position, sheet)
    emit_links(work, position, sheet, signal, desk.policy)
    flight = Flight(first, position.order, position.login, desk.now, subscriptions, logins, copied)
    row = FanOut(
        first_link=first,
        master_order=position.order,
        master_login=position.login,
        created_ms=desk.now,
        waiting=int(copied.any()),
        kind=position.kind,
        master_volume=position.volume,
        seen_version=position.version,
        links=stored_links(sheet, signal.side),
    )
    desk.add_fan_out(flight, row)
    figures.skipped(work, Tally({REASONS[code]: count for code, count in enumerate(np.bincount(made.reason).tolist()) if count}))
    for place in np.flatnonzero(copied & (data[:, S["invest_cap"]] > 0)).tolist():
        own, stands = columns.rules(int(places[place]), lists), Standing._make(standing[place].tolist())
        terms = table.terms[int(table.which[place])]
        _stake(desk, position, own, stands, terms, int(logins[place]), int(made.volume[place]))


def eligible(columns: Columns, position: PositionRecord, fan: Fan, *, asked: bool, only: int) -> Places:
    """The places of the subscriptions that this signal is a matter for.

    One that began later than the trade is not, unless existing positions are asked for; nor is one that has a link already, except a
    skipped one when it is asked for. A pending order is a matter for those who copy pending orders, if it has a mirror image also for those
    who reverse; the others copy the position that it becomes.
    """
    data = columns.data
    chosen = data[:, S["deleted"]] == 0
    if not asked:
        chosen &= data[:, S["created_ms"]] <= position.opened_ms
    if only:
        chosen &= data[:, 0] == only
    if position.kind != POSITION:
        chosen &= data[:, S["copy_pending_orders"]] != 0
        if not has_mirror(position.kind):
            chosen &= data[:, S["reverse_direction"]] == 0
    if fan:
        linked = [link.subscription for link in fan.values() if not (asked and link.phase == links.SKIPPED)]
        chosen &= ~np.isin(data[:, 0], linked)
    return np.flatnonzero(chosen)


HELD = frozenset({links.OPENING, links.OPEN, links.CLOSING, links.CLOSED, links.DETACHED})
"""Phases of a link whose position the follower has, or had."""


async def had_by_another(desk: Desk, fan: Fan, only: int) -> frozenset[int]:
    """The followers who have, or had, a copy by another subscription than this one, which has ended: what they closed, or took with
    them when they left, is not opened again because they come back."""
    others = [link for link in fan.values() if link.subscription != only and link.phase in HELD]
    return frozenset([link.follower_login for link in others if await desk.subscription(link.master_login, link.subscription) is None])


class Ground(NamedTuple):
    """What a decision on a signal is made from, for one subscription."""

    terms: Terms
    rules: Rules
    standing: Standing


async def ground_of(desk: Desk, position: PositionRecord, subscription: int) -> Ground | None:
    """What one subscription would decide from now; None when it has ended."""
    columns = await desk.columns(position.login)
    place = columns.find(subscription)
    if place is None or columns.data[place, S["deleted"]]:
        return None
    places = np.array([place])
    table = await terms_of(desk, position.symbol, columns, places, position.login)
    data = rows_at(columns.data, places)
    standing = standings(data, rows_at(desk.memory.accounts.grid.data, data[:, S["account"]])).tolist()
    return Ground(table.terms[0], columns.rules(place, desk.memory.lists_with(position.symbol)), Standing._make(standing[0]))


async def signal_of(desk: Desk, position: PositionRecord, *, asked: bool, closed: bool = False) -> Signal:
    """The signal of a master's position as it stands now."""
    master = desk.master_enabled(position.login)
    leads = (master.lead_symbols, master.lead_margin_type, master.unlead_from_ms, master.unlead_to_ms)
    leverage = position.leverage or (await desk.accounts([position.login])).get(position.login, "leverage")
    halts = desk.memory.halts
    reasons = {halts.get(("all", "")), halts.get(("master", str(position.login))), halts.get(("symbol", position.symbol))}
    halted = "HALTED" if "HALTED" in reasons else "REDUCE_ONLY" if "REDUCE_ONLY" in reasons else ""
    return Signal(
        order=position.order,
        login=position.login,
        symbol=position.symbol,
        side=position.side,
        volume=position.volume or position.initial,
        price=position.price,
        sl=position.sl,
        tp=position.tp,
        equity=position.equity,
        balance=position.balance,
        opened_ms=position.opened_ms,
        now=desk.now,
        enabled=master.enabled,
        follower_modes=master.follower_modes,
        halted=halted,
        asked=int(asked),
        pending=int(position.kind != POSITION),
        leverage=max(1, leverage),
        margin_type=position.margin_type,
        led=int(config_rules.led(position.symbol, position.margin_type, position.opened_ms, *leads)),
        closed=int(closed),
    )


async def terms_of(desk: Desk, symbol: str, columns: Columns, places: Places, master_login: int) -> Table:
    """What the symbol means for each kind of account among the followers, and which of these each follower has."""
    accounts = await desk.accounts([master_login])
    master_currency = accounts.currency(master_login)
    own = columns.data[places, S["account"]]
    kinds = accounts.grid.data[own, A["group"]] << 20 | accounts.grid.data[own, A["currency"]]
    if len(kinds) == 1 or (kinds == kinds[0]).all():
        distinct, which = kinds[:1], np.zeros(len(kinds), dtype=np.int64)
    else:
        distinct, which = np.unique(kinds, return_inverse=True)
    halts = {key: reason for (scope, key), reason in desk.memory.halts.items() if scope == "symbol"}
    market = desk.memory.market
    terms = [
        market.terms(symbol, accounts.groups.all[kind >> 20], accounts.currencies.all[kind & 0xFFFFF], master_currency, halts)
        for kind in distinct.tolist()
    ]
    return Table(terms, which)
