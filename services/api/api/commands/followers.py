"""Followers: accounts that may copy masters."""

from shared.contracts.config import FollowerDeleted, FollowerSaved
from sqlmodel import col

from api import decide, read_models, store
from api.bodies import ClosePolicy, FollowerCreate, FollowerUpdate
from api.commands import subscriptions
from api.commands.change import Change
from api.commands.masters import same_login
from api.errors import Refused, refuse
from api.read_models import TradeLink
from api.store import Follower
from api.views import Json, follower_view


async def create(change: Change, body: FollowerCreate) -> Json:
    """The new follower. Raises Refused: INVALID_ACCOUNT, FOLLOWER_ALREADY_EXISTS."""
    account = await change.own_account(body.login, "INVALID_ACCOUNT")
    if await store.follower_of(change.session, body.login) is not None:
        raise Refused("FOLLOWER_ALREADY_EXISTS", f"account {body.login} is a follower")
    now = change.work.now
    follower = Follower(created_ms=now, updated_ms=now, customer_id=account.customer_id, **body.model_dump())
    change.session.add(follower)
    await change.session.flush()
    change.tell(FollowerSaved(follower=store.follower_state(follower)))
    change.record("create", follower, None, follower_view(follower), follower.id)
    return follower_view(follower)


async def update(change: Change, follower_id: int, body: FollowerUpdate) -> Json:
    """The follower as it is now. Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, INVALID_ACCOUNT, MAX_MASTER_COUNT, CONFLICT,
    PRECONDITION_FAILED."""
    follower = await change.own(Follower, follower_id)
    change.unchanged_since(follower, body.updated_time)
    await same_login(change, follower.login, body.login)
    before = follower_view(follower)
    for name, value in body.model_dump(exclude_none=True, exclude={"login", "updated_time"}).items():
        setattr(follower, name, value)
    copied = await store.subscriptions_of(change.session, follower=follower.login)
    live = sum(decide.is_live(one.enabled, one.status) for one in copied)
    if body.max_master_count is not None:
        refuse(decide.within_master_count(live, follower.max_master_count))
    change.touch(follower)
    change.tell(FollowerSaved(follower=store.follower_state(follower)))
    change.record("update", follower, before, follower_view(follower), follower.id)
    return follower_view(follower)


async def delete(change: Change, follower_id: int, close_policy: ClosePolicy | None) -> Json:
    """Its subscriptions go with it. Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, ACTIVE_LINKS, PRECONDITION_FAILED."""
    follower = await change.own(Follower, follower_id)
    change.unchanged_since(follower, None)
    if close_policy is None and await read_models.has_active_links(change.session, col(TradeLink.follower_login), follower.login):
        raise Refused("ACTIVE_LINKS", "the account holds copied positions: close_policy says what becomes of them")
    policy = close_policy or "detach"
    for subscription in await store.subscriptions_of(change.session, follower=follower.login):
        await subscriptions.remove(change, subscription, policy)
    change.tell(FollowerDeleted(follower=store.follower_state(follower), close_policy=policy))
    change.record("delete", follower, follower_view(follower), None, follower.id)
    await change.session.delete(follower)
    return {"data": "OK"}
