"""`master.stats`: a master's statistics for a period; and `market.price`, the latest prices, which are not numbered."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.contracts.event import Amount, TableEvent

TOPIC = "master.stats"
PRICE_CHANNEL = "market.price"

PERIOD_DAYS = {"7D": 7, "30D": 30, "90D": 90, "365D": 365}
"""The specification's `stats_period` values and their length in days."""


class StatsRow(NamedTuple):
    """The statistics of one master for one period; a value that is not defined is None. Percentages are 0 to 100.

    `pnl_history` has exactly `period_days` values, oldest first: the cumulative realised profit at the end of each day.
    """

    login: int
    period: Literal["7D", "30D", "90D", "365D"]
    period_days: int
    roi: Amount | None
    roi_simple: Amount | None
    pnl: Amount
    win_rate: Amount | None
    max_drawdown: Amount | None
    avg_pnl_per_trade: Amount | None
    trades: int
    pnl_history: tuple[Amount, ...]
    currency: str
    coverage_days: int
    roi_quality: str
    updated_ms: int
    details: str = ""
    """JSON of further statistics, see `docs`: each is a number or null."""


class StatsChanged(TableEvent):
    """Statistics of masters that have changed."""

    type: Literal["stats.changed"] = "stats.changed"
    structure: tuple[str, ...] = StatsRow._fields
    rows: tuple[StatsRow, ...]


StatsEvent = Annotated[StatsChanged, Field(discriminator="type")]

STATS_EVENTS: TypeAdapter[StatsChanged] = TypeAdapter(StatsChanged)


class PriceRow(NamedTuple):
    """A symbol's latest price; `time` in Unix milliseconds."""

    symbol: str
    bid: Amount
    ask: Amount
    time: int


class Prices(BaseModel):
    """The latest prices of some symbols. May be lost; the latest wins."""

    model_config = ConfigDict(frozen=True)

    rows: tuple[PriceRow, ...]
