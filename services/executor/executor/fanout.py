"""One decision for all followers of a master: the rows of links, orders and records that it becomes."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import to_json
from shared.contracts import links as links_topic
from shared.contracts import orders as orders_topic
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.links import LinksChanged
from shared.contracts.orders import OpenCopies, PlaceCopies
from shared.contracts.trades import Side
from shared.store.work import Work
from shared.symbols import opposite

from executor import links
from executor.amounts import amount
from executor.bulk import REASONS, Table, decide_all, standings
from executor.columns import A, Columns, Integers, Places, S
from executor.decide import Decision, decide, pending_kind
from executor.desk import Desk, Fan, NewLinks
from executor.encoded import encoded
from executor.links import STATES
from executor.records import POSITION, PositionRecord, new_link
from executor.terms import Policy, Rules, Signal, Standing, Terms

FEW = 12
"""Fewer followers than this are decided one by one: setting up columns would take longer."""
KEPT_IN_MEMORY = 64
"""A fan-out of more links than this goes to the store and is loaded again when its answers come."""

RESULT = Decision._fields


class Lanes(NamedTuple):
    """A decision for all followers, one list a column, one place a follower."""

    subscriptions: list[int]
    logins: list[int]
    symbols: list[str]
    reasons: list[str]
    sides: list[Side]
    volumes: list[int]
    sl: list[int]
    tp: list[int]
    worst: list[int]
    inputs: list[str]
    """JSON objects, ready to stand in a JSON string: their quotation marks are escaped."""


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
    table = await terms_of(desk, position.symbol, columns, places, position.login)
    lanes = decided(desk, signal, table, columns, places)
    copied = np.array([not reason for reason in lanes.reasons])
    columns.data[places[copied], S["copies"]] += 1
    first = desk.take_links(len(places))
    ids = [
        fan[subscription].id if subscription in fan else first + number for number, subscription in enumerate(lanes.subscriptions)
    ] if fan else list(range(first, first + len(places)))  # fmt: skip
    _emit_orders(work, position, ids, lanes)
    _emit_links(work, position, ids, lanes, shared_inputs(signal, table.terms, desk.policy))
    rows, same = link_rows(position, ids, lanes, desk.now), same_for_all(position, desk.now)
    if fan or len(rows) <= KEPT_IN_MEMORY:
        for row in rows:
            desk.add_link(new_link(same | dict(zip(LINK_COLUMNS, row, strict=True))))
    else:
        desk.add_rows(position.order, NewLinks(LINK_COLUMNS, rows, same))


def decided(desk: Desk, signal: Signal, table: Table, columns: Columns, places: Places) -> Lanes:
    """The decisions: by the plain rule for a few followers, by columns for many."""
    data = columns.data[places]
    lists = desk.memory.lists_with(signal.symbol)
    listed = np.isin(data[:, S["symbols"]], list(lists)) if lists else np.zeros(len(places), dtype=np.bool_)
    standing = standings(data, desk.memory.accounts.grid.data[data[:, S["account"]]])
    which, side = table.which.tolist(), signal.side
    if len(places) < FEW:
        few = [
            decide(signal, table.terms[which[n]], columns.rules(place, lists), Standing._make(standing[n].tolist()), desk.policy)
            for n, place in enumerate(places.tolist())
        ]
        made: list[Any] = [list(column) for column in zip(*few, strict=True)]
    else:
        many = decide_all(signal, table, data, listed, standing, desk.policy)
        both = (side, opposite(side))
        made = [[REASONS[code] for code in many.reason.tolist()], [both[reverse] for reverse in many.reverse.tolist()]]
        made += [column.tolist() for column in many[2:]]
    inputs = [
        f'{{\\"terms\\":{t},\\"rules\\":{rules},{is_listed}],\\"standing\\":{stands},'
        f'\\"result\\":[\\"{reason}\\",\\"{which_side}\\",{volume},{sl},{tp},{worst},{wanted}]}}'
        for t, rules, is_listed, stands, reason, which_side, volume, sl, tp, worst, wanted in zip(
            which, columns.texts(places), listed.astype(np.int64).tolist(), lists_of(standing), *made, strict=True
        )
    ]
    symbols = [table.terms[t].symbol for t in which]
    subscriptions, logins = data[:, 0].tolist(), data[:, S["follower_login"]].tolist()
    reasons, sides, volumes, sls, tps, worsts, _ = made
    return Lanes(subscriptions, logins, symbols, reasons, sides, volumes, sls, tps, worsts, inputs)


def lists_of(rows: Integers) -> list[str]:
    """Each row as a JSON list."""
    parts = to_json(rows.tolist()).decode()[2:-2].split("],[")
    return [f"[{part}]" for part in parts]


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


async def terms_of(desk: Desk, symbol: str, columns: Columns, places: Places, master_login: int) -> Table:
    """What the symbol means for each kind of account among the followers, and which of these each follower has."""
    accounts = await desk.accounts([master_login])
    master_currency = accounts.currency(master_login)
    own = columns.data[places, S["account"]]
    kinds = accounts.grid.data[own, A["group"]] << 20 | accounts.grid.data[own, A["currency"]]
    if (kinds == kinds[0]).all():
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


def shared_inputs(signal: Signal, table: Sequence[Terms], policy: Policy) -> str:
    """The JSON of what a decision's rows have in common, with the names of the rows' own columns."""
    return to_json(
        {
            "unit": "1e-8",
            "signal": signal._asdict(),
            "terms": [terms._asdict() for terms in table],
            "policy": policy._asdict(),
            "structure": {"rules": Rules._fields, "standing": Standing._fields, "result": RESULT},
        }
    ).decode()


LINK_COLUMNS = (
    "id", "subscription", "follower_login", "state", "phase", "reason", "kind", "symbol", "side", "volume", "target", "want_sl", "want_tp",
    "worst", "sent_ms",
)  # fmt: skip
"""What differs between the new links of a fan-out; the rest is the same for all of them, or not set yet."""


def link_rows(position: PositionRecord, ids: list[int], lanes: Lanes, now: int) -> list[tuple[Any, ...]]:
    """The new links as rows of LINK_COLUMNS."""
    copied = links.OPENING if position.kind == POSITION else links.PENDING
    active, skipped, kind = int(STATES[copied]), int(STATES[links.SKIPPED]), position.kind
    return [
        (link, subscription, follower, skipped, links.SKIPPED, reason, kind, symbol, side, volume, volume, sl, tp, worst, 0)
        if reason
        else (link, subscription, follower, active, copied, "", kind, symbol, side, volume, volume, sl, tp, worst, now)
        for link, (subscription, follower, symbol, reason, side, volume, sl, tp, worst, _) in zip(
            ids, zip(*lanes, strict=True), strict=True
        )
    ]


def same_for_all(position: PositionRecord, now: int) -> dict[str, int]:
    """The other columns of a fan-out's new links that are set."""
    return {
        "master_login": position.login,
        "master_order": position.order,
        "master_volume": position.volume,
        "master_now": position.volume,
        "seen_version": position.version,
        "created_ms": now,
        "updated_ms": now,
    }


def _emit_links(work: Work, position: PositionRecord, ids: list[int], lanes: Lanes, shared: str) -> None:
    copied = links.OPENING if position.kind == POSITION else links.PENDING
    active, skipped = f'{int(STATES[copied])},"{copied}"', f'{int(STATES[links.SKIPPED])},"{links.SKIPPED}"'
    tail = f'0,{position.volume},{position.volume},"0","0","0",{work.now},{work.now}'
    rows = [
        f'[{link},{subscription},{follower},0,{skipped if reason else active},"{reason}",{name(symbol)},"{side}",{volume},{tail},'
        f'"{inputs}"]'
        for link, subscription, follower, symbol, reason, side, volume, inputs in zip(
            ids, lanes.subscriptions, lanes.logins, lanes.symbols, lanes.reasons, lanes.sides, lanes.volumes, lanes.inputs, strict=True
        )
    ]  # fmt: skip
    fields = {"master_login": position.login, "master_order": position.order, "master_symbol": position.symbol, "inputs": shared}
    for start in range(0, len(rows), ROWS_PER_ENTRY):
        work.emit(links_topic.TOPIC, encoded(LinksChanged, rows[start : start + ROWS_PER_ENTRY], **fields))


def _emit_orders(work: Work, position: PositionRecord, ids: list[int], lanes: Lanes) -> None:
    """The orders of a fan-out: one table for each symbol (and kind) that the followers trade, 500 rows an entry."""
    order: dict[str, Any] = {"master_order": position.order, "master_login": position.login}
    price, tables = text(position.price), _order_rows(position, ids, lanes)
    for (symbol, kind), rows in tables.items():
        for start in range(0, len(rows), ROWS_PER_ENTRY):
            part = rows[start : start + ROWS_PER_ENTRY]
            if kind:
                placing = encoded(PlaceCopies, part, **order, symbol=symbol, kind=kind, expires_ms=position.expires_ms)
                work.emit(orders_topic.TOPIC, placing)
            else:
                work.emit(orders_topic.TOPIC, encoded(OpenCopies, part, **order, symbol=symbol, price=price))


def _order_rows(position: PositionRecord, ids: list[int], lanes: Lanes) -> dict[tuple[str, str], list[str]]:
    """Each copy's order as JSON, by symbol and kind of pending order (empty: at market)."""
    market = position.kind == POSITION
    prices = "" if market else f'"{text(position.price)}","{text(position.limit_price)}",'
    each = list(
        zip(lanes.reasons, ids, lanes.logins, lanes.sides, lanes.volumes, lanes.sl, lanes.tp, lanes.subscriptions, lanes.worst, strict=True)
    )
    # What stands before and after the numbers is the same for nearly all rows: made once for each combination that there is.
    ends = {worst: f',"{text(worst)}",0]' if market else "]" for worst in set(lanes.worst)}
    stops = {(sl, tp): f'{prices}"{text(sl)}","{text(tp)}",' for sl, tp in set(zip(lanes.sl, lanes.tp, strict=True))}
    rows = [
        "" if reason else f'[{link},{login},"{side}",{volume},{stops[sl, tp]}{subscription}{ends[worst]}'
        for reason, link, login, side, volume, sl, tp, subscription, worst in each
    ]
    kinds = {side: "" if market else pending_kind(position.kind, int(side != position.side)) for side in set(lanes.sides)}
    keys = set(zip(lanes.symbols, lanes.sides, strict=True))
    if len({(symbol, kinds[side]) for symbol, side in keys}) == 1:
        symbol, side = next(iter(keys))
        made = [row for row in rows if row]
        return {(symbol, kinds[side]): made} if made else {}
    tables: dict[tuple[str, str], list[str]] = {}
    for symbol, side, row in zip(lanes.symbols, lanes.sides, rows, strict=True):
        if row:
            tables.setdefault((symbol, kinds[side]), []).append(row)
    return tables


@lru_cache(maxsize=4096)
def text(value: int) -> str:
    """An amount as it goes over the wire."""
    return format(amount(value), "f")


@lru_cache(maxsize=4096)
def name(symbol: str) -> str:
    """A symbol as JSON."""
    return json.dumps(symbol)
