"""A year of billing with a jumping clock, restarts and doubled events, against an oracle in plain Python; then verified, and recomputed.

What a subscription trades on a day follows from its number and the day, so the oracle works out every fee from those two alone.
"""

import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from rewards import tables
from rewards.verify import operations, unclaimed, verify
from shared.contracts.rewards import AccrualRow, AccrualState
from shared.contracts.trades import AccountsOpened, ClosedRow, OpenedRow, PositionsClosed, PositionsOpened
from shared.statement import statement, to_csv
from sqlalchemy import text, update

from tests.flow.rewards_world import MASTER, World, account_row, dec, subscribed

pytestmark = pytest.mark.anyio

TOOL = Path(__file__).parents[2] / "tools" / "verify_statement.py"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN = datetime(2024, 1, 11, tzinfo=UTC)
DAYS = 366
SUBSCRIPTIONS = range(1, 9)
CENT = Decimal("0.01")
FEES = {"subscription": Decimal(30), "performance": Decimal(20), "volume": Decimal(2), "management": Decimal(91)}


def ms(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def result_of(subscription: int, day: int) -> Decimal | None:
    """What a subscription's copy of a day came to, if it had one: a day in three, between -150.00 and +200.00."""
    drawn = random.Random(subscription * 1000 + day)
    return Decimal(drawn.randrange(-15000, 20000)).scaleb(-2) if drawn.random() < 1 / 3 else None


def volume_of(subscription: int, day: int) -> int:
    return 10 + (subscription * 7 + day) % 90


def traded(subscription: int, day: int) -> list[Any]:
    """The opening and closing of a day's copy, at noon and at three."""
    result = result_of(subscription, day)
    if result is None:
        return []
    noon = ms(BEGIN + timedelta(days=day, hours=12))
    order, zero, volume = subscription * 10_000 + day, Decimal(0), volume_of(subscription, day)
    login, client = 200_000 + subscription, f"c-{subscription}-{order}-open-0"
    opened = OpenedRow(order, login, "GBPUSD", "buy", volume, dec(1), zero, zero, client, "TR_REASON_COPY", zero, zero, zero, zero, noon)
    prices = (dec(1), dec(1), result + 1, dec("-0.7"), dec("-0.3"))
    head = (order, order, login, "GBPUSD", "buy", volume, volume, 0, *prices, "TR_REASON_COPY", "", client)
    return [PositionsOpened.of([opened]), PositionsClosed.of([ClosedRow(*head, noon, noon + 3 * HOUR_MS)])]  # type: ignore[arg-type]


# --- the oracle -----------------------------------------------------------------------------------------------------------------------


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, rounding=ROUND_HALF_EVEN)


def firsts(every: int) -> list[datetime]:
    """The firsts of each month (or of each quarter) after the begin, up to the end of the year simulated."""
    months = [datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(1, 13)]
    return [first for first in months if (first.month - 1) % every == 0]


def expected(subscription: int) -> dict[tuple[int, int, int], Decimal]:
    """Every fee of a subscription by (reward type, from, to), worked out from its number alone."""
    results = {ms(BEGIN + timedelta(days=day, hours=15)): result_of(subscription, day) for day in range(DAYS)}
    fees: dict[tuple[int, int, int], Decimal] = {}
    charged: list[tuple[int, Decimal]] = []
    bounds = [BEGIN, *firsts(1)]
    for start, end in zip(bounds, [*firsts(1), datetime(2025, 2, 1, tzinfo=UTC)], strict=True):
        fees[0, ms(start), ms(end)] = FEES["subscription"]
        charged.append((ms(start), FEES["subscription"]))
    monday = BEGIN
    while True:
        after = monday + timedelta(days=7 - monday.weekday())
        if after > BEGIN + timedelta(days=DAYS):
            break
        days = [day for day in range(DAYS) if monday <= BEGIN + timedelta(days=day) < after and result_of(subscription, day) is not None]
        lots = sum((Decimal(volume_of(subscription, day)) for day in days), Decimal(0)) * 2 / 100
        fees[2, ms(monday), ms(after)] = cents(lots * FEES["volume"])
        charged.append((ms(after), fees[2, ms(monday), ms(after)]))
        monday = after
    for start, end in zip([BEGIN, *firsts(3)], firsts(3), strict=False):
        whole = end - datetime(end.year - (end.month == 1), (end.month - 4) % 12 + 1, 1, tzinfo=UTC)
        fees[4, ms(start), ms(end)] = cents(FEES["management"] * Decimal((end - start).total_seconds()) / Decimal(whole.total_seconds()))
        charged.append((ms(end), fees[4, ms(start), ms(end)]))
    highest = Decimal(0)
    for start, end in zip(bounds, firsts(1), strict=False):
        profit = sum((result for at, result in results.items() if result is not None and at < ms(end)), Decimal(0))
        profit -= sum((fee for at, fee in charged if at <= ms(end)), Decimal(0))
        fees[1, ms(start), ms(end)] = cents(max(Decimal(0), profit - highest) * FEES["performance"] / 100)
        highest = max(highest, profit)
    return fees


# --- the run --------------------------------------------------------------------------------------------------------------------------


async def started(folder: Path) -> World:
    world = await World.open(folder, now=ms(BEGIN))
    await world.customers()
    await world.trades(AccountsOpened.of([account_row(200_000 + one, 500 + one) for one in SUBSCRIPTIONS]))
    await world.policy(id=1, reward_type=0, billing_period="monthly", fee_amount=FEES["subscription"])
    await world.policy(id=2, reward_type=1, billing_period="monthly", fee_percent=FEES["performance"], hwm_enabled=1)
    await world.policy(id=3, reward_type=2, billing_period="weekly", fee_amount=FEES["volume"])
    await world.policy(id=4, reward_type=4, billing_period="quarterly", fee_amount=FEES["management"])
    await world.config(*[subscribed(one, 200_000 + one, ms(BEGIN)) for one in SUBSCRIPTIONS])
    return world


async def lived(world: World, chance: random.Random) -> None:
    """Day by day. Our clock is up to an hour wrong either way, events come twice, the service sleeps for weeks, and restarts."""
    early: list[int] = []
    events: list[Any] = []
    sleeping = 0
    for day in range(DAYS):
        true_time = ms(BEGIN + timedelta(days=day, hours=16))
        world.now = world.venue_now = true_time
        events += [event for one in SUBSCRIPTIONS for event in traded(one, day)]
        sleeping = max(0, sleeping - 1) if chance.random() < 0.9 else chance.randrange(40)
        if sleeping:
            continue
        if events:
            await world.trades(*events, *(events if chance.random() < 0.2 else ()))
            events = []
        if chance.random() < 0.1:
            await world.restart()
        known = set(world.accruals)
        instant = true_time + chance.randrange(7 * HOUR_MS, 9 * HOUR_MS)
        world.now = instant + chance.randrange(-HOUR_MS, HOUR_MS)
        await world.tick(caught_up=chance.random() < 0.7)
        fresh = [row for one, row in world.accruals.items() if one not in known]
        early += [row.id for row in fresh if (row.period_from if row.reward_type == 0 else row.period_to) > instant]
        await world.settle_all()
    world.now = world.venue_now = ms(BEGIN + timedelta(days=DAYS))
    await world.trades(*events, *events)
    await world.account(999, 99)
    await world.tick()
    await world.settle_all()
    assert early == []


@pytest.fixture(scope="module")
async def year(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    world = await started(tmp_path_factory.mktemp("year"))
    await lived(world, random.Random(7))
    yield world
    await world.close()


async def test_every_fee_of_the_year_is_the_oracle_s_and_each_is_there_once(year: World) -> None:
    for subscription in SUBSCRIPTIONS:
        rows = [row for row in year.accruals.values() if row.subscription_id == subscription]
        found = {(row.reward_type, row.period_from, row.period_to): row.fee_amount for row in rows}
        assert len(found) == len(rows)
        assert found == expected(subscription)


async def test_all_of_it_is_paid_and_the_books_agree_with_the_venue_s(year: World) -> None:
    total = sum((fee for one in SUBSCRIPTIONS for fee in expected(one).values()), Decimal(0))
    assert {row.state for row in year.accruals.values()} == {AccrualState.PAID, AccrualState.CANCELLED}
    balances = await year.balances()
    assert balances[f"payout:{MASTER}", "USD"] == total * 100
    assert sum(balances.values()) == 0
    async with year.store.read() as session:
        assert await verify(session) is None
        wanted = {operation.client_id: (operation.login, operation.amount) async for operation in operations(session)}
    assert wanted == {request.client_id: (request.login, request.amount) for request in year.requests}
    assert len(set(year.requests)) == len(wanted), "what is asked again is asked in the same words"


async def test_a_snapshot_tells_the_recent_state_as_it_was_told(year: World) -> None:
    before = dict(year.accruals)
    await year.snapshot()
    assert year.accruals == before


def checked(path: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-I", str(TOOL), str(path)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_the_year_s_statement_is_recomputed_by_the_standard_library_alone(year: World, tmp_path: Path, form: str) -> None:
    document = statement(3, 0, 2**60, year.accruals.values())
    assert dec(document["charged"]) == sum(expected(3).values())
    path = tmp_path / f"statement.{form}"
    path.write_text(json.dumps(document) if form == "json" else to_csv(document))
    code, said = checked(path)
    assert (code, said.splitlines()[-1]) == (0, f"{len(expected(3))} accruals, 0 different")


def _lie(document: dict[str, Any], formula: str, field: str, value: Any) -> None:
    line = next(line for line in document["accruals"] if line["formula"] == formula and Decimal(line["fee_amount"]) > 0)
    if field in line:
        line[field] = value
    elif field == "trades":
        line["inputs"]["trades"][0][5] = value
    else:
        line["inputs"][field] = value


@pytest.mark.parametrize(
    ("formula", "field", "value"),
    [
        ("performance/1", "fee_amount", "0.01"),
        ("performance/1", "base_amount", "1"),
        ("performance/1", "trades", "9999"),
        ("performance/1", "mark_after", "1"),
        ("performance/1", "fees_before", "0"),
        ("volume/1", "per_lot", "3"),
        ("management_fixed/1", "active_ms", 1),
        ("subscription/1", "amount", "29"),
        ("subscription/1", "formula", "magic/1"),
        ("subscription/1", "state", 4),
    ],
)
async def test_a_statement_that_lies_is_found_out(year: World, tmp_path: Path, formula: str, field: str, value: Any) -> None:
    document = statement(3, 0, 2**60, year.accruals.values())
    _lie(document, formula, field, value)
    path = tmp_path / "statement.json"
    path.write_text(json.dumps(document))
    code, said = checked(path)
    assert code == 1
    assert " 0 different" not in said.splitlines()[-1]


async def test_what_is_no_statement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    assert checked(tmp_path / "x.json")[0] == 2
    assert checked(tmp_path / "missing.json")[0] == 2


# --- verify names the first difference ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def small(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One share of 20 % of 100, charged and paid."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres")("rewards")
    world = await World.open(tmp_path, now=1_000_000, url=url)
    await world.customers()
    await world.policy(reward_type=3, fee_percent=dec("20"))
    await world.subscribe(7)
    await world.closed(7, 9001, profit="100")
    await world.settle_all()
    yield world
    await world.close()


def _tampered(world: World, statements: Iterable[str]) -> list[Any]:
    if world.url.startswith("sqlite"):
        return ["DROP TRIGGER journal_no_update", "DROP TRIGGER journal_no_delete", *statements]
    return ["DROP TRIGGER journal_no_change ON journal", *statements]


@pytest.mark.parametrize(
    ("statements", "check"),
    [
        (["UPDATE journal SET amount = 1999 WHERE sequence = 1"], "chain: entry 1: its hash"),
        (["UPDATE journal SET hash = 'x' WHERE sequence = 1"], "chain: entry 1"),
        (["DELETE FROM journal WHERE sequence = 1"], "chain: entry 2: follows 0"),
        (["DELETE FROM journal WHERE sequence = 2", "UPDATE balance SET amount = 2000 WHERE account = 'payable:100001'",
          "DELETE FROM balance WHERE account = 'payout:100001'"], "accrual:"),
        (["UPDATE balance SET amount = amount + 1 WHERE account = 'payout:100001'"], "balance: payout:100001 USD: kept as 2001"),
        (["UPDATE accrual SET fee_amount = 1900000000"], "accrual:"),
        (["UPDATE accrual SET base_amount = '99'"], "accrual:"),
        (["UPDATE accrual SET phase = 'in_sent'"], "accrual:"),
        (['UPDATE accrual SET inputs = replace(inputs, \'"20"\', \'"21"\')'], "accrual:"),
        (["UPDATE trade SET profit = '99'"], "accrual:"),
        (["DELETE FROM accrual", "DELETE FROM sharing"], "journal:"),
        (["UPDATE sharing SET settled = '19'"],
         "sharing: subscription 7: held and settled shown as 0 and 19, its accruals come to 0 and 20"),
        (["DELETE FROM sharing"], "sharing: subscription 7"),
    ],
)  # fmt: skip
async def test_verify_names_the_first_difference(small: World, statements: list[str], check: str) -> None:
    async with small.store.read() as session:
        assert await verify(session) is None
    async with small.store.work() as work:
        for statement_ in _tampered(small, statements):
            await work.session.execute(text(statement_))
    async with small.store.read() as session:
        assert str(await verify(session)).startswith(check)


async def test_verify_finds_a_time_that_was_billed_twice(tmp_path: Path) -> None:
    """Two days without volume; the second is then said to have begun an hour before the first one's end."""
    world = await World.open(tmp_path, now=ms(BEGIN))
    await world.customers()
    await world.policy(reward_type=2, billing_period="daily", fee_amount=dec("2"))
    await world.subscribe(7, created_ms=ms(BEGIN))
    world.now += 2 * DAY_MS
    await world.account(999, 99)
    await world.tick()
    async with world.store.read() as session:
        assert await verify(session) is None
    async with world.store.work() as work:
        await work.session.execute(
            text(f"UPDATE accrual SET period_from = period_from - {HOUR_MS} WHERE period_from = {ms(BEGIN) + DAY_MS}")
        )
    async with world.store.read() as session:
        assert str(await verify(session)).startswith("period: subscription 7, reward type 2: accruals")
    await world.close()


async def test_what_the_venue_did_that_nobody_asked_for_is_found(small: World) -> None:
    """An OUT in flight may have been carried out already; an IN, or an OUT of what is void, may not; an unknown accrual never."""
    first = small.accrual()
    await small.closed(7, 9002, profit="100")
    await small.closed(7, 9003, profit="-100")
    asked, void = (next(row.id for row in small.accruals.values() if row.source_order == order) for order in (9002, 9003))
    async with small.store.read() as session:
        assert await unclaimed([f"r-{first.id}-out", f"r-{first.id}-in", f"r-{asked}-out"], session) is None
        for wrong in (f"r-{asked}-in", f"r-{void}-out", "r-5-out", "mine"):
            assert str(await unclaimed([f"r-{first.id}-out", wrong], session)).startswith(f"venue: {wrong}: was carried out, but")


async def test_verify_finds_a_deal_that_was_counted_twice(small: World) -> None:
    await small.closed(7, 9002, profit="100")
    rows: list[AccrualRow] = sorted(small.accruals.values(), key=lambda row: row.source_order)
    async with small.store.work() as work:
        doubled = update(tables.accrual).where(tables.accrual.c.id == rows[1].id).values(inputs=rows[0].inputs)
        await work.session.execute(doubled)
    async with small.store.read() as session:
        assert str(await verify(session)).startswith("twice: deal 90011 of order 9001")
