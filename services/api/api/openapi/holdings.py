"""An account's positions as the V2 shows them: what they are worth, by copying or by its own trading, now and in the past."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from shared.ids import COPY_PREFIX
from shared.money import EXACT
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import read_models
from api.context import Context
from api.openapi.marks import Held, Quote, Worth, margin_of, rate_between, worth
from api.read_models import Account, Deal, Position, Symbol, TradeLink
from api.store import Master

ISOLATED = 1
"""`positionType`: 0 is cross margin, which all positions of an account share, 1 isolated."""
PARTLY_CLOSED, CLOSED = 1, 2


class Market:
    """The account, and the prices that its positions are valued with: the latest heard, else those of the symbol's last change, if it had
    any then."""

    def __init__(self, account: Account, symbols: dict[str, Symbol], quotes: dict[str, Quote]) -> None:
        self.account = account
        self.symbols = symbols
        self.quotes = quotes

    @classmethod
    async def of(cls, context: Context, session: AsyncSession, login: int) -> "Market":
        account = await read_models.account(session, login)
        assert account is not None, "a key without its account"
        symbols = {row.symbol: row for row in (await session.execute(select(Symbol))).scalars()}
        quotes = {}
        for name, row in symbols.items():
            latest = context.prices.get(name)
            bid, ask = (latest.bid, latest.ask) if latest else (row.bid, row.ask)
            if bid > 0:
                quotes[name] = Quote(bid, ask, row.base_currency, row.quote_currency)
        return cls(account, symbols, quotes)

    def units(self, symbol: str, volume: int) -> Decimal:
        """How much of the base asset a volume is."""
        row = self.symbols[symbol]
        return EXACT.divide(EXACT.multiply(Decimal(volume), row.contract_size), Decimal(row.volume_per_lot))

    def worth(self, position: Position) -> Worth:
        rate = self._rate(position.symbol)
        gear, isolated = self.leverage(position), position.margin_type == ISOLATED
        held = Held(position.side == "buy", self.units(position.symbol, position.volume), position.price, gear, isolated)
        return worth(held, self.quotes.get(position.symbol), rate, self.account.equity)

    def margin(self, position: Position, accounts_leverage: int) -> Decimal | None:
        """What somebody's position binds, in this account's currency."""
        rate = self._rate(position.symbol)
        gear = position.leverage or accounts_leverage
        held = Held(position.side == "buy", self.units(position.symbol, position.volume), position.price, gear)
        return None if rate is None else margin_of(held, rate)

    def _rate(self, symbol: str) -> Decimal | None:
        """How much of the account's currency one of what a symbol is quoted in is."""
        return rate_between(self.quotes, self.symbols[symbol].quote_currency, self.account.currency)

    def in_own(self, amount: Decimal, currency: str) -> Decimal:
        """An amount of another currency in the account's; nothing where no rate is known, since amounts of two currencies never add."""
        rate = rate_between(self.quotes, currency, self.account.currency)
        return EXACT.multiply(amount, rate) if rate is not None else Decimal(0)

    def leverage(self, position: Position | Deal) -> int:
        """A position's own leverage, or the account's."""
        return position.leverage or self.account.leverage


async def copied_positions(session: AsyncSession, login: int) -> list[tuple[Position, TradeLink]]:
    """What an account holds by copying, with the link of each."""
    statement: Any = (
        select(Position, TradeLink)
        .join(TradeLink, col(TradeLink.follower_order) == col(Position.order))
        .where(col(Position.login) == login, col(TradeLink.follower_login) == login, col(TradeLink.state) == 0)
        .order_by(col(Position.order))
    )
    return [(position, link) for position, link in (await session.execute(statement)).all()]


def of_copying(client_id: Any) -> Any:
    """Whether a client id is a copy's. Compared as it is: SQLite's LIKE, which `startswith` is, takes a trader's own `C-1` for one."""
    return func.substr(client_id, 1, len(COPY_PREFIX) + 1) == f"{COPY_PREFIX}-"


async def own_positions(session: AsyncSession, login: int) -> list[Position]:
    """What an account holds by its own trading."""
    own = (col(Position.login) == login) & ~of_copying(col(Position.client_id))
    return list((await session.execute(select(Position).where(own).order_by(col(Position.order)))).scalars())


async def closed_positions(session: AsyncSession, login: int, page: int, size: int, *, copied: bool) -> tuple[dict[int, list[Deal]], int]:
    """A page of positions of which something was closed, the latest first, with the closings of each; and how many there are."""
    by_copying = of_copying(col(Deal.position_client_id))
    wanted = (col(Deal.login) == login) & (by_copying if copied else ~by_copying)
    grouped = select(col(Deal.position), func.max(col(Deal.closed_ms)).label("last")).where(wanted).group_by(col(Deal.position))
    total = (await session.execute(select(func.count()).select_from(grouped.subquery()))).scalar_one()
    latest = grouped.order_by(func.max(col(Deal.closed_ms)).desc(), col(Deal.position).desc())
    orders = list((await session.execute(latest.limit(size).offset((page - 1) * size))).scalars())
    deals: dict[int, list[Deal]] = {order: [] for order in orders}
    for deal in (await session.execute(select(Deal).where(col(Deal.position).in_(orders)).order_by(col(Deal.deal)))).scalars():
        deals[deal.position].append(deal)
    return deals, total


def average_price(deals: Sequence[Deal]) -> Decimal:
    """The price at which a position was closed, weighted by volume."""
    closed = sum(deal.closed for deal in deals)
    return EXACT.divide(sum((deal.price * deal.closed for deal in deals), Decimal(0)), Decimal(closed))


def net_profit(deals: Sequence[Deal]) -> Decimal:
    """What closing made, costs taken off."""
    return sum((deal.profit + deal.commission + deal.swap for deal in deals), Decimal(0))


def close_status(deals: Sequence[Deal]) -> int:
    return CLOSED if deals[-1].left == 0 else PARTLY_CLOSED


async def nicknames(session: AsyncSession, logins: list[int]) -> dict[int, str]:
    """The names of masters."""
    found = await session.execute(select(col(Master.login), col(Master.strategy_name)).where(col(Master.login).in_(logins)))
    return {login: name for login, name in found.all()}  # noqa: C416  (a Row is no pair to mypy)
