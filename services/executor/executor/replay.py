"""Recorded decisions made again by the same pure rules: any difference is a change of the rules, or a decision that was not explained.

python -m executor.replay --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.clock import system_clock
from shared.store.engine import READ_ONLY, create_engine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from executor.decide import decide
from executor.fanout import row_inputs
from executor.settings import ExecutorSettings
from executor.store import DecisionBlock, table
from executor.terms import Policy, Rules, Signal, Standing, Terms

PAGE = 200
"""Blocks (of up to 500 decisions) that are read at a time."""


class Difference(NamedTuple):
    """A decision that comes out otherwise: its link, what was recorded, and what comes out now."""

    link: int
    master_order: int
    recorded: str
    now: str


class Replayed(NamedTuple):
    """How many decisions were made again, and those that differ."""

    decisions: int
    differences: list[Difference]


def again(shared: str, rows: str, master_order: int) -> Replayed:
    """One recorded block, decided again."""
    common = json.loads(shared)
    signal, policy = Signal(**common["signal"]), Policy(**common["policy"])
    table_of_terms = [Terms(**terms) for terms in common["terms"]]
    differences = []
    recorded = json.loads(rows)
    for row in recorded:
        rules, standing, terms = Rules._make(row["rules"]), Standing._make(row["standing"]), row["terms"]
        now = row_inputs(rules, standing, terms, decide(signal, table_of_terms[terms], rules, standing, policy))
        told = json.dumps({name: value for name, value in row.items() if name != "link"}, separators=(",", ":"))
        if json.loads(now) != json.loads(told):
            differences.append(Difference(row["link"], master_order, told, now))
    return Replayed(len(recorded), differences)


async def blocks(session: AsyncSession, from_ms: int, to_ms: int) -> AsyncIterator[tuple[Any, ...]]:
    """The recorded blocks of a time, oldest first: master order, shared inputs, rows."""
    own, last = table(DecisionBlock), 0
    while True:
        statement = (
            select(own.c.id, own.c.master_order, own.c.shared, own.c.rows)
            .where(own.c.made_ms >= from_ms, own.c.made_ms < to_ms, own.c.id > last)
            .order_by(own.c.id)
            .limit(PAGE)
        )
        found = (await session.execute(statement)).all()
        if not found:
            return
        for row in found:
            last = row[0]
            yield tuple(row[1:])


async def replay(session: AsyncSession, from_ms: int, to_ms: int) -> Replayed:
    """Makes every decision recorded in `[from_ms, to_ms)` again."""
    decisions, differences = 0, []
    async for master_order, shared, rows in blocks(session, from_ms, to_ms):
        done = again(shared, rows, master_order)
        decisions += done.decisions
        differences += done.differences
    return Replayed(decisions, differences)


def instant(text: str) -> int:
    """Unix milliseconds of an ISO 8601 time (without a zone: UTC)."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def run(url: str, from_ms: int, to_ms: int) -> Replayed:
    """Replays from an executor's store."""
    engine = create_engine(url)
    try:
        async with AsyncSession(engine.execution_options(**READ_ONLY)) as session:
            return await replay(session, from_ms, to_ms)
    finally:
        await engine.dispose()


def main(arguments: list[str] | None = None) -> int:
    """The command; exit code 1 when something differs."""
    parser = argparse.ArgumentParser(prog="executor.replay", description=__doc__)
    parser.add_argument("--from", dest="since", default="1970-01-01T00:00:00Z", help="ISO time, included")
    parser.add_argument("--to", default="", help="ISO time, not included; now when omitted")
    given = parser.parse_args(arguments)
    settings = ExecutorSettings()
    to_ms = instant(given.to) if given.to else system_clock(settings.clock_offset)() + 1
    done = asyncio.run(run(settings.database("executor"), instant(given.since), to_ms))
    for difference in done.differences:
        sys.stdout.write(f"link {difference.link} of order {difference.master_order}: {difference.recorded} is now {difference.now}\n")
    sys.stdout.write(f"decisions={done.decisions} differences={len(done.differences)}\n")
    return 1 if done.differences else 0


if __name__ == "__main__":
    sys.exit(main())
