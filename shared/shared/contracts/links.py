"""`copy.link`: each copy decision and each state of a trade link, told by the executor."""

from enum import IntEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from shared.contracts.event import Amount, TableEvent
from shared.contracts.trades import Side

TOPIC = "copy.link"


class LinkState(IntEnum):
    """The specification's trade link states."""

    ACTIVE = 0
    CLOSED = 1
    FAILED = 2
    CANCELLED = 3


class LinkRow(NamedTuple):
    """A trade link as it stands.

    `phase` tells more than the specification's `state`: opening, open, closing, closed, rejected, skipped, detached, pending.
    A skip is a link that was never opened: state CANCELLED, phase `skipped`, `reason` why. `volume` is what the follower got at first,
    `volume_now` what is open; `master_volume` and `master_volume_now` are the master's, all in integer units. What a decision was made
    from stands once for all rows, in the event's `inputs`; a row's own is empty. Times are Unix milliseconds.
    """

    link: int
    subscription: int
    follower_login: int
    follower_order: int
    state: LinkState
    phase: str
    reason: str
    symbol: str
    side: Side
    volume: int
    volume_now: int
    master_volume: int
    master_volume_now: int
    price: Amount
    sl: Amount
    tp: Amount
    created_ms: int
    updated_ms: int
    inputs: str = ""


class LinksChanged(TableEvent):
    """Links of one master order that were made or have changed.

    `inputs`, sent with the decision itself and empty in later states, is the JSON of everything that the rows' decisions were made from:
    `signal`, `policy`, `terms` (by place), and as tables of columns `which` (the row's terms), `rules`, `standing` and `result`. A column
    is a list, one value for each row in the order of `rules.subscription`, or the one value that all rows have.
    """

    type: Literal["link.changed"] = "link.changed"
    master_login: int
    master_order: int
    master_symbol: str
    structure: tuple[str, ...] = LinkRow._fields
    rows: tuple[LinkRow, ...]
    inputs: str = ""


LinkEvent = Annotated[LinksChanged, Field(discriminator="type")]

LINK_EVENTS: TypeAdapter[LinksChanged] = TypeAdapter(LinksChanged)
