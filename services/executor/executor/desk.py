"""What the executor knows, in memory, and the one place where it is loaded from and written back to the store.

Everything is loaded when it is first needed. What a transaction changes is gathered and written in bulk just before its commit; a
transaction that is given up makes the desk forget everything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from shared.contracts.config import ManualTradingMode
from shared.shards import numbered
from shared.store.work import Work
from sqlalchemy.ext.asyncio import AsyncSession

from executor import fanouts, loading, queries, store
from executor.columns import Accounts, Columns, Integers, S
from executor.fanouts import Chosen, Flight
from executor.follows import Follows
from executor.limits import hold
from executor.market import Market, SymbolFacts
from executor.records import GuardFacts, LinkRecord, MasterFacts, PositionRecord, link_row, position_row
from executor.settings import ExecutorSettings
from executor.store import Account, FanOut, Guard, Halt, Link, Master, Position, Symbol, read_rows, table

LINKS_KEPT = 20_000
POSITIONS_KEPT = 20_000
"""About a kilobyte each: what is forgotten is loaded when it is asked for."""
ALLOW_ALL = int(ManualTradingMode.ALLOW_ALL)

Fan = dict[int, LinkRecord]
"""The links of one master order, by subscription."""


@dataclass
class Memory:
    """Everything that can be loaded again."""

    market: Market
    accounts: Accounts = field(default_factory=Accounts)
    symbol_lists: list[frozenset[str]] = field(default_factory=list)
    list_numbers: dict[str, int] = field(default_factory=dict)
    columns: dict[int, Columns] = field(default_factory=dict)
    masters: dict[int, MasterFacts] = field(default_factory=dict)
    halts: dict[tuple[str, str], str] = field(default_factory=dict)
    guards: dict[int, dict[int, GuardFacts]] = field(default_factory=dict)
    """By follower login, then by subscription."""
    follows: Follows = field(default_factory=Follows)
    positions: dict[int, PositionRecord] = field(default_factory=dict)
    fans: dict[int, Fan] = field(default_factory=dict)
    flights: list[Flight] = field(default_factory=list)
    links_held: int = 0
    link_last: int = 0
    order_highest: int | None = None
    """The highest order of a position that was seen."""
    loaded: bool = False
    cleaned_ms: int = 0
    reconciled_ms: int = 0
    orphans: dict[int, int] = field(default_factory=dict)
    """When each orphan (a copied position that no link explains) was seen first."""
    orphan_logins: dict[int, int] = field(default_factory=dict)

    def list_number(self, symbols: str) -> int:
        """The number of a comma separated list of symbols."""
        number = self.list_numbers.get(symbols)
        if number is None:
            number = self.list_numbers[symbols] = len(self.symbol_lists)
            self.symbol_lists.append(frozenset(part.strip() for part in symbols.split(",") if part.strip()))
        return number

    def lists_with(self, symbol: str) -> frozenset[int]:
        """The numbers of the lists that name a symbol."""
        return frozenset(number for number, names in enumerate(self.symbol_lists) if symbol in names)


@dataclass
class Pending:
    """What the current transaction has changed and not written yet."""

    fan_outs: list[FanOut] = field(default_factory=list)
    links: dict[int, LinkRecord] = field(default_factory=dict)
    positions: dict[int, PositionRecord] = field(default_factory=dict)
    accounts: set[int] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)
    guards: dict[int, GuardFacts] = field(default_factory=dict)
    link_last: bool = False


class Desk:
    """The executor's memory of one store."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self.settings = settings
        self.policy = settings.policy()
        self.owns = settings.part.owns
        self._link_series = numbered("link", settings.part.number)
        self.memory = Memory(Market(settings.symbol_map))
        self._late_prices: dict[str, tuple[int, int]] = {}
        self._pending = Pending()
        self._work: Work | None = None

    def forget(self) -> None:
        """Throws away what memory knows, except prices, which no store has."""
        prices = {name: (facts.bid, facts.ask) for name, facts in self.memory.market.symbols.items()}
        self.memory = Memory(Market(self.settings.symbol_map))
        self._late_prices = prices
        self._pending = Pending()
        self._work = None

    async def begin(self, work: Work) -> None:
        """Joins a transaction: what is changed from now on is written at its end."""
        if self._work is work:
            return
        assert self._pending == Pending(), "a transaction ended without writing what it changed"
        self._work = work
        work.before_commit.append(self.write)
        if not self.memory.loaded:
            await self._load(work.session)
        if max(self.memory.links_held, len(self.memory.fans)) > LINKS_KEPT:  # an order without links has an (empty) fan, too
            self.memory.fans.clear()
            self.memory.links_held = 0
        if len(self.memory.positions) > POSITIONS_KEPT:
            self.memory.positions.clear()

    @property
    def session(self) -> AsyncSession:
        assert self._work is not None
        return self._work.session

    @property
    def now(self) -> int:
        assert self._work is not None
        return self._work.now

    async def _load(self, session: AsyncSession) -> None:
        memory = self.memory
        for row in await read_rows(session, Symbol):
            memory.market.put(SymbolFacts(*row))
        for name, (bid, ask) in self._late_prices.items():
            memory.market.price(name, bid, ask)
        for login, _, _, enabled, modes, deleted, *leads in await read_rows(session, Master):
            memory.masters[login] = MasterFacts(0 if deleted else enabled, modes, *leads)
        for scope, key, _, mode, active in await read_rows(session, Halt):
            if active:
                memory.halts[scope, key] = hold(mode)
        for row in await read_rows(session, Guard):
            guard = GuardFacts(*row)
            memory.guards.setdefault(guard.follower_login, {})[guard.subscription] = guard
        memory.link_last = max(await queries.series_last(session, self._link_series), self.settings.part.ids_after)
        memory.flights = await fanouts.in_flight(session)
        await memory.follows.load(session, self.now)
        memory.loaded = True

    # --- reading, loading what is missing

    async def accounts(self, logins: Iterable[int]) -> Accounts:
        """The accounts, with these among them."""
        accounts = self.memory.accounts
        missing = [login for login in logins if login not in accounts.place]
        if missing:
            await loading.accounts(self.session, accounts, missing)
            for scope, login in self.memory.halts:
                if scope == "follower" and login.isdigit() and int(login) in accounts.place:
                    accounts.set(int(login), halted=self.halted(int(login)))
        return accounts

    def take_follower(self, login: int, enabled: int, manual_mode: int, max_masters: int) -> None:
        """What a follower's settings say, beside its account."""
        self.memory.accounts.set(login, enabled=enabled, manual_mode=manual_mode, max_masters=max_masters)

    def halted(self, login: int) -> int:
        """A follower's own halt: 0 none, 1 a halt, 2 reduce-only."""
        return {"": 0, "HALTED": 1}.get(self.memory.halts.get(("follower", str(login)), ""), 2)

    async def columns(self, master_login: int) -> Columns:
        """A master's subscriptions."""
        columns = self.memory.columns.get(master_login)
        if columns is None:
            await self.write()
            copies = Counter(await queries.active_copies(self.session, master_login))
            for flight in self.memory.flights:
                if flight.master_login == master_login:
                    copies.update(flight.subscriptions[flight.alone].tolist())
            rows = await loading.subscriptions(self.session, master_login)
            accounts = await self.accounts(row[loading.FOLLOWER] for row in rows)
            columns = Columns(loading.columns(rows, self.memory.list_number, accounts))
            guards, follows = self.memory.guards, self.memory.follows
            for place, row in enumerate(rows):
                subscription, login = row[0], row[loading.FOLLOWER]
                if subscription in copies:
                    columns.data[place, S["copies"]] = copies[subscription]
                if login in guards or subscription in follows.copy_stops or subscription in follows.stakes:
                    self._mark(columns.data[place], login)
            self.memory.columns[master_login] = columns
        return columns

    def column_row(self, stored: tuple[Any, ...], copies: int, accounts: Accounts) -> Integers:
        """A stored subscription as a row of its master's columns."""
        row: Integers = loading.columns([loading.as_loaded(stored)], self.memory.list_number, accounts)[0]
        row[S["copies"]] = copies
        self._mark(row, int(row[S["follower_login"]]))
        return row

    def _mark(self, row: Integers, follower: int) -> None:
        """Whether a subscription is stopped, and what its copies bind: of those few that have stops or a follow config."""
        subscription = int(row[0])
        guard = self.memory.guards.get(follower, {}).get(subscription)
        whole = self.memory.follows.copy_stops.get(subscription)
        row[S["stopped"]] = int((guard is not None and guard.stopped_ms > 0) or (whole is not None and whole.stopped_ms > 0))
        row[S["bound"]], row[S["spent"]] = self.memory.follows.sums(subscription)

    async def subscription(self, master_login: int, subscription: int) -> list[int] | None:
        """A subscription's row of columns; None when it is deleted."""
        columns = await self.columns(master_login)
        place = columns.find(subscription)
        if place is None:
            return None
        row: list[int] = columns.data[place].tolist()
        return None if row[S["deleted"]] else row

    async def position(self, order: int) -> PositionRecord | None:
        """A position or pending order that may be copied."""
        found = self.memory.positions.get(order)
        if found is None:
            await self.write()
            for row in await read_rows(self.session, Position, table(Position).c.order == order):
                found = self.memory.positions[order] = PositionRecord(*row)
        return found

    async def highest_order(self) -> int:
        """The highest order that any position had: a higher one cannot be known."""
        memory = self.memory
        if memory.order_highest is None:
            await self.write()
            memory.order_highest = await queries.highest_order(self.session)
        return memory.order_highest

    async def positions_of(self, login: int) -> list[PositionRecord]:
        """An account's open positions and pending orders that may be copied, oldest first."""
        await self.write()
        own = table(Position)
        rows = await read_rows(self.session, Position, own.c.login == login, own.c.volume > 0, order_by=own.c.order)
        return [self.memory.positions.setdefault(row[0], PositionRecord(*row)) for row in rows]

    async def closed_since(self, login: int, since_ms: int) -> list[PositionRecord]:
        """An account's positions and pending orders that were opened since then and are closed by now, oldest first."""
        await self.write()
        own = table(Position)
        where = (own.c.login == login, own.c.volume == 0, own.c.opened_ms >= since_ms)
        rows = await read_rows(self.session, Position, *where, order_by=own.c.order)
        return [self.memory.positions.setdefault(row[0], PositionRecord(*row)) for row in rows]

    async def fan(self, master_order: int) -> Fan:
        """All links of a master order."""
        fan = self.memory.fans.get(master_order)
        if fan is None:
            await self.write()
            fan = {link.subscription: link for link in await fanouts.of_order(self.session, master_order)}
            fan |= {row[1]: LinkRecord(*row) for row in await queries.links_of(self.session, table(Link).c.master_order == master_order)}
            self.memory.fans[master_order] = fan
            self.memory.links_held += len(fan)
        return fan

    def new_fan(self, master_order: int) -> Fan:
        """The empty fan of an order that cannot have links yet."""
        return self.memory.fans.setdefault(master_order, {})

    async def link(self, master_order: int, subscription: int) -> LinkRecord | None:
        """One link."""
        return (await self.fan(master_order)).get(subscription)

    async def links_where(self, chosen: Chosen, *where: Any, limit: int | None = None) -> list[LinkRecord]:
        """The links that a condition of the store finds, as memory has them.

        `chosen`: the same condition for copies that have no row of their own yet. They get one.
        """
        await self._land(chosen, limit)
        rows = await queries.links_of(self.session, *where, limit=limit)
        found = []
        for row in rows:
            link = await self.link(row[3], row[1])
            assert link is not None
            found.append(link)
        return found

    async def _land(self, chosen: Chosen, limit: int | None) -> None:
        """Writes rows of their own for copies of fan-outs (at most so many)."""
        left = limit
        for flight in list(self.memory.flights):
            places = np.flatnonzero(flight.alone & chosen(flight))[:left]
            fan = await self.fan(flight.master_order) if len(places) else {}
            for subscription in flight.subscriptions[places].tolist():
                self._pending.links[fan[subscription].id] = fan[subscription]
            left = None if left is None else left - len(places)
        await self.write()

    # --- changing

    def take_links(self, count: int) -> int:
        """The first of `count` new link ids."""
        first = self.memory.link_last + 1
        self.memory.link_last += count
        self._pending.link_last = True
        return first

    def add_link(self, link: LinkRecord) -> None:
        """A new link. It is written once, at the end, as it stands then."""
        self.memory.fans[link.master_order][link.subscription] = link
        self.memory.links_held += 1
        self._pending.links[link.id] = link

    def add_fan_out(self, flight: Flight, row: FanOut) -> None:
        """A decision for many followers. Memory loads its links when they are asked for."""
        self._pending.fan_outs.append(row)
        self.memory.links_held -= len(self.memory.fans.pop(flight.master_order, {}))
        if row.waiting:
            self.memory.flights.append(flight)

    def changed_link(self, link: LinkRecord) -> None:
        link.updated_ms = self.now
        self._pending.links[link.id] = link
        if self.memory.follows.matched(link, self.now):
            self.put_sums(link.master_login, link.subscription)

    def changed_position(self, position: PositionRecord) -> None:
        self.memory.positions[position.order] = position
        if self.memory.order_highest is not None:
            self.memory.order_highest = max(self.memory.order_highest, position.order)
        self._pending.positions[position.order] = position

    def changed_account(self, login: int) -> None:
        self._pending.accounts.add(login)

    def changed_symbol(self, symbol: str) -> None:
        self._pending.symbols.add(symbol)

    def changed_guard(self, guard: GuardFacts) -> None:
        self._pending.guards[guard.subscription] = guard

    def count(self, link: LinkRecord, change: int) -> None:
        """An active link more, or less, of a subscription; columns that are not loaded count for themselves when they are."""
        columns = self.memory.columns.get(link.master_login)
        place = columns.find(link.subscription) if columns is not None else None
        if columns is not None and place is not None:
            columns.data[place, S["copies"]] += change

    def put_sums(self, master_login: int, subscription: int) -> None:
        """What a subscription's copies bind, into its columns."""
        columns = self.memory.columns.get(master_login)
        place = columns.find(subscription) if columns is not None else None
        if columns is not None and place is not None:
            columns.data[place, S["bound"]], columns.data[place, S["spent"]] = self.memory.follows.sums(subscription)

    def master_enabled(self, login: int) -> MasterFacts:
        return self.memory.masters.get(login) or MasterFacts(0, 2)

    async def write(self) -> None:
        """Writes what has changed. At the end of each transaction, and before anything is loaded in the midst of one."""
        pending, self._pending = self._pending, Pending()
        session = self.session
        await store.write_rows(session, FanOut, [fanouts.row_of(row) for row in pending.fan_outs])
        await self._write_links(list(pending.links.values()))
        await store.write_rows(session, Position, [position_row(position) for position in pending.positions.values()], replace=True)
        await store.write_rows(session, Account, loading.account_rows(self.memory.accounts, sorted(pending.accounts)), replace=True)
        market = self.memory.market.symbols
        await store.write_rows(session, Symbol, [_fields(market[name]) for name in sorted(pending.symbols)], replace=True)
        await store.write_rows(session, Guard, [_fields(guard) for guard in pending.guards.values()], replace=True)
        await self.memory.follows.write(session)
        if pending.link_last:
            await store.write_rows(session, store.Counter, [(self._link_series, self.memory.link_last)], replace=True)

    async def _write_links(self, changed: list[LinkRecord]) -> None:
        """Writes links; those of a fan-out have rows of their own from now on."""
        await store.write_rows(self.session, Link, [link_row(link) for link in changed], replace=True)
        flights = self.memory.flights
        if not changed or not flights:
            return
        by_order: dict[int, list[int]] = {}
        for link in changed:
            by_order.setdefault(link.master_order, []).append(link.subscription)
        for flight in flights:
            if flight.master_order in by_order:
                flight.landed(by_order[flight.master_order])
        for flight in [flight for flight in flights if not flight.alone.any()]:
            flights.remove(flight)
            await fanouts.all_landed(self.session, flight.first_link)


def _fields(facts: SymbolFacts | GuardFacts) -> tuple[Any, ...]:
    return tuple(getattr(facts, name) for name in facts.__slots__)
