"""Pushes: what the topics tell, handed on to whoever subscribed to a channel, once this service has committed that it was read."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from shared.bus.reader import Handler, Received
from shared.contracts import trades
from shared.contracts.links import LinksChanged
from shared.contracts.rewards import AccrualsChanged
from shared.service import Read
from shared.store.work import Store, Work

from api.views import number

CHANNELS = ("trade:event", "balance:event", "user:event", "symbol:event", "link:event", "accrual:event")
WAITING_MAX = 10_000
"""Batches that wait for their commit, or were met; beyond it the oldest are dropped: pushes are news, the tables are the truth."""

Key = TypeVar("Key")
Value = TypeVar("Value")
Json = dict[str, Any]
Listener = Callable[[str, Json], None]

TYPES: dict[type, tuple[str, str]] = {
    trades.PositionsOpened: ("trade:event", "open"),
    trades.PositionsChanged: ("trade:event", "update"),
    trades.PositionsReduced: ("trade:event", "close_part"),
    trades.PositionsClosed: ("trade:event", "close"),
    trades.PendingPlaced: ("trade:event", "pending_open"),
    trades.PendingChanged: ("trade:event", "pending_update"),
    trades.PendingCancelled: ("trade:event", "pending_cancel"),
    trades.PendingFilled: ("trade:event", "pending_fill"),
    trades.OrdersRejected: ("trade:event", "reject"),
    trades.BalancesChanged: ("balance:event", "balance"),
    trades.BalancesRefused: ("balance:event", "refuse"),
    trades.AccountsOpened: ("user:event", "add"),
    trades.AccountsChanged: ("user:event", "update"),
    trades.SymbolsChanged: ("symbol:event", "update"),
    LinksChanged: ("link:event", "update"),
    AccrualsChanged: ("accrual:event", "update"),
}


class Pushes:
    """Collects what handlers are given, and tells it after the commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: set[Listener] = set()
        self._waiting: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._seen: dict[tuple[str, int], None] = {}
        """Batches that were met lately: one that is read once more is not told once more."""

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def reads(self, reads: Mapping[str, Read]) -> dict[str, Read]:
        """The same readings, with an ear on each, and on what other instances have handled: their commits are told of here, too."""
        return {topic: Read(read.events, self._heard(read.handler), self._overheard) for topic, read in reads.items()}

    async def run(self) -> None:
        """Tells what was committed; runs as long as the service does."""
        while True:
            self.tell()
            await self._store.places.wait(1.0)

    def tell(self) -> None:
        """Tells everything whose commit is known."""
        for key in sorted(self._waiting):
            stream, number_ = key
            if self._store.places[stream] < number_:
                continue
            for event in self._waiting.pop(key):
                for channel, message in messages(event):
                    for listener in list(self._listeners):
                        listener(channel, message)

    def _heard(self, handler: Handler) -> Handler:
        async def handle(batch: Received[Any], work: Work) -> None:
            await handler(batch, work)
            self._meet(batch.stream, batch.number, lambda: batch)

        return handle

    def _overheard(self, stream: str, number_: int, content: Callable[[], Received[Any] | None]) -> None:
        """An entry that was read and not handled: another instance was faster, or this one has handled it before."""
        if (stream, number_) not in self._seen:
            self._meet(stream, number_, content)

    def _meet(self, stream: str, number_: int, content: Callable[[], Received[Any] | None]) -> None:
        key = stream, number_
        _bounded(self._seen, key, None)
        if self._listeners and (batch := content()) is not None:
            _bounded(self._waiting, key, batch.events)


def _bounded(kept: dict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    while len(kept) > WAITING_MAX:
        kept.pop(next(iter(kept)))


def messages(event: Any) -> Iterator[tuple[str, Json]]:
    """The pushes of one event: `{"event": channel, "type", "data"}` for each of its rows."""
    if type(event) not in TYPES:
        return
    channel, kind = TYPES[type(event)]
    more = {"master_login": event.master_login, "master_order": event.master_order} if isinstance(event, LinksChanged) else {}
    for row in event.rows:
        data = {name: number(value) if isinstance(value, Decimal) else value for name, value in row._asdict().items()}
        yield channel, {"event": channel, "type": kind, "data": data | more | {"timestamp": event.time // 1000}}
