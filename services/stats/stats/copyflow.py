"""What the stats service does on each event of copying: links, fills, followers' closings and rewards into masters' days of being copied.

A master whose day has changed is told by the timer, a second later at most: a fan-out to ten thousand followers is told once.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from shared.bus.reader import Received
from shared.contracts.links import LinksChanged
from shared.contracts.rewards import AccrualRow, AccrualsChanged, AccrualState, RewardEvent
from shared.contracts.trades import ClosedRow, OpenedRow
from shared.ids import is_copy, parse_copy_client_id
from shared.store.work import Work

from stats import copystore, store
from stats.amounts import units
from stats.copying import Outcome, bucket, least_capital, outcome, share_of, slippage
from stats.copystore import Charge, Copier, Copy, Key
from stats.days import Calendar
from stats.trades import Deal

CHARGED = frozenset({AccrualState.CHARGED, AccrualState.PAID})
COUNTED = {Outcome.COPIED: "copied", Outcome.MISSED: "missed"}
GIVEN_UP = frozenset({Outcome.MISSED, Outcome.NOT_DUE})
BEGUN = frozenset({"opening", "pending"})
"""Phases that a link which was given up comes to only when existing positions are asked for."""

Added = defaultdict[tuple[int, int], Counter[str]]
"""What to add to masters' days, by login and day."""


class CopyFlow:
    """The handlers of `copy.link` and `reward.accrual`, and what trades have to do with copying."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    async def on_links(self, batch: Received[LinksChanged], work: Work) -> None:
        """Counts what became of copies, each once however often it is told. One that was skipped and is then begun is late on purpose
        (somebody asked for existing positions): its fill is none to measure."""
        told = [((event.master_order, row.subscription), event.master_login, row) for event in batch.events for row in event.rows]
        copies = await copystore.copies(work.session, {key for key, _, _ in told})
        own = {key for key, copier in (await copystore.copiers(work.session, {key[1] for key, _, _ in told})).items() if copier.own}
        added: Added = defaultdict(Counter)
        changed: dict[Key, Copy] = {}
        for key, master_login, row in told:
            now = outcome(row.state, row.phase, row.reason, row.follower_order)
            copy = copies.get(key) or Copy(self._calendar.day(row.created_ms), Outcome.PENDING, 0, int(key[1] in own))
            if (key in copies and now == copy.outcome) or copy.outcome == Outcome.COPIED:
                continue
            late = copy.outcome in GIVEN_UP and row.phase in BEGUN
            copies[key] = changed[key] = copy._replace(outcome=now, filled=int(copy.filled or late))
            if not copy.own:
                for one, factor in ((copy.outcome, -1), (now, 1)):
                    if one in COUNTED:
                        added[master_login, copy.day][COUNTED[one]] += factor
        await copystore.save_copies(work.session, changed)
        await self._add(work, added)

    async def opened(self, work: Work, rows: Sequence[OpenedRow]) -> None:
        """Keeps what can be copied, and compares what was copied with it."""
        await copystore.save_opened(work.session, [row for row in rows if not is_copy(row.client_id)])
        fills = {(one.master_order, one.subscription): row for row in rows if (one := parse_copy_client_id(row.client_id)) is not None}
        if not fills:
            return
        known = await copystore.copies(work.session, fills)
        masters = await copystore.openings(work.session, {order for order, _ in fills})
        copiers = await copystore.copiers(work.session, {subscription for _, subscription in fills})
        symbols = await copystore.symbols(work.session, {row.symbol for row in fills.values()})
        added: Added = defaultdict(Counter)
        latencies: Counter[tuple[int, int, int]] = Counter()
        changed: dict[Key, Copy] = {}
        for key, row in fills.items():
            day = self._calendar.day(row.opened_ms)
            master, copier = masters.get(key[0]), copiers.get(key[1])
            copy = known.get(key) or Copy(day, Outcome.PENDING, 0, int(copier is not None and copier.own))
            if copy.filled:
                continue
            changed[key] = copy._replace(filled=1)
            if master is None or copier is None or copier.own:
                continue
            if copier.created_ms > master.opened_ms or copy.outcome in GIVEN_UP:
                continue  # a position that was open before the subscription, or was skipped at first, was copied late on purpose
            latency = row.opened_ms - master.opened_ms
            points, bps = slippage(row.side, units(row.price), master.price, symbols.get(row.symbol, (0, 0))[0])
            changed[key] = copy._replace(filled=1, fill_day=day, latency=latency, points=points, bps=bps)
            latencies[copier.master_login, day, bucket(latency)] += 1
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

    async def copied(self, work: Work, rows: Sequence[ClosedRow]) -> list[Copier | None]:
        """Of each closing the subscription that it is a copy of, as it stands now; None where it counts for no master."""
        ids = [copy.subscription if (copy := parse_copy_client_id(row.position_client_id)) else 0 for row in rows]
        copiers = await copystore.copiers(work.session, {one for one in ids if one})
        return [copier if (copier := copiers.get(one)) is not None and not copier.own else None for one in ids]

    async def closed(self, work: Work, deals: Sequence[tuple[Deal, Copier | None]]) -> None:
        """What followers' closed copies made of the money that they allocated."""
        profits: Counter[int] = Counter()
        added: Added = defaultdict(Counter)
        seen: set[tuple[int, int, int]] = set()
        for deal, copier in deals:
            if copier is not None:
                day = self._calendar.day(deal.closed_ms)
                profits[copier.id] += deal.net
                added[copier.master_login, day]["made"] += share_of(deal.net, copier.day_base, copier.allocation)
                seen.add((copier.master_login, day, copier.id))
        await copystore.add_profits(work.session, profits)
        await self._add(work, added, seen)

    async def on_accruals(self, batch: Received[RewardEvent], work: Work) -> None:
        """What rewards took of the money that followers allocated; a refund gives it back."""
        rows = {row.id: row for event in batch.events if isinstance(event, AccrualsChanged) for row in event.rows}
        known = await copystore.accruals(work.session, rows)
        charged = {key: row for key, row in rows.items() if row.state in CHARGED and not known.get(key, (False, False))[1]}
        refunds = [row for key, row in rows.items() if row.ref_accrual_id and key not in known and key not in charged]
        copiers = await copystore.copiers(work.session, {row.subscription_id for row in charged.values()})
        added: Added = defaultdict(Counter)
        seen: set[tuple[int, int, int]] = set()
        kept: list[tuple[AccrualRow, bool, Charge | None]] = [(row, False, None) for row in refunds]
        for row in charged.values():
            copier, charge = copiers.get(row.subscription_id), None
            if copier is not None and not copier.own:
                fee, day = units(row.fee_amount) * (-1 if row.ref_accrual_id else 1), self._calendar.day(row.updated_ms)
                charge = Charge(copier.id, day, fee, copier.day_base, copier.allocation)
                added[copier.master_login, day]["paid"] += share_of(fee, copier.day_base, copier.allocation)
                seen.add((copier.master_login, day, copier.id))
            kept.append((row, True, charge))
        await copystore.save_accruals(work.session, kept)
        await self._add(work, added, seen)

    async def _add(self, work: Work, added: Added, seen: Collection[tuple[int, int, int]] = ()) -> None:
        """Adds to masters' days; `seen` (login, day and subscription) took part in them."""
        for key, count in (await copystore.new_participants(work.session, seen)).items():
            added[key]["participants"] += count
        await copystore.add_days(work.session, added)
        await store.mark_stale(work.session, {login for login, _ in added})
