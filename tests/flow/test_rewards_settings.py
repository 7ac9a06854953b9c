"""Each setting of the rewards service does what it says; and the whole works on Postgres as on SQLite."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rewards import store, wiring
from rewards.settings import RewardsSettings
from rewards.verify import main, verify
from shared.store import migrate

from tests.flow.rewards_world import FOLLOWER, PAYOUT, World, at, dec, fees, rows, until

pytestmark = pytest.mark.anyio


async def opened(folder: Path, url: str = "", **settings: Any) -> World:
    world = await World.open(folder, now=at("2024-01-11"), url=url, **settings)
    await world.customers()
    return world


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_BROKER_TIMEZONE", "Europe/Athens")
    monkeypatch.setenv("LOCKSTEP_RETRY_SCHEDULE_S", "[5, 10]")
    settings = RewardsSettings()
    assert (settings.broker_timezone, settings.retry_schedule_s) == ("Europe/Athens", (5, 10))


async def test_a_charge_carries_the_margin_level_to_keep_and_a_payout_none(tmp_path: Path) -> None:
    world = await opened(tmp_path, keep_margin_level=150)
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, 9001, profit="100")
    await world.settle_all()
    assert [request.keep_margin_level for request in world.requests] == [150, 0]
    await world.close()


async def test_the_answer_window_says_when_to_ask_again(tmp_path: Path) -> None:
    world = await opened(tmp_path, answer_window_s=2.5)
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, 9001, profit="100")
    world.now += 2499
    await world.tick()
    assert len(world.requests) == 1
    world.now += 1
    await world.tick()
    assert len(world.requests) == 2
    await world.close()


async def test_nobody_waits_for_the_hour_of_a_clock_that_was_wrong(tmp_path: Path) -> None:
    """An hour ahead when the payment was asked for, right again afterwards: it is asked for at once, and once."""
    world = await opened(tmp_path)
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    world.now += 3_600_000
    await world.closed(7, 9001, profit="100")
    world.now -= 3_600_000
    for _ in range(2):
        await world.tick()
        assert len(world.requests) == 2
    await world.close()


async def test_the_clock_tolerance_says_how_long_a_silent_venue_is_waited_for(tmp_path: Path) -> None:
    world = await opened(tmp_path, clock_tolerance_s=10)
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for instant, known in (("2024-01-12 00:00:09", 0), ("2024-01-12 00:00:10", 1)):
        world.now = at(instant)
        await world.tick()
        assert len(world.accruals) == known
    await world.close()


async def test_the_cut_grace_says_how_long_late_trades_are_waited_for(tmp_path: Path) -> None:
    world = await opened(tmp_path, cut_grace_s=30)
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.unsubscribe(7, at("2024-01-12"))
    for instant, known in (("2024-01-12 00:00:29", 0), ("2024-01-12 00:00:30", 1)):
        world.now = at(instant)
        await world.tick()
        assert len(world.accruals) == known
    await world.close()


@pytest.mark.parametrize(
    ("settings", "fee"),
    [
        ({}, "0"),
        ({"unrealised_mode": "none"}, "20.00"),
        ({"unrealised_mode": "full"}, "0"),
    ],
)
async def test_how_an_open_loss_counts(tmp_path: Path, settings: dict[str, Any], fee: str) -> None:
    """Realised 100, open -300: 20 % of nothing, or of 100."""
    assert await _with_an_open_copy(tmp_path, settings, "1.2470") == dec(fee)


@pytest.mark.parametrize(("mode", "fee"), [("negative_only", "20.00"), ("none", "20.00"), ("full", "80.00")])
async def test_how_an_open_gain_counts(tmp_path: Path, mode: str, fee: str) -> None:
    """Realised 100, open +300: 20 % of 100, or of 400."""
    assert await _with_an_open_copy(tmp_path, {"unrealised_mode": mode}, "1.2530") == dec(fee)


async def _with_an_open_copy(folder: Path, settings: dict[str, Any], bid: str) -> Any:
    world = await opened(folder, **settings)
    await world.symbol("GBPUSD", "GBP", "USD", bid, "1.3")
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit="100")
    await world.opened(7, 9002, volume=100, price="1.2500")
    await until(world, "2024-02-01")
    await world.close()
    return fees(world)[0]


@pytest.mark.parametrize(("mode", "fee"), [("mark_to_market", "80.00"), ("realised", "20.00")])
async def test_how_open_copies_count_at_the_end_of_a_subscription(tmp_path: Path, mode: str, fee: str) -> None:
    world = await opened(tmp_path, on_detach=mode)
    await world.symbol("GBPUSD", "GBP", "USD", "1.2530", "1.3")
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit="100")
    await world.opened(7, 9002, volume=100, price="1.2500")
    await world.unsubscribe(7, at("2024-01-12"))
    await until(world, "2024-01-13")
    assert fees(world) == [dec(fee)]
    await world.close()


@pytest.mark.parametrize(("base", "fee"), [("net_of_fees", "8.00"), ("gross", "20.00")])
async def test_whether_other_fees_lower_the_profit(tmp_path: Path, base: str, fee: str) -> None:
    """Realised 100, prepaid 30 for January and 30 for February: 20 % of 40, or of 100."""
    world = await opened(tmp_path, fee_base=base)
    await world.policy(id=1, reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.policy(id=2, reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit="100")
    await until(world, "2024-02-01")
    assert [row.fee_amount for row in rows(world) if row.reward_type == 1] == [dec(fee)]
    await world.close()


@pytest.mark.parametrize(("basis", "fee"), [("cumulative", "0"), ("period", "20.00")])
async def test_the_basis_of_policies_that_name_none(tmp_path: Path, basis: str, fee: str) -> None:
    """-100, then +100: nothing is above the mark, but the second month by itself has a gain."""
    world = await opened(tmp_path, hwm_basis=basis)
    await world.policy(reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await world.closed(7, 9001, profit="-100")
    await until(world, "2024-02-01")
    await world.closed(7, 9002, profit="100")
    await until(world, "2024-03-01")
    assert fees(world) == [dec("0"), dec(fee)]
    await world.close()


async def test_the_days_of_grace_of_an_unpaid_fee(tmp_path: Path) -> None:
    world = await opened(tmp_path, past_due_grace_s=60, past_due_disable_s=120)
    await world.policy(reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.subscribe(7, created_ms=at("2024-01-11"))
    await until(world, "2024-01-11 00:00:05", settle=False)
    seen = []
    for instant in ("00:01:04", "00:01:05", "00:02:05"):
        await until(world, f"2024-01-11 {instant}", settle=False)
        seen.append(world.standing.get(7))
    assert seen == [None, "close_only", "disabled"]
    await world.close()


@pytest.mark.postgres
async def test_the_same_on_postgres(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    """Shares, periods, a refund, netting, the journal's triggers and verification, with a restart between."""
    url = postgres("rewards")
    world = await opened(tmp_path, url)
    await world.policy(id=1, reward_type=3, fee_percent=dec("10"), netting="monthly")
    await world.policy(id=2, reward_type=0, billing_period="monthly", fee_amount=dec("30"))
    await world.policy(id=3, reward_type=1, billing_period="monthly", fee_percent=dec("20"), hwm_enabled=1)
    await world.subscribe(7, created_ms=at("2024-01-11"))
    for number, profit in enumerate(("500", "600", "-550")):
        await world.opened(7, 9001 + number)
        await world.closed(7, 9001 + number, profit=profit)
    await world.closed(7, 9001, profit="500")
    await until(world, "2024-01-12")
    await world.restart()
    await until(world, "2024-02-01")
    # 55 netted, 30 for January and February each, and 20 % of 550 - 60.
    assert await world.balances() == {
        (f"follower:{FOLLOWER}", "USD"): -(5500 + 6000 + 9800),
        (f"payout:{PAYOUT}", "USD"): 5500 + 6000 + 9800,
    }
    await world.snapshot()
    async with world.store.read() as session:
        assert await verify(session) is None
        assert await store.last_entry(session) is not None
    await world.close()
    assert migrate.differences("rewards", url) == []


def test_verify_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/rewards.db"
    migrate.upgrade("rewards", url)
    assert migrate.differences("rewards", url) == []
    assert main([url]) == 0
    assert capsys.readouterr().out == "rewards: everything agrees\n"
    migrate.downgrade("rewards", url)


async def test_how_often_it_is_looked_at_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await opened(tmp_path)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise EOFError

    bus: Any = SimpleNamespace(lag=dict, stuck=list)
    parts = await wiring.build(RewardsSettings(timer_s=0.25), world.store, bus)
    monkeypatch.setattr(wiring.asyncio, "sleep", sleep)
    with pytest.raises(EOFError):
        await parts.tasks[0]()
    assert slept == [0.25] * 3
    await world.close()
