"""Statements and explanations over the client door: whose they are, what is in them, and that the tool recomputes what is answered."""

import contextlib
import importlib.util
import json
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from api import flow, periods
from api.errors import Refused
from api.settings import Settings
from hypothesis import given
from hypothesis import strategies as st
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState

from tests.api.told import link as link_row
from tests.api.told import links, refused
from tests.api.world import ALICE, BOB, BOB_LOGIN, EVE, MASTER_LOGIN, SUBSCRIPTION, World, open_world

pytestmark = pytest.mark.anyio
TOOL = Path(__file__).parents[2] / "tools" / "verify_statement.py"
MAY, JUNE, JULY = 1_777_593_600_000, 1_780_272_000_000, 1_782_864_000_000
"""First instants of the months of 2026, UTC: 20,574 days of 86,400 s after 1970, then 31 and 30 days more."""
STATEMENT = "/copytrade/rewards/statement?subscription_id=1"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_statement", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accrual(number: int, formula: str, kind: int, start: int, end: int, base: str, fee: str, inputs: Any, **more: Any) -> AccrualRow:
    row = AccrualRow(
        *(number, 1, MASTER_LOGIN, BOB_LOGIN, kind, start, end, Decimal(base), Decimal(fee), "USD", AccrualState.PAID, end, end),
        *(MASTER_LOGIN, Decimal(fee), "USD", 1, 1, 0, 77, 78, "", formula, json.dumps(inputs)),
    )
    return row._replace(**more)


def may() -> list[AccrualRow]:
    """A month of a subscription: a fee of 30, two shares of 20 %, a management fee, and in June a performance fee without gain.

    Management: 12 % a year on 10,000 for a whole day and 7,000 for a third of one: base 10,000 + 7,000 / 3; the fee is that
    * 12 / 36,500 = 4.0547.., so 4.05. The tool recomputes the base to 18 places: 8 would not do.
    """
    trade = [5001, 9001, MAY + 5000, "GBPUSD", 40, "63.00", "-3.00", "0"]
    loss = [5002, 9002, MAY + 9000, "GBPUSD", 40, "-10.00", "0", "0"]
    hwm = {"basis": "cumulative", "percent": "20", "realised_before": "0", "trades": [loss], "fees_before": "0", "fees": []}
    hwm |= {"unrealised": "none", "open": [], "flows": [], "withdrawal": "additive", "capital_before": "0", "own_fees_before": "0"}
    hwm |= {"mark_before": "0", "mark_after": "0"}
    days = [[MAY, "10000", 24, 24], [MAY + 86_400_000, "7000", 8, 24]]
    base = "12333.3333333333333333333333333333333333"
    unmoved = {"state": AccrualState.CANCELLED, "reason": "NO_GAIN"}
    return [
        accrual(1, "subscription/1", 0, MAY, JUNE, "30", "30.00", {"amount": "30"}),
        accrual(2, "profit_share/1", 3, MAY, MAY + 5000, "60", "12.00", {"percent": "20", "trades": [trade]}),
        accrual(3, "profit_share/1", 3, MAY, MAY + 9000, "-10", "0", {"percent": "20", "trades": [loss]}, **unmoved),
        accrual(4, "management_percent/1", 4, MAY, JUNE, base, "4.05", {"percent": "12", "days": days}),
        accrual(5, "subscription/1", 0, JUNE, JULY, "30", "30.00", {"amount": "30"}),
        accrual(6, "performance/1", 1, JUNE, JULY, "0", "0", hwm, **unmoved),
    ]


async def told(world: World) -> None:
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", SUBSCRIPTION)
    rows = may()
    await world.told(flow.on_rewards, AccrualsChanged.of(rows[:3]))
    await world.told(flow.on_rewards, AccrualsChanged.of([*rows[3:], rows[0]]))


async def test_a_statement_is_recomputed_by_the_tool(
    world: World, tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await told(world)
    document = await world.good(BOB, "GET", f"{STATEMENT}&period=2026-05")
    assert {name: document[name] for name in ("subscription_id", "from", "to", "currency", "charged")} == {
        "subscription_id": 1,
        "from": MAY,
        "to": JUNE,
        "currency": "USD",
        "charged": "46.05",  # 30 + 12 + 4.05
    }
    assert [(line["id"], line["fee_amount"]) for line in document["accruals"]] == [(1, "30.00"), (2, "12.00"), (3, "0.00"), (4, "4.05")]
    assert document["accruals"][3]["base_amount"] == "12333.3333333333333333333333333333333333"
    for name, response in {
        "month.json": await world.call(ALICE, "GET", f"{STATEMENT}&period=2026-05"),
        "month.csv": await world.call(BOB, "GET", f"{STATEMENT}&period=2026-05&format=csv"),
        "accepted.csv": await world.call(BOB, "GET", STATEMENT, headers={"Accept": "text/csv"}),
        "all.json": await world.call(BOB, "GET", f"{STATEMENT}&format=json", headers={"Accept": "text/csv"}),
    }.items():
        path = tmp_path / name
        path.write_text(response.text)
        assert response.headers["content-type"].startswith("text/csv" if name.endswith("csv") else "application/json")
        assert tool.main([str(path)]) == 0, capsys.readouterr().out
        assert f"{4 if name.startswith('month') else 6} accruals, 0 different" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"63.00"', '"64.00"'))
    assert tool.main([str(path)]) == 1


async def test_a_statement_is_the_parties_own(world: World) -> None:
    await told(world)
    await refused(world, 403, "PERMISSION_DENIED", EVE, "GET", STATEMENT)
    await refused(world, 404, "RET_ERR_NOTFOUND", BOB, "GET", STATEMENT.replace("=1", "=2"))
    for wrong in ("2026-13", "2026-02-30", "2026-W60", "05-2026", "2026-Q5"):
        await refused(world, 400, "INVALID_DATA", BOB, "GET", f"{STATEMENT}&period={wrong}")
    await world.good(BOB, "DELETE", "/copytrade/subscription/1")
    for who in (ALICE, BOB):  # of a subscription that has ended the statement stays
        assert len((await world.good(who, "GET", STATEMENT))["accruals"]) == 6
    await refused(world, 403, "PERMISSION_DENIED", EVE, "GET", STATEMENT)


async def test_a_statement_follows_the_brokers_calendar(tmp_path: Path) -> None:
    async with open_world(tmp_path, broker_timezone="America/New_York", manager_page_max=5) as world:
        await told(world)
        document = await world.good(BOB, "GET", f"{STATEMENT}&period=2026-05")
        assert (document["from"], document["to"]) == (MAY + 4 * 3_600_000, JUNE + 4 * 3_600_000)
        assert [line["id"] for line in document["accruals"]] == [4, 5]
        await refused(world, 400, "INVALID_DATA", BOB, "GET", STATEMENT)  # six are more than are answered at once
    with pytest.raises(ValueError, match="no time zone"):
        Settings(broker_timezone="Mars/Olympus")


def test_periods_are_those_of_the_calendar() -> None:
    utc = Settings().broker_timezone
    zone = ZoneInfo(utc)
    day = 86_400_000
    assert periods.span("2026-05", zone) == (MAY, JUNE)
    assert periods.span("2026-Q2", zone) == (MAY - 30 * day, JULY)
    assert periods.span("2026", zone) == (MAY - 120 * day, MAY + 245 * day)
    assert periods.span("2026-05-08", zone) == (MAY + 7 * day, MAY + 8 * day)
    assert periods.span("2026-W19", zone) == (MAY + 3 * day, MAY + 10 * day)  # Monday, 4 May
    assert periods.span("all", zone)[0] == 0


@given(st.from_regex(periods.PATTERN, fullmatch=True))
def test_whatever_looks_like_a_period_is_one_or_refused(period: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start, end = 0, 1
    with contextlib.suppress(Refused):
        start, end = periods.span(period, zone)
    assert start < end


def test_no_month_has_a_day_nought() -> None:
    """It was taken for the whole month."""
    with pytest.raises(Refused, match="INVALID_DATA"):
        periods.span("2026-05-00", ZoneInfo("UTC"))


async def test_a_decision_is_explained_to_its_parties(world: World) -> None:
    await world.pair()
    signal: dict[str, Any] = {
        "login": MASTER_LOGIN,
        "order": 1001,
        "side": "buy",
        "volume": 20,
        "symbol": "GBPUSD",
        "price": 158_013_000,
        "sl": 0,
        "tp": 0,
    }
    signal |= {"opened_ms": 1000, "now": 1100, "equity": 10**12, "balance": 10**12, "asked": 0, "pending": 0}
    terms: dict[str, Any] = {
        "symbol": "GBPUSD",
        "step": 1,
        "smallest": 1,
        "largest": 1000,
        "norm_num": 1,
        "norm_den": 1,
        "fx_num": 1,
        "fx_den": 1,
    }
    rules = {
        "subscription": [1, 2],
        "version": 2,
        "volume_mode": 1,
        "risk_multiplier": 5 * 10**7,
        "max_volume": 0,
        "min_volume": 0,
        "raise_to_min": 0,
    }
    rules |= {"reverse_direction": 0, "allocation_percent": 10**10, "ratio_multiplier": 10**8}
    standing = {"known": 1, "equity": 123_456 * 10**6, "balance": 10**11, "free_margin": 10**11, "leverage": 100, "positions": 0}
    standing |= {"copies": 0, "updated_ms": 1000}
    result = {"reason": "", "side": "buy", "volume": 10, "sl": 0, "tp": 0, "worst": 0, "wanted": 10_000}
    parts: dict[str, dict[str, Any]] = {"rules": rules, "standing": standing, "result": result}
    recorded: dict[str, Any] = {"unit": "1e-8", "signal": signal, "terms": [terms], "policy": {}, "which": 0} | parts
    made = links(link_row(1, phase="opening"), link_row(2))
    await world.told(flow.on_links, made.model_copy(update={"inputs": json.dumps(recorded)}))
    await world.told(flow.on_links, links(link_row(1)))  # told again without its inputs: they stay
    assert len(await world.rows("decision")) == 1
    mine = await world.good(BOB, "GET", "/copytrade/trade-links/1/explain")
    assert (mine["link"], mine["decision"], mine["reason"]) == (1, "copied", "")
    assert "Multiplier: 20 units of the master x 1 (contract size) x 0.5 (risk multiplier) = 10 units wanted." in mine["text"]
    assert any("equity 1234.56" in sentence for sentence in mine["text"])
    assert mine["inputs"]["standing"] == standing
    masters = await world.good(ALICE, "GET", "/copytrade/trade-links/1/explain")
    assert "equity" not in masters["inputs"]["standing"]
    assert "1234.56" not in json.dumps(masters)
    await refused(world, 403, "PERMISSION_DENIED", EVE, "GET", "/copytrade/trade-links/1/explain")
    await refused(world, 404, "RET_ERR_NOTFOUND", BOB, "GET", "/copytrade/trade-links/9/explain")
