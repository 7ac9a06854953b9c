"""The writer's side of the numbered log: carries the outbox to the stream, and writes the stream anew when it has lost something.

The outbox is the truth. The relay keeps no state of its own that matters: it compares, appends, and is told where the stream is. Two relays
of one writer do no harm, nor does one that stops anywhere.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pydantic import ValidationError

from shared import telemetry
from shared.bus.wire import Wire
from shared.clock import has_passed
from shared.contracts.event import Batch, Lost
from shared.store import outbox
from shared.store.work import Store, Work, encode

log = structlog.get_logger()

Snapshot = Callable[[Work], Awaitable[None]]
"""Emits a writer's current state again, as ordinary events on one topic."""

DAY_MS = 86_400_000
ALIVE_EVERY_MS = 3_600_000
APPEND_LIMIT = 100
"""Entries that are read and sent at once, three megabytes at most: far below Redis's own time limit for a call, and whichever thread reads
them keeps the memory for it."""
FOREIGN_LIMIT = 100
UNREADABLE = "not a batch: an empty one took its number"
FOREIGN = "not written by the topic's writer"


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much a writer keeps of what every reader has handled."""

    retention_ms: int = 7 * DAY_MS
    stream_entries: int = 10_000
    reader_gone_ms: int = 7 * DAY_MS
    """A reader that has not reported for so long is not waited for."""


class Relay:
    """Carries one topic's outbox to its stream."""

    def __init__(self, store: Store, wire: Wire, topic: str, snapshot: Snapshot, keeping: Keeping = Keeping()) -> None:
        self.topic = topic
        self.stream = store.streams[topic]
        self.turned_at = time.monotonic()
        self._store = store
        self._wire = wire
        self._snapshot = snapshot
        self._keeping = keeping
        self._seen: int | None = None
        self._saved_reports: dict[str, outbox.Report] = {}
        self._wake = asyncio.Event()
        store.on_commit.append(lambda written: self._wake.set() if self.stream in written else None)

    async def run(self, look_every_s: float = 1.0) -> None:
        """Appends after each commit and looks at the stream each second, for ever. A fault of Redis or the store is waited out."""
        looked = 0.0
        while True:
            try:
                self._wake.clear()
                if time.monotonic() - looked >= look_every_s:  # before the append: a full Redis takes nothing until it is trimmed
                    looked = time.monotonic()
                    await self.look()
                await self.append()
                self.turned_at = time.monotonic()
            except Exception as fault:  # noqa: BLE001  (nothing here may end the relay; the next round starts from what is true then)
                self._seen = None
                log.warning("relay waits", stream=self.stream, fault=repr(fault))
                await asyncio.sleep(look_every_s / 2)
            try:
                async with asyncio.timeout(look_every_s):  # wait_for could swallow a cancellation
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def append(self) -> None:
        """Appends what the stream does not have yet; where its end is not as expected, goes on from where it is."""
        last = self._seen if self._seen is not None else await self._wire.last(self.stream)
        self._seen = None
        while True:
            start = last or await self._lowest_reported()
            entries = self._store.fresh.pop(self.stream, [])
            if not entries or entries[0].number != start + 1:
                async with self._store.read() as session:
                    entries = await outbox.kept(session, self.stream, start + 1, APPEND_LIMIT)
            if not entries:
                break
            last = await self._wire.append(self.stream, last, entries)
            if last == entries[-1].number == self._store.written.get(self.stream):
                break  # nothing was committed since
        self._seen = last
        telemetry.OUTBOX_LAST.labels(self.stream).set(last)

    async def answer(self, number: int, reader: str) -> None:
        """Gives a reader what it asked for: the stream is written anew from that number, or a snapshot stands for it."""
        async with self._store.read() as session:
            low, last = await outbox.ends(session, self.stream)
            entries = await outbox.kept(session, self.stream, number, APPEND_LIMIT)
            if not entries or entries[0].number != number:
                snapshot = await outbox.stands_for(session, self.stream, number)
                entries = await outbox.kept(session, self.stream, snapshot, APPEND_LIMIT) if snapshot else []
        if entries:
            there = await self._wire.entry(self.stream, entries[0].number)
            if not is_batch(entries[0].payload):
                entries = await self._mend(entries[0])
            elif there == entries[0].payload and await self._is_next(number, entries[0].number):
                return  # it is there: the reader will find it
            elif there is not None and not is_batch(there, self._store.source):
                async with self._store.work() as work:
                    await self._put_aside(work, entries[0].number, there)
            await self._wire.rebuild(self.stream, entries)
            self._seen = None
            telemetry.REBUILDS.labels(self.stream).inc()
            log.info("stream written anew", stream=self.stream, first=entries[0].number)
            self._wake.set()
        elif number > last:
            await self.look()
        elif await self._still_needs(number, reader):
            await self._emit_snapshot(Lost(1, (low or last + 1) - 1), "asked for what is no longer kept")

    async def _is_next(self, wanted: int, number: int) -> bool:
        """Whether who reads on from `wanted` meets this entry first: a snapshot behind entries that are kept is never come to."""
        first = await self._wire.beyond(self.stream, wanted - 1, 1)
        return bool(first) and first[0][0] == f"{number}-0"

    async def _still_needs(self, number: int, reader: str) -> bool:
        """Whether the reader says so still: what it asked a while ago it may have got since, and what every reader has is pruned."""
        report = (await self._wire.reported(self.stream)).get(reader)
        return report is not None and report.number < number

    async def look(self) -> None:
        """Once a second: is the stream, or a reader, where it should be? Keeps reports, trims and prunes."""
        reported = await self._wire.reported(self.stream)
        await self._keep_reports(reported)
        last = await self._wire.last(self.stream)
        async with self._store.read() as session:
            low, own_last = await outbox.ends(session, self.stream)
        if last != self._seen:
            self._seen = None  # somebody else was here, or something was lost: the next append looks for itself
            self._wake.set()
        if last > own_last and not await self._written_by_us(own_last):
            await self._remove_foreign(own_last)
            last = own_last
        highest = max([last, *(report.number for report in reported.values())])
        if highest > own_last:
            await self._go_on_above(highest)
        lowest = await self._lowest_reported()
        if lowest - self._keeping.stream_entries > 0:
            await self._wire.trim(self.stream, lowest - self._keeping.stream_entries)
        await self._prune(low, lowest)

    async def _lowest_reported(self) -> int:
        """The place of the reader that is furthest behind; 0 when none is known."""
        async with self._store.read() as session:
            known = await outbox.reports(session, self.stream, self._store.clock() - self._keeping.reader_gone_ms)
        return min(known.values(), default=0)

    async def _keep_reports(self, reported: dict[str, outbox.Report]) -> None:
        """Keeps what has moved; of a reader that stands still, only now and then that it is alive."""
        news = {reader: report for reader, report in reported.items() if self._is_news(self._saved_reports.get(reader), report)}
        if not news:
            return
        async with self._store.work() as work:
            await outbox.save_reports(work.session, self.stream, news)
        self._saved_reports |= news

    def _is_news(self, saved: outbox.Report | None, report: outbox.Report) -> bool:
        return saved is None or report.number != saved.number or has_passed(report.reported_ms, saved.reported_ms, ALIVE_EVERY_MS)

    async def _prune(self, low: int, lowest: int) -> None:
        if low == 0 or low > lowest:
            return
        async with self._store.read() as session:
            oldest = await outbox.created(session, self.stream, low)
        before = self._store.clock() - self._keeping.retention_ms
        if oldest < before:
            async with self._store.work() as work:
                await outbox.prune(work.session, self.stream, lowest, before)

    async def _written_by_us(self, after: int) -> bool:
        """Whether entries beyond our own last are a former self's: then our store was restored from a backup."""
        beyond = await self._wire.beyond(self.stream, after, FOREIGN_LIMIT)
        return any(is_batch(payload, self._store.source) for _, payload in beyond)

    async def _remove_foreign(self, own_last: int) -> None:
        """Entries that nobody here wrote are put aside and the stream is written anew without them."""
        foreign = await self._wire.beyond(self.stream, own_last, FOREIGN_LIMIT)
        async with self._store.work() as work:
            for entry_id, payload in foreign:
                await self._put_aside(work, int(entry_id.partition("-")[0]), payload)
            entries = await outbox.kept(work.session, self.stream, own_last - APPEND_LIMIT + 1, APPEND_LIMIT)
        await self._wire.rebuild(self.stream, entries)
        self._seen = None
        log.warning("foreign entries removed", stream=self.stream, entries=len(foreign))

    async def _put_aside(self, work: Work, number: int, payload: str) -> None:
        await outbox.bury(work.session, self.stream, number, outbox.WHOLE_BATCH, FOREIGN, payload, work.now)
        work.after_commit.append(telemetry.DEAD_LETTERS.labels(self.stream).inc)

    async def _go_on_above(self, highest: int) -> None:
        """Our store is older than what the world has seen of us: go on above it, with a snapshot in place of what is lost."""
        async with self._store.read() as session:
            _, own_last = await outbox.ends(session, self.stream)
        if highest > own_last:
            await self._emit_snapshot(Lost(own_last + 1, highest), "the store is older than the stream or a reader")

    async def _mend(self, broken: outbox.Entry) -> list[outbox.Entry]:
        """An entry of our own that no reader can read is put aside, and an empty one takes its number, so that the others go on."""
        async with self._store.work() as work:
            await outbox.bury(work.session, self.stream, broken.number, outbox.WHOLE_BATCH, UNREADABLE, broken.payload, work.now)
            empty = encode({"source": self._store.source, "sent": work.now, "after": {}}, self.stream, broken.number, [])
            await outbox.replace(work.session, self.stream, broken.number, empty)
            return await outbox.kept(work.session, self.stream, broken.number, APPEND_LIMIT)

    async def _emit_snapshot(self, lost: Lost, why: str) -> None:
        log.warning("snapshot", stream=self.stream, lost=list(lost), why=why)
        async with self._store.work(lost=(self.topic, lost)) as work:
            await outbox.raise_counter(work.session, self.stream, lost.last)
            await self._snapshot(work)
        self._seen = None
        self._wake.set()


def is_batch(payload: str, source: str | None = None) -> bool:
    """Whether a payload is an entry that readers can read (and that this source wrote)."""
    try:
        batch = Batch.model_validate_json(payload)
    except ValidationError:
        return False
    return source is None or batch.source == source
