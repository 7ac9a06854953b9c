"""`copy.order`: what the executor wants done on the venue. Each row's client order id is derived, so a repeated row is the same order."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from shared.contracts.event import Amount, Event, TableEvent
from shared.contracts.trades import Side

TOPIC = "copy.order"


class OpenRow(NamedTuple):
    """One copy to open: client order id `copy_client_id(subscription, master_order, "open")`.

    `worst_price` bounds the fill (0: none): a buy above it, a sell below it, is refused with `PRICE_MOVED`. `leverage` 0: the account's;
    `margin_type` 0: cross, 1: isolated.
    """

    link: int
    login: int
    side: Side
    volume: int
    sl: Amount
    tp: Amount
    subscription: int
    worst_price: Amount
    leverage: int = 0
    margin_type: int = 0


class OpenCopies(TableEvent):
    """Open a copy of one master order for many followers. `symbol` is the followers', `price` what the master got."""

    type: Literal["copy.open"] = "copy.open"
    master_order: int
    master_login: int
    symbol: str
    price: Amount
    structure: tuple[str, ...] = OpenRow._fields
    rows: tuple[OpenRow, ...]


class CloseRow(NamedTuple):
    """Close `volume` of the follower's position `order`: client order id `copy_client_id(subscription, master_order, "close", step)`.

    `order` is 0 while the opening is not confirmed: the venue then finds the position by the opening's client order id.
    """

    link: int
    login: int
    order: int
    volume: int
    subscription: int
    step: int


class CloseCopies(TableEvent):
    """Close copies of one master order, in part or whole. `reason` says why (the master's close, an unsubscription, a guard)."""

    type: Literal["copy.close"] = "copy.close"
    master_order: int
    reason: str
    structure: tuple[str, ...] = CloseRow._fields
    rows: tuple[CloseRow, ...]


class ProtectRow(NamedTuple):
    """Set the stop loss and take profit of the follower's `order`: id `copy_client_id(subscription, master_order, "protect", step)`."""

    link: int
    login: int
    order: int
    sl: Amount
    tp: Amount
    subscription: int
    step: int


class ProtectCopies(TableEvent):
    """Change stop loss and take profit of copies of one master order."""

    type: Literal["copy.protect"] = "copy.protect"
    master_order: int
    structure: tuple[str, ...] = ProtectRow._fields
    rows: tuple[ProtectRow, ...]


class PlaceRow(NamedTuple):
    """One pending copy to place: client order id `copy_client_id(subscription, master_order, "place")`."""

    link: int
    login: int
    side: Side
    volume: int
    price: Amount
    limit_price: Amount
    sl: Amount
    tp: Amount
    subscription: int
    leverage: int = 0
    margin_type: int = 0


class PlaceCopies(TableEvent):
    """Place a pending copy of one master's pending order for many followers."""

    type: Literal["copy.place"] = "copy.place"
    master_order: int
    master_login: int
    symbol: str
    kind: Literal["limit", "stop", "stop_limit"]
    expires_ms: int
    structure: tuple[str, ...] = PlaceRow._fields
    rows: tuple[PlaceRow, ...]


class ReplaceRow(NamedTuple):
    """Change a pending copy: client order id `copy_client_id(subscription, master_order, "replace", step)`."""

    link: int
    login: int
    order: int
    price: Amount
    limit_price: Amount
    sl: Amount
    tp: Amount
    subscription: int
    step: int


class ReplaceCopies(TableEvent):
    """Change the price, stops or expiry of pending copies of one master's pending order."""

    type: Literal["copy.replace"] = "copy.replace"
    master_order: int
    expires_ms: int
    structure: tuple[str, ...] = ReplaceRow._fields
    rows: tuple[ReplaceRow, ...]


class CancelRow(NamedTuple):
    """Cancel a pending copy: client order id `copy_client_id(subscription, master_order, "cancel", step)`."""

    link: int
    login: int
    order: int
    subscription: int
    step: int


class CancelCopies(TableEvent):
    """Cancel pending copies of one master's pending order."""

    type: Literal["copy.cancel"] = "copy.cancel"
    master_order: int
    reason: str
    structure: tuple[str, ...] = CancelRow._fields
    rows: tuple[CancelRow, ...]


class SyncAccounts(Event):
    """Tell all positions and pending orders of these accounts (`account.positions`)."""

    type: Literal["account.sync"] = "account.sync"
    logins: tuple[int, ...]
    request: str


OrderEvent = Annotated[
    OpenCopies | CloseCopies | ProtectCopies | PlaceCopies | ReplaceCopies | CancelCopies | SyncAccounts,
    Field(discriminator="type"),
]

ORDER_EVENTS: TypeAdapter[OrderEvent] = TypeAdapter(OrderEvent)
