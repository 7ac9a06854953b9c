"""`trade.push`: what happened on the venue, told by the gateway after its commit."""

from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from shared.contracts.event import Amount, TableEvent

TOPIC = "trade.push"

Side = Literal["buy", "sell"]
Mode = Literal["REAL", "DEMO"]

REASON_CLIENT = "TR_REASON_CLIENT"
REASON_COPY = "TR_REASON_COPY"
REASON_SL = "TR_REASON_SL"
REASON_TP = "TR_REASON_TP"
REASON_STOP_OUT = "TR_REASON_SO"
REASON_COPY_REWARD = "TR_REASON_COPY_REWARD"
REASON_DEPOSIT = "TR_REASON_DEPOSIT"
REASON_CORRECTION = "TR_REASON_CORRECTION"

OP_BALANCE_IN = "OP_BALANCE_IN"
OP_BALANCE_OUT = "OP_BALANCE_OUT"
OP_CREDIT_IN = "OP_CREDIT_IN"
OP_CREDIT_OUT = "OP_CREDIT_OUT"


class AccountRow(NamedTuple):
    """An account as it stands. Amounts are in the account's currency."""

    login: int
    customer_id: int
    group: str
    mode: Mode
    currency: str
    leverage: int
    balance: Amount
    credit: Amount
    equity: Amount
    margin: Amount
    free_margin: Amount
    positions: int


class AccountsOpened(TableEvent):
    """Accounts that are new."""

    type: Literal["account.opened"] = "account.opened"
    structure: tuple[str, ...] = AccountRow._fields
    rows: tuple[AccountRow, ...]


class AccountsChanged(TableEvent):
    """The state of accounts: after each deal or balance operation, from time to time while positions are open, and in a snapshot."""

    type: Literal["account.changed"] = "account.changed"
    structure: tuple[str, ...] = AccountRow._fields
    rows: tuple[AccountRow, ...]


class SymbolRow(NamedTuple):
    """A symbol's settings. `commission` is per lot and side, swaps are per lot and night, both in the quote currency.

    In points: `stops_level` is the least distance of stops and pending prices from the market; an order whose stop or price is nearer to
    it than `freeze_level` cannot be changed or cancelled. 0: there is no such rule.
    """

    symbol: str
    digits: int
    contract_size: Amount
    base_currency: str
    quote_currency: str
    volume_per_lot: int
    volume_min: int
    volume_step: int
    volume_max: int
    stops_level: int
    commission: Amount
    swap_long: Amount
    swap_short: Amount
    bid: Amount
    ask: Amount
    freeze_level: int = 0


class SymbolsChanged(TableEvent):
    """The settings of symbols; prices go on `market.price`."""

    type: Literal["symbol.changed"] = "symbol.changed"
    structure: tuple[str, ...] = SymbolRow._fields
    rows: tuple[SymbolRow, ...]


class OpenedRow(NamedTuple):
    """A position that was opened. `equity`, `balance` and `credit` are the account's just BEFORE this trade.

    `leverage` 0: the account's; `margin_type` 0: cross, 1: isolated.
    """

    order: int
    login: int
    symbol: str
    side: Side
    volume: int
    price: Amount
    sl: Amount
    tp: Amount
    client_id: str
    reason: str
    commission: Amount
    equity: Amount
    balance: Amount
    credit: Amount
    opened_ms: int
    leverage: int = 0
    margin_type: int = 0


class PositionsOpened(TableEvent):
    """Positions that were opened. A stop loss or take profit of 0 means none."""

    type: Literal["position.opened"] = "position.opened"
    structure: tuple[str, ...] = OpenedRow._fields
    rows: tuple[OpenedRow, ...]


class ChangedRow(NamedTuple):
    """A position's new stop loss and take profit; `version` grows with each change of the position."""

    order: int
    login: int
    symbol: str
    sl: Amount
    tp: Amount
    version: int
    client_id: str


class PositionsChanged(TableEvent):
    """Positions whose stop loss or take profit was changed. `client_id` is that of the change."""

    type: Literal["position.changed"] = "position.changed"
    structure: tuple[str, ...] = ChangedRow._fields
    rows: tuple[ChangedRow, ...]


class ClosedRow(NamedTuple):
    """A closing deal. `closed` of the position's `initial` volume was closed now, `left` is open still.

    `profit` is gross; `commission` and `swap` are this slice's share of the costs of the whole position, negative when they are charged;
    all in the account's currency. `client_id` is that of the closing, `position_client_id` that of the opening.
    """

    order: int
    deal: int
    login: int
    symbol: str
    side: Side
    initial: int
    closed: int
    left: int
    open_price: Amount
    price: Amount
    profit: Amount
    commission: Amount
    swap: Amount
    reason: str
    client_id: str
    position_client_id: str
    opened_ms: int
    closed_ms: int
    leverage: int = 0
    margin_type: int = 0


class PositionsReduced(TableEvent):
    """Positions of which a part was closed."""

    type: Literal["position.reduced"] = "position.reduced"
    structure: tuple[str, ...] = ClosedRow._fields
    rows: tuple[ClosedRow, ...]


class PositionsClosed(TableEvent):
    """Positions that were closed for good: by a client, a copy, a stop loss, a take profit or a stop-out."""

    type: Literal["position.closed"] = "position.closed"
    structure: tuple[str, ...] = ClosedRow._fields
    rows: tuple[ClosedRow, ...]


class PendingRow(NamedTuple):
    """A pending order. `price` triggers it (a stop-limit order then rests at `limit_price`); `expires_ms` 0: good till cancelled."""

    order: int
    login: int
    symbol: str
    side: Side
    kind: Literal["limit", "stop", "stop_limit"]
    volume: int
    price: Amount
    limit_price: Amount
    sl: Amount
    tp: Amount
    expires_ms: int
    version: int
    client_id: str
    reason: str
    equity: Amount
    balance: Amount
    credit: Amount
    leverage: int = 0
    margin_type: int = 0


class PendingPlaced(TableEvent):
    """Pending orders that were placed."""

    type: Literal["pending.placed"] = "pending.placed"
    structure: tuple[str, ...] = PendingRow._fields
    rows: tuple[PendingRow, ...]


class PendingChanged(TableEvent):
    """Pending orders whose price, stops or expiry were changed."""

    type: Literal["pending.changed"] = "pending.changed"
    structure: tuple[str, ...] = PendingRow._fields
    rows: tuple[PendingRow, ...]


class PendingGoneRow(NamedTuple):
    """A pending order that is no more. A fill opened the position with the same order id."""

    order: int
    login: int
    symbol: str
    client_id: str
    reason: str


class PendingCancelled(TableEvent):
    """Pending orders that were cancelled (`reason` says by whom) or expired (`EXPIRED`)."""

    type: Literal["pending.cancelled"] = "pending.cancelled"
    structure: tuple[str, ...] = PendingGoneRow._fields
    rows: tuple[PendingGoneRow, ...]


class PendingFilled(TableEvent):
    """Pending orders that were filled; `position.opened` with the same order id follows in the same batch."""

    type: Literal["pending.filled"] = "pending.filled"
    structure: tuple[str, ...] = PendingGoneRow._fields
    rows: tuple[PendingGoneRow, ...]


class RejectedRow(NamedTuple):
    """An order or a change that the venue refused, under the id that its sender gave it; `order` is 0 when none came to be."""

    login: int
    client_id: str
    order: int
    action: str
    reason: str
    message: str


class OrdersRejected(TableEvent):
    """Orders and changes that the venue refused for good."""

    type: Literal["order.rejected"] = "order.rejected"
    structure: tuple[str, ...] = RejectedRow._fields
    rows: tuple[RejectedRow, ...]


class BalanceRow(NamedTuple):
    """A balance operation that was carried out: `amount` is positive, `operation` gives its direction.

    `balance`, `equity` and `credit` are the account's after it.
    """

    operation_id: int
    login: int
    operation: str
    amount: Amount
    currency: str
    reason: str
    client_id: str
    api_data: str
    balance: Amount
    equity: Amount
    credit: Amount


class BalancesChanged(TableEvent):
    """Balance operations that were carried out."""

    type: Literal["balance.changed"] = "balance.changed"
    structure: tuple[str, ...] = BalanceRow._fields
    rows: tuple[BalanceRow, ...]


class RefusedRow(NamedTuple):
    """A balance operation that was refused. `final`: asking again will not help (the account is closed, the currency is another)."""

    login: int
    operation: str
    amount: Amount
    reason: str
    client_id: str
    api_data: str
    final: bool


class BalancesRefused(TableEvent):
    """Balance operations that the venue refused."""

    type: Literal["balance.refused"] = "balance.refused"
    structure: tuple[str, ...] = RefusedRow._fields
    rows: tuple[RefusedRow, ...]


class HeldRow(NamedTuple):
    """A position that an account holds now."""

    order: int
    symbol: str
    side: Side
    initial: int
    volume: int
    price: Amount
    sl: Amount
    tp: Amount
    version: int
    client_id: str
    opened_ms: int
    leverage: int = 0
    margin_type: int = 0


class AccountPositions(TableEvent):
    """All positions (rows) and pending orders of one account: the answer to a sync, and part of a snapshot.

    A large account takes several events; `first` and `last` mark the ends. `request` is the sync's own id, empty in a snapshot.
    """

    type: Literal["account.positions"] = "account.positions"
    login: int
    structure: tuple[str, ...] = HeldRow._fields
    rows: tuple[HeldRow, ...]
    pending: tuple[PendingRow, ...] = ()
    request: str = ""
    first: bool = True
    last: bool = True


TradeEvent = Annotated[
    AccountsOpened
    | AccountsChanged
    | SymbolsChanged
    | PositionsOpened
    | PositionsChanged
    | PositionsReduced
    | PositionsClosed
    | PendingPlaced
    | PendingChanged
    | PendingCancelled
    | PendingFilled
    | OrdersRejected
    | BalancesChanged
    | BalancesRefused
    | AccountPositions,
    Field(discriminator="type"),
]

TRADE_EVENTS: TypeAdapter[TradeEvent] = TypeAdapter(TradeEvent)

NO_PRICE = Decimal(0)
"""A stop loss, take profit or limit that is not set."""
