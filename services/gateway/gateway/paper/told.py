"""What one operation has to tell on `trade.push`, gathered row by row and told table by table, and kept as answers to be given again."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic_core import to_json
from shared.contracts import trades
from shared.contracts.event import TableEvent

ORDER: tuple[type[TableEvent], ...] = (
    trades.AccountsOpened,
    trades.PendingPlaced,
    trades.PendingChanged,
    trades.PendingCancelled,
    trades.PendingFilled,
    trades.PositionsOpened,
    trades.PositionsChanged,
    trades.PositionsReduced,
    trades.PositionsClosed,
    trades.OrdersRejected,
    trades.BalancesChanged,
    trades.BalancesRefused,
)
"""What happened first is told first: an order is filled before its position opens, and that opens before it closes."""

_ROWS: dict[str, tuple[type[TableEvent], TypeAdapter[Any]]] = {
    event.model_fields["type"].default: (event, TypeAdapter(get_args(event.model_fields["rows"].annotation)[0])) for event in ORDER
}
_KINDS: dict[type[TableEvent], str] = {event: event.model_fields["type"].default for event in ORDER}


class Told:
    """The rows of one operation, and the accounts that it touched."""

    def __init__(self) -> None:
        self._rows: dict[type[TableEvent], list[Any]] = {}
        self.touched: dict[int, None] = {}

    def add(self, event: type[TableEvent], row: Any) -> None:
        self._rows.setdefault(event, []).append(row)

    def touch(self, login: int) -> None:
        """The account has a new state, to be told after everything else."""
        self.touched[login] = None

    def events(self, account_row: Callable[[int], trades.AccountRow]) -> Iterator[TableEvent]:
        """The tables in their order, the touched accounts last."""
        for event in ORDER:
            rows = self._rows.get(event)
            if rows:
                yield event.of(rows)
        if self.touched:
            yield trades.AccountsChanged.of([account_row(login) for login in self.touched])


def kind_of(event: type[TableEvent]) -> str:
    """The event's type on the wire."""
    return _KINDS[event]


def row_json(row: Iterable[Any]) -> str:
    """A row as it is kept: a JSON array, amounts as decimal strings."""
    return to_json(row).decode()


def row_again(kind: str, text: str) -> tuple[type[TableEvent], Any]:
    """A kept row and the event that tells it."""
    event, adapter = _ROWS[kind]
    return event, adapter.validate_json(text)
