"""`lockstep verify`: whether what the rewards service claims is true, by itself and against the venue's own record."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import NamedTuple

from gateway.store import OPERATION
from rewards.verify import operations, reading, unclaimed, verify
from shared.contracts.trades import REASON_COPY_REWARD
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from lockstep.stack import StackError
from lockstep.stores import ServiceStore


class Verified(NamedTuple):
    """What was compared, and the first difference in words (empty: everything agrees)."""

    operations: int
    difference: str


class _Done(NamedTuple):
    """A settlement's balance operation as the venue recorded it."""

    operation_id: int
    login: int
    operation: str
    amount: Decimal


async def verified(rewards: Sequence[ServiceStore], gateway: ServiceStore) -> Verified:
    """Recomputes journals and accruals of all shards, then compares each settled balance operation with the venue's record of it.

    Of a running stack each store is read as of one instant: the rewards' first, since the venue has carried out by then whatever is
    claimed; and once more at the end, since by then whatever the venue has done was asked for.
    """
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(_read(store)) for store in rewards]
        own = await verify(*sessions)
        if own is not None:
            return Verified(0, str(own))
        claimed = [operation for session in sessions async for operation in operations(session)]
    done: dict[str, _Done] = {}
    async with _read(gateway) as session:
        columns = (OPERATION.c.client_id, OPERATION.c.id, OPERATION.c.login, OPERATION.c.operation, OPERATION.c.amount)
        for client_id, *rest in await session.execute(select(*columns).where(OPERATION.c.reason == REASON_COPY_REWARD)):
            if client_id in done:
                return Verified(
                    len(done), f"venue: {client_id}: carried out twice, as operation {done[client_id].operation_id} and {rest[0]}"
                )
            done[client_id] = _Done(*rest)
    for one in claimed:
        wanted = _Done(one.operation_id, one.login, one.operation, one.amount)
        if (found := done.pop(one.client_id, None)) != wanted:
            return Verified(len(claimed), f"venue: {one.client_id}: claimed as {wanted}, recorded as {found}")
    async with AsyncExitStack() as stack:
        unasked = await unclaimed(done, *[await stack.enter_async_context(_read(store)) for store in rewards])
    return Verified(len(claimed), str(unasked or ""))


@asynccontextmanager
async def _read(store: ServiceStore) -> AsyncIterator[AsyncSession]:
    try:
        async with reading(store.url) as session:
            yield session
    except DBAPIError as error:
        raise StackError(f"{store.service}'s store cannot be read: {error.orig}") from error
