"""What the stats service keeps: reads and writes of its tables, each for a whole batch, whose cost does not grow with what is stored."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from shared.contracts.stats import StatsRow
from shared.contracts.trades import ClosedRow
from shared.settings import Settings
from shared.store.outbox import claim, overwriting, upsert
from sqlalchemy import Table, bindparam, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from stats.amounts import units
from stats.nav import Chain
from stats.standing import BUST, FLOW, OPENING, REBASE, DayEnd, Inception, Link, Standing
from stats.tables import METADATA, Account, DayRow, DealRow, Flow, MasterRow, SymbolDay
from stats.trades import Change, Deal, Tally

__all__ = ["METADATA"]

ACCOUNT, FLOWS, DEAL, DAY, SYMBOL_DAY = (METADATA.tables[model.__tablename__] for model in (Account, Flow, DealRow, DayRow, SymbolDay))
MASTER, CURRENT = METADATA.tables["master"], METADATA.tables["statistics"]
IDENTITY = METADATA.tables["log_identity"]
MIN_BASE = "stats_min_base"
STATS_ROW = TypeAdapter(StatsRow)
CHAIN_KINDS = (OPENING, FLOW, BUST, REBASE)
SNAPSHOT_COLUMNS = ("equity", "nav", "epoch", "alive", "held", "quality")
CHUNK = 5000


async def put(session: AsyncSession, table: Table, rows: Sequence[dict[str, Any]], sets: Any = None) -> None:
    """Inserts rows, or updates those that are there: with `sets(excluded)`, else with every column."""
    if not rows:
        return
    if sets is None:
        statement = overwriting(session, table, tuple(rows[0]))
    else:
        statement = upsert(session, table)
        statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sets(statement.excluded))
    for start in range(0, len(rows), CHUNK):
        await session.execute(statement, list(rows[start : start + CHUNK]))


async def days_zone(session: AsyncSession, settings: Settings) -> str:
    """The zone that the stored days were counted in from the first one on; that of the settings when there is none yet."""
    return await claim(session, "broker_timezone", settings.broker_timezone)


async def kept_min_base(session: AsyncSession, least: int) -> int:
    """The least base that the running service counts with, as it was told last; `least` when it was never told."""
    return int(await claim(session, MIN_BASE, str(least)))


async def keep_min_base(session: AsyncSession, least: int) -> None:
    statement = upsert(session, IDENTITY).values(name=MIN_BASE, value=str(least))
    await session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": str(least)}))


# Accounts and their chains


async def accounts(session: AsyncSession, logins: Collection[int]) -> dict[int, Standing]:
    """Accounts by login; those not known are missing."""
    if not logins:
        return {}
    found = await session.execute(select(ACCOUNT).where(ACCOUNT.c.login.in_(logins)))
    return {row["login"]: _standing(row) for row in found.mappings()}


def _standing(row: Any) -> Standing:
    return Standing(
        login=row["login"],
        customer_id=row["customer_id"],
        mode=row["mode"],
        currency=row["currency"],
        inception=Inception(row["inception_day"], row["inception_nav"], row["inception_equity"], row["inception_epoch"]),
        chain=Chain(row["chain_nav"], row["chain_equity"], row["epoch"], bool(row["alive"])),
        day=row["day"],
        equity=row["equity"],
        balance=row["balance"],
        held=row["held"],
        quality=row["quality"],
        epoch_equity=row["epoch_equity"],
        day_base=row["day_base"],
        suspect=row["suspect"],
    )


async def lock_accounts(session: AsyncSession, logins: Collection[int]) -> None:
    """Keeps an import out of these accounts until the transaction ends. SQLite has one writer anyway."""
    if logins and session.get_bind().dialect.name != "sqlite":
        await session.execute(select(ACCOUNT.c.login).where(ACCOUNT.c.login.in_(logins)).order_by(ACCOUNT.c.login).with_for_update())


async def save_accounts(session: AsyncSession, standings: Iterable[Standing]) -> None:
    """Writes accounts, and the days that have ended for them."""
    rows, ends = [], []
    for one in standings:
        chain, inception = one.chain, one.inception
        rows.append(
            {
                "login": one.login,
                "customer_id": one.customer_id,
                "mode": one.mode,
                "currency": one.currency,
                "inception_day": inception.day,
                "inception_nav": inception.nav,
                "inception_equity": inception.equity,
                "inception_epoch": inception.epoch,
                "chain_nav": chain.nav,
                "chain_equity": chain.equity,
                "epoch": chain.epoch,
                "alive": int(chain.alive),
                "day": one.day,
                "equity": one.equity,
                "balance": one.balance,
                "held": one.held,
                "quality": one.quality,
                "epoch_equity": one.epoch_equity,
                "day_base": one.day_base,
                "suspect": one.suspect,
            }
        )
        ends += one.ends
        one.ends = []
    await put(session, ACCOUNT, rows)
    await save_ends(session, ends)


async def save_ends(session: AsyncSession, ends: Sequence[DayEnd]) -> None:
    """Writes snapshots of days, beside whatever was closed on them."""
    rows = [end._asdict() for end in ends]
    await put(session, DAY, rows, lambda new: {name: new[name] for name in SNAPSHOT_COLUMNS})


async def suspect_all(session: AsyncSession) -> None:
    """Events of the venue were lost: any account's next observation may hide a flow."""
    await session.execute(update(ACCOUNT).values(suspect=1))


class Operation(NamedTuple):
    """A balance operation as it is kept: `amount` is signed, `kind` what it is to the statistics."""

    login: int
    operation_id: int | None
    kind: str
    day: int
    at_ms: int
    amount: int
    equity: int
    operation: str
    reason: str


async def known_operations(session: AsyncSession, logins: Collection[int], ids: Collection[int]) -> set[tuple[int, int]]:
    """Which operations (login, id) are stored already: a venue that is asked again tells them again."""
    found = await session.execute(
        select(FLOWS.c.login, FLOWS.c.operation_id).where(FLOWS.c.login.in_(logins), FLOWS.c.operation_id.in_(ids))
    )
    return {(login, operation) for login, operation in found}


async def add_operations(session: AsyncSession, operations: Sequence[Operation]) -> None:
    if operations:
        await session.execute(insert(FLOWS), [operation._asdict() for operation in operations])


async def add_corrections(session: AsyncSession, counts: dict[tuple[int, int], int]) -> None:
    """Counts flagged operations (by login and day)."""
    rows = [_empty_day(login, day) | {"corrections": count} for (login, day), count in counts.items()]
    await put(session, DAY, rows, lambda new: {"corrections": DAY.c.corrections + new.corrections})


async def links(session: AsyncSession, login: int) -> list[Link]:
    """The links of an account's chain, in order."""
    statement = select(FLOWS.c.kind, FLOWS.c.day, FLOWS.c.amount, FLOWS.c.equity)
    found = await session.execute(statement.where(FLOWS.c.login == login, FLOWS.c.kind.in_(CHAIN_KINDS)).order_by(FLOWS.c.id))
    return [Link(*row) for row in found]


# Closed trades


def _empty_day(login: int, day: int) -> dict[str, Any]:
    return {"login": login, "day": day, **Tally()._asdict(), "corrections": 0, "epoch": 0, "alive": 1, "held": 0} | {
        "quality": 0,
        "imported": 0,
        "paid": 0,
    }


DEAL_COLUMNS = (
    DEAL.c.login,
    DEAL.c.order,
    DEAL.c.deal,
    DEAL.c.symbol,
    DEAL.c.left,
    (DEAL.c.profit + DEAL.c.commission + DEAL.c.swap).label("net"),
    DEAL.c.opened_ms,
    DEAL.c.closed_ms,
    DEAL.c.capital,
)


async def slices(session: AsyncSession, positions: Collection[tuple[int, int]]) -> dict[tuple[int, int], list[Deal]]:
    """What is stored of these positions (login, order), by position."""
    wanted = set(positions)
    known: dict[tuple[int, int], list[Deal]] = {}
    if not wanted:
        return known
    logins, orders = {login for login, _ in wanted}, {order for _, order in wanted}
    for row in await session.execute(select(*DEAL_COLUMNS).where(DEAL.c.login.in_(logins), DEAL.c.order.in_(orders))):
        deal = Deal(*row)
        if (deal.login, deal.order) in wanted:
            known.setdefault((deal.login, deal.order), []).append(deal)
    return known


def deal_of(row: ClosedRow, capital: int | None) -> Deal:
    """A closing as it is folded."""
    net = units(row.profit) + units(row.commission) + units(row.swap)
    return Deal(row.login, row.order, row.deal, row.symbol, row.left, net, row.opened_ms, row.closed_ms, capital)


async def add_deals(session: AsyncSession, rows: Sequence[tuple[ClosedRow, int | None, tuple[int, int, int] | None]]) -> None:
    """Stores closings, each with its least capital, and of a copy that counts its subscription, base and allocation."""
    nothing = (None, None, None)
    values = [
        {
            "login": row.login,
            "deal": row.deal,
            "order": row.order,
            "symbol": row.symbol,
            "side": row.side,
            "closed": row.closed,
            "left": row.left,
            "profit": units(row.profit),
            "commission": units(row.commission),
            "swap": units(row.swap),
            "opened_ms": row.opened_ms,
            "closed_ms": row.closed_ms,
            "capital": capital,
            **dict(zip(("subscription", "base", "allocation"), share or nothing, strict=True)),
        }
        for row, capital, share in rows
    ]
    if values:
        await session.execute(insert(DEAL), values)


async def add_change(session: AsyncSession, change: Change) -> None:
    """Adds what deals change to the days' tallies."""
    days = [_empty_day(login, day) | tally._asdict() for (login, day), tally in change.days.items()]

    def summed(new: Any) -> dict[str, Any]:
        added = {name: DAY.c[name] + new[name] for name in Tally._fields if name != "capital"}
        greater = func.max if session.get_bind().dialect.name == "sqlite" else func.greatest
        return added | {"capital": greater(DAY.c.capital, new.capital)}

    await put(session, DAY, days, summed)
    symbols = [{"login": login, "day": day, "symbol": symbol, "pnl": pnl} for (login, day, symbol), pnl in change.symbols.items()]
    await put(session, SYMBOL_DAY, symbols, lambda new: {"pnl": SYMBOL_DAY.c.pnl + new.pnl})


# Days, for the figures


class DayRead(NamedTuple):
    """A stored day: its snapshot, where it has one, its tally and its corrections."""

    end: DayEnd | None
    day: int
    tally: Tally
    corrections: int


Results = dict[int, dict[str, int]]
"""Results by account and symbol."""

_DAY_COLUMNS = tuple(DAY.c[name] for name in ("login", "day", *SNAPSHOT_COLUMNS, *Tally._fields, "corrections"))


async def days(session: AsyncSession, accounts: Mapping[int, Standing], first: int) -> dict[int, list[DayRead]]:
    """The days of accounts from `first` on, and before them, where `first` has no snapshot itself, the last one with one; in order."""
    read: dict[int, list[DayRead]] = {login: [] for login in accounts}
    columns = select(*_DAY_COLUMNS)
    for row in await session.execute(columns.where(DAY.c.login.in_(accounts), DAY.c.day >= first).order_by(DAY.c.day)):
        read[row[0]].append(_day(row))
    for login, account in accounts.items():
        if account.inception.day < first and not (read[login] and read[login][0].day == first and read[login][0].end):
            before = columns.where(DAY.c.login == login, DAY.c.day < first, DAY.c.equity.is_not(None)).order_by(DAY.c.day.desc())
            read[login][:0] = [_day(row) for row in await session.execute(before.limit(1))]
    return read


def _day(row: Any) -> DayRead:
    login, day, equity = row[0], row[1], row[2]
    end = None if equity is None else DayEnd(login, day, equity, *row[3:8])
    return DayRead(end, day, Tally(*row[8:15]), row[15])


async def symbol_results(session: AsyncSession, logins: Collection[int], periods: Mapping[str, int], last: int) -> dict[str, Results]:
    """Results by period, account and symbol, of symbols with any; `periods`: the first day of each."""
    own = (SYMBOL_DAY.c.login, SYMBOL_DAY.c.symbol)
    within = [SYMBOL_DAY.c.day >= first for first in periods.values()]
    sums = [func.sum(case((one, SYMBOL_DAY.c.pnl), else_=0)) for one in within]
    counts = [func.sum(case((one, 1), else_=0)) for one in within]
    statement = select(*own, *sums, *counts).where(
        SYMBOL_DAY.c.login.in_(logins), SYMBOL_DAY.c.day >= min(periods.values()), SYMBOL_DAY.c.day <= last
    )
    results: dict[str, Results] = {period: {login: {} for login in logins} for period in periods}
    for login, symbol, *figures in await session.execute(statement.group_by(*own)):
        for period, pnl, days_with_any in zip(periods, figures, figures[len(periods) :], strict=False):
            if days_with_any:
                results[period][login][symbol] = int(pnl)
    return results


# Masters and what was told of them


async def masters(session: AsyncSession, logins: Collection[int]) -> set[int]:
    """Which of these accounts are masters."""
    if not logins:
        return set()
    return set((await session.execute(select(MASTER.c.login).where(MASTER.c.login.in_(logins)))).scalars())


async def save_master(session: AsyncSession, login: int, customer_id: int) -> bool:
    """Whether the master is new."""
    new = not await masters(session, [login])
    row = MasterRow(login=login, customer_id=customer_id).model_dump()
    await put(session, MASTER, [row], lambda excluded: {"customer_id": excluded.customer_id})
    return new


async def delete_master(session: AsyncSession, login: int) -> None:
    for table in (MASTER, CURRENT):
        await session.execute(delete(table).where(table.c.login == login))


async def mark_stale(session: AsyncSession, logins: Collection[int]) -> None:
    """The statistics of these masters have to be told again, by the timer."""
    if logins:
        await session.execute(update(MASTER).where(MASTER.c.login.in_(logins), MASTER.c.stale == 0).values(stale=1))


async def due(session: AsyncSession, today: int, limit: int) -> list[int]:
    """Masters whose statistics have to be told again: something has changed, or the day has turned."""
    known = select(ACCOUNT.c.login).where(ACCOUNT.c.login == MASTER.c.login).exists()
    stale = select(MASTER.c.login).where(MASTER.c.stale == 1, known).order_by(MASTER.c.login).limit(limit)
    turned = select(MASTER.c.login).where(MASTER.c.day < today, known).order_by(MASTER.c.login).limit(limit)
    found = list((await session.execute(stale)).scalars())
    return found or list((await session.execute(turned)).scalars())


async def save_told(session: AsyncSession, rows: Sequence[StatsRow]) -> None:
    """Keeps what is told, for a snapshot."""
    values = [{"login": row.login, "period": row.period, "body": STATS_ROW.dump_json(row).decode()} for row in rows]
    await put(session, CURRENT, values)


async def mark_told(session: AsyncSession, logins: Collection[int], today: int) -> None:
    """Nothing of these masters is left to be told today: they were told with who copies them now."""
    values = [{"key": login} for login in sorted(logins)]
    if values:
        connection = await session.connection()
        await connection.execute(MASTER.update().where(MASTER.c.login == bindparam("key")).values(stale=0, day=today), values)


async def told(session: AsyncSession, after: int, limit: int) -> list[StatsRow]:
    """What was told last of up to `limit` masters, by login, after a login."""
    page = select(CURRENT.c.login).distinct().where(CURRENT.c.login > after).order_by(CURRENT.c.login).limit(limit)
    statement = select(CURRENT.c.body).where(CURRENT.c.login.in_(page)).order_by(CURRENT.c.login, CURRENT.c.period)
    return [STATS_ROW.validate_json(body) for body in (await session.execute(statement)).scalars()]
