"""Services in one process without Redis: each one's outbox is handed straight to the others' readers, the very code that runs for real."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from shared.bus.reader import Reader, Verdict
from shared.clock import Clock
from shared.service import Parts, Read
from shared.shards import Shard, numbered, streams
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.work import Store

from tests.stores import quick, store_url


@dataclass
class Member:
    """One service: its store and its readers by stream."""

    store: Store
    readers: dict[str, Reader] = field(default_factory=dict)


@dataclass(eq=False)
class _Line:
    """A stream on its way from its writer's outbox to one reader. It looks when something was written, not all the time."""

    stream: str
    writer: Store
    reader: Reader
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    idle: bool = False

    def written(self, streams: set[str]) -> None:
        if self.stream in streams:
            self.woken.set()

    async def hand_on(self, lines: list["_Line"], settled: asyncio.Event) -> None:
        """For ever. Settled is when every line has found nothing and nothing was written since it looked."""
        while True:
            self.woken.clear()
            async with self.writer.read() as session:
                entries = await outbox.kept(session, self.stream, self.reader.place + 1, 500)
            if entries:
                assert await self.reader.take(entries) is Verdict.HANDLED, f"{self.stream}: gap after {self.reader.place}"
                continue
            self.idle = True
            if all(line.idle and not line.woken.is_set() for line in lines):
                settled.set()
            await self.woken.wait()
            self.idle = False


WHOLE = Shard()
"""A service that is not split."""


class Loopback:
    """A small world of services. `settle` hands everything on until nothing is left to hand on."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.members: dict[str, Member] = {}

    async def open_store(self, name: str, writes: tuple[str, ...], url: str = "", part: Shard = WHOLE) -> Store:
        """A service's own migrated store (one in the folder, unless a URL is given)."""
        source = numbered(name, part.number)
        if url:
            migrate.upgrade(name, url)
        url = url or store_url(name, self._folder, source)
        store = Store(quick(create_engine(url)), source, self._clock, {topic: numbered(topic, part.number) for topic in writes})
        await store.open(shard=str(part))
        return store

    def join(self, store: Store, parts: Parts | Mapping[str, Read], shards: Mapping[str, int] = MappingProxyType({})) -> Member:
        """Lets a service take part. `shards`: how many shards the writer of a topic that it reads has."""
        reads = parts.reads if isinstance(parts, Parts) else parts
        if isinstance(parts, Parts) and parts.forget is not None:
            store.on_rollback.append(parts.forget)
        by_stream = {stream: read for topic, read in reads.items() for stream in streams(topic, shards.get(topic, 1))}
        readers = {stream: Reader(store, stream, read.events, read.handler, reads=list(by_stream)) for stream, read in by_stream.items()}
        member = Member(store, readers)
        self.members[store.source] = member
        return member

    async def settle(self, timeout_s: float = 30) -> None:
        """Hands on until every reader has handled all that was written."""
        readers = [(stream, reader) for member in self.members.values() for stream, reader in member.readers.items()]
        lines = [_Line(stream, writer, reader) for stream, reader in readers if (writer := self._writer(stream)) is not None]
        settled = asyncio.Event()
        for line in lines:
            line.writer.on_commit.append(line.written)
        tasks = [asyncio.create_task(line.hand_on(lines, settled)) for line in lines]
        done = asyncio.create_task(settled.wait() if lines else asyncio.sleep(0))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wait([done, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for line in lines:
                line.writer.on_commit.remove(line.written)
            for task in (done, *tasks):
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    def _writer(self, stream: str) -> Store | None:
        return next((member.store for member in self.members.values() if stream in member.store.streams.values()), None)

    async def close(self) -> None:
        for member in self.members.values():
            await member.store.engine.dispose()
