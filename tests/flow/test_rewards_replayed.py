"""L3: every event told three times charges nobody twice. A random life with all five models, once told plainly and once in triplicate."""

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rewards import tables
from rewards.verify import operations, verify
from shared.contracts.config import Master, MasterSaved, PolicySaved, RewardPolicy, Subscription, SubscriptionDeleted
from shared.contracts.event import Event
from shared.contracts.rewards import AccrualState, BalanceOrderRow
from shared.contracts.trades import AccountsChanged, BalancesChanged, BalancesRefused, RefusedRow
from sqlalchemy import select

from tests.flow.rewards_world import FOLLOWER_OF, MASTER, PAYOUT, World, account_row, at, carried_out, dec
from tests.flow.test_rewards_year import DAY_MS

pytestmark = pytest.mark.anyio

DAYS = 55
SEEDS = range(1, 1 + int(os.environ.get("LOCKSTEP_SEEDS", "1")))


class Told(World):
    """A world in which each event is told `times` times, in transactions of their own."""

    times = 1

    async def config(self, *events: Event) -> None:
        for _ in range(self.times):
            await super().config(*events)

    async def trades(self, *events: Event) -> None:
        for _ in range(self.times):
            await super().trades(*events)


class Life:
    """What happens follows from the seed alone, never from what the service made of what happened before."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.orders = 9000
        self.operations = 1
        self.answered: set[BalanceOrderRow] = set()
        self.refusals: Counter[str] = Counter()
        self.equity = dict.fromkeys(FOLLOWER_OF.values(), Decimal(10_000))
        self.versions: Counter[object] = Counter()

    async def begin(self) -> None:
        await self.world.customers()
        for login in (100_010, 100_011):
            await self.world.account(login, login)
        figures: dict[int, dict[str, Any]] = {
            0: {"billing_period": "monthly", "fee_amount": dec("30")},
            1: {"billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1, "fee_cap": dec("90")},
            2: {"billing_period": "weekly", "fee_amount": dec("2.5"), "fee_cap": dec("7")},
            3: {"fee_percent": dec("10"), "netting": "monthly"},
            4: {"billing_period": "monthly", "fee_percent": dec("2")},
        }
        self.figures = figures
        for kind in figures:
            await self.policy(kind)
        for number in FOLLOWER_OF:
            await self.subscription(number)

    async def policy(self, kind: int, **changed: Any) -> None:
        self.figures[kind] |= changed
        self.versions["policy", kind] += 1
        head: dict[str, Any] = {"id": kind + 1, "master_id": 1, "master_login": MASTER, "currency": "USD", "payout_account_login": PAYOUT}
        head |= {"reward_type": kind, "version": self.versions["policy", kind], "valid_from_ms": self.world.now}
        await self.world.config(PolicySaved(policy=RewardPolicy(**head | self.figures[kind])))

    async def subscription(self, number: int, **fields: Any) -> None:
        self.versions[number] += 1
        created = fields.pop("created_ms", at("2024-01-11"))
        head = {"version": self.versions[number], "updated_ms": self.world.now}
        follower = FOLLOWER_OF[number % 100]
        await self.world.subscribe(number, created_ms=created, follower=follower, **head | fields)

    async def day(self, number: int) -> None:
        """A day's copies, payments and changes, then the venue's answers and a look at what is due."""
        world, chance = self.world, self.chance
        for subscription in (one for one in FOLLOWER_OF if chance.random() < 0.25):
            await self.copy(subscription)
        if chance.random() < 0.3:
            await self.payment(chance.choice(list(FOLLOWER_OF.values())))
        for at_day, act in self.acts():
            if at_day == number:
                await act()
        await self.answers()
        world.now += 12 * 3_600_000
        await world.tick()
        await self.answers()

    def acts(self) -> list[tuple[int, Callable[[], Awaitable[None]]]]:
        gone = Subscription(id=10, master_login=MASTER, follower_login=100_010, version=99)
        master = {"id": 1, "login": MASTER, "customer_id": 1}
        return [
            (4, lambda: self.subscription(7, status=1)),
            (8, lambda: self.subscription(7, status=0)),
            (12, lambda: self.policy(1, fee_percent=dec("25"))),
            (16, lambda: self.world.config(SubscriptionDeleted(subscription=gone, time=self.world.now))),
            (24, lambda: self.subscription(110, created_ms=self.world.now)),
            (29, lambda: self.world.config(MasterSaved(master=Master(**master, version=2, enabled=0, updated_ms=self.world.now)))),
            (33, lambda: self.world.config(MasterSaved(master=Master(**master, version=3, enabled=1, updated_ms=self.world.now)))),
            (38, lambda: self.policy(3, fee_percent=dec("15"))),
        ]

    async def copy(self, subscription: int) -> None:
        """Opened, closed in one or two slices."""
        self.orders += 1
        order, world, chance = self.orders, self.world, self.chance
        login, client = FOLLOWER_OF[subscription], f"c-{subscription}-{order}-open-0"
        volume = chance.randrange(2, 90)
        await world.opened(subscription, order, volume=volume)
        for deal, left in ((1, 1), (2, 0)) if chance.random() < 0.3 else ((1, 0),):
            result = Decimal(chance.randrange(-9000, 11_000)).scaleb(-2)
            self.equity[login] += result
            fields: dict[str, Any] = {"profit": str(result), "commission": "-0.35", "deal": deal, "left": left, "client_id": client}
            await world.closed(subscription, order, volume=volume, **fields)
        await world.trades(AccountsChanged.of([account_row(login, login, equity=str(self.equity[login]))], time=world.now))

    async def payment(self, login: int) -> None:
        self.operations += 1
        amount = Decimal(self.chance.randrange(-200_000, 300_000)).scaleb(-2)
        self.equity[login] += amount
        await self.world.flow(login, str(amount), str(self.equity[login]), self.operations)

    async def answers(self) -> None:
        """Every request gets its answer: some are refused at first, a few for good, the rest is carried out, once each."""
        waiting = [one for one in dict.fromkeys(self.world.requests) if one not in self.answered or self.refusals[one.client_id] == 1]
        while waiting:
            for request in waiting:
                self.answered.add(request)
                kind = int(request.accrual) % 9
                refused = (kind in (1, 2) and self.refusals[request.client_id] == 0) or kind == 3
                if refused and request.operation == "OP_BALANCE_OUT" and request.login != PAYOUT:
                    self.refusals[request.client_id] += 1
                    head = (request.login, request.operation, request.amount, "NOT_ENOUGH_MONEY", request.client_id, request.api_data)
                    await self.world.trades(BalancesRefused.of([RefusedRow(*head, kind == 3)]))
                elif self.refusals[request.client_id] < 2:
                    self.refusals[request.client_id] = 2
                    await self.world.trades(BalancesChanged.of([carried_out(request, 10**6 + request.accrual % 10**9)]))
            waiting = [one for one in dict.fromkeys(self.world.requests) if one not in self.answered]


async def lived(folder: Path, seed: int, times: int) -> tuple[World, Life]:
    folder.mkdir()
    world = await Told.open(folder, now=at("2024-01-11"), retry_schedule_s=(3600,))
    world.times = times  # type: ignore[attr-defined]
    life = Life(world, seed)
    await life.begin()
    for number in range(DAYS):
        world.now = at("2024-01-11") + number * DAY_MS
        await life.day(number)
    return world, life


async def books(world: World) -> Any:
    """Accruals, without when they were touched, and the money that moved."""
    async with world.store.read() as session:
        assert await verify(session) is None
        done = [operation.client_id async for operation in operations(session)]
        postings = [tuple(row) for row in await session.execute(select(tables.journal).order_by(tables.journal.c.sequence))]
    assert len(set(done)) == len(done)
    rows = {row.id: row._replace(updated_ms=0) for row in world.accruals.values()}
    return rows, await world.balances(), sorted(done), len(postings)


@pytest.mark.parametrize("seed", SEEDS)
async def test_l3_every_event_three_times_charges_as_once(tmp_path: Path, seed: int) -> None:
    plain, _ = await lived(tmp_path / "plain", seed, 1)
    triple, _ = await lived(tmp_path / "triple", seed, 3)
    once, thrice = await books(plain), await books(triple)
    assert thrice == once
    kinds = {(row.reward_type, row.state) for row in plain.accruals.values()}
    assert {kind for kind, state in kinds if state is AccrualState.PAID} == {0, 1, 2, 3, 4}
    assert {state for _, state in kinds} >= {AccrualState.PAID, AccrualState.CANCELLED, AccrualState.FAILED}
    assert any(row.ref_accrual_id for row in plain.accruals.values())
    assert sum(once[1].values()) == 0
    for world in (plain, triple):
        await world.close()
