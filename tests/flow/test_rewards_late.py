"""What is told late, or in an unlucky order: nothing is kept that is not due, nothing stops. 2024-01-11 was a Thursday."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rewards import tables
from rewards.verify import verify
from shared.contracts.rewards import AccrualState
from sqlalchemy import update

from tests.flow.rewards_world import World, at, dec, fees, gone, paid, provider, rewards_world, rows, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path) as made:
        yield made


async def prepaid(world: World, since: str) -> None:
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at(since))


async def netted(world: World, netting: str, first: str, second: str) -> None:
    """10 %, netted; two copies closed at noon of the 12th."""
    await world.policy(reward_type=3, fee_percent=dec("10"), netting=netting)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-12 12:00")
    await world.closed(7, 9001, profit=first)
    await world.closed(7, 9002, profit=second)


# --- netting ---------------------------------------------------------------------------------------------------------------------------


async def test_several_ends_that_were_slept_over_net_a_share_once(world: World) -> None:
    """Of 500 won 50 are withheld, 300 are lost: 20 are due, by the first of three ends. Billing goes on: 100 won the day after are 10."""
    await netted(world, "daily", "500", "-300")
    await world.settle_all()
    await until(world, "2024-01-15 12:00")
    assert await world.balances() == paid("20")
    await world.closed(7, 9003, profit="100")
    await until(world, "2024-01-16 12:00")
    assert await world.balances() == paid("30")


async def test_a_subscription_that_a_restored_store_tells_again_is_netted_again(world: World) -> None:
    """It ended on the 13th, and all was netted; it is there again from the 21st on. Of 110 withheld 55 are due: 500 - 550 + 600 at 10 %."""
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="weekly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-12")
    await world.unsubscribe(7, at("2024-01-13"))
    await until(world, "2024-01-20")
    world.now = at("2024-01-21")
    await world.subscribe(7, created_ms=at("2024-01-11"), version=120, updated_ms=at("2024-01-21"))
    await until(world, "2024-01-23")
    for order, profit in ((9001, "500"), (9002, "-550"), (9003, "600")):
        await world.closed(7, order, profit=profit)
    await world.settle_all()
    await until(world, "2024-01-30")
    assert await world.balances() == paid("55")


@pytest.mark.parametrize("refused", ["before the netting", "after it", "for good"])
@pytest.mark.parametrize(("lost", "due"), [("-600", "0"), ("-300", "20")])
async def test_what_was_taken_after_all_of_a_netted_share_goes_back(world: World, refused: str, lost: str, due: str) -> None:
    """50 were withheld of 500 won; the venue refused to take them, and then had. Of 600 lost all of it goes back, of 300 lost 30."""
    await netted(world, "weekly", "500", lost)
    ask = world.requests[-1]
    world._done = len(world.requests)
    await until(world, "2024-01-14 23:59:55", settle=False)
    if refused != "after it":
        await world.refused(ask, final=refused == "for good")
    await until(world, "2024-01-15 00:00:05", settle=False)
    if refused == "after it":
        await world.refused(ask, final=False)
    await world.carried_out(ask, 4711)
    world._done = next(number for number, one in enumerate(world.requests) if one.operation == "OP_BALANCE_IN")
    await world.settle_all()
    await until(world, "2024-01-30")
    await world.settle_all()
    expected = "0" if refused == "for good" else due  # what was given up before the netting is no part of it
    assert await world.balances() == ({} if expected == "0" else paid(expected))
    assert world.sharing[7][-2:] == (dec("0"), dec(expected))


async def test_a_withheld_share_that_does_not_go_back_is_found_out(tmp_path: Path) -> None:
    world = await World.open(tmp_path, now=at("2024-01-11"))
    await world.customers()
    await netted(world, "weekly", "500", "-300")
    await world.settle_all()
    await until(world, "2024-01-16")
    refund = next(row for row in rows(world) if row.ref_accrual_id)
    async with world.store.work() as work:
        await work.session.execute(update(tables.accrual).where(tables.accrual.c.id == refund.id).values(ref_accrual_id=1))
    async with world.store.read() as session:
        assert str(await verify(session)).endswith(f"{refund.ref_accrual_id}: was withheld, and nothing of what is not due goes back")
    await world.close()


# --- prepaid fees ----------------------------------------------------------------------------------------------------------------------


async def test_a_deletion_that_is_read_in_two_turns_is_the_provider_s(world: World) -> None:
    """The master's end is told before its subscriptions'. 7 of the 21 days paid for come back: 10.00 of 30."""
    await prepaid(world, "2024-01-11")
    await until(world, "2024-01-12 12:00")
    await gone(world, "2024-01-25")
    await until(world, "2024-01-25 00:00:01")
    await world.unsubscribe(7, at("2024-01-25"))
    await until(world, "2024-01-26")
    assert fees(world) == [dec("30.00"), dec("-10.00")]
    assert await world.balances() == paid("20")


@pytest.mark.parametrize("who", ["the follower", "the provider", "the provider, by disabling it"])
async def test_a_period_that_was_paid_for_after_the_end_goes_back_whole(world: World, who: str) -> None:
    """A minute before February it ended, which was told when February was paid for. Of January's 30 nothing worth a cent is unused."""
    await prepaid(world, "2024-01-01")
    await until(world, "2024-01-12 12:00")
    await until(world, "2024-02-01 00:00:01")
    assert fees(world) == [dec("30.00"), dec("30.00")]
    if who == "the follower":
        await world.unsubscribe(7, at("2024-01-31 23:59"))
    elif who == "the provider":
        await gone(world, "2024-01-31 23:59")
    else:
        await provider(world, 2, 0, "2024-01-31 23:59")
    await until(world, "2024-02-03")
    assert fees(world) == [dec("30.00"), dec("30.00"), dec("-30.00")]
    assert await world.balances() == paid("30")
    assert world.sharing[7][-2:] == (dec("0"), dec("30"))


async def test_who_goes_on_in_a_period_that_went_back_whole_charges_the_rest_of_it(world: World) -> None:
    """29 for February went back, because it had stopped before; it goes on on the 11th: 19 of 29 days."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("29"))
    await world.subscribe(7, created_ms=at("2024-01-01"))
    await until(world, "2024-01-12 12:00")
    await until(world, "2024-02-01 00:00:01")
    await provider(world, 2, 0, "2024-01-31 23:59")
    await until(world, "2024-02-10")
    await provider(world, 3, 1, "2024-02-11")
    await until(world, "2024-02-12")
    assert sorted(fees(world)) == [dec("-29.00"), dec("19.00"), dec("29.00"), dec("29.00")]


@pytest.mark.parametrize("final", [False, True])
async def test_what_was_taken_after_all_for_a_provider_who_stopped_goes_back(world: World, final: bool) -> None:
    """Ten seconds after its begin; the 30 were refused, or given up, and then had been taken: all of it goes back but what rounds to 0."""
    await prepaid(world, "2024-01-11")
    await until(world, "2024-01-11 00:00:05", settle=False)
    ask = world.requests[-1]
    await world.refused(ask, final=final)
    await gone(world, "2024-01-11 00:00:10")
    await until(world, "2024-01-11 00:00:12", settle=False)
    assert [row.state for row in rows(world)] == [AccrualState.FAILED if final else AccrualState.CANCELLED, AccrualState.CANCELLED]
    assert world.sharing[7][-2:] == (dec("0"), dec("0"))
    world._done = len(world.requests)
    await world.carried_out(ask, 4711)
    await world.settle_all()
    assert [(row.state, row.fee_amount) for row in rows(world)] == [(AccrualState.PAID, dec("30")), (AccrualState.PAID, dec("-30"))]
    assert await world.balances() == {}
