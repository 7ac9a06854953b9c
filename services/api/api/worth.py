"""What open positions are worth now: by the latest prices heard, in their account's currency."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.ids import parse_copy_client_id
from shared.money import EXACT, quantize
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.context import Context
from api.openapi.marks import Held, Quote, rate_between, worth
from api.read_models import Account, Position, Symbol
from api.views import Json, number

PROFIT_PLACES = 2


class Now(NamedTuple):
    """A position's price at which it would be closed, and its profit there before costs; None while the symbol or a rate is unknown."""

    mark_price: Decimal | None
    profit: Decimal | None


class Market:
    """Symbols with their prices: the latest heard, else those of the symbol's last change."""

    def __init__(self, context: Context, symbols: dict[str, Symbol]) -> None:
        self._context = context
        self._symbols = symbols

    @classmethod
    async def of(cls, context: Context, session: AsyncSession) -> "Market":
        return cls(context, {row.symbol: row for row in (await session.execute(select(Symbol))).scalars()})

    def quotes(self) -> dict[str, Quote]:
        """The quote of every symbol that has prices."""
        found = {}
        for name, row in self._symbols.items():
            latest = self._context.prices.get(name)
            bid, ask = (latest.bid, latest.ask) if latest else (row.bid, row.ask)
            if bid > 0:
                found[name] = Quote(bid, ask, row.base_currency, row.quote_currency)
        return found

    def now(self, position: Position, account: Account | None, quotes: Mapping[str, Quote]) -> Now:
        symbol = self._symbols.get(position.symbol)
        if symbol is None or account is None or position.symbol not in quotes:
            return Now(None, None)
        units = EXACT.divide(EXACT.multiply(Decimal(position.volume), symbol.contract_size), Decimal(symbol.volume_per_lot))
        held = Held(position.side == "buy", units, position.price, account.leverage)
        rate = rate_between(quotes, symbol.quote_currency, account.currency)
        found = worth(held, quotes[position.symbol], rate, account.equity)
        return Now(found.mark_price, None if found.profit is None else quantize(found.profit, PROFIT_PLACES))


def position_now(position: Position, now: Now) -> Json:
    """The fields of a position that are not its row's: whose copy it is, and what it is worth."""
    copy = parse_copy_client_id(position.client_id)
    return {
        "subscription_id": copy.subscription if copy else 0,
        "master_order": copy.master_order if copy else 0,
        "mark_price": number(now.mark_price),
        "profit": number(now.profit),
    }
