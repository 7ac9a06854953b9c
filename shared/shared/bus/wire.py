"""What the numbered log asks of a stream server: nine small operations, any of which may fail, and whose effects may all be lost."""

from collections.abc import Sequence
from typing import Protocol

from shared.store.outbox import Entry, Report


class Wire(Protocol):
    """A stream server as the relay and the readers see it. `RedisWire` is the real one; the simulator has one that breaks."""

    async def last(self, stream: str) -> int:
        """The last number that the stream had, 0 when it does not exist."""
        ...

    async def append(self, stream: str, expected: int, entries: Sequence[Entry]) -> int:
        """Appends if the last number is `expected`, atomically; answers the last number, appended or found."""
        ...

    async def rebuild(self, stream: str, entries: Sequence[Entry]) -> None:
        """Writes the stream anew with these entries alone, atomically."""
        ...

    async def entry(self, stream: str, number: int) -> str | None:
        """The payload of one entry, None when it is not there."""
        ...

    async def beyond(self, stream: str, number: int, limit: int) -> list[tuple[str, str]]:
        """Ids and payloads of entries after a number."""
        ...

    async def trim(self, stream: str, upto: int) -> None:
        """Drops entries up to a number."""
        ...

    async def report(self, stream: str, reader: str, report: Report) -> None:
        """Tells how far a reader is."""
        ...

    async def reported(self, stream: str) -> dict[str, Report]:
        """How far each reader says it is."""
        ...

    async def ask(self, stream: str, number: int, reader: str) -> None:
        """Asks the stream's writer for everything from a number on; may be lost, is asked again."""
        ...
