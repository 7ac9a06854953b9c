"""The orders and link states that one event leads to, gathered so that each goes out as few table events, in a fixed order."""

from shared.contracts import links as links_topic
from shared.contracts import orders as orders_topic
from shared.contracts.links import LinkRow, LinksChanged, LinkState
from shared.contracts.orders import (
    CancelCopies,
    CancelRow,
    CloseCopies,
    CloseRow,
    OpenCopies,
    OpenRow,
    PlaceCopies,
    PlaceRow,
    ProtectCopies,
    ProtectRow,
    ReplaceCopies,
    ReplaceRow,
    SyncAccounts,
)
from shared.contracts.trades import HeldRow, OpenedRow, PendingRow
from shared.ids import CopyId
from shared.store.work import Work

from executor.amounts import amount
from executor.decide import pending_kind
from executor.distance import Levels
from executor.records import LinkRecord, PositionRecord

ORPHAN, MANUAL = "ORPHAN", "MANUAL_TRADING_DISABLED"


class Outgoing:
    """What goes out with the event that is being handled."""

    def __init__(self) -> None:
        self._opens: dict[tuple[int, int, str, int], list[OpenRow]] = {}
        self._places: dict[tuple[int, int, str, str, int], list[PlaceRow]] = {}
        self._replaces: dict[tuple[int, int], list[ReplaceRow]] = {}
        self._cancels: dict[tuple[int, str], list[CancelRow]] = {}
        self._protects: dict[int, list[ProtectRow]] = {}
        self._closes: dict[tuple[int, str], list[CloseRow]] = {}
        self._syncs: list[SyncAccounts] = []
        self._links: dict[tuple[int, int], LinkRecord] = {}
        self._symbols: dict[int, str] = {}

    def open(self, link: LinkRecord, position: PositionRecord | None, leverage: int, stops: tuple[int, int]) -> None:
        """Open the copy of a master's position at market, with this stop loss and take profit; `leverage` 0: the account's."""
        price, margin_type = (position.price, position.margin_type) if position else (0, 0)
        row = OpenRow(
            link.id, link.follower_login, link.side, link.volume, amount(stops[0]), amount(stops[1]), link.subscription,
            amount(link.worst), leverage, margin_type,
        )  # fmt: skip
        self._opens.setdefault((link.master_order, link.master_login, link.symbol, price), []).append(row)

    def place(self, link: LinkRecord, position: PositionRecord, leverage: int, levels: Levels) -> None:
        """Place the pending copy of a master's pending order, at these levels."""
        kind = pending_kind(position.kind, int(link.side != position.side))
        row = PlaceRow(
            link.id, link.follower_login, link.side, link.volume, amount(levels.price), amount(levels.limit_price), amount(levels.sl),
            amount(levels.tp), link.subscription, leverage, position.margin_type,
        )  # fmt: skip
        self._places.setdefault((link.master_order, link.master_login, link.symbol, kind, position.expires_ms), []).append(row)

    def replace(self, link: LinkRecord, levels: Levels, expires_ms: int) -> None:
        """Change the pending copy, under the link's current change step."""
        row = ReplaceRow(
            link.id, link.follower_login, link.follower_order, amount(levels.price), amount(levels.limit_price), amount(levels.sl),
            amount(levels.tp), link.subscription, link.change_step,
        )  # fmt: skip
        self._replaces.setdefault((link.master_order, expires_ms), []).append(row)

    def cancel(self, link: LinkRecord) -> None:
        """Cancel the pending copy, under the link's current close step."""
        row = CancelRow(link.id, link.follower_login, link.follower_order, link.subscription, link.close_step)
        self._cancels.setdefault((link.master_order, link.close_reason), []).append(row)

    def protect(self, link: LinkRecord, stops: tuple[int, int]) -> None:
        """Set the copy's stop loss and take profit, under the link's current change step."""
        row = ProtectRow(
            link.id, link.follower_login, link.follower_order, amount(stops[0]), amount(stops[1]), link.subscription, link.change_step
        )
        self._protects.setdefault(link.master_order, []).append(row)

    def close(self, link: LinkRecord) -> None:
        """Close the link's `close_volume`, under its current close step."""
        row = CloseRow(link.id, link.follower_login, link.follower_order, link.close_volume, link.subscription, link.close_step)
        self._closes.setdefault((link.master_order, link.close_reason), []).append(row)

    def close_orphan(self, copy: CopyId, login: int, held: HeldRow, link: int) -> None:
        """Close a copied position that no link explains. Its order id is the step: an id that no close of the link can have."""
        row = CloseRow(link, login, held.order, held.volume, copy.subscription, held.order)
        self._closes.setdefault((copy.master_order, ORPHAN), []).append(row)

    def close_forbidden(self, row: OpenedRow) -> None:
        """Close a position that a follower may not have opened by hand: no copy, so subscription 0 and its own order are its id."""
        closing = CloseRow(0, row.login, row.order, row.volume, 0, 1)
        self._closes.setdefault((row.order, MANUAL), []).append(closing)

    def cancel_forbidden(self, row: PendingRow) -> None:
        """Cancel a pending order that a follower may not have placed by hand, under an id like that of `close_forbidden`."""
        self._cancels.setdefault((row.order, MANUAL), []).append(CancelRow(0, row.login, row.order, 0, 1))

    def sync(self, logins: tuple[int, ...], request: str) -> None:
        """Ask what accounts hold."""
        self._syncs.append(SyncAccounts(logins=logins, request=request))

    def tell(self, link: LinkRecord, master_symbol: str) -> None:
        """The link's state is to be told, as it is when the event has been handled."""
        self._links[link.master_order, link.subscription] = link
        self._symbols[link.master_order] = master_symbol

    def emit(self, work: Work, inputs: str = "") -> None:
        """Sends everything. A cancel goes before what replaces it, an opening before its closing.

        `inputs`: the links are decisions, which were made from this.
        """
        for (order, reason), cancels in self._cancels.items():
            work.emit(orders_topic.TOPIC, CancelCopies.of(cancels, master_order=order, reason=reason))
        for (order, login, symbol, price), opens in self._opens.items():
            work.emit(orders_topic.TOPIC, OpenCopies.of(opens, master_order=order, master_login=login, symbol=symbol, price=amount(price)))
        for (order, login, symbol, kind, expires), places in self._places.items():
            work.emit(
                orders_topic.TOPIC,
                PlaceCopies.of(places, master_order=order, master_login=login, symbol=symbol, kind=kind, expires_ms=expires),
            )
        for (order, expires), replaces in self._replaces.items():
            work.emit(orders_topic.TOPIC, ReplaceCopies.of(replaces, master_order=order, expires_ms=expires))
        for order, protects in self._protects.items():
            work.emit(orders_topic.TOPIC, ProtectCopies.of(protects, master_order=order))
        for (order, reason), closes in self._closes.items():
            work.emit(orders_topic.TOPIC, CloseCopies.of(closes, master_order=order, reason=reason))
        for sync in self._syncs:
            work.emit(orders_topic.TOPIC, sync)
        self._emit_links(work, inputs)

    def _emit_links(self, work: Work, inputs: str) -> None:
        by_order: dict[int, list[LinkRecord]] = {}
        for link in self._links.values():
            by_order.setdefault(link.master_order, []).append(link)
        for order, links in by_order.items():
            rows = [told(link) for link in links]
            work.emit(
                links_topic.TOPIC,
                LinksChanged.of(
                    rows, master_login=links[0].master_login, master_order=order, master_symbol=self._symbols[order], inputs=inputs
                ),
            )


def told(link: LinkRecord) -> LinkRow:
    """A link as `copy.link` tells it."""
    return LinkRow(
        link.id,
        link.subscription,
        link.follower_login,
        link.follower_order,
        LinkState(link.state),
        link.phase,
        link.reason,
        link.symbol,
        link.side,
        link.volume,
        link.volume_now,
        link.master_volume,
        link.master_now,
        amount(link.price),
        amount(link.sl),
        amount(link.tp),
        link.created_ms,
        link.updated_ms,
    )
