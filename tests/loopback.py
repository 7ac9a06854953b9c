"""Services in one process without Redis: each one's outbox is handed straight to the others' readers, the very code that runs for real."""

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

    async def settle(self) -> None:
        """Hands on until every reader has handled all that was written."""
        progress = True
        while progress:
            progress = False
            for member in list(self.members.values()):
                for topic, reader in member.readers.items():
                    progress = await self._hand_on(topic, reader) or progress

    async def _hand_on(self, topic: str, reader: Reader) -> bool:
        for writer in self.members.values():
            if topic not in writer.store.streams:
                continue
            async with writer.store.read() as session:
                entries = await outbox.kept(session, topic, reader.place + 1, 500)
            # One at a time while it waits for a cause, so that the others can catch up in between.
            ready = [entry for entry in entries if all(reader.caught_up(entry) for entry in [entry])]
            if not ready:
                return False
            before = reader.place
            verdict = await reader.take(entries[: 1 if len(ready) < len(entries) else len(entries)] if ready[0] == entries[0] else [])
            assert verdict is Verdict.HANDLED, f"{topic}: gap after {reader.place}"
            return reader.place > before
        return False

    async def close(self) -> None:
        for member in self.members.values():
            await member.store.engine.dispose()
