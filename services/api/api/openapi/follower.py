"""The follower's endpoints: whom the account follows, what it holds and held by copying, and ending it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from shared.ids import COPY_PREFIX
from shared.money import EXACT
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import read_models, store
from api.commands import subscriptions
from api.commands.change import Change
from api.context import Context
from api.errors import Refused
from api.openapi.door import FAILURES, SignedRefusal, SignedRoute, Wrapped, caller_of, success
from api.openapi.marks import Held, Quote, Worth, rate_between, text, worth
from api.read_models import Account, Deal, Position, Sharing, Symbol, TradeLink
from api.store import Master, Subscription
from api.views import Json

router = APIRouter(prefix="/api/v2/copy-trading/follower", tags=["openapi v2"], route_class=SignedRoute, responses=FAILURES)

PAGE_SIZE_DEFAULT = 10
PAGE_SIZE_MAX = 100
CROSS = 1
"""`positionType`: all positions of an account share its margin."""
PARTLY_CLOSED, CLOSED = 1, 2


@router.get("/orders/current", response_model=Wrapped)
async def current_orders(request: Request) -> Json:
    """What the account holds now by copying, each position with its leader."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        await _followed(session, caller.login)
        market = await _Market.of(caller.context, session, caller.login)
        held = await _copied_positions(session, caller.login)
        names = await _nicknames(session, [link.master_login for _, link in held])
    return success([_current(position, link, names, market) for position, link in held])


@router.get("/orders/history", response_model=Wrapped)
async def order_history(request: Request) -> Json:
    """Copied positions of which something was closed, the latest first."""
    caller = caller_of(request)
    page = _whole(caller.parameters, "page", 1, 1, 10**9)
    size = _whole(caller.parameters, "size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX)
    async with caller.context.store.read() as session:
        await _followed(session, caller.login)
        copied = (col(Deal.login) == caller.login) & col(Deal.position_client_id).startswith(f"{COPY_PREFIX}-")
        grouped = select(col(Deal.position), func.max(col(Deal.closed_ms)).label("last")).where(copied).group_by(col(Deal.position))
        total = (await session.execute(select(func.count()).select_from(grouped.subquery()))).scalar_one()
        latest = grouped.order_by(func.max(col(Deal.closed_ms)).desc(), col(Deal.position).desc())
        orders = list((await session.execute(latest.limit(size).offset((page - 1) * size))).scalars())
        found = (await session.execute(select(Deal).where(col(Deal.position).in_(orders)).order_by(col(Deal.deal)))).scalars()
        deals: dict[int, list[Deal]] = {order: [] for order in orders}
        for deal in found:
            deals[deal.position].append(deal)
        statement = select(TradeLink).where(col(TradeLink.follower_login) == caller.login, col(TradeLink.follower_order).in_(orders))
        leaders = {link.follower_order: link.master_login for link in (await session.execute(statement)).scalars()}
        names = await _nicknames(session, list(leaders.values()))
        market = await _Market.of(caller.context, session, caller.login)
    listed = [_past(deals[order], names.get(leaders.get(order, 0), ""), market) for order in orders]
    return success({"pages": str(-(-total // size)), "total": str(total), "list": listed})


@router.get("/leaders", response_model=Wrapped)
async def leaders(request: Request) -> Json:
    """Whom the account follows, with what it has in each and what each has earned."""
    caller = caller_of(request)
    async with caller.context.store.read() as session:
        followed = await _followed(session, caller.login)
        market = await _Market.of(caller.context, session, caller.login)
        names = await _nicknames(session, [one.master_login for one in followed])
        held = await _copied_positions(session, caller.login)
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
    login = _leader_id(leader)

    async def end(change: Change) -> Json:
        await store.one_at_a_time(change.session)
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


class _Market:
    """The account, and the prices that its positions are valued with: the latest heard, else those of the symbol's last change."""

    def __init__(self, account: Account, symbols: dict[str, Symbol], quotes: dict[str, Quote]) -> None:
        self.account = account
        self.symbols = symbols
        self.quotes = quotes

    @classmethod
    async def of(cls, context: Context, session: AsyncSession, login: int) -> "_Market":
        account = await read_models.account(session, login)
        assert account is not None, "a key without its account"
        symbols = {row.symbol: row for row in (await session.execute(select(Symbol))).scalars()}
        quotes = {}
        for name, row in symbols.items():
            latest = context.prices.get(name)
            bid, ask = (latest.bid, latest.ask) if latest else (row.bid, row.ask)
            quotes[name] = Quote(bid, ask, row.base_currency, row.quote_currency)
        return cls(account, symbols, quotes)

    def units(self, symbol: str, volume: int) -> Decimal:
        """How much of the base asset a volume is."""
        row = self.symbols[symbol]
        return EXACT.divide(EXACT.multiply(Decimal(volume), row.contract_size), Decimal(row.volume_per_lot))

    def worth(self, position: Position) -> Worth:
        quote = self.quotes[position.symbol]
        rate = rate_between(self.quotes, quote.quote_currency, self.account.currency)
        held = Held(position.side == "buy", self.units(position.symbol, position.volume), position.price, self.account.leverage)
        return worth(held, quote, rate, self.account.equity)


def _current(position: Position, link: TradeLink, names: dict[int, str], market: _Market) -> Json:
    worth_now = market.worth(position)
    sign = 1 if position.side == "buy" else -1

    def rate(price: Decimal, direction: int) -> str:
        """How far a stop is from the opening, as a part of the opening's price."""
        return text(EXACT.divide((price - position.price) * sign * direction, position.price), 4) if price and position.price else ""

    return {
        "leaderUserId": str(link.master_login),
        "leaderNickname": names.get(link.master_login, ""),
        "leaderAvatar": "",
        "symbolId": position.symbol,
        "isLong": int(position.side == "buy"),
        "positionType": CROSS,
        "leverage": str(market.account.leverage),
        "openAvgPrice": text(position.price),
        "markPrice": text(worth_now.mark_price),
        "currentPrice": text(worth_now.mark_price),
        "quantity": text(market.units(position.symbol, position.volume)),
        "margin": text(worth_now.margin),
        "liquidationPrice": text(worth_now.liquidation_price),
        "unrealizedProfit": text(worth_now.profit),
        "unrealizedProfitRate": text(worth_now.profit_rate),
        "stopProfitRate": rate(position.tp, 1),
        "stopLossRate": rate(position.sl, -1),
    }


def _past(deals: Sequence[Deal], nickname: str, market: _Market) -> Json:
    """A position from its closings: the average price is weighted by volume, the profit is net."""
    last = deals[-1]
    closed = sum(deal.closed for deal in deals)
    average = EXACT.divide(sum((deal.price * deal.closed for deal in deals), Decimal(0)), Decimal(closed))
    return {
        "symbolId": last.symbol,
        "positionType": CROSS,
        "leverage": str(market.account.leverage),
        "isLong": int(last.side == "buy"),
        "leaderNickname": nickname,
        "leaderAvatar": "",
        "openTimeMs": str(last.opened_ms),
        "lastCloseTimeMs": str(last.closed_ms),
        "openAvgPrice": text(last.open_price),
        "closeAvgPrice": text(average),
        "maxPositionQuantity": text(market.units(last.symbol, last.initial)),
        "closedQuantity": text(market.units(last.symbol, closed)),
        "realizedProfit": text(sum((deal.profit + deal.commission + deal.swap for deal in deals), Decimal(0))),
        "closeStatus": CLOSED if last.left == 0 else PARTLY_CLOSED,
    }


def _leader(one: Subscription, names: dict[int, str], account: Account, worths: list[Worth], sharing: Sharing | None) -> Json:
    """The margin balance is the subscription's share of the account's balance with what its open copies have made."""
    unrealised = sum((worth_now.profit or Decimal(0) for worth_now in worths), Decimal(0))
    bound = sum((worth_now.margin or Decimal(0) for worth_now in worths), Decimal(0))
    balance = EXACT.divide(EXACT.multiply(account.balance, one.allocation_percent), Decimal(100)) + unrealised
    realised, holding, settled = (sharing.realized_profit, sharing.holding, sharing.settled) if sharing else (Decimal(0),) * 3
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


async def _followed(session: AsyncSession, login: int) -> list[Subscription]:
    """The account's subscriptions. Raises SignedRefusal(-32045) when it follows nobody."""
    followed = await store.subscriptions_of(session, follower=login)
    if not followed:
        raise SignedRefusal(-32045)
    return followed


async def _copied_positions(session: AsyncSession, login: int) -> list[tuple[Position, TradeLink]]:
    statement: Any = (
        select(Position, TradeLink)
        .join(TradeLink, col(TradeLink.follower_order) == col(Position.order))
        .where(col(Position.login) == login, col(TradeLink.follower_login) == login, col(TradeLink.state) == 0)
        .order_by(col(Position.order))
    )
    return [(position, link) for position, link in (await session.execute(statement)).all()]


async def _nicknames(session: AsyncSession, logins: list[int]) -> dict[int, str]:
    found = await session.execute(select(col(Master.login), col(Master.strategy_name)).where(col(Master.login).in_(logins)))
    return {login: name for login, name in found.all()}  # noqa: C416  (a Row is no pair to mypy)


def _whole(given: Any, name: str, default: int, low: int, high: int) -> int:
    value = given.get(name, str(default))
    if not value.isascii() or not value.isdigit() or len(value) > 10 or not low <= int(value) <= high:
        raise SignedRefusal(-1130, name)
    return int(value)


def _leader_id(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 18 or int(value) < 1:
        raise SignedRefusal(-1130, "leaderUserId")
    return int(value)
