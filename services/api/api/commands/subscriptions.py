"""Subscriptions: one follower's copying of one master, by the follower's own rules."""

from shared.contracts.config import SubscriptionDeleted, SubscriptionSaved
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import decide, read_models, store
from api.bodies import ClosePolicy, SubscriptionCreate, SubscriptionUpdate
from api.commands.change import Change
from api.errors import Refused, refuse
from api.read_models import Account, TradeLink
from api.store import Follower, LeadConfig, Master, Subscription
from api.views import Json, subscription_view


async def create(change: Change, body: SubscriptionCreate) -> Json:
    """The new subscription.

    Raises Refused: INVALID_ACCOUNT, FOLLOWER_NOT_FOUND, MASTER_NOT_FOUND, MASTER_NOT_AVAILABLE, FOLLOWER_MODE_NOT_ALLOWED, COPY_CYCLE,
    SUBSCRIPTION_ALREADY_EXISTS, MAX_MASTER_COUNT, ALLOCATION_EXCEEDED, INVALID_DATA.
    """
    account = await change.own_account(body.follower_login, "INVALID_ACCOUNT")
    follower = await store.follower_of(change.session, body.follower_login)
    if follower is None:
        raise Refused("FOLLOWER_NOT_FOUND", f"account {body.follower_login} is no follower")
    master = await store.master_of(change.session, body.master_login)
    if master is None:
        raise Refused("MASTER_NOT_FOUND", f"account {body.master_login} is no master")
    invited = await is_invited(change.session, master, body.invite_code)
    _may_copy(master, account, invited)
    copied = await store.subscriptions_of(change.session, follower=follower.login)
    if any(one.master_login == master.login for one in copied):
        raise Refused("SUBSCRIPTION_ALREADY_EXISTS", f"{follower.login} copies {master.login} already")
    refuse(decide.no_cycle(master.login, follower.login, await store.copied_by(change.session, master.login)))
    now = change.work.now
    values = body.model_dump(exclude={"invite_code"}) | {"symbols": _symbols(body.symbols)}
    subscription = Subscription(created_ms=now, updated_ms=now, invited=int(invited), **values)
    _fits(subscription, follower, copied)
    change.session.add(subscription)
    await change.session.flush()
    _saved(change, subscription, copy_existing=bool(body.copy_existing_positions))
    change.record("create", subscription, None, subscription_view(subscription), subscription.id)
    return subscription_view(subscription)


async def update(change: Change, subscription_id: int, body: SubscriptionUpdate) -> Json:
    """The subscription as it is now; only the fields that were sent are changed.

    Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, INVALID_DATA, MAX_MASTER_COUNT, ALLOCATION_EXCEEDED, CONFLICT,
    PRECONDITION_FAILED; and when it is switched on again MASTER_NOT_AVAILABLE, FOLLOWER_MODE_NOT_ALLOWED.
    """
    subscription = await change.own(Subscription, subscription_id)
    change.unchanged_since(subscription, body.updated_time)
    for name in ("master_login", "follower_login"):
        if getattr(body, name) not in {None, getattr(subscription, name)}:
            raise Refused("INVALID_DATA", f"the {name} of a subscription cannot be changed")
    before = subscription_view(subscription)
    was_live = decide.is_live(subscription.enabled, subscription.status)
    settings = body.model_dump(exclude_unset=True, exclude={"master_login", "follower_login", "updated_time", "resume"})
    if "symbols" in settings:
        settings["symbols"] = _symbols(settings["symbols"])
    for name, value in settings.items():
        setattr(subscription, name, value)
    if body.resume:
        # After the last time, whatever this instance's clock says: who reads it lifts a stop for a later one alone.
        subscription.resumed_ms = max(change.work.now, subscription.resumed_ms + 1)
    await _still_fits(change, subscription, was_live)
    await changed(change, subscription, before, copy_existing=bool(settings.get("copy_existing_positions")))
    return subscription_view(subscription)


async def changed(change: Change, subscription: Subscription, before: Json, *, copy_existing: bool = False) -> None:
    """A subscription has other settings now: tells it, and keeps what it was."""
    change.touch(subscription)
    _saved(change, subscription, copy_existing=copy_existing)
    change.record("update", subscription, before, subscription_view(subscription), subscription.id)


async def delete(change: Change, subscription_id: int, close_policy: ClosePolicy | None) -> Json:
    """Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, ACTIVE_LINKS, PRECONDITION_FAILED."""
    subscription = await change.own(Subscription, subscription_id)
    change.unchanged_since(subscription, None)
    if close_policy is None and await read_models.has_active_links(change.session, col(TradeLink.subscription_id), subscription.id):
        raise Refused("ACTIVE_LINKS", "the subscription holds copied positions: close_policy says what becomes of them")
    await remove(change, subscription, close_policy or "detach")
    return {"data": "OK"}


async def remove(change: Change, subscription: Subscription, close_policy: ClosePolicy) -> None:
    change.tell(SubscriptionDeleted(subscription=store.subscription_state(subscription), close_policy=close_policy))
    change.record("delete", subscription, subscription_view(subscription), None, subscription.id)
    await change.session.delete(subscription)


async def is_invited(session: AsyncSession, master: Master, code: str) -> bool:
    """Whether a code is the one that admits followers to a master."""
    asks = await session.get(LeadConfig, master.id) if code else None
    return asks is not None and asks.invite_code == code


def _may_copy(master: Master, account: Account, invited: bool = False) -> None:
    public = master.visibility == "public" or invited
    refuse(decide.may_copy(master.enabled, public, master.customer_id, master.allowed_follower_modes, account.customer_id, account.mode))


def _fits(subscription: Subscription, follower: Follower, others: list[Subscription]) -> None:
    """Whether the settings make sense, and the follower's limits hold with it."""
    refuse(decide.subscription_settings(store.subscription_state(subscription)))
    if not decide.is_live(subscription.enabled, subscription.status):
        return
    live = [one for one in others if decide.is_live(one.enabled, one.status)]
    refuse(decide.within_master_count(len(live) + 1, follower.max_master_count))
    refuse(decide.within_allocation([subscription.allocation_percent, *(one.allocation_percent for one in live)]))


async def _still_fits(change: Change, subscription: Subscription, was_live: bool) -> None:
    follower = await store.follower_of(change.session, subscription.follower_login)
    assert follower is not None, "a subscription without its follower"
    copied = await store.subscriptions_of(change.session, follower=subscription.follower_login)
    _fits(subscription, follower, [one for one in copied if one.id != subscription.id])
    if was_live or not decide.is_live(subscription.enabled, subscription.status):
        return
    master = await store.master_of(change.session, subscription.master_login)
    account = await read_models.account(change.session, subscription.follower_login)
    assert master is not None, "a subscription without its master"
    assert account is not None, "a subscription without its account"
    _may_copy(master, account, bool(subscription.invited))


def _symbols(symbols: str) -> str:
    found = decide.symbol_list(symbols)
    if isinstance(found, decide.Refusal):
        raise Refused(found.code, found.message)
    return found


def _saved(change: Change, subscription: Subscription, copy_existing: bool) -> None:
    state = store.subscription_state(subscription)
    change.keep_version("subscription", state, subscription.updated_ms)  # never before the version that it takes the place of
    change.tell(SubscriptionSaved(subscription=state, copy_existing=copy_existing))
