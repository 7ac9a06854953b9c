"""Fees by period on a real store, with numbers and dates worked out by hand. The venue speaks whenever the test lets it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shared.contracts import config
from shared.contracts.config import Master, MasterDeleted, MasterSaved
from shared.contracts.rewards import AccrualState

from tests.flow.rewards_world import FOLLOWER, MASTER, PAYOUT, World, at, dec, fees, rewards_world, rows, until

pytestmark = pytest.mark.anyio

PENDING, CHARGED, PAID, FAILED, CANCELLED = AccrualState


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path) as made:
        yield made


# --- subscription fee -----------------------------------------------------------------------------------------------------------------


async def test_a_monthly_subscription_is_prepaid_at_once_and_on_each_first(world: World) -> None:
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05")
    assert [(row.period_from, row.period_to, row.fee_amount, row.state) for row in rows(world)] == [
        (at("2024-01-11"), at("2024-02-01"), dec("30"), PAID)
    ]
    await until(world, "2024-01-31 23:59:59")
    assert len(rows(world)) == 1
    await until(world, "2024-02-01")
    assert [(row.period_from, row.period_to) for row in rows(world)][1:] == [(at("2024-02-01"), at("2024-03-01"))]
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -6000, (f"payout:{PAYOUT}", "USD"): 6000}


async def test_a_first_period_may_be_charged_pro_rata(world: World) -> None:
    """21 of January's 31 days: 31 * 21 / 31 = 21.00."""
    await world.restart(first_period="pro_rata")
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-02-01 00:00:05")
    assert fees(world) == [dec("21.00"), dec("31.00")]


async def test_a_weekly_subscription_begins_again_on_mondays(world: World) -> None:
    """2024-01-11 was a Thursday."""
    await world.policy(reward_type=0, billing_period="weekly", fee_amount=dec("5"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-22 00:00:05")
    assert [row.period_from for row in rows(world)] == [at("2024-01-11"), at("2024-01-15"), at("2024-01-22")]


async def test_one_time_is_once_per_follower_and_master_for_ever(world: World) -> None:
    await world.policy(reward_type=0, billing_period="one_time", fee_amount=dec("100"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-12")
    await world.unsubscribe(7, at("2024-02-01"))
    await world.subscribe(77, created_ms=at("2024-02-02"), follower=FOLLOWER)
    await until(world, "2025-01-01")
    assert fees(world) == [dec("100.00")]


async def test_a_provider_who_stops_gives_the_unused_part_back(world: World) -> None:
    """30 for January 11 to 31 (21 days), stopped on the 25th: 7 of 21 days unused: 10.00 back from the payout account, as a new accrual."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05")
    await world.config(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, version=2, enabled=0, updated_ms=at("2024-01-25"))))
    await until(world, "2024-01-25 00:00:05")
    paid, refund = rows(world)
    assert (refund.fee_amount, refund.payout_amount, refund.ref_accrual_id, refund.state) == (dec("-10.00"), dec("-10.00"), paid.id, PAID)
    assert [(request.login, request.operation, request.amount) for request in world.requests[2:]] == [
        (PAYOUT, "OP_BALANCE_OUT", dec("10.00")),
        (FOLLOWER, "OP_BALANCE_IN", dec("10.00")),
    ]
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -2000, (f"payout:{PAYOUT}", "USD"): 2000}
    await until(world, "2024-03-05")
    assert len(rows(world)) == 2
    await world.config(MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, version=3, enabled=1, updated_ms=at("2024-03-10"))))
    await until(world, "2024-03-10 00:00:05")
    assert rows(world)[-1].period_from == at("2024-03-10")


async def test_a_follower_who_leaves_gets_nothing_back(world: World) -> None:
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05")
    await world.unsubscribe(7, at("2024-01-25"))
    await until(world, "2024-03-05")
    assert fees(world) == [dec("30.00")]


async def test_a_refund_waits_until_what_it_gives_back_was_paid(world: World) -> None:
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05", settle=False)
    await world.config(MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at("2024-01-25")))
    await until(world, "2024-01-25 00:00:05", settle=False)
    assert [row.state for row in rows(world)] == [PENDING, PENDING]
    assert {request.operation for request in world.requests} == {"OP_BALANCE_OUT"}
    await world.settle_all()
    assert [row.state for row in rows(world)] == [PAID, PAID]
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -2000, (f"payout:{PAYOUT}", "USD"): 2000}


async def test_a_fee_that_was_not_even_taken_lapses_when_the_provider_stops(world: World) -> None:
    """And with it the refund of what is unused of it."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05", settle=False)
    await world.refused(world.requests[0], final=False)
    await world.config(MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at("2024-01-11 00:00:10")))
    await until(world, "2024-01-11 00:00:15", settle=False)
    assert [(row.state, row.reason) for row in rows(world)] == [(CANCELLED, "PROVIDER_STOPPED"), (CANCELLED, "")]


async def test_an_unpaid_fee_closes_then_disables_and_payment_mends_it(world: World) -> None:
    """Grace of 3 days, disabled after 14."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05", settle=False)
    await world.refused(world.requests[-1], final=False)
    await until(world, "2024-01-14", settle=False)
    assert world.standing == {}
    await world.refused(world.requests[-1], final=False)
    await until(world, "2024-01-14 00:00:05", settle=False)
    assert world.standing == {7: "close_only"}
    await until(world, "2024-01-25 00:00:05", settle=False)
    assert world.standing == {7: "disabled"}
    world.standing.clear()
    await world.restart()
    await world.snapshot()
    assert world.standing == {7: "disabled"}
    await world.carried_out(world.requests[-1], operation_id=1)
    await until(world, "2024-01-25 00:00:10", settle=False)
    assert world.standing == {7: "good"}


# --- volume ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "cap", "fee"), [("both", "0", "5.00"), ("open", "0", "3.00"), ("close", "0", "2.00"), ("both", "4.5", "4.50")]
)
async def test_volume_is_charged_by_the_lot_and_side(world: World, sides: str, cap: str, fee: str) -> None:
    """Opened 1.5 lots, closed 1 lot (0.4 and 0.6) within the day, at 2 a lot: 3 for the opening, 2 for the closings."""
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"), rebate_sides=sides, fee_cap=dec(cap))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-11 10:00")
    await world.opened(7, 9001, volume=150)
    await world.closed(7, 9001, profit="0", volume=40, left=110, deal=1)
    await world.closed(7, 9001, profit="0", volume=60, left=50, deal=2)
    await until(world, "2024-01-12")
    assert fees(world) == [dec(fee)]


async def test_a_period_without_volume_has_an_accrual_of_nothing_with_its_reason(world: World) -> None:
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-14")
    assert [(row.state, row.reason, row.fee_amount) for row in rows(world)] == [(CANCELLED, "NO_VOLUME", dec("0"))] * 3


async def test_a_trade_that_is_known_after_its_day_was_billed_counts_for_the_next(world: World) -> None:
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-12")
    await world.opened(7, 9001, volume=100, at_ms=at("2024-01-11 23:00"))
    await until(world, "2024-01-13")
    assert fees(world) == [dec("0"), dec("2.00")]


# --- management -----------------------------------------------------------------------------------------------------------------------


async def test_a_fixed_management_fee_is_charged_for_the_active_time(world: World) -> None:
    """62 for January; subscribed on the 11th (21 days), paused from the 21st until the 26th (5 days): 62 * 16 / 31 = 32.00."""
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("62"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.subscribe(7, created_ms=at("2024-01-11"), version=2, status=1, updated_ms=at("2024-01-21"))
    await world.subscribe(7, created_ms=at("2024-01-11"), version=3, status=0, updated_ms=at("2024-01-26"))
    await until(world, "2024-02-01")
    assert fees(world) == [dec("32.00")]


async def test_an_annual_percentage_of_daily_equity_is_rounded_once(world: World) -> None:
    """vectors.json mgmt_fee: 1000 at 2 % a year for 31 days is 1.6986.., 1.70; rounded each day it would be 1.55."""
    await world.account(FOLLOWER, 2, equity="1000")
    await world.policy(reward_type=4, billing_period="monthly", fee_percent=dec("2"))
    await world.subscribe(7, created_ms=at("2024-03-01"))
    world.now = at("2024-03-01")
    await world.account(FOLLOWER, 2, equity="1000")
    await until(world, "2024-04-01")
    assert fees(world) == [dec("1.70")]


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_equity_of_before_the_subscription_counts_until_another_is_told(world: World, restarted: bool) -> None:
    """10 days at the 36500 that were told before anybody was followed, then 21 at 73000, 1 % a year: 10 * 1 + 21 * 2 = 52.00."""
    await world.policy(reward_type=4, billing_period="monthly", fee_percent=dec("1"))
    world.now = at("2024-02-20")
    await world.account(FOLLOWER, 2, equity="36500")
    if restarted:
        await world.restart()
    await world.subscribe(7, created_ms=at("2024-03-01"))
    world.now = at("2024-03-11 12:00")
    await world.account(FOLLOWER, 2, equity="73000")
    await until(world, "2024-04-01")
    assert fees(world) == [dec("52.00")]


async def test_each_day_counts_with_its_own_equity(world: World) -> None:
    """10 days at 36500, then 21 at 73000, 1 % a year: 10 * 1 + 21 * 2 = 52.00. A debt counts as nothing."""
    await world.policy(reward_type=4, billing_period="monthly", fee_percent=dec("1"))
    await world.subscribe(7, created_ms=at("2024-03-01"))
    for day, equity in (("2024-03-01", "1"), ("2024-03-01 23:00", "36500"), ("2024-03-11 12:00", "73000")):
        world.now = at(day)
        await world.account(FOLLOWER, 2, equity=equity)
    await until(world, "2024-04-01")
    world.now = at("2024-04-01 00:00:10")
    await world.account(FOLLOWER, 2, equity="-500")
    await until(world, "2024-05-01")
    assert fees(world) == [dec("52.00"), dec("0")]
    assert rows(world)[1].reason == "NO_EQUITY"


# --- netted profit shares -------------------------------------------------------------------------------------------------------------


async def test_withheld_shares_are_netted_and_the_rest_given_back(world: World) -> None:
    """vectors.json okx_withhold: 10 %, wins 500 and 600, loss 550: withheld 110, due 55, refund 55."""
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="monthly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for number, profit in enumerate(("500", "600", "-550")):
        world.now = at("2024-01-15") + number
        await world.closed(7, 9001 + number, profit=profit)
    await world.settle_all()
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -11000, (f"held:{FOLLOWER}", "USD"): 11000}
    assert [row.state for row in rows(world)] == [CHARGED, CHARGED, CANCELLED]
    await until(world, "2024-02-01")
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -5500, (f"payout:{PAYOUT}", "USD"): 5500}
    refunds = [row for row in rows(world) if row.ref_accrual_id]
    assert [(row.fee_amount, row.state) for row in refunds] == [(dec("-55.00"), PAID)]
    assert world.sharing[7][-3:] == (dec("550"), dec("0"), dec("55"))


@pytest.mark.parametrize("in_flight", [False, True])
async def test_a_withheld_share_that_could_not_be_taken_is_dropped_when_losses_have_eaten_it(world: World, in_flight: bool) -> None:
    """Between two attempts it is dropped at once; an attempt that is on its way is dropped when it is refused."""
    await world.restart(retry_schedule_s=(60,) if in_flight else (10**8,))
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="monthly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit="500")
    await world.refused(world.requests[0], final=False)
    await world.closed(7, 9002, profit="-600")
    await until(world, "2024-02-01", settle=False)
    if in_flight:
        assert len([row for row in rows(world) if row.state is PENDING]) == 2
        await world.refused(world.requests[-1], final=False)
    outcome = {(row.source_order, row.ref_accrual_id == 0, row.state, row.reason) for row in rows(world)}
    wanted = {(9001, True, CANCELLED, "NETTED"), (9002, True, CANCELLED, "NO_GAIN")}
    assert outcome - {(9001, False, CANCELLED, "")} == wanted
    assert await world.balances() == {}
    assert world.sharing[7][-3:] == (dec("-100"), dec("0"), dec("0"))


# --- time -----------------------------------------------------------------------------------------------------------------------------


async def test_a_period_is_not_ended_by_one_wrong_clock(world: World) -> None:
    """Our clock an hour ahead: nothing until the venue has spoken after the end, or our clock is an hour past it with nothing unread."""
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-12 00:59:59")
    await world.tick()
    assert world.accruals == {}
    world.now = at("2024-01-12 01:00:00")
    await world.tick(caught_up=False)
    assert world.accruals == {}
    await world.tick()
    assert len(world.accruals) == 1
    world.now = at("2024-01-11 20:00")  # the clock jumps back, and on again
    await world.account(999, 99)
    await world.tick()
    await until(world, "2024-01-12 01:00")
    assert len(world.accruals) == 1


async def test_periods_follow_the_broker_s_zone_and_its_daylight_saving(world: World) -> None:
    """In New York 2024-03-10 had 23 hours, 05:00 to 04:00 UTC; the month of March began at 05:00 UTC and April at 04:00."""
    await world.restart(broker_timezone="America/New_York")
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=at("2024-03-10 05:00"))
    await until(world, "2024-03-11 04:00")
    assert [(row.period_from, row.period_to) for row in rows(world)] == [(at("2024-03-10 05:00"), at("2024-03-11 04:00"))]


async def test_demo_and_own_followers_get_statements_without_charges(world: World) -> None:
    await world.policy(id=1, reward_type=0, billing_period="monthly", fee_amount=dec("30"), currency="CHF")
    await world.policy(id=2, reward_type=1, billing_period="monthly", fee_percent=dec("30"), hwm_enabled=1)
    await world.subscribe(8, created_ms=at("2024-01-11"))
    await world.subscribe(9, created_ms=at("2024-01-11"))
    await world.closed(8, 9001, profit="100")
    await until(world, "2024-02-01")
    assert {(row.state, row.fee_amount) for row in rows(world)} == {(CANCELLED, dec("0"))}
    assert {row.reason for row in rows(world)} == {"DEMO", "OWN"}
    assert world.requests == []


async def test_a_fixed_fee_in_another_currency_waits_for_a_rate_and_keeps_it(world: World) -> None:
    """10 EUR at 1.25 are 12.50 USD."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("10"), currency="EUR")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05")
    assert world.accruals == {}
    await world.symbol("EURUSD", "EUR", "USD", "1.25", "1.25")
    await until(world, "2024-01-11 00:01:05")
    assert fees(world) == [dec("12.50")]
    assert json.loads(rows(world)[0].inputs)["rate"] | {"time": 0} == {
        "from": "EUR", "to": "USD", "rate": "1.25", "seen": "EURUSD", "time": 0,
    }  # fmt: skip


async def test_a_master_that_stops_is_reckoned_then_and_goes_on_later(world: World) -> None:
    """100 before the stop, 50 while stopped, 30 after: at 20 % 20 at the stop, and 16 of the 80 since at the month's end."""
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    state = {"id": 1, "login": MASTER, "customer_id": 1}
    for number, (day, profit) in enumerate((("2024-01-12", "100"), ("2024-01-16", "50"), ("2024-01-22", "30"))):
        world.now = at(day)
        await world.closed(7, 9001 + number, profit=profit)
    await world.config(MasterSaved(master=Master(**state, version=2, enabled=0, updated_ms=at("2024-01-15"))))
    await world.config(config.MasterSaved(master=Master(**state, version=3, enabled=1, updated_ms=at("2024-01-20"))))
    await until(world, "2024-02-01")
    assert [(row.period_from, row.period_to, row.fee_amount) for row in rows(world)] == [
        (at("2024-01-11"), at("2024-01-15"), dec("20.00")),
        (at("2024-01-20"), at("2024-02-01"), dec("16.00")),
    ]
