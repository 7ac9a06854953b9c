"""The rewards service alone on a real store, with a venue that the test plays itself."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rewards import store
from rewards.flow import Rewards
from rewards.settings import RewardsSettings
from rewards.verify import verify
from shared.bus.reader import Received
from shared.contracts import config, rewards, trades
from shared.contracts.config import Master, MasterSaved, PolicySaved, RewardPolicy, Subscription, SubscriptionSaved
from shared.contracts.event import Event
from shared.contracts.rewards import AccrualRow, AccrualsChanged, BalanceOrderRow, BalancesRequested, SharingChanged, StandingsChanged
from shared.contracts.trades import (
    AccountRow,
    AccountsOpened,
    BalanceRow,
    BalancesChanged,
    BalancesRefused,
    ClosedRow,
    OpenedRow,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
    RefusedRow,
    SymbolRow,
    SymbolsChanged,
)
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.work import Store

from tests.stores import quick, store_url

MASTER, PAYOUT, FOLLOWER, DEMO_FOLLOWER, OWN_FOLLOWER, EURO_ACCOUNT = 100001, 100001, 100002, 100003, 100004, 100005
FOLLOWER_OF = {7: FOLLOWER, 8: DEMO_FOLLOWER, 9: OWN_FOLLOWER, 10: 100_010, 11: 100_011}
ZERO = Decimal(0)
WRITTEN: TypeAdapter[Any] = TypeAdapter(rewards.RewardEvent)


def dec(value: str | int) -> Decimal:
    return Decimal(value)


def account_row(login: int, customer: int, mode: Any = "REAL", currency: str = "USD", equity: str = "10000") -> AccountRow:
    money = Decimal(equity)
    return AccountRow(login, customer, "group", mode, currency, 100, money, ZERO, money, ZERO, money, 0)


def subscribed(subscription: int, follower: int, created_ms: int = 1, **fields: Any) -> SubscriptionSaved:
    head = {"id": subscription, "master_login": MASTER, "follower_login": follower, "created_ms": created_ms, "updated_ms": created_ms}
    return SubscriptionSaved(subscription=Subscription(**head | fields))


def carried_out(request: BalanceOrderRow, operation_id: int) -> BalanceRow:
    """The venue's answer to a request that it carried out."""
    head = (operation_id, request.login, request.operation, request.amount, request.currency, request.reason)
    return BalanceRow(*head, request.client_id, request.api_data, ZERO, ZERO, ZERO)


class World:
    """What the service wrote, as its readers see it: `accruals` by id, `requests` in order, `sharing` and `standing` by subscription."""

    def __init__(self, url: str, now: int) -> None:
        self.url = url
        self.now = now
        self.accruals: dict[int, AccrualRow] = {}
        self.requests: list[BalanceOrderRow] = []
        self.sharing: dict[int, tuple[Any, ...]] = {}
        self.standing: dict[int, str] = {}
        self.store: Store
        self.service: Rewards
        self.venue_now = 0
        """The venue's clock; 0: the same as ours."""
        self._numbers = 0
        self._done = 0

    @classmethod
    async def open(cls, folder: Path, now: int = 10_000_000, url: str = "", **settings: Any) -> "World":
        if url:
            migrate.upgrade("rewards", url)
        world = cls(url or store_url("rewards", folder), now)
        await world._start(settings)
        return world

    async def _start(self, settings: dict[str, Any]) -> None:
        self.store = Store(quick(create_engine(self.url)), "rewards", lambda: self.now, {rewards.TOPIC: rewards.TOPIC})
        await self.store.open()
        self.service = Rewards(RewardsSettings(**settings))
        self.store.on_rollback.append(self.service.forget)

    async def restart(self, **settings: Any) -> None:
        await self.close()
        await self._start(settings)

    async def close(self) -> None:
        await self.store.engine.dispose()

    # --- what happens -----------------------------------------------------------------------------------------------------------

    async def customers(self) -> None:
        """A master (customer 1) with a payout account; followers: real (2), demo (3), the master's own (1); an account in EUR."""
        await self.account(MASTER, 1)
        await self.account(FOLLOWER, 2)
        await self.account(DEMO_FOLLOWER, 3, mode="DEMO")
        await self.account(OWN_FOLLOWER, 1)
        await self.account(EURO_ACCOUNT, 1, currency="EUR")
        await self.config(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, created_ms=1, updated_ms=1)))

    async def account(self, login: int, customer: int, mode: Any = "REAL", currency: str = "USD", equity: str = "10000") -> None:
        await self.trades(AccountsOpened.of([account_row(login, customer, mode, currency, equity)]))

    async def policy(self, **fields: Any) -> None:
        figures: dict[str, Any] = {"id": 1, "master_id": 1, "master_login": MASTER, "currency": "USD", "payout_account_login": PAYOUT}
        await self.config(PolicySaved(policy=RewardPolicy(**figures | fields)))

    async def subscribe(self, subscription: int, created_ms: int = 1, follower: int = 0, **fields: Any) -> None:
        await self.config(subscribed(subscription, follower or FOLLOWER_OF[subscription], created_ms, **fields))

    async def unsubscribe(self, subscription: int, at_ms: int) -> None:
        state = Subscription(id=subscription, master_login=MASTER, follower_login=FOLLOWER_OF[subscription], version=99)
        await self.config(config.SubscriptionDeleted(subscription=state, time=at_ms))

    async def symbol(self, name: str, base: str, quote: str, bid: str, ask: str, contract: str = "100000") -> None:
        head = (name, 5, Decimal(contract), base, quote, 100, 1, 1, 10**6, 0, ZERO, ZERO, ZERO)
        await self.trades(SymbolsChanged.of([SymbolRow(*head, Decimal(bid), Decimal(ask))], time=self.now))

    async def opened(self, subscription: int, order: int, volume: int = 100, price: str = "1", side: Any = "buy", at_ms: int = 0) -> None:
        follower = FOLLOWER_OF[subscription]
        head = (order, follower, "GBPUSD", side, volume, Decimal(price), ZERO, ZERO, f"c-{subscription}-{order}-open-0")
        await self.trades(PositionsOpened.of([OpenedRow(*head, "TR_REASON_COPY", ZERO, ZERO, ZERO, ZERO, at_ms or self.now)]))

    async def closed(
        self,
        subscription: int,
        order: int,
        profit: str,
        commission: str = "0",
        swap: str = "0",
        left: int = 0,
        deal: int = 1,
        closed_ms: int = 0,
        client_id: str = "",
        volume: int = 100,
    ) -> None:
        follower = FOLLOWER_OF[subscription]
        opening = client_id or f"c-{subscription}-{order}-open-0"
        amounts = (Decimal(profit), Decimal(commission), Decimal(swap))
        head = (order, order * 10 + deal, follower, "GBPUSD", "buy", 200, volume, left, Decimal(1), Decimal(1))
        row = ClosedRow(*head, *amounts, "TR_REASON_COPY", "", opening, 500, closed_ms or self.now)  # type: ignore[arg-type]
        await self.trades((PositionsReduced if left else PositionsClosed).of([row]))

    async def closed_many(self, rows: Sequence[tuple[int, int, Decimal]]) -> None:
        """One event with the closes (subscription, order, profit) of many followers."""
        subscriptions = (await self._known()).subscriptions
        table = []
        for subscription, order, profit in rows:
            head = (order, order, subscriptions[subscription].follower_login, "GBPUSD", "buy", 1, 1, 0, Decimal(1), Decimal(1))
            opening = f"c-{subscription}-{order}-open-0"
            table.append(ClosedRow(*head, profit, ZERO, ZERO, "TR_REASON_COPY", "", opening, 500, self.now))  # type: ignore[arg-type]
        await self.trades(PositionsClosed.of(table))

    async def _known(self) -> Any:
        async with self.store.work() as work:
            return await self.service.known(work)

    async def carried_out(self, request: BalanceOrderRow, operation_id: int) -> None:
        await self.trades(BalancesChanged.of([carried_out(request, operation_id)]))

    async def refused(self, request: BalanceOrderRow, final: bool) -> None:
        reason = "ACCOUNT_NOT_FOUND" if final else "NOT_ENOUGH_MONEY"
        row = RefusedRow(request.login, request.operation, request.amount, reason, request.client_id, request.api_data, final)
        await self.trades(BalancesRefused.of([row]))

    async def flow(self, login: int, amount: str, equity_after: str, operation_id: int) -> None:
        """A deposit (positive) or a withdrawal."""
        money, equity = Decimal(amount), Decimal(equity_after)
        operation = trades.OP_BALANCE_IN if money > 0 else trades.OP_BALANCE_OUT
        row = BalanceRow(operation_id, login, operation, abs(money), "USD", trades.REASON_DEPOSIT, "", "", equity, equity, ZERO)
        await self.trades(BalancesChanged.of([row], time=self.now))

    async def settle_all(self) -> None:
        """A venue that carries out everything that was asked, in order."""
        while self._done < len(self.requests):
            asked, first = self.requests[self._done :], self._done
            self._done = len(self.requests)
            await self.trades(BalancesChanged.of([carried_out(request, 7001 + first + number) for number, request in enumerate(asked)]))

    # --- how it is handed over --------------------------------------------------------------------------------------------------

    async def config(self, *events: Event) -> None:
        async with self.store.work() as work:
            await self.service.on_config(self._batch(config.TOPIC, *events), work)
        await self._read()

    async def trades(self, *events: Event) -> None:
        async with self.store.work() as work:
            await self.service.on_trades(self._batch(trades.TOPIC, *events), work)
        await self._read()

    async def tick(self, caught_up: bool = True) -> None:
        """What the timer does at one look."""
        for turn in (self.service.settle, lambda work: self.service.bill(work, caught_up), self.service.settle, self.service.expect):
            more = True
            while more:
                async with self.store.work() as work:
                    more = await turn(work)
        await self._read()

    async def snapshot(self) -> None:
        async with self.store.work() as work:
            await self.service.snapshot(work)
        await self._read()

    def _batch(self, topic: str, *events: Event) -> Received[Any]:
        return Received(topic, 1, "test", self.venue_now or self.now, events)

    async def _read(self) -> None:
        """Reads on in what the service wrote, from its own outbox, as any reader would."""
        async with self.store.read() as session:
            for entry in await outbox.kept(session, rewards.TOPIC, self._numbers + 1, 100_000):
                self._numbers = entry.number
                for raw in json.loads(entry.payload)["events"]:
                    self._take(WRITTEN.validate_python(raw))

    def _take(self, event: Any) -> None:
        match event:
            case AccrualsChanged(rows=rows):
                self.accruals |= {row.id: row for row in rows}
            case BalancesRequested(rows=rows):
                self.requests += rows
            case SharingChanged(rows=rows):
                self.sharing |= {row.subscription: tuple(row) for row in rows}
            case StandingsChanged(rows=rows):
                self.standing |= {row.subscription: row.standing for row in rows}

    # --- what came of it --------------------------------------------------------------------------------------------------------

    def accrual(self) -> AccrualRow:
        """The only accrual."""
        assert len(self.accruals) == 1, self.accruals
        return next(iter(self.accruals.values()))

    async def balances(self) -> dict[tuple[str, str], int]:
        async with self.store.read() as session:
            return await store.balances(session)


def at(text: str) -> int:
    """Unix milliseconds of a UTC time, for example `2024-01-31 12:00`."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@asynccontextmanager
async def rewards_world(folder: Path, now: int = at("2024-01-11")) -> AsyncIterator[World]:
    """A running service and its customers, on a Thursday; at the end its books agree."""
    world = await World.open(folder, now)
    await world.customers()
    yield world
    async with world.store.read() as session:
        assert await verify(session) is None
    await world.close()


async def until(world: World, time: str, settle: bool = True) -> None:
    """The clock goes on; the venue speaks, and carries out what is asked."""
    world.now = at(time)
    await world.account(999, 99)
    await world.tick()
    if settle:
        await world.settle_all()


async def provider(world: World, version: int, enabled: int, time: str) -> None:
    """The master stops or goes on."""
    await world.config(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, version=version, enabled=enabled, updated_ms=at(time))))


async def gone(world: World, time: str) -> None:
    """The master is deleted."""
    await world.config(config.MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at(time)))


def paid(amount: str) -> dict[tuple[str, str], int]:
    """The balances when so much went from the follower to the master, and nothing is held."""
    minor = int(Decimal(amount) * 100)
    return {(f"follower:{FOLLOWER}", "USD"): -minor, (f"payout:{PAYOUT}", "USD"): minor}


async def won_and_open(world: World) -> None:
    """20 % above the mark. Of 20 January: realised 100, and one lot GBPUSD long from 1.2500, which is 300 at a bid of 1.2530."""
    await world.symbol("GBPUSD", "GBP", "USD", "1.2530", "1.2532")
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-20")
    await world.closed(7, 9001, profit="100")
    await world.opened(7, 9002, volume=100, price="1.2500")


def rows(world: World) -> list[AccrualRow]:
    return sorted(world.accruals.values(), key=lambda row: (row.period_from, row.period_to, row.reward_type, row.ref_accrual_id))


def fees(world: World) -> list[Any]:
    return [row.fee_amount for row in rows(world)]
