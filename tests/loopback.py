"""Services in one process without Redis: each one's outbox is handed straight to the others' readers, the very code that runs for real."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.bus.reader import Reader, Verdict
from shared.clock import Clock
from shared.service import Parts, Read
from shared.store import migrate, outbox
from shared.store.engine import create_engine
from shared.store.work import Store


@dataclass
class Member:
    """One service: its store and its readers by topic."""

    store: Store
    readers: dict[str, Reader] = field(default_factory=dict)


class Loopback:
    """A small world of services. `settle` hands everything on until nothing is left to hand on."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.members: dict[str, Member] = {}

    async def open_store(self, name: str, writes: tuple[str, ...], url: str = "") -> Store:
        """A service's own migrated store (SQLite in the folder, unless a URL is given)."""
        url = url or f"sqlite:///{self._folder / name}.db"
        migrate.upgrade(name, url)
        store = Store(create_engine(url), name, self._clock, {topic: topic for topic in writes})
        await store.open()
        return store

    def join(self, store: Store, parts: Parts | Mapping[str, Read]) -> Member:
        """Lets a service take part."""
        reads = parts.reads if isinstance(parts, Parts) else parts
        if isinstance(parts, Parts) and parts.forget is not None:
            store.on_rollback.append(parts.forget)
        readers = {topic: Reader(store, topic, read.events, read.handler, reads=list(reads)) for topic, read in reads.items()}
        member = Member(store, readers)
        self.members[store.source] = member
        return member

    async def settle(self, timeout_s: float = 30) -> None:
        """Hands on until every reader has handled all that was written."""
        readers = [(topic, reader) for member in self.members.values() for topic, reader in member.readers.items()]
        tasks = [asyncio.create_task(self._hand_on(topic, reader)) for topic, reader in readers]
        try:
            async with asyncio.timeout(timeout_s):
                # Twice: what one reader's service wrote while the next was looked at is seen the second time.
                while not (await self._settled(readers) and await self._settled(readers)):  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _hand_on(self, topic: str, reader: Reader) -> None:
        writer = self._writer(topic)
        while writer is not None:
            async with writer.read() as session:
                entries = await outbox.kept(session, topic, reader.place + 1, 500)
            if entries:
                assert await reader.take(entries) is Verdict.HANDLED, f"{topic}: gap after {reader.place}"
            else:
                await asyncio.sleep(0.002)

    async def _settled(self, readers: list[tuple[str, Reader]]) -> bool:
        for topic, reader in readers:
            writer = self._writer(topic)
            if writer is None:
                continue
            async with writer.read() as session:
                _, last = await outbox.ends(session, topic)
            if reader.place < last:
                return False
        return True

    def _writer(self, topic: str) -> Store | None:
        return next((member.store for member in self.members.values() if topic in member.store.streams), None)

    async def close(self) -> None:
        for member in self.members.values():
            await member.store.engine.dispose()
