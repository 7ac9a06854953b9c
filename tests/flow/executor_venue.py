"""A small venue that carries out copy orders as it is told, in memory."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from shared.bus.reader import Received
from shared.contracts import orders, trades
from shared.ids import copy_client_id
from shared.store.work import Work

D = Decimal


class Venue:
    """Positions and pending orders by order id. `deaf`: takes orders and answers nothing. `refuse`: reason by action."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """`clock`: Unix milliseconds."""
        self.clock = clock
        self.deals = 0
        """The last deal's number."""
        self.positions: dict[int, dict[str, Any]] = {}
        self.pending: dict[int, dict[str, Any]] = {}
        self.done: dict[str, tuple[str, Any]] = {}
        self.seen: list[Any] = []
        self.refuse: dict[str, str] = {}
        self.deaf = False
        self.next_order = 50_000
        self.price: dict[str, Decimal] = {}

    async def on_orders(self, batch: Received[Any], work: Work) -> None:
        for event in batch.events:
            work.cause = event
            self.seen.append(event)
            if not self.deaf:
                self.carry_out(event, work)

    def carry_out(self, event: Any, work: Work) -> None:
        if isinstance(event, orders.SyncAccounts):
            for login in event.logins:
                work.emit(trades.TOPIC, self.held(login, event.request))
            return
        action, do = {
            orders.OpenCopies: ("open", self._open),
            orders.CloseCopies: ("close", self._close),
            orders.ProtectCopies: ("protect", self._protect),
            orders.PlaceCopies: ("place", self._place),
            orders.ReplaceCopies: ("replace", self._replace),
            orders.CancelCopies: ("cancel", self._cancel),
        }[type(event)]
        for row in event.rows:
            step = 0 if action in {"open", "place"} else row.step
            self.once(work, copy_client_id(row.subscription, event.master_order, action, step), action, do, event, row)

    def once(self, work: Work, client_id: str, action: str, do: Any, event: Any, row: Any) -> None:
        """The same client id has one effect, and the same answer each time."""
        if client_id not in self.done:
            reason = self.refuse.get(action, "")
            answer = self._rejected(row, client_id, action, reason) if reason else do(event, row, client_id)
            self.done[client_id] = (action, answer)
        work.emit(trades.TOPIC, self.done[client_id][1])

    def _rejected(self, row: Any, client_id: str, action: str, reason: str) -> Any:
        return trades.OrdersRejected.of([trades.RejectedRow(row.login, client_id, 0, action, reason, "")])

    def _open(self, event: Any, row: Any, client_id: str) -> Any:
        self.next_order += 1
        price = self.price.get(event.symbol, event.price)
        self.positions[self.next_order] = {
            "login": row.login, "symbol": event.symbol, "side": row.side, "initial": row.volume, "volume": row.volume, "price": price,
            "sl": row.sl, "tp": row.tp, "client_id": client_id, "version": 1,
        }  # fmt: skip
        return trades.PositionsOpened.of([self.opened_row(self.next_order)])

    def opened_row(self, order: int) -> trades.OpenedRow:
        p = self.positions[order]
        return trades.OpenedRow(
            order, p["login"], p["symbol"], p["side"], p["initial"], p["price"], p["sl"], p["tp"], p["client_id"],
            trades.REASON_COPY, D(0), D(10000), D(10000), D(0), self.clock(),
        )  # fmt: skip

    def _find(self, event: Any, row: Any) -> int | None:
        if row.order in self.positions:
            return int(row.order)
        wanted = {copy_client_id(row.subscription, event.master_order, action) for action in ("open", "place")}
        return next((order for order, p in self.positions.items() if p["client_id"] in wanted and p["volume"]), None)

    def _close(self, event: Any, row: Any, client_id: str) -> Any:
        order = self._find(event, row)
        if order is None or not self.positions[order]["volume"]:
            return self._rejected(row, client_id, "close", "POSITION_NOT_FOUND")
        return self.closing(order, row.volume, trades.REASON_COPY, client_id)

    def closing(self, order: int, volume: int, reason: str, client_id: str = "") -> Any:
        """Closes a part (or all there is) of a position."""
        p = self.positions[order]
        volume = min(volume, p["volume"])
        p["volume"] -= volume
        self.deals += 1
        row = trades.ClosedRow(
            order, self.deals, p["login"], p["symbol"], p["side"], p["initial"], volume, p["volume"], p["price"], p["price"],
            D(0), D(0), D(0), reason, client_id, p["client_id"], 0, self.clock(),
        )  # fmt: skip
        return (trades.PositionsReduced if p["volume"] else trades.PositionsClosed).of([row])

    def _protect(self, event: Any, row: Any, client_id: str) -> Any:
        order = self._find(event, row)
        if order is None:
            return self._rejected(row, client_id, "protect", "POSITION_NOT_FOUND")
        return self.stops(order, row.sl, row.tp, client_id)

    def stops(self, order: int, sl: Decimal, tp: Decimal, client_id: str = "") -> Any:
        p = self.positions[order]
        p["sl"], p["tp"], p["version"] = sl, tp, p["version"] + 1
        return trades.PositionsChanged.of([trades.ChangedRow(order, p["login"], p["symbol"], sl, tp, p["version"], client_id)])

    def _place(self, event: Any, row: Any, client_id: str) -> Any:
        self.next_order += 1
        self.pending[self.next_order] = {
            "order": self.next_order, "login": row.login, "symbol": event.symbol, "side": row.side, "kind": event.kind,
            "volume": row.volume,
            "price": row.price, "limit_price": row.limit_price, "sl": row.sl, "tp": row.tp, "expires_ms": event.expires_ms, "version": 1,
            "client_id": client_id, "reason": trades.REASON_COPY, "equity": D(0), "balance": D(0), "credit": D(0),
        }  # fmt: skip
        return trades.PendingPlaced.of([trades.PendingRow(**self.pending[self.next_order])])

    def _pending(self, event: Any, row: Any) -> int | None:
        wanted = copy_client_id(row.subscription, event.master_order, "place")
        return next((order for order, p in self.pending.items() if p["client_id"] == wanted), None)

    def _replace(self, event: Any, row: Any, client_id: str) -> Any:
        order = self._pending(event, row)
        if order is None:
            return self._rejected(row, client_id, "replace", "ORDER_NOT_FOUND")
        p = self.pending[order]
        p.update(price=row.price, limit_price=row.limit_price, sl=row.sl, tp=row.tp, expires_ms=event.expires_ms, version=p["version"] + 1)
        return trades.PendingChanged.of([trades.PendingRow(**p)])

    def _cancel(self, event: Any, row: Any, client_id: str) -> Any:
        order = self._pending(event, row)
        if order is None:
            return self._rejected(row, client_id, "cancel", "ORDER_NOT_FOUND")
        p = self.pending.pop(order)
        return trades.PendingCancelled.of([trades.PendingGoneRow(order, p["login"], p["symbol"], p["client_id"], "CANCELLED")])

    def fill_pending(self, order: int) -> list[Any]:
        """A resting copy is filled: the position has the pending order's id."""
        p = self.pending.pop(order)
        self.positions[order] = {
            "login": p["login"], "symbol": p["symbol"], "side": p["side"], "initial": p["volume"], "volume": p["volume"],
            "price": p["price"], "sl": p["sl"], "tp": p["tp"], "client_id": p["client_id"], "version": 1,
        }  # fmt: skip
        gone = trades.PendingGoneRow(order, p["login"], p["symbol"], p["client_id"], "FILLED")
        return [trades.PendingFilled.of([gone]), trades.PositionsOpened.of([self.opened_row(order)])]

    def held(self, login: int, request: str) -> Any:
        """All that an account holds."""
        rows = [
            trades.HeldRow(
                order, p["symbol"], p["side"], p["initial"], p["volume"], p["price"], p["sl"], p["tp"], p["version"], p["client_id"], 0
            )
            for order, p in self.positions.items()
            if p["login"] == login and p["volume"]
        ]
        resting = tuple(trades.PendingRow(**p) for p in self.pending.values() if p["login"] == login)
        return trades.AccountPositions.of(rows, login=login, pending=resting, request=request, first=True, last=True)
