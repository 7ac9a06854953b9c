"""What the paper venue tells without being asked: equities, snapshots, symbols and prices, and the feed that moves these."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from gateway.decide import Quote
from gateway.paper import orders as venue_orders
from gateway.paper.feed import Feed
from gateway.paper.venue import prices_of
from gateway.settings import GatewaySettings
from shared.contracts import orders
from shared.contracts.event import Lost
from shared.contracts.trades import TOPIC
from shared.store import outbox

from tests.flow.gateway_world import NOON, GatewayWorld, gateway_world, open_copies

D = Decimal
pytestmark = pytest.mark.anyio
DAY = 86_400_000
MIDNIGHT = NOON // DAY * DAY + DAY


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


# What it tells from time to time


async def feed(world: GatewayWorld, bid: str) -> None:
    """A price as the feed sets it: told to nobody by itself."""
    async with world.venue.transaction(lazy=True) as (book, _):
        venue_orders.set_price(book, "GBPUSD", Quote(D(bid), D(bid) + D("0.0001")))


async def test_accounts_whose_equity_moved_are_reported_in_one_table(world: GatewayWorld) -> None:
    first, second, idle = await world.accounts(3)
    await world.order(first)
    await world.order(second, symbol="EURUSD")
    await world.venue.look()
    await world.told()
    world.now += 2_000
    await world.venue.look()
    assert await world.told() == []  # no price moved
    await feed(world, "1.5765")
    await world.venue.look()
    assert [event.type for event in await world.told()] == ["account.changed"]
    await feed(world, "1.5766")
    await world.told()
    world.now += 1_999
    await world.venue.look()
    assert await world.told() == []  # the last report is too young
    world.now += 1
    await world.venue.look()
    (event,) = await world.told()
    # bought at 1.57570, worth 1.57660: 10,000 x 0.0009 = 9.00
    assert (event.type, [(row.login, row.equity, row.balance) for row in event.rows]) == ("account.changed", [(first, 10_009, 10_000)])
    assert idle not in [row.login for row in event.rows]


async def test_who_looks_at_an_account_takes_no_report_away(world: GatewayWorld) -> None:
    """Bought at 1.57570, worth 1.57660: 10,000 x 0.0009 = 9.00, which the door shows before it is told."""
    login = (await world.accounts(1))[0]
    await world.order(login)
    await world.venue.look()
    await world.told()
    await feed(world, "1.5766")
    assert (await world.call("GET", f"/accounts/{login}"))["equity"] == 10_009
    world.now += 2_000
    await world.venue.look()
    assert [(row.login, row.equity) for row in (await world.told_rows())["account.changed"]] == [(login, 10_009)]


async def test_a_clock_that_goes_back_holds_no_report_up(world: GatewayWorld) -> None:
    login = (await world.accounts(1))[0]
    await world.order(login)
    await world.venue.look()
    await world.told()
    world.now -= 3_600_000
    await feed(world, "1.5766")
    await world.venue.look()
    assert "account.changed" in [event.type for event in await world.told()]


async def test_the_report_is_as_often_as_the_setting_says(monkeypatch: pytest.MonkeyPatch, world: GatewayWorld) -> None:
    monkeypatch.setenv("LOCKSTEP_ACCOUNT_REPORT_MS", "500")
    world.venue._report_ms = GatewaySettings().account_report_ms
    login = (await world.accounts(1))[0]
    await world.order(login)
    await world.venue.look()
    await feed(world, "1.5766")
    await world.told()
    world.now += 500
    await world.venue.look()
    assert [event.type for event in await world.told()] == ["account.changed"]


async def test_a_snapshot_is_everything_that_is(world: GatewayWorld) -> None:
    first, second, idle = await world.accounts(3)
    position = await world.order(first, sl=1.5)
    pending = await world.order(second, type="limit", price=1.5)
    await world.told()
    async with world.store.work() as work:
        await world.venue.snapshot(work)
    symbols, changed, of_first, of_second, of_idle = await world.told(symbols=True)
    assert [row.symbol for row in symbols.rows] == list(world.symbols)
    assert [(row.login, row.positions) for row in changed.rows] == [(first, 1), (second, 0), (idle, 0)]
    assert [(row.order, row.volume, row.sl) for row in of_first.rows] == [(position, 10, D("1.5"))]
    assert (of_second.login, of_second.rows, [row.order for row in of_second.pending]) == (second, (), [pending])
    assert (of_first.request, of_first.first, of_first.last) == ("", True, True)
    # a reader that missed the close of its last position learns of it
    assert (of_idle.login, of_idle.rows, of_idle.pending, of_idle.first, of_idle.last) == (idle, (), (), True, True)


async def test_a_restored_store_gives_no_number_out_again(world: GatewayWorld) -> None:
    """Others have read 20 entries more than there are, of 500 rows each: 10,000 accounts, or as many orders with a deal each."""
    login = await world.account()
    order = await world.order(login)  # its deal is the next number
    async with world.store.read() as session:
        _, last = await outbox.ends(session, TOPIC)
    async with world.store.work(lost=(TOPIC, Lost(last + 1, last + 20))) as work:
        await outbox.raise_counter(work.session, TOPIC, last + 20)
        await world.venue.snapshot(work)
    await world.restart()
    other = await world.account(0)
    assert (other, await world.order(login)) == (login + 1 + 10_000, order + 2 + 20_000)


async def test_a_snapshot_for_one_who_comes_late_skips_no_numbers(world: GatewayWorld) -> None:
    """Everything was pruned: the snapshot stands for all that there was."""
    login = await world.account()
    order = await world.order(login)
    async with world.store.read() as session:
        _, last = await outbox.ends(session, TOPIC)
    async with world.store.work(lost=(TOPIC, Lost(1, last))) as work:
        await world.venue.snapshot(work)
    assert (await world.account(0), await world.order(login)) == (login + 1, order + 2)


async def test_a_large_account_is_told_in_several_events(world: GatewayWorld) -> None:
    (login,) = await world.accounts(1, 1_000_000)
    for master_order in range(3):
        rows = open_copies([login] * 500, master_order, volume=1)
        await world.handle(orders.TOPIC, rows.model_copy(update={"rows": rows.rows[: 200 if master_order == 2 else 500]}))
    await world.told()
    async with world.store.work() as work:
        await world.venue.snapshot(work)
    held = [event for event in await world.told() if event.type == "account.positions"]
    assert [(len(event.rows), event.first, event.last) for event in held] == [(500, True, False), (500, False, False), (200, False, True)]
    assert len({row.order for event in held for row in event.rows}) == 1_200


async def test_symbols_are_told_at_every_start_with_the_price_that_they_have(tmp_path: Path) -> None:
    async with gateway_world(tmp_path) as world:
        (told,) = await world.told(symbols=True)
        assert (told.type, len(told.rows)) == ("symbol.changed", 5)
        await world.price("1.6", "1.6001")
        await world.told(symbols=True)
        await world.restart()
        (told,) = await world.told(symbols=True)
        assert {row.symbol: row.bid for row in told.rows}["GBPUSD"] == D("1.6")
        read_upto = world.read_upto
    async with gateway_world(tmp_path, GBPUSD={"commission": 3}) as world:
        world.read_upto = read_upto
        (told,) = await world.told(symbols=True)
        assert {row.symbol: (row.commission, row.bid) for row in told.rows}["GBPUSD"] == (3, D("1.6"))


async def test_a_price_set_by_hand_is_told_at_once_with_the_accounts_that_it_moves(world: GatewayWorld) -> None:
    holder, _idle = await world.accounts(2)
    await world.order(holder)
    await world.told(symbols=True)
    await world.price("1.5766", "1.5767")
    symbol, accounts = await world.told(symbols=True)
    assert [(row.symbol, row.bid) for row in symbol.rows] == [("GBPUSD", D("1.5766"))]
    # bought at 1.57570, worth 1.57660: 10,000 x 0.0009 = 9.00
    assert [(row.login, row.equity) for row in accounts.rows] == [(holder, 10_009)]


async def test_a_price_that_the_feed_moves_is_told_now_and_then(world: GatewayWorld) -> None:
    await world.told(symbols=True)
    world.now += 9_000
    await feed(world, "1.60")
    world.now += 999
    await feed(world, "1.61")
    assert await world.told(symbols=True) == []
    world.now += 1_001
    await feed(world, "1.62")
    (told,) = await world.told(symbols=True)
    assert [(row.symbol, row.bid) for row in told.rows] == [("GBPUSD", D("1.62"))]


async def test_prices_to_publish_are_those_that_moved(world: GatewayWorld) -> None:
    await world.price("1.6", "1.6001")
    async with world.venue.transaction() as (book, _):
        (row,) = prices_of(book, {"GBPUSD"}).rows
    assert (row.symbol, row.bid, row.ask, row.time) == ("GBPUSD", D("1.6"), D("1.6001"), NOON)


# The feed


async def test_the_feed_plays_the_recording_and_hardly_writes(world: GatewayWorld) -> None:
    """At 300 times the speed a bar of five minutes takes a second. The first bar of GBPUSD: 1.57597, up to 1.57606, down to 1.57542."""
    feed = Feed(world.venue, 300)
    await feed.tick()
    await world.told()
    before = await world.tables()
    bids = []
    for third in range(1, 4):
        world.now = NOON + third * 334
        await feed.tick()
        bids.append(await _bid(world))
        if third < 3:
            assert await world.tables() == before  # a tick that sets nothing off is not written at once
    # falling bar: high, low, close
    assert bids == [D("1.57606"), D("1.57542"), D("1.57560")]
    assert await world.told() == []
    world.now = NOON + 2_000
    await feed.tick()
    assert await world.tables() != before  # the last price is kept once a second


async def _bid(world: GatewayWorld) -> Decimal:
    return next(symbol["bid"] for symbol in await world.call("GET", "/symbols") if symbol["symbol"] == "GBPUSD")


async def test_the_feed_sets_triggers_off_and_goes_on_after_a_stop(world: GatewayWorld) -> None:
    feed = Feed(world.venue, 300)
    await feed.tick()
    login = (await world.accounts(1))[0]
    order = await world.order(login, sl=1.5755)
    await world.told()
    world.now = NOON + 667
    await world.restart()
    await Feed(world.venue, 300).tick()
    closed = (await world.told_rows())["position.closed"]
    assert [(row.order, row.reason, row.price) for row in closed] == [(order, "TR_REASON_SL", D("1.57542"))]


async def test_a_price_that_was_set_by_hand_stays(world: GatewayWorld) -> None:
    feed = Feed(world.venue, 300)
    await feed.tick()
    await world.price("1.7", "1.7001")
    world.now = NOON + 500
    await feed.tick()
    assert await _bid(world) == D("1.7")
    moved = {symbol["symbol"]: symbol["bid"] for symbol in await world.call("GET", "/symbols")}
    assert moved["BTC-SWAP-USDT"] != 46319
    assert moved["USDJPY"] == 77


async def test_symbols_without_a_recording_move_in_proportion(world: GatewayWorld) -> None:
    """The second BTC bar opens at 46,420 where the first opened at 46,319: ETH is 3,700 x 46,420 / 46,319 = 3,708.07."""
    feed = Feed(world.venue, 300)
    await feed.tick()
    world.now = NOON + 1_000
    await feed.tick()
    moved = {symbol["symbol"]: symbol["bid"] for symbol in await world.call("GET", "/symbols")}
    assert (moved["BTC-SWAP-USDT"], moved["ETH-SWAP-USDT"]) == (46420, D("3708.07"))
