"""Executors as shards give the links that one executor gives; nothing of a follower is done twice or by nobody."""

import random
from pathlib import Path

import pytest
from executor.settings import ExecutorSettings
from pydantic import ValidationError
from shared.shards import Shard, numbered, streams
from shared.store.work import WrongStoreError

from tests.flow.shard_world import FOLLOWERS, Shards

STEPS = 60


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
@pytest.mark.parametrize("seed", range(3))
async def test_shards_give_the_same_links_as_one(tmp_path: Path, seed: int) -> None:
    links, held, _ = await _whole(tmp_path / "1", 1, seed)
    assert links
    for of in (2, 3):
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
    logins = []
    for own, _ in world.executors:
        logins.append({row[4] for row in await world._links(own)})
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
