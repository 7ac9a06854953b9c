"""On this event, do that: the executor's handlers of `trade.push`, `copy.config`, `reward.accrual` and prices."""

from typing import assert_never

from shared.bus.reader import Received
from shared.contracts.config import (
    ConfigEvent,
    FollowerDeleted,
    FollowerSaved,
    HaltSaved,
    HaltsHeld,
    MasterDeleted,
    MasterSaved,
    PolicyDeleted,
    PolicySaved,
    RecordsHeld,
    StopsSaved,
    SubscriptionDeleted,
    SubscriptionSaved,
)
from shared.contracts.rewards import StandingsChanged
from shared.contracts.stats import Prices
from shared.contracts.trades import (
    OP_BALANCE_IN,
    OP_BALANCE_OUT,
    REASON_COPY_REWARD,
    AccountPositions,
    AccountRow,
    AccountsChanged,
    AccountsOpened,
    BalanceRow,
    BalancesChanged,
    BalancesRefused,
    ChangedRow,
    OrdersRejected,
    PendingCancelled,
    PendingChanged,
    PendingFilled,
    PendingPlaced,
    PositionsChanged,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
    SymbolRow,
    SymbolsChanged,
    TradeEvent,
)
from shared.ids import is_copy
from shared.store.work import Work

from executor import config_side, follow_stops, follower_side, guards, master_side, pending_side, reconcile, reward_side
from executor.amounts import bounded, units
from executor.desk import Desk
from executor.market import SymbolFacts
from executor.outgoing import Outgoing
from executor.reward_side import RewardEvent
from executor.store import Link, read_in

TOLD = (
    *("known", "group", "currency", "demo", "leverage", "balance"),
    *("credit", "equity", "free_margin", "positions", "updated_ms"),
)
"""What the venue tells of an account, as the columns have it."""
PendingEvent = PendingPlaced | PendingChanged | PendingCancelled | PendingFilled
StateEvent = AccountsOpened | AccountsChanged | SymbolsChanged | BalancesChanged | BalancesRefused


class Flow:
    """The handlers, around one desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def on_trades(self, batch: Received[TradeEvent], work: Work) -> None:
        """What happened on the venue."""
        await self.desk.begin(work)
        for event in batch.events:
            work.cause = event
            out = Outgoing()
            await self._trade(event, work, out)
            out.emit(work)

    async def _trade(self, event: TradeEvent, work: Work, out: Outgoing) -> None:
        desk = self.desk
        match event:
            case PositionsOpened():
                await self._opened(event, work, out)
            case PositionsReduced() | PositionsClosed():
                for closed in event.rows:
                    if is_copy(closed.position_client_id):
                        await follower_side.reduced(desk, out, closed)
                    else:
                        await master_side.reduced(desk, out, closed)
            case PositionsChanged():
                await self._changed(event.rows, out)
            case OrdersRejected():
                for rejected in event.rows:
                    if is_copy(rejected.client_id):
                        await follower_side.rejected(desk, out, rejected)
            case PendingPlaced() | PendingChanged() | PendingCancelled() | PendingFilled():
                await self._pending(event, work, out)
            case AccountPositions():
                await reconcile.answered(desk, work, out, event)
            case _:
                await self._state(event, out, work.now)

    async def _pending(self, event: PendingEvent, work: Work, out: Outgoing) -> None:
        desk = self.desk
        match event:
            case PendingPlaced():
                for placed in event.rows:
                    await pending_side.placed(desk, work, out, placed, event.time or work.now)
            case PendingChanged():
                for changed in event.rows:
                    await pending_side.changed(desk, out, changed)
            case PendingCancelled():
                for gone in event.rows:
                    await pending_side.cancelled(desk, out, gone)
            case PendingFilled():
                pass  # the position that it became is told right after it
            case _:
                assert_never(event)

    async def _state(self, event: StateEvent, out: Outgoing, now: int) -> None:
        """What accounts and symbols are now."""
        match event:
            case AccountsOpened() | AccountsChanged():
                await self._accounts(event.rows, out, now)
            case SymbolsChanged():
                for symbol in event.rows:
                    self._symbol(symbol)
            case BalancesChanged():
                await self._balances(event.rows, out, now)
            case BalancesRefused():
                pass  # a refused balance operation is the rewards service's matter
            case _:
                assert_never(event)

    async def _opened(self, event: PositionsOpened, work: Work, out: Outgoing) -> None:
        for row in event.rows:
            if master_side.copied(row.client_id, row.reason):
                await follower_side.filled(self.desk, out, row)
            else:
                await master_side.opened(self.desk, work, out, row, pending_side.master_filled)

    async def _changed(self, rows: tuple[ChangedRow, ...], out: Outgoing) -> None:
        """A change of stops concerns a master's position, or a copy: by our change's id, or by the follower's order."""
        desk = self.desk
        others: list[ChangedRow] = []
        for row in rows:
            named = await follower_side.link_of(desk, row.client_id) if is_copy(row.client_id) else None
            if named is not None:
                await follower_side.changed(desk, out, named[0], row)
                continue
            position = await desk.position(row.order)
            if position is not None:
                await master_side.changed(desk, out, position, row)
            else:
                others.append(row)
        found = {stored[5]: stored for stored in await read_in(desk.session, Link, "follower_order", (row.order for row in others))}
        for row in others:
            if row.order in found:
                stored = found[row.order]
                link = await desk.link(stored[3], stored[1])
                if link is not None:
                    await follower_side.changed(desk, out, link, row)

    async def _accounts(self, rows: tuple[AccountRow, ...], out: Outgoing, now: int) -> None:
        accounts = await self.desk.accounts(row.login for row in rows)
        guards_of = self.desk.memory.guards
        before = {row.login: accounts.own_equity(row.login) for row in rows if row.login in guards_of}
        group, currency = accounts.groups.number, accounts.currencies.number
        figures = [
            (
                *(1, group(row.group), currency(row.currency), int(row.mode == "DEMO"), row.leverage, units(row.balance)),
                *(units(row.credit), units(row.equity), units(row.free_margin), row.positions, now),
            )
            for row in rows
        ]
        accounts.put([row.login for row in rows], TOLD, figures)
        for row in rows:
            self.desk.changed_account(row.login)
        for login, equity in before.items():
            await guards.watch(self.desk, out, login, equity, accounts.own_equity(login))

    async def _balances(self, rows: tuple[BalanceRow, ...], out: Outgoing, now: int) -> None:
        """Reward credits are kept apart: they are no performance, and are not sized on. A withdrawal takes from them first."""
        accounts = await self.desk.accounts(row.login for row in rows)
        for row in rows:
            known = reward = accounts.get(row.login, "reward_credit")
            paid = {OP_BALANCE_IN: 1, OP_BALANCE_OUT: -1}.get(row.operation, 0) * units(row.amount)
            if paid > 0 and row.reason == REASON_COPY_REWARD:
                reward += paid
            elif paid < 0:
                reward = max(0, reward + paid)
            guards.moved(self.desk, row.login, paid - (reward - known))
            accounts.set(
                row.login, reward_credit=reward, balance=units(row.balance), equity=units(row.equity), credit=units(row.credit),
                updated_ms=now,
            )  # fmt: skip
            self.desk.changed_account(row.login)

    def _symbol(self, row: SymbolRow) -> None:
        facts = SymbolFacts(
            row.symbol, row.digits, units(row.contract_size), row.base_currency, row.quote_currency, row.volume_per_lot, row.volume_min,
            row.volume_step, row.volume_max, units(row.bid), units(row.ask), bounded(row.stops_level), bounded(row.freeze_level),
        )  # fmt: skip
        self.desk.memory.market.put(facts)
        self.desk.changed_symbol(row.symbol)

    async def on_prices(self, prices: Prices) -> None:
        """The latest prices: for rates between currencies and the price guard."""
        for row in prices.rows:
            self.desk.memory.market.price(row.symbol, units(row.bid), units(row.ask))

    async def on_config(self, batch: Received[ConfigEvent], work: Work) -> None:
        """What customers and managers have set."""
        await self.desk.begin(work)
        for event in batch.events:
            work.cause = event
            out = Outgoing()
            await self._config(event, work, out)
            out.emit(work)

    async def on_rewards(self, batch: Received[RewardEvent], work: Work) -> None:
        """What is paid and what is not."""
        standings = [event for event in batch.events if isinstance(event, StandingsChanged)]
        if not standings and batch.lost is None:
            return
        await self.desk.begin(work)
        if batch.lost is not None:
            await reward_side.all_good(self.desk)
        for event in standings:
            await reward_side.standings_changed(self.desk, event)

    async def _config(self, event: ConfigEvent, work: Work, out: Outgoing) -> None:
        desk = self.desk
        match event:
            case MasterSaved():
                await config_side.master_saved(desk, event.master)
            case MasterDeleted():
                await config_side.master_deleted(desk, out, event.master, event.close_policy == "close")
            case FollowerSaved():
                await config_side.follower_saved(desk, event.follower)
            case FollowerDeleted():
                await config_side.follower_deleted(desk, out, event.follower, event.close_policy == "close")
            case SubscriptionSaved():
                await config_side.subscription_saved(desk, work, out, event)
            case SubscriptionDeleted():
                await config_side.subscription_deleted(desk, out, event.subscription, event.close_policy == "close")
            case HaltSaved():
                await config_side.halt_saved(desk, event.halt)
            case StopsSaved():
                await follow_stops.stops_saved(desk, out, event)
            case RecordsHeld():
                await config_side.records_held(desk, out, event)
            case HaltsHeld():
                await config_side.halts_held(desk, event)
            case PolicySaved() | PolicyDeleted():
                pass  # rewards are the rewards service's matter
            case _:
                assert_never(event)
