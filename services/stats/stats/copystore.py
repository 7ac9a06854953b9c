"""What the stats service keeps of copying: subscriptions, copies and their days; reads and writes of a whole batch each."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from shared.contracts.config import RecordsHeld, Subscription, SubscriptionStatus
from shared.contracts.rewards import AccrualRow
from shared.contracts.trades import OpenedRow, SymbolRow
from shared.money import EXACT
from shared.store.outbox import upsert
from sqlalchemy import Table, bindparam, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from stats.amounts import ONE, amount, bounded, units
from stats.copying import Audience, Copied, Outcome, Rate, convert
from stats.store import ACCOUNT, MASTER, put
from stats.tables import METADATA

SUBSCRIPTION, OPENED, COPIED, COPY_DAY, PARTICIPANT, COPY_LATENCY, ACCRUAL, SYMBOL = (
    METADATA.tables[name] for name in ("subscription", "opened", "copied", "copy_day", "participant", "copy_latency", "accrual", "symbol")
)
OPENED_KEPT_MS = 7 * 86_400_000
"""How long a closed position is kept for copies that are told late."""
COPIES_KEPT_DAYS = 400
"""How long a copy is kept, and who took part in a day, beyond the longest window."""


class Copier(NamedTuple):
    """A subscription, as figures need it. `own`: the follower's account and the master's are one customer's.

    `day_base` in 1e-8, `allocation` in 1e-8 percent: what a result of now is a share of.
    """

    id: int
    master_login: int
    allocation: int
    created_ms: int
    day_base: int
    own: bool


async def save_symbols(session: AsyncSession, rows: Iterable[SymbolRow]) -> None:
    values = [
        {
            "symbol": row.symbol,
            "digits": row.digits,
            "volume_min": row.volume_min,
            "base_currency": row.base_currency,
            "quote_currency": row.quote_currency,
            "middle": units((row.bid + row.ask) / 2),
        }
        for row in rows
    ]
    await put(session, SYMBOL, values)


async def symbols(session: AsyncSession, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """Digits and least volume of symbols that are known."""
    found = await session.execute(select(SYMBOL.c.symbol, SYMBOL.c.digits, SYMBOL.c.volume_min).where(SYMBOL.c.symbol.in_(names)))
    return {name: (digits, volume_min) for name, digits, volume_min in found}


async def rates(session: AsyncSession, prices: Mapping[str, Decimal]) -> list[Rate]:
    """The rate of every symbol: its latest price where one is known, else the one that it was told with."""
    found = await session.execute(select(SYMBOL.c.symbol, SYMBOL.c.base_currency, SYMBOL.c.quote_currency, SYMBOL.c.middle))
    return [Rate(base, quote, prices.get(name, amount(middle))) for name, base, quote, middle in found]


async def save_subscription(session: AsyncSession, subscription: Subscription, *, deleted: bool) -> None:
    """Takes over a subscription, or that it has ended; what is told late changes nothing."""
    known = (await session.execute(select(SUBSCRIPTION.c.version).where(SUBSCRIPTION.c.id == subscription.id))).scalar()
    if known is not None and known >= subscription.version + deleted:  # its end is told with its last version
        return
    active = not deleted and bool(subscription.enabled) and subscription.status != SubscriptionStatus.DISABLED
    row = {
        "id": subscription.id,
        "version": subscription.version,
        "master_login": subscription.master_login,
        "follower_login": subscription.follower_login,
        "active": int(active),
        "allocation": units(subscription.allocation_percent),
        "created_ms": subscription.created_ms,
        "profit": 0,
    }
    kept = ("version", "master_login", "follower_login", "active", "allocation", "created_ms")
    await put(session, SUBSCRIPTION, [row], lambda new: {name: new[name] for name in kept})


async def end_unheard(session: AsyncSession, event: RecordsHeld) -> set[int]:
    """Subscriptions that came to their end in what is lost are active no more; answers whom they copied."""
    table = SUBSCRIPTION
    gone = (table.c.active == 1, table.c.id.between(event.first, event.last), table.c.id.not_in(event.ids))
    return set((await session.execute(update(table).where(*gone).values(active=0).returning(table.c.master_login))).scalars())


async def copiers(session: AsyncSession, ids: Collection[int]) -> dict[int, Copier]:
    """Subscriptions by id, those of deleted masters, too."""
    if not ids:
        return {}
    statement = (
        select(
            SUBSCRIPTION.c.id,
            SUBSCRIPTION.c.master_login,
            SUBSCRIPTION.c.allocation,
            SUBSCRIPTION.c.created_ms,
            func.coalesce(ACCOUNT.c.day_base, 0),
            case((ACCOUNT.c.customer_id == MASTER.c.customer_id, 1), else_=0),
        )
        .outerjoin(ACCOUNT, ACCOUNT.c.login == SUBSCRIPTION.c.follower_login)
        .outerjoin(MASTER, MASTER.c.login == SUBSCRIPTION.c.master_login)
        .where(SUBSCRIPTION.c.id.in_(ids))
    )
    return {row[0]: Copier(*row[:5], bool(row[5])) for row in await session.execute(statement)}


async def add_profits(session: AsyncSession, profits: Mapping[int, int]) -> None:
    """Adds what closed copies made, by subscription."""
    if not profits:
        return
    connection = await session.connection()
    statement = SUBSCRIPTION.update().where(SUBSCRIPTION.c.id == bindparam("key"))
    await connection.execute(
        statement.values(profit=SUBSCRIPTION.c.profit + bindparam("more")), [{"key": key, "more": more} for key, more in profits.items()]
    )


class Opening(NamedTuple):
    """A position that was not opened by copying. Amounts in 1e-8; `equity` before it, without credit."""

    order: int
    login: int
    price: int
    equity: int
    opened_ms: int


async def save_opened(session: AsyncSession, rows: Iterable[OpenedRow]) -> None:
    """Keeps positions; one that is told again changes nothing."""
    values = [
        {
            "order": row.order,
            "login": row.login,
            "price": units(row.price),
            "equity": units(row.equity - row.credit),
            "opened_ms": row.opened_ms,
            "closed_ms": 0,
        }
        for row in rows
    ]
    if values:
        await session.execute(upsert(session, OPENED).on_conflict_do_nothing(index_elements=["order"]), values)


async def openings(session: AsyncSession, orders: Collection[int]) -> dict[int, Opening]:
    if not orders:
        return {}
    columns = tuple(OPENED.c[name] for name in Opening._fields)
    return {row[0]: Opening(*row) for row in await session.execute(select(*columns).where(OPENED.c.order.in_(orders)))}


async def close_openings(session: AsyncSession, orders: Collection[int], now: int) -> None:
    if orders:
        await session.execute(update(OPENED).where(OPENED.c.order.in_(orders), OPENED.c.closed_ms == 0).values(closed_ms=now))


async def prune(session: AsyncSession, now: int, today: int) -> None:
    """Drops what no figure can need any more."""
    await session.execute(delete(OPENED).where(OPENED.c.closed_ms > 0, OPENED.c.closed_ms < now - OPENED_KEPT_MS))
    last = today - COPIES_KEPT_DAYS
    await session.execute(delete(COPIED).where(COPIED.c.day < last, func.coalesce(COPIED.c.fill_day, 0) < last))
    await session.execute(delete(PARTICIPANT).where(PARTICIPANT.c.day < last))


Key = tuple[int, int]
"""Master order and subscription."""


class Copy(NamedTuple):
    """A copy as it is kept; see `stats.tables.CopyRow`. What its fill adds is None where it does not count."""

    day: int
    outcome: Outcome
    filled: int
    own: int
    fill_day: int | None = None
    latency: int | None = None
    points: int | None = None
    bps: int | None = None


async def copies(session: AsyncSession, keys: Collection[Key]) -> dict[Key, Copy]:
    """Copies that are known."""
    if not keys:
        return {}
    wanted, orders, ids = set(keys), {order for order, _ in keys}, {one for _, one in keys}
    columns = (COPIED.c.master_order, COPIED.c.subscription, *(COPIED.c[name] for name in Copy._fields))
    statement = select(*columns).where(COPIED.c.master_order.in_(orders), COPIED.c.subscription.in_(ids))
    return {
        (order, subscription): Copy(day, Outcome(outcome), *rest)
        for order, subscription, day, outcome, *rest in await session.execute(statement)
        if (order, subscription) in wanted
    }


async def save_copies(session: AsyncSession, changed: Mapping[Key, Copy]) -> None:
    values = [
        {"master_order": order, "subscription": subscription, **copy._asdict(), "outcome": int(copy.outcome)}
        for (order, subscription), copy in changed.items()
    ]
    await put(session, COPIED, values)


SUMS = ("copied", "missed", "fills", "points", "bps", "made", "paid", "participants")
"""What of a master's day of being copied is added up."""


async def add_days(session: AsyncSession, added: Mapping[tuple[int, int], Mapping[str, int]], *, observe: bool = True) -> None:
    """Adds to masters' days of being copied (by login and day); with `observe`, of the followers that there are now it keeps the most."""
    if not added:
        return
    found = await session.execute(select(MASTER.c.login, MASTER.c.followers).where(MASTER.c.login.in_({login for login, _ in added})))
    followers: dict[int, int] = {login: count for login, count in found}  # noqa: C416  (a Row is no tuple to a type checker)
    values = [
        {"login": login, "day": day, "followers": followers.get(login, 0) if observe else 0} | {name: more.get(name, 0) for name in SUMS}
        for (login, day), more in added.items()
    ]

    def sets(new: Any) -> dict[str, Any]:
        return {name: COPY_DAY.c[name] + new[name] for name in SUMS} | {"followers": _greater(session, COPY_DAY.c.followers, new.followers)}

    await put(session, COPY_DAY, values, sets)


def _greater(session: AsyncSession, one: Any, other: Any) -> Any:
    return (func.max if session.get_bind().dialect.name == "sqlite" else func.greatest)(one, other)


async def new_participants(session: AsyncSession, seen: Collection[tuple[int, int, int]]) -> Mapping[tuple[int, int], int]:
    """Keeps who took part (login, day and subscription); answers how many of them are new, by login and day."""
    if not seen:
        return {}
    statement = upsert(session, PARTICIPANT).on_conflict_do_nothing().returning(PARTICIPANT.c.login, PARTICIPANT.c.day)
    values = [{"login": login, "day": day, "subscription": subscription} for login, day, subscription in sorted(seen)]
    return Counter((login, day) for login, day in await session.execute(statement, values))


async def add_latencies(session: AsyncSession, fills: Mapping[tuple[int, int, int], int]) -> None:
    """Counts fills by login, day and bucket."""
    values = [{"login": login, "day": day, "bucket": bucket, "fills": count} for (login, day, bucket), count in fills.items()]
    await put(session, COPY_LATENCY, values, lambda new: {"fills": COPY_LATENCY.c.fills + new.fills})


async def days(session: AsyncSession, logins: Collection[int], first: int, last: int) -> dict[int, list[Copied]]:
    """Masters' days of being copied, in order."""
    columns = tuple(COPY_DAY.c[name] for name in Copied._fields)
    statement = select(COPY_DAY.c.login, *columns).where(COPY_DAY.c.login.in_(logins), COPY_DAY.c.day >= first, COPY_DAY.c.day <= last)
    read: dict[int, list[Copied]] = {login: [] for login in logins}
    for login, *row in await session.execute(statement.order_by(COPY_DAY.c.day)):
        read[login].append(Copied(*row))
    return read


async def latencies(session: AsyncSession, logins: Collection[int], first: int, last: int) -> dict[int, dict[int, int]]:
    """Fills by master and bucket over days."""
    table = COPY_LATENCY.c
    statement = select(table.login, table.bucket, func.sum(table.fills)).where(
        table.login.in_(logins), table.day >= first, table.day <= last
    )
    read: dict[int, dict[int, int]] = {login: {} for login in logins}
    for login, bucket, fills in await session.execute(statement.group_by(table.login, table.bucket)):
        read[login][bucket] = int(fills)
    return read


async def audiences(session: AsyncSession, logins: Collection[int]) -> dict[int, Audience]:
    """Who copies these masters, as counted last."""
    statement = select(MASTER.c.login, MASTER.c.followers, MASTER.c.assets, MASTER.c.unconverted, MASTER.c.in_profit, MASTER.c.with_copies)
    found = await session.execute(statement.where(MASTER.c.login.in_(logins)))
    return {login: Audience(*row) for login, *row in found}


async def count_audiences(session: AsyncSession, logins: Collection[int], known: Sequence[Rate]) -> None:
    """Counts who copies these masters anew: followers of other customers, and the equity that real ones allocate."""
    master_account: Table = ACCOUNT.alias("master_account")  # type: ignore[assignment]
    statement = (
        select(
            SUBSCRIPTION.c.master_login,
            master_account.c.currency,
            ACCOUNT.c.currency,
            ACCOUNT.c.mode,
            SUBSCRIPTION.c.active,
            SUBSCRIPTION.c.allocation,
            func.count(),
            # In two parts: a sum of 1e-8 units could leave 64 bits.
            func.sum(case((ACCOUNT.c.equity > 0, ACCOUNT.c.equity // ONE), else_=0)),
            func.sum(case((ACCOUNT.c.equity > 0, ACCOUNT.c.equity % ONE), else_=0)),
            func.sum(case((SUBSCRIPTION.c.profit > 0, 1), else_=0)),
            func.sum(case((SUBSCRIPTION.c.profit != 0, 1), else_=0)),
        )
        .join(ACCOUNT, ACCOUNT.c.login == SUBSCRIPTION.c.follower_login)
        .join(MASTER, MASTER.c.login == SUBSCRIPTION.c.master_login)
        .join(master_account, master_account.c.login == SUBSCRIPTION.c.master_login)
        .where(SUBSCRIPTION.c.master_login.in_(logins), ACCOUNT.c.customer_id != MASTER.c.customer_id)
        .group_by(
            SUBSCRIPTION.c.master_login,
            master_account.c.currency,
            ACCOUNT.c.currency,
            ACCOUNT.c.mode,
            SUBSCRIPTION.c.active,
            SUBSCRIPTION.c.allocation,
        )
    )
    counted = {login: {"key": login, "n": 0, "sum": 0, "left": 0, "won": 0, "had": 0} for login in logins}
    for login, target, source, mode, active, allocation, count, whole, rest, won, had in await session.execute(statement):
        one = counted[login]
        one["won"] += int(won)
        one["had"] += int(had)
        if not active:
            continue
        one["n"] += count
        if mode != "REAL":
            continue
        equity = int(whole) * ONE + int(rest)
        allocated = EXACT.divide(EXACT.multiply(Decimal(equity), Decimal(allocation)), Decimal(100 * ONE))
        value = convert(allocated, source, target, known)
        if value is None:
            one["left"] += count
        else:
            one["sum"] = bounded(one["sum"] + int(value))
    if not counted:
        return
    statement_of = MASTER.update().where(MASTER.c.login == bindparam("key"))
    values: dict[str, Any] = {name: bindparam(key) for name, key in zip(AUDIENCE, ("n", "sum", "left", "won", "had"), strict=True)}
    connection = await session.connection()
    await connection.execute(statement_of.values(values), list(counted.values()))


AUDIENCE = ("followers", "assets", "unconverted", "in_profit", "with_copies")


async def accruals(session: AsyncSession, ids: Collection[int]) -> dict[int, tuple[bool, bool]]:
    """Whether accruals take another one back, and whether they were charged; of those that are known."""
    if not ids:
        return {}
    found = await session.execute(select(ACCRUAL.c.id, ACCRUAL.c.refund, ACCRUAL.c.charged).where(ACCRUAL.c.id.in_(ids)))
    return {key: (bool(refund), bool(charged)) for key, refund, charged in found}


class Charge(NamedTuple):
    """What an accrual is to a master's figures: what it took (negative: gave back), and of which allocated money."""

    subscription: int
    day: int
    fee: int
    base: int
    allocation: int


async def save_accruals(session: AsyncSession, rows: Iterable[tuple[AccrualRow, bool, Charge | None]]) -> None:
    """Keeps accruals, each with whether it was charged, and what of it counts."""
    nothing = dict.fromkeys(Charge._fields)
    values = [
        {"id": row.id, "refund": int(bool(row.ref_accrual_id)), "charged": int(charged), **(charge._asdict() if charge else nothing)}
        for row, charged, charge in rows
    ]
    await put(session, ACCRUAL, values)
