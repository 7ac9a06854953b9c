"""A stream server in memory that does as it is told, or not, or does it and does not say so; it may lose anything at any time."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from shared.store.outbox import Entry, Report

Seam = Callable[[str], None]
"""Called before and after each operation: raises when something goes wrong there."""


class Stopped(BaseException):
    """The process ends here; no `except Exception` may hold it up."""


class OutOfOrderError(Exception):
    """What Redis answers to an id that is not above the stream's last one."""


class BreakingWire:
    """The operations of `shared.bus.wire.Wire`, and what a person, or a fault, may do to the server."""

    def __init__(self, seam: Seam, chance: random.Random, lost_requests: float = 0.2) -> None:
        self.rows: dict[str, list[Entry]] = defaultdict(list)
        self.lasts: dict[str, int] = defaultdict(int)
        self.reports: dict[str, dict[str, Report]] = defaultdict(dict)
        self.requests: list[tuple[str, int, str]] = []
        self.lost_requests = lost_requests
        self._seam = seam
        self._chance = chance

    async def last(self, stream: str) -> int:
        self._seam("before last")
        return self.lasts[stream]

    async def append(self, stream: str, expected: int, entries: Sequence[Entry]) -> int:
        self._seam("before append")
        if self.lasts[stream] == expected:
            self.add(stream, entries)
        self._seam("after append")
        return self.lasts[stream]

    def add(self, stream: str, entries: Sequence[Entry]) -> None:
        """Adds entries under their own ids, whatever was there before."""
        for entry in entries:
            if entry.number <= self.lasts[stream]:
                raise OutOfOrderError(f"{stream}: {entry.number} is not above {self.lasts[stream]}")
            self.rows[stream].append(entry)
            self.lasts[stream] = entry.number

    async def rebuild(self, stream: str, entries: Sequence[Entry]) -> None:
        self._seam("before rebuild")
        self.rows[stream] = list(entries)
        self.lasts[stream] = entries[-1].number if entries else 0
        self._seam("after rebuild")

    async def entry(self, stream: str, number: int) -> str | None:
        self._seam("before entry")
        return next((entry.payload for entry in self.rows[stream] if entry.number == number), None)

    async def beyond(self, stream: str, number: int, limit: int) -> list[tuple[str, str]]:
        self._seam("before beyond")
        return [(f"{entry.number}-0", entry.payload) for entry in self.rows[stream] if entry.number > number][:limit]

    async def trim(self, stream: str, upto: int) -> None:
        self.rows[stream] = [entry for entry in self.rows[stream] if entry.number > upto]

    async def report(self, stream: str, reader: str, report: Report) -> None:
        self._seam("before report")
        self.reports[stream][reader] = report

    async def reported(self, stream: str) -> dict[str, Report]:
        self._seam("before reported")
        return dict(self.reports[stream])

    async def ask(self, stream: str, number: int, reader: str) -> None:
        self._seam("before ask")
        if self._chance.random() >= self.lost_requests:
            self.requests.append((stream, number, reader))

    def flush(self) -> None:
        """Everything is gone, also what was asked for."""
        for kept in (self.rows, self.lasts, self.reports, self.requests):
            kept.clear()

    def delete(self, stream: str) -> None:
        self.rows[stream], self.lasts[stream] = [], 0

    def cut(self, stream: str, count: int) -> None:
        """The last entries are lost, and with them that they ever were."""
        self.rows[stream] = self.rows[stream][: max(0, len(self.rows[stream]) - count)]
        self.lasts[stream] = self.rows[stream][-1].number if self.rows[stream] else 0
