"""What the stats service does on each event: trades into tallies, equity and balance operations into the NAV, on to the masters."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import structlog
from shared.bus.reader import SURROUNDINGS, Received
from shared.contracts.config import ConfigEvent, MasterDeleted, MasterSaved, RecordsHeld, SubscriptionDeleted, SubscriptionSaved
from shared.contracts.stats import Prices
from shared.contracts.trades import (
    REASON_COPY_REWARD,
    AccountRow,
    AccountsChanged,
    AccountsOpened,
    BalanceRow,
    BalancesChanged,
    ClosedRow,
    OpenedRow,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
    SymbolsChanged,
    TradeEvent,
)
from shared.store.work import Store, Work

from stats import copystore, store
from stats.amounts import ONE, bounded, units
from stats.copyflow import CopyFlow
from stats.days import Calendar
from stats.decide import Rules
from stats.flows import accrual_of, classify, signed
from stats.settings import StatsSettings
from stats.standing import Standing, begin
from stats.store import Operation
from stats.tell import tell
from stats.trades import fold

log = structlog.get_logger()

TURN_EVERY_S = 1.0
TURN_CHUNK = 50
"""Masters told in one transaction when a day turns: others' turns come in between."""


class _Seen(NamedTuple):
    """An account's row, or a balance operation, and when it was told."""

    row: AccountRow | BalanceRow
    time: int


class Flow:
    """The handlers of the stats service. Nothing but prices is kept in memory: what another process writes to the store counts at once."""

    def __init__(self, settings: StatsSettings) -> None:
        self.calendar = Calendar(settings.broker_timezone)
        self.rules = Rules(settings.stats_min_base * ONE, settings.stats_year_days)
        self.copying = CopyFlow(self.calendar)
        self._corrections = settings.stats_corrections
        self._prices: dict[str, Decimal] = {}
        self._pruned = 0

    async def on_config(self, batch: Received[ConfigEvent], work: Work) -> None:
        """A new master is told at once; one that is saved again only changes."""
        new: list[int] = []
        copied: set[int] = set()
        for event in batch.events:
            match event:
                case MasterSaved():
                    if await store.save_master(work.session, event.master.login, event.master.customer_id):
                        new.append(event.master.login)
                case MasterDeleted():
                    await store.delete_master(work.session, event.master.login)
                case SubscriptionSaved() | SubscriptionDeleted():
                    deleted = isinstance(event, SubscriptionDeleted)
                    await copystore.save_subscription(work.session, event.subscription, deleted=deleted)
                    copied.add(event.subscription.master_login)
                case RecordsHeld(noun="subscription"):
                    copied |= await copystore.end_unheard(work.session, event)
                case _:
                    pass
        await store.mark_stale(work.session, copied)
        await self._tell_whole(work, list(await store.accounts(work.session, new)), self.calendar.day(work.now))

    async def on_prices(self, prices: Prices) -> None:
        """The rates that assets under copy are converted with."""
        for row in prices.rows:
            self._prices[row.symbol] = (row.bid + row.ask) / 2

    async def on_trades(self, batch: Received[TradeEvent], work: Work) -> None:
        """Folds a batch in, and tells the masters among its accounts for whom a trade closed or money flowed."""
        if batch.lost is not None:
            await store.suspect_all(work.session)
        seen: list[_Seen] = []
        closed: list[ClosedRow] = []
        opened: list[OpenedRow] = []
        for event in batch.events:
            match event:
                case AccountsOpened() | AccountsChanged() | BalancesChanged():
                    seen += [_Seen(row, event.time) for row in event.rows]
                case PositionsReduced() | PositionsClosed():
                    closed += event.rows
                case PositionsOpened():
                    opened += event.rows
                case SymbolsChanged():
                    await copystore.save_symbols(work.session, event.rows)
                case _:
                    pass
        await store.lock_accounts(work.session, {one.row.login for one in seen} | {row.login for row in closed})
        moved = await self._accounts(work, seen)
        await self.copying.opened(work, opened)
        moved |= await self._closings(work, closed)
        await tell(work, await store.masters(work.session, moved), self.calendar.day(work.now), self.rules)

    async def _accounts(self, work: Work, seen: Sequence[_Seen]) -> set[int]:
        """Observations and balance operations, in their order; answers the accounts whose statistics have to be told."""
        if not seen:
            return set()
        known = await store.accounts(work.session, {one.row.login for one in seen})
        done, refunds = await self._known_operations(work, seen)
        operations: list[Operation] = []
        corrections: dict[tuple[int, int], int] = {}
        moved: set[int] = set()
        for row, told_ms in seen:
            at_ms = told_ms or work.now
            day = self.calendar.day(at_ms)
            if isinstance(row, AccountRow):
                if row.login not in known:
                    known[row.login] = _begin(row, day)
                    moved.add(row.login)
                self._observe(known[row.login], row, day)
            elif (row.login, row.operation_id) not in done:
                done.add((row.login, row.operation_id))
                account = known.setdefault(row.login, _begin_before(row, day))
                account.roll(day, self.rules.min_base)
                operations += _drained(account, at_ms)  # the links before this one
                refund = row.reason == REASON_COPY_REWARD and accrual_of(row.api_data) in refunds
                operation, flagged = self._operate(account, row, day, at_ms, refund=refund)
                operations.append(operation)
                if flagged:
                    corrections[row.login, account.day] = corrections.get((row.login, account.day), 0) + 1
                moved.add(row.login)
            operations += _drained(known[row.login], at_ms)
        await store.save_accounts(work.session, known.values())
        await store.add_operations(work.session, operations)
        await store.add_corrections(work.session, corrections)
        return moved

    async def _known_operations(self, work: Work, seen: Sequence[_Seen]) -> tuple[set[tuple[int, int]], set[int]]:
        """Which operations are stored already, and which accruals among those that they settle are refunds."""
        rows = [one.row for one in seen if isinstance(one.row, BalanceRow)]
        if not rows:
            return set(), set()
        done = await store.known_operations(work.session, {row.login for row in rows}, {row.operation_id for row in rows})
        settled = {accrual_of(row.api_data) for row in rows if row.reason == REASON_COPY_REWARD}
        accruals = await copystore.accruals(work.session, settled)
        return done, {key for key, (refund, _) in accruals.items() if refund}

    def _observe(self, account: Standing, row: AccountRow, day: int) -> None:
        account.customer_id, account.mode, account.currency = row.customer_id, row.mode, row.currency
        account.see(day, units(row.equity - row.credit), units(row.balance), row.positions, self.rules.min_base)

    def _operate(self, account: Standing, row: BalanceRow, day: int, at_ms: int, *, refund: bool) -> tuple[Operation, bool]:
        """A balance operation, applied; and whether a person should look at it."""
        kind, flagged = classify(row.operation, row.reason, refund=refund, corrections=self._corrections)
        amount = units(signed(row.operation, row.amount))
        equity, balance = units(row.equity - row.credit), units(row.balance)
        told: str = kind
        if kind == "external":
            if not account.paid(day, amount, equity, balance, self.rules.min_base):
                told = ANNOUNCED
            else:
                account.links.pop()  # it is stored with the operation's own id, below
        else:
            account.moved(day, equity, balance, self.rules.min_base)
        operation = Operation(row.login, row.operation_id, told, account.day, at_ms, amount, equity, row.operation, row.reason)
        return operation, flagged

    async def _closings(self, work: Work, closed: Sequence[ClosedRow]) -> set[int]:
        """Closing deals that are new; answers whose they are. A venue that is asked again tells a deal again: once counts."""
        if not closed:
            return set()
        known = await store.slices(work.session, {(row.login, row.order) for row in closed})
        told = {(deal.login, deal.deal) for slices in known.values() for deal in slices}
        new: list[ClosedRow] = []
        for row in closed:
            if (row.login, row.deal) not in told:
                told.add((row.login, row.deal))
                new.append(row)
        capitals = await self.copying.capitals(work, new)
        deals = [store.deal_of(row, capital) for row, capital in zip(new, capitals, strict=True)]
        copiers = await self.copying.copied(work, new)
        shares = [(one.id, one.day_base, one.allocation) if one else None for one in copiers]
        await store.add_deals(work.session, list(zip(new, capitals, shares, strict=True)))
        await store.add_change(work.session, fold(known, deals, self.calendar.day))
        await self.copying.closed(work, list(zip(deals, copiers, strict=True)))
        return {row.login for row in new}

    async def turn(self, service: Store) -> None:
        """Once a second, for ever: tells masters for whom the day has turned, or of whom something else has written news."""
        while True:
            try:
                while await self.tell_due(service):
                    pass
            except SURROUNDINGS as fault:
                log.warning("the day's turn waits", fault=repr(fault))
            await asyncio.sleep(TURN_EVERY_S)

    async def tell_due(self, service: Store) -> int:
        """Tells one chunk of the masters that are due; answers how many."""
        today = self.calendar.day(service.clock())
        async with service.read() as session:
            if not await store.due(session, today, 1):
                return 0
        async with service.work() as work:
            if self._pruned != today:
                await copystore.prune(work.session, work.now, today)
                self._pruned = today
            logins = await store.due(work.session, today, TURN_CHUNK)
            await self._tell_whole(work, logins, today)
        return len(logins)

    async def _tell_whole(self, work: Work, logins: Sequence[int], today: int) -> None:
        """Tells masters, whose accounts are known, with who copies them now: a closing tells its master with the audience of before."""
        if logins:
            await copystore.count_audiences(work.session, logins, await copystore.rates(work.session, self._prices))
            await tell(work, logins, today, self.rules)
            await store.mark_told(work.session, logins, today)


ANNOUNCED = "announced"
"""A first deposit that the account's opening already contained."""


def _begin(row: AccountRow, day: int) -> Standing:
    equity = units(row.equity - row.credit)
    return begin(row.login, row.customer_id, row.mode, row.currency, day, equity, units(row.balance), row.positions)


def _begin_before(row: BalanceRow, day: int) -> Standing:
    """An account that is known by a balance operation first: it begins with what it had before."""
    amount = units(signed(row.operation, row.amount))
    equity, balance = units(row.equity - row.credit), units(row.balance)
    return begin(row.login, 0, "", row.currency, day, bounded(equity - amount), bounded(balance - amount), 0)


def _drained(account: Standing, at_ms: int) -> list[Operation]:
    """The links of an account's chain that are not an operation of the venue's, to be stored."""
    links, account.links = account.links, []
    return [Operation(account.login, None, link.kind, link.day, at_ms, link.amount, link.equity, "", "") for link in links]
