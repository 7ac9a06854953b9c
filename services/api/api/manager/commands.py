"""Every command of the manager API: its name, what it takes, who may send it, and what it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from api import auth, filters, views
from api.auth import Actor
from api.bodies import (
    ApiKeyCreate,
    ApiKeyUpdate,
    Body,
    ClosePolicy,
    FollowerCreate,
    FollowerUpdate,
    HaltBody,
    Id,
    MasterCreate,
    MasterUpdate,
    ResumeBody,
    RewardPolicyBody,
    Stamp,
    SubscriptionCreate,
    SubscriptionUpdate,
)
from api.commands import customers, followers, halts, keys, lead, masters, policies, subscriptions
from api.commands.change import Change
from api.context import Asked, Context
from api.errors import Refused
from api.manager import letters, topics
from api.read_models import Account, Accrual, TradeLink
from api.store import ApiKey, Audit, Customer, Follower, Halt, LeadConfig, Master, RewardPolicy, Subscription
from api.tables import Base
from api.views import Json

WRITERS = frozenset({auth.MANAGER, auth.ADMIN, auth.DEALER, auth.CRM_MANAGER, auth.CRM_ADMIN})
ADMINS = frozenset({auth.MANAGER, auth.ADMIN, auth.CRM_ADMIN})
READERS = auth.MANAGERS


class UpdateMaster(MasterUpdate):
    id: Id


class UpdateFollower(FollowerUpdate):
    id: Id


class UpdateSubscription(SubscriptionUpdate):
    id: Id


class CreatePolicy(RewardPolicyBody):
    master_id: Id


class UpdatePolicy(RewardPolicyBody):
    id: Id
    updated_time: Stamp | None = None


class Delete(Body):
    """`close_policy` says what becomes of open copies; without it, a record with active links is not deleted."""

    id: Id
    close_policy: ClosePolicy | None = None


class RecordKey(Body):
    """Which record."""

    id: Id


class UpdateApiKey(ApiKeyUpdate):
    id: Id


class LeaderLevel(Body):
    """`id` is the master's; `level` one of the setting `openapi_levels`, or empty for none."""

    id: Id
    level: Annotated[str, Field(max_length=32)]


class TableFilter(Body):
    """The standard filter."""

    limit: int = 100
    offset: int = 0
    where: list[Any] = Field(default_factory=list)
    whereNot: list[Any] = Field(default_factory=list)  # noqa: N815  (the wire's names)
    whereIn: list[Any] = Field(default_factory=list)  # noqa: N815
    whereNotIn: list[Any] = Field(default_factory=list)  # noqa: N815
    whereBetween: list[Any] = Field(default_factory=list)  # noqa: N815
    whereNotBetween: list[Any] = Field(default_factory=list)  # noqa: N815
    orderBy: list[Any] = Field(default_factory=list)  # noqa: N815


Handler = Callable[[Context, Actor, Any, Asked], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `data` is checked against `body` before `handle` sees it."""

    name: str
    body: type[Body]
    roles: frozenset[str]
    does: str
    handle: Handler
    structure: tuple[str, ...] = ()
    """The columns of a table's answer."""


def _writes(operation: Callable[[Change, Any], Awaitable[Json]]) -> Handler:
    async def handle(context: Context, actor: Actor, data: Any, asked: Asked) -> Json:
        return await context.write(actor, lambda change: operation(change, data), asked)

    return handle


def _table(name: str, table: type[Base], structure: tuple[str, ...], does: str, roles: frozenset[str] = READERS) -> Command:
    fields = filters.fields_of(table, structure)
    key: Any = col(getattr(table, KEYS.get(table, "id")))

    async def handle(context: Context, _actor: Actor, data: Any, _asked: Asked) -> Json:
        settings = context.settings
        query = filters.parse(data.model_dump(exclude_unset=True), fields, settings.page_default, settings.manager_page_max, {})
        async with context.store.read() as session:
            rows, count = await filters.page(session, select(table), query, fields, key)
        return views.table([row[0] for row in rows], structure, count)

    return Command(name, TableFilter, roles, does, handle, structure)


async def _create_policy(change: Change, data: CreatePolicy) -> Json:
    master = await change.own(Master, data.master_id)
    return views.policy_view(await policies.create(change, master, data))


async def _update_policy(change: Change, data: UpdatePolicy) -> Json:
    policy = await change.own(RewardPolicy, data.id)
    return views.policy_view(await policies.update(change, policy, data, data.updated_time))


async def _delete_policy(change: Change, data: RecordKey) -> Json:
    await policies.delete(change, await change.own(RewardPolicy, data.id))
    return {"data": "OK"}


async def _create_api_key(context: Context, actor: Actor, data: ApiKeyCreate, asked: Asked) -> Json:
    return await context.write(actor, lambda change: keys.create(change, data, context.vault), asked)


async def _set_level(context: Context, actor: Actor, data: LeaderLevel, asked: Asked) -> Json:
    levels = context.settings.openapi_levels
    if data.level and data.level not in levels:
        raise Refused("INVALID_DATA", f"level is one of {', '.join(levels)}" if levels else "no levels are set")
    return await context.write(actor, lambda change: lead.set_level(change, data.id, data.level), asked)


async def _dead_letters(context: Context, actor: Actor, data: TableFilter, _asked: Asked) -> Json:
    settings = context.settings
    given = data.model_dump(exclude_unset=True)
    return await letters.listed(context, actor, filters.parse(given, letters.FIELDS, settings.page_default, settings.manager_page_max, {}))


AUDIT = ("id", "created_time", "actor", "action", "noun", "record_id", "before", "after")
MASTER = (*views.MASTER, "customer_id")
FOLLOWER = (*views.FOLLOWER, "customer_id")
LEAD_CONFIG = ("master_id", "level", "invest_min", "place_min", "rate_invest_min", "un_lead_type", "invite_code")
KEYS: dict[type[Base], str] = {Account: "login", LeadConfig: "master_id"}

_ALL = (
    Command("MngCreateCopyMaster", MasterCreate, WRITERS, "Makes an account a master, with its reward policy.", _writes(masters.create)),
    Command(
        "MngUpdateCopyMaster",
        UpdateMaster,
        WRITERS,
        "Changes a master.",
        _writes(lambda change, data: masters.update(change, data.id, data)),
    ),
    Command(
        *("MngDeleteCopyMaster", Delete, WRITERS, "Deletes a master with its subscriptions."),
        _writes(lambda change, data: masters.delete(change, data.id, data.close_policy)),
    ),
    Command("MngCreateCopyFollower", FollowerCreate, WRITERS, "Lets an account copy masters.", _writes(followers.create)),
    Command(
        *("MngUpdateCopyFollower", UpdateFollower, WRITERS, "Changes a follower."),
        _writes(lambda change, data: followers.update(change, data.id, data)),
    ),
    Command(
        *("MngDeleteCopyFollower", Delete, WRITERS, "Deletes a follower with its subscriptions."),
        _writes(lambda change, data: followers.delete(change, data.id, data.close_policy)),
    ),
    Command("MngCreateCopySubscription", SubscriptionCreate, WRITERS, "Subscribes a follower to a master.", _writes(subscriptions.create)),
    Command(
        *("MngUpdateCopySubscription", UpdateSubscription, WRITERS, "Changes a subscription."),
        _writes(lambda change, data: subscriptions.update(change, data.id, data)),
    ),
    Command(
        *("MngDeleteCopySubscription", Delete, WRITERS, "Ends a subscription."),
        _writes(lambda change, data: subscriptions.delete(change, data.id, data.close_policy)),
    ),
    Command("MngCreateCopyRewardPolicy", CreatePolicy, WRITERS, "Gives a master without one a reward policy.", _writes(_create_policy)),
    Command("MngUpdateCopyRewardPolicy", UpdatePolicy, WRITERS, "A new version of a reward policy, whole.", _writes(_update_policy)),
    Command("MngDeleteCopyRewardPolicy", RecordKey, WRITERS, "Deletes a reward policy.", _writes(_delete_policy)),
    Command("MngSetLeaderLevel", LeaderLevel, ADMINS, "Gives a master its level, which bounds what it may ask for.", _set_level),
    Command("MngCreateCustomer", customers.CustomerCreate, ADMINS, "Makes a customer who can log in.", _writes(customers.create)),
    Command("MngUpdateCustomer", customers.CustomerUpdate, ADMINS, "Changes a customer.", _writes(customers.update)),
    Command("MngHalt", HaltBody, WRITERS, "Stops trading: of everything, a master, a follower or a symbol.", _writes(halts.halt)),
    Command("MngResume", ResumeBody, WRITERS, "Takes a stop of trading back.", _writes(halts.resume)),
    Command("MngCreateApiKey", ApiKeyCreate, ADMINS, "A key of the signed OpenAPI; its secret is in this answer alone.", _create_api_key),
    Command(
        *("MngUpdateApiKey", UpdateApiKey, ADMINS, "Changes an API key."),
        _writes(lambda change, data: keys.update(change, data.id, data)),
    ),
    Command(
        *("MngDeleteApiKey", RecordKey, ADMINS, "Deletes an API key."),
        _writes(lambda change, data: keys.delete(change, data.id)),
    ),
    Command("MngRetryDeadLetter", letters.LetterKey, ADMINS, "Has a service handle a dead letter of its own again.", letters.retry),
    Command("MngDiscardDeadLetter", letters.LetterKey, ADMINS, "Throws a dead letter of a service away, unhandled.", letters.discard),
    _table("MngGetCopyMastersByFilter", Master, MASTER, "Masters."),
    _table("MngGetCopyFollowersByFilter", Follower, FOLLOWER, "Followers."),
    _table("MngGetCopySubscriptionsByFilter", Subscription, views.SUBSCRIPTION, "Subscriptions."),
    _table("MngGetCopyRewardPoliciesByFilter", RewardPolicy, views.POLICY, "Reward policies."),
    _table("MngGetLeadConfigsByFilter", LeadConfig, LEAD_CONFIG, "What masters ask for by the signed OpenAPI, and their levels."),
    _table("MngGetCopyTradeLinksByFilter", TradeLink, views.LINK, "Trade links, and skips with their reason."),
    _table("MngGetCopyRewardAccrualsByFilter", Accrual, views.ACCRUAL, "Reward accruals."),
    _table("MngGetAccountsByFilter", Account, views.ACCOUNT, "Trading accounts as last told by the venue."),
    _table("MngGetCustomersByFilter", Customer, customers.FIELDS, "Customers who can log in.", ADMINS),
    _table("MngGetHaltsByFilter", Halt, views.HALT, "Stops of trading, lifted ones too."),
    _table("MngGetApiKeysByFilter", ApiKey, (*views.API_KEY, "customer_id"), "API keys, without their secrets.", ADMINS),
    Command(
        *("MngGetDeadLettersByFilter", TableFilter, ADMINS, "What services could not handle, and why.", _dead_letters),
        structure=letters.STRUCTURE,
    ),
    Command(
        *("MngGetTopics", topics.Nothing, READERS, "How far each service has read each topic.", topics.listed),
        structure=topics.STRUCTURE,
    ),
    _table("MngGetAuditByFilter", Audit, AUDIT, "Who changed what, before and after (JSON).", ADMINS),
)

COMMANDS = {command.name: command for command in _ALL}
