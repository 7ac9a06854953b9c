"""The preview of a subscription: loads what the estimate is made from."""

from collections.abc import Mapping
from decimal import Decimal

from shared.money import EXACT
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import read_models, store
from api.bodies import SubscriptionCreate
from api.client.profile import visible_master
from api.context import Context
from api.errors import Refused
from api.openapi.marks import Quote, rate_between
from api.preview import Closing, Copying, Estimate, Fee, Grid, Standing, Total, estimate
from api.read_models import Account, Deal, Symbol
from api.store import RewardPolicy
from api.views import Json, number
from api.worth import Market

CLOSINGS = 20


async def previewed(context: Context, customer_id: int, body: SubscriptionCreate) -> Json:
    """The answer of `POST /copytrade/subscription/preview`."""
    async with context.store.read() as session:
        master = await visible_master(session, body.master_login, customer_id, body.invite_code)
        own, masters = await read_models.account(session, body.follower_login), await read_models.account(session, body.master_login)
        if own is None or masters is None or own.customer_id != customer_id:
            raise Refused("INVALID_ACCOUNT", f"account {body.follower_login} is not yours")
        quotes = (await Market.of(context, session)).quotes()
        policy = await store.policy_of(session, master.id)
        symbols = {row.symbol: row for row in (await session.execute(select(Symbol))).scalars()}
        closings = await _closings(session, body.master_login)
    standing = _standing(own, masters, quotes)
    fee = _fee(policy, own, quotes) if policy and policy.enabled and own.mode == "REAL" and master.customer_id != customer_id else None

    def grid_of(name: str) -> Grid | None:
        row = symbols.get(name)
        return Grid(row.volume_per_lot, row.volume_min, max(1, row.volume_step), row.volume_max) if row else None

    rows, total = estimate(closings, _copying(body), standing, fee, grid_of)
    return _answer(rows, total, standing.currency, shown=bool(master.show_trade_history) or master.customer_id == customer_id)


async def _closings(session: AsyncSession, login: int) -> list[Closing]:
    """The master's last closings, the newest first."""
    statement = select(Deal).where(col(Deal.login) == login).order_by(col(Deal.closed_ms).desc(), col(Deal.deal).desc()).limit(CLOSINGS)
    return [
        Closing(
            *(deal.position, deal.deal, deal.symbol, deal.side, deal.initial, deal.closed),
            *(deal.profit, deal.commission + deal.swap, deal.opened_ms, deal.closed_ms),
        )
        for deal in (await session.execute(statement)).scalars()
        if deal.initial > 0
    ]


def _copying(body: SubscriptionCreate) -> Copying:
    return Copying(
        body.volume_mode,
        body.risk_multiplier,
        body.fixed_volume,
        body.allocation_percent,
        body.ratio_multiplier,
        body.min_volume,
        body.max_volume,
        body.small_volume_policy == "raise_to_min",
        body.symbols_mode,
        frozenset(part.strip() for part in body.symbols.split(",") if part.strip()),
        bool(body.reverse_direction),
    )


def _standing(own: Account, masters: Account, quotes: Mapping[str, Quote]) -> Standing:
    rate = rate_between(quotes, masters.currency, own.currency) or Decimal(0)
    return Standing(own.equity, own.balance, masters.equity, masters.balance, rate, own.currency)


def _fee(policy: RewardPolicy, own: Account, quotes: Mapping[str, Quote]) -> Fee:
    rate = rate_between(quotes, policy.currency, own.currency) or Decimal(1)
    amount, cap = EXACT.multiply(policy.fee_amount, rate), EXACT.multiply(policy.fee_cap, rate)
    return Fee(policy.reward_type, policy.billing_period, amount, policy.fee_percent, policy.rebate_sides, cap)


def _answer(rows: list[Estimate], total: Total, currency: str, *, shown: bool) -> Json:
    copied = sum(1 for row in rows if row.volume)
    return {
        "currency": currency,
        "trades": len(rows),
        "copied": copied,
        "skipped": len(rows) - copied,
        "from_time": min((row.closing.opened_ms for row in rows), default=0) // 1000,
        "to_time": max((row.closing.closed_ms for row in rows), default=0) // 1000,
        **{name: number(value) for name, value in total._asdict().items()},
        "rows": [_row(row) for row in rows] if shown else [],
    }


def _row(row: Estimate) -> Json:
    one = row.closing
    return {
        "order": one.order,
        "deal": one.deal,
        "symbol": one.symbol,
        "side": one.side,
        "open_time": one.opened_ms // 1000,
        "close_time": one.closed_ms // 1000,
        "master_volume": one.initial,
        "volume": row.volume,
        "reason": row.reason,
        "profit": number(row.profit),
        "costs": number(row.costs),
        "fee": number(row.fee),
        "net": number(row.net),
    }
