"""`lockstep verify`: whether what the rewards service claims is true, by itself and against the venue's own record."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import NamedTuple

from gateway.store import OPERATION
from rewards.verify import operations, verify
from shared.contracts.trades import REASON_COPY_REWARD
from sqlalchemy import select

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
    """Recomputes journals and accruals of all shards, then looks for each settled balance operation on the venue: once, and as claimed.

    The rewards' store is read first: of a running stack, the venue has carried out by then whatever is claimed.
    """
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(store.session()) for store in rewards]
        own = await verify(*sessions)
        if own is not None:
            return Verified(0, str(own))
        claimed = [operation for session in sessions async for operation in operations(session)]
    done: dict[str, _Done] = {}
    async with gateway.session() as session:
        columns = (OPERATION.c.client_id, OPERATION.c.id, OPERATION.c.login, OPERATION.c.operation, OPERATION.c.amount)
        for client_id, *rest in await session.execute(select(*columns).where(OPERATION.c.reason == REASON_COPY_REWARD)):
            if client_id in done:
                return Verified(
                    len(done), f"venue: {client_id}: carried out twice, as operation {done[client_id].operation_id} and {rest[0]}"
                )
            done[client_id] = _Done(*rest)
    for one in claimed:
        wanted = _Done(one.operation_id, one.login, one.operation, one.amount)
        if done.get(one.client_id) != wanted:
            return Verified(len(claimed), f"venue: {one.client_id}: claimed as {wanted}, recorded as {done.get(one.client_id)}")
    return Verified(len(claimed), "")
