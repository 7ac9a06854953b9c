"""What the venue holds against what the links say, in both directions: asked for on a timer, at the start and on request, and repaired."""

import json
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Gauge
from shared.clock import has_passed
from shared.contracts.trades import (
    NO_PRICE,
    REASON_COPY,
    AccountPositions,
    ChangedRow,
    ClosedRow,
    HeldRow,
    OpenedRow,
    PendingGoneRow,
)
from shared.ids import is_copy, parse_copy_client_id
from shared.shards import numbered
from shared.store.work import Work
from sqlalchemy import select

from executor import drift, links
from executor.amounts import units
from executor.closing import settle, withdrawn
from executor.desk import Desk
from executor.drift import Finding, Held
from executor.fanouts import of_logins
from executor.follower_side import filled, symbol_of
from executor.levels import STOPS_DRIFT, wanted_stops
from executor.links import GONE, after
from executor.master_side import changed as master_changed
from executor.master_side import protect, reduced
from executor.outgoing import Outgoing
from executor.pending_side import cancelled
from executor.queries import take_series
from executor.records import POSITION, LinkRecord, PositionRecord, noted
from executor.store import Link, Sync, read_rows, table, write_rows

log = structlog.get_logger()

DRIFT = Counter("lockstep_drift", "Differences between the venue and the links that a reconcile found", ["kind"])
REPAIRS = Counter("lockstep_repairs", "Differences that a reconcile repaired", ["kind"])
ORPHAN_AGE = Gauge("lockstep_orphan_age_seconds", "Age of the oldest copied position that no link explains")

LOGINS_PER_REQUEST = 500
SERIES = "sync"
MISSING, VOLUME_DRIFT = "MISSING", "VOLUME_DRIFT"
REASONS = {"missing": MISSING, "volume": VOLUME_DRIFT, "stops": STOPS_DRIFT}


class _Answer(NamedTuple):
    """All pages of what an account holds."""

    held: list[HeldRow]
    pending: set[int]


async def begin_due(desk: Desk, out: Outgoing) -> None:
    """At the start and then from time to time: asks what the accounts hold that have copies."""
    every, last = desk.settings.reconcile_every_ms, desk.memory.reconciled_ms
    if last and not (every and has_passed(desk.now, last, every)):
        return
    desk.memory.reconciled_ms = desk.now
    link = table(Link)
    active = link.c.state == int(links.STATES[links.OPEN])
    followers = (await desk.session.execute(select(link.c.follower_login).where(active).distinct())).scalars()
    masters = (await desk.session.execute(select(link.c.master_login).where(active).distinct())).scalars()
    flights = desk.memory.flights
    sent = {login for flight in flights for login in flight.logins[flight.alone].tolist()} | {flight.master_login for flight in flights}
    await begin(desk, out, {*followers, *masters} | sent)


async def begin(desk: Desk, out: Outgoing, logins: Iterable[int]) -> None:
    """Asks what these accounts hold. An answer that never comes is replaced by the next question's."""
    wanted = sorted(logins)
    for start in range(0, len(wanted), LOGINS_PER_REQUEST):
        part = wanted[start : start + LOGINS_PER_REQUEST]
        shard = desk.settings.part.number
        request = f"{numbered('reconcile', shard)}-{await take_series(desk.session, numbered(SERIES, shard), 1)}"
        await write_rows(desk.session, Sync, [(login, request, desk.now, 0, "[]") for login in part], replace=True)
        out.sync(tuple(part), request)


async def answered(desk: Desk, work: Work, out: Outgoing, event: AccountPositions) -> None:
    """A page of what an account holds: the answer to a question, or a part of the venue's snapshot. The last page is compared.

    The venue's events come in order, so all that happened before the answer is known already: what differs is a difference.
    """
    answer = await _gather(desk, event)
    if answer is None:
        return
    copies = [row for row in answer.held if is_copy(row.client_id)]
    await _compare_copies(desk, out, event.login, copies, answer.pending)
    await _compare_own(desk, out, event.login, [row for row in answer.held if not is_copy(row.client_id)], answer.pending)


async def _gather(desk: Desk, event: AccountPositions) -> _Answer | None:
    """All pages together, once the last one is here; pages of an older question are not looked at."""
    if event.first and event.last and not event.request:
        return _Answer(list(event.rows), {row.order for row in event.pending})
    own = table(Sync)
    known = await read_rows(desk.session, Sync, own.c.login == event.login)
    request = known[0][1] if known else ""
    if event.request and event.request != request:
        return None
    gathered = {"held": [], "pending": []} if event.first or not known else json.loads(known[0][4])
    gathered["held"] += json.loads(event.model_dump_json(include={"rows"}))["rows"]
    gathered["pending"] += [row.order for row in event.pending]
    done = desk.now if event.last else 0
    text = "[]" if event.last else json.dumps(gathered)
    await write_rows(desk.session, Sync, [(event.login, event.request or request, desk.now, done, text)], replace=True)
    if not event.last:
        return None
    whole = AccountPositions.model_validate({"login": event.login, "structure": HeldRow._fields, "rows": gathered["held"]})
    return _Answer(list(whole.rows), set(gathered["pending"]))


# --- copies


async def _compare_copies(desk: Desk, out: Outgoing, login: int, copies: list[HeldRow], pending: set[int]) -> None:
    if not desk.owns(login):
        return  # another shard has its links
    link = table(Link)
    active = await desk.links_where(of_logins([login]), link.c.follower_login == login, link.c.state == int(links.STATES[links.OPEN]))
    by_order = {row.order: row for row in copies}
    known: set[int] = set()
    for found in active:
        row = by_order.get(found.follower_order)
        known.add(found.follower_order)
        wanted = wanted_stops(desk, found)
        for finding in drift.of_link(found, held_of(row), wanted, resting=found.follower_order in pending):
            await _repair(desk, out, found, finding, row)
    for row in copies:
        if row.order not in known:
            await _orphan(desk, out, login, row)
    _tell_orphans(desk, login, {row.order for row in copies})


def held_of(row: HeldRow | None) -> Held | None:
    """A held position in the executor's units."""
    return None if row is None else Held(row.volume, units(row.sl), units(row.tp))


async def _repair(desk: Desk, out: Outgoing, link: LinkRecord, finding: Finding, row: HeldRow | None) -> None:
    DRIFT.labels(finding).inc()
    settings = desk.settings
    repaired = True
    link.reason = REASONS[finding]
    match finding:
        case "missing":
            if link.phase == links.PENDING:
                withdrawn(desk, link, MISSING)
            else:
                link.enter(after(link.phase, GONE))
                link.volume_now = link.close_volume = link.sent_ms = link.protect_ms = 0
                desk.count(link, -1)
        case "volume":
            assert row is not None
            link.volume_now = row.volume
            link.target = min(link.target, row.volume)
            if link.volume_now > link.target and settings.repair_volume == "close_excess":
                await settle(desk, out, link, VOLUME_DRIFT)
            else:
                repaired = link.volume_now <= link.target
        case "stops":
            assert row is not None
            link.sl, link.tp = units(row.sl), units(row.tp)
            repaired = settings.repair_stops == "restore"
            if repaired:
                protect(desk, out, link)
    if repaired:
        REPAIRS.labels(finding).inc()
    desk.changed_link(link)
    out.tell(link, await symbol_of(desk, link))


async def _orphan(desk: Desk, out: Outgoing, login: int, row: HeldRow) -> None:
    """A copied position that no active link has: taken up where its link waits for it, else closed or only told, by policy."""
    copy = parse_copy_client_id(row.client_id)
    assert copy is not None
    link = await desk.link(copy.master_order, copy.subscription)
    if link is not None and link.phase == links.DETACHED:
        return  # it was left to the follower
    DRIFT.labels("orphan").inc()
    desk.memory.orphans.setdefault(row.order, desk.now)
    policy = desk.settings.repair_orphans
    if policy == "adopt" and link is not None and link.phase in drift.UNSETTLED:
        REPAIRS.labels("orphan").inc()
        desk.memory.orphans.pop(row.order)
        await filled(desk, out, _as_opened(login, row))
        return
    log.warning("a copied position that no link explains", login=login, order=row.order, client_id=row.client_id, policy=policy)
    if policy == "report":
        return
    REPAIRS.labels("orphan").inc()
    out.close_orphan(copy, login, row, link.id if link else 0)


def _as_opened(login: int, row: HeldRow) -> OpenedRow:
    return OpenedRow(
        row.order, login, row.symbol, row.side, row.volume, row.price, row.sl, row.tp, row.client_id, REASON_COPY, NO_PRICE, NO_PRICE,
        NO_PRICE, NO_PRICE, row.opened_ms,
    )  # fmt: skip


def _tell_orphans(desk: Desk, login: int, held: set[int]) -> None:
    """Orphans that are gone are forgotten; the oldest gives the age."""
    orphans = desk.memory.orphans
    for order in [order for order in orphans if order not in held and desk.memory.orphan_logins.get(order) == login]:
        del orphans[order], desk.memory.orphan_logins[order]
    for order in held & orphans.keys():
        desk.memory.orphan_logins[order] = login
    ORPHAN_AGE.set(max((desk.now - seen for seen in orphans.values()), default=0) / 1000)


# --- the master's own positions


async def _compare_own(desk: Desk, out: Outgoing, login: int, held: list[HeldRow], pending: set[int]) -> None:
    """Positions that were not copied: what a master closed or changed unseen is done now. What was opened unseen is only noted."""
    by_order = {row.order: row for row in held}
    for position in await desk.positions_of(login):
        row = by_order.pop(position.order, None)
        if position.kind != POSITION:
            if position.order not in pending and row is None:
                await cancelled(desk, out, PendingGoneRow(position.order, login, position.symbol, "", MISSING))
            continue
        left = row.volume if row else 0
        if left < position.volume:
            DRIFT.labels("master").inc()
            REPAIRS.labels("master").inc()
            await reduced(desk, out, _as_closed(position, left, desk.now))
        moved = row is not None and (units(row.sl), units(row.tp)) != (position.sl, position.tp)
        if row is not None and moved and row.version > position.version:
            await master_changed(desk, out, position, ChangedRow(row.order, login, row.symbol, row.sl, row.tp, row.version, row.client_id))
    for row in by_order.values():
        if await desk.position(row.order) is None:
            _note(desk, login, row)


def _as_closed(position: PositionRecord, left: int, now: int) -> ClosedRow:
    side = position.side
    return ClosedRow(
        position.order, 0, position.login, position.symbol, side, position.initial, position.volume - left, left, NO_PRICE, NO_PRICE,
        NO_PRICE, NO_PRICE, NO_PRICE, MISSING, "", "", position.opened_ms, now,
    )  # fmt: skip


def _note(desk: Desk, login: int, row: HeldRow) -> None:
    """A position whose opening was never seen: known from now on, so that a follower may ask for it; not copied before its opening is told.

    The equity before it is not known: the ratio modes will refuse it (MASTER_EQUITY_INVALID).
    """
    position = noted(row, login, row.volume, units(row.price))
    position.sl, position.tp, position.version = units(row.sl), units(row.tp), row.version
    desk.changed_position(position)
