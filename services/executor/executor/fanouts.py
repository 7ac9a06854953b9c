"""Fan-outs as they are stored: one row for the links that one decision made for many followers, until something happens to each.

A link that has changed since has a row of its own, which counts; a skip, to which nothing happens any more, never needs one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from executor import links
from executor.columns import Integers, Truth
from executor.links import STATES
from executor.records import LinkRecord, new_link
from executor.store import FanOut, Link, columns_of, read_rows, table

NAMES = columns_of(FanOut)


@dataclass(slots=True)
class Flight:
    """A fan-out some of whose copies have no row of their own yet: they are on their way to the venue. Subscriptions are in order."""

    first_link: int
    master_order: int
    master_login: int
    created_ms: int
    subscriptions: Integers
    logins: Integers
    alone: Truth
    """Which of them are copies without a row of their own."""

    def landed(self, subscriptions: Iterable[int]) -> None:
        """These have rows of their own now."""
        wanted = np.fromiter(subscriptions, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.subscriptions, wanted), len(self.subscriptions) - 1)
        self.alone[places[self.subscriptions[places] == wanted]] = False


Chosen = Callable[[Flight], Truth]


def unpacked(row: tuple[Any, ...]) -> list[LinkRecord]:
    """The links of a stored fan-out, as they were when they were made."""
    facts = dict(zip(NAMES, row, strict=True))
    columns = orjson.loads(facts["links"])
    count = len(columns["subscription"])
    spread = {name: values if isinstance(values, list) else [values] * count for name, values in columns.items()}
    now, kind = facts["created_ms"], facts["kind"]
    copied = links.OPENING if kind == "position" else links.PENDING
    same = {
        "master_login": facts["master_login"],
        "master_order": facts["master_order"],
        "master_volume": facts["master_volume"],
        "master_now": facts["master_volume"],
        "seen_version": facts["seen_version"],
        "kind": kind,
        "created_ms": now,
        "updated_ms": now,
    }
    made = []
    for place, values in enumerate(zip(*spread.values(), strict=True)):
        own = dict(zip(spread, values, strict=True))
        phase = links.SKIPPED if own["reason"] else copied
        own |= {"id": facts["first_link"] + place, "phase": phase, "state": int(STATES[phase]), "target": own["volume"]}
        made.append(new_link(same | own | {"sent_ms": 0 if own["reason"] else now}))
    return made


async def of_order(session: AsyncSession, master_order: int) -> list[LinkRecord]:
    """The links of a master order's fan-outs, as they were when they were made."""
    rows = await read_rows(session, FanOut, table(FanOut).c.master_order == master_order, order_by=table(FanOut).c.first_link)
    return [link for row in rows for link in unpacked(row)]


async def in_flight(session: AsyncSession) -> list[Flight]:
    """The fan-outs with copies that have no row of their own."""
    own, link = table(FanOut), table(Link)
    flights = []
    for row in await read_rows(session, FanOut, own.c.waiting == 1, order_by=own.c.first_link):
        facts = dict(zip(NAMES, row, strict=True))
        flight = flight_of(facts)
        statement = select(link.c.subscription).where(link.c.master_order == facts["master_order"])
        flight.landed(row[0] for row in await session.execute(statement))
        flights.append(flight)
    return flights


def flight_of(facts: dict[str, Any]) -> Flight:
    """A fan-out that was just stored: nothing has happened to its links."""
    columns = orjson.loads(facts["links"])
    subscriptions = np.array(columns["subscription"], dtype=np.int64)
    reasons = columns["reason"]
    copied = [not reason for reason in reasons] if isinstance(reasons, list) else [not reasons] * len(subscriptions)
    return Flight(
        facts["first_link"],
        facts["master_order"],
        facts["master_login"],
        facts["created_ms"],
        subscriptions,
        np.array(columns["follower_login"], dtype=np.int64),
        np.array(copied, dtype=np.bool_),
    )


async def all_landed(session: AsyncSession, first_link: int) -> None:
    """Every copy of this fan-out has a row of its own."""
    own = table(FanOut)
    await session.execute(update(own).where(own.c.first_link == first_link).values(waiting=0))


async def orders_since(session: AsyncSession, since_ms: int) -> list[int]:
    """The master orders of the fan-outs since then."""
    own = table(FanOut)
    statement = select(own.c.master_order).where(own.c.created_ms >= since_ms).distinct().order_by(own.c.master_order)
    return list((await session.execute(statement)).scalars())


def row_of(fan_out: FanOut) -> tuple[Any, ...]:
    """A fan-out as its table has it."""
    return tuple(getattr(fan_out, name) for name in NAMES)


def of_logins(logins: Iterable[int]) -> Chosen:
    """The copies of these followers."""
    wanted = np.fromiter(logins, dtype=np.int64)
    return lambda flight: np.isin(flight.logins, wanted)


def sent_outside(due: int, now: int) -> Chosen:
    """The copies that were sent until `due`, or later than now."""
    return lambda flight: np.full(len(flight.alone), flight.created_ms <= due or flight.created_ms > now)


def everything(flight: Flight) -> Truth:
    """All copies."""
    return flight.alone
