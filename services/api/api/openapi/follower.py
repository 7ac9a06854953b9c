"""The follower's endpoints: whom the account follows, what it holds and held by copying, and ending it."""

from decimal import Decimal

from fastapi import APIRouter, Request
from shared.money import EXACT
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import store
from api.commands import subscriptions
from api.commands.change import Change
from api.errors import Refused
from api.openapi import fields, holdings
from api.openapi.door import FAILURES, SignedRefusal, SignedRoute, Wrapped, caller_of, success
from api.openapi.holdings import Market
from api.openapi.marks import Worth, text
from api.read_models import Account, Deal, Position, Sharing, TradeLink
from api.store import PositionStop, Subscription
from api.views import Json

PREFIX = "/api/v2/copy-trading/follower"
router = APIRouter(prefix=PREFIX, tags=["openapi v2"], route_class=SignedRoute, responses=FAILURES)


@router.get("/orders/current", response_model=Wrapped)
async def current_orders(request: Request) -> Json:
    """What the account holds now by copying, each position with its leader."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        await followed_by(session, caller.login)
        market = await Market.of(caller.context, session, caller.login)
        held = await holdings.copied_positions(session, caller.login)
        names = await holdings.nicknames(session, [link.master_login for _, link in held])
        set_by_rate = await _stops(session, caller.login)
    return success([_current(position, link, names, market, set_by_rate) for position, link in held])


@router.get("/orders/history", response_model=Wrapped)
async def order_history(request: Request) -> Json:
    """Copied positions of which something was closed, the latest first."""
    caller = caller_of(request)
    page, size = fields.paging(caller.parameters)
    async with caller.context.store.read() as session:
        await followed_by(session, caller.login)
        deals, total = await holdings.closed_positions(session, caller.login, page, size, copied=True)
        statement = select(TradeLink).where(col(TradeLink.follower_login) == caller.login, col(TradeLink.follower_order).in_(deals))
        leaders = {link.follower_order: link.master_login for link in (await session.execute(statement)).scalars()}
        names = await holdings.nicknames(session, list(leaders.values()))
        market = await Market.of(caller.context, session, caller.login)
    listed = [_past(found, names.get(leaders.get(order, 0), ""), market) for order, found in deals.items()]
    return success(fields.page_of(listed, total, size))


@router.get("/leaders", response_model=Wrapped)
async def leaders(request: Request) -> Json:
    """Whom the account follows, with what it has in each and what each has earned."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        followed = await followed_by(session, caller.login)
        market = await Market.of(caller.context, session, caller.login)
        names = await holdings.nicknames(session, [one.master_login for one in followed])
        held = await holdings.copied_positions(session, caller.login)
        statement = select(Sharing).where(col(Sharing.follower_login) == caller.login)
        sharing = {row.subscription: row for row in (await session.execute(statement)).scalars()}
    answer = []
    for one in followed:
        worths = [market.worth(position) for position, link in held if link.subscription_id == one.id]
        answer.append(_leader(one, names, market.account, worths, sharing.get(one.id)))
    return success(answer)


@router.delete("/leaders/{leader}", response_model=Wrapped)
async def cancel_leader(leader: str, request: Request) -> Json:
    """Ends following a leader; refused while copied positions are open."""
    caller = caller_of(request)
    login = fields.user_id(leader, "leaderUserId")

    async def end(change: Change) -> Json:
        followed = await store.subscriptions_of(change.session, follower=caller.login, master=login)
        if not followed:
            raise SignedRefusal(-32045)
        return await subscriptions.delete(change, followed[0].id, None)

    try:
        await caller.context.write(caller.actor, end)
    except Refused as refused:
        if refused.code == "ACTIVE_LINKS":
            raise SignedRefusal(-120055) from None
        raise
    return success(None)


def _current(
    position: Position, link: TradeLink, names: dict[int, str], market: Market, set_by_rate: dict[tuple[int, str, int], PositionStop]
) -> Json:
    worth_now = market.worth(position)
    sign, is_long = (1, 1) if position.side == "buy" else (-1, 0)
    own = set_by_rate.get((link.master_login, position.symbol, is_long))
    if own is not None and own.updated_ms < position.opened_ms:
        own = None  # it was set for an earlier position

    def rate(chosen: Decimal, price: Decimal, direction: int) -> str:
        """The rate that the follower has set; else how far a stop is from the opening, as a part of the opening's price."""
        if chosen:
            return text(chosen)
        return text(EXACT.divide((price - position.price) * sign * direction, position.price), 4) if price and position.price else ""

    return {
        "leaderUserId": str(link.master_login),
        "leaderNickname": names.get(link.master_login, ""),
        "leaderAvatar": "",
        "symbolId": position.symbol,
        "isLong": is_long,
        "positionType": position.margin_type,
        "leverage": str(market.leverage(position)),
        "openAvgPrice": text(position.price),
        "markPrice": text(worth_now.mark_price),
        "currentPrice": text(worth_now.mark_price),
        "quantity": text(market.units(position.symbol, position.volume)),
        "margin": text(worth_now.margin),
        "liquidationPrice": text(worth_now.liquidation_price),
        "unrealizedProfit": text(worth_now.profit),
        "unrealizedProfitRate": text(worth_now.profit_rate),
        "stopProfitRate": rate(own.stop_profit_rate if own else Decimal(0), position.tp, 1),
        "stopLossRate": rate(own.stop_loss_rate if own else Decimal(0), position.sl, -1),
    }


async def _stops(session: AsyncSession, login: int) -> dict[tuple[int, str, int], PositionStop]:
    """What the account has set by rate, by leader, symbol and direction."""
    rows = (await session.execute(select(PositionStop).where(col(PositionStop.follower_login) == login))).scalars()
    return {(row.master_login, row.symbol, row.is_long): row for row in rows}


def _past(deals: list[Deal], nickname: str, market: Market) -> Json:
    """A position from its closings: the average price is weighted by volume, the profit is net."""
    last = deals[-1]
    return {
        "symbolId": last.symbol,
        "positionType": last.margin_type,
        "leverage": str(market.leverage(last)),
        "isLong": int(last.side == "buy"),
        "leaderNickname": nickname,
        "leaderAvatar": "",
        "openTimeMs": str(last.opened_ms),
        "lastCloseTimeMs": str(last.closed_ms),
        "openAvgPrice": text(last.open_price),
        "closeAvgPrice": text(holdings.average_price(deals)),
        "maxPositionQuantity": text(market.units(last.symbol, last.initial)),
        "closedQuantity": text(market.units(last.symbol, sum(deal.closed for deal in deals))),
        "realizedProfit": text(holdings.net_profit(deals)),
        "closeStatus": holdings.close_status(deals),
    }


def _leader(one: Subscription, names: dict[int, str], account: Account, worths: list[Worth], sharing: Sharing | None) -> Json:
    """The margin balance is what the follow config has really invested with what it has made since; without one, the subscription's share
    of the account's balance. What open copies have made is part of it."""
    unrealised = sum((worth_now.profit or Decimal(0) for worth_now in worths), Decimal(0))
    bound = sum((worth_now.margin or Decimal(0) for worth_now in worths), Decimal(0))
    realised, holding, settled = (sharing.realized_profit, sharing.holding, sharing.settled) if sharing else (Decimal(0),) * 3
    config = store.follow_of(one)
    if config is not None:
        balance = config.real_invest_amount + realised - settled + unrealised
    else:
        balance = EXACT.divide(EXACT.multiply(account.balance, one.allocation_percent), Decimal(100)) + unrealised
    return {
        "leaderUserId": str(one.master_login),
        "leaderNickname": names.get(one.master_login, ""),
        "leaderAvatar": "",
        "marginBalance": text(balance),
        "availableMargin": text(max(Decimal(0), balance - bound)),
        "unrealisedPnl": text(unrealised),
        "realisedProfit": text(realised),
        "holdingProfitSharing": text(holding),
        "settledProfitSharing": text(settled),
        "netProfit": text(realised - holding - settled),
    }


async def followed_by(session: AsyncSession, login: int) -> list[Subscription]:
    """The account's subscriptions. Raises SignedRefusal(-32045) when it follows nobody."""
    followed = await store.subscriptions_of(session, follower=login)
    if not followed:
        raise SignedRefusal(-32045)
    return followed
