"""The shapes of the answers, for `/openapi.json`: made from the same field lists that the answers are made from."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlmodel import col

from api import views
from api.read_models import Account, MasterStats, Symbol
from api.store import ApiKey, Follower, Halt, Master, RewardPolicy, Subscription
from api.tables import Base, Kind, kind_of
from api.views import RENAMED, Source

Number = int | float
"""A whole number stays one: `10`, not `10.0`."""
TYPES: dict[Kind, Any] = {"int": int, "number": Number, "text": str}


class Done(BaseModel):
    """A success with nothing to tell."""

    data: str = "OK"


class Table(BaseModel):
    """The table form: `structure` names the columns; `count` is how many match, on all pages."""

    structure: list[str]
    rows: list[list[Any]]
    count: int


class Objects(BaseModel):
    """The same rows, each an object."""

    rows: list[dict[str, Any]]
    count: int


def model_of(name: str, table: type[Base], fields: tuple[str, ...], **more: Any) -> type[BaseModel]:
    """The model of a view: each field with its column's type."""
    types: dict[str, Any] = {}
    for field in fields:
        source = RENAMED.get(field, Source(field)).column
        column: Any = col(getattr(table, source if hasattr(table, source) else field))
        kind: Any = TYPES[kind_of(column)]
        types[field] = (kind | None if column.nullable else kind, ...)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **(types | more))


REWARD_POLICY = model_of("RewardPolicy", RewardPolicy, views.POLICY)
MASTER = model_of("Master", Master, views.MASTER, reward_policy=(REWARD_POLICY | None, ...))
FOLLOWER = model_of("Follower", Follower, views.FOLLOWER)
SUBSCRIPTION = model_of("Subscription", Subscription, views.SUBSCRIPTION)
ACCOUNT = model_of("Account", Account, views.ACCOUNT)
STATS = model_of(
    "Stats",
    MasterStats,
    ("period", "period_days", *views.STATS, *views.MORE_STATS),
    pnl_history=(list[Number], ...),
    roi_simple=(Number | None, ...),
    currency=(str, ...),
    coverage_days=(int, ...),
    roi_quality=(str, ...),
    updated_time=(int, ...),
)
LISTED_MASTER = model_of(
    "ListedMaster",
    Master,
    views.MASTER,
    stats=(STATS, ...),
    reward_policy=(REWARD_POLICY | None, ...),
    followers=(int, ...),
    own=(int, ...),
)


SYMBOL = model_of("Symbol", Symbol, views.SYMBOL)
HALT = model_of("Halt", Halt, views.HALT)
API_KEY = model_of("ApiKey", ApiKey, views.API_KEY)
NEW_API_KEY = model_of("NewApiKey", ApiKey, views.API_KEY, secret=(str, ...))


class CurvePoint(BaseModel):
    """One day of a curve: its beginning in Unix seconds (midnight in the broker's time zone), and the cumulative result at its end."""

    time: int
    pnl: Number


DETAILED_STATS = create_model(
    "DetailedStats",
    __base__=STATS,
    login=(int, ...),
    followers=(int, ...),
    sharp_ratio=(Number | None, ...),
    weekly_trades=(Number | None, ...),
    avg_holding_time=(Number | None, ...),
    sortino_ratio=(Number | None, ...),
    profit_per_symbol=(dict[str, Number], ...),
    pnl_history=(list[CurvePoint], ...),
    details=(dict[str, Any], ...),
)


class Statement(BaseModel):
    """A reward statement: `from` and `to` are Unix milliseconds, amounts are texts."""

    model_config = ConfigDict(populate_by_name=True)

    subscription_id: int
    start: int = Field(alias="from")
    to: int
    currency: str
    charged: str
    accruals: list[dict[str, Any]]


class Explanation(BaseModel):
    """A copy decision in words. `inputs`: everything it was made from, amounts and prices in units of 1e-8, times in Unix milliseconds."""

    link: int
    decision: Literal["copied", "skipped", "rejected"]
    reason: str
    text: list[str]
    inputs: dict[str, Any]


class PreviewRow(BaseModel):
    """A closing of the master's as it would have been copied; `volume` 0 where it would have been skipped, with the `reason`. A share of
    the profit is taken of a position's closings together: the `fee` of the newest of them."""

    order: int
    deal: int
    symbol: str
    side: str
    open_time: int
    close_time: int
    master_volume: int
    volume: int
    reason: str
    profit: Number
    costs: Number
    fee: Number
    net: Number


class Preview(BaseModel):
    """What a master's last closings would have brought and cost a follower, in the follower's currency. `costs` are negative, `fee` is what
    would have been charged, with what is charged by time for the days from `from_time` to `to_time` (Unix seconds)."""

    currency: str
    trades: int
    copied: int
    skipped: int
    from_time: int
    to_time: int
    profit: Number
    costs: Number
    fee: Number
    net: Number
    rows: list[PreviewRow]


class Otp(BaseModel):
    """The second factor: whether it is on; while it is being set up, the secret and the URI for the device."""

    enabled: int
    secret: str | None = None
    uri: str | None = None


class SettingsVersion(BaseModel):
    """What a subscription's settings were from a time (Unix seconds) on."""

    version: int
    valid_from: int
    actor: str
    settings: dict[str, Any]


class History(BaseModel):
    rows: list[SettingsVersion]
    count: int


def _many(name: str, row: type[BaseModel]) -> type[BaseModel]:
    many: Any = list[row]  # type: ignore[valid-type]
    return create_model(name, rows=(many, ...), count=(int, ...))


def _lists(name: str, **rows: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {field: (list[row], ...) for field, row in rows.items()}  # type: ignore[valid-type]
    return create_model(name, **fields)


MASTERS = _many("Masters", LISTED_MASTER)
MINE = _lists("Mine", masters=MASTER, followers=FOLLOWER, subscriptions=SUBSCRIPTION)
HALTS = _lists("Halts", rows=HALT)
SYMBOLS = _many("Symbols", SYMBOL)
API_KEYS = _lists("ApiKeys", rows=API_KEY)
ACCOUNTS = _lists("Accounts", accounts=ACCOUNT)


class Profile(BaseModel):
    """A customer who has logged in: who it is, the accounts, and the session's token."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    email: str
    name: str
    otp_enabled: int
    accounts: list[ACCOUNT]  # type: ignore[valid-type]


SIGNED_IN = create_model("SignedIn", __base__=Profile, token=(str, Field(alias="__token")))
