"""What the paper venue's book is made of: accounts, positions, pending orders, and what a transaction has to write of them."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from shared.contracts.trades import REASON_COPY, Side

from gateway.decide import NONE
from gateway.paper.market import Group

Kind = Literal["limit", "stop", "stop_limit"]


@dataclass(slots=True)
class Position:
    """An open position; its order id is its own. `commission` is what opening cost in all, `swap` what is due for the open volume."""

    order: int
    login: int
    symbol: str
    side: Side
    initial: int
    volume: int
    price: Decimal
    sl: Decimal
    tp: Decimal
    version: int
    client_id: str
    reason: str
    leverage: int
    commission: Decimal
    swap: Decimal
    opened_ms: int
    margin_type: int = 0
    """0: cross, 1: isolated."""

    @property
    def copied(self) -> bool:
        return self.reason == REASON_COPY


@dataclass(slots=True)
class Pending:
    """A pending order. `armed`: a stop-limit whose price was reached and that rests at its limit. `master` is 0 for a manual one."""

    order: int
    login: int
    symbol: str
    side: Side
    kind: Kind
    volume: int
    price: Decimal
    limit_price: Decimal
    sl: Decimal
    tp: Decimal
    expires_ms: int
    version: int
    client_id: str
    reason: str
    master: int
    armed: bool = False
    leverage: int = 0
    margin_type: int = 0

    @property
    def copied(self) -> bool:
        return self.reason == REASON_COPY

    @property
    def rests_at(self) -> Decimal:
        """The price around which stops have to lie: where it would be filled."""
        return self.limit_price if self.kind == "stop_limit" else self.price


@dataclass(slots=True)
class Exposure:
    """An account's positions in one symbol as sums, from which profit and margin follow exactly, however many there are.

    `value` is the sum of volume x opening price; `margin` sums the same by leverage.
    """

    buy_volume: int = 0
    sell_volume: int = 0
    buy_value: Decimal = NONE
    sell_value: Decimal = NONE
    margin: dict[int, Decimal] = field(default_factory=dict)
    swap: Decimal = NONE

    @property
    def empty(self) -> bool:
        return self.buy_volume == 0 and self.sell_volume == 0


@dataclass(slots=True)
class Account:
    """A customer's account. Amounts are in its group's currency."""

    login: int
    customer_id: int
    group: Group
    leverage: int
    balance: Decimal
    credit: Decimal
    opened_ms: int
    positions: dict[int, Position] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    exposure: dict[str, Exposure] = field(default_factory=dict)

    @property
    def currency(self) -> str:
        return self.group.currency


class Standing(NamedTuple):
    """What an account is worth at the latest prices, unrounded."""

    equity: Decimal
    margin: Decimal


class Deal(NamedTuple):
    """One fill: `in` opened a position, `out` closed a part of it or all. Costs are negative when charged, each booked where it arose."""

    deal: int
    order: int
    login: int
    symbol: str
    side: str
    entry: Literal["in", "out"]
    volume: int
    price: Decimal
    profit: Decimal
    commission: Decimal
    swap: Decimal
    reason: str
    client_id: str
    time_ms: int


class Operation(NamedTuple):
    """One balance operation; `amount` is positive, `operation` gives its direction."""

    id: int
    login: int
    operation: str
    amount: Decimal
    reason: str
    client_id: str
    api_data: str
    time_ms: int


class Answer(NamedTuple):
    """What the venue answered to an order under a client's own id: asked again, it answers the same.

    `kind` is the event type of `row` (its JSON); `request` tells the request apart from another under the same id.
    """

    key: str
    kind: str
    row: str
    request: str = ""


class HaltState(NamedTuple):
    """A stop of copying as it was last told; one that was lifted stays known, inactive, or what is told late would begin it again."""

    id: int
    scope: str
    key: str
    mode: str
    version: int = 0
    active: int = 1


class ManualState(NamedTuple):
    """A follower's manual trading mode as it was last told. One that has ended has the version that it ended with."""

    login: int
    mode: int
    follower: int
    """Its id: an account that becomes a follower again has a higher one."""
    version: int
    ended: int

    @property
    def told(self) -> tuple[int, int, int]:
        """What is told later is higher: an end comes after the change of the same version."""
        return self.follower, self.version, self.ended


@dataclass(slots=True)
class Changes:
    """What a transaction has to write."""

    accounts: dict[int, bool] = field(default_factory=dict)
    """Logins of accounts that changed; True: it is new."""
    positions: dict[int, bool] = field(default_factory=dict)
    pending: dict[int, bool] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked_again: set[str] = field(default_factory=set)
    """Ids whose answers were given again: they are as good as new."""
    prices: set[str] = field(default_factory=set)
    numbers: bool = False
    manual: set[int] = field(default_factory=set)
    halts: set[tuple[str, str]] = field(default_factory=set)
    """Scope and key."""

    @property
    def only_prices(self) -> bool:
        """Whether nothing but prices changed."""
        return not (
            self.accounts
            or self.positions
            or self.pending
            or self.deals
            or self.operations
            or self.answers
            or self.asked_again
            or self.numbers
        )
