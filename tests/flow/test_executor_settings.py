"""Every setting, limit, stop and halt shows its effect through the real handlers. Numbers are worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
from shared.contracts import rewards, trades
from shared.contracts.config import Follower, FollowerSaved, Halt, HaltSaved, Master, MasterSaved, SubscriptionSaved
from shared.contracts.event import Lost
from shared.contracts.orders import OpenCopies
from shared.contracts.stats import PriceRow, Prices

from tests.flow.executor_world import ANNA, BEN, MASTER, NOW, D, account, opened, subscription, symbol, world

pytestmark = pytest.mark.anyio

GBPUSD = {"symbols": "GBPUSD, USDJPY"}


@pytest.mark.parametrize(
    ("setting", "trade", "expected"),
    [
        ({}, {}, 100),
        ({"enabled": 0}, {}, "DISABLED"),
        ({"status": 2}, {}, "DISABLED"),
        ({"status": 1}, {}, "PAUSED"),
        ({"copy_mode": 1}, {}, 100),
        ({"copy_mode": 2}, {}, "CLOSE_ONLY"),
        ({"volume_mode": 0, "fixed_volume": 7}, {}, 7),
        ({"risk_multiplier": D("0.333")}, {}, 33),
        ({"volume_mode": 2, "allocation_percent": D("12.5")}, {}, 12),
        ({"volume_mode": 3, "ratio_multiplier": D("0.5")}, {}, 50),
        ({"max_volume": 40}, {}, 40),
        ({"min_volume": 150}, {}, "BELOW_MIN"),
        ({"min_volume": 150, "small_volume_policy": "raise_to_min"}, {}, 150),
        ({"min_volume": 250, "small_volume_policy": "raise_to_min"}, {}, "BELOW_MIN_RISK"),
        ({"symbols_mode": 1, **GBPUSD}, {}, "SYMBOL_FILTERED"),
        ({"symbols_mode": 1, **GBPUSD}, {"symbol": "GBPUSD"}, 100),
        ({"symbols_mode": 2, **GBPUSD}, {}, 100),
        ({"symbols_mode": 2, **GBPUSD}, {"symbol": "GBPUSD"}, "SYMBOL_FILTERED"),
        ({"symbols_mode": 0, **GBPUSD}, {}, 100),
        ({}, {"symbol": "XAUUSD"}, "SYMBOL_UNKNOWN"),
        ({"require_sl": 1}, {}, "NO_SL"),
        ({"require_sl": 1}, {"sl": D("1.09")}, 100),
        ({"require_sl": 1, "copy_sl": 0}, {"sl": D("1.09")}, "NO_SL"),
        ({"require_sl": 1, "reverse_direction": 1}, {"sl": D("1.09")}, "NO_SL"),
        ({"require_sl": 1, "reverse_direction": 1}, {"tp": D("1.12")}, 100),
        ({"max_signal_age_ms": 500}, {"opened_ms": NOW - 501}, "TOO_OLD"),
        ({"max_signal_age_ms": 500}, {"opened_ms": NOW - 500}, 100),
        ({"max_slippage_points": 10}, {"price": D("1.09990")}, 100),
        ({"max_slippage_points": 10}, {"price": D("1.09989")}, "PRICE_MOVED"),
        ({"max_slippage_points": 10, "reverse_direction": 1}, {"price": D("1.10011")}, "PRICE_MOVED"),
    ],
)
async def test_a_setting_of_the_subscription_decides(
    tmp_path: Path, setting: dict[str, Any], trade: dict[str, Any], expected: object
) -> None:
    """The venue's price is 1.10000 on both sides; a point is 0.00001."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, **setting))
        await w.open(11, **trade)
        link = (await w.links())[1]
        assert (link.volume or link.reason) == expected
        assert w.open_volume(ANNA) == (expected if isinstance(expected, int) else 0)


async def test_max_slippage_bounds_the_fill(tmp_path: Path) -> None:
    """10 points of 0.00001 from 1.10000: a buy at 1.10010 at most, a sell at 1.09990 at least."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_slippage_points=10), subscription(2, BEN, max_slippage_points=10, reverse_direction=1))
        await w.open(11)
        (event,) = await w.orders(OpenCopies)
        assert [row.worst_price for row in event.rows] == [D("1.1001"), D("1.0999")]


async def test_prices_that_are_not_numbered_count_for_the_guard(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_slippage_points=10))
        assert w.parts.on_prices is not None
        await w.parts.on_prices(Prices(rows=(PriceRow("EURUSD", D("1.2"), D("1.2"), NOW),)))
        await w.open(11)
        assert (await w.links())[1].reason == "PRICE_MOVED"


async def test_closes_are_never_held_back(tmp_path: Path) -> None:
    """Paused, filtered, below its minimum, too old, moved, halted: the close goes through."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(11)
        tight = {"status": 1, "symbols_mode": 1, "symbols": "GBPUSD", "min_volume": 1000, "max_signal_age_ms": 1, "max_slippage_points": 1}
        await w.configured(
            SubscriptionSaved(subscription=subscription(1, ANNA, version=2, **tight)),
            HaltSaved(halt=Halt(id=1, scope="all")),
            MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, enabled=0, version=2)),
        )
        w.now += 3_600_000
        await w.reduce(11, 30, 70)
        assert w.open_volume(ANNA) == 70
        await w.reduce(11, 70, 0)
        assert w.open_volume(ANNA) == 0


async def test_open_only_leaves_the_position_to_the_follower(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, copy_mode=1))
        await w.open(11, sl=D("1.09"))
        await w.move_stops(11, "1.095", "0", 2)
        await w.reduce(11, 100, 0)
        link = (await w.links())[1]
        assert (link.phase, link.sl, w.open_volume(ANNA)) == ("open", D("1.09"), 100)
        await w.told(w.venue.closing(50_001, 100, trades.REASON_CLIENT))
        assert (await w.links())[1].phase == "closed"


async def test_max_positions_counts_what_is_active_or_in_flight(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, max_positions=2))
        w.venue.deaf = True
        await w.open(11)
        await w.open(12)
        await w.open(13)
        assert (await w.links(13))[1].reason == "MAX_POSITIONS"
        w.venue.deaf = False
        await w.tick(5000)
        await w.reduce(11, 100, 0)
        await w.open(14)
        assert (await w.links(14))[1].phase == "open"


async def test_max_master_count_lets_the_oldest_copy(tmp_path: Path) -> None:
    """Anna may copy one master and has two active subscriptions: the older one copies. When it is paused, the other one does."""
    other = 1001
    async with world(tmp_path) as w:
        await w.ready(accounts=(account(other),))
        await w.configured(
            MasterSaved(master=Master(id=2, login=other, customer_id=2)),
            FollowerSaved(follower=Follower(id=ANNA, login=ANNA, customer_id=1, max_master_count=1, version=2)),
            SubscriptionSaved(subscription=subscription(1, ANNA)),
            SubscriptionSaved(subscription=subscription(2, ANNA, master_login=other)),
        )
        await w.open(11)
        await w.told(opened(12, login=other, now=w.now))
        assert [(await w.links(n))[s].reason for n, s in ((11, 1), (12, 2))] == ["", "MAX_MASTERS"]
        await w.configured(SubscriptionSaved(subscription=subscription(1, ANNA, status=1, version=2)))
        await w.told(opened(13, login=other, now=w.now))
        assert (await w.links(13))[2].phase == "open"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, enabled=0, version=2)), "MASTER_DISABLED"),
        (MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, allowed_follower_modes=1, version=2)), "MODE_NOT_ALLOWED"),
        (MasterSaved(master=Master(id=1, login=MASTER, customer_id=1, allowed_follower_modes=0, version=2)), ""),
        (FollowerSaved(follower=Follower(id=ANNA, login=ANNA, customer_id=1, enabled=0, version=2)), "FOLLOWER_DISABLED"),
        (HaltSaved(halt=Halt(id=1, scope="all")), "HALTED"),
        (HaltSaved(halt=Halt(id=1, scope="all", mode="reduce_only")), "REDUCE_ONLY"),
        (HaltSaved(halt=Halt(id=1, scope="master", key=str(MASTER))), "HALTED"),
        (HaltSaved(halt=Halt(id=1, scope="follower", key=str(ANNA))), "HALTED"),
        (HaltSaved(halt=Halt(id=1, scope="follower", key=str(ANNA), mode="reduce_only")), "REDUCE_ONLY"),
        (HaltSaved(halt=Halt(id=1, scope="follower", key=str(BEN))), ""),
        (HaltSaved(halt=Halt(id=1, scope="symbol", key="EURUSD")), "HALTED"),
        (HaltSaved(halt=Halt(id=1, scope="symbol", key="GBPUSD")), ""),
        (HaltSaved(halt=Halt(id=1, scope="all", active=0)), ""),
    ],
)
async def test_masters_followers_and_halts_hold_opens_back(tmp_path: Path, change: Any, reason: str) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.open(10)
        await w.configured(change)
        await w.open(11)
        assert (await w.links(11))[1].reason == reason
        w.parts_desk.forget()
        await w.open(12)
        assert (await w.links(12))[1].reason == reason, "a stop survives a restart"


async def test_a_halt_is_lifted_and_an_older_state_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA))
        await w.configured(HaltSaved(halt=Halt(id=1, scope="all", version=1)), HaltSaved(halt=Halt(id=1, scope="all", active=0, version=2)))
        await w.configured(HaltSaved(halt=Halt(id=1, scope="all", version=1)))
        await w.open(11)
        assert (await w.links())[1].phase == "open"


def standing(number: int, now: Any) -> rewards.StandingsChanged:
    return rewards.StandingsChanged.of([rewards.StandingRow(number, ANNA, MASTER, now, 5, NOW)])


@pytest.mark.parametrize("unpaid", ["close_only", "disabled"])
async def test_past_due_holds_opens_back_until_it_is_paid(tmp_path: Path, unpaid: str) -> None:
    """Anna's fee is unpaid: no opens, also after a restart and a change of her settings; closes go on, and Ben copies all the while."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN))
        await w.open(11)
        await w.rewarded(rewards.SharingChanged.of([]), standing(1, unpaid))
        await w.open(12)
        assert [row.reason for row in (await w.links(12)).values()] == ["PAST_DUE", ""]
        w.parts_desk.forget()
        await w.configured(SubscriptionSaved(subscription=subscription(1, ANNA, version=2, risk_multiplier=D(2))))
        await w.open(13)
        assert [row.reason for row in (await w.links(13)).values()] == ["PAST_DUE", ""]
        await w.reduce(11, 40, 60)
        assert (w.open_volume(ANNA), w.open_volume(BEN)) == (60, 260)
        await w.reduce(11, 60, 0)
        assert w.open_volume(ANNA) == 0
        await w.rewarded(standing(1, "good"))
        await w.open(14)
        assert (await w.links(14))[1].volume == 200
        assert w.open_volume(ANNA) == 200


async def test_a_snapshot_of_standings_names_all_that_are_not_good(tmp_path: Path) -> None:
    """What said that Anna has paid was lost: the snapshot in its place does not name her any more, but it names Ben."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN))
        await w.rewarded(standing(1, "disabled"))
        await w.rewarded(standing(2, "close_only"), lost=Lost(2, 2))
        await w.open(11)
        assert [row.reason for row in (await w.links()).values()] == ["", "PAST_DUE"]
        w.parts_desk.forget()
        await w.open(12)
        assert [row.reason for row in (await w.links(12)).values()] == ["", "PAST_DUE"]


@pytest.mark.parametrize(("action", "left"), [("halt", 100), ("close", 0)])
async def test_a_daily_loss_stops_until_somebody_resumes(tmp_path: Path, action: Any, left: int) -> None:
    """10,000 at first; 5 % lost at 9,500. A withdrawal of 1,000 is no loss. Resumed, it is measured from 9,500 anew."""
    async with world(tmp_path) as w:
        guarded = subscription(1, ANNA, daily_loss_percent=D(5), stop_action=action)
        await w.ready(guarded)
        await w.open(11)
        await w.told(trades.AccountsChanged.of([account(ANNA)]))
        paid = trades.BalanceRow(1, ANNA, trades.OP_BALANCE_OUT, D(1000), "USD", "TR_REASON_DEPOSIT", "", "", D(9000), D(9000), D(0))
        await w.told(trades.BalancesChanged.of([paid]), trades.AccountsChanged.of([account(ANNA, "9000", equity=D(8551))]))
        await w.open(12)
        assert (await w.links(12))[1].reason == ""
        await w.told(trades.AccountsChanged.of([account(ANNA, "9000", equity=D(8550))]))
        await w.open(13)
        assert (await w.links(13))[1].reason == "STOPPED"
        assert w.open_volume(ANNA) == 2 * left
        if action == "close":
            assert (await w.links(11))[1].reason == "STOPPED_DAILY_LOSS"
        w.parts_desk.forget()
        await w.open(14)
        assert (await w.links(14))[1].reason == "STOPPED"
        await w.configured(SubscriptionSaved(subscription=guarded.model_copy(update={"version": 2, "resumed_ms": w.now})))
        await w.open(15)
        assert (await w.links(15))[1].phase == "open"


async def test_a_drawdown_from_the_highest_equity(tmp_path: Path) -> None:
    """Highest 12,000; 20 % below is 9,600."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA, drawdown_percent=D(20)))
        for equity, reason in ((12000, ""), (9601, ""), (9600, "STOPPED")):
            await w.told(trades.AccountsChanged.of([account(ANNA, equity=D(equity))]))
            await w.open(equity)
            assert (await w.links(equity))[1].reason == reason


async def test_margin_check_setting(tmp_path: Path) -> None:
    """100 units at 1.1 are 110,000 USD, 1,100 of margin at leverage 100: more than is free, unless not checked."""
    poor = account(ANNA, free_margin=D(1099))
    for check, reason in ((True, "MARGIN"), (False, "")):
        (tmp_path / str(check)).mkdir()
        async with world(tmp_path / str(check), margin_check=check) as w:
            await w.ready(subscription(1, ANNA), accounts=(poor,))
            await w.open(11)
            assert (await w.links())[1].reason == reason


async def test_margin_slippage_setting(tmp_path: Path) -> None:
    """Without slippage to reckon with, 1,100 carry the 1,100; with 1 % at 1:100 the share is 0.99 / 1.99 x 0.98 = 0.4875: 975 of 2,000."""
    for slippage, free, reason in ((D(0), D(1100), ""), (D("0.01"), D(2000), "MARGIN"), (D("0.01"), D(2260), "")):
        (tmp_path / f"{slippage} {free}").mkdir()
        async with world(tmp_path / f"{slippage} {free}", margin_slippage=slippage) as w:
            await w.ready(subscription(1, ANNA), accounts=(account(ANNA, free_margin=free),))
            await w.open(11)
            assert (await w.links())[1].reason == reason


async def test_max_equity_age_setting(tmp_path: Path) -> None:
    """Only an account with open positions can have a stale equity."""
    async with world(tmp_path, max_equity_age_ms=1000) as w:
        busy, idle = account(ANNA, positions=1), account(BEN)
        await w.ready(subscription(1, ANNA, volume_mode=2), subscription(2, BEN, volume_mode=2), accounts=(busy, idle))
        w.now += 1001
        await w.open(11)
        links = await w.links()
        assert (links[1].reason, links[2].reason) == ("STALE_EQUITY", "")


@pytest.mark.parametrize(("policy", "left"), [("close_dust", 0), ("keep_min", 5)])
async def test_dust_policy_setting(tmp_path: Path, policy: str, left: int) -> None:
    """10 units copied of 100 with a minimum of 5. The master goes to 30: 3 units would be left."""
    async with world(tmp_path, dust_policy=policy) as w:
        await w.ready(subscription(1, ANNA, volume_mode=0, fixed_volume=10))
        await w.told(trades.SymbolsChanged.of([symbol("EURUSD", volume_min=5)]))
        await w.open(11)
        await w.reduce(11, 70, 30)
        assert w.open_volume(ANNA) == left


async def test_symbol_map_setting(tmp_path: Path) -> None:
    """Followers of group real-eur trade EURUSD.e with a contract of 10,000: ten times the units."""
    async with world(tmp_path, symbol_map={"real-eur": {"EURUSD": "EURUSD.e"}}) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN), accounts=(account(BEN, group="real-eur"),))
        await w.told(trades.SymbolsChanged.of([symbol("EURUSD.e", contract_size=D(10000))]))
        await w.open(11)
        links = await w.links()
        assert [(links[n].symbol, links[n].volume) for n in (1, 2)] == [("EURUSD", 100), ("EURUSD.e", 1000)]
        assert sorted(event.symbol for event in await w.orders(OpenCopies)) == ["EURUSD", "EURUSD.e"]
        await w.reduce(11, 50, 50)
        assert (w.open_volume(ANNA), w.open_volume(BEN)) == (50, 500)
