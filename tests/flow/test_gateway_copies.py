"""Copy orders through the gateway's real handlers: in bulk, once, and never past the venue's own checks."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from shared.contracts import orders
from shared.contracts.orders import (
    CancelCopies,
    CancelRow,
    ProtectCopies,
    ProtectRow,
    ReplaceCopies,
    ReplaceRow,
    SyncAccounts,
)

from tests.flow.gateway_world import NONE, NOON, GatewayWorld, close_copies, gateway_world, open_copies, place_copies

D = Decimal
pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


async def test_five_hundred_copies_are_one_table(world: GatewayWorld) -> None:
    logins = await world.accounts(500)
    await world.handle(orders.TOPIC, open_copies(logins, sl=D("1.5")))
    opened, changed = await world.told()
    assert (opened.type, changed.type) == ("position.opened", "account.changed")
    assert [row.login for row in opened.rows] == [row.login for row in changed.rows] == logins
    row = opened.rows[0]
    assert (row.side, row.volume, row.price, row.sl, row.tp) == ("buy", 10, D("1.5757"), D("1.5"), 0)
    assert (row.client_id, row.reason, row.opened_ms) == ("c-1-7-open-0", "TR_REASON_COPY", NOON)
    # just before the trade: nothing but the balance; after it: 10 units x 1,000 GBP x 0.0001 of spread less, margin 15,757 / 100
    assert (row.equity, row.balance, row.credit) == (10_000, 10_000, 0)
    assert (changed.rows[0].equity, changed.rows[0].margin, changed.rows[0].positions) == (9_999, D("157.57"), 1)
    position = (await world.call("GET", f"/accounts/{logins[2]}"))["positions"][0]
    assert position["client_id"] == "c-3-7-open-0"
    assert position["api_data"] == {"copy_subscription_id": 3, "copy_master_order": 7}


async def test_a_copy_that_is_asked_for_again_is_answered_again_and_not_opened_again(world: GatewayWorld) -> None:
    logins = await world.accounts(3)
    await world.handle(orders.TOPIC, open_copies(logins))
    first = (await world.told())[0]
    await world.price("1.60000", "1.60010")
    await world.restart()
    before = await world.tables()
    for table in ("log_outbox", "log_counter"):
        before.pop(table)
    await world.told()
    await world.handle(orders.TOPIC, open_copies(logins), open_copies(logins))
    again = await world.told()
    assert [event.type for event in again] == ["position.opened", "position.opened"]
    assert [event.rows for event in again] == [first.rows, first.rows]
    after = await world.tables()
    assert {name: after[name] for name in before} == before


async def test_the_same_row_twice_in_one_table_is_one_position(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    table = open_copies([login])
    await world.handle(orders.TOPIC, table.model_copy(update={"rows": table.rows * 2}))
    rows = (await world.told_rows())["position.opened"]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert len((await world.call("GET", f"/accounts/{login}"))["positions"]) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"volume": 7_000}, "NOT_ENOUGH_MONEY"),
        ({"volume": 0}, "INVALID_VOLUME"),
        ({"volume": 2_000_000}, "INVALID_VOLUME"),
        ({"sl": D("1.5756")}, "INVALID_STOPS"),
        ({"tp": D("1.5756")}, "INVALID_STOPS"),
        ({"sl": D("1e100")}, "INVALID_STOPS"),
        ({"worst_price": D("1.57569")}, "PRICE_MOVED"),
        ({"worst_price": D("1.57561"), "side": "sell"}, "PRICE_MOVED"),
        ({"symbol": "NOPE"}, "SYMBOL_NOT_FOUND"),
        ({"leverage": -1}, "INVALID_DATA"),
    ],
)
async def test_a_copy_bypasses_no_check(world: GatewayWorld, row: dict[str, Any], reason: str) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login], **row))
    (event,) = await world.told()
    refused = event.rows[0]
    assert (event.type, refused.login, refused.client_id, refused.order, refused.action, refused.reason) == (
        "order.rejected",
        login,
        "c-1-7-open-0",
        0,
        "open",
        reason,
    )
    assert (await world.call("GET", f"/accounts/{login}"))["positions"] == []
    await world.handle(orders.TOPIC, open_copies([login]))  # the same id, with nothing wrong any more: the answer stands
    assert [event.type for event in await world.told()] == ["order.rejected"]


async def test_good_rows_of_a_table_are_carried_out_beside_bad_ones(world: GatewayWorld) -> None:
    rich, poor = await world.account(10_000), await world.account(1)
    await world.told()
    await world.handle(orders.TOPIC, open_copies([rich, poor, 5]))
    rows = await world.told_rows()
    assert [row.login for row in rows["position.opened"]] == [rich]
    assert [(row.login, row.reason) for row in rows["order.rejected"]] == [(poor, "NOT_ENOUGH_MONEY"), (5, "ACCOUNT_NOT_FOUND")]
    assert [row.login for row in rows["account.changed"]] == [rich]


async def test_worst_price_and_leverage_of_a_copy(world: GatewayWorld) -> None:
    """At its own leverage of 10 a margin of 15,757.00 USD binds 1,575.70; a worst price that is not passed is no hindrance."""
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login], worst_price=D("1.57570"), leverage=10))
    assert (await world.told_rows())["account.changed"][0].margin == D("1575.70")
    assert (await world.call("GET", f"/accounts/{login}"))["margin"] == D("1575.70")


async def test_stops_of_a_copy_are_put_on_the_symbols_grid(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login], sl=D("1.5000049")))
    assert (await world.told_rows())["position.opened"][0].sl == D("1.50000")


async def test_closes_find_their_position_by_order_or_by_the_openings_id(world: GatewayWorld) -> None:
    """Ten units opened at 1.57570; 4 close at 1.58000: 4,000 x 0.0043 = 17.20; 99 are more than the 6 that are left: 25.80."""
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login]))
    order = (await world.told_rows())["position.opened"][0].order
    await world.price("1.58000", "1.58010")
    await world.told()
    await world.handle(orders.TOPIC, close_copies(login, 4, order=order))
    reduced = (await world.told_rows())["position.reduced"][0]
    assert (reduced.initial, reduced.closed, reduced.left, reduced.profit) == (10, 4, 6, D("17.20"))
    assert (reduced.client_id, reduced.position_client_id, reduced.reason) == ("c-1-7-close-1", "c-1-7-open-0", "TR_REASON_COPY")
    await world.restart()
    await world.handle(orders.TOPIC, close_copies(login, 99, step=2))
    closed = (await world.told_rows())["position.closed"][0]
    assert (closed.order, closed.closed, closed.left, closed.profit) == (order, 6, 0, D("25.80"))
    await world.handle(orders.TOPIC, close_copies(login, 4, order=order), close_copies(login, 99, step=2))  # asked again, answered again
    rows = await world.told_rows()
    assert (rows["position.reduced"], rows["position.closed"]) == ([reduced], [closed])
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == D("10043.00")


async def test_a_close_of_nothing_or_of_another_accounts_position_is_rejected(world: GatewayWorld) -> None:
    logins = await world.accounts(2)
    await world.handle(orders.TOPIC, open_copies(logins[:1]))
    order = (await world.told_rows())["position.opened"][0].order
    wrong_account = close_copies(logins[1], 5, order=order)
    await world.handle(orders.TOPIC, wrong_account, close_copies(logins[0], 5, master_order=8), close_copies(logins[0], 0, step=3))
    rows = (await world.told_rows())["order.rejected"]
    assert [(row.action, row.reason) for row in rows] == [
        ("close", "POSITION_NOT_FOUND"),
        ("close", "POSITION_NOT_FOUND"),
        ("close", "INVALID_VOLUME"),
    ]


async def test_stops_are_changed_in_bulk_and_trigger(world: GatewayWorld) -> None:
    """The second stop at 1.56 is reached at a bid of 1.55: closed there, 10,000 x (1.55 - 1.5757) = -257.00."""
    logins = await world.accounts(2)
    await world.handle(orders.TOPIC, open_copies(logins, sl=D("1.57")))
    await world.told()
    rows = [ProtectRow(0, login, 0, D("1.56"), D("1.6"), place, 1) for place, login in enumerate(logins, 1)]
    protect = ProtectCopies.of(rows, master_order=7)
    await world.handle(orders.TOPIC, protect)
    changed = (await world.told_rows())["position.changed"]
    assert [(row.sl, row.tp, row.version, row.client_id) for row in changed] == [
        (D("1.56"), D("1.6"), 2, "c-1-7-protect-1"),
        (D("1.56"), D("1.6"), 2, "c-2-7-protect-1"),
    ]
    await world.price("1.565", "1.5651")
    assert "position.closed" not in await world.told_rows()  # the first stop at 1.57 is no more
    await world.price("1.55", "1.5501")
    closed = (await world.told_rows())["position.closed"]
    assert [(row.price, row.profit, row.reason, row.client_id) for row in closed] == [(D("1.55"), -257, "TR_REASON_SL", "")] * 2
    await world.handle(orders.TOPIC, protect)
    assert (await world.told_rows())["position.changed"] == changed  # asked again, answered again, though it is closed


async def test_a_stop_that_cannot_be_is_rejected_and_the_old_one_stays(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, open_copies([login], sl=D("1.57")))
    order = (await world.told_rows())["position.opened"][0].order
    await world.handle(orders.TOPIC, ProtectCopies.of([ProtectRow(0, login, order, D("1.6"), NONE, 1, 1)], master_order=7))
    rejected = (await world.told_rows())["order.rejected"][0]
    assert (rejected.order, rejected.action, rejected.reason) == (order, "protect", "INVALID_STOPS")
    assert (await world.call("GET", f"/accounts/{login}"))["positions"][0]["sl"] == D("1.57")


async def test_pending_copies_are_placed_replaced_cancelled_and_answered_again(world: GatewayWorld) -> None:
    logins = await world.accounts(2)
    await world.handle(orders.TOPIC, place_copies(logins))
    placed = (await world.told_rows())["pending.placed"]
    assert [(row.login, row.kind, row.price, row.client_id) for row in placed] == [
        (logins[0], "limit", D("1.5"), "c-1-7-place-0"),
        (logins[1], "limit", D("1.5"), "c-2-7-place-0"),
    ]
    assert (placed[0].equity, placed[0].balance) == (10_000, 10_000)
    replace = ReplaceCopies.of([ReplaceRow(0, logins[0], 0, D("1.51"), NONE, D("1.4"), NONE, 1, 1)], master_order=7, expires_ms=NOON + 5000)
    await world.handle(orders.TOPIC, replace)
    changed = (await world.told_rows())["pending.changed"]
    assert [(row.order, row.price, row.sl, row.expires_ms, row.version) for row in changed] == [
        (placed[0].order, D("1.51"), D("1.4"), NOON + 5000, 2)
    ]
    cancel = CancelCopies.of([CancelRow(0, logins[0], placed[0].order, 1, 2), CancelRow(0, logins[1], 5, 2, 2)], master_order=7, reason="X")
    await world.handle(orders.TOPIC, cancel)
    rows = await world.told_rows()
    assert [(row.order, row.client_id, row.reason) for row in rows["pending.cancelled"]] == [
        (placed[0].order, "c-1-7-place-0", "TR_REASON_COPY")
    ]
    assert [(row.action, row.reason) for row in rows["order.rejected"]] == [("cancel", "ORDER_NOT_FOUND")]
    await world.handle(orders.TOPIC, place_copies(logins), replace, cancel)
    again = await world.told_rows()
    assert (again["pending.placed"], again["pending.changed"], again["pending.cancelled"]) == (placed, changed, rows["pending.cancelled"])
    assert len((await world.call("GET", f"/accounts/{logins[1]}"))["pending"]) == 1


async def test_a_pending_copy_becomes_a_position_that_its_close_finds(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, place_copies([login]))
    order = (await world.told_rows())["pending.placed"][0].order
    await world.price("1.49980", "1.49990")
    events = await world.told()
    assert [event.type for event in events] == ["pending.filled", "position.opened", "account.changed"]
    opened = events[1].rows[0]
    assert (opened.order, opened.price, opened.client_id, opened.reason) == (order, D("1.49990"), "c-1-7-place-0", "TR_REASON_COPY")
    await world.handle(orders.TOPIC, close_copies(login, 10))
    assert (await world.told_rows())["position.closed"][0].order == order


async def test_a_pending_copy_that_comes_too_late_is_rejected(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1)
    await world.handle(orders.TOPIC, place_copies([login], expires_ms=NOON))
    assert [row.reason for row in (await world.told_rows())["order.rejected"]] == ["EXPIRED"]


async def test_a_sync_tells_what_an_account_holds(world: GatewayWorld) -> None:
    logins = await world.accounts(2)
    await world.handle(orders.TOPIC, open_copies(logins[:1]))
    await world.order(logins[0], "sell", 5, type="limit", price=1.7)
    await world.told()
    await world.handle(orders.TOPIC, SyncAccounts(logins=(logins[0], logins[1], 5), request="why-1"))
    first, second, unknown = await world.told()
    assert [(row.volume, row.client_id) for row in first.rows] == [(10, "c-1-7-open-0")]
    assert [(row.volume, row.price) for row in first.pending] == [(5, D("1.7"))]
    assert (first.request, first.first, first.last) == ("why-1", True, True)
    assert [(event.login, event.rows, event.pending, event.last) for event in (second, unknown)] == [
        (logins[1], (), (), True),
        (5, (), (), True),
    ]


# What the configuration says
