"""What a mark keeps: over deposits and withdrawals, over a change of basis, and from one subscription of a pair to the next."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rewards_world import FOLLOWER, FOLLOWER_OF, World, at, dec, fees, provider, rewards_world, until

pytestmark = pytest.mark.anyio

PERFORMANCE: dict[str, Any] = {"reward_type": 1, "billing_period": "monthly", "fee_percent": dec("20")}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path) as made:
        yield made


# --- withdrawals -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("withdrawal", ["additive", "proportional"])
@pytest.mark.parametrize("basis", ["nav_per_share", "gross_equity", "cumulative"])
async def test_a_withdrawal_makes_no_gain_where_nothing_was_won(world: World, basis: str, withdrawal: str) -> None:
    """10 000 followed with; 5000 of the account are lost by the follower's own trades, and half of what is left is withdrawn. Capital and
    mark are both 7500: half a mark of 5000 would have been a gain of 2500, and a fee of 500."""
    await world.restart(hwm_withdrawal=withdrawal)
    await world.policy(**PERFORMANCE, hwm_enabled=1, hwm_basis=basis)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-15")
    await world.account(FOLLOWER, 2, equity="5000")
    world.now = at("2024-01-20")
    await world.flow(FOLLOWER, "-2500", "2500", 1)
    await until(world, "2024-02-01")
    assert fees(world) == [dec("0")]


async def test_a_withdrawal_meets_the_value_of_its_time(world: World) -> None:
    """10 000, 2000 lost: 2000 under the mark. 4000 of 8000 withdrawn leave 1000 under it. 1500 won since: 500 above it, at 20 % 100."""
    await world.policy(**PERFORMANCE, hwm_enabled=1, hwm_basis="nav_per_share")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-15")
    await world.closed(7, 9001, profit="-2000")
    world.now = at("2024-01-20")
    await world.flow(FOLLOWER, "-4000", "4000", 1)
    world.now = at("2024-01-25")
    await world.closed(7, 9002, profit="1500")
    await until(world, "2024-02-01")
    assert fees(world) == [dec("100.00")]


async def test_a_withdrawal_takes_nothing_of_what_other_fees_took(world: World) -> None:
    """100 prepaid, 100 won, so 10 000 are the mark and the value. Half is withdrawn: both are 5000, and all of 50 won then is gain: 10."""
    await world.policy(**PERFORMANCE, hwm_enabled=1, hwm_basis="nav_per_share")
    await world.policy(id=2, reward_type=0, billing_period="one_time", fee_amount=dec("100"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-15")
    await world.closed(7, 9001, profit="100")
    world.now = at("2024-01-20")
    await world.flow(FOLLOWER, "-5000", "5000", 1)
    world.now = at("2024-01-25")
    await world.closed(7, 9002, profit="50")
    await until(world, "2024-02-01")
    assert sorted(fees(world)) == [dec("10.00"), dec("100.00")]


async def test_a_withdrawal_while_nobody_was_paid_makes_no_gain(world: World) -> None:
    """10 000; half of it is lost elsewhere and half of the rest withdrawn before there is a performance fee: 20 % of the 100 won since."""
    await world.policy(**PERFORMANCE, hwm_enabled=1, hwm_basis="nav_per_share")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await provider(world, 2, 0, "2024-01-12")
    await until(world, "2024-01-15")
    await world.account(FOLLOWER, 2, equity="5000")
    await world.flow(FOLLOWER, "-2500", "2500", 1)
    await until(world, "2024-01-20")
    await provider(world, 3, 1, "2024-01-20")
    await until(world, "2024-01-25")
    await world.closed(7, 9001, profit="100")
    await until(world, "2024-02-01")
    assert fees(world) == [dec("0"), dec("20.00")]


# --- another basis ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "between",
    [
        {"hwm_enabled": 0},
        {"hwm_enabled": 1, "hwm_basis": "period"},
        {"hwm_enabled": 1, "hwm_basis": "gross_equity"},
        {"hwm_enabled": 1, "hwm_basis": "nav_per_share"},
    ],
)
async def test_another_basis_for_a_while_charges_nothing_again(world: World, between: dict[str, Any]) -> None:
    """1000 won: 200. 1000 lost; another basis, or none, for a minute; 1000 won: it was paid for in January."""
    await world.policy(**PERFORMANCE, hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-20")
    await world.closed(7, 9001, profit="1000")
    await until(world, "2024-02-01 00:00:05")
    await until(world, "2024-02-10")
    await world.closed(7, 9002, profit="-1000")
    await world.policy(**PERFORMANCE, version=2, valid_from_ms=at("2024-02-15"), **between)
    await until(world, "2024-02-15 00:00:10")
    await world.policy(**PERFORMANCE, version=3, valid_from_ms=at("2024-02-15 00:01"), hwm_enabled=1, hwm_basis="cumulative")
    await until(world, "2024-02-20")
    await world.closed(7, 9003, profit="1000")
    await until(world, "2024-03-01 00:00:05")
    assert [fee for fee in fees(world) if fee] == [dec("200.00")]


async def test_what_was_charged_without_a_mark_is_not_charged_again_with_one(world: World) -> None:
    """Without a mark: January +1000: 200, February -400: 0, March +100: 20. With one from April on: 700 are 300 under the 1000 that were
    paid for, so of April's +500 only 200 are gain: 40."""
    await world.policy(**PERFORMANCE, hwm_enabled=0)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for order, (day, profit, end) in enumerate(
        [("2024-01-20", "1000", "2024-02-01"), ("2024-02-20", "-400", "2024-03-01"), ("2024-03-20", "100", "2024-04-01")]
    ):
        await until(world, day)
        await world.closed(7, 9001 + order, profit=profit)
        await until(world, f"{end} 00:00:05")
    await world.policy(**PERFORMANCE, version=2, valid_from_ms=at("2024-04-02"), hwm_enabled=1)
    await until(world, "2024-04-20")
    await world.closed(7, 9010, profit="500")
    await until(world, "2024-05-01 00:00:05")
    assert fees(world) == [dec("200.00"), dec("0"), dec("20.00"), dec("0"), dec("40.00")]


# --- from one subscription to the next -------------------------------------------------------------------------------------------------


async def test_a_pair_s_earlier_subscription_is_billed_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 lost with the first, 400 won with the second, and rewards hears of both at once: nothing was won."""
    monkeypatch.setitem(FOLLOWER_OF, 77, FOLLOWER)
    await world.policy(**PERFORMANCE, hwm_enabled=1)
    await world.subscribe(77, created_ms=at("2024-01-11"))
    await until(world, "2024-01-15")
    world.venue_now = at("2024-01-20")
    world.now = at("2024-02-02")
    await world.closed(77, 9001, profit="-400", closed_ms=at("2024-01-20"))
    await world.unsubscribe(77, at("2024-01-25"))
    await world.tick(caught_up=False)
    await world.subscribe(7, created_ms=at("2024-01-27"))
    world.venue_now = at("2024-02-02")
    await world.closed(7, 9002, profit="400", closed_ms=at("2024-01-28"))
    await world.tick()
    assert fees(world) == [dec("0"), dec("0")]
