"""Who or what has ended copies nothing any more, also where nothing said so, and does not begin again by what is told late."""

from pathlib import Path
from typing import Any

import pytest
from shared.contracts.config import (
    Follower,
    FollowerDeleted,
    FollowerSaved,
    Halt,
    HaltKey,
    HaltSaved,
    HaltsHeld,
    Master,
    MasterDeleted,
    MasterSaved,
    RecordsHeld,
    SubscriptionDeleted,
    SubscriptionSaved,
)

from tests.flow.executor_world import ANNA, BEN, CARL, MASTER, subscription, world

pytestmark = pytest.mark.anyio


async def test_what_ended_without_a_word_ends_when_it_is_told_what_there_is(tmp_path: Path) -> None:
    """The api's store was restored: it never had subscription 2, nor the halt of Carl, whose number 5 is beyond what it speaks of."""
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN), subscription(5, CARL))
        await w.configured(
            HaltSaved(halt=Halt(id=1, scope="follower", key=str(CARL), version=4)), HaltSaved(halt=Halt(id=2, scope="symbol", key="GBPUSD"))
        )
        await w.open(11)
        assert w.open_volume(BEN) == 100
        held = RecordsHeld(noun="subscription", first=1, last=4, ids=(1,))
        await w.configured(
            held, RecordsHeld(noun="reward_policy", first=1, last=9, ids=()), HaltsHeld(halts=(HaltKey("symbol", "GBPUSD"),))
        )
        assert ((await w.links(11))[2].phase, w.open_volume(BEN)) == ("detached", 100)
        for order in (12, 13):
            await w.open(order)
            assert {number: link.phase for number, link in (await w.links(order)).items()} == {1: "open", 5: "open"}
            w.parts_desk.forget()
        await w.configured(HaltSaved(halt=Halt(id=9, scope="follower", key=str(CARL), version=1)))
        await w.open(14)
        assert {number: link.reason for number, link in (await w.links(14)).items()} == {1: "", 5: "HALTED"}
        await w.open(15, symbol="GBPUSD")
        assert {link.reason for link in (await w.links(15)).values()} == {"HALTED"}


@pytest.mark.parametrize("policy", ["close", "detach"])
@pytest.mark.parametrize("who", ["master", "follower"])
async def test_deleting_a_master_or_follower(tmp_path: Path, who: str, policy: Any) -> None:
    async with world(tmp_path) as w:
        await w.ready(subscription(1, ANNA), subscription(2, BEN))
        await w.open(11)
        deleted: Any = (
            MasterDeleted(master=Master(id=1, login=MASTER, customer_id=1), close_policy=policy)
            if who == "master"
            else FollowerDeleted(follower=Follower(id=ANNA, login=ANNA, customer_id=1), close_policy=policy)
        )
        await w.configured(deleted)
        assert w.open_volume(ANNA) == (0 if policy == "close" else 100)
        assert w.open_volume(BEN) == (0 if policy == "close" and who == "master" else 100)
        await w.open(12)
        assert set(await w.links(12)) == (set() if who == "master" else {2})


@pytest.mark.parametrize("who", ["master", "follower"])
async def test_who_ended_without_a_word_copies_nothing_and_comes_back_by_what_a_restored_store_tells(tmp_path: Path, who: Any) -> None:
    """Made as 9 after the backup, which has the login as 3: 9 ends, its copies stay, and 3 holds, in memory and after a restart."""
    async with world(tmp_path) as w:
        await w.ready()
        saved: Any = (
            [MasterSaved(master=Master(id=number, login=MASTER, customer_id=1, version=version)) for number, version in ((9, 2), (3, 40))]
            if who == "master"
            else [FollowerSaved(follower=Follower(id=number, login=ANNA, customer_id=1, version=2)) for number in (99_999, 99_998)]
        )
        await w.configured(saved[0], SubscriptionSaved(subscription=subscription(1, ANNA)))
        await w.open(11)
        await w.configured(RecordsHeld(noun=who, first=1, last=99_999, ids=(3, BEN, CARL)))
        await w.open(12)
        assert w.open_volume(ANNA) == 100
        w.parts_desk.forget()
        await w.configured(saved[1], SubscriptionSaved(subscription=subscription(1, ANNA, version=9)))
        for order in (13, 14):
            await w.open(order)
            w.parts_desk.forget()
        assert w.open_volume(ANNA) == 300


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("who", ["master", "follower", "subscription"])
async def test_what_has_ended_does_not_begin_again_by_what_is_told_late(tmp_path: Path, who: str, heard: bool) -> None:
    """A letter that told of a master, a follower or a subscription is retried after its end, which the letter's versions lead up to."""
    async with world(tmp_path) as w:
        master = Master(id=1, login=MASTER, customer_id=1, version=2)
        follower = Follower(id=ANNA, login=ANNA, customer_id=1, version=2)
        copies = subscription(1, ANNA)
        told: dict[str, tuple[Any, Any]] = {
            "master": (MasterSaved(master=master), MasterDeleted(master=master)),
            "follower": (FollowerSaved(follower=follower), FollowerDeleted(follower=follower)),
            "subscription": (SubscriptionSaved(subscription=copies), SubscriptionDeleted(subscription=copies)),
        }
        saved, deleted = told.pop(who)
        await w.ready()
        await w.configured(*(first for first, _ in told.values()), *([saved] if heard else []), deleted, saved)
        if who != "subscription":  # it ended with its master or follower; without them no later one is copied either
            await w.configured(SubscriptionSaved(subscription=subscription(3, ANNA)))
        for order in (11, 12):
            await w.open(order)
            assert w.open_volume(ANNA) == 0
            w.parts_desk.forget()
