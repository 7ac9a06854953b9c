"""`lockstep explain`: a copy decision in words, from what the api keeps of it."""

from typing import Any

from api import read_models
from shared.explain import explain

from lockstep.stack import StackError
from lockstep.stores import ServiceStore


async def explained(store: ServiceStore, link_id: int) -> dict[str, Any]:
    """The decision of a trade link. Raises StackError when there is no store, or no such link in it."""
    if not store.exists():
        raise StackError(f"there is no store at {store.url}")
    async with store.session() as session:
        link = await session.get(read_models.TradeLink, link_id)
        if link is None:
            raise StackError(f"there is no trade link {link_id}")
        return explain(read_models.decided(link), await read_models.common_inputs(session, link))
