"""Reads and writes the tables of the rewards service; nothing here decides anything."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from shared.contracts.config import RewardPolicy
from shared.contracts.rewards import SharingRow, StandingRow
from shared.money import EXACT
from shared.store.outbox import overwriting
from sqlalchemy import Table, bindparam, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from rewards import ledger, tables
from rewards.bulk import insert_many, put_many, update_many
from rewards.decide import Accrual, Slice, accrual_id
from rewards.known import Account, Known, Symbol
from rewards.settle import FINAL
from rewards.tables import METADATA
from rewards.terms import Master, Subscription, Switch, Version

__all__ = ["METADATA"]

CHUNK = 500
ACCRUAL_NAMES = [one.name for one in fields(Accrual)]
ACCRUAL_COLUMNS = [tables.accrual.c[name] for name in ACCRUAL_NAMES]
CHANGING = (
    *("phase", "updated_ms", "payout_amount", "payout_currency", "inputs", "reason", "charge_order", "payout_order"),
    *("withheld", "pay_amount", "tries", "next_ms"),
)
ADDED = "ON CONFLICT (account, currency) DO UPDATE SET amount = balance.amount + excluded.amount"

T = TypeVar("T")


class Trade(NamedTuple):
    """A fill of a copied position, in the columns of its table."""

    order: int
    deal: int
    subscription_id: int
    login: int
    symbol: str
    side: str
    volume: int
    volume_per_lot: int
    open_volume: int
    price: Decimal
    profit: Decimal
    commission: Decimal
    swap: Decimal
    time_ms: int
    booked_ms: int

    @property
    def slice(self) -> Slice:
        return Slice(self.order, self.deal, self.symbol, self.volume, self.profit, self.commission, self.swap, self.time_ms)


class Balance(NamedTuple):
    """What is added to an account's balance, in minor units."""

    account: str
    currency: str
    amount: int


class Sharing(NamedTuple):
    """What one subscription's rewards come to, in the columns of its table; amounts in the follower's currency.

    `holding` is accrued and not yet paid, `expected` the running period's performance fee as it was reckoned last.
    """

    subscription_id: int
    follower_login: int
    master_login: int
    currency: str
    realized_profit: Decimal
    holding: Decimal
    settled: Decimal
    expected: Decimal
    stale: int

    def row(self) -> SharingRow:
        """As it is told: what is expected is held, too."""
        return SharingRow(*self[:5], EXACT.add(self.holding, self.expected), self.settled)


TRADE_COLUMNS = [tables.trade.c[name] for name in Trade._fields]


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that fit one statement."""
    whole = list(values)
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


async def put(session: AsyncSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, or replaces those that are there, by primary key."""
    if not rows:
        return
    await session.execute(overwriting(session, table, tuple(table.columns.keys())), list(rows))


async def load(session: AsyncSession) -> Known:
    """Everything that memory keeps."""
    known = Known()
    for row in (await session.execute(select(tables.master))).all():
        known.masters[row.login] = Master(row.login, row.id, row.customer_id, row.version, row.gone_ms)
    for row in (await session.execute(select(tables.policy).order_by(tables.policy.c.version))).all():
        known.master(row.master_login).policies.append(Version(RewardPolicy.model_validate_json(row.body), row.gone_ms))
    for row in (await session.execute(select(tables.subscription))).all():
        known.add(Subscription(row.id, row.master_login, row.follower_login, row.version, row.created_ms, row.gone_ms))
    for row in (await session.execute(select(tables.activity).order_by(tables.activity.c.from_ms))).all():
        switch = known.master(row.key).running if row.kind == "master" else known.subscriptions[row.key].active
        switch.since.append(row.from_ms)
        switch.values.append(bool(row.active))
    for row in (await session.execute(select(tables.account))).all():
        known.accounts[row.login] = Account(*row)
    for row in (await session.execute(select(tables.symbol))).all():
        known.symbols[row.symbol] = Symbol(*row)
    for row in (await session.execute(select(tables.billing))).all():
        known.cursors.setdefault(row.subscription_id, {})[row.reward_type] = row.cursor_ms
    return known


async def save_masters(session: AsyncSession, masters: Collection[Master]) -> None:
    """Masters with all that is known of them: when they ran, and every version of their policies."""
    names = ("login", "id", "customer_id", "version", "gone_ms")
    await put_many(session, tables.master, list(masters), names)
    await put(session, tables.activity, [row for one in masters for row in _switched("master", one.login, one.running)])
    rows = [
        {
            "id": version.policy.id,
            "version": version.policy.version,
            "master_login": one.login,
            "gone_ms": version.gone_ms,
            "body": version.policy.model_dump_json(),
        }
        for one in masters
        for version in one.policies
    ]
    await put(session, tables.policy, rows)


async def save_subscriptions(session: AsyncSession, subscriptions: Collection[Subscription]) -> None:
    names = ("id", "master_login", "follower_login", "version", "created_ms", "gone_ms")
    await put_many(session, tables.subscription, list(subscriptions), names)
    await put(session, tables.activity, [row for one in subscriptions for row in _switched("subscription", one.id, one.active)])


def _switched(kind: str, key: int, switch: Switch) -> list[dict[str, Any]]:
    spans = zip(switch.since, switch.values, strict=True)
    return [{"kind": kind, "key": key, "from_ms": at, "active": int(on)} for at, on in spans]


async def save_accounts(session: AsyncSession, accounts: Iterable[Account]) -> None:
    await put_many(session, tables.account, list(accounts), [one.name for one in fields(Account)])


async def save_symbols(session: AsyncSession, symbols: Iterable[Symbol]) -> None:
    await put(session, tables.symbol, [one._asdict() for one in symbols])


async def trades_of(session: AsyncSession, orders: Iterable[int]) -> dict[int, list[Trade]]:
    """All fills of some positions, each position's in order."""
    found: dict[int, list[Trade]] = {}
    for some in chunks(orders):
        statement = select(*TRADE_COLUMNS).where(tables.trade.c.order.in_(some)).order_by(tables.trade.c.time_ms, tables.trade.c.deal)
        for row in (await session.execute(statement)).all():
            found.setdefault(row.order, []).append(Trade(*row))
    return found


async def add_trades(session: AsyncSession, trades: Sequence[Trade]) -> None:
    await insert_many(session, tables.trade, trades, Trade._fields)


async def save_open_volumes(session: AsyncSession, left: Mapping[int, int]) -> None:
    """What is left of some positions' opening volume, by order."""
    if left:
        statement = update(tables.trade).where(tables.trade.c.order == bindparam("at_order"), tables.trade.c.deal == 0)
        rows = [{"at_order": order, "now_open": volume} for order, volume in left.items()]
        connection = await session.connection()
        await connection.execute(statement.values(open_volume=bindparam("now_open")), rows)


async def new_accruals(session: AsyncSession, accruals: Iterable[Accrual]) -> list[Accrual]:
    """Those whose key is new, each with an id that no other has; not written yet."""
    fresh = {one.key: one for one in accruals}
    for some in chunks(list(fresh.values())):
        waiting, attempt = some, 0
        while waiting:
            ids, keys = [one.id for one in waiting], [one.key for one in waiting]
            statement = select(tables.accrual.c.id, tables.accrual.c.key)
            statement = statement.where(or_(tables.accrual.c.id.in_(ids), tables.accrual.c.key.in_(keys)))
            taken: dict[int, str] = {row.id: row.key for row in (await session.execute(statement)).all()}
            for key in set(taken.values()) & set(keys):
                fresh.pop(key, None)
            attempt += 1
            waiting = [one for one in waiting if one.key in fresh and one.id in taken]
            for one in waiting:
                one.id = accrual_id(one.key, attempt)
    return list(fresh.values())


async def add_accruals(session: AsyncSession, accruals: Iterable[Accrual]) -> None:
    await insert_many(session, tables.accrual, list(accruals), ACCRUAL_NAMES)


async def accruals_by_id(session: AsyncSession, ids: Iterable[int]) -> dict[int, Accrual]:
    found: dict[int, Accrual] = {}
    for some in chunks(ids):
        statement = select(*ACCRUAL_COLUMNS).where(tables.accrual.c.id.in_(some))
        found |= {row.id: Accrual(*row) for row in (await session.execute(statement)).all()}
    return found


async def accruals_where(session: AsyncSession, *conditions: Any, limit: int | None = None) -> list[Accrual]:
    """Accruals in the order in which their periods ended."""
    statement = select(*ACCRUAL_COLUMNS).where(*conditions).order_by(tables.accrual.c.period_to, tables.accrual.c.id)
    return [Accrual(*row) for row in (await session.execute(statement.limit(limit))).all()]


async def due_accruals(session: AsyncSession, now: int, limit: int = CHUNK) -> list[Accrual]:
    """Accruals for which something is to be done without an answer: now, or by a clock that was wrong when they changed last."""
    table = tables.accrual
    due = (table.c.next_ms <= now) | ((table.c.next_ms > now) & (table.c.updated_ms > now))
    statement = select(*ACCRUAL_COLUMNS).where(due).order_by(table.c.next_ms).limit(limit)
    return [Accrual(*row) for row in (await session.execute(statement)).all()]


async def save_accruals(session: AsyncSession, accruals: Sequence[Accrual]) -> None:
    """Writes what changes in an accrual's life."""
    await update_many(session, tables.accrual, accruals, CHANGING, "id")


async def accruals_to_tell(session: AsyncSession, since_ms: int, after: int) -> list[Accrual]:
    """A snapshot's accruals, by id: those not final, and those that changed lately."""
    table = tables.accrual
    wanted = or_(table.c.phase.not_in([str(phase) for phase in FINAL]), table.c.updated_ms >= since_ms)
    statement = select(*ACCRUAL_COLUMNS).where(wanted, table.c.id > after).order_by(table.c.id).limit(CHUNK)
    return [Accrual(*row) for row in (await session.execute(statement)).all()]


async def accruals_after(session: AsyncSession, after: int) -> list[Accrual]:
    """All accruals, some at a time, by id."""
    table = tables.accrual
    statement = select(*ACCRUAL_COLUMNS).where(table.c.id > after).order_by(table.c.id).limit(CHUNK)
    return [Accrual(*row) for row in (await session.execute(statement)).all()]


async def last_entry(session: AsyncSession) -> ledger.Entry | None:
    row = (await session.execute(select(tables.journal).order_by(tables.journal.c.sequence.desc()).limit(1))).first()
    return ledger.Entry(*row) if row else None


async def append_journal(session: AsyncSession, entries: Sequence[ledger.Entry]) -> None:
    """Adds entries to the journal, and to the balances that are kept beside it."""
    if not entries:
        return
    await insert_many(session, tables.journal, entries, ledger.Entry._fields)
    rows = [Balance(account, currency, amount) for (account, currency), amount in ledger.fold(entries).items()]
    await insert_many(session, tables.balance, rows, Balance._fields, ADDED)


async def balances(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Every balance that is kept, in minor units; accounts that stand at 0 are left out."""
    rows = (await session.execute(select(tables.balance).where(tables.balance.c.amount != 0))).all()
    return {(row.account, row.currency): row.amount for row in rows}


async def sharing_of(session: AsyncSession, subscriptions: Iterable[int]) -> dict[int, Sharing]:
    found: dict[int, Sharing] = {}
    for some in chunks(subscriptions):
        rows = (await session.execute(select(tables.sharing).where(tables.sharing.c.subscription_id.in_(some)))).all()
        found |= {row.subscription_id: Sharing(*row) for row in rows}
    return found


async def all_sharing(session: AsyncSession, after: int) -> list[Sharing]:
    """All of it, some at a time, by subscription."""
    statement = select(tables.sharing).where(tables.sharing.c.subscription_id > after).order_by(tables.sharing.c.subscription_id)
    return [Sharing(*row) for row in (await session.execute(statement.limit(CHUNK))).all()]


async def stale_sharing(session: AsyncSession) -> list[Sharing]:
    """Some of those whose expected fee has to be reckoned anew."""
    return [Sharing(*row) for row in (await session.execute(select(tables.sharing).where(text("stale = 1")).limit(CHUNK))).all()]


async def mark_stale(session: AsyncSession, subscriptions: Iterable[int]) -> None:
    for some in chunks(subscriptions):
        await session.execute(update(tables.sharing).where(tables.sharing.c.subscription_id.in_(some)).values(stale=1))


async def save_sharing(session: AsyncSession, rows: Sequence[Sharing]) -> None:
    await put_many(session, tables.sharing, rows, Sharing._fields)


async def standings(session: AsyncSession) -> dict[int, StandingRow]:
    """Subscriptions whose standing is not good, without the logins."""
    rows = (await session.execute(select(tables.standing).where(tables.standing.c.standing != "good"))).all()
    return {row.subscription_id: StandingRow(row.subscription_id, 0, 0, row.standing, row.accrual, row.since_ms) for row in rows}


async def save_standings(session: AsyncSession, rows: Sequence[StandingRow]) -> None:
    values = [
        {"subscription_id": row.subscription, "standing": row.standing, "accrual": row.accrual, "since_ms": row.since_ms} for row in rows
    ]
    await put(session, tables.standing, values)
