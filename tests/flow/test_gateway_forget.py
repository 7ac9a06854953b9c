"""What the paper venue answered and did is forgotten when it is older than is wanted, and never what somebody may ask for yet."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from gateway.decide import DAY_MS
from gateway.paper.venue import FORGET_EVERY_MS, Keeping
from gateway.settings import GatewaySettings
from gateway.store import ANSWER, DEAL, OPERATION
from gateway.wiring import assemble
from shared.contracts import orders, rewards
from shared.contracts.orders import CloseCopies, CloseRow
from shared.contracts.rewards import BalanceOrderRow, BalancesRequested
from shared.contracts.stats import Prices
from shared.store import outbox
from sqlalchemy import Table, func, select

from tests.flow.gateway_world import GatewayWorld, gateway_world, open_copies

pytestmark = pytest.mark.anyio
D = Decimal


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


async def count(world: GatewayWorld, table: Table) -> int:
    async with world.store.read() as session:
        return (await session.execute(select(func.count()).select_from(table))).scalar_one()


async def handled_by_all(world: GatewayWorld) -> None:
    """Every reader has handled what was told, and its time in the log is over: what the relay does then."""
    async with world.store.work() as work:
        await outbox.prune(work.session, "trade.push", 1_000_000, world.now + 1)


async def later(world: GatewayWorld, days: float, **keeping: int) -> None:
    """So much later the venue looks for what is too old."""
    world.venue._keeping = Keeping(**keeping)
    world.now += round(days * DAY_MS) + FORGET_EVERY_MS
    await world.venue.forget_old()


async def test_an_answer_is_kept_for_its_days_and_as_long_as_it_is_in_the_log(world: GatewayWorld) -> None:
    """Three days. Day 0: an order is answered; day 2: it comes again, and has no second effect; day 4: it is kept, since its days count
    from the second answer; day 6: it is gone. One of day 6 that somebody has not read is kept on day 10, and gone when it is read."""
    first, second, third = await world.accounts(3)
    for kept in (1, 1):
        await world.handle(orders.TOPIC, open_copies([first]))
        await handled_by_all(world)
        await later(world, 2, answers_ms=3 * DAY_MS)
        assert await count(world, ANSWER) == kept
        assert len((await world.call("GET", f"/accounts/{first}"))["positions"]) == 1
    await world.handle(orders.TOPIC, open_copies([second], master_order=8))
    await handled_by_all(world)
    await later(world, 2, answers_ms=3 * DAY_MS)
    assert await count(world, ANSWER) == 1
    await world.handle(orders.TOPIC, open_copies([third], master_order=9))
    await later(world, 4, answers_ms=3 * DAY_MS)
    assert await count(world, ANSWER) == 1
    await world.handle(orders.TOPIC, open_copies([third], master_order=9))
    assert len((await world.call("GET", f"/accounts/{third}"))["positions"]) == 1
    await handled_by_all(world)
    await later(world, 4, answers_ms=3 * DAY_MS)
    assert await count(world, ANSWER) == 0


async def test_a_history_keeps_what_is_open_and_what_the_ledger_is_compared_with(world: GatewayWorld) -> None:
    """Two deposits, two openings, a closing, a settlement: the open position's deal, and the settlement, stay."""
    first, second = await world.accounts(2)
    await world.handle(orders.TOPIC, open_copies([first, second]))
    await world.handle(orders.TOPIC, CloseCopies.of([CloseRow(1, first, 0, 10, 1, 1)], master_order=7, reason="MASTER_CLOSED"))
    paid = BalanceOrderRow("r-1-out", 1, second, "OP_BALANCE_OUT", D(1), "USD", "TR_REASON_COPY_REWARD", "{}")
    await world.handle(rewards.TOPIC, BalancesRequested.of([paid]))
    assert (await count(world, DEAL), await count(world, OPERATION)) == (3, 3)
    await later(world, 2, history_ms=3 * DAY_MS)
    assert (await count(world, DEAL), await count(world, OPERATION)) == (3, 3)
    await later(world, 2, history_ms=3 * DAY_MS)
    assert (await count(world, DEAL), await count(world, OPERATION)) == (1, 1)
    shown = await world.call("GET", f"/accounts/{second}/history")
    assert ([deal["entry"] for deal in shown["deals"]], [done["reason"] for done in shown["operations"]]) == (
        ["in"],
        ["TR_REASON_COPY_REWARD"],
    )
    assert await world.call("GET", f"/accounts/{first}/history") == {"deals": [], "operations": []}


async def test_without_a_setting_nothing_is_forgotten(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login]))
    await handled_by_all(world)
    await later(world, 10_000)
    assert (await count(world, ANSWER), await count(world, OPERATION)) == (1, 1)


async def test_the_settings_reach_the_venue_s_own_loop(world: GatewayWorld) -> None:
    async def unsent(_: Prices) -> None:
        """Prices are nobody's matter here."""

    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login]))
    await handled_by_all(world)
    world.now += 2 * DAY_MS
    parts = await assemble(GatewaySettings(answer_days=1, history_days=1.5), world.store, unsent)
    tend = asyncio.create_task(parts.tasks[0]())
    async with asyncio.timeout(10):
        while await count(world, ANSWER) or await count(world, OPERATION):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    tend.cancel()
    assert await count(world, DEAL) == 1
