"""What followers made with their copies, before and after rewards, and of which money."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from shared.contracts.config import SubscriptionDeleted, SubscriptionSaved
from shared.contracts.rewards import AccrualState
from shared.contracts.trades import AccountsChanged, BalanceRow, BalancesChanged, PositionsClosed

from tests.flow.copying_world import MASTER, ORDER, accrual, copying_world, subscription
from tests.flow.stats_world import DAY, World, account, closing

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with copying_world(tmp_path) as made:
        yield made


async def test_what_followers_made_before_and_after_rewards(world: World) -> None:
    """Follower 11 makes 50 of its 1000: 5 %; follower 12 loses 10 of the 1000 that it allocated: -1 %; the average made 2 %.

    A reward of 10 (1 % of 1000, half of it the average's) leaves 1.5 %. Next day 11 makes 105 of 1050: 10 %, the average 5 %:
    1.02 * 1.05 = 1.071, after rewards 1.015 * 1.05 = 1.06575. The refund of 4, told twice, is 4 / 1050 / 2 of the second day:
    1.015 * 1.0519048 = 1.0676833. The master made 3 % the first day: 6.76833 - 3 = 3.7683 points.
    """
    await world.turn()
    at = world.now
    await world.closed(MASTER, "300", order=ORDER)
    row = closing(11, 900, 51, "50", closed_ms=at, position_client_id="c-7-1001-open-0")
    other = closing(12, 901, 52, "-10", closed_ms=at, position_client_id="c-8-1001-open-0")
    await world.trades(PositionsClosed.of([row, other]), AccountsChanged.of([account(11, "1050", customer=2)], time=at))
    await world.trades(PositionsClosed.of([row]))  # told again
    await accrual(world, 1, "10", AccrualState.PENDING)
    await accrual(world, 1, "10", AccrualState.CHARGED)
    await accrual(world, 1, "10", AccrualState.PAID)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["followers_roi_gross"], details["followers_roi"]) == (Decimal("2.0000"), Decimal("1.5000"))
    assert details["tracking_difference"] == Decimal("-1.5000")
    assert details["followers_in_profit"] == 50
    world.now += DAY
    await world.trades(AccountsChanged.of([account(11, "1050", customer=2), account(MASTER, "10300")], time=world.now))
    row = closing(11, 902, 53, "105", closed_ms=world.now, position_client_id="c-7-1002-open-0")
    await world.trades(PositionsClosed.of([row]))
    for _ in range(2):
        await accrual(world, 2, "4", AccrualState.CHARGED, ref=1)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["followers_roi_gross"], details["followers_roi"]) == (Decimal("7.1000"), Decimal("6.7683"))
    assert details["tracking_difference"] == Decimal("3.7683")
    assert details["tracking_error"] is None


async def test_followers_who_have_left_share_in_what_their_copies_still_make(world: World) -> None:
    """Ten followers of 1000 allocated each; nine leave and keep their copies. All ten close with +50, follower 11 a second copy with +20
    and a reward of 10 beside it: 520 of 10,000, 5.2 %, after the reward 5.1 %; not 52 % of the one who is left."""
    for number in range(20, 28):
        await world.opened(number, "1000", customer=number)
        await world.config(SubscriptionSaved(subscription=subscription(number, number)))
    await world.config(*(SubscriptionDeleted(subscription=subscription(number, number)) for number in range(20, 28)))
    await world.config(SubscriptionDeleted(subscription=subscription(8, 12, allocation_percent=Decimal(50))))
    await world.turn()
    assert (await world.details(MASTER))["followers"] == 1
    for order, (number, follower) in enumerate([(7, 11), (8, 12), *((one, one) for one in range(20, 28))], 901):
        row = closing(follower, order, order, "50", closed_ms=world.now, position_client_id=f"c-{number}-1001-open-0")
        await world.trades(PositionsClosed.of([row]))
    row = closing(11, 999, 999, "20", closed_ms=world.now, position_client_id="c-7-1002-open-0")
    await world.trades(PositionsClosed.of([row]))
    await accrual(world, 1, "10", AccrualState.CHARGED)
    await world.turn()
    details = await world.details(MASTER, "7D")
    assert (details["followers_roi_gross"], details["followers_roi"]) == (Decimal("5.2000"), Decimal("5.1000"))


async def test_money_paid_in_during_the_day_is_part_of_what_was_allocated(world: World) -> None:
    """1000 and 1000 more paid in: 50 made of 2000 is 2.5 %, the average of two followers 1.25 %."""
    await world.turn()
    await world.paid(11, "1000", 1)
    row = closing(11, 900, 51, "50", closed_ms=world.now, position_client_id="c-7-1001-open-0")
    await world.trades(PositionsClosed.of([row]))
    await world.turn()
    assert (await world.details(MASTER, "7D"))["followers_roi"] == Decimal("1.2500")


async def test_money_withdrawn_during_the_day_was_allocated_all_the_same(world: World) -> None:
    """1000 when the day began, 999.99 taken out: 50 made is 5 % of the 1000, not 500,000 % of the cent; the average of two 2.5 %."""
    await world.turn()
    await world.paid(11, "-999.99", 1)
    row = closing(11, 900, 51, "50", closed_ms=world.now, position_client_id="c-7-1001-open-0")
    await world.trades(PositionsClosed.of([row]))
    await world.turn()
    assert (await world.details(MASTER, "7D"))["followers_roi"] == Decimal("2.5000")


async def test_refunds_have_the_opposite_meaning(world: World) -> None:
    """A reward that is taken back leaves the master's account as a flow; what a follower gets back is its result, as the charge was."""
    await accrual(world, 5, "10", AccrualState.PENDING, ref=1)
    for login, operation, equity in ((MASTER, "OP_BALANCE_OUT", "9990"), (11, "OP_BALANCE_IN", "1010")):
        state = Decimal(equity)
        told = ("TR_REASON_COPY_REWARD", "r-5-out", '{"copy_reward_accrual_id": 5}')
        row = BalanceRow(login, login, operation, Decimal(10), "USD", *told, state, state, Decimal(0))
        await world.trades(BalancesChanged.of([row], time=world.now))
        await world.master(login)
    assert ((await world.stats(MASTER)).roi, (await world.stats(11)).roi) == (Decimal(0), Decimal(1))


@pytest.mark.postgres
async def test_the_same_on_postgres(postgres: Callable[[str], str], tmp_path: Path) -> None:
    for case in (test_what_followers_made_before_and_after_rewards, test_followers_who_have_left_share_in_what_their_copies_still_make):
        async with copying_world(tmp_path, postgres("stats")) as world:
            await case(world)
