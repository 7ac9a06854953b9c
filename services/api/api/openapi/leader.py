"""The leader's endpoints: its own trading as it leads it, its followers, and what it earns by them."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from shared.contracts.rewards import AccrualState
from shared.money import EXACT, quantize
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import read_models, store
from api.commands import subscriptions
from api.commands.change import Change
from api.openapi import fields, holdings
from api.openapi.door import FAILURES, Caller, SignedRefusal, SignedRoute, Wrapped, caller_of, success
from api.openapi.holdings import Market
from api.openapi.marks import text
from api.read_models import Account, Accrual, Deal, MasterStats, Position, Sharing, Symbol, TradeLink
from api.store import Master, Subscription
from api.views import Json

PREFIX = "/api/v2/copy-trading/leader"
router = APIRouter(prefix=PREFIX, tags=["openapi v2"], route_class=SignedRoute, responses=FAILURES)

DAY_MS = 86_400_000
SHARINGS_MAX = 100
PERIODS = {7: "7D", 30: "30D", 90: "90D", 365: "365D"}
TYPES = (7, 30, 90, 180, 365)


async def leading(session: AsyncSession, caller: Caller) -> Master:
    """The account's master. Raises SignedRefusal(-120041) when it is none, or is disabled."""
    master = await store.master_of(session, caller.login)
    if master is None or not master.enabled:
        raise SignedRefusal(-120041)
    return master


@router.get("/orders/current", response_model=Wrapped)
async def current_orders(request: Request) -> Json:
    """What the leader holds now, with how many follow each position and what they have bound in it."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        await leading(session, caller)
        market = await Market.of(caller.context, session, caller.login)
        held = await holdings.own_positions(session, caller.login)
        copies = await _copies(session, [position.order for position in held])
    return success([_current(position, market, copies.get(position.order, [])) for position in held])


@router.get("/orders/history", response_model=Wrapped)
async def order_history(request: Request) -> Json:
    """The leader's own positions of which something was closed, the latest first."""
    caller = caller_of(request)
    page, size = fields.paging(caller.parameters)
    async with caller.context.store.read() as session:
        await leading(session, caller)
        deals, total = await holdings.closed_positions(session, caller.login, page, size, copied=False)
        market = await Market.of(caller.context, session, caller.login)
    return success(fields.page_of([_past(found, market) for found in deals.values()], total, size))


@router.get("/trade-data", response_model=Wrapped)
async def trade_data(request: Request) -> Json:
    """The leader's statistics of the last 7, 30, 90, 180 or 365 days."""
    caller = caller_of(request)
    days = fields.query_whole(caller.parameters, "type", 7, 7, 365)
    if days not in TYPES:
        raise SignedRefusal(-1130, "type")
    since = caller.context.store.clock() - days * DAY_MS
    async with caller.context.store.read() as session:
        master = await leading(session, caller)
        own = (col(Deal.login) == master.login) & (col(Deal.closed_ms) >= since) & ~holdings.of_copying(col(Deal.position_client_id))
        deals = list((await session.execute(select(Deal).where(own))).scalars())
        ended = select(col(Deal.position)).where(own, col(Deal.left) == 0)
        parts = list((await session.execute(select(Deal).where(col(Deal.position).in_(ended)))).scalars())
        stats = await session.get(MasterStats, (master.login, PERIODS.get(days, "365D")))
        account = await read_models.account(session, master.login)
        audience = await _audience(session, master.login, await Market.of(caller.context, session, master.login))
    assert account is not None, "a master without its account"
    return success([_figures(days, deals, parts, stats if days in PERIODS else None, account) | audience])


@router.get("/profit-sharings/history", response_model=Wrapped)
async def profit_sharings(request: Request) -> Json:
    """What the leader was paid by its followers, day by day (UTC), the latest first; the last 100 days with any. In the account's currency:
    what was paid out in another one counts at today's rate."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        await leading(session, caller)
        market = await Market.of(caller.context, session, caller.login)
        paid = (col(Accrual.master_login) == caller.login) & (col(Accrual.state) == int(AccrualState.PAID))
        whole_day = col(Accrual.updated_ms) // DAY_MS
        currency = col(Accrual.payout_currency)
        statement = select(whole_day, currency, func.sum(col(Accrual.payout_amount))).where(paid).group_by(whole_day, currency)
        rows = (await session.execute(statement.order_by(whole_day.desc()))).all()
    days: dict[int, Decimal] = {}
    for number, its_currency, amount in rows:
        days[int(number)] = days.get(int(number), Decimal(0)) + market.in_own(amount, its_currency)
    latest = list(days.items())[:SHARINGS_MAX]
    return success([_sharing(datetime.fromtimestamp(number * 86_400, UTC).date(), amount) for number, amount in latest])


@router.get("/symbols", response_model=Wrapped)
async def symbols(request: Request) -> Json:
    """What can be traded, and whether the leader leads it."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        master = await leading(session, caller)
        account = await read_models.account(session, caller.login)
        names = (await session.execute(select(col(Symbol.symbol)).order_by(col(Symbol.symbol)))).scalars().all()
    led = master.lead_symbols.split(",") if master.lead_symbols else names
    gear = str(account.leverage if account else 0)
    return success([{"symbolId": name, "leverage": gear, "isLead": int(name in led)} for name in names])


@router.get("/followers", response_model=Wrapped)
async def followers(request: Request) -> Json:
    """Who follows the leader, the longest first."""
    caller = caller_of(request)
    page, size = fields.paging(caller.parameters)
    async with caller.context.store.read() as session:
        await leading(session, caller)
        mine = col(Subscription.master_login) == caller.login
        total = (await session.execute(select(func.count()).select_from(Subscription).where(mine))).scalar_one()
        statement: Any = (
            select(Subscription, Account, Sharing)
            .outerjoin(Account, col(Account.login) == col(Subscription.follower_login))
            .outerjoin(Sharing, col(Sharing.subscription) == col(Subscription.id))
            .where(mine)
            .order_by(col(Subscription.id))
        )
        found = (await session.execute(statement.limit(size).offset((page - 1) * size))).all()
    now = caller.context.store.clock()
    return success(fields.page_of([_follower(one, account, sharing, now) for one, account, sharing in found], total, size))


@router.delete("/followers/{follower}", response_model=Wrapped)
async def remove_follower(follower: str, request: Request) -> Json:
    """Ends a follower's following of this leader; refused while it holds copied positions."""
    caller = caller_of(request)
    login = fields.user_id(follower, "followerUserId")

    async def end(change: Change) -> Json:
        if await store.master_of(change.session, caller.login) is None:
            raise SignedRefusal(-120047)
        found = await store.subscriptions_of(change.session, follower=login, master=caller.login)
        if not found:
            raise SignedRefusal(-32045)
        if await read_models.has_active_links(change.session, col(TradeLink.subscription_id), found[0].id):
            raise SignedRefusal(-120055)
        await subscriptions.remove(change, found[0], "detach")
        return {}

    await caller.context.write(caller.actor, end)
    return success(None)


Copy = tuple[Position, Account]


async def _copies(session: AsyncSession, orders: Sequence[int]) -> dict[int, list[Copy]]:
    """The copies of some orders that are open, with their accounts."""
    statement: Any = (
        select(TradeLink, Position, Account)
        .join(Position, col(Position.order) == col(TradeLink.follower_order))
        .join(Account, col(Account.login) == col(TradeLink.follower_login))
        .where(col(TradeLink.master_order).in_(orders), col(TradeLink.state) == 0)
    )
    found: dict[int, list[Copy]] = {}
    for link, position, account in (await session.execute(statement)).all():
        found.setdefault(link.master_order, []).append((position, account))
    return found


def _current(position: Position, market: Market, copies: Sequence[Copy]) -> Json:
    worth = market.worth(position)
    bound = sum((market.margin(copy, account.leverage) or Decimal(0) for copy, account in copies), Decimal(0))
    return {
        "symbolId": position.symbol,
        "symbolName": position.symbol,
        "isLong": int(position.side == "buy"),
        "positionType": position.margin_type,
        "leverage": str(market.leverage(position)),
        "openTime": str(position.opened_ms),
        "quantity": text(market.units(position.symbol, position.volume)),
        "newPrice": text(worth.mark_price),
        "openPrice": text(position.price),
        "totalFollowerCount": str(len({account.login for _, account in copies})),
        "totalFollowerMargin": text(bound),
        "profitRate": text(worth.profit_rate),
        "markPrice": text(worth.mark_price),
    }


def _past(deals: list[Deal], market: Market) -> Json:
    """A position from its closings. Its commission is of opening and closing together: half of it is shown as each side's fee."""
    last = deals[-1]
    fee = EXACT.divide(-sum((deal.commission for deal in deals), Decimal(0)), Decimal(2))
    return {
        "symbolId": last.symbol,
        "isLong": int(last.side == "buy"),
        "positionType": last.margin_type,
        "leverage": str(market.leverage(last)),
        "openPrice": text(last.open_price),
        "closePrice": text(holdings.average_price(deals)),
        "openTime": str(last.opened_ms),
        "closeTime": str(last.closed_ms),
        "profit": text(holdings.net_profit(deals)),
        "status": holdings.close_status(deals),
        "openQty": text(market.units(last.symbol, last.initial)),
        "closeQty": text(market.units(last.symbol, sum(deal.closed for deal in deals))),
        "positionProfit": text(sum((deal.profit for deal in deals), Decimal(0))),
        "openFee": text(fee),
        "closeFee": text(fee),
    }


def _figures(days: int, deals: list[Deal], parts: list[Deal], stats: MasterStats | None, account: Account) -> Json:
    """Of a period's closings, and of all parts of the positions that ended in it, which are its trades. The profit rate and the Sharpe
    ratio are the statistics service's where it has the period; else the rate is the profit as a part of what the account had without it."""
    by_position: dict[int, list[Deal]] = {}
    for deal in parts:
        by_position.setdefault(deal.position, []).append(deal)
    made = [holdings.net_profit(found) for found in by_position.values()]
    total = holdings.net_profit(deals)
    wins, losses = [one for one in made if one > 0], [-one for one in made if one < 0]
    before = account.balance - total
    rate = stats.roi / 100 if stats and stats.roi is not None else EXACT.divide(total, before) if before > 0 else Decimal(0)
    sharpe = json.loads(stats.details).get("sharpe_ratio") if stats and stats.details else None
    ratio = quantize(EXACT.divide(_mean(wins), _mean(losses)), 2) if wins and losses else None
    return {
        "profitRate": text(rate, 4),
        "accumulatedProfit": text(total),
        "orderCount": len(made),
        "winRate": text(EXACT.divide(Decimal(len(wins)), Decimal(len(made))) if made else Decimal(0), 4),
        "sharpeRatio": "" if sharpe is None else text(Decimal(str(sharpe)), 4),
        "profitLossRatio": f"{ratio}:1" if ratio is not None else "",
        "tradingFrequency": text(EXACT.divide(Decimal(len(made)), Decimal(days)), 4),
        "tradingDays": len({deal.closed_ms // DAY_MS for deal in deals}),
    }


def _mean(values: list[Decimal]) -> Decimal:
    return EXACT.divide(sum(values, Decimal(0)), Decimal(len(values)))


async def _audience(session: AsyncSession, login: int, market: Market) -> Json:
    """How many follow a leader now and ever did, what they have made, and how much they follow with, in the leader's currency."""
    subscribed = await store.subscriptions_of(session, master=login)
    copied = (await session.execute(select(col(TradeLink.follower_login)).where(col(TradeLink.master_login) == login).distinct())).scalars()
    logins = [one.follower_login for one in subscribed]
    accounts = {row.login: row for row in (await session.execute(select(Account).where(col(Account.login).in_(logins)))).scalars()}
    profits = select(col(Sharing.currency), func.sum(col(Sharing.realized_profit))).where(col(Sharing.master_login) == login)
    by_currency = (await session.execute(profits.group_by(col(Sharing.currency)))).all()
    made = sum((market.in_own(amount, currency) for currency, amount in by_currency), Decimal(0))
    invested = [(_invested(one, own), own.currency) for one in subscribed if (own := accounts.get(one.follower_login)) is not None]
    managed = sum((market.in_own(amount, currency) for amount, currency in invested), Decimal(0))
    return {
        "currentFollowerCount": str(len(subscribed)),
        "followerTotalProfit": text(made),
        "totalFollowerCount": str(len({*logins, *copied})),
        "assetManagementScale": text(managed),
    }


def _invested(one: Subscription, account: Account | None) -> Decimal:
    """What a subscription follows with: its config's real investment, else its share of the account's equity."""
    config = store.follow_of(one)
    if config is not None:
        return config.real_invest_amount
    return EXACT.divide(EXACT.multiply(account.equity, one.allocation_percent), Decimal(100)) if account else Decimal(0)


def _sharing(day: date, amount: Decimal) -> Json:
    """There is no referral programme: nothing of a share is anybody else's."""
    year, week, _ = day.isocalendar()
    return {
        "totalProfitSharing": text(amount),
        "weekOfYear": week,
        "year": year,
        "sharingDate": day.isoformat(),
        "recommendUserShare": "0",
        "realProfitShare": text(amount),
    }


def _follower(one: Subscription, account: Account | None, sharing: Sharing | None, now: int) -> Json:
    config = store.follow_of(one)
    invested = _invested(one, account)
    return {
        "followerUserId": str(one.follower_login),
        "followerNickname": f"****{str(one.follower_login)[-3:]}",
        "followAmountLimit": text(config.invest_amount if config else invested),
        "totalFollowMargin": text(invested),
        "totalProfit": text(sharing.realized_profit if sharing else Decimal(0)),
        "followRunningMills": str(max(0, now - one.created_ms)),
    }
