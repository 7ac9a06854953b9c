"""The follower's settings: the follow config under each leader, and the stops of what it holds."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from shared.contracts.config import FollowConfig, SymbolsMode
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import follow_rules, read_models, store
from api.commands import follow
from api.commands.change import Change
from api.commands.follow import Rates, Wanted
from api.errors import Refused
from api.follow_rules import Least
from api.levels import bounds
from api.openapi import fields, holdings
from api.openapi.door import FAILURES, SignedRefusal, SignedRoute, Wrapped, caller_of, success
from api.openapi.follower import PREFIX, followed_by
from api.openapi.marks import text
from api.read_models import Symbol, TradeLink
from api.settings import Settings
from api.store import LeadConfig, Subscription
from api.views import Json

router = APIRouter(prefix=PREFIX, tags=["openapi v2"], route_class=SignedRoute, responses=FAILURES)

DELAY_MAX_S = 7 * 86_400
SYMBOLS_MAX_LENGTH = 4000


@router.get("/config", response_model=Wrapped)
async def get_config(request: Request) -> Json:
    """The account's settings for one leader. Where none were set, what its subscription does without them."""
    caller = caller_of(request)
    leader = fields.user_id(str(caller.fields.get("leaderUserId", "")), "leaderUserId")
    async with caller.context.store.read() as session:
        one = await _followed(session, caller.login, leader)
        account = await read_models.account(session, caller.login)
        known = sorted((await session.execute(select(col(Symbol.symbol)))).scalars())
    assert account is not None, "a key without its account"
    return success(_shown(one, account.leverage, known))


@router.put("/config", response_model=Wrapped)
async def put_config(request: Request) -> Json:
    """Sets all of it; every rule of the document, by its field."""
    caller = caller_of(request)
    leader, settings = fields.whole(caller.fields, "leaderUserId", 1), caller.context.settings

    async def configure(change: Change) -> Json:
        wanted = await _wanted(change.session, caller.fields, settings)
        one = await _followed(change.session, caller.login, leader)
        least = await least_for(change.session, leader, settings)
        wrong = follow_rules.below_least(wanted.config, wanted.mode, least)
        if wrong:
            raise SignedRefusal(-1130, wrong)
        before, account = store.follow_of(one), await read_models.account(change.session, caller.login)
        own = account.leverage if account else 0
        moved = (wanted.config.leverage or own) != ((before.leverage if before else 0) or own)
        if moved and await read_models.has_active_links(change.session, col(TradeLink.subscription_id), one.id):
            raise SignedRefusal(-1130, "leverage")
        return await follow.configure(change, one, wanted)

    await _write(request, configure)
    return success(None)


@router.put("/positions/stop-profit-loss", response_model=Wrapped)
async def put_stops(request: Request) -> Json:
    """Sets take profit and stop loss of what the account holds under a leader in a symbol and direction; what is left out stays."""
    caller = caller_of(request)
    sent = caller.fields
    leader, symbol = fields.whole(sent, "leaderUserId", 1), fields.text(sent, "symbolId", 64)
    is_long = fields.whole(sent, "isLong", 0, 1)
    profit = fields.amount(sent, "stopProfitRate") if fields.given(sent, "stopProfitRate") else None
    loss = fields.amount(sent, "stopLossRate") if fields.given(sent, "stopLossRate") else None
    delay = fields.whole(sent, "stopLossDelay", 0, DELAY_MAX_S) if fields.given(sent, "stopLossDelay") else None

    async def protect(change: Change) -> Json:
        await followed_by(change.session, caller.login)
        one = await _followed(change.session, caller.login, leader)
        held = await holdings.copied_positions(change.session, caller.login)
        mine = [position for position, link in held if link.subscription_id == one.id]
        fitting = [position for position in mine if position.symbol == symbol and (position.side == "buy") == bool(is_long)]
        if not fitting:
            raise SignedRefusal(-1130, "symbolId")
        opened_ms = [position.opened_ms for position in fitting]
        return await follow.set_stops(change, one, symbol, is_long, Rates(profit, loss, delay), opened_ms)

    await _write(request, protect)
    return success(None)


async def _write(request: Request, operation: Any) -> None:
    caller = caller_of(request)
    try:
        await caller.context.write(caller.actor, operation)
    except Refused as refused:
        if refused.code == "TOO_MANY_REQUESTS":
            raise
        raise SignedRefusal(-1000) from refused


async def _wanted(session: AsyncSession, sent: Mapping[str, Any], settings: Settings) -> Wanted:
    """The config that was sent. Raises SignedRefusal: -1102, -1130."""
    config = FollowConfig(
        invest_amount=fields.amount(sent, "investAmount"),
        single_place_amount=fields.amount(sent, "singlePlaceAmount"),
        daily_max_invest_amount=fields.amount(sent, "dailyMaxInvestAmount"),
        leverage=fields.amount(sent, "leverage"),
        max_invest_rate=fields.amount(sent, "maxInvestRate"),
        stop_profit_rate=fields.amount(sent, "stopProfitRate"),
        stop_loss_rate=fields.amount(sent, "stopLossRate"),
        real_invest_amount=fields.amount(sent, "realInvestAmount"),
        stop_loss_delay=fields.whole(sent, "stopLossDelay", 0, DELAY_MAX_S),
        isolated_reserved_amount=fields.amount(sent, "isolatedReservedAmount"),
        follow_margin_type=fields.whole(sent, "followMarginType", 0, 2),
        zero_slippage=int(fields.flag(sent, "zeroSlippageSwitch")),
    )
    mode = follow_rules.MODES[fields.whole(sent, "followAmountMode", 0, 1)]
    listed = fields.text(sent, "followSymbolIds", SYMBOLS_MAX_LENGTH)
    wrong = follow_rules.wrong_range(config, settings.openapi_leverage_max)
    if wrong:
        raise SignedRefusal(-1130, wrong)
    symbols = follow_rules.symbol_ids(listed, set((await session.execute(select(col(Symbol.symbol)))).scalars()))
    if symbols is None:
        raise SignedRefusal(-1130, "followSymbolIds")
    return Wanted(config, mode, symbols)


async def least_for(session: AsyncSession, leader: int, settings: Settings) -> Least:
    """The minimums of a leader's followers: its level's or the system's, or the leader's where these are more."""
    master = await store.master_of(session, leader)
    own = await session.get(LeadConfig, master.id) if master is not None else None
    its = bounds(settings, own.level if own else "") or bounds(settings, "")
    assert its is not None, "no level is always there"
    asked = Least(own.place_min, own.invest_min, own.rate_invest_min) if own else its.least
    return Least(*(max(one, other) for one, other in zip(its.least, asked, strict=True)))


async def _followed(session: AsyncSession, login: int, leader: int) -> Subscription:
    """The account's subscription to a leader. Raises SignedRefusal(-32045)."""
    found = await store.subscriptions_of(session, follower=login, master=leader)
    if not found:
        raise SignedRefusal(-32045)
    return found[0]


def _shown(one: Subscription, leverage: int, known: list[str]) -> Json:
    config = store.follow_of(one)
    found = config or FollowConfig(max_invest_rate=one.allocation_percent / 100)
    listed = [name.strip() for name in one.symbols.split(",") if name.strip()]
    if one.symbols_mode == SymbolsMode.EXCLUDE:
        listed = [name for name in known if name not in listed]
    return {
        "leaderUserId": str(one.master_login),
        "investAmount": text(found.invest_amount),
        "singlePlaceAmount": text(found.single_place_amount),
        "dailyMaxInvestAmount": text(found.daily_max_invest_amount),
        "leverage": text(found.leverage) if config else str(leverage),
        "maxInvestRate": text(found.max_invest_rate),
        "stopProfitRate": text(found.stop_profit_rate),
        "stopLossRate": text(found.stop_loss_rate),
        "followAmountMode": int(one.volume_mode != follow_rules.MODES[0]),
        "stopLossDelay": found.stop_loss_delay,
        "isolatedReservedAmount": text(found.isolated_reserved_amount),
        "followMarginType": found.follow_margin_type,
        "followSymbolIds": follow_rules.ALL if one.symbols_mode == SymbolsMode.ALL else ",".join(listed),
        "zeroSlippageSwitch": bool(found.zero_slippage),
    }
