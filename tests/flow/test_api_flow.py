"""The api as a reader and a writer: its read models after every kind of event, and the snapshot of its configuration."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api import flow
from api.settings import Settings
from api.store import PositionStop
from api.wiring import main
from shared.bus.reader import Received
from shared.contracts import config
from shared.contracts.config import ConfigEvent
from shared.contracts.event import ROWS_PER_ENTRY, Event, Lost
from shared.contracts.rewards import StandingRow, StandingsChanged
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import (
    AccountPositions,
    AccountsOpened,
    ChangedRow,
    ClosedRow,
    HeldRow,
    OpenedRow,
    PositionsChanged,
    PositionsClosed,
    PositionsOpened,
    PositionsReduced,
)
from shared.service import Read
from shared.store import migrate, outbox
from shared.store.outbox import log_metadata
from shared.store.work import Store, Work

from tests.api.told import refused, stats
from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, MASTER_LOGIN, World, account, open_world
from tests.loopback import Loopback

pytestmark = pytest.mark.anyio
ZERO = Decimal(0)


def opened(order: int, volume: int = 40) -> OpenedRow:
    return OpenedRow(
        *(order, BOB_LOGIN, "GBPUSD", "buy", volume, Decimal("1.5"), ZERO, ZERO, f"c-1-{order}-open-0", "TR_REASON_COPY"),
        *(ZERO, ZERO, ZERO, ZERO, 1000),
    )


def closed(order: int, deal: int, volume: int, left: int) -> ClosedRow:
    return ClosedRow(
        *(order, deal, BOB_LOGIN, "GBPUSD", "buy", 40, volume, left, Decimal("1.5"), Decimal("1.6"), Decimal(100), ZERO, ZERO),
        *("TR_REASON_COPY", "x", f"c-1-{order}-open-0", 1000, 2000),
    )


async def positions(world: World) -> list[tuple[int, int, int, int]]:
    rows = await world.rows('"position" ORDER BY "order"')
    return [(row["order"], row["initial"], row["volume"], row["sl"]) for row in rows]


async def test_positions_follow_their_events_and_told_again_change_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        events: list[Event] = [
            PositionsOpened.of([opened(1), opened(2)]),
            PositionsChanged.of([ChangedRow(1, BOB_LOGIN, "GBPUSD", Decimal("1.4"), ZERO, 2, "x")]),
            PositionsReduced.of([closed(1, 901, 10, 30)]),
            PositionsClosed.of([closed(2, 902, 40, 0)]),
        ]
        await world.told(flow.on_trades, *events)
        assert await positions(world) == [(1, 40, 30, 140_000_000)]
        await world.told(flow.on_trades, PositionsOpened.of([opened(1), opened(2)]), PositionsReduced.of([closed(1, 901, 10, 30)]))
        assert await positions(world) == [(1, 40, 30, 140_000_000)]
        assert len(await world.rows("deal")) == 2
        held = HeldRow(3, "GBPUSD", "sell", 20, 15, Decimal("1.5"), ZERO, ZERO, 1, "c-1-3-open-0", 1000)
        await world.told(flow.on_trades, AccountPositions.of([held], login=BOB_LOGIN, pending=(), request="", first=True, last=False))
        more = held._replace(order=4, volume=20)
        await world.told(flow.on_trades, AccountPositions.of([more], login=BOB_LOGIN, pending=(), request="", first=False, last=True))
        assert await positions(world) == [(3, 20, 15, 0), (4, 20, 20, 0)]


async def test_accounts_are_as_last_told(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.open_account(BOB_LOGIN, BOB, equity=Decimal("9876.54321"), positions=2)
        shown = (await world.good(BOB, "GET", "/customer/session/accounts"))["accounts"]
        assert [(row["login"], row["equity"], row["positions"], row["group"]) for row in shown] == [(BOB_LOGIN, 9876.54321, 2, "real-usd")]


async def test_what_no_column_holds_is_kept_as_the_most_that_one_does(tmp_path: Path) -> None:
    """A column of 1e-8 ends at 92 billion: an equity of 93 billion, a stop at 10^30 and a `roi_simple` of 10^12 (a master that began with
    dust) are 90 billion, and what is told beside them is kept. What a customer asks for is refused."""
    most, huge = 9 * 10**18, Decimal(93) * 10**9
    async with open_world(tmp_path) as world:
        await world.pair()
        rows = [account(login, BOB)._replace(equity=equity, free_margin=-equity) for login, equity in ((41, huge), (42, Decimal(7)))]
        await world.told(flow.on_trades, AccountsOpened.of(rows, time=world.now))
        known = await world.rows("account WHERE login IN (41, 42) ORDER BY login")
        assert [(row["equity"], row["free_margin"]) for row in known] == [(most, -most), (7 * 10**8, -7 * 10**8)]
        moved = ChangedRow(1, BOB_LOGIN, "GBPUSD", Decimal(10) ** 30, ZERO, 2, "x")
        await world.told(flow.on_trades, PositionsOpened.of([opened(1)]), PositionsChanged.of([moved]))
        assert await positions(world) == [(1, 40, 40, most)]
        told = stats("30D", 30, roi_simple=Decimal(10) ** 12, pnl=-huge, details='{"followers_roi": 1e12, "followers": 3}')
        await world.told(flow.on_stats, StatsChanged.of([told, stats("7D", 7)]))
        shown = await world.good(BOB, "GET", f"/copytrade/master/stats?login={MASTER_LOGIN}&period=30D")
        found = [shown[name] for name in ("roi", "roi_simple", "pnl", "followers_roi", "followers")]
        assert found == [8.42, most // 10**8, -most // 10**8, most // 10**8, 3]
        dear = MASTER | {"login": BOB_LOGIN, "reward_policy": {"reward_type": 0, "billing_period": "monthly", "fee_amount": 93 * 10**9}}
        await refused(world, 400, "INVALID_REWARD_POLICY", BOB, "POST", "/copytrade/master", dear)


async def test_a_past_due_subscription_shows_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.pair()
        await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
        row = StandingRow(1, BOB_LOGIN, MASTER_LOGIN, "close_only", 31, world.now)
        await world.told(flow.on_rewards, StandingsChanged.of([row]))
        mine = await world.good(BOB, "GET", "/copytrade/my")
        assert (mine["subscriptions"][0]["standing"], mine["subscriptions"][0]["version"]) == ("close_only", 1)


async def test_a_snapshot_rebuilds_a_reader(tmp_path: Path) -> None:
    """A reader that starts from the snapshot knows what one knows that has read everything: the states, and every policy version."""
    async with open_world(tmp_path) as world:
        await world.pair()
        subscription = {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN, "copy_existing_positions": 1, "risk_multiplier": 0.25}
        await world.good(BOB, "POST", "/copytrade/subscription", subscription)
        await world.good(ALICE, "PUT", "/copytrade/master/1", {"reward_policy": {"reward_type": 3, "fee_percent": 10}})
        await world.good(ALICE, "POST", "/copytrade/halt", {"scope": "master", "login": MASTER_LOGIN})
        everything = await read_all(world.store, tmp_path / "from_the_start")
        async with world.store.work(lost=(config.TOPIC, Lost(1, 2))) as work:
            await flow.snapshot(work)
        *held, halts = (await read_all(world.store, tmp_path / "both"))[len(everything) :][:5]
        assert [(event.noun, event.first, event.last, event.ids) for event in held] == [
            ("subscription", 1, 1, (1,)),
            ("reward_policy", 1, 1, (1,)),
            ("master", 1, 1, (1,)),
            ("follower", 1, 1, (1,)),
        ]
        assert halts.halts == (("master", str(MASTER_LOGIN)),)
        again = (await read_all(world.store, tmp_path / "after"))[len(everything) + 5 :]

        def states(events: list[Any]) -> dict[Any, Any]:
            found = {}
            for event in events:
                state = getattr(event, event.type.partition(".")[0])
                found[event.type, state.id, state.version if event.type == "policy.saved" else 0] = state
            return found

        assert states(again) == states(everything)
        assert [event.policy.version for event in again if event.type == "policy.saved"] == [1, 2]
        assert not any(event.copy_existing for event in again if event.type == "subscription.saved")


async def test_what_a_restored_store_has_is_the_newest(tmp_path: Path, new_store_url: Callable[[str], str]) -> None:
    """Two subscriptions, one of which ended; others have read 20 entries more than there are. Each record is newer than any version of
    those, none but the first subscription is there, and the next one's id was given to nobody."""
    url = new_store_url("api")
    migrate.upgrade("api", url)
    async with open_world(tmp_path, url) as world:
        await world.pair()
        other = await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
        await world.good(BOB, "DELETE", f"/copytrade/subscription/{other['id']}")
        mine = await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
        stops = {"follower_login": BOB_LOGIN, "master_login": MASTER_LOGIN, "symbol": "GBPUSD", "is_long": 1}
        async with world.store.work() as work:
            work.session.add(PositionStop(created_ms=world.now, updated_ms=world.now, **stops))
        async with world.store.read() as session:
            _, last = await outbox.ends(session, config.TOPIC)
        world.now += 5000
        async with world.store.work(lost=(config.TOPIC, Lost(last + 1, last + 20))) as work:
            await outbox.raise_counter(work.session, config.TOPIC, last + 20)
            await flow.snapshot(work)
        told = await world.config_events()
        held = [(event["first"], event["last"], event["ids"]) for event in told if event["type"] == "records.held"]
        highest = mine["id"] + 20 * ROWS_PER_ENTRY
        rest = [(1, 1, [1]), (2, 1 + 20 * ROWS_PER_ENTRY, [])]
        assert held == [(1, 2, [2]), (3, highest, []), *rest, *rest, *rest]
        again = [event[noun] for noun in ("master", "follower", "subscription", "policy") for event in told[-6:] if noun in event]
        states = [state for state in again if state["version"] > 1]
        assert [(state["version"], state["updated_ms"]) for state in states] == [(21, world.now)] * 4
        assert [policy["valid_from_ms"] for policy in states if "fee_percent" in policy] == [world.now]
        [kept] = [event["stops"] for event in told if "stops" in event]
        assert (kept["version"], kept["updated_ms"]) == (21, world.now - 5000), "they are not for copies of after they were set"
        history = await world.good(BOB, "GET", f"/copytrade/subscription/{mine['id']}/history")
        assert [row["version"] for row in history["rows"]] == [1, 21]
        await world.good(BOB, "DELETE", f"/copytrade/subscription/{mine['id']}")
        new = await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
        assert new["id"] == highest + 1


async def test_an_empty_store_in_place_of_one_that_is_lost_gives_no_id_out_again(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        async with world.store.work(lost=(config.TOPIC, Lost(1, 20))) as work:
            await outbox.raise_counter(work.session, config.TOPIC, 20)
            await flow.snapshot(work)
        held = [(event["noun"], event["first"], event["last"]) for event in await world.config_events() if event["type"] == "records.held"]
        assert held == [(noun, 1, 20 * ROWS_PER_ENTRY) for noun in ("subscription", "reward_policy", "master", "follower")]
        master, _ = await world.pair()
        assert master["id"] == 20 * ROWS_PER_ENTRY + 1


async def test_a_snapshot_for_one_who_comes_late_changes_nothing(tmp_path: Path) -> None:
    """Everything was pruned: the snapshot stands for all that there was."""
    async with open_world(tmp_path) as world:
        await world.pair()
        before = [await world.rows(table) for table in ("master", "follower", "reward_policy", "version")]
        async with world.store.read() as session:
            _, last = await outbox.ends(session, config.TOPIC)
        async with world.store.work(lost=(config.TOPIC, Lost(1, last))) as work:
            await flow.snapshot(work)
        assert [await world.rows(table) for table in ("master", "follower", "reward_policy", "version")] == before


async def read_all(store: Store, folder: Path) -> list[Any]:
    """All of copy.config, as another service's reader gets it."""
    folder.mkdir()
    seen: list[Any] = []

    async def on_config(batch: Received[ConfigEvent], _work: Work) -> None:
        seen.extend(batch.events)

    loopback = Loopback(folder, store.clock)
    loopback.join(store, {})
    reader = await loopback.open_store("executor", ())
    loopback.join(reader, {config.TOPIC: Read(ConfigEvent, on_config)})
    await loopback.settle()
    await reader.engine.dispose()
    return seen


def test_the_migrations_are_the_tables(new_store_url: Callable[[str], str]) -> None:
    url = new_store_url("api")
    migrate.upgrade("api", url)
    assert migrate.differences("api", url) == []
    migrate.downgrade("api", url)
    migrate.upgrade("api", url)
    assert log_metadata().tables.keys() <= migrate.metadata_of("api").tables.keys()


async def test_settings_have_their_effect(tmp_path: Path) -> None:
    async with open_world(tmp_path, page_default=1, page_max=2, manager_page_max=3, session_ttl_s=60, json_depth_max=4) as world:
        await world.pair()
        await world.good(BOB, "POST", "/copytrade/master", MASTER | {"login": BOB_LOGIN})
        page = await world.good(ALICE, "GET", "/copytrade/masters")
        assert (len(page["rows"]), page["count"]) == (1, 2)
        assert (await world.call(ALICE, "GET", "/copytrade/masters?limit=3")).status_code == 400
        assert (await world.call("SESSION_MANAGER", "POST", "/manager/MngGetCopyMastersByFilter", {"limit": 4})).status_code == 400
        assert (await world.call("SESSION_MANAGER", "POST", "/manager/MngGetCopyMastersByFilter", {"limit": 3})).status_code == 200
        deep = {"where": [["id", "=", [[[1]]]]]}
        assert "nested" in (await world.call(ALICE, "POST", "/copytrade/masters/search", deep)).json()["message"]
        await world.good(
            "SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "b@b.b", "password": "correct horse"}
        )
        token = (await world.good(None, "POST", "/customer/auth/login", {"email": "b@b.b", "password": "correct horse"}))["__token"]
        world.now += 59_000
        await world.good(None, "GET", "/copytrade/my", headers={"Authorization": token})
        world.now += 1000
        assert (await world.call(None, "GET", "/copytrade/my", headers={"Authorization": token})).status_code == 401


async def test_old_answers_are_forgotten(tmp_path: Path) -> None:
    async with open_world(tmp_path, idempotency_hours=1) as world:
        await world.call(ALICE, "POST", "/copytrade/master", MASTER, headers={"Idempotency-Key": "k"})
        for hours, kept in ((1, 1), (1.01, 0)):
            world.now = 1_778_160_000_000 + round(hours * 3_600_000)
            await world.context.forget_old_answers()
            assert len(await world.rows("idempotency")) == kept


def test_the_process_is_wired(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(name: str, settings: Settings, _build: Any, **more: Any) -> None:
        seen.update(name=name, settings=settings, **more)

    monkeypatch.setattr("api.wiring.run", run)
    main()
    assert (seen["name"], seen["writes"], seen["sole_owner"]) == ("api", ("copy.config",), False)
