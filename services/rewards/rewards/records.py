"""Reads and writes what billing by periods needs: cursors, fills, marks, other fees, flows, daily equity, standings."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple

from shared.contracts.config import RewardType
from shared.store.outbox import upsert
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from rewards import tables
from rewards.bulk import insert_many, put_many
from rewards.fees import Charged
from rewards.marks import Flow, Mark
from rewards.settle import TAKEN, UNTAKEN, Phase
from rewards.store import TRADE_COLUMNS, Trade, chunks, put

OTHER_FEES = (RewardType.SUBSCRIPTION_FEE, RewardType.VOLUME_REBATE, RewardType.MANAGEMENT_FEE)
UNPAID = (Phase.OUT_SENT, Phase.OUT_REFUSED, Phase.DEAD)
Pair = tuple[int, int]
"""A follower's login and a master's: a mark is theirs, and outlives their subscriptions."""


@dataclass(slots=True)
class Line:
    """The billing of one subscription by one reward type, in the columns of its table."""

    subscription_id: int
    reward_type: int
    cursor_ms: int
    open_from_ms: int | None = None
    due_ms: int | None = 0


@dataclass(slots=True)
class Material:
    """What the fees of some subscriptions are reckoned from."""

    trades: dict[int, list[Trade]] = field(default_factory=lambda: defaultdict(list))
    opens: dict[int, list[Trade]] = field(default_factory=lambda: defaultdict(list))
    fees: dict[int, list[Charged]] = field(default_factory=lambda: defaultdict(list))
    marks: dict[Pair, Mark] = field(default_factory=dict)
    flows: dict[int, list[Flow]] = field(default_factory=lambda: defaultdict(list))
    days: dict[int, list[tuple[int, Decimal]]] = field(default_factory=lambda: defaultdict(list))

    def booked(self, subscription: int, start: int, end: int) -> list[Trade]:
        return [trade for trade in self.trades[subscription] if start <= trade.booked_ms < end]

    def flows_in(self, login: int, start: int, end: int) -> list[Flow]:
        return [flow for flow in self.flows[login] if start <= flow.time_ms < end]


class MarkRow(NamedTuple):
    """A mark in the columns of its table."""

    follower_login: int
    master_login: int
    basis: str
    mark: Decimal
    capital: Decimal
    realised: Decimal
    own_fees: Decimal


LINE_NAMES = [one.name for one in fields(Line)]


async def add_lines(session: AsyncSession, lines: Sequence[Line]) -> None:
    await insert_many(session, tables.billing, lines, LINE_NAMES, "ON CONFLICT DO NOTHING")


async def save_lines(session: AsyncSession, lines: Sequence[Line]) -> None:
    await put_many(session, tables.billing, lines, LINE_NAMES)


async def wake(session: AsyncSession, subscriptions: Iterable[int]) -> None:
    """Lets billing look at some subscriptions at its next turn."""
    for some in chunks(subscriptions):
        await session.execute(update(tables.billing).where(tables.billing.c.subscription_id.in_(some)).values(due_ms=0))


async def due_lines(session: AsyncSession, now: int, limit: int) -> dict[int, list[Line]]:
    """All lines of subscriptions of which one is due."""
    table = tables.billing
    statement = select(table.c.subscription_id).where(table.c.due_ms <= now).order_by(table.c.due_ms).limit(limit)
    ids = dict.fromkeys((await session.execute(statement)).scalars())
    found: dict[int, list[Line]] = {one: [] for one in ids}
    for some in chunks(ids):
        for row in (await session.execute(select(table).where(table.c.subscription_id.in_(some)))).all():
            found[row.subscription_id].append(Line(*row))
    return found


async def material(session: AsyncSession, since: dict[int, int], pairs: Collection[Pair]) -> Material:
    """What is needed of some subscriptions, each since its own instant."""
    got = Material()
    table, trade = tables.accrual, tables.trade
    for some in chunks(since):
        oldest = min(since[one] for one in some)
        wanted = select(*TRADE_COLUMNS).where(trade.c.subscription_id.in_(some))
        for row in (await session.execute(wanted.where(trade.c.booked_ms >= oldest).order_by(trade.c.booked_ms, trade.c.deal))).all():
            got.trades[row.subscription_id].append(Trade(*row))
        for row in (await session.execute(wanted.where(trade.c.open_volume > 0).order_by(trade.c.order))).all():
            got.opens[row.subscription_id].append(Trade(*row))
        fees = select(table.c.id, table.c.subscription_id, table.c.reward_type, table.c.period_from, table.c.period_to, table.c.fee_amount)
        fees = fees.where(table.c.subscription_id.in_(some), table.c.reward_type.in_(OTHER_FEES), table.c.fee_amount != 0)
        for row in (await session.execute(fees.where(table.c.phase.not_in(UNTAKEN)))).all():
            prepaid = row.reward_type == RewardType.SUBSCRIPTION_FEE
            got.fees[row.subscription_id].append(Charged(row.id, row.period_from if prepaid else row.period_to, row.fee_amount))
    await _of_followers(session, got, {follower for follower, _ in pairs}, min(since.values(), default=0), set(pairs))
    return got


async def _of_followers(session: AsyncSession, got: Material, logins: Collection[int], oldest: int, pairs: set[Pair]) -> None:
    for some in chunks(logins):
        for row in (await session.execute(select(tables.mark).where(tables.mark.c.follower_login.in_(some)))).all():
            if (row.follower_login, row.master_login) in pairs:
                got.marks[row.follower_login, row.master_login] = Mark(row.basis, row.mark, row.capital, row.realised, row.own_fees)
        flows = select(tables.flow).where(tables.flow.c.login.in_(some), tables.flow.c.time_ms >= oldest)
        for row in (await session.execute(flows.order_by(tables.flow.c.time_ms, tables.flow.c.operation_id))).all():
            got.flows[row.login].append(Flow(row.operation_id, row.time_ms, row.amount, row.equity))
        days = select(tables.equity_day).where(tables.equity_day.c.login.in_(some)).order_by(tables.equity_day.c.day_ms)
        for row in (await session.execute(days)).all():
            got.days[row.login].append((row.day_ms, row.equity))


async def save_marks(session: AsyncSession, marks: dict[Pair, Mark]) -> None:
    rows = [MarkRow(*pair, mark.basis, mark.mark, mark.capital, mark.realised, mark.own_fees) for pair, mark in marks.items()]
    await put_many(session, tables.mark, rows, MarkRow._fields)


async def add_flows(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Deposits and withdrawals; one that is told again is the same one."""
    if rows:
        await session.execute(upsert(session, tables.flow).on_conflict_do_nothing(), list(rows))


async def begin_equities(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Days' equities, where none is known of the day."""
    if rows:
        await session.execute(upsert(session, tables.equity_day).on_conflict_do_nothing(), list(rows))


async def save_equities(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    await put(session, tables.equity_day, rows)


class Debt(NamedTuple):
    """The oldest of a subscription's prepaid fees since the last paid one."""

    subscription: int
    accrual: int
    since_ms: int


async def debts(session: AsyncSession, until_ms: int) -> list[Debt]:
    """Subscriptions with prepaid fees of `until_ms` or before that are not paid, and no later one that is."""
    table = tables.accrual
    of_type = (table.c.reward_type == RewardType.SUBSCRIPTION_FEE, table.c.fee_amount > 0)
    statement = select(table.c.subscription_id, table.c.id, table.c.created_ms).where(
        *of_type, table.c.phase.in_(UNPAID), table.c.created_ms <= until_ms
    )
    unpaid = (await session.execute(statement.order_by(table.c.created_ms))).all()
    paid: dict[int, int] = {}
    for some in chunks({row.subscription_id for row in unpaid}):
        latest = select(table.c.subscription_id, func.max(table.c.created_ms)).where(*of_type, table.c.phase.in_(TAKEN))
        latest = latest.where(table.c.subscription_id.in_(some)).group_by(table.c.subscription_id)
        paid |= {row[0]: row[1] for row in (await session.execute(latest)).all()}
    found: dict[int, Debt] = {}
    for row in unpaid:
        if row.created_ms > paid.get(row.subscription_id, -1):
            found.setdefault(row.subscription_id, Debt(row.subscription_id, row.id, row.created_ms))
    return list(found.values())
