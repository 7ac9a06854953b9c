"""What the gateway is told when it starts."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from shared.settings import Settings

from gateway.paper.market import CATALOGUE, GROUPS, Market, Symbol


class SymbolOverride(BaseModel):
    """Settings of one symbol of the paper venue; what is left out stays as it is. A new symbol needs currencies, digits and a price."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    digits: int | None = Field(None, ge=0, le=8)
    contract_size: Decimal | None = Field(None, gt=0)
    base_currency: str | None = Field(None, pattern="^[A-Z]{3,5}$")
    quote_currency: str | None = Field(None, pattern="^[A-Z]{3,5}$")
    volume_per_lot: int | None = Field(None, ge=1)
    volume_min: int | None = Field(None, ge=1)
    volume_step: int | None = Field(None, ge=1)
    volume_max: int | None = Field(None, ge=1)
    stops_level: int | None = Field(None, ge=0)
    """Least distance of stops and pending prices from the market, in points."""
    freeze_level: int | None = Field(None, ge=0)
    """Nearer than this to the market, in points, an order's stops and a pending order are not changed or cancelled any more."""
    commission: Decimal | None = Field(None, ge=0)
    """Charged per lot and side, in the quote currency."""
    swap_long: Decimal | None = None
    """Added per lot and night (negative: charged), in the quote currency."""
    swap_short: Decimal | None = None
    bid: Decimal | None = Field(None, gt=0)
    """First price, when the store has none yet."""
    ask: Decimal | None = Field(None, gt=0)


NEEDED = ("digits", "contract_size", "base_currency", "quote_currency", "bid", "ask")


class GatewaySettings(Settings):
    """The paper venue's settings."""

    venue_symbols: dict[str, SymbolOverride] = Field(default_factory=dict)
    """JSON: symbol name to what is different from the catalogue."""
    account_report_ms: int = Field(default=2000, ge=100)
    """How often accounts are told whose equity moved with the price."""
    answer_days: float = Field(default=0, ge=0)
    """How long it is kept what was answered to an order's own id, which makes it have one effect however often it is asked for; always
    while the answer is in the log. To be longer than any service, or client with ids of its own, may be away. 0: for ever."""
    history_days: float = Field(default=0, ge=0)
    """How long deals and balance operations are kept, except those of open positions and settled rewards. 0: for ever."""
    feed_speed: float = Field(default=0, ge=0, le=100_000, allow_inf_nan=False)
    """Recorded prices are replayed so many times faster than they were; 0: no feed, prices are what was put last."""

    @model_validator(mode="after")
    def _symbols_are_whole(self) -> "GatewaySettings":
        self.symbols()
        return self

    def symbols(self) -> dict[str, Symbol]:
        """The catalogue with the overrides.

        Raises ValueError for a new symbol that is not whole, an ask below the bid, a currency without a rate.
        """
        symbols = dict(CATALOGUE)
        for name, override in self.venue_symbols.items():
            given: dict[str, Any] = override.model_dump(exclude_none=True)
            missing = [field for field in NEEDED if field not in given]
            if name not in symbols and missing:
                raise ValueError(f"LOCKSTEP_VENUE_SYMBOLS: {name} is new and lacks {', '.join(missing)}")
            for price in ("bid", "ask"):
                if price in given:
                    given[f"first_{price}"] = given.pop(price)
            symbol = replace(symbols[name], **given) if name in symbols else Symbol(symbol=name, **given)
            if not symbol.first_bid <= symbol.first_ask:
                raise ValueError(f"LOCKSTEP_VENUE_SYMBOLS: the ask of {name} is below its bid")
            symbols[name] = symbol
        market = Market(symbols)
        for symbol in symbols.values():
            for group in GROUPS.values():
                if not market.converts(symbol.quote_currency, group.currency):
                    raise ValueError(f"LOCKSTEP_VENUE_SYMBOLS: nothing leads from {symbol.quote_currency} to {group.currency}")
        return symbols
