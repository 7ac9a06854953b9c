"""The rows that the executor works on while it handles events: a position that may be copied, and a link; fields as in their tables."""

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from shared.contracts.trades import ClosedRow, HeldRow, Side

from executor.links import ACTIVE, STATES
from executor.store import Link, Position, columns_of

POSITION = "position"
"""`kind` of a position; a pending order's is its own kind."""


@dataclass(slots=True)
class PositionRecord:
    """A master's position or pending order. `volume` 0: closed."""

    order: int
    login: int
    kind: str
    symbol: str
    side: Side
    initial: int
    volume: int
    price: int
    limit_price: int
    sl: int
    tp: int
    version: int
    equity: int
    balance: int
    expires_ms: int
    opened_ms: int
    closed_ms: int = 0
    leverage: int = 0
    margin_type: int = 0

    @property
    def only_noted(self) -> bool:
        """A reconcile found it, or its closing was told: nobody has told of its opening, or of the equity before it."""
        return self.kind == POSITION and not self.equity and not self.balance


def noted(row: HeldRow | ClosedRow, login: int, volume: int, price: int) -> PositionRecord:
    """A position whose opening was never seen, of which `volume` is left. Of its stops, too, nothing is known."""
    return PositionRecord(
        order=row.order,
        login=login,
        kind=POSITION,
        symbol=row.symbol,
        side=row.side,
        initial=row.initial,
        volume=volume,
        price=price,
        limit_price=0,
        sl=0,
        tp=0,
        version=0,
        equity=0,
        balance=0,
        expires_ms=0,
        opened_ms=row.opened_ms,
        leverage=row.leverage,
        margin_type=row.margin_type,
    )


@dataclass(slots=True)
class LinkRecord:
    """One copy or skip; see `store.Link` for what the fields mean."""

    id: int
    subscription: int
    master_login: int
    master_order: int
    follower_login: int
    follower_order: int
    state: int
    phase: str
    reason: str
    kind: str
    symbol: str
    side: Side
    volume: int
    volume_now: int
    target: int
    master_volume: int
    master_now: int
    price: int
    sl: int
    tp: int
    want_sl: int
    want_tp: int
    worst: int
    seen_version: int
    close_step: int
    close_volume: int
    close_reason: str
    change_step: int
    sent_ms: int
    protect_ms: int
    created_ms: int
    updated_ms: int

    def enter(self, phase: str) -> None:
        """Moves the link to a phase, and its state with it."""
        self.phase = phase
        self.state = int(STATES[phase])

    @property
    def active(self) -> bool:
        return self.phase in ACTIVE


@dataclass(slots=True)
class MasterFacts:
    """A master: whether it may be copied, by whom, and which of its trades it leads."""

    enabled: int
    follower_modes: int
    lead_symbols: str = ""
    lead_margin_type: int = -1
    unlead_from_ms: int = 0
    unlead_to_ms: int = 0


@dataclass(slots=True)
class GuardFacts:
    """A subscription's stop for losses, as its table has it."""

    subscription: int
    master_login: int
    follower_login: int
    daily_loss_percent: int
    drawdown_percent: int
    stop_action: str
    resumed_ms: int
    day: int
    day_start: int
    peak: int
    stopped_ms: int
    reason: str


def _row_of(record: type[Any]) -> Any:
    return attrgetter(*(field.name for field in fields(record)))


link_row = _row_of(LinkRecord)
_UNSET: dict[str, Any] = {field.name: 0 if field.type is int else "" for field in fields(LinkRecord)}


def new_link(values: dict[str, Any]) -> LinkRecord:
    """A link with these fields; the others are not set yet (0 or empty, as in the table)."""
    return LinkRecord(**(_UNSET | values))


position_row = _row_of(PositionRecord)

assert columns_of(Link) == tuple(field.name for field in fields(LinkRecord))
assert columns_of(Position) == tuple(field.name for field in fields(PositionRecord))
