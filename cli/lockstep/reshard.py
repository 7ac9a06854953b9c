"""`lockstep reshard`: moves a service's followers between its shards.

New stores are written beside the old ones and take their place when they are whole: whatever goes wrong before, nothing has changed. All
shards have to have read equally far, so that an event that one has handled for a follower is not handled again, or never, by the next.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn
from shared.shards import Shard, numbered
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.ownership import Ownership
from sqlalchemy import ColumnElement, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from lockstep.stack import Home, StackError
from lockstep.stores import ASIDE, put_back, shards_of

CHUNK = 1000
WRITES = {"executor": ("copy.order", "copy.link"), "rewards": ("reward.accrual",)}
OWN_TABLES = (outbox.outbox, outbox.report)
CLOSED = "closed"
"""What a store is that has no followers any more, and is kept for its journal."""

Owners = Mapping[Table, ColumnElement[Any]]
Folded = Callable[[AsyncSession], AsyncIterator[tuple[Table, list[dict[str, Any]]]]]
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Whose a service's rows are.

    `apart`: tables whose rows stay where they are, with `journal` even when their shard is no more. `counted`: tables of names and the
    last numbers that were drawn for them. `folded`: rows that are stored otherwise, and move as rows of their own.
    """

    service: str
    owners: Owners
    apart: tuple[Table, ...]
    counted: tuple[Table, ...] = ()
    folded: Folded | None = None
    journal: bool = False


def plan_of(service: str) -> Plan:
    """The plan of a service that can be split. Raises StackError for another."""
    if service == "executor":
        from executor import shards, store  # noqa: PLC0415

        tables_of = store.METADATA.tables
        return Plan(service, shards.owners(), tuple(tables_of[name] for name in shards.APART), (tables_of[shards.COUNTED],), shards.folded)
    if service == "rewards":
        from rewards import shards as own  # noqa: PLC0415
        from rewards import tables  # noqa: PLC0415

        return Plan(service, own.owners(), tuple(tables.METADATA.tables[name] for name in sorted(own.APART)), journal=True)
    raise StackError(f"{service} has no shards; executor and rewards have")


@dataclass
class Resharded:
    """What was moved: the followers of each new shard, and rows by table."""

    service: str
    before: int
    after: int
    followers: list[int] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


async def reshard(
    service: str, sources: Sequence[str], targets: Sequence[str], closed: Sequence[str], tell: Told, books: Sequence[str] = ()
) -> Resharded:
    """Writes the target stores (shard 1 first) from the source stores, which nobody may work on. Raises StackError, and then the sources
    are as they were.

    `closed`: for shards that are no more and whose journal has to be kept, where it goes. `books`: for shards that there were once, and
    are again, where their journal was kept; for the first that is added, and those after it.
    """
    plan = plan_of(service)
    async with AsyncExitStack() as stack:
        old = [await _owned(stack, service, url) for url in sources]
        for number, engine in enumerate(old, 1):
            await _check_identity(engine, Shard(number, len(old)))
        places = await _equal_places(old)
        for number in range(len(targets) + 1, len(old) + 1):
            await _check_read_whole(old[number - 1], service, number)
        new = [await _empty(stack, service, url) for url in targets]
        done = Resharded(service, len(old), len(new))
        for table in plan.owners:
            tell(f"{table.name}")
            done.rows[table.name] = await _move(plan, table, old, new)
        last_numbers = {table: await _last_numbers(old, table) for table in (outbox.counter, *plan.counted)}
        for number, engine in enumerate(new, 1):
            source = old[number - 1] if number <= len(old) else None
            await _become(plan, engine, source, Shard(number, len(new)), places, last_numbers)
        for url, engine in zip(books, new[len(old) :], strict=False):
            await _open_books(stack, plan, url, engine)
        for number, url in enumerate(closed, len(new) + 1):
            await _close_books(stack, plan, old[number - 1], url)
        done.followers = [await _followers(plan, engine) for engine in new]
        return done


async def _owned(stack: AsyncExitStack, service: str, url: str) -> AsyncEngine:
    """An up-to-date source store that nobody else works on."""
    engine = create_engine(url)
    stack.push_async_callback(engine.dispose)
    ownership = Ownership(engine, service)
    try:
        async with asyncio.timeout(2):
            await ownership.acquire()
    except TimeoutError:
        raise StackError(f"somebody works on {_named(engine)}: stop all shards first") from None
    stack.push_async_callback(ownership.release)
    await asyncio.to_thread(migrate.upgrade, service, url)
    return engine


async def _empty(stack: AsyncExitStack, service: str, url: str) -> AsyncEngine:
    """A new store without anything in it."""
    await asyncio.to_thread(migrate.upgrade, service, url)
    engine = create_engine(url)
    stack.push_async_callback(engine.dispose)
    async with AsyncSession(engine) as session:
        if await outbox.places(session) or (await session.execute(select(outbox.identity))).first() is not None:
            raise StackError(f"{_named(engine)} is not empty: name a new store")
    return engine


def _named(engine: AsyncEngine) -> str:
    return engine.url.render_as_string(hide_password=True)


async def _check_identity(engine: AsyncEngine, part: Shard) -> None:
    async with AsyncSession(engine) as session:
        known = (await session.execute(select(outbox.identity.c.value).where(outbox.identity.c.name == "shard"))).scalar()
    if known is not None and known != str(part):
        raise StackError(f"{_named(engine)} is shard {known}, not {part}: name all shards, the first first")


async def _equal_places(engines: Sequence[AsyncEngine]) -> dict[str, int]:
    """How far all of them have read. Raises StackError when one has read further than another."""
    found = []
    for engine in engines:
        async with AsyncSession(engine) as session:
            found.append(await outbox.places(session))
    for number, places in enumerate(found[1:], 2):
        if places != found[0]:
            raise StackError(
                f"shard {number} has read up to {places}, shard 1 up to {found[0]}: stop what they read from (gateway and api) first, "
                "wait until their lag is 0, then stop the shards and try again"
            )
    return found[0]


async def _check_read_whole(engine: AsyncEngine, service: str, number: int) -> None:
    """A stream whose writer is no more has to be read to its end."""
    async with AsyncSession(engine) as session:
        for topic in WRITES[service]:
            stream = numbered(topic, number)
            _, last = await outbox.ends(session, stream)
            behind = {reader: place for reader, place in (await outbox.reports(session, stream, 0)).items() if place < last}
            if behind:
                raise StackError(f"{stream} ends with shard {number}, and has not been read to its end ({last}): {behind}; wait for them")


async def _move(plan: Plan, table: Table, old: Sequence[AsyncEngine], new: Sequence[AsyncEngine]) -> int:
    """Takes a table's rows to the shards whose they are; answers how many belong to a follower. Raises StackError when one is lost."""
    moved = 0
    for engine in old:
        async with AsyncSession(engine) as session:
            async for rows in _rows(plan, table, session):
                moved += sum(owner is not None for owner, _ in rows)
                for number, target in enumerate(new, 1):
                    part = Shard(number, len(new))
                    own = [row for owner, row in rows if owner is None or part.owns(owner)]
                    await _put(target, table, own)
    arrived = 0
    for number, target in enumerate(new, 1):
        part = Shard(number, len(new))
        async with AsyncSession(target) as session:
            owners = (await session.execute(select(plan.owners[table]).select_from(table))).scalars()
            arrived += sum(owner is not None and part.owns(owner) for owner in owners)
    if arrived != moved:
        raise StackError(f"{table.name}: {moved} rows went, {arrived} arrived; the old stores are as they were")
    return moved


async def _rows(plan: Plan, table: Table, session: AsyncSession) -> AsyncIterator[list[tuple[int | None, dict[str, Any]]]]:
    """A table's rows with the follower whose they are, some at a time."""
    statement = select(*table.columns, plan.owners[table].label("its_owner"))
    names = [column.name for column in table.columns]
    result = await session.stream(statement.execution_options(yield_per=CHUNK))
    async for some in result.partitions(CHUNK):
        yield [(row[-1], dict(zip(names, row[:-1], strict=True))) for row in some]
    if plan.folded is not None:
        async for of, rows in plan.folded(session):
            if of is table:
                yield [(row["follower_login"], row) for row in rows]


async def _put(engine: AsyncEngine, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows; what every shard has is there from the first one."""
    if rows:
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(outbox.upsert(session, table).on_conflict_do_nothing(), list(rows))


async def _last_numbers(engines: Sequence[AsyncEngine], table: Table) -> list[tuple[str, int]]:
    """The last numbers that any shard ever drew: one that is split off again goes on above what others have seen of it."""
    found: dict[str, int] = {}
    for engine in engines:
        async with AsyncSession(engine) as session:
            for name, last in await session.execute(select(table)):
                found[name] = max(last, found.get(name, 0))
    return sorted(found.items())


async def _become(
    plan: Plan,
    engine: AsyncEngine,
    source: AsyncEngine | None,
    part: Shard,
    places: Mapping[str, int],
    last_numbers: Mapping[Table, list[tuple[str, int]]],
) -> None:
    """Makes a new store the shard: where it reads on, the numbers that it draws, and, if there was this shard before, its log."""
    async with AsyncSession(engine) as session, session.begin():
        await outbox.claim(session, "shard", str(part))
        if places:
            await session.execute(insert(outbox.place), [{"stream": stream, "number": number} for stream, number in places.items()])
        for table, numbers in last_numbers.items():
            if numbers:
                await session.execute(insert(table).values(numbers))
    if source is None:
        return
    own = [numbered(topic, part.number) for topic in WRITES[plan.service]]
    for table in OWN_TABLES:
        await _copy(source, engine, table, table.c.stream.in_(own))
    for table in (*plan.apart, outbox.dead_letter):
        await _copy(source, engine, table)


async def _copy(source: AsyncEngine, target: AsyncEngine, table: Table, *where: ColumnElement[bool]) -> None:
    async with AsyncSession(source) as session:
        result = await session.stream(select(*table.columns).where(*where).execution_options(yield_per=CHUNK))
        async for some in result.mappings().partitions(CHUNK):
            await _put(target, table, [dict(row) for row in some])


async def _close_books(stack: AsyncExitStack, plan: Plan, source: AsyncEngine, url: str) -> None:
    """Keeps the journal of a shard that is no more, in a store that no instance opens."""
    target = await _empty(stack, plan.service, url)
    for table in plan.apart:
        await _copy(source, target, table)
    async with AsyncSession(target) as session, session.begin():
        await outbox.claim(session, "shard", CLOSED)


async def _open_books(stack: AsyncExitStack, plan: Plan, url: str, target: AsyncEngine) -> None:
    """A shard that is there again goes on with the journal that it had."""
    source = await _owned(stack, plan.service, url)
    for table in plan.apart:
        await _copy(source, target, table)


async def _followers(plan: Plan, engine: AsyncEngine) -> int:
    """How many followers a store has subscriptions of."""
    subscription = next(table for table in plan.owners if table.name == "subscription")
    async with AsyncSession(engine) as session:
        return (await session.execute(select(func.count(subscription.c.follower_login.distinct())))).scalar_one()


def reshard_home(service: str, home: Path, shards: int, tell: Told) -> Resharded:
    """Moves the followers of a home's service (SQLite) into so many shards. The old stores are kept as `*.before-reshard`."""
    plan = plan_of(service)
    put_back(home)
    known = shards_of(home, service)
    if not known:
        raise StackError(f"there is no store of {service} in {home}: start the stack once")
    before = range(1, known + 1)
    files = {number: home / f"{numbered(service, number)}.db" for number in range(1, max(known, shards) + 1)}
    fresh = {number: file.with_suffix(".db.new") for number, file in files.items()}
    for file in fresh.values():
        _remove(file)
    kept = range(shards + 1, known + 1) if plan.journal else ()
    books = list(itertools.takewhile(Path.exists, (files[number] for number in range(known + 1, shards + 1)))) if plan.journal else []
    try:
        done = asyncio.run(
            reshard(
                service,
                [_url(files[number]) for number in before],
                [_url(fresh[number]) for number in range(1, shards + 1)],
                [_url(fresh[number]) for number in kept],
                tell,
                [_url(file) for file in books],
            )
        )
    except BaseException:
        for file in fresh.values():
            _remove(file)
        raise
    # The first store last of those that are replaced: it says how many shards there are. What is no shard any more goes after it, or
    # an end in between would leave one missing, which would be begun anew.
    for number in sorted(files, reverse=True):
        if files[number].exists():
            aside = files[number].with_suffix(ASIDE)
            aside.unlink(missing_ok=True)
            aside.hardlink_to(files[number])
        if fresh[number].exists():
            fresh[number].replace(files[number])
    for number in range(shards + 1, known + 1):
        if number not in kept:
            files[number].unlink()
    return done


def moved(service: str, home: Home, shards: int | None, sources: Sequence[str], targets: Sequence[str]) -> Resharded:
    """Reshards a home, or the stores at these URLs. Raises StackError for what makes no sense."""
    if (shards is None) == (not sources or not targets):
        raise StackError("say --shards for the stores of a home, or --from and --to for stores elsewhere")
    with Progress(TextColumn("{task.description}"), SpinnerColumn(), transient=True) as progress:
        task = progress.add_task(f"{service} moves", total=None)

        def tell(what: str) -> None:
            progress.update(task, description=f"{service} moves: {what}")

        if shards is None:
            if plan_of(service).journal and len(targets) < len(sources):
                raise StackError("a shard's journal is kept where it is: give as many --to as --from at least")
            return asyncio.run(reshard(service, sources, targets, (), tell))
        home.known_secret()
        with home.taken():
            return reshard_home(service, home.path, shards, tell)


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def _remove(file: Path) -> None:
    for path in (file, file.with_name(file.name + "-wal"), file.with_name(file.name + "-shm"), file.with_name(file.name + ".lock")):
        path.unlink(missing_ok=True)
