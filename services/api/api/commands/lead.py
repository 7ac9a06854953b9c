"""What a leader sets by the signed OpenAPI (which trades are led, what followers have to bring, who is admitted, the share of profits),
and the level that a manager gives it, which bounds what it may ask for."""

from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeGuard

from shared.contracts.config import MasterSaved, RewardType
from shared.money import EXACT

from api import store
from api.bodies import RewardPolicyBody
from api.commands import policies
from api.commands.change import Change
from api.store import LeadConfig, Master, RewardPolicy
from api.views import MASTER as FIELDS
from api.views import Json, as_object

LEAD = ("lead_symbols", "lead_margin_type", "unlead_from_ms", "unlead_to_ms")
SEEN = (*FIELDS, *LEAD)
ASKS = ("invest_min", "place_min", "rate_invest_min", "un_lead_type", "invite_code", "level")
NETTING = {1: "daily", 7: "weekly"}
"""A profit share's netting by `profitPeriod`."""


class Wanted(NamedTuple):
    """A leader's settings as they were asked for."""

    visibility: Literal["private", "public"]
    show_trade_history: int
    lead_symbols: str
    lead_margin_type: int
    unlead_from_ms: int
    unlead_to_ms: int
    profit_rate: Decimal
    profit_period: int
    asks: LeadConfig


async def set_level(change: Change, master_id: int, level: str) -> Json:
    """Gives a leader a level; none with an empty name. What it asks for already stays until it asks for something else.

    Raises Refused(RET_ERR_NOTFOUND)."""
    master = await change.own(Master, master_id)
    asks = await change.session.get(LeadConfig, master.id)
    before = as_object(asks, ASKS) if asks else None
    if asks is None:
        asks = LeadConfig(master_id=master.id)
        change.session.add(asks)
    asks.level = level
    change.record("update" if before else "create", asks, before, as_object(asks, ASKS), master.id)
    return {"id": master.id, "login": master.login, "level": level}


async def configure(change: Change, master: Master, policy: RewardPolicy | None, wanted: Wanted) -> Json:
    """Makes the settings the master's. Raises Refused as `policies.update` does."""
    before, known = as_object(master, SEEN), await change.session.get(LeadConfig, master.id)
    asked = as_object(known, ASKS) if known else None
    for name in ("visibility", "show_trade_history", *LEAD):
        setattr(master, name, getattr(wanted, name))
    kept = await change.session.merge(wanted.asks)
    change.touch(master)
    change.tell(MasterSaved(master=store.master_state(master)))
    change.record("update", master, before, as_object(master, SEEN), master.id)
    if asked != as_object(kept, ASKS):
        change.record("update" if asked else "create", kept, asked, as_object(kept, ASKS), master.id)
    if shares(policy):
        percent = EXACT.multiply(wanted.profit_rate, Decimal(100))
        # What is shown of a netting that the OpenAPI has no word for, and sent back as it was, changes nothing.
        netting = policy.netting if wanted.profit_period == period_of(policy) else NETTING[wanted.profit_period]
        if (policy.fee_percent, policy.netting) != (percent, netting):
            await policies.update(change, policy, _body(policy, percent, netting))
    return {}


def shares(policy: RewardPolicy | None) -> TypeGuard[RewardPolicy]:
    """Whether a policy is a share of profits, and in force: the one that the OpenAPI can set."""
    return policy is not None and policy.reward_type == RewardType.PROFIT_SHARE_PER_TRADE and bool(policy.enabled)


def period_of(policy: RewardPolicy | None) -> int:
    """A policy's `profitPeriod`; 7 for whatever is not by the day."""
    return 1 if policy is not None and policy.netting == "daily" else 7


def _body(policy: RewardPolicy, percent: Decimal, netting: Any) -> RewardPolicyBody:
    return RewardPolicyBody(
        reward_type=policy.reward_type,
        enabled=policy.enabled,
        fee_percent=percent.normalize(EXACT),
        currency=policy.currency,
        payout_account_login=policy.payout_account_login,
        netting=netting,
    )
