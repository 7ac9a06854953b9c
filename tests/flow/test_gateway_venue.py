"""What the paper venue does by itself: stops, stop-outs, costs, pending orders, time, and coming back from a stop."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway.paper import orders as venue_orders
from gateway.paper.deals import close_position
from shared.contracts import config, orders, rewards
from shared.contracts.config import Follower, FollowerSaved, Halt, HaltSaved, ManualTradingMode
from shared.contracts.rewards import BalanceOrderRow, BalancesRequested
from shared.store.work import Work

from tests.flow.gateway_world import NOON, GatewayWorld, gateway_world, open_copies

D = Decimal
pytestmark = pytest.mark.anyio
DAY = 86_400_000
MIDNIGHT = NOON // DAY * DAY + DAY


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


def reasons(rows: dict[str, list[Any]], kind: str = "position.closed") -> list[tuple[int, str, Decimal]]:
    return [(row.order, row.reason, row.price) for row in rows.get(kind, [])]


# Stops


async def test_stop_loss_and_take_profit_close_at_the_market_of_that_moment(world: GatewayWorld) -> None:
    login = (await world.accounts(1))[0]
    buy = await world.order(login, sl=1.57, tp=1.58)
    sell = await world.order(login, "sell", sl=1.59, tp=1.56)
    await world.told()
    await world.price("1.57001", "1.58999")  # a wide spread: neither side is reached
    assert reasons(await world.told_rows()) == []
    await world.price("1.58200", "1.58210")  # beyond the buy's take profit: filled at the bid
    assert reasons(await world.told_rows()) == [(buy, "TR_REASON_TP", D("1.58200"))]
    await world.price("1.58990", "1.59300")  # beyond the sell's stop: filled at the ask
    assert reasons(await world.told_rows()) == [(sell, "TR_REASON_SL", D("1.59300"))]


async def test_an_isolated_position_is_closed_when_it_has_lost_its_margin(world: GatewayWorld) -> None:
    """10 units are 10,000 GBP: at 1.5757 and leverage 50 a margin of 315.14. The bid was 1.5756; 0.03151 below 1.5757 is 1.54419."""
    login = await world.account()
    cross = await world.order(login, leverage=50)
    isolated = await world.order(login, leverage=50, margin_type="isolated")
    held = (await world.call("GET", f"/accounts/{login}"))["positions"]
    assert [(one["order"], one["leverage"], one["margin_type"]) for one in held] == [(cross, 50, "cross"), (isolated, 50, "isolated")]
    opened = (await world.told_rows())["position.opened"]
    assert [(row.leverage, row.margin_type) for row in opened] == [(50, 0), (50, 1)]
    await world.restart()
    await world.price("1.54419", "1.54429")
    assert reasons(await world.told_rows()) == []
    await world.price("1.54418", "1.54428")
    rows = await world.told_rows()
    assert reasons(rows) == [(isolated, "TR_REASON_SO", D("1.54418"))]
    assert (rows["position.closed"][0].leverage, rows["position.closed"][0].margin_type) == (50, 1)


async def test_a_pending_order_keeps_its_leverage_and_margin_type(world: GatewayWorld) -> None:
    login = await world.account()
    order = await world.order(login, type="limit", price=1.57, leverage=20, margin_type="isolated")
    await world.told()
    await world.restart()
    await world.price("1.56990", "1.57000")
    [row] = (await world.told_rows())["position.opened"]
    assert (row.order, row.leverage, row.margin_type) == (order, 20, 1)


async def test_a_price_change_tells_the_closes_then_the_accounts(world: GatewayWorld) -> None:
    logins = await world.accounts(3)
    for login in logins:
        await world.order(login, sl=1.57)
    await world.told()
    await world.price("1.56", "1.5601")
    closed, changed = await world.told()
    assert (closed.type, changed.type) == ("position.closed", "account.changed")
    assert [row.login for row in closed.rows] == [row.login for row in changed.rows] == logins
    assert changed.rows[0].balance == D("9843.00")  # 10,000 GBP x (1.56 - 1.5757) = -157.00


async def test_stop_out_closes_the_largest_loss_first_until_the_level_is_kept(world: GatewayWorld) -> None:
    """2,000 USD; 40 + 60 units bought at 1.57570: margin 630.28 + 945.42 = 1,575.70; half of it is 787.85.

    At a bid of 1.56350 the loss is 0.0122 x 100,000 = 1,220.00: equity 780.00 is below 787.85. The larger loss (60 units, 732.00)
    goes; left are equity 780.00 and margin 630.28: a level of 124 %.
    """
    login = (await world.accounts(1, 2000))[0]
    small, large = await world.order(login, volume=40), await world.order(login, volume=60)
    await world.told()
    await world.price("1.56360", "1.56370")  # equity 790.00: still above
    assert reasons(await world.told_rows()) == []
    await world.price("1.56350", "1.56360")
    rows = await world.told_rows()
    assert reasons(rows) == [(large, "TR_REASON_SO", D("1.56350"))]
    assert rows["position.closed"][0].profit == -732
    account = await world.call("GET", f"/accounts/{login}")
    assert (account["equity"], account["margin"], [p["order"] for p in account["positions"]]) == (780, D("630.28"), [small])


async def test_an_account_in_another_currency_is_stopped_out_by_its_exchange_rate(world: GatewayWorld) -> None:
    """1,000 EUR hold 100 units sold at 1.57560 (margin 1,575.60 USD) that have lost 1,140 USD.

    At EURUSD 1.5 that is a margin of 1,050.40 and an equity of 240.00 EUR; the level 22.8 % is below 50 %. At 2.0: margin 787.80,
    equity 430.00, level 54.6 %.
    """
    login = (await world.accounts(1, 1000, "real-eur"))[0]
    await world.price("2", "2", "EURUSD")
    order = await world.order(login, "sell", 100)
    await world.price("1.58690", "1.58700")
    await world.told()
    assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 430
    await world.price("1.5", "1.5", "EURUSD")
    assert reasons(await world.told_rows()) == [(order, "TR_REASON_SO", D("1.58700"))]
    assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 240


# Costs


async def test_commission_per_lot_and_side(tmp_path: Path) -> None:
    """7 a lot and side on half a lot: 3.50 to open, and 3.50 in two closes of 20 and 30 units (1.40 and 2.10).

    The closing rows share the opening's 3.50 as 20/50 = 1.40 and the rest, 2.10: -2.80 and -4.20, in all -7.00.
    """
    async with gateway_world(tmp_path, GBPUSD={"commission": 7}) as world:
        login = (await world.accounts(1))[0]
        order = await world.order(login, volume=50)
        opened = (await world.told_rows())["position.opened"][0]
        assert (opened.commission, opened.balance, opened.equity) == (D("-3.50"), 10_000, 10_000)
        assert (await world.call("GET", f"/accounts/{login}"))["balance"] == D("9996.50")
        await world.call("POST", f"/orders/{order}/close", {"volume": 20})
        await world.call("POST", f"/orders/{order}/close")
        rows = await world.told_rows()
        slices = [*rows["position.reduced"], *rows["position.closed"]]
        assert [row.commission for row in slices] == [D("-2.80"), D("-4.20")]
        # the spread: 20,000 x 0.0001 = 2.00 and 3.00
        assert sum(row.profit + row.commission + row.swap for row in slices) == -12
        assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 9988
        deals = (await world.call("GET", f"/accounts/{login}/history"))["deals"]
        assert [deal["commission"] for deal in deals] == [D("-3.5"), D("-1.4"), D("-2.1")]


async def test_swap_is_charged_at_midnight_and_booked_when_it_closes(tmp_path: Path) -> None:
    """-2 a lot and night long, +1 short: one lot each over two nights, then a quarter of the long one is closed: -1.00 of its -4.00."""
    async with gateway_world(tmp_path, GBPUSD={"swap_long": -2, "swap_short": 1}) as world:
        login = (await world.accounts(1))[0]
        buy, sell = await world.order(login, volume=100), await world.order(login, "sell", 100)
        world.now = MIDNIGHT - 1
        await world.venue.look()
        assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 9980  # the spread of both
        world.now = MIDNIGHT
        await world.venue.look()
        await world.venue.look()
        late = await world.order(login, volume=100)
        assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 9969  # -2 + 1, and the new one's spread
        await world.restart()
        world.now = MIDNIGHT + DAY
        await world.told()
        part = await world.call("POST", f"/orders/{buy}/close", {"volume": 25})
        assert (part["swap"], part["profit"]) == (-1, D("-2.5"))
        assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 9966  # closing a part takes its share of swap along
        assert (await world.call("POST", f"/orders/{buy}/close"))["swap"] == -3
        assert (await world.call("POST", f"/orders/{sell}/close"))["swap"] == 2
        assert (await world.call("POST", f"/orders/{late}/close"))["swap"] == -2
        assert (await world.call("GET", f"/accounts/{login}"))["balance"] == 9966  # 3 spreads of 10.00, swaps -4 + 2 - 2


async def test_nights_that_the_venue_slept_through_are_charged_after_it_woke(tmp_path: Path) -> None:
    async with gateway_world(tmp_path, GBPUSD={"swap_long": -2}) as world:
        login = (await world.accounts(1))[0]
        await world.order(login, volume=100)
        world.now = MIDNIGHT + 2 * DAY + 5
        await world.restart()
        assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 9984  # -10 of spread, 3 nights
        await world.restart()
        assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 9984


# Pending orders


@pytest.mark.parametrize(
    ("side", "kind", "price", "limit_price", "moves", "filled_at"),
    [
        ("buy", "limit", 1.57, 0, [("1.5700", "1.5701")], None),
        ("buy", "limit", 1.57, 0, [("1.5699", "1.5700")], "1.5700"),
        ("buy", "limit", 1.57, 0, [("1.5500", "1.5501")], "1.5501"),  # a gap: better than asked for
        ("sell", "limit", 1.58, 0, [("1.5900", "1.5901")], "1.5900"),
        ("buy", "stop", 1.58, 0, [("1.5799", "1.5800")], "1.5800"),
        ("buy", "stop", 1.58, 0, [("1.5900", "1.5901")], "1.5901"),  # a gap: worse than asked for
        ("sell", "stop", 1.57, 0, [("1.5600", "1.5601")], "1.5600"),
        ("buy", "stop_limit", 1.58, 1.575, [("1.5800", "1.5801")], None),  # armed, rests at 1.575
        ("buy", "stop_limit", 1.58, 1.575, [("1.5740", "1.5741")], None),  # the limit alone does nothing
        ("buy", "stop_limit", 1.58, 1.575, [("1.5800", "1.5801"), ("1.5740", "1.5741")], "1.5741"),
        ("buy", "stop_limit", 1.58, 1.585, [("1.5800", "1.5801")], "1.5801"),  # its limit is above: filled at once
        ("buy", "stop_limit", 1.58, 1.585, [("1.5900", "1.5901"), ("1.5849", "1.5850")], "1.5850"),  # a gap beyond the limit: waits
        ("sell", "stop_limit", 1.57, 1.576, [("1.5690", "1.5691"), ("1.5760", "1.5761")], "1.5760"),
    ],
)
async def test_pending_orders_are_filled_at_the_market_when_their_price_comes(
    world: GatewayWorld, side: str, kind: str, price: float, limit_price: float, moves: list[tuple[str, str]], filled_at: str | None
) -> None:
    login = (await world.accounts(1))[0]
    order = await world.order(login, side, type=kind, price=price, limit_price=limit_price)
    for move in moves:
        await world.restart()  # levels, and whether it is armed, survive
        await world.price(*move)
    rows = await world.told_rows()
    assert [(row.order, row.side, row.price) for row in rows.get("position.opened", [])] == (
        [(order, side, D(filled_at))] if filled_at else []
    )
    assert [row.order for row in rows.get("pending.filled", [])] == ([order] if filled_at else [])
    account = await world.call("GET", f"/accounts/{login}")
    assert (len(account["positions"]), len(account["pending"])) == ((1, 0) if filled_at else (0, 1))


async def test_a_gap_through_a_pending_order_and_its_stop_opens_and_closes(world: GatewayWorld) -> None:
    login = (await world.accounts(1))[0]
    order = await world.order(login, type="limit", price=1.57, sl=1.56)
    await world.told()
    await world.price("1.55", "1.5501")
    events = await world.told()
    assert [event.type for event in events] == ["pending.filled", "position.opened", "position.closed", "account.changed"]
    assert reasons({"position.closed": list(events[2].rows)}) == [(order, "TR_REASON_SL", D("1.55"))]


async def test_a_pending_order_that_the_account_cannot_pay_is_cancelled(world: GatewayWorld) -> None:
    login = (await world.accounts(1, 100))[0]
    order = await world.order(login, volume=100, type="limit", price=1.57)
    await world.told()
    await world.price("1.5699", "1.57")
    assert [(row.order, row.reason) for row in (await world.told_rows())["pending.cancelled"]] == [(order, "NOT_ENOUGH_MONEY")]


async def test_a_pending_order_expires(world: GatewayWorld) -> None:
    login = (await world.accounts(1))[0]
    order = await world.order(login, type="limit", price=1.57, expiration=NOON // 1000 + 10)
    longer = await world.order(login, type="limit", price=1.57, expiration=NOON // 1000 + 10)
    await world.call("PUT", f"/orders/{longer}", {"expiration": 0})
    await world.restart()
    await world.told()
    world.now = NOON + 9_999
    await world.venue.look()
    assert await world.told() == []
    world.now = NOON + 10_000
    await world.price("1.5699", "1.57")  # too late for the first: time passes before the price does
    rows = await world.told_rows()
    assert [(row.order, row.reason) for row in rows["pending.cancelled"]] == [(order, "EXPIRED")]
    assert [row.order for row in rows["position.opened"]] == [longer]


async def test_a_stop_limit_that_rests_at_its_limit_keeps_the_price_that_was_reached(world: GatewayWorld) -> None:
    """Its stop at 1.58 is reached, so it waits for 1.575: another stop price has no effect, and is not told; another limit has."""
    login = (await world.accounts(1))[0]
    order = await world.order(login, type="stop_limit", price=1.58, limit_price=1.575)
    await world.price("1.5800", "1.5801")
    await world.told()
    changed = await world.call("PUT", f"/orders/{order}", {"price": 1.59, "limit_price": 1.576})
    assert (changed["price"], changed["limit_price"]) == (D("1.58"), D("1.576"))
    assert [(row.price, row.limit_price) for row in (await world.told_rows())["pending.changed"]] == [(D("1.58"), D("1.576"))]
    await world.price("1.5759", "1.5760")
    assert [row.order for row in (await world.told_rows())["position.opened"]] == [order]


async def test_an_order_that_is_changed_often_ends_once_and_piles_nothing_up(world: GatewayWorld) -> None:
    """Two ends in turn, 5,000 times: at most 1,024 are kept, and the later one, which was set last, holds."""
    login = (await world.accounts(1))[0]
    order = await world.order(login, type="limit", price=1.57, expiration=NOON // 1000 + 10)
    async with world.venue.transaction() as (book, _):
        waiting = book.pending[order]
        for turn in range(5_000):
            levels = (waiting.price, waiting.limit_price, waiting.sl, waiting.tp)
            venue_orders.replace(book, waiting, *levels, NOON + (20_000 if turn % 2 else 15_000))
        assert len(book.expiries._heap) <= 1_024
    await world.told()
    for after, gone in ((10_000, []), (15_000, []), (20_000, [order])):
        world.now = NOON + after
        await world.venue.look()
        assert [row.order for row in (await world.told_rows()).get("pending.cancelled", [])] == gone


# Coming back


async def test_everything_that_is_kept_comes_back_on_either_database(tmp_path: Path, new_store_url: Callable[[str], str]) -> None:
    """Each kind of record is written, changed and taken out, with a restart in between, on SQLite and on Postgres alike."""
    async with gateway_world(tmp_path, new_store_url("gateway"), GBPUSD={"swap_long": -2}) as world:
        first, second = await world.accounts(2)
        await world.handle(orders.TOPIC, open_copies([first, second], sl=D("1.5")))
        pending = await world.order(first, "sell", type="stop_limit", price=1.57, limit_price=1.576, client_id="p")
        await world.price("1.56900", "1.56910")  # arms it
        halt = HaltSaved(halt=Halt(id=1, scope="all"))
        follower = Follower(id=1, login=second, customer_id=1, manual_trading_mode=ManualTradingMode.DISABLED)
        await world.handle(config.TOPIC, halt, FollowerSaved(follower=follower))
        row = BalanceOrderRow("r-1-out", 1, first, "OP_BALANCE_OUT", D("1.25"), "USD", "TR_REASON_COPY_REWARD", "{}")
        await world.handle(rewards.TOPIC, BalancesRequested.of([row]))
        world.now = MIDNIGHT
        await world.venue.look()
        before = [await world.call("GET", f"/accounts/{login}") for login in (first, second)]
        await world.restart()
        assert [await world.call("GET", f"/accounts/{login}") for login in (first, second)] == before
        assert before[0]["balance"] == D("9998.75")
        assert await world.refused("POST", "/orders", {"login": second, "symbol": "GBPUSD", "side": "buy", "volume": 1}) == (
            400,
            "MANUAL_TRADING_DISABLED",
        )
        await world.told()
        await world.handle(orders.TOPIC, open_copies([first, second], 7), open_copies([first], 8))
        rows = await world.told_rows()
        assert ([row.reason for row in rows["order.rejected"]], len(rows["position.opened"])) == (["TRADING_HALTED"], 2)
        await world.price("1.57600", "1.57610")
        assert [row.order for row in (await world.told_rows())["position.opened"]] == [pending]
        await world.price("1.49000", "1.49010")
        rows = await world.told_rows()
        assert [(row.login, row.reason, row.swap) for row in rows["position.closed"]] == [
            (first, "TR_REASON_SL", D("-0.20")),
            (second, "TR_REASON_SL", D("-0.20")),
        ]
        await world.restart()
        assert [p["order"] for p in (await world.call("GET", f"/accounts/{first}"))["positions"]] == [pending]


async def test_a_transaction_that_is_given_up_leaves_no_trace_in_memory(world: GatewayWorld) -> None:
    login = (await world.accounts(1))[0]
    order = await world.order(login)
    before = await world.call("GET", f"/accounts/{login}")

    async def handled_and_given_up(work: Work) -> None:
        book = await world.venue.begin(work)
        position = book.positions[order]
        close_position(book, position, 4, "TR_REASON_CLIENT")
        await world.venue.finish(work, book)
        raise RuntimeError("after everything was written")

    with pytest.raises(RuntimeError):
        async with world.store.work() as work:
            await handled_and_given_up(work)
    assert await world.call("GET", f"/accounts/{login}") == before
