"""What the stats service does on each event of copying: links, fills, followers' closings and rewards into masters' days of being copied.

A master whose day has changed is told by the timer, a second later at most: a fan-out to ten thousand followers is told once.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from shared.bus.reader import Received
from shared.contracts.links import LinksChanged
from shared.contracts.rewards import AccrualsChanged, AccrualState, RewardEvent
from shared.contracts.trades import ClosedRow, OpenedRow
from shared.ids import CopyId, is_copy, parse_copy_client_id
from shared.store.work import Work

from stats import copystore, store
from stats.amounts import units
from stats.copying import Outcome, bucket, least_capital, outcome, share_of, slippage
from stats.copystore import Copier, Key
from stats.days import Calendar
from stats.trades import Deal

CHARGED = frozenset({AccrualState.CHARGED, AccrualState.PAID})
COUNTED = {Outcome.COPIED: "copied", Outcome.MISSED: "missed"}

Added = defaultdict[tuple[int, int], Counter[str]]
"""What to add to masters' days, by login and day."""


class CopyFlow:
    """The handlers of `copy.link` and `reward.accrual`, and what trades have to do with copying."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    async def on_links(self, batch: Received[LinksChanged], work: Work) -> None:
        """Counts what became of copies, each once however often it is told."""
        latest: dict[Key, tuple[int, Outcome]] = {}
        owners: dict[Key, int] = {}
        for event in batch.events:
            for row in event.rows:
                key = (event.master_order, row.subscription)
                latest[key] = (row.created_ms, outcome(row.state, row.phase, row.reason, row.follower_order))
                owners[key] = event.master_login
        known = await copystore.copies(work.session, latest)
        own = {key for key, copier in (await copystore.copiers(work.session, {one for _, one in latest})).items() if copier.own}
        added: Added = defaultdict(Counter)
        changed: dict[Key, tuple[int, Outcome, bool]] = {}
        for key, (created_ms, now) in latest.items():
            day, before, filled = known.get(key, (self._calendar.day(created_ms), Outcome.PENDING, False))
            if (key in known and now == before) or before == Outcome.COPIED:
                continue
            changed[key] = (day, now, filled)
            if key[1] not in own:
                for one, factor in ((before, -1), (now, 1)):
                    if one in COUNTED:
                        added[owners[key], day][COUNTED[one]] += factor
        await copystore.save_copies(work.session, changed)
        await self._add(work, added)

    async def opened(self, work: Work, rows: Sequence[OpenedRow]) -> None:
        """Keeps what can be copied, and compares what was copied with it."""
        await copystore.save_opened(work.session, [row for row in rows if not is_copy(row.client_id)])
        fills = {(copy.master_order, copy.subscription): row for row in rows if (copy := parse_copy_client_id(row.client_id)) is not None}
        if not fills:
            return
        known = await copystore.copies(work.session, fills)
        masters = await copystore.openings(work.session, {order for order, _ in fills})
        copiers = await copystore.copiers(work.session, {subscription for _, subscription in fills})
        symbols = await copystore.symbols(work.session, {row.symbol for row in fills.values()})
        added: Added = defaultdict(Counter)
        latencies: Counter[tuple[int, int, int]] = Counter()
        changed: dict[Key, tuple[int, Outcome, bool]] = {}
        for key, row in fills.items():
            day = self._calendar.day(row.opened_ms)
            since, became, filled = known.get(key, (day, Outcome.PENDING, False))
            if filled:
                continue
            changed[key] = (since, became, True)
            master, copier = masters.get(key[0]), copiers.get(key[1])
            if master is None or copier is None or copier.own or copier.created_ms > master.opened_ms:
                continue  # a position that was open before the subscription was copied late on purpose
            latencies[copier.master_login, day, bucket(row.opened_ms - master.opened_ms)] += 1
            points, bps = slippage(row.side, units(row.price), master.price, symbols.get(row.symbol, (0, 0))[0])
            added[copier.master_login, day].update({"fills": 1, "points": points, "bps": bps})
        await copystore.save_copies(work.session, changed)
        await copystore.add_latencies(work.session, latencies)
        await self._add(work, added)

    async def capitals(self, work: Work, rows: Sequence[ClosedRow]) -> list[int | None]:
        """The least capital of each closing's position; the positions that are closed for good are no longer needed."""
        own = [row.order for row in rows if not is_copy(row.position_client_id)]
        if not own:
            return [None] * len(rows)
        opened = await copystore.openings(work.session, own)
        if not opened:
            return [None] * len(rows)
        symbols = await copystore.symbols(work.session, {row.symbol for row in rows})
        await copystore.close_openings(work.session, [row.order for row in rows if row.left == 0], work.now)
        capitals = []
        for row in rows:
            found, symbol = opened.get(row.order), symbols.get(row.symbol)
            capitals.append(least_capital(found.equity, row.initial, symbol[1]) if found and symbol else None)
        return capitals

    async def closed(self, work: Work, deals: Sequence[tuple[ClosedRow, Deal]]) -> None:
        """What followers' closed copies made of the money that they allocated."""
        copies: list[tuple[CopyId, Deal]] = []
        for row, deal in deals:
            copy = parse_copy_client_id(row.position_client_id)
            if copy is not None:
                copies.append((copy, deal))
        if not copies:
            return
        copiers = await copystore.copiers(work.session, {copy.subscription for copy, _ in copies})
        profits: Counter[int] = Counter()
        added: Added = defaultdict(Counter)
        for copy, deal in copies:
            copier = copiers.get(copy.subscription)
            if copier is not None and not copier.own:
                profits[copier.id] += deal.net
                made = share_of(deal.net, copier.day_base, copier.allocation)
                added[copier.master_login, self._calendar.day(deal.closed_ms)]["made"] += made
        await copystore.add_profits(work.session, profits)
        await self._add(work, added)

    async def on_accruals(self, batch: Received[RewardEvent], work: Work) -> None:
        """What rewards took of the money that followers allocated; a refund gives it back."""
        rows = {row.id: row for event in batch.events if isinstance(event, AccrualsChanged) for row in event.rows}
        known = await copystore.accruals(work.session, rows)
        charged = {key: row for key, row in rows.items() if row.state in CHARGED and not known.get(key, (False, False))[1]}
        refunds = [row for key, row in rows.items() if row.ref_accrual_id and key not in known and key not in charged]
        copiers = await copystore.copiers(work.session, {row.subscription_id for row in charged.values()})
        added: Added = defaultdict(Counter)
        for row in charged.values():
            copier: Copier | None = copiers.get(row.subscription_id)
            if copier is not None and not copier.own:
                fee = units(row.fee_amount) * (-1 if row.ref_accrual_id else 1)
                added[copier.master_login, self._calendar.day(row.updated_ms)]["paid"] += share_of(fee, copier.day_base, copier.allocation)
        await copystore.save_accruals(work.session, [*((row, True) for row in charged.values()), *((row, False) for row in refunds)])
        await self._add(work, added)

    async def _add(self, work: Work, added: Added) -> None:
        await copystore.add_days(work.session, added)
        await store.mark_stale(work.session, {login for login, _ in added})
