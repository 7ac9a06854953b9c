"""The paper venue in motion: its book inside the gateway's transactions, the loops that tend it, and the prices that it tells."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog
from shared.clock import has_passed
from shared.contracts.config import ConfigEvent, Follower, FollowerDeleted, FollowerSaved, Halt, HaltSaved, HaltsHeld, RecordsHeld
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.orders import SyncAccounts
from shared.contracts.rewards import BalancesRequested
from shared.contracts.stats import PriceRow, Prices
from shared.contracts.trades import (
    TOPIC,
    AccountPositions,
    AccountsChanged,
    HeldRow,
    SymbolsChanged,
)
from shared.store.engine import AWAY
from shared.store.work import Store, Work

from gateway import store as tables
from gateway.paper import balances, copies, orders
from gateway.paper.book import Book
from gateway.paper.market import Symbol
from gateway.paper.records import Account, Changes, HaltState, ManualState
from gateway.paper.told import Told
from gateway.venue import CopyTable

log = structlog.get_logger()

TEND_S = 0.2
FORGET_EVERY_MS = 60_000
PRICES_AGAIN_S = 2.0
"""Prices may be lost, and a service may have started since: all of them are told again so often."""
PRICES_KEPT_MS = 1000
"""A price that only the feed has moved is written at most so often."""
PRICES_TOLD_MS = 10_000
"""And told on the numbered topic at most so often; one that was set by hand is told with what it sets off."""


class Keeping(NamedTuple):
    """How long answers and histories are kept, in milliseconds; 0: for ever."""

    answers_ms: int = 0
    history_ms: int = 0


class PaperVenue:
    """The venue of `gateway.venue.Venue` that fills at its own prices. Its book is in memory and, after each commit, in the store."""

    def __init__(self, store: Store, symbols: Mapping[str, Symbol], report_ms: int = 2000, keeping: Keeping | None = None) -> None:
        self.store = store
        self._keeping = keeping or Keeping()
        self._forgot_at = 0
        self.paused: set[str] = set()
        """Symbols whose price was set by hand: the feed leaves them alone."""
        self._symbols = symbols
        self._report_ms = report_ms
        self._book: Book | None = None
        self._reported_at = 0
        self._reported_version = -1
        self._moved: set[str] = set(symbols)
        self._unkept: set[str] = set()
        self._kept_at = 0
        self._untold: set[str] = set()
        self._told_at = 0
        self._wake = asyncio.Event()

    # The book inside a transaction

    async def begin(self, work: Work) -> Book:
        """The book, up to the present time of a unit of work."""
        if self._book is None:
            self._book = await tables.load(work.session, self._symbols, work.now)
            self._reported_version = -1
        orders.pass_time(self._book, work.now)
        return self._book

    async def finish(self, work: Work, book: Book, lazy: bool = False) -> None:
        """Writes and tells what was done. `lazy`: prices that changed and nothing else may be written later."""
        changes, told = book.changes, book.told
        book.changes, book.told = Changes(), Told()
        self._moved |= changes.prices
        if lazy and changes.only_prices and not has_passed(work.now, self._kept_at, PRICES_KEPT_MS):
            self._unkept |= changes.prices
            return
        if changes.prices or self._unkept:
            changes.prices |= self._unkept
            self._unkept = set()
            self._kept_at = work.now
        self._untold |= changes.prices
        if not lazy or has_passed(work.now, self._told_at, PRICES_TOLD_MS):
            self._tell_symbols(work, book, self._untold)
        for event in told.events(book.reported_row):
            work.emit(TOPIC, event)
        await tables.save(work.session, book, changes)

    def _tell_symbols(self, work: Work, book: Book, names: set[str]) -> None:
        """`market.price` may be lost: who starts later knows prices from the numbered topic, and none is older there than this."""
        if names:
            work.emit(TOPIC, SymbolsChanged.of([book.market.row(name) for name in sorted(names)]))
            self._untold, self._told_at = set(), work.now

    @asynccontextmanager
    async def transaction(self, lazy: bool = False) -> AsyncIterator[tuple[Book, Work]]:
        """One transaction of the venue's own: a request, a tick, a look at the clock."""
        async with self.store.work() as work:
            book = await self.begin(work)
            yield book, work
            await self.finish(work, book, lazy)
        if self._moved:
            self._wake.set()

    def forget(self) -> None:
        self._book = None

    # What the gateway asks

    async def carry_out(self, table: CopyTable, work: Work) -> None:
        book = await self.begin(work)
        copies.carry_out(book, table, await tables.answers(work.session, copies.keys(table)))
        await self.finish(work, book)

    async def sync(self, request: SyncAccounts, work: Work) -> None:
        book = await self.begin(work)
        await self.finish(work, book)
        for login in request.logins:
            for event in held(book, login, request.request):
                work.emit(TOPIC, event)

    async def settle(self, request: BalancesRequested, work: Work) -> None:
        book = await self.begin(work)
        known = await tables.answers(work.session, (row.client_id for row in request.rows))
        balances.settle_all(book, request.rows, known)
        await self.finish(work, book)

    async def follow(self, changes: Sequence[ConfigEvent], work: Work) -> None:
        """Takes over what is newer than what is known. A snapshot is no other than its events: what is known holds until one of them says
        otherwise, however many entries it has."""
        book = await self.begin(work)
        for change in changes:
            match change:
                case FollowerSaved():
                    book.take_manual(_manual(change.follower, 0))
                case FollowerDeleted():
                    book.take_manual(_manual(change.follower, 1))
                case RecordsHeld() if change.noun == "follower":
                    book.keep_followers(change.first, change.last, change.ids)
                case HaltsHeld():
                    book.keep_halts(change.halts)
                case HaltSaved():
                    book.take_halt(_halt(change.halt))
                case _:
                    continue
        await self.finish(work, book)

    async def snapshot(self, work: Work) -> None:
        """Everything that is. A store that was restored from a backup gives no number out again that is in the lost entries.

        What is lost from the first entry on was only pruned: every start tells the symbols, so a store has that entry by now.
        """
        book = await self.begin(work)
        if work.lost is not None and work.lost[1].first > 1:
            book.skip_numbers(work.lost[1].last - work.lost[1].first + 1)
        await self.finish(work, book)
        work.emit(TOPIC, SymbolsChanged.of([book.market.row(name) for name in book.market.symbols]))
        if book.accounts:
            work.emit(TOPIC, AccountsChanged.of([book.reported_row(login) for login in book.accounts]))
        for login in book.accounts:  # also those that hold nothing: who missed a close believes otherwise
            for event in held(book, login):
                work.emit(TOPIC, event)

    # What it does by itself

    async def prepare(self) -> None:
        """At start: tells every symbol as it is now, its price included."""
        async with self.transaction() as (book, work):
            await tables.keep_first_prices(work.session, book.market)
            self._tell_symbols(work, book, set(book.market.symbols))

    async def tend(self) -> None:
        """For ever: lets time pass, and reports accounts whose equity moved."""
        while True:
            await asyncio.sleep(TEND_S)
            try:
                await self.look()
                await self.forget_old()
            except (*AWAY, OSError) as fault:
                log.warning("the venue waits for its store", fault=repr(fault))

    async def look(self) -> None:
        """One look at the clock: expiries, swaps, and, when it is time, the report of equities."""
        now, book = self.store.clock(), self._book
        report = has_passed(now, self._reported_at, self._report_ms)
        moved = book is None or book.market.version != self._reported_version
        if book is not None and not orders.due(book, now) and not (report and moved):
            return
        async with self.transaction() as (book, _):
            if report and moved:
                self._reported_at, self._reported_version = now, book.market.version
                for login in book.moved_accounts():
                    book.told.touch(login)

    async def forget_old(self) -> None:
        """Deletes what is older than it is to be kept, a part at a time, so that nobody waits for it."""
        now = self.store.clock()
        if self._keeping == Keeping() or not has_passed(now, self._forgot_at, FORGET_EVERY_MS):
            return
        gone = 0
        async with self.store.work() as work:
            if self._keeping.answers_ms:
                gone += await tables.forget_answers(work.session, self.store.streams[TOPIC], now - self._keeping.answers_ms)
            if self._keeping.history_ms:
                gone += await tables.forget_history(work.session, now - self._keeping.history_ms)
        self._forgot_at = 0 if gone else now  # there may be more

    async def tell_prices(self, send: Callable[[Prices], Awaitable[None]]) -> None:
        """For ever: sends the latest prices as they change, outside of any transaction, and all of them from time to time."""
        while True:
            try:
                async with asyncio.timeout(PRICES_AGAIN_S):  # wait_for could swallow a cancellation
                    await self._wake.wait()
            except TimeoutError:
                self._moved = set(self._symbols)
            self._wake.clear()
            if self._book is None:
                continue
            moved, self._moved = self._moved, set()
            await send(prices_of(self._book, moved))


def prices_of(book: Book, symbols: set[str]) -> Prices:
    """The latest prices as `market.price` tells them."""
    market = book.market
    return Prices(rows=tuple(PriceRow(name, *market.quotes[name], market.changed_ms[name]) for name in sorted(symbols)))


def held(book: Book, login: int, request: str = "") -> list[AccountPositions]:
    """All positions and pending orders of an account, in events of at most 500 of each; one empty event when there are none."""
    account: Account | None = book.accounts.get(login)
    positions = list(account.positions.values()) if account else []
    pending = [orders.pending_row(book, order) for order in account.pending.values()] if account else []
    rows = [
        HeldRow(
            *(p.order, p.symbol, p.side, p.initial, p.volume, p.price, p.sl, p.tp, p.version, p.client_id, p.opened_ms),
            *(p.leverage, p.margin_type),
        )
        for p in positions
    ]
    starts = range(0, max(1, len(rows), len(pending)), ROWS_PER_ENTRY)
    return [
        AccountPositions.of(
            rows[start : start + ROWS_PER_ENTRY],
            login=login,
            pending=tuple(pending[start : start + ROWS_PER_ENTRY]),
            request=request,
            first=start == starts[0],
            last=start == starts[-1],
        )
        for start in starts
    ]


def _manual(follower: Follower, ended: int) -> ManualState:
    return ManualState(follower.login, int(follower.manual_trading_mode), follower.id, follower.version, ended)


def _halt(halt: Halt) -> HaltState:
    return HaltState(halt.id, halt.scope, halt.key, halt.mode, halt.version, halt.active)
