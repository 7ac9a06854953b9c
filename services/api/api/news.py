"""What changed for a customer, numbered: each row of a read model carries the number of its last change, so whoever was away asks for what
has a higher number than the last they saw, and gets every such row as it stands now. Numbers are committed in their order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import structlog
from shared.store.engine import AWAY
from shared.store.work import Store
from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from api import views
from api.errors import Refused
from api.read_models import Account, Accrual, ChangeCounter, Deal, Position, PositionGone, TradeLink
from api.tables import Base

log = structlog.get_logger()

PAGE = 500
TOUCHED_MAX = 20_000
LOOK_EVERY_S = 1.0


class Kind(NamedTuple):
    """One kind of change: its rows, what is told of them, and which columns say whose they are."""

    name: str
    model: type[Base]
    fields: tuple[str, ...]
    whose: tuple[str, ...]


BOTH = ("follower_login", "master_login")
KINDS = (
    Kind("account", Account, views.ACCOUNT, ("login",)),
    Kind("position", Position, views.POSITION, ("login",)),
    Kind("position.closed", PositionGone, views.CLOSED_POSITION, ("login",)),
    Kind("deal", Deal, views.DEAL, ("login",)),
    Kind("link", TradeLink, views.LINK, BOTH),
    Kind("accrual", Accrual, views.ACCRUAL, BOTH),
)


class Changed(NamedTuple):
    """A row that has changed, as it stands."""

    number: int
    kind: Kind
    row: Any


class Span(NamedTuple):
    """The numbers that a stream can be resumed from: any from `floor` to `last`."""

    floor: int
    last: int


async def span(session: AsyncSession) -> Span:
    row = (await session.execute(select(col(ChangeCounter.floor), col(ChangeCounter.last)))).one_or_none()
    return Span(row[0], row[1]) if row else Span(0, 0)


async def changes(session: AsyncSession, logins: Sequence[int], after: int, upto: int) -> tuple[list[Changed], int]:
    """What changed for these accounts after a number, in order, a page at most; and the number that one has seen all up to with it."""
    found: list[Changed] = []
    for kind in KINDS:
        # The sum keeps the database from looking through all that the accounts ever had: the numbers' index is the short way.
        its = or_(*((col(getattr(kind.model, name)) + 0).in_(logins) for name in kind.whose))
        number: Any = col(kind.model.change_id)  # type: ignore[attr-defined]
        statement = select(kind.model).where(number > after, number <= upto, its).order_by(number).limit(PAGE)
        rows = (await session.execute(statement)).scalars().all()
        found += [Changed(row.change_id, kind, row) for row in rows]  # type: ignore[attr-defined]
        if len(rows) == PAGE:
            upto = found[-1].number
    return sorted((one for one in found if one.number <= upto), key=lambda one: one.number), upto


async def forget_old_changes(session: AsyncSession, kept: int) -> None:
    """Drops what only those need who were away for more than so many changes."""
    last = (await span(session)).last
    await session.execute(update(ChangeCounter).where(col(ChangeCounter.floor) < last - kept).values(floor=last - kept))
    await session.execute(delete(PositionGone).where(col(PositionGone.change_id) <= last - kept))


class Listener:
    """One stream: woken when something may have changed for its customer."""

    def __init__(self, customer_id: int) -> None:
        self.customer_id = customer_id
        self.logins: frozenset[int] = frozenset()
        self.woken = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Waits to be woken, for `timeout_s` at most."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.woken.wait()
        except TimeoutError:
            return


class Hub:
    """Looks at the changes once for all streams of this instance, and wakes those whom they concern."""

    def __init__(self, store: Store, per_customer: int, total: int) -> None:
        self.closing = False
        self._store = store
        self._per_customer = per_customer
        self._total = total
        self._listeners: set[Listener] = set()
        self._seen: int | None = None

    @asynccontextmanager
    async def joined(self, customer_id: int) -> AsyncIterator[Listener]:
        """A listener as long as the block lasts. Raises Refused(TOO_MANY_REQUESTS) beyond the limits."""
        own = Counter(listener.customer_id for listener in self._listeners)[customer_id]
        if own >= self._per_customer or len(self._listeners) >= self._total:
            raise Refused("TOO_MANY_REQUESTS", f"{own} streams are open", retry_after_s=5)
        listener = Listener(customer_id)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Runs as long as the service does; when it ends, so do the streams."""
        try:
            while True:
                try:
                    await self.look()
                except AWAY as fault:
                    log.warning("database unavailable", fault=repr(fault))
                    await asyncio.sleep(LOOK_EVERY_S)
                await self._store.places.wait(LOOK_EVERY_S)
        finally:
            self.closing = True
            _wake(self._listeners)

    async def look(self) -> None:
        """Wakes whom the changes since the last look concern."""
        if not self._listeners:
            self._seen = None
            return
        async with self._store.read() as session:
            last = (await span(session)).last
            if self._seen is None or last < self._seen or last - self._seen > TOUCHED_MAX:
                _wake(self._listeners)
            elif last > self._seen:
                customers, logins = await _touched(session, self._seen)
                _wake(one for one in self._listeners if one.customer_id in customers or not logins.isdisjoint(one.logins))
            self._seen = last


def _wake(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.woken.set()


async def _touched(session: AsyncSession, after: int) -> tuple[set[int], set[int]]:
    """The customers and the accounts that rows with a higher number belong to."""
    logins: set[int] = set()
    for kind in KINDS:
        columns = [col(getattr(kind.model, name)) for name in kind.whose]
        number: Any = col(kind.model.change_id)  # type: ignore[attr-defined]
        for row in (await session.execute(select(*columns).where(number > after))).all():
            logins.update(row)
    fresh = select(col(Account.customer_id)).where(col(Account.change_id) > after)
    return set((await session.execute(fresh)).scalars()), logins
