"""What the rewards service does on each event: load, decide, save, emit."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

import structlog
from shared.bus.reader import Received
from shared.clock import has_passed
from shared.contracts import config, trades
from shared.contracts.config import ConfigEvent, RewardType
from shared.contracts.rewards import TOPIC, AccrualsChanged, BalancesRequested, SharingChanged, StandingsChanged
from shared.contracts.stats import Prices
from shared.contracts.trades import REASON_COPY_REWARD, BalanceRow, ClosedRow, OpenedRow, TradeEvent
from shared.ids import parse_copy_client_id
from shared.money import EXACT
from shared.store.work import Work

from rewards import config_side, decide, store
from rewards.billing import Billing
from rewards.decide import Accrual, Span
from rewards.known import Account, Known, Symbol
from rewards.settings import RewardsSettings
from rewards.settle import Fact
from rewards.settlement import Answer, Changes, Settlement, parse_reward_client_id
from rewards.store import Trade
from rewards.terms import Master, Subscription, policy_for_trade, trade_book_ms

log = structlog.get_logger()

Row = TypeVar("Row")
ZERO = Decimal(0)
SNAPSHOT_MS = 90 * 86_400_000
"""How far back a snapshot tells accruals that are final."""
PRICES_KEPT_MS = 10_000
AHEAD = frozenset({RewardType.SUBSCRIPTION_FEE, RewardType.PROFIT_SHARE_PER_TRADE})
"""What is billed before its time, or netted after it: no trade counts for their cursors."""
FLOWS = frozenset({trades.OP_BALANCE_IN, trades.OP_BALANCE_OUT})


class Rewards:
    """The service: its memory, its settlement, its billing."""

    def __init__(self, settings: RewardsSettings) -> None:
        self.settlement = Settlement(settings)
        self.billing = Billing(settings, self.settlement)
        self._owns = settings.part.owns
        self._known: Known | None = None
        self._kept_prices_ms = 0

    def forget(self) -> None:
        """Drops what memory knows; the next event loads it again."""
        self._known = None
        self.settlement.forget()

    async def known(self, work: Work) -> Known:
        if self._known is None:
            self._known = await store.load(work.session)
        return self._known

    # --- configuration ---------------------------------------------------------------------------------------------------------

    async def on_config(self, batch: Received[ConfigEvent], work: Work) -> None:
        """Who follows whom, by which policy, since when."""
        known = await self.known(work)
        masters: dict[int, Master] = {}
        subscriptions: dict[int, Subscription] = {}
        for event in batch.events:
            match event:
                case config.MasterSaved(master=state):
                    master = config_side.master_saved(known, state)
                    masters |= {master.login: master} if master else {}
                case config.MasterDeleted(master=state):
                    master = config_side.master_gone(known, state, event.time or work.now)
                    masters |= {master.login: master} if master else {}
                case config.PolicySaved(policy=state) | config.PolicyDeleted(policy=state):
                    gone_ms = (event.time or state.updated_ms) if isinstance(event, config.PolicyDeleted) else None
                    master = config_side.policy_saved(known, state, gone_ms)
                    masters |= {master.login: master} if master else {}
                case config.SubscriptionSaved(subscription=state) if self._owns(state.follower_login):
                    subscription = config_side.subscription_saved(known, state, work.now)
                    subscriptions |= {subscription.id: subscription} if subscription else {}
                case config.SubscriptionDeleted(subscription=state) if self._owns(state.follower_login):
                    subscription = config_side.subscription_gone(known, state, event.time or work.now)
                    subscriptions |= {subscription.id: subscription} if subscription else {}
                case config.RecordsHeld(noun="subscription"):
                    subscriptions |= {one.id: one for one in config_side.subscriptions_ended(known, event, event.time or work.now)}
                case config.RecordsHeld(noun="master"):
                    masters |= {one.login: one for one in config_side.masters_ended(known, event, event.time or work.now)}
                case config.RecordsHeld(noun="reward_policy"):
                    masters |= {one.login: one for one in config_side.policies_ended(known, event, event.time or work.now)}
                case _:
                    pass
        await store.save_masters(work.session, masters.values())
        await store.save_subscriptions(work.session, subscriptions.values())
        woken = set(subscriptions).union(*(known.by_master.get(login, ()) for login in masters))
        await self.billing.wake(work, known, sorted(woken))

    # --- the venue -------------------------------------------------------------------------------------------------------------

    async def on_trades(self, batch: Received[TradeEvent], work: Work) -> None:
        """Closed copies become accruals; answers to balance operations carry accruals on."""
        known = await self.known(work)
        for event in batch.events:
            work.cause = event
            match event:
                case trades.PositionsOpened(rows=rows):
                    await self._opened(work, known, rows)
                case trades.PositionsReduced(rows=rows) | trades.PositionsClosed(rows=rows):
                    await self._closed(work, known, rows)
                case trades.BalancesChanged(rows=rows):
                    await self._moved(work, known, rows, event.time or work.now)
                case trades.BalancesRefused(rows=rows):
                    await self._refused(work, known, rows)
                case trades.AccountsOpened(rows=rows) | trades.AccountsChanged(rows=rows):
                    await self._accounts(work, known, rows, event.time or work.now)
                case trades.SymbolsChanged(rows=rows):
                    fresh = [_symbol(row, event.time or work.now) for row in rows]
                    known.symbols |= {one.symbol: one for one in fresh}
                    await store.save_symbols(work.session, fresh)
                case _:
                    pass
        self.billing.heard(batch.sent)

    async def on_prices(self, prices: Prices) -> None:
        """The latest prices: what conversions and open copies are valued at."""
        if self._known is not None:
            for row in prices.rows:
                self._known.priced(row.symbol, row.bid, row.ask, row.time)

    async def _opened(self, work: Work, known: Known, rows: Sequence[OpenedRow]) -> None:
        copies = _copies(known, [(row, row.client_id) for row in rows if self._owns(row.login)])
        if not copies:
            return
        seen = await store.trades_of(work.session, [row.order for row, _ in copies])
        fresh = {row.order: self._opening(known, row, subscription) for row, subscription in copies if row.order not in seen}
        await store.add_trades(work.session, list(fresh.values()))

    async def _closed(self, work: Work, known: Known, rows: Sequence[ClosedRow]) -> None:
        copies = _copies(known, [(row, row.position_client_id) for row in rows if self._owns(row.login)])
        if not copies:
            return
        changes = Changes()
        positions = await store.trades_of(work.session, {row.order for row, _ in copies})
        fresh: list[Trade] = []
        left: dict[int, int] = {}
        accruals: list[Accrual] = []
        for row, subscription in copies:
            fills = positions.setdefault(row.order, [])
            if any(fill.deal == row.deal for fill in fills):
                continue  # the venue told the same deal again
            trade = self._closing(known, row, subscription)
            fresh.append(trade)
            fills.append(trade)
            left[row.order] = row.left
            changes.shared(subscription.id, realised=trade.slice.net)
            if row.left == 0:
                accruals += self._share(known, subscription, row, fills, work.now)
        await store.add_trades(work.session, fresh)
        await store.save_open_volumes(work.session, left)
        await self.settlement.begin(work, known, accruals, changes)
        await self.settlement.write(work, known, changes)

    def _share(self, known: Known, subscription: Subscription, row: ClosedRow, fills: Sequence[Trade], now: int) -> list[Accrual]:
        """The share of a position that is closed for good; none when its master is not paid by the trade."""
        master = known.master(subscription.master_login)
        policy = policy_for_trade(subscription, master, RewardType.PROFIT_SHARE_PER_TRADE, row.closed_ms)
        if policy is None:
            return []
        fee = decide.profit_share([fill.slice for fill in fills if fill.deal], policy)
        span = Span(row.opened_ms, row.closed_ms, f"p{row.order}", row.order)
        share = decide.accrue(subscription.id, subscription.master_login, known.payer(subscription), policy, span, fee, now)
        if share.withheld and not self.billing.nets(known, subscription):
            share.withheld = 0  # told so late that everything else was netted: it stands for itself
        return [share]

    async def _moved(self, work: Work, known: Known, rows: Sequence[BalanceRow], time_ms: int) -> None:
        answers = []
        for row in rows:
            ours = parse_reward_client_id(row.client_id)
            if ours is not None:
                fact = Fact.OUT_OK if ours[1] == "out" else Fact.IN_OK
                answers.append(Answer(*ours, fact, row.login, row.amount, row.operation_id))
        await self._answered(work, known, answers)
        flows = [row for row in rows if row.reason != REASON_COPY_REWARD and row.operation in FLOWS]
        await self.billing.flows(work, known, flows, time_ms)

    async def _refused(self, work: Work, known: Known, rows: Sequence[trades.RefusedRow]) -> None:
        answers = []
        for row in rows:
            ours = parse_reward_client_id(row.client_id)
            if ours is None:
                continue
            if ours[1] == "out":
                fact = Fact.OUT_REFUSED_FINAL if row.final else Fact.OUT_REFUSED
            else:
                fact = Fact.IN_REFUSED_FINAL if row.final else Fact.IN_REFUSED
            answers.append(Answer(*ours, fact, row.login, row.amount, 0, row.reason))
        await self._answered(work, known, answers)

    async def _answered(self, work: Work, known: Known, answers: Sequence[Answer]) -> None:
        if answers:
            changes = Changes()
            await self.settlement.answered(work, known, answers, changes)
            await self.settlement.write(work, known, changes)

    async def _accounts(self, work: Work, known: Known, rows: Sequence[trades.AccountRow], time_ms: int) -> None:
        changed = []
        for row in rows:
            equity = EXACT.subtract(row.equity, row.credit)
            fresh = Account(row.login, row.customer_id, row.mode, row.currency, equity)
            if known.accounts.get(row.login) != fresh:
                changed.append(fresh)
            known.accounts[row.login] = fresh
        await store.save_accounts(work.session, changed)
        await self.billing.equities(work, known, [row.login for row in rows], time_ms)

    def _opening(self, known: Known, row: OpenedRow, subscription: Subscription) -> Trade:
        zero = (ZERO, ZERO, ZERO)
        units = _volume_per_lot(known, row.symbol)
        head = (row.order, 0, subscription.id, row.login, row.symbol, row.side, row.volume, units, row.volume)
        return Trade(*head, row.price, *zero, row.opened_ms, _booked(known, subscription, row.opened_ms))

    def _closing(self, known: Known, row: ClosedRow, subscription: Subscription) -> Trade:
        units = _volume_per_lot(known, row.symbol)
        head = (row.order, row.deal, subscription.id, row.login, row.symbol, row.side, row.closed, units, 0)
        amounts = (row.profit, row.commission, row.swap)
        return Trade(*head, row.price, *amounts, row.closed_ms, _booked(known, subscription, row.closed_ms))

    # --- time and snapshot -----------------------------------------------------------------------------------------------------

    async def settle(self, work: Work) -> bool:
        """Asks again for what was not answered or was refused, and tells standings that changed. Answers whether more is waiting."""
        known = await self.known(work)
        await self._keep_prices(work, known)
        changes = Changes()
        asked = await self.settlement.tick(work, known, changes)
        await self.settlement.write(work, known, changes)
        await self.billing.standings(work, known)
        return asked >= store.CHUNK

    async def bill(self, work: Work, caught_up: bool) -> bool:
        """Bills the periods that have ended. `caught_up`: nothing that the venue has told is unread. Answers whether more is waiting."""
        known = await self.known(work)
        changes = Changes()
        billed = await self.billing.tick(work, known, caught_up, changes)
        await self.settlement.write(work, known, changes)
        return billed

    async def expect(self, work: Work) -> bool:
        """Reckons what running periods would come to, of subscriptions where something has changed. Answers whether more is waiting."""
        known = await self.known(work)
        return await self.billing.expect(work, known) >= store.CHUNK

    async def _keep_prices(self, work: Work, known: Known) -> None:
        """Prices come often and may be lost: a restart goes on from those of a moment ago."""
        if known.repriced and has_passed(work.now, self._kept_prices_ms, PRICES_KEPT_MS):
            self._kept_prices_ms = work.now
            await store.save_symbols(work.session, [known.symbols[name] for name in sorted(known.repriced)])
            known.repriced.clear()

    async def snapshot(self, work: Work) -> None:
        """Everything again that somebody may need: accruals not final or recent, sums, standings, and the requests in flight."""
        known = await self.known(work)
        after = 0
        while some := await store.accruals_to_tell(work.session, work.now - SNAPSHOT_MS, after):
            work.emit(TOPIC, AccrualsChanged.of([one.row() for one in some]))
            requests = [request for one in some for request in self.settlement.repeat(one)]
            if requests:
                work.emit(TOPIC, BalancesRequested.of(requests))
            after = some[-1].id
        after = 0
        while sharing := await store.all_sharing(work.session, after):
            work.emit(TOPIC, SharingChanged.of([one.row() for one in sharing]))
            after = sharing[-1].subscription_id
        standings = await self.billing.all_standings(work, known)
        if standings:
            work.emit(TOPIC, StandingsChanged.of(standings))


def _copies(known: Known, rows: list[tuple[Row, str]]) -> list[tuple[Row, Subscription]]:
    """The rows that are copies, each with its subscription, by what their client order id says."""
    found = []
    for row, client_id in rows:
        copy = parse_copy_client_id(client_id)
        if copy is None:
            continue
        subscription = known.subscriptions.get(copy.subscription)
        if subscription is None:
            log.error("a copy of a subscription that was never told", client_id=client_id)
            continue
        found.append((row, subscription))
    return found


def _symbol(row: trades.SymbolRow, time_ms: int) -> Symbol:
    units = (row.contract_size, row.volume_per_lot)
    return Symbol(row.symbol, row.base_currency, row.quote_currency, *units, row.bid, row.ask, time_ms)


def _volume_per_lot(known: Known, symbol: str) -> int:
    found = known.symbols.get(symbol)
    return found.volume_per_lot if found else 100


def _booked(known: Known, subscription: Subscription, time_ms: int) -> int:
    cursors = known.cursors.get(subscription.id, {}).items()
    return trade_book_ms(time_ms, [cursor for kind, cursor in cursors if kind not in AHEAD])
