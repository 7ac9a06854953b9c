"""Settlements through the gateway's real handler: once per client id, guarded, and refused for good only when asking again cannot help."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared.contracts import rewards
from shared.contracts.rewards import BalanceOrderRow, BalancesRequested

from tests.flow.gateway_world import GatewayWorld, gateway_world

D = Decimal
pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


def out(login: int, amount: str, accrual: int = 1, **more: Any) -> BalanceOrderRow:
    row = BalanceOrderRow(
        client_id=f"r-{accrual}-out",
        accrual=accrual,
        login=login,
        operation="OP_BALANCE_OUT",
        amount=D(amount),
        currency="USD",
        reason="TR_REASON_COPY_REWARD",
        api_data=json.dumps({"copy_reward_accrual_id": accrual}),
    )
    return row._replace(**more)


def into(login: int, amount: str, accrual: int = 1, **more: Any) -> BalanceOrderRow:
    return out(login, amount, accrual, client_id=f"r-{accrual}-in", operation="OP_BALANCE_IN", **more)


async def settle(world: GatewayWorld, *rows: BalanceOrderRow) -> dict[str, list[Any]]:
    await world.handle(rewards.TOPIC, BalancesRequested.of(rows))
    return await world.told_rows()


async def test_a_reward_goes_out_of_one_account_and_into_another(world: GatewayWorld) -> None:
    follower, master = await world.accounts(2, 1000)
    rows = await settle(world, out(follower, "12.34"), into(master, "12.34"))
    assert [(row.login, row.operation, row.amount, row.balance, row.equity, row.reason) for row in rows["balance.changed"]] == [
        (follower, "OP_BALANCE_OUT", D("12.34"), D("987.66"), D("987.66"), "TR_REASON_COPY_REWARD"),
        (master, "OP_BALANCE_IN", D("12.34"), D("1012.34"), D("1012.34"), "TR_REASON_COPY_REWARD"),
    ]
    assert [row.client_id for row in rows["balance.changed"]] == ["r-1-out", "r-1-in"]
    assert [(row.login, row.balance) for row in rows["account.changed"]] == [(follower, D("987.66")), (master, D("1012.34"))]
    operation = (await world.call("GET", f"/accounts/{follower}/history"))["operations"][-1]
    assert (operation["type"], operation["api_data"]) == ("OP_BALANCE_OUT", {"copy_reward_accrual_id": 1})


async def test_a_settlement_that_is_asked_for_again_is_answered_again(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1, 1000)
    first = (await settle(world, out(login, "10"), out(login, "10")))["balance.changed"]
    assert len(first) == 2
    assert first[0] == first[1]
    await world.restart()
    assert (await settle(world, out(login, "10")))["balance.changed"] == first[:1]
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 990


async def test_a_charge_needs_free_margin_and_may_be_tried_again(world: GatewayWorld) -> None:
    """1,000 with 50 units at 1.57570: margin 787.85, 5.00 of spread; free are 207.15."""
    (login,) = await world.accounts(1, 1000)
    await world.order(login, volume=50)
    await world.told()
    refused = (await settle(world, out(login, "207.16")))["balance.refused"]
    assert [(row.login, row.reason, row.final, row.client_id) for row in refused] == [(login, "NOT_ENOUGH_MONEY", False, "r-1-out")]
    assert json.loads(refused[0].api_data) == {"copy_reward_accrual_id": 1}
    await world.call("POST", f"/accounts/{login}/balance", {"amount": 0.01})
    await world.told()
    assert (await settle(world, out(login, "207.16")))["balance.changed"][0].balance == D("792.85")


async def test_a_charge_keeps_the_margin_level_that_is_asked_for(world: GatewayWorld) -> None:
    """Margin 787.85, equity 1,995.00: a level of 200 % needs 1,575.70, so 419.30 may go and 419.31 may not."""
    (login,) = await world.accounts(1, 2000)
    await world.order(login, volume=50)
    await world.told()
    refused = await settle(world, out(login, "419.31", keep_margin_level=200))
    assert refused["balance.refused"][0].reason == "NOT_ENOUGH_MONEY"
    assert "balance.changed" in await settle(world, out(login, "419.30", keep_margin_level=200))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"login": 5}, "ACCOUNT_NOT_FOUND"),
        ({"currency": "EUR"}, "CURRENCY_MISMATCH"),
        ({"amount": D("0.001")}, "INVALID_DATA"),
        ({"amount": D("-5")}, "INVALID_DATA"),
        ({"amount": D("1e60")}, "INVALID_DATA"),
    ],
)
async def test_what_can_never_be_settled_is_refused_for_good(world: GatewayWorld, change: dict[str, Any], reason: str) -> None:
    (login,) = await world.accounts(1, 1000)
    rows = await settle(world, out(login, "5")._replace(**change))
    assert [(row.reason, row.final) for row in rows["balance.refused"]] == [(reason, True)]
    again = await settle(world, out(login, "5"))  # under the same id the answer stands, whatever is asked now
    assert again == {"balance.refused": rows["balance.refused"]}
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 1000


async def test_five_hundred_settlements_are_one_table(world: GatewayWorld) -> None:
    logins = await world.accounts(500, 100)
    await world.handle(rewards.TOPIC, BalancesRequested.of([out(login, "1", place) for place, login in enumerate(logins)]))
    changed, accounts = await world.told()
    assert (changed.type, len(changed.rows), accounts.type, len(accounts.rows)) == ("balance.changed", 500, "account.changed", 500)
    assert {row.balance for row in accounts.rows} == {99}
