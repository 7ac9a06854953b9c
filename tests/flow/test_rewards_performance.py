"""Performance fees on a real store: marks, bases, rates and what crystallises, with numbers worked out by hand."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shared.contracts.rewards import AccrualState

from tests.flow.rewards_world import FOLLOWER, World, at, dec, fees, rewards_world, rows, until, won_and_open

pytestmark = pytest.mark.anyio

PENDING, CHARGED, PAID, FAILED, CANCELLED = AccrualState


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path) as made:
        yield made


async def test_a_performance_fee_is_charged_above_the_mark_alone(world: World) -> None:
    """vectors.json cumulative: 30 %, +2000, -400, +1500, +1650 a month: 600, 0, 330, 495."""
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("30"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for number, (day, profit, end) in enumerate(
        (("2024-01-20", "2000", "2024-02-01"), ("2024-02-20", "-400", "2024-03-01"), ("2024-03-20", "1500", "2024-04-01"),
         ("2024-04-20", "1650", "2024-05-01"))
    ):  # fmt: skip
        world.now = at(day)
        await world.closed(7, 9001 + number, profit=profit)
        await until(world, end)
    assert fees(world) == [dec("600.00"), dec("0"), dec("330.00"), dec("495.00")]
    assert [row.reason for row in rows(world)] == ["", "NO_GAIN", "", ""]
    assert [(json.loads(row.inputs)["mark_before"], json.loads(row.inputs)["mark_after"]) for row in rows(world)] == [
        ("0", "2000"), ("2000", "2000"), ("2000", "3100"), ("3100", "4750"),
    ]  # fmt: skip


async def test_a_sleep_over_several_ends_is_caught_up_one_by_one(world: World) -> None:
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("30"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for number, (day, profit) in enumerate(
        (("2024-01-20", "2000"), ("2024-02-20", "-400"), ("2024-03-20", "1500"), ("2024-04-20", "1650"))
    ):
        world.now = at(day)
        await world.closed(7, 9001 + number, profit=profit)
    await world.restart()
    await until(world, "2024-05-01")
    assert fees(world) == [dec("600.00"), dec("0"), dec("330.00"), dec("495.00")]


async def test_other_fees_are_taken_from_the_profit_first(world: World) -> None:
    """Of one instant: volume 2 lots at 5 = 10, management 31 * 21 / 31 = 21, subscription 9, and the performance fee on what is left."""
    await world.policy(id=1, reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.policy(id=2, reward_type=0, billing_period="monthly", fee_amount=dec("9"))
    await world.policy(id=3, reward_type=2, billing_period="monthly", fee_amount=dec("5"))
    await world.policy(id=4, reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05")
    world.now = at("2024-01-20")
    await world.opened(7, 9001, volume=100)
    await world.closed(7, 9001, profit="100", volume=100)
    await until(world, "2024-01-31 23:59", settle=True)
    asked = len(world.requests)
    await until(world, "2024-02-01", settle=False)
    # The second month's subscription fee is of the same instant, and comes before the performance fee: 100 - 10 - 21 - 9 - 9 = 51, 20 %.
    assert [request.amount for request in world.requests[asked:]] == [dec("10.00"), dec("21.00"), dec("9.00"), dec("10.20")]


async def test_unsubscribing_charges_open_copies_at_their_market_value(world: World) -> None:
    """Realised 100, one lot GBPUSD long from 1.2500, bid 1.2530: 300 open. 20 % of 400 = 80. They meet again: only what is above counts."""
    await won_and_open(world)
    await world.unsubscribe(7, at("2024-01-25"))
    await until(world, "2024-01-25 00:00:05")
    assert fees(world) == [dec("80.00")]
    assert json.loads(rows(world)[0].inputs)["cause"] == "unsubscribed"
    world.now = at("2024-01-26")
    await world.closed(7, 9002, profit="300")
    await world.subscribe(77, created_ms=at("2024-01-27"), follower=FOLLOWER)
    await until(world, "2024-02-01")
    assert fees(world) == [dec("80.00"), dec("0")]


async def test_open_losses_count_at_a_period_end_and_open_gains_do_not(world: World) -> None:
    """Realised 1000; open -300 (1 lot short from 1.2500, ask 1.2530): 20 % of 700 = 140. Then the short is closed at +200: 1200: 100."""
    await world.symbol("GBPUSD", "GBP", "USD", "1.2528", "1.2530")
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-20")
    await world.closed(7, 9001, profit="1000")
    await world.opened(7, 9002, volume=100, price="1.2500", side="sell")
    await until(world, "2024-02-01")
    await world.symbol("GBPUSD", "GBP", "USD", "1.2400", "1.2402")
    await until(world, "2024-03-01")
    world.now = at("2024-03-02")
    await world.closed(7, 9002, profit="200")
    await until(world, "2024-04-01")
    assert fees(world) == [dec("140.00"), dec("60.00"), dec("40.00")]


async def test_a_change_of_rate_charges_what_was_earned_at_the_old_one(world: World) -> None:
    """vectors.json rate_change_flat: 1000 earned at 10 % is 100 at the change; at 20 % afterwards nothing more on a flat profit."""
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("10"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-15")
    await world.closed(7, 9001, profit="1000")
    await world.policy(
        reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1, version=2, valid_from_ms=at("2024-01-20")
    )
    await until(world, "2024-02-01")
    assert [(row.period_to, row.fee_amount, row.policy_version) for row in rows(world)] == [
        (at("2024-01-20"), dec("100.00"), 1),
        (at("2024-02-01"), dec("0"), 2),
    ]


@pytest.mark.parametrize("basis", ["cumulative", "gross_equity", "nav_per_share", "period"])
async def test_a_performance_fee_that_begins_later_does_not_reach_back(world: World, basis: str) -> None:
    """200 earned while trades were shared (20 %: 40). From the 20th on a performance fee: of 100 earned since then 20, not 60 of all."""
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-15")
    await world.closed(7, 9001, profit="200")
    await world.account(FOLLOWER, 2, equity="10160")
    world.now = at("2024-01-20")
    terms = {"billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1, "hwm_basis": basis}
    await world.policy(reward_type=1, version=2, valid_from_ms=at("2024-01-20"), **terms)
    world.now = at("2024-01-25")
    await world.closed(7, 9002, profit="100")
    await until(world, "2024-01-26")
    assert world.sharing[7][-3:] == (dec("300"), dec("20"), dec("40"))
    await until(world, "2024-02-01")
    assert [(row.reward_type, row.fee_amount) for row in rows(world)] == [(3, dec("40.00")), (1, dec("20.00"))]


async def test_a_capped_fee_stays_due(world: World) -> None:
    """vectors.json capped_fee: 20 % of 1000 is 200, capped at 120: the mark moves to 600; the next period is due 80 on the same profit."""
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1, fee_cap=dec("120"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-15")
    await world.closed(7, 9001, profit="1000")
    await until(world, "2024-03-01")
    assert fees(world) == [dec("120.00"), dec("80.00")]
    assert json.loads(rows(world)[0].inputs)["mark_after"] == "600"


@pytest.mark.parametrize(
    ("basis", "enabled", "expected"),
    [
        ("gross_equity", 1, ["600.00", "0", "150.00", "450.00"]),
        ("nav_per_share", 1, ["600.00", "0", "330.00", "495.00"]),
        ("period", 1, ["600.00", "0", "450.00", "495.00"]),
        ("", 0, ["600.00", "0", "450.00", "495.00"]),
    ],
)
async def test_the_named_bases(world: World, basis: str, enabled: int, expected: list[str]) -> None:
    """vectors.json ctrader_gross: the mark before the fee, so that it is earned back free. Without a mark each month stands alone."""
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("30"), hwm_enabled=enabled, hwm_basis=basis)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for number, (day, profit, end) in enumerate(
        (("2024-01-20", "2000", "2024-02-01"), ("2024-02-20", "-400", "2024-03-01"), ("2024-03-20", "1500", "2024-04-01"),
         ("2024-04-20", "1650", "2024-05-01"))
    ):  # fmt: skip
        world.now = at(day)
        await world.closed(7, 9001 + number, profit=profit)
        await until(world, end)
    assert fees(world) == [dec(fee) for fee in expected]


@pytest.mark.parametrize(("withdrawal", "fee"), [("additive", "0"), ("proportional", "2.00")])
async def test_a_withdrawal_moves_the_mark_of_an_equity_basis(tmp_path: Path, withdrawal: str, fee: str) -> None:
    """vectors.json withdraw_underwater: capital 120, loss 30, 45 of 90 withdrawn: mark 75 or 60; equity 45 + 25 = 70: 20 % of 0, of 10."""
    world = await World.open(tmp_path, now=at("2024-01-11"), hwm_withdrawal=withdrawal)
    await world.customers()
    await world.account(FOLLOWER, 2, equity="120")
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1, hwm_basis="gross_equity")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-15")
    await world.closed(7, 9001, profit="-30")
    world.now += 1
    await world.flow(FOLLOWER, "-45", equity_after="45", operation_id=1)
    world.now += 1
    await world.closed(7, 9002, profit="25")
    await until(world, "2024-02-01")
    assert fees(world) == [dec(fee)]
    await world.close()


async def test_what_other_fees_took_is_told_in_the_order_of_their_times(world: World) -> None:
    """Whatever order the store gives them in: a lot a day, 2 each, and 7 a week, prepaid."""
    await world.policy(id=1, reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.policy(id=2, reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.policy(id=3, reward_type=0, billing_period="weekly", fee_amount=dec("7"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    days = [f"2024-01-{day}" for day in range(12, 32)]
    for order, day in enumerate(days):
        await world.opened(7, order, volume=100)
        await until(world, day)
    await until(world, "2024-02-01")
    (charged,) = (json.loads(row.inputs) for row in rows(world) if row.reward_type == 1)
    told = [(when, amount) for _, when, amount in charged["fees"]]
    assert [when for when, _ in told] == sorted(at(day) for day in [*days, "2024-01-15", "2024-01-22", "2024-01-29"])
    assert sorted(amount for _, amount in told) == ["2"] * 20 + ["7"] * 3


async def test_what_is_held_has_the_running_month_s_fee_in_it(world: World) -> None:
    """20 % of 100 is 20 while the month runs; of 40 after a loss 8; charged at its end, and settled when paid; then 20 % of the next 50.

    An unsubscription crystallises it, and nothing is expected any more. A demo follower is never charged, so nothing is held.
    """
    seen = []

    async def held() -> None:
        await world.tick()
        seen.append(world.sharing[7][-3:])

    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.subscribe(8, created_ms=at("2024-01-11"))
    world.now = at("2024-01-20")
    await world.closed(8, 8001, profit="100")
    await world.closed(7, 9001, profit="100")
    await held()
    await world.closed(7, 9002, profit="-60")
    await world.restart()
    await held()
    await until(world, "2024-02-01", settle=False)
    await held()
    await world.settle_all()
    await held()
    world.now = at("2024-02-02")
    await world.closed(7, 9003, profit="50")
    await held()
    await world.unsubscribe(7, at("2024-02-03"))
    await until(world, "2024-02-03 00:00:05")
    await held()
    assert seen == [
        (dec("100"), dec("20"), dec("0")),
        (dec("40"), dec("8"), dec("0")),
        (dec("40"), dec("8"), dec("0")),
        (dec("40"), dec("0"), dec("8")),
        (dec("90"), dec("10"), dec("8")),
        (dec("90"), dec("0"), dec("18")),
    ]
    assert world.sharing[8][-3:] == (dec("100"), dec("0"), dec("0"))


@pytest.mark.parametrize(
    ("policy", "profit", "reason"),
    [
        ({"reward_type": 1, "billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1}, "0.02", "ROUNDS_TO_ZERO"),
        ({"reward_type": 1, "billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1}, "0", "NO_GAIN"),
        ({"reward_type": 3, "fee_percent": dec("20")}, "0.02", "ROUNDS_TO_ZERO"),
        ({"reward_type": 2, "billing_period": "monthly", "fee_amount": dec("0.004")}, "1", "ROUNDS_TO_ZERO"),
        ({"reward_type": 2, "billing_period": "monthly", "fee_amount": dec("1"), "fee_cap": dec("0.001")}, "1", "CAPPED"),
        ({"reward_type": 4, "billing_period": "monthly", "fee_amount": dec("0.004")}, "1", "ROUNDS_TO_ZERO"),
        ({"reward_type": 4, "billing_period": "monthly", "fee_percent": dec("0.00001")}, "1", "ROUNDS_TO_ZERO"),
    ],
)
async def test_an_accrual_of_nothing_says_why(world: World, policy: dict[str, Any], profit: str, reason: str) -> None:
    """Less than half a cent: 20 % of 0.02; 0.004 for one lot closed, or for the month; 0.00001 % a year of 10 000."""
    await world.policy(**policy)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit=profit)
    await until(world, "2024-02-01")
    assert [(row.state, row.reason, row.fee_amount) for row in rows(world)] == [(CANCELLED, reason, dec("0"))]


async def test_a_paused_month_was_not_active(world: World) -> None:
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("62"))
    await world.subscribe(7, created_ms=at("2024-01-11"), status=1, updated_ms=at("2024-01-11"))
    await until(world, "2024-02-01")
    assert [(row.fee_amount, row.reason) for row in rows(world)] == [(dec("0"), "NOT_ACTIVE")]
