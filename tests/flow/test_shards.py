"""Executors as shards give the links that one executor gives; nothing of a follower is done twice or by nobody."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from executor import store as executor_store
from executor.settings import ExecutorSettings
from lockstep.reshard import plan_of, reshard, reshard_home
from lockstep.stack import Home, StackError
from lockstep.stores import put_back, sharded, shards_of
from pydantic import ValidationError
from rewards import tables as rewards_tables
from shared.shards import Shard, numbered, streams
from shared.store import migrate, outbox
from shared.store.work import WrongStoreError
from sqlalchemy import MetaData, update

from tests.flow.shard_world import FOLLOWERS, Shards
from tests.stores import ON_POSTGRES, renamed, store_url

STEPS = 28


async def move(folder: Path, before: int, of: int) -> None:
    """Moves the followers of all executors in a folder to another number of them, as the command does for files, or for URLs."""
    if not ON_POSTGRES:
        await asyncio.to_thread(reshard_home, "executor", folder, of, lambda _: None)
        return
    sources = [store_url("executor", folder, numbered("executor", number)) for number in range(1, before + 1)]
    targets = [store_url("executor", folder, f"new-{number}") for number in range(1, of + 1)]
    await reshard("executor", sources, targets, (), lambda _: None)
    for number in range(1, of + 1):
        renamed(folder, f"new-{number}", numbered("executor", number))


async def _whole(folder: Path, of: int, seed: int) -> tuple[object, dict[str, int], list[int]]:
    folder.mkdir()
    world = Shards(folder, of)
    await world.start()
    await world.ground()
    await world.course(random.Random(seed), STEPS, 9000)
    found = await world.table(), world.held_volumes(), await world.ids()
    await world.stop()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(2))
async def test_shards_give_the_same_links_as_one(tmp_path: Path, seed: int) -> None:
    links, held, _ = await _whole(tmp_path / "1", 1, seed)
    assert links
    for of in ((2,), (3,))[seed]:
        shards_links, shards_held, ids = await _whole(tmp_path / str(of), of, seed)
        assert shards_links == links
        assert shards_held == held
        assert len(set(ids)) == len(ids)


@pytest.mark.anyio
async def test_each_shard_has_its_own_followers_alone(tmp_path: Path) -> None:
    world = Shards(tmp_path, 2)
    await world.start()
    await world.ground()
    await world.open(9000)
    logins = [{row["follower_login"] for row in await world.rows(number)} for number in (1, 2)]
    assert logins == [{login for login in FOLLOWERS if login % 2 == 0}, {login for login in FOLLOWERS if login % 2}]
    await world.stop()


@pytest.mark.anyio
async def test_a_store_is_opened_by_its_own_shard_alone(tmp_path: Path) -> None:
    world = Shards(tmp_path, 2)
    await world.start()
    await world.stop()
    world.of = 3
    with pytest.raises(WrongStoreError, match=r"shard 1/2 of executor, not 1/3"):
        await world.start()
    await world.loop.close()


@pytest.mark.anyio
@pytest.mark.parametrize("ways", [(1, 2, 3), (3, 1, 2), (2, 4, 1)])
async def test_followers_move_between_shards_and_nothing_is_lost(tmp_path: Path, ways: tuple[int, ...]) -> None:
    """A course in three parts; between them all processes stop, and the followers move to another number of shards, or stay."""

    async def course(folder: Path, shards: tuple[int, ...]) -> tuple[object, dict[str, int], list[int]]:
        folder.mkdir()
        world, draw = Shards(folder, shards[0]), random.Random(7)
        for part, of in enumerate(shards):
            if of != world.of:
                await move(folder, world.of, of)
                world.of = of
            await world.start()
            if part == 0:
                await world.ground()
            await world.course(draw, STEPS // 2, 9000 + 1000 * part)
            found = await world.table(), world.held_volumes(), await world.ids()
            await world.stop()
        return found

    links, held, _ = await course(tmp_path / "still", (1, 1, 1))
    assert links
    moved, moved_held, ids = await course(tmp_path / "moved", ways)
    assert moved == links
    assert moved_held == held
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(ON_POSTGRES, reason="of files")
@pytest.mark.anyio
async def test_shards_that_have_not_read_equally_far_are_not_moved(tmp_path: Path) -> None:
    world = Shards(tmp_path, 2)
    await world.start()
    await world.ground()
    async with world.executors[1][0].engine.begin() as connection:
        await connection.execute(update(outbox.place).where(outbox.place.c.stream == "trade.push").values(number=0))
    await world.stop()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("executor*.db")}
    with pytest.raises(StackError, match="shard 2 has read up to"):
        await asyncio.to_thread(reshard_home, "executor", tmp_path, 3, lambda _: None)
    assert {file.name for file in tmp_path.glob("executor*")} - {f"{name}.lock" for name in before} == set(before)


@pytest.mark.skipif(ON_POSTGRES, reason="of files")
@pytest.mark.anyio
async def test_a_move_that_is_cut_off_while_stores_are_exchanged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two new stores the second is in its place already: the first, which says how many there are, is the old one still."""
    world = Shards(tmp_path, 1)
    await world.start()
    await world.ground()
    await world.open(9000)
    links = await world.table()
    await world.stop()
    replace = Path.replace

    def cut_off(self: Path, target: Path) -> Path:
        if target.name == "executor.db":
            raise OSError("cut off")
        return replace(self, target)

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", cut_off)
        with pytest.raises(OSError, match="cut off"):
            await asyncio.to_thread(reshard_home, "executor", tmp_path, 2, lambda _: None)
    assert sharded(Home(tmp_path), None, None)[0] == 1
    await asyncio.to_thread(reshard_home, "executor", tmp_path, 2, lambda _: None)
    world.of = 2
    await world.start()
    assert await world.table() == links
    await world.stop()


def _made(folder: Path, service: str, of: int) -> None:
    """The stores of so many shards, with nothing in them."""
    for number in range(1, of + 1):
        url = f"sqlite:///{folder / numbered(service, number)}.db"
        migrate.upgrade(service, url)
        _do(url, f"INSERT INTO log_identity (name, value) VALUES ('shard', '{number}/{of}')")


def _do(url: str, statement: str) -> list[Any]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        return connection.execute(statement).fetchall()


def _shards(folder: Path, service: str) -> list[str]:
    """What the stores of a service are that its first one counts."""
    files = [folder / f"{numbered(service, number)}.db" for number in range(1, shards_of(folder, service) + 1)]
    return [_do(f"sqlite:///{file}", "SELECT value FROM log_identity WHERE name = 'shard'")[0][0] for file in files]


@pytest.mark.parametrize("cut", range(3))
def test_wherever_an_exchange_is_cut_off_there_are_the_old_shards_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Three become two: the second is put in its place, then the first, then the third goes."""
    _made(tmp_path, "executor", 3)
    left = [cut]

    def until_cut(act: Callable[..., Any], suffix: str) -> Callable[..., Any]:
        def acts(self: Path, *args: Any, **options: Any) -> Any:
            if self.suffix == suffix:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError("cut off")
            return act(self, *args, **options)

        return acts

    with monkeypatch.context() as cutting:
        cutting.setattr(Path, "replace", until_cut(Path.replace, ".new"))
        cutting.setattr(Path, "unlink", until_cut(Path.unlink, ".db"))
        with pytest.raises(OSError, match="cut off"):
            reshard_home("executor", tmp_path, 2, lambda _: None)
    put_back(tmp_path)
    assert _shards(tmp_path, "executor") == (["1/3", "2/3", "3/3"] if cut < 2 else ["1/2", "2/2"])
    reshard_home("executor", tmp_path, 2, lambda _: None)
    assert _shards(tmp_path, "executor") == ["1/2", "2/2"]


def test_a_shard_s_journal_goes_on_where_it_was_kept(tmp_path: Path) -> None:
    """Two become one and two again: what the second booked is in its store each time."""
    _made(tmp_path, "rewards", 2)
    second = f"sqlite:///{tmp_path / 'rewards.2.db'}"
    _do(second, "INSERT INTO journal VALUES (1, 7, 'out', 0, 'follower', 'held', 100, 'USD', 1, '', 'a')")
    for of in (1, 2):
        reshard_home("rewards", tmp_path, of, lambda _: None)
        assert len(_do(second, "SELECT * FROM journal")) == 1
    assert _shards(tmp_path, "rewards") == ["1/2", "2/2"]
    assert _do(f"sqlite:///{tmp_path / 'rewards.db'}", "SELECT * FROM journal") == []


@pytest.mark.parametrize(("service", "tables"), [("executor", executor_store.METADATA), ("rewards", rewards_tables.METADATA)])
def test_every_table_is_a_follower_s_or_known_to_all_or_stays(service: str, tables: MetaData) -> None:
    """A table that is added has to be given to somebody."""
    plan = plan_of(service)
    given = [
        *(table.name for table in plan.owners),
        *(table.name for table in (*plan.apart, *plan.counted)),
        *outbox.LOG.tables,
        *(["fanout"] * (service == "executor")),
    ]
    assert sorted(given) == sorted(tables.tables)


def test_shards_are_named_and_share_out_all_followers() -> None:
    assert streams("copy.order", 3) == ["copy.order", "copy.order.2", "copy.order.3"]
    assert numbered("executor", 1) == "executor"
    parts = [Shard(number, 8) for number in range(1, 9)]
    for login in range(1000):
        assert [part.owns(login) for part in parts].count(True) == 1
    assert [Shard(number, 8).ids_after for number in (1, 2, 8)] == [0, 2**40, 7 * 2**40]


@pytest.mark.parametrize("text", ["", "1", "0/1", "3/2", "a/2", "1/", "-1/2", "1/2/3", "1/٢"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ExecutorSettings(shard=text)
