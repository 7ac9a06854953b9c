"""The leader's settings: which trades are led, what followers have to bring, who is admitted, and the share of profits."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from shared.money import EXACT
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import store
from api.commands import lead
from api.commands.change import Change
from api.commands.lead import Wanted
from api.errors import Refused
from api.levels import Bounds, bounds
from api.openapi import fields, holdings
from api.openapi.door import FAILURES, SignedRefusal, SignedRoute, Wrapped, caller_of, success
from api.openapi.follow_config import least_for
from api.openapi.leader import PREFIX, leading
from api.openapi.marks import text
from api.read_models import Symbol
from api.settings import Settings
from api.store import LeadConfig, Master, RewardPolicy
from api.views import Json

router = APIRouter(prefix=PREFIX, tags=["openapi v2"], route_class=SignedRoute, responses=FAILURES)

INVITE_CODE = re.compile(r"[A-Za-z0-9_-]{6,10}")
TIME_MAX = 10**15
EVERYBODY = 2
"""`inviteScope`: an invitation code is for everybody who has it. Narrower ones would need to know who brought whom to the house, which
nobody tells us: they are refused."""
NO_SHARE = 0
"""`recommendShare`: nobody is paid for bringing a follower; anything else is refused."""


@router.get("/config", response_model=Wrapped)
async def get_config(request: Request) -> Json:
    """The settings, as `PUT` takes them."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        master = await leading(session, caller)
        asks = await session.get(LeadConfig, master.id) or LeadConfig(master_id=master.id)
        policy = await store.policy_of(session, master.id)
        names = list((await session.execute(select(col(Symbol.symbol)).order_by(col(Symbol.symbol)))).scalars())
        least = await least_for(session, master.login, caller.context.settings)
    return success(
        {
            "unLeadType": asks.un_lead_type,
            "unLeadStartTime": str(master.unlead_from_ms),
            "unLeadEndTime": str(master.unlead_to_ms),
            "leadPositionType": master.lead_margin_type,
            "tradeProtect": int(not master.show_trade_history),
            "profitPeriod": lead.period_of(policy),
            "profitRate": text(_rate(policy)),
            "followAssetLowerLimit": text(least.invest),
            "fixedAmountFollowMin": text(least.place),
            "fixedRateFollowMin": text(least.rate_invest),
            "isNeedInvite": int(master.visibility == "private"),
            "inviteScope": EVERYBODY,
            "symbolIds": master.lead_symbols.split(",") if master.lead_symbols else names,
            "recommendShare": NO_SHARE,
            "recommendShareRate": text(NO_SHARE),
            "inviteCode": asks.invite_code,
        }
    )


@router.put("/config", response_model=Wrapped)
async def put_config(request: Request) -> Json:
    """Sets all of it."""
    caller = caller_of(request)

    async def configure(change: Change) -> Json:
        master = await store.master_of(change.session, caller.login)
        if master is None:
            raise SignedRefusal(-120047)
        await leading(change.session, caller)
        policy = await store.policy_of(change.session, master.id)
        wanted = await _wanted(change.session, caller.fields, master, caller.context.settings)
        its = bounds(caller.context.settings, wanted.asks.level)
        if its is None:
            raise SignedRefusal(-120067)
        _may_ask(wanted, master, policy, its)
        await _may_switch(change.session, master, wanted)
        return await lead.configure(change, master, policy, wanted)

    try:
        await caller.context.write(caller.actor, configure)
    except Refused as refused:
        if refused.code == "INVALID_REWARD_POLICY":
            raise SignedRefusal(-120072) from None
        raise
    return success(None)


async def _wanted(session: AsyncSession, sent: Mapping[str, Any], master: Master, settings: Settings) -> Wanted:
    """The settings that were sent. Raises SignedRefusal: -1102, -1130, and what is said of a cool-down or a code."""
    un_lead = fields.whole(sent, "unLeadType", 0, 1)
    start, end = (fields.whole(sent, name, 0, TIME_MAX) if fields.given(sent, name) else 0 for name in ("unLeadStartTime", "unLeadEndTime"))
    if un_lead and (not end or end < start):
        raise SignedRefusal(-120078)
    margin_type, protect = fields.whole(sent, "leadPositionType", -1, 1), fields.whole(sent, "tradeProtect", 0, 1)
    period = fields.whole(sent, "profitPeriod", 1, 7)
    if period not in lead.NETTING:
        raise SignedRefusal(-1130, "profitPeriod")
    rate = fields.amount(sent, "profitRate", Decimal(1))
    least = [fields.amount(sent, name) for name in ("followAssetLowerLimit", "fixedAmountFollowMin", "fixedRateFollowMin")]
    private, scope = fields.whole(sent, "isNeedInvite", 0, 1), fields.whole(sent, "inviteScope", 0, EVERYBODY)
    if private and scope != EVERYBODY:  # as with `inviteCode`, it is nothing to a public leader
        raise SignedRefusal(-1130, "inviteScope")
    _no_share(sent)
    known = await session.get(LeadConfig, master.id) or LeadConfig(master_id=master.id)
    asks = LeadConfig(
        master_id=master.id,
        invest_min=least[0],
        place_min=least[1],
        rate_invest_min=least[2],
        un_lead_type=un_lead,
        invite_code=await _invite_code(session, sent, master, settings) if private else "",
        level=known.level,
    )
    led = await _symbols(session, sent)
    return Wanted(
        visibility="private" if private else "public",
        show_trade_history=int(not protect),
        lead_symbols=led,
        lead_margin_type=margin_type,
        unlead_from_ms=start if un_lead else 0,
        unlead_to_ms=end if un_lead else 0,
        profit_rate=rate,
        profit_period=period,
        asks=asks,
    )


def _no_share(sent: Mapping[str, Any]) -> None:
    """Raises SignedRefusal: -1130 for a share that could never be, -120072 for any that would have to be paid to somebody."""
    share = fields.whole(sent, "recommendShare", 0, 1) if fields.given(sent, "recommendShare") else NO_SHARE
    rate = fields.amount(sent, "recommendShareRate", Decimal(1)) if fields.given(sent, "recommendShareRate") else Decimal(0)
    if share and not rate:
        raise SignedRefusal(-1130, "recommendShareRate")
    if share or rate:
        raise SignedRefusal(-120072)


async def _symbols(session: AsyncSession, sent: Mapping[str, Any]) -> str:
    """`symbolIds`, comma separated: a JSON array, or in a query or form a comma-separated text."""
    value = fields.needed(sent, "symbolIds")
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SignedRefusal(-1102, "symbolIds")
    known = set((await session.execute(select(col(Symbol.symbol)))).scalars())
    if not names or not set(names) <= known:
        raise SignedRefusal(-1130, "symbolIds")
    return ",".join(dict.fromkeys(names))


async def _invite_code(session: AsyncSession, sent: Mapping[str, Any], master: Master, settings: Settings) -> str:
    """Raises SignedRefusal: -120512 for its form, -120511 for a word in it, -120510 when it is another leader's."""
    if not fields.given(sent, "inviteCode"):
        known = await session.get(LeadConfig, master.id)
        return known.invite_code if known else ""
    code = sent["inviteCode"]
    if not isinstance(code, str) or not INVITE_CODE.fullmatch(code):
        raise SignedRefusal(-120512)
    if any(word in code.lower() for word in settings.openapi_words_refused):
        raise SignedRefusal(-120511)
    others = (col(LeadConfig.invite_code) == code) & (col(LeadConfig.master_id) != master.id)
    living = select(col(Master.id)).join(LeadConfig, col(LeadConfig.master_id) == col(Master.id)).where(others)
    if (await session.execute(living)).first() is not None:
        raise SignedRefusal(-120510)
    return code


def _may_ask(wanted: Wanted, master: Master, policy: RewardPolicy | None, its: Bounds) -> None:
    """Whether a leader of these bounds may ask for so much. Raises SignedRefusal: -120072, -120073."""
    public = wanted.visibility == "public"
    if public and master.visibility == "private" and _rate(policy) > its.profit_rate_max:
        raise SignedRefusal(-120073)
    most = its.profit_rate_max if public else its.private_profit_rate_max
    shares = lead.shares(policy)
    asks = wanted.asks
    least = (
        (asks.invest_min, its.least.invest),
        (asks.place_min, its.least.place),
        (asks.rate_invest_min, its.least.rate_invest),
    )
    if (
        (wanted.profit_rate > most if shares else wanted.profit_rate != _rate(policy))
        or (shares and wanted.profit_rate == 0)
        or any(asked < needed for asked, needed in least)
    ):
        raise SignedRefusal(-120072)


async def _may_switch(session: AsyncSession, master: Master, wanted: Wanted) -> None:
    """Whether what the leader holds is led by the new settings, too. Raises SignedRefusal: -32090 (a symbol), -32093 (a margin type)."""
    held = await holdings.own_positions(session, master.login)
    led = wanted.lead_symbols.split(",")
    if any(position.symbol not in led for position in held):
        raise SignedRefusal(-32090)
    changed = wanted.lead_margin_type != master.lead_margin_type
    if changed and any(wanted.lead_margin_type not in {-1, position.margin_type} for position in held):
        raise SignedRefusal(-32093)


def _rate(policy: RewardPolicy | None) -> Decimal:
    """The share of profits, as a part of them."""
    return EXACT.divide(policy.fee_percent, Decimal(100)) if policy is not None and policy.enabled else Decimal(0)
