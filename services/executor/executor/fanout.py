"""One decision for all followers of a master: the rows of links, orders and records that it becomes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from shared.contracts import links as links_topic
from shared.contracts import orders as orders_topic
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.links import LinksChanged
from shared.contracts.orders import OpenCopies, OpenRow, PlaceCopies, PlaceRow
from shared.store.work import Work

from executor import links
from executor.amounts import amount
from executor.columns import A, Columns, Places, S
from executor.decide import Decision, decide, pending_kind
from executor.desk import Desk, Fan
from executor.links import STATES
from executor.outgoing import told
from executor.records import POSITION, LinkRecord, PositionRecord, link_row
from executor.terms import Policy, Rules, Signal, Standing, Terms

KEPT_IN_MEMORY = 64
"""A fan-out of more links than this goes to the store and is loaded again when its answers come."""

RESULT = Decision._fields


async def fan_out(desk: Desk, work: Work, position: PositionRecord, *, new: bool, asked: bool = False, only: int = 0) -> None:
    """Decides on a master's position or pending order for its subscriptions (or for `only` one), and sends what follows.

    `new`: nobody can have a link to it yet. `asked`: the follower asked for existing positions, also for those that were skipped.
    """
    columns = await desk.columns(position.login)
    if not len(columns):
        return
    fan = desk.new_fan(position.order) if new else await desk.fan(position.order)
    places = eligible(columns, position, fan, asked=asked, only=only)
    if not len(places):
        return
    signal = await signal_of(desk, position, asked=asked)
    table, which = await terms_of(desk, position.symbol, columns, places, position.login)
    lists = desk.memory.lists_with(position.symbol)
    made = [
        (
            columns.rules(place, lists),
            columns.standing(place, desk.memory.accounts),
            table[terms],
        )
        for place, terms in zip(places.tolist(), which, strict=True)
    ]
    decisions = [decide(signal, terms, rules, standing, desk.policy) for rules, standing, terms in made]
    shared = shared_inputs(signal, table, desk.policy)
    inputs = [
        row_inputs(rules, standing, terms, decision) for (rules, standing, _), terms, decision in zip(made, which, decisions, strict=True)
    ]
    symbols = [terms.symbol for _, _, terms in made]
    _send(desk, work, position, columns, places, decisions, symbols, fan, shared, inputs)


def eligible(columns: Columns, position: PositionRecord, fan: Fan, *, asked: bool, only: int) -> Places:
    """The places of the subscriptions that this signal is a matter for.

    One that began later than the trade is not, unless existing positions are asked for; nor is one that has a link already, except a
    skipped one when it is asked for. A pending order is a matter for those who copy pending orders.
    """
    data = columns.data
    chosen = data[:, S["deleted"]] == 0
    if not asked:
        chosen &= data[:, S["created_ms"]] <= position.opened_ms
    if only:
        chosen &= data[:, 0] == only
    if position.kind != POSITION:
        chosen &= data[:, S["copy_pending_orders"]] != 0
    if fan:
        linked = [link.subscription for link in fan.values() if not (asked and link.phase == links.SKIPPED)]
        chosen &= ~np.isin(data[:, 0], linked)
    return np.flatnonzero(chosen)


async def signal_of(desk: Desk, position: PositionRecord, *, asked: bool) -> Signal:
    """The signal of a master's position as it stands now."""
    master = desk.master_enabled(position.login)
    halts = desk.memory.halts
    reasons = {halts.get(("all", "")), halts.get(("master", str(position.login))), halts.get(("symbol", position.symbol))}
    halted = "HALTED" if "HALTED" in reasons else "REDUCE_ONLY" if "REDUCE_ONLY" in reasons else ""
    return Signal(
        order=position.order,
        login=position.login,
        symbol=position.symbol,
        side=position.side,
        volume=position.volume,
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
    )


async def terms_of(desk: Desk, symbol: str, columns: Columns, places: Places, master_login: int) -> tuple[list[Terms], list[int]]:
    """What the symbol means for each kind of account among the followers, and which of these each follower has."""
    accounts = await desk.accounts([master_login])
    master_currency = accounts.currency(master_login)
    rows = accounts.grid.data[columns.data[places, S["account"]]]
    kinds = rows[:, A["group"]] << 20 | rows[:, A["currency"]]
    distinct, which = np.unique(kinds, return_inverse=True)
    halts = {key: reason for (scope, key), reason in desk.memory.halts.items() if scope == "symbol"}
    market = desk.memory.market
    table = [
        market.terms(symbol, accounts.groups.all[kind >> 20], accounts.currencies.all[kind & 0xFFFFF], master_currency, halts)
        for kind in distinct.tolist()
    ]
    return table, which.tolist()


def shared_inputs(signal: Signal, table: Sequence[Terms], policy: Policy) -> str:
    """The JSON of what a decision's rows have in common, with the names of the rows' own columns."""
    return json.dumps(
        {
            "unit": "1e-8",
            "signal": signal._asdict(),
            "terms": [terms._asdict() for terms in table],
            "policy": policy._asdict(),
            "structure": {"rules": Rules._fields, "standing": Standing._fields, "result": RESULT},
        },
        separators=(",", ":"),
    )


def row_inputs(rules: Rules, standing: Standing, terms: int, decision: Decision) -> str:
    """The JSON of one follower's part in a decision."""
    result = json.dumps(list(decision), separators=(",", ":"))
    return f'{{"terms":{terms},"rules":{list(rules)},"standing":{list(standing)},"result":{result}}}'


def _send(
    desk: Desk,
    work: Work,
    position: PositionRecord,
    columns: Columns,
    places: Places,
    decisions: list[Decision],
    symbols: list[str],
    fan: Fan,
    shared: str,
    inputs: list[str],
) -> None:
    logins = columns.data[places, S["follower_login"]].tolist()
    subscriptions = columns.data[places, 0].tolist()
    first = desk.take_links(len(decisions))
    made: list[LinkRecord] = []
    for number, (subscription, login, decision, symbol) in enumerate(zip(subscriptions, logins, decisions, symbols, strict=True)):
        known = fan.get(subscription)
        link = _link(known.id if known else first + number, subscription, login, decision, symbol, position, desk.now)
        made.append(link)
    copied = np.fromiter((not decision.reason for decision in decisions), dtype=bool, count=len(decisions))
    columns.data[places[copied], S["copies"]] += 1
    _emit_orders(work, position, made)
    rows = [told(link, text) for link, text in zip(made, inputs, strict=True)]
    for start in range(0, len(rows), ROWS_PER_ENTRY):
        part = rows[start : start + ROWS_PER_ENTRY]
        event = LinksChanged.of(
            part, master_login=position.login, master_order=position.order, master_symbol=position.symbol, inputs=shared
        )
        work.emit(links_topic.TOPIC, event)
        body = ",".join(f'{{"link":{row.link},{text[1:]}' for row, text in zip(part, inputs[start:], strict=False))
        desk.record((desk.take_links(1), desk.now, position.order, shared, f"[{body}]"))
    if fan or len(made) <= KEPT_IN_MEMORY:
        for link in made:
            desk.add_link(link)
    else:
        desk.add_rows(position.order, [link_row(link) for link in made])


def _link(number: int, subscription: int, login: int, decision: Decision, symbol: str, position: PositionRecord, now: int) -> LinkRecord:
    phase = links.SKIPPED if decision.reason else links.OPENING if position.kind == POSITION else links.PENDING
    return LinkRecord(
        id=number,
        subscription=subscription,
        master_login=position.login,
        master_order=position.order,
        follower_login=login,
        follower_order=0,
        state=int(STATES[phase]),
        phase=phase,
        reason=decision.reason,
        kind=position.kind,
        symbol=symbol,
        side="buy" if decision.side == "buy" else "sell",
        volume=decision.volume,
        volume_now=0,
        target=decision.volume,
        master_volume=position.volume,
        master_now=position.volume,
        price=0,
        sl=0,
        tp=0,
        want_sl=decision.sl,
        want_tp=decision.tp,
        worst=decision.worst,
        seen_version=position.version,
        close_step=0,
        close_volume=0,
        close_reason="",
        change_step=0,
        sent_ms=0 if decision.reason else now,
        protect_ms=0,
        created_ms=now,
        updated_ms=now,
    )


def _emit_orders(work: Work, position: PositionRecord, made: list[LinkRecord]) -> None:
    """The orders of a fan-out: one table for each symbol (and kind) that the followers trade."""
    opens: dict[str, list[OpenRow]] = {}
    places: dict[tuple[str, str], list[PlaceRow]] = {}
    price, limit_price = amount(position.price), amount(position.limit_price)
    for link in made:
        if link.phase == links.OPENING:
            row = OpenRow(
                link.id, link.follower_login, link.side, link.volume, amount(link.want_sl), amount(link.want_tp), link.subscription,
                amount(link.worst),
            )  # fmt: skip
            opens.setdefault(link.symbol, []).append(row)
        elif link.phase == links.PENDING:
            kind = pending_kind(position.kind, int(link.side != position.side))
            placed = PlaceRow(
                link.id, link.follower_login, link.side, link.volume, price, limit_price, amount(link.want_sl), amount(link.want_tp),
                link.subscription,
            )  # fmt: skip
            places.setdefault((link.symbol, kind), []).append(placed)
    for symbol, rows in opens.items():
        event = OpenCopies.of(rows, master_order=position.order, master_login=position.login, symbol=symbol, price=price)
        work.emit(orders_topic.TOPIC, event)
    for (symbol, kind), rows_placed in places.items():
        placing: dict[str, Any] = {"symbol": symbol, "kind": kind, "expires_ms": position.expires_ms}
        work.emit(orders_topic.TOPIC, PlaceCopies.of(rows_placed, master_order=position.order, master_login=position.login, **placing))
