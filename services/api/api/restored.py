"""What a snapshot of the configuration says of records that others may know otherwise: which there are, and that they are the newest.

After the store was restored from a backup, others know later versions of its records than it has itself, and records that it never had.
What it has is what holds from now on, so each record becomes a newer version than any that was lost, and no id is given out again.
"""

from typing import Any

from shared.contracts.config import RecordsHeld, State
from shared.contracts.event import ROWS_PER_ENTRY, Lost
from shared.store import outbox
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import store
from api.store import Follower, Halt, Master, PositionStop, RewardPolicy, Subscription, Version
from api.tables import table_of

TOLD = (Master, Follower, Subscription, RewardPolicy, Halt, PositionStop)
IDS_PER_EVENT = 2000
ACTOR = "RESTORED"


async def held(session: AsyncSession, model: type[Subscription | RewardPolicy | Master | Follower]) -> list[RecordsHeld]:
    """Which records there are, of all ids that were ever given out."""
    noun = table_of(model).name
    ids = list((await session.execute(select(col(model.id)).order_by(col(model.id)))).scalars())
    found, first = [], 1
    for start in range(0, len(ids), IDS_PER_EVENT):
        some = tuple(ids[start : start + IDS_PER_EVENT])
        found.append(RecordsHeld(noun=noun, first=first, last=some[-1], ids=some))
        first = some[-1] + 1
    last = await _last_id(session, model)
    if last >= first:
        found.append(RecordsHeld(noun=noun, first=first, last=last, ids=()))
    return found


async def is_older(session: AsyncSession, lost: tuple[str, Lost]) -> bool:
    """Whether the lost entries are the last ones that there were: the store is older than what was told of it, or it is new and empty."""
    topic, (first, last) = lost
    _, own_last = await outbox.ends(session, topic)
    return last >= own_last and (first > 1 or not await _last_id(session, Master))


async def made_the_newest(session: AsyncSession, now: int, lost: Lost) -> None:
    """Each lost entry may have told one more version of a record, and as many new records as an entry has rows."""
    entries = lost.last - lost.first + 1
    for model in TOLD:
        await _skip_ids(session, model, entries * ROWS_PER_ENTRY)
        newer: dict[str, Any] = {"version": col(model.version) + entries}
        if model is not PositionStop:  # stops are for the copies that were open when they were set
            newer["updated_ms"] = now
        if model is RewardPolicy:
            newer["valid_from_ms"] = now
        await session.execute(update(model).values(newer))
    for policy in (await session.execute(select(RewardPolicy))).scalars().all():
        await _keep_version(session, "reward_policy", store.policy_state(policy), now)
    for subscription in (await session.execute(select(Subscription))).scalars().all():
        await _keep_version(session, "subscription", store.subscription_state(subscription), now)


async def _keep_version(session: AsyncSession, noun: str, state: State, now: int) -> None:
    head = {"noun": noun, "record_id": state.id, "version": state.version, "valid_from_ms": now, "actor": ACTOR}
    await session.execute(insert(Version).values(head | {"state": state.model_dump_json()}))


async def _last_id(session: AsyncSession, model: type[Any]) -> int:
    """The last id that was given out, whether its record is still there or not."""
    name = {"name": table_of(model).name}
    if session.get_bind().dialect.name == "sqlite":
        found = await session.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), name)
    else:
        found = await session.execute(text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)"), name)
    return found.scalar() or 0


async def _skip_ids(session: AsyncSession, model: type[Any], count: int) -> None:
    values = {"name": table_of(model).name, "next": await _last_id(session, model) + count}
    if session.get_bind().dialect.name != "sqlite":
        await session.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :next)"), values)
        return
    await session.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
    await session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :next)"), values)
