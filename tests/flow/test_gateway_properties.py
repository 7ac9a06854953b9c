"""Whatever happens to the paper venue, its sums are right, nothing happens twice, and a stop at any moment costs nothing."""

import tempfile
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any

import anyio
from gateway.decide import Quote
from gateway.paper import balances, orders
from gateway.paper.balances import Movement
from gateway.paper.book import Book
from gateway.paper.deals import Opening, close_position, open_position
from gateway.paper.market import GROUPS, Market
from gateway.paper.orders import Placing
from gateway.paper.venue import PaperVenue
from gateway.settings import GatewaySettings, SymbolOverride
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared.contracts import orders as order_topic
from shared.contracts.orders import (
    CancelCopies,
    CancelRow,
    CloseCopies,
    CloseRow,
    OpenCopies,
    OpenRow,
    PlaceCopies,
    PlaceRow,
    ProtectCopies,
    ProtectRow,
)
from shared.contracts.trades import PositionsClosed, PositionsReduced

from tests.flow.gateway_world import NONE, NOON, gateway_world

D = Decimal
SYMBOLS = GatewaySettings(
    venue_symbols={
        "GBPUSD": SymbolOverride(commission=D("3.33"), swap_long=D("-1.7"), swap_short=D("0.3"), stops_level=10),
        "USDJPY": SymbolOverride(commission=D(500), swap_long=D(-90)),
    }
).symbols()
NAMES = ("GBPUSD", "USDJPY", "BTC-SWAP-USDT")
FIRST = {"GBPUSD": D("1.5756"), "USDJPY": D(77), "BTC-SWAP-USDT": D(46319)}
COUNT = st.integers(0, 40)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "open", "close", "price", "price", "protect", "place", "cancel", "move", "night"]),
        COUNT,
        st.integers(1, 60),
        st.integers(-400, 400),
        st.sampled_from(["buy", "sell"]),
    ),
    max_size=40,
)
Action = tuple[str, int, int, int, Any]


def new_book() -> Book:
    book = Book(Market(SYMBOLS), 100_001, 1_000_001, NOON // 86_400_000)
    book.now = NOON
    for group in ("real-usd", "real-eur", "real-usdt"):
        account = balances.open_account(book, 1, GROUPS[group], 100)
        balances.move(book, account, Movement("OP_BALANCE_IN", D(3000), "TR_REASON_DEPOSIT"))
    return book


def moved(name: str, by: int) -> Decimal:
    """A price some hundredths of a percent away from the first one."""
    return SYMBOLS[name].price(FIRST[name] * (10_000 + by) / 10_000)


def act(book: Book, action: Action) -> None:
    """One random operation; those that cannot be are refused or find nothing, which is part of the matter."""
    what, pick, size, by, side = action
    account = book.accounts[100_001 + pick % 3]
    name = NAMES[pick % 3 if what == "price" else size % 3]
    # By number: a book that is loaded has them in this order, one that was not in the order in which they came.
    held, waiting = (sorted(found.values(), key=attrgetter("order")) for found in (account.positions, account.pending))
    match what:
        case "open":
            open_position(book, account, Opening(name, side, size, NONE, NONE, "", "TR_REASON_CLIENT"))
        case "close" if held:
            close_position(book, held[pick % len(held)], size, "TR_REASON_CLIENT")
        case "price":
            bid = moved(name, by)
            orders.set_price(book, name, Quote(bid, bid + SYMBOLS[name].point * size))
        case "protect" if held:
            position = held[pick % len(held)]
            orders.protect(book, position, moved(position.symbol, by), NONE)
        case "place":
            kind: Any = ("limit", "stop", "stop_limit")[pick % 3]
            want = Placing(
                name, side, kind, size, moved(name, by), moved(name, by // 2), NONE, NONE, book.now + size * 10**7, "", "TR_REASON_CLIENT"
            )
            orders.place(book, account, want)
        case "cancel" if waiting:
            orders.cancel(book, waiting[pick % len(waiting)], "TR_REASON_CLIENT")
        case "move":
            operation = "OP_BALANCE_IN" if by > 0 else "OP_BALANCE_OUT"
            balances.move(book, account, Movement(operation, D(abs(by)) / 4, "TR_REASON_DEPOSIT"))
        case "night":
            orders.pass_time(book, book.now + size * 3_600_000)
        case _:
            pass


def check(book: Book) -> None:
    """The sums, worked out anew from the positions, deals and operations, in fractions."""
    for account in book.accounts.values():
        equity, margin = Fraction(account.balance + account.credit), Fraction(0)
        for position in account.positions.values():
            symbol, quote = SYMBOLS[position.symbol], book.market.quotes[position.symbol]
            assert 0 < position.volume <= position.initial
            rate = Fraction(book.market.rate(symbol.quote_currency, account.currency))
            units = Fraction(position.volume) * Fraction(symbol.contract_size) / symbol.volume_per_lot
            move = quote.bid - position.price if position.side == "buy" else position.price - quote.ask
            equity += units * Fraction(move) * rate + Fraction(position.swap)
            margin += units * Fraction(position.price) * rate / position.leverage
        standing = book.standing(account)
        assert abs(Fraction(standing.equity) - equity) < Fraction(1, 10**15)
        assert abs(Fraction(standing.margin) - margin) < Fraction(1, 10**15)
        assert standing.margin >= 0
        assert set(account.exposure) == {position.symbol for position in account.positions.values()}
        mine = [deal for deal in book.changes.deals if deal.login == account.login]
        operations = [one for one in book.changes.operations if one.login == account.login]
        signed = sum((one.amount if one.operation == "OP_BALANCE_IN" else -one.amount for one in operations), D(0))
        assert account.balance == signed + sum((deal.profit + deal.commission + deal.swap for deal in mine), D(0))
    for name, holders in book.holders.items():
        assert set(holders) == {position.login for position in book.positions.values() if position.symbol == name}


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_sums_are_right_after_every_operation(actions: list[Action]) -> None:
    book = new_book()
    for action in actions:
        act(book, action)
        check(book)
    # closing rows add up to what all deals of their position booked
    rows = [row for event in (PositionsReduced, PositionsClosed) for row in book.told._rows.get(event, [])]
    closed = {row.order for row in rows if row.left == 0}
    for order in closed:
        deals = [deal for deal in book.changes.deals if deal.order == order]
        slices = [row for row in rows if row.order == order]
        assert sum(row.closed for row in slices) == slices[0].initial
        assert sum(row.profit + row.commission + row.swap for row in slices) == sum(
            deal.profit + deal.commission + deal.swap for deal in deals
        )


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_nobody_is_left_below_the_stop_out_level_and_nobody_opens_what_they_cannot_pay(actions: list[Action]) -> None:
    book = new_book()
    for action in actions:
        before = {login: book.standing(account) for login, account in book.accounts.items()}
        opened = set(book.positions)
        act(book, action)
        if action[0] in {"price", "night"}:
            for account in book.accounts.values():
                equity, margin = book.standing(account)
                assert margin == 0 or equity * 2 >= margin
        elif action[0] == "open":
            for order in set(book.positions) - opened:
                position = book.positions[order]
                account = book.accounts[position.login]
                free = before[account.login].equity - book.standing(account).margin
                assert free >= 0


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=1, max_size=6))
def test_what_is_loaded_after_a_stop_is_what_was_committed(transactions: list[list[Action]]) -> None:
    """Each transaction is followed by the loss of all memory, as after a kill, and compared with a book that lost nothing."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with gateway_world(Path(folder)) as world:
                world.venue = PaperVenue(world.store, SYMBOLS)
                witness = new_book()
                async with world.venue.transaction() as (book, _):
                    for group in ("real-usd", "real-eur", "real-usdt"):
                        account = balances.open_account(book, 1, GROUPS[group], 100)
                        balances.move(book, account, Movement("OP_BALANCE_IN", D(3000), "TR_REASON_DEPOSIT"))
                for actions in transactions:
                    async with world.venue.transaction() as (book, _):
                        for action in actions:
                            act(book, action)
                            act(witness, action)
                    world.now = witness.now
                    world.venue.forget()
                    async with world.venue.transaction() as (book, _):
                        assert state(book) == state(witness)

    anyio.run(run)


def state(book: Book) -> dict[str, Any]:
    """Everything that a book knows of accounts and orders."""
    return {
        "accounts": {login: (account.balance, account.credit) for login, account in book.accounts.items()},
        "positions": {order: asdict(position) for order, position in sorted(book.positions.items())},
        "pending": {order: asdict(order_) for order, order_ in sorted(book.pending.items())},
        "exposure": {
            login: {name: held for name, held in account.exposure.items() if not held.empty} for login, account in book.accounts.items()
        },
        "numbers": (book.next_login, book.next_ticket, book.day),
        "quotes": book.market.quotes,
    }


ROW = st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 400), st.integers(-50, 50))
TABLES = st.lists(
    st.tuples(st.sampled_from(["open", "close", "protect", "place", "cancel"]), st.integers(1, 3), st.lists(ROW, min_size=1, max_size=5)),
    min_size=1,
    max_size=6,
)


def table_of(kind: str, master_order: int, rows: list[tuple[int, int, int, int]], logins: list[int]) -> Any:
    level = [moved("GBPUSD", by) for _, _, _, by in rows]
    match kind:
        case "open":
            opens = [OpenRow(0, logins[who], "buy", volume, NONE, NONE, sub, NONE) for who, sub, volume, _ in rows]
            return OpenCopies.of(opens, master_order=master_order, master_login=9, symbol="GBPUSD", price=NONE)
        case "close":
            closes = [CloseRow(0, logins[who], 0, volume, sub, volume % 3) for who, sub, volume, _ in rows]
            return CloseCopies.of(closes, master_order=master_order, reason="")
        case "protect":
            protects = [ProtectRow(0, logins[row[0]], 0, at, NONE, row[1], row[2] % 3) for row, at in zip(rows, level, strict=True)]
            return ProtectCopies.of(protects, master_order=master_order)
        case "place":
            places = [PlaceRow(0, logins[row[0]], "buy", row[2], at, NONE, NONE, NONE, row[1]) for row, at in zip(rows, level, strict=True)]
            return PlaceCopies.of(places, master_order=master_order, master_login=9, symbol="GBPUSD", kind="limit", expires_ms=0)
        case _:
            cancels = [CancelRow(0, logins[who], 0, sub, volume % 3) for who, sub, volume, _ in rows]
            return CancelCopies.of(cancels, master_order=master_order, reason="")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TABLES)
def test_copy_orders_that_come_again_change_nothing_and_are_answered_the_same(tables: list[tuple[str, int, Any]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with gateway_world(Path(folder)) as world:
                logins = await world.accounts(3, 3000)
                events = [table_of(*table, logins) for table in tables]
                for event in events:
                    await world.handle(order_topic.TOPIC, event)
                first = {(kind, row) for kind, rows in (await world.told_rows()).items() if kind != "account.changed" for row in rows}
                await world.restart()
                before = await world.tables()
                await world.handle(order_topic.TOPIC, *events)
                again = await world.told_rows()
                after = await world.tables()
                for name in set(before) - {"log_outbox", "log_counter"}:
                    assert after[name] == before[name], name
                assert {(kind, row) for kind, rows in again.items() for row in rows} == first

    anyio.run(run)
