"""Profit shares from the venue's events to paid accruals, with numbers worked out by hand."""

import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rewards import ledger, store, tables
from shared.contracts.rewards import AccrualState
from shared.contracts.trades import AccountsOpened, BalanceRow, BalancesChanged
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DatabaseError

from tests.flow.rewards_world import FOLLOWER, MASTER, PAYOUT, World, account_row, dec, rewards_world, subscribed

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rewards_world(tmp_path, now=10_000_000) as made:
        yield made


async def test_a_profitable_copy_is_shared_charged_and_paid(world: World) -> None:
    """Profit 105.00, commission -1.40, swap -0.33: net 103.27; 20 % of it is 20.654, half-even to the cent 20.65."""
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="105.00", commission="-1.40", swap="-0.33")
    accrual = world.accrual()
    assert (accrual.base_amount, accrual.fee_amount, accrual.currency) == (dec("103.27"), dec("20.65"), "USD")
    assert accrual.state is AccrualState.PENDING
    assert (accrual.source_order, accrual.master_login, accrual.follower_login) == (9001, MASTER, FOLLOWER)

    out = world.requests[-1]
    assert (out.client_id, out.login, out.operation, out.amount) == (f"r-{accrual.id}-out", FOLLOWER, "OP_BALANCE_OUT", dec("20.65"))
    assert json.loads(out.api_data) == {"copy_reward_accrual_id": accrual.id}
    assert out.reason == "TR_REASON_COPY_REWARD"
    await world.carried_out(out, operation_id=501)
    assert world.accrual().state is AccrualState.CHARGED

    into = world.requests[-1]
    assert (into.client_id, into.login, into.operation, into.amount) == (f"r-{accrual.id}-in", PAYOUT, "OP_BALANCE_IN", dec("20.65"))
    await world.carried_out(into, operation_id=502)
    paid = world.accrual()
    assert paid.state is AccrualState.PAID
    assert (paid.charge_order, paid.payout_order, paid.payout_amount, paid.payout_currency) == (501, 502, dec("20.65"), "USD")
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -2065, (f"payout:{PAYOUT}", "USD"): 2065}
    assert world.sharing[7][-3:] == (dec("103.27"), dec("0.00"), dec("20.65"))


async def test_a_position_is_shared_whole_not_by_its_slices(world: World) -> None:
    """formulas.md section 4: slices +100 and -150 at 20 %: by slices 20 would be charged, by the position nothing."""
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100", left=1)
    assert world.accruals == {}
    await world.closed(7, order=9001, profit="-150", deal=2)
    accrual = world.accrual()
    assert (accrual.state, accrual.reason, accrual.base_amount, accrual.fee_amount) == (
        AccrualState.CANCELLED,
        "NO_GAIN",
        dec("-50"),
        dec("0"),
    )
    assert world.requests == []


async def test_the_same_deal_told_three_times_charges_once(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    for _ in range(3):
        await world.closed(7, order=9001, profit="100")
    assert len(world.accruals) == 1
    assert len(world.requests) == 1
    for _ in range(3):
        await world.carried_out(world.requests[0], operation_id=501)
    assert [request.client_id.rpartition("-")[2] for request in world.requests] == ["out", "in"]
    for _ in range(3):
        await world.carried_out(world.requests[1], operation_id=502)
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -2000, (f"payout:{PAYOUT}", "USD"): 2000}


@pytest.mark.parametrize(("subscription", "reason"), [(8, "DEMO"), (9, "OWN")])
async def test_demo_and_own_followers_are_never_charged(world: World, subscription: int, reason: str) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(subscription)
    await world.closed(subscription, order=9001, profit="100")
    accrual = world.accrual()
    assert (accrual.state, accrual.reason, accrual.fee_amount, accrual.base_amount) == (
        AccrualState.CANCELLED,
        reason,
        dec("0"),
        dec("100"),
    )
    assert world.requests == []


async def test_a_trade_that_is_no_copy_and_a_copy_of_nobody_charge_nothing(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100", client_id="mine")
    await world.closed(7, order=9002, profit="100", client_id="c-999-1-open-0")
    assert world.accruals == {}


async def test_an_accrual_follows_the_policy_that_held_when_the_position_closed(world: World) -> None:
    """20 % until 1000, 10 % from then: a close at 999 gives 20.00, one at 1000 gives 10.00."""
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.policy(reward_type=3, fee_percent=dec("10"), version=2, valid_from_ms=1000)
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100", closed_ms=999)
    await world.closed(7, order=9002, profit="100", closed_ms=1000)
    assert {row.source_order: (row.fee_amount, row.policy_version) for row in world.accruals.values()} == {
        9001: (dec("20"), 1),
        9002: (dec("10"), 2),
    }


async def test_a_refused_charge_is_retried_by_the_schedule_under_the_same_id(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.refused(world.requests[0], final=False)
    assert (world.accrual().state, world.accrual().reason) == (AccrualState.FAILED, "NOT_ENOUGH_MONEY")
    world.now += 59_999
    await world.tick()
    assert len(world.requests) == 1
    world.now += 1
    await world.tick()
    assert [request.client_id for request in world.requests] == [world.requests[0].client_id] * 2
    assert world.accrual().state is AccrualState.PENDING
    await world.carried_out(world.requests[1], operation_id=501)
    assert world.accrual().state is AccrualState.CHARGED


async def test_a_charge_refused_for_good_or_too_often_is_given_up(world: World) -> None:
    """With one attempt allowed the second look gives up; a final refusal does at once. Nothing is booked for either."""
    await world.restart(retry_max=1)
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.refused(world.requests[0], final=False)
    world.now += 10**9
    await world.tick()
    await world.closed(7, order=9002, profit="100")
    await world.refused(world.requests[-1], final=True)
    world.now += 10**9
    await world.tick()
    assert [row.state for row in world.accruals.values()] == [AccrualState.FAILED] * 2
    assert len(world.requests) == 2
    assert await world.balances() == {}


async def test_without_an_answer_the_same_request_is_sent_again(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    world.now += 29_999
    await world.tick()
    assert len(world.requests) == 1
    world.now += 1
    await world.tick()
    assert world.requests[1] == world.requests[0]
    await world.carried_out(world.requests[0], operation_id=501)
    await world.carried_out(world.requests[1], operation_id=501)
    assert [request.operation for request in world.requests] == ["OP_BALANCE_OUT"] * 2 + ["OP_BALANCE_IN"]


async def test_a_payout_refused_for_good_is_parked_and_never_charged_again(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.carried_out(world.requests[0], operation_id=501)
    await world.refused(world.requests[1], final=True)
    world.now += 10**9
    await world.tick()
    await world.carried_out(world.requests[0], operation_id=501)
    assert world.accrual().state is AccrualState.CHARGED
    assert [request.operation for request in world.requests] == ["OP_BALANCE_OUT", "OP_BALANCE_IN"]
    assert await world.balances() == {(f"follower:{FOLLOWER}", "USD"): -2000, (f"suspense:{PAYOUT}", "USD"): 2000}


async def test_a_payout_refused_for_now_is_tried_again(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.carried_out(world.requests[0], operation_id=501)
    await world.refused(world.requests[1], final=False)
    world.now += 60_000
    await world.tick()
    await world.carried_out(world.requests[2], operation_id=502)
    assert world.accrual().state is AccrualState.PAID
    assert [request.operation for request in world.requests] == ["OP_BALANCE_OUT", "OP_BALANCE_IN", "OP_BALANCE_IN"]


async def test_a_payout_in_another_currency_is_converted_once_and_its_rounding_booked(world: World) -> None:
    """EURUSD in the middle 1.08: 20.05 USD are 18.5648.. EUR, paid 18.56; that is worth 20.0448 = 20.04 USD, so 0.01 USD is rounding."""
    await world.symbol("EURUSD", "EUR", "USD", "1.07995", "1.08005")
    await world.policy(reward_type=3, fee_percent=dec("20"), payout_account_login=100005)
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100.25")
    await world.carried_out(world.requests[0], operation_id=501)
    into = world.requests[1]
    assert (into.login, into.amount, into.currency) == (100005, dec("18.56"), "EUR")
    await world.symbol("EURUSD", "EUR", "USD", "1.2", "1.2")  # the price moves on: what was agreed stays
    await world.carried_out(into, operation_id=502)
    accrual = world.accrual()
    assert (accrual.payout_amount, accrual.payout_currency, accrual.state) == (dec("18.56"), "EUR", AccrualState.PAID)
    payout = json.loads(accrual.inputs)["payout"]
    assert (payout["seen"], payout["rounding"], payout["rate"][:12]) == ("1/EURUSD", 1, "0.9259259259")
    assert await world.balances() == {
        (f"follower:{FOLLOWER}", "USD"): -2005,
        ("fx:USD", "USD"): 2004,
        ("rounding:USD", "USD"): 1,
        ("fx:EUR", "EUR"): -1856,
        ("payout:100005", "EUR"): 1856,
    }
    assert ledger.sums(await world.balances()) == {"USD": 0, "EUR": 0}


async def test_without_a_price_the_payout_waits_for_one(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"), payout_account_login=100005)
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.carried_out(world.requests[0], operation_id=501)
    assert len(world.requests) == 1
    assert world.accrual().state is AccrualState.CHARGED
    await world.symbol("EURUSD", "EUR", "USD", "1.25", "1.25")
    world.now += 60_000
    await world.tick()
    assert world.requests[1].amount == dec("16.00")


async def test_an_operation_under_our_id_that_nobody_asked_for_moves_nothing(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.carried_out(world.requests[0]._replace(amount=dec("19")), operation_id=501)
    await world.carried_out(world.requests[0]._replace(client_id="r-12345-out"), operation_id=502)
    assert world.accrual().state is AccrualState.PENDING
    assert await world.balances() == {}


async def test_a_restart_in_the_middle_goes_on_and_a_snapshot_tells_it_all(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.closed(7, order=9002, profit="-1")
    await world.restart()
    await world.carried_out(world.requests[0], operation_id=501)
    before = dict(world.accruals)
    world.accruals.clear()
    requests, world.requests = world.requests, []
    await world.snapshot()
    assert world.accruals == before
    assert world.requests == requests[1:]
    assert world.sharing[7][-3:] == (dec("99"), dec("20.00"), dec("0"))


async def test_the_journal_is_append_only_chained_and_never_unbalanced(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, order=9001, profit="100")
    await world.carried_out(world.requests[0], operation_id=501)
    await world.carried_out(world.requests[1], operation_id=502)
    async with world.store.read() as session:
        entries = [ledger.Entry(*row) for row in (await session.execute(select(tables.journal).order_by(tables.journal.c.sequence)))]
        kept = await store.balances(session)
    assert [entry.sequence for entry in entries] == [1, 2]
    assert [entry.previous for entry in entries] == [ledger.GENESIS, entries[0].hash]
    assert all(ledger.digest(entry) == entry.hash for entry in entries)
    assert kept == ledger.fold(entries)
    bad = entries[0]._asdict() | {"sequence": 3, "accrual": 1}
    refused: Sequence[Any] = (
        insert(tables.journal).values(**bad | {"amount": 0}),
        insert(tables.journal).values(**bad | {"amount": -5}),
        insert(tables.journal).values(**bad | {"destination": bad["source"]}),
        insert(tables.journal).values(**entries[0]._asdict() | {"sequence": 3}),
        update(tables.journal).values(amount=1),
        text("DELETE FROM journal"),
    )
    for statement in refused:
        with pytest.raises(DatabaseError):
            async with world.store.work() as work:
                await work.session.execute(statement)


async def test_a_fan_out_of_500_closes_is_one_event_of_accruals(world: World) -> None:
    await world.policy(reward_type=3, fee_percent=dec("10"))
    await world.trades(AccountsOpened.of([account_row(number + 100_000, 5000 + number) for number in range(1000, 1500)]))
    await world.config(*[subscribed(number, number + 100_000) for number in range(1000, 1500)])
    await world.closed_many([(subscription, 50_000 + subscription, Decimal(subscription)) for subscription in range(1000, 1500)])
    assert len(world.accruals) == len({row.id for row in world.accruals.values()}) == 500
    assert sum(row.fee_amount for row in world.accruals.values()) == dec("62475.0")  # 10 % of 1000 + .. + 1499 = 624750
    answers = [
        BalanceRow(i, r.login, r.operation, r.amount, r.currency, r.reason, r.client_id, r.api_data, dec("0"), dec("0"), dec("0"))
        for i, r in enumerate(world.requests)
    ]
    await world.trades(BalancesChanged.of(answers))
    assert {row.state for row in world.accruals.values()} == {AccrualState.CHARGED}
