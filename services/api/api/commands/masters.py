"""Masters: strategy profiles of REAL accounts, each with its reward policy."""

from shared.contracts.config import MasterDeleted, MasterSaved, PolicyDeleted
from shared.contracts.stats import PERIOD_DAYS
from sqlmodel import col

from api import decide, read_models, store
from api.bodies import ClosePolicy, MasterCreate, MasterUpdate
from api.commands import policies, subscriptions
from api.commands.change import Change
from api.commands.lead import ASKS
from api.errors import Refused, refuse
from api.read_models import TradeLink
from api.store import LeadConfig, Master
from api.views import MASTER as FIELDS
from api.views import Json, as_object, master_view, policy_view


async def create(change: Change, body: MasterCreate) -> Json:
    """The new master with its policy.

    Raises Refused: ACCOUNT_NOT_FOUND, INVALID_ACCOUNT, MASTER_ACCOUNT_MUST_BE_REAL, MASTER_ALREADY_EXISTS, INVALID_REWARD_POLICY,
    INVALID_PAYOUT_ACCOUNT.
    """
    account = await change.own_account(body.login, "ACCOUNT_NOT_FOUND")
    refuse(decide.may_lead(account.mode))
    if await store.master_of(change.session, body.login) is not None:
        raise Refused("MASTER_ALREADY_EXISTS", f"account {body.login} is a master")
    now = change.work.now
    master = Master(created_ms=now, updated_ms=now, customer_id=account.customer_id, **body.model_dump(exclude={"reward_policy"}))
    change.session.add(master)
    await change.session.flush()
    change.tell(MasterSaved(master=store.master_state(master)))
    policy = await policies.create(change, master, body.reward_policy)
    await read_models.blank_stats(change.session, master.login, account.currency, PERIOD_DAYS)
    change.record("create", master, None, as_object(master, FIELDS), master.id)
    return master_view(master, policy)


async def update(change: Change, master_id: int, body: MasterUpdate) -> Json:
    """The master as it is now. Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, INVALID_ACCOUNT, CONFLICT, PRECONDITION_FAILED,
    and for a new policy as `create` does."""
    master = await change.own(Master, master_id)
    change.unchanged_since(master, body.updated_time)
    await same_login(change, master.login, body.login)
    before = as_object(master, FIELDS)
    for name, value in body.model_dump(exclude_none=True, exclude={"login", "reward_policy", "updated_time"}).items():
        setattr(master, name, value)
    change.touch(master)
    change.tell(MasterSaved(master=store.master_state(master)))
    change.record("update", master, before, as_object(master, FIELDS), master.id)
    policy = await store.policy_of(change.session, master.id)
    if body.reward_policy is not None:
        free = Change(change.work, change.actor)
        policy = await (policies.update(free, policy, body.reward_policy) if policy else policies.create(free, master, body.reward_policy))
    return master_view(master, policy)


async def delete(change: Change, master_id: int, close_policy: ClosePolicy | None) -> Json:
    """Its subscriptions, its policy and what it asks of followers go with it.

    Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, ACTIVE_LINKS, PRECONDITION_FAILED.
    """
    master = await change.own(Master, master_id)
    change.unchanged_since(master, None)
    if close_policy is None and await read_models.has_active_links(change.session, col(TradeLink.master_login), master.login):
        raise Refused("ACTIVE_LINKS", "positions are copied from this master: close_policy says what becomes of them")
    policy = close_policy or "detach"
    # First the master's end: who bills the subscriptions has to know that it is the provider who stops.
    change.tell(MasterDeleted(master=store.master_state(master), close_policy=policy))
    for subscription in await store.subscriptions_of(change.session, master=master.login):
        await subscriptions.remove(change, subscription, policy)
    rewards = await store.policy_of(change.session, master.id)
    if rewards is not None:
        change.tell(PolicyDeleted(policy=store.policy_state(rewards)))
        change.record("delete", rewards, policy_view(rewards), None, rewards.id)
        await change.session.delete(rewards)
    asks = await change.session.get(LeadConfig, master.id)
    if asks is not None:
        change.record("delete", asks, as_object(asks, ASKS), None, master.id)
        await change.session.delete(asks)
    change.record("delete", master, master_view(master, rewards), None, master.id)
    await change.session.delete(master)
    return {"data": "OK"}


async def same_login(change: Change, kept: int, sent: int | None) -> None:
    """A record stays with its account; an update may name the account, but no other one."""
    if sent is None or sent == kept:
        return
    await change.own_account(sent, "INVALID_ACCOUNT")
    raise Refused("INVALID_DATA", "the login of a record cannot be changed")
