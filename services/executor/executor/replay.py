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
from shared.contracts.links import TOPIC, LinkRow
from shared.store.engine import READ_ONLY, create_engine
from shared.store.outbox import outbox
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from executor import inputs
from executor.decide import Decision, decide
from executor.settings import ExecutorSettings
from executor.terms import Policy, Rules, Signal, Standing, Terms

PAGE = 100
"""Entries (of up to 500 decisions) that are read at a time."""
LINK, SUBSCRIPTION = LinkRow._fields.index("link"), LinkRow._fields.index("subscription")


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


def again(event: dict[str, Any]) -> Replayed:
    """The decisions of one `link.changed` event, made again and held against what was recorded, to the byte."""
    if not event.get("inputs"):
        return Replayed(0, [])
    recorded: str = event["inputs"]
    whole = json.loads(recorded)
    signal, policy = Signal(**whole["signal"]), Policy(**whole["policy"])
    table_of_terms = [Terms(**terms) for terms in whole["terms"]]
    count = len(event["rows"])

    def spread(column: Any) -> list[Any]:
        return column if isinstance(column, list) else [column] * count

    which = spread(whole["which"])
    rules, standings, results = (
        [dict(zip(whole[name], values, strict=True)) for values in zip(*map(spread, whole[name].values()), strict=True)]
        for name in ("rules", "standing", "result")
    )
    now = [
        decide(signal, table_of_terms[terms], Rules(**own), Standing(**stands), policy)
        for terms, own, stands in zip(which, rules, standings, strict=True)
    ]
    made = dict(zip(Decision._fields, map(inputs.column, zip(*now, strict=True)), strict=True))
    if recorded.endswith(inputs.as_json(made) + "}"):
        return Replayed(count, [])
    links = {row[SUBSCRIPTION]: row[LINK] for row in event["rows"]}
    differences = [
        Difference(links[own["subscription"]], event["master_order"], json.dumps(result), json.dumps(one._asdict()))
        for own, result, one in zip(rules, results, now, strict=True)
        if result != one._asdict()
    ]
    return Replayed(count, differences)


async def entries(session: AsyncSession, from_ms: int, to_ms: int) -> AsyncIterator[str]:
    """The `copy.link` entries of a time, as the outbox keeps them (`LOCKSTEP_RETENTION_DAYS`), oldest first."""
    last = 0
    while True:
        statement = (
            select(outbox.c.number, outbox.c.payload)
            .where(outbox.c.stream.startswith(TOPIC), outbox.c.number > last, outbox.c.created_ms >= from_ms, outbox.c.created_ms < to_ms)
            .order_by(outbox.c.number)
            .limit(PAGE)
        )
        found = (await session.execute(statement)).all()
        if not found:
            return
        for number, payload in found:
            last = number
            yield payload


async def replay(session: AsyncSession, from_ms: int, to_ms: int) -> Replayed:
    """Makes every decision recorded in `[from_ms, to_ms)` again."""
    decisions, differences = 0, []
    async for payload in entries(session, from_ms, to_ms):
        for event in json.loads(payload)["events"]:
            done = again(event)
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
