"""A decision for many followers as columns, and what it becomes: orders and link states of 500 rows an entry, and one stored fan-out."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from pydantic_core import to_json
from shared.contracts import links as links_topic
from shared.contracts import orders as orders_topic
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.links import LinksChanged
from shared.contracts.orders import OpenCopies, PlaceCopies
from shared.store.work import Work
from shared.symbols import opposite

from executor import distance, inputs, links
from executor.amounts import amount
from executor.bulk import REASONS, Decisions, Table
from executor.columns import Integers, Places
from executor.decide import Decision, pending_kind
from executor.encoded import Rows, encoded, rows_of
from executor.links import STATES
from executor.records import POSITION, PositionRecord
from executor.terms import Policy, Rules, Signal, Standing

LEVERAGE = Rules._fields.index("leverage")


class Sheet(NamedTuple):
    """One place a follower in each column; `rules` and `standing` have a row for each of their fields."""

    ids: Integers
    subscriptions: Integers
    logins: Integers
    table: Table
    rules: Integers
    standing: Integers
    made: Decisions


def kinds(*columns: Integers) -> Integers:
    """For each place the number of its kind: places of one kind have the same in all of these columns."""
    varied = [column for column in columns if (column != column[0]).any()] if len(columns[0]) else []
    if not varied:
        return np.zeros(len(columns[0]), dtype=np.int64)
    _, which = np.unique(np.column_stack(varied), axis=0, return_inverse=True)
    return which.astype(np.int64).reshape(-1)


def alike(kind: Integers, places: Places) -> list[Places]:
    """These places, those of each kind together."""
    own = kind[places]
    if not len(own) or (own == own[0]).all():
        return [places] if len(own) else []
    return [places[own == one] for one in np.unique(own)]


def entries(places: Places) -> Iterator[Places]:
    """The places of one entry after the other."""
    for start in range(0, len(places), ROWS_PER_ENTRY):
        yield places[start : start + ROWS_PER_ENTRY]


def emit_links(work: Work, position: PositionRecord, sheet: Sheet, signal: Signal, policy: Policy) -> None:
    """The decisions, with what they were made from."""
    copied = links.OPENING if position.kind == POSITION else links.PENDING
    sides, symbols = (signal.side, opposite(signal.side)), [terms.symbol for terms in sheet.table.terms]
    same: dict[str, Any] = {
        "follower_order": 0,
        "volume_now": 0,
        "master_volume": position.volume,
        "master_volume_now": position.volume,
    }
    same |= {"price": "0", "sl": "0", "tp": "0", "created_ms": work.now, "updated_ms": work.now}
    made_from = _Inputs(inputs.common(signal, sheet.table.terms, policy), sheet, sides)
    fields = {"master_login": position.login, "master_order": position.order, "master_symbol": position.symbol}
    made, which = sheet.made, sheet.table.which
    kind = kinds(made.reason, made.reverse, which)
    numbers = {"link": sheet.ids, "subscription": sheet.subscriptions, "follower_login": sheet.logins, "volume": made.volume}
    for places in entries(np.arange(len(sheet.ids))):
        groups, told = alike(kind, places), []
        for these in groups:
            code, reverse, terms = int(made.reason[these[0]]), int(made.reverse[these[0]]), int(which[these[0]])
            phase = links.SKIPPED if code else copied
            state = {"state": int(STATES[phase]), "phase": phase, "reason": REASONS[code]}
            told.append(state | {"symbol": symbols[terms], "side": sides[reverse]})
        rows = rows_of(groups, numbers, told)
        work.emit(links_topic.TOPIC, encoded(LinksChanged, rows, same, **fields, inputs=made_from.of(places)))


class _Inputs:
    """What the decisions were made from, entry by entry; what all of them have in common is found out once."""

    def __init__(self, start: str, sheet: Sheet, sides: tuple[str, str]) -> None:
        self._start, self._sheet, self._sides = start, sheet, sides
        self._which, self._rules, self._standing = (inputs.alike(one) for one in (sheet.table.which[None], sheet.rules, sheet.standing))

    def of(self, places: Places) -> str:
        """Those of an entry, whose places follow one another."""
        sheet, part = self._sheet, slice(int(places[0]), int(places[-1]) + 1)
        made = Decisions(*(column[part] for column in sheet.made))
        result: inputs.Values = {"reason": inputs.of_texts(REASONS, made.reason), "side": inputs.of_texts(self._sides, made.reverse)}
        sized = np.stack(made[2:])
        result |= inputs.of_table(Decision._fields[2:], sized, inputs.alike(sized))
        which = inputs.of_table(("which",), sheet.table.which[None, part], self._which)["which"]
        rules = inputs.of_table(Rules._fields, sheet.rules[:, part], self._rules)
        standing = inputs.of_table(Standing._fields, sheet.standing[:, part], self._standing)
        return inputs.recorded(self._start, which, rules, standing, result)


def emit_orders(work: Work, position: PositionRecord, sheet: Sheet) -> None:
    """The orders: one table for each symbol (and kind of pending order) that the followers trade."""
    order: dict[str, Any] = {"master_order": position.order, "master_login": position.login}
    market, made = position.kind == POSITION, sheet.made
    own = kinds(made.reverse, made.sl, made.tp, made.worst)
    for (symbol, kind), chosen in _tables(position, sheet).items():
        for places in entries(chosen):
            rows = _order_rows(position, sheet, places, alike(own, places))
            if market:
                event = encoded(OpenCopies, rows, **order, symbol=symbol, price=text(position.price))
            else:
                event = encoded(PlaceCopies, rows, **order, symbol=symbol, kind=kind, expires_ms=position.expires_ms)
            work.emit(orders_topic.TOPIC, event)


def _tables(position: PositionRecord, sheet: Sheet) -> dict[tuple[str, str], Places]:
    """The places of those who copy, by symbol and kind of pending order (empty: at market)."""
    copies = np.flatnonzero(sheet.made.reason == 0)
    tables: dict[tuple[str, str], list[Places]] = {}
    for these in alike(kinds(sheet.table.which, sheet.made.reverse), copies):
        kind = "" if position.kind == POSITION else pending_kind(position.kind, int(sheet.made.reverse[these[0]]))
        tables.setdefault((sheet.table.terms[int(sheet.table.which[these[0]])].symbol, kind), []).append(these)
    return {key: np.sort(np.concatenate(parts)) for key, parts in tables.items()}


def _order_rows(position: PositionRecord, sheet: Sheet, places: Places, groups: list[Places]) -> Rows:
    made, market = sheet.made, position.kind == POSITION
    numbers = {"link": sheet.ids, "login": sheet.logins, "volume": made.volume, "subscription": sheet.subscriptions}
    if (leverage := sheet.rules[LEVERAGE])[places].any():
        numbers["leverage"] = leverage
    sides = (position.side, opposite(position.side))
    told: list[dict[str, Any]] = []
    for these in groups:
        reverse, sl, tp, worst = (int(column[these[0]]) for column in (made.reverse, made.sl, made.tp, made.worst))
        room = sheet.table.terms[int(sheet.table.which[these[0]])].room  # those of a table trade the same symbol
        side = sides[reverse]
        if market:
            levels = dict(zip(("sl", "tp"), distance.stops(side, sl, tp, room), strict=True)) | {"worst_price": worst}
        else:
            wanted = distance.Levels(position.price, position.limit_price, sl, tp)
            levels = distance.resting(side, pending_kind(position.kind, reverse), wanted, room)._asdict()
        own = {"side": side} | {name: text(level) for name, level in levels.items()}
        told.append(own | ({"margin_type": position.margin_type} if position.margin_type else {}))
    return rows_of(groups, numbers, told)


def stored_links(sheet: Sheet, side: str) -> str:
    """What differs between the links of the fan-out, as `fanouts.py` stores it."""
    made = sheet.made
    symbols = [terms.symbol for terms in sheet.table.terms]
    sized = np.stack((made.volume, made.sl, made.tp, made.worst))
    columns: inputs.Values = {"subscription": sheet.subscriptions, "follower_login": sheet.logins}
    columns |= {
        "symbol": inputs.of_texts(symbols, sheet.table.which),
        "side": inputs.of_texts((side, opposite(side)), made.reverse),
        "reason": inputs.of_texts(REASONS, made.reason),
    }
    columns |= inputs.of_table(("volume", "want_sl", "want_tp", "worst"), sized, inputs.alike(sized))
    return orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY).decode()


@lru_cache(maxsize=4096)
def text(value: int) -> str:
    """An amount as it goes over the wire."""
    return format(amount(value), "f")


@lru_cache(maxsize=4096)
def name(symbol: str) -> str:
    """A symbol as JSON."""
    return to_json(symbol).decode()
