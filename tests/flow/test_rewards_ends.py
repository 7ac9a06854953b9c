"""What is billed when a subscription, a provider's service or a policy has come to its end, and what comes after; worked out by hand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shared.contracts.config import (
    ConfigEvent,
    Master,
    MasterDeleted,
    MasterSaved,
    PolicyDeleted,
    PolicySaved,
    RecordsHeld,
    RewardPolicy,
    SubscriptionDeleted,
)
from shared.contracts.rewards import AccrualState

from tests.flow.rewards_world import (
    FOLLOWER,
    MASTER,
    PAYOUT,
    World,
    at,
    dec,
    fees,
    paid,
    provider,
    rewards_world,
    rows,
    subscribed,
    until,
    won_and_open,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path) as made:
        yield made


# --- netted profit shares: 10 %, by the week; 2024-01-11 was a Thursday -----------------------------------------------------------------


async def test_what_is_closed_with_the_subscription_is_netted_at_the_week_s_end(world: World) -> None:
    """Won 500 before: 50. Closed with it +600 and -550: of 60 withheld 5 are due. Told weeks later +100: 10, by itself."""
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="weekly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-15 12:00")
    await world.closed(7, 9001, profit="500")
    await world.unsubscribe(7, at("2024-01-16 12:00"))
    world.now = at("2024-01-16 12:00:01")
    await world.closed(7, 9002, profit="600")
    await world.closed(7, 9003, profit="-550")
    await until(world, "2024-01-17")
    assert await world.balances() == {**paid("50"), (f"follower:{FOLLOWER}", "USD"): -11000, (f"held:{FOLLOWER}", "USD"): 6000}
    await until(world, "2024-01-22")
    assert await world.balances() == paid("55")
    await until(world, "2024-02-12")
    await world.closed(7, 9004, profit="100")
    await world.settle_all()
    assert await world.balances() == paid("65")
    assert world.sharing[7][-3:] == (dec("650"), dec("0"), dec("65"))


async def test_detached_copies_are_netted_when_they_are_closed(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="weekly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for order in (9001, 9002):
        await world.opened(7, order)
    await world.unsubscribe(7, at("2024-01-16"))
    await until(world, "2024-02-29")
    await world.closed(7, 9001, profit="500")
    await world.closed(7, 9002, profit="-300")
    await until(world, "2024-03-04")
    assert await world.balances() == paid("20")


async def test_what_is_closed_while_the_provider_stands_still_is_netted_too(world: World) -> None:
    """500 before it, 100 while it was disabled; it never runs again, and the follower leaves."""
    await world.policy(reward_type=3, fee_percent=dec("10"), netting="weekly")
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-15 12:00")
    await world.closed(7, 9001, profit="500")
    await provider(world, 2, 0, "2024-01-16")
    await until(world, "2024-01-17")
    await world.closed(7, 9002, profit="100")
    await world.unsubscribe(7, at("2024-01-18"))
    await until(world, "2024-01-22")
    assert await world.balances() == paid("60")


# --- performance fees ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["subscription", "master"])
async def test_what_is_closed_with_the_subscription_counts_with_its_result(world: World, gone: str) -> None:
    """Realised 100, and 300 by the copy that was closed a second later and told before the fee was reckoned: 20 % of 400, once."""
    await won_and_open(world)
    if gone == "master":
        await world.config(MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at("2024-01-25")))
    else:
        await world.unsubscribe(7, at("2024-01-25"))
    world.now = at("2024-01-25 00:00:01")
    await world.closed(7, 9002, profit="300")
    await until(world, "2024-01-25 00:00:05")
    assert fees(world) == [dec("80.00")]
    if gone == "subscription":
        await world.subscribe(77, created_ms=at("2024-01-27"), follower=FOLLOWER)
        await until(world, "2024-02-01")
        assert fees(world) == [dec("80.00"), dec("0")]


async def test_the_volume_that_is_closed_with_the_subscription_is_billed(world: World) -> None:
    """1.5 lots opened on the 16th; unsubscribed at noon of the 17th, which closes them a second later: 3 for each side at 2 a lot."""
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"), rebate_sides="both")
    await world.subscribe(7, created_ms=at("2024-01-16"))
    world.now = at("2024-01-16 10:00")
    await world.opened(7, 9001, volume=150)
    await until(world, "2024-01-17")
    await world.unsubscribe(7, at("2024-01-17 12:00"))
    world.now = at("2024-01-17 12:00:01")
    await world.closed(7, 9001, profit="0", volume=150)
    await until(world, "2024-02-01")
    assert fees(world) == [dec("3.00"), dec("3.00")]
    assert await world.balances() == paid("6")


@pytest.mark.parametrize("leaves", ["with a performance fee", "with a management fee"])
async def test_who_comes_back_is_not_charged_for_what_other_fees_took(world: World, leaves: str) -> None:
    """Won 100, of which a management fee took 21 (31 * 21 / 31). A performance fee begins, the follower leaves and comes back: nothing was
    won since, and nothing is charged."""
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    world.now = at("2024-01-20")
    await world.closed(7, 9001, profit="100")
    await until(world, "2024-02-01")
    performance = {"reward_type": 1, "billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1}
    await world.policy(version=2, valid_from_ms=at("2024-02-01"), **performance)
    await until(world, "2024-02-04")
    if leaves == "with a management fee":
        again = {"reward_type": 4, "billing_period": "monthly", "fee_amount": dec("31")}
        await world.policy(version=3, valid_from_ms=at("2024-02-05"), **again)
    await world.unsubscribe(7, at("2024-02-10"))
    await until(world, "2024-02-11")
    await world.policy(version=4, valid_from_ms=at("2024-02-11"), **performance)
    await world.subscribe(77, created_ms=at("2024-02-12"), follower=FOLLOWER)
    await until(world, "2024-04-01")
    assert {row.fee_amount for row in rows(world) if row.reward_type == 1} == {dec("0")}


async def test_what_is_given_back_is_profit_again_for_the_fee_that_follows(world: World) -> None:
    """Won 100, prepaid 30; on the 25th a performance fee takes its place and 10 come back: 80 were won before it began, and no more."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-20")
    await world.closed(7, 9001, profit="100")
    performance = {"reward_type": 1, "billing_period": "monthly", "fee_percent": dec("20"), "hwm_enabled": 1}
    await world.policy(version=2, valid_from_ms=at("2024-01-25"), **performance)
    await until(world, "2024-01-26")
    await until(world, "2024-02-01")
    assert fees(world) == [dec("30.00"), dec("-10.00"), dec("0")]


# --- prepaid fees ----------------------------------------------------------------------------------------------------------------------


async def test_a_provider_who_goes_on_within_the_month_charges_the_rest_of_it(world: World) -> None:
    """31 for January; stopped on the 25th, 7 of the 21 days paid for come back; from the 26th on 6 of the month's 31 days: 6.00."""
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-24")
    await provider(world, 2, 0, "2024-01-25")
    await until(world, "2024-01-25 12:00")
    await provider(world, 3, 1, "2024-01-26")
    await until(world, "2024-02-01 00:00:05")
    assert fees(world) == [dec("31.00"), dec("-10.33"), dec("6.00"), dec("31.00")]


@pytest.mark.parametrize("how", ["the provider", "the policy"])
async def test_what_begins_again_months_later_is_no_first_period(world: World, how: str) -> None:
    """Stopped on the 25th of January, and again there on the last of March: 31 in January, of which 7 of 21 days come back; 1 in March."""
    figures: dict[str, Any] = {"reward_type": 0, "billing_period": "monthly", "fee_amount": dec("31")}
    await world.policy(**figures)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-24")
    if how == "the provider":
        await provider(world, 2, 0, "2024-01-25")
        await until(world, "2024-03-30")
        await provider(world, 3, 1, "2024-03-31")
    else:
        await world.policy(**figures, version=2, enabled=0, valid_from_ms=at("2024-01-25"))
        await until(world, "2024-03-30")
        await world.policy(**figures, id=2, valid_from_ms=at("2024-03-31"))
    await until(world, "2024-04-01 00:00:05")
    assert fees(world) == [dec("31.00"), dec("-10.33"), dec("1.00"), dec("31.00")]


async def test_a_refund_lapses_with_the_fee_that_is_given_up(world: World) -> None:
    await world.restart(retry_schedule_s=(60,), retry_max=1)
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05", settle=False)
    await world.config(MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at("2024-01-25")))
    await until(world, "2024-01-25 00:00:05", settle=False)
    await world.refused(world.requests[-1], final=False)
    await until(world, "2024-01-25 01:00", settle=False)
    assert [row.state for row in rows(world)] == [AccrualState.FAILED, AccrualState.CANCELLED]
    assert await world.balances() == {}
    assert world.sharing[7][-3:] == (dec("0"), dec("0"), dec("0"))


# --- what nobody told of ---------------------------------------------------------------------------------------------------------------


async def test_what_ended_without_a_word_is_billed_until_it_is_told_what_there_is(world: World) -> None:
    """31 for January, and for 10 of February's 29 days."""
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-01"))
    await until(world, "2024-02-01")
    held = RecordsHeld(noun="subscription", first=1, last=6, ids=()), RecordsHeld(noun="reward_policy", first=1, last=9, ids=(1,))
    await world.config(*held)
    world.now = at("2024-02-11")
    await world.config(RecordsHeld(noun="subscription", first=7, last=7, ids=()))
    await until(world, "2024-06-01")
    assert fees(world) == [dec("31.00"), dec("10.69")]


async def test_a_policy_that_ended_without_a_word_ends_when_it_is_told_what_there_is(world: World) -> None:
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-01"))
    await until(world, "2024-02-01")
    world.now = at("2024-02-11")
    await world.config(RecordsHeld(noun="reward_policy", first=1, last=9, ids=()))
    await until(world, "2024-06-01")
    assert fees(world) == [dec("31.00"), dec("10.69")]


@pytest.mark.parametrize("what", ["subscription", "master"])
async def test_what_a_restored_store_has_still_is_billed_again_from_then_on(world: World, what: str) -> None:
    """It ended on the 11th, which the restored store does not know, and tells it again on the 21st: 10 and 11 of January's 31 days."""
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-01"))
    if what == "master":
        await world.config(MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), time=at("2024-01-11")))
    else:
        await world.unsubscribe(7, at("2024-01-11"))
    await until(world, "2024-01-20")
    world.now = at("2024-01-21")
    if what == "master":
        old = Master(id=1, login=MASTER, customer_id=1, version=1)
        await world.config(MasterSaved(master=old))
        await provider(world, 120, 1, "2024-01-21")
    else:
        await world.subscribe(7, created_ms=at("2024-01-01"), version=99)
        await world.subscribe(7, created_ms=at("2024-01-01"), version=120, updated_ms=at("2024-01-21"))
    await until(world, "2024-02-01")
    assert fees(world) == [dec("10.00"), dec("11.00")]


async def test_a_provider_who_ended_without_a_word_is_paid_nothing_until_a_restored_store_tells_of_it(world: World) -> None:
    """Made as 9 after the backup, which has the login as 3: ended on the 11th, there again on the 21st: 10 and 11 of January's 31 days."""
    await world.config(MasterSaved(master=Master(id=9, login=MASTER, customer_id=1)))
    await world.policy(reward_type=4, billing_period="monthly", fee_amount=dec("31"))
    await world.subscribe(7, created_ms=at("2024-01-01"))
    await world.config(RecordsHeld(noun="master", first=1, last=20, ids=(3,), time=at("2024-01-11")))
    await until(world, "2024-01-20")
    world.now = at("2024-01-21")
    back = Master(id=3, login=MASTER, customer_id=1, version=40, updated_ms=world.now)
    await world.config(MasterSaved(master=back))
    await until(world, "2024-02-01")
    assert fees(world) == [dec("10.00"), dec("11.00")]


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("what", ["subscription", "master", "policy"])
async def test_what_is_told_late_bills_nothing_after_the_end(world: World, what: str, heard: bool) -> None:
    """Ten of January's 31 days, whether it was heard of before its end, on the 11th, or after it, from a letter that was retried."""
    begins = at("2024-01-01")
    copies = subscribed(7, FOLLOWER, begins)
    master = Master(id=1, login=MASTER, customer_id=1, created_ms=begins)
    terms = RewardPolicy(
        id=1,
        master_id=1,
        master_login=MASTER,
        reward_type=4,
        billing_period="monthly",
        fee_amount=dec("31"),
        currency="USD",
        payout_account_login=PAYOUT,
        valid_from_ms=begins,
    )
    last = {"version": 1 if heard else 2}
    told: dict[str, tuple[ConfigEvent, ConfigEvent]] = {
        "subscription": (copies, SubscriptionDeleted(subscription=copies.subscription.model_copy(update=last))),
        "master": (MasterSaved(master=master), MasterDeleted(master=master.model_copy(update=last))),
        "policy": (PolicySaved(policy=terms), PolicyDeleted(policy=terms.model_copy(update=last))),
    }
    saved, deleted = told.pop(what)
    for event in (*(first for first, _ in told.values()), *([saved] if heard else [])):
        await world.config(event)
    await world.config(deleted.model_copy(update={"time": at("2024-01-11")}))
    await world.config(saved)
    await until(world, "2024-04-01")
    assert fees(world) == [dec("10.00")]
