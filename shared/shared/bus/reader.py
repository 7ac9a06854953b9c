"""The reader's side of the numbered log: handles each number once, in order, and asks for what is missing.

A run of entries is one transaction: state, what is emitted, and the place. What fails because of its surroundings is tried for ever; what
fails by itself is tried alone, three times, and then kept as a dead letter, so that the others go on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, partial
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError, create_model
from sqlalchemy.exc import DBAPIError

from shared import telemetry
from shared.contracts.event import Batch, Lost
from shared.store import outbox
from shared.store.engine import AWAY
from shared.store.outbox import DeadLetter, Entry, NotOwnerError, PlaceMovedError
from shared.store.work import Store, Work

log = structlog.get_logger()

TRIES = 3
TRANSACTION_S = 0.1
"""How long one transaction goes on taking entries: what waits for its turn (a halt, a request) is not held up by a backlog."""
CHARS_DECODED = 2_000_000
"""So much JSON is decoded ahead: a fan-out to 10,000 is a third of it, and a backlog does not fill the memory."""
CAUSE_WAIT_S = 1.0
BACK_OFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

E = TypeVar("E")
READ_ONLY = "25006"
"""What Postgres answers while it takes no writes: a server that was demoted, or whose disk is full. SQLite has an OperationalError."""


class Unavailable(Exception):  # noqa: N818  (a state of the surroundings, not an error of ours)
    """Something that a handler needs is away; the same run is tried again until it is back."""


SURROUNDINGS = (*AWAY, ConnectionError, TimeoutError, OSError, NotOwnerError, Unavailable)


@dataclass(frozen=True, slots=True)
class Received(Generic[E]):
    """One entry, as a handler gets it."""

    stream: str
    number: int
    source: str
    sent: int
    events: tuple[E, ...]
    lost: Lost | None = None


Handler = Callable[[Received[Any], Work], Awaitable[None]]
Overheard = Callable[[str, int, Callable[[], Received[Any] | None]], None]
"""Told of an entry that one of the instances has handled: its stream, its number, and a way to what is in it (None: it is no batch)."""


class Verdict(Enum):
    """What came of a run of entries."""

    HANDLED = auto()
    GAP = auto()
    """The next number is not among them: it has to be asked for."""


class _Broken(NamedTuple):
    place: int
    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class _Decoded:
    batch: Received[Any]
    after: dict[str, int]
    broken: tuple[_Broken, ...]


class Reader:
    """Reads one stream of a topic for one service."""

    def __init__(
        self, store: Store, stream: str, events: Any, handler: Handler, reads: Sequence[str] = (), overheard: Overheard | None = None
    ) -> None:
        """`events`: the topic's event type, a tagged union. `reads`: all streams that this service reads; only those hold a batch back."""
        self.stream = stream
        self.turned_at = time.monotonic()
        self._store = store
        self._events = _one_event(events)
        self._typed = _typed_batch(events)
        self._handler = handler
        self._overheard = overheard
        self._reads = frozenset(reads) - {stream}
        self._malformed = 0

    @property
    def place(self) -> int:
        """The last number handled."""
        return self._store.places[self.stream]

    def now(self) -> int:
        """The service's time: Unix milliseconds."""
        return self._store.clock()

    async def take(self, entries: Sequence[Entry]) -> Verdict:
        """Handles entries from the stream, in order, as far as they follow each other. Raises nothing but cancellation."""
        try:
            return await self._take(entries)
        finally:
            self._overhear(entries)

    def _overhear(self, entries: Sequence[Entry]) -> None:
        """Tells of the entries that are handled now: another instance was faster, or this one has done it (who listens knows its own)."""
        if self._overheard is None:
            return
        for entry in entries:
            if entry.number <= self.place:
                self._overheard(self.stream, entry.number, partial(self._batch_of, entry))

    def _batch_of(self, entry: Entry) -> Received[Any] | None:
        decoded = self._decode(entry)
        return decoded.batch if decoded else None

    async def _take(self, entries: Sequence[Entry]) -> Verdict:
        waiting = [entry for entry in entries if entry.number > self.place]
        while waiting:
            self.turned_at = time.monotonic()
            run: list[_Decoded] = []
            chars = 0
            for entry in waiting:
                decoded = self._decode(entry)
                if decoded is None or not self._follows(run, decoded) or not self._caught_up(decoded) or chars > CHARS_DECODED:
                    break
                run.append(decoded)
                chars += len(entry.payload)
            if run:
                while run and self._follows([], run[0]):
                    await self._handle(run)
                    self.turned_at = time.monotonic()
                    run = [one for one in run if one.batch.number > self.place]
            elif decoded is None:
                await self._put_aside(entry)
                return Verdict.GAP
            elif not self._follows(run, decoded):
                return Verdict.GAP
            else:
                await self._store.places.wait(CAUSE_WAIT_S)
            waiting = [entry for entry in waiting if entry.number > self.place]
        self.turned_at = time.monotonic()
        return Verdict.HANDLED

    def _follows(self, run: list[_Decoded], entry: _Decoded) -> bool:
        """Whether an entry is the next one, or a snapshot that stands for the next one."""
        wanted = (run[-1].batch.number if run else self.place) + 1
        number, lost = entry.batch.number, entry.batch.lost
        return number == wanted or (lost is not None and lost.first <= wanted <= lost.last)

    def _caught_up(self, entry: _Decoded) -> bool:
        """Causal order: whether this service has read as far as the writer had when it wrote the entry."""
        return all(self._store.places[stream] >= number for stream, number in entry.after.items() if stream in self._reads)

    def _decode(self, entry: Entry) -> _Decoded | None:
        """The entry's events; None when it is no batch at all. An event that is malformed does not spoil the others."""
        try:
            typed = self._typed.model_validate_json(entry.payload)
        except ValidationError:
            return self._decode_one_by_one(entry)
        batch = Received(self.stream, entry.number, typed.source, typed.sent, typed.events, typed.lost)
        return _Decoded(batch, typed.after, ())

    def _decode_one_by_one(self, entry: Entry) -> _Decoded | None:
        try:
            raw = Batch.model_validate_json(entry.payload)
        except ValidationError:
            return None
        good, broken = [], []
        for index, item in enumerate(raw.events):
            try:
                good.append(self._events.validate_python(item))
            except ValidationError as error:
                broken.append(_Broken(index, reason_of(error), _json(item)))
        batch = Received(self.stream, entry.number, raw.source, raw.sent, tuple(good), raw.lost)
        return _Decoded(batch, raw.after, tuple(broken))

    async def _put_aside(self, entry: Entry) -> None:
        """An entry that is no batch is kept as a dead letter, once, however often it is read. Its number does not pass: the writer puts a
        good entry in its place."""
        if self._malformed == entry.number:
            return
        async with self._store.work() as work:
            if not await outbox.is_buried(work.session, self.stream, entry.number, entry.payload):
                await self._bury(work, entry.number, outbox.WHOLE_BATCH, "malformed: not a batch", entry.payload)
        self._malformed = entry.number

    async def _handle(self, run: list[_Decoded]) -> None:
        """Handles entries that follow each other, or as many of them as one transaction takes; none that another instance has handled."""
        try:
            await self._handle_ours(run)
        except PlaceMovedError:
            await self._store.reload_places()

    async def _handle_ours(self, run: list[_Decoded]) -> None:
        started = time.perf_counter()
        attempt = tries = 0
        while True:
            try:
                await self._transaction(run)
            except PlaceMovedError:
                raise
            except Exception as fault:
                if is_surroundings(fault):
                    log.warning("waits for its surroundings", stream=self.stream, number=run[0].batch.number, fault=repr(fault))
                    await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                    attempt += 1
                    continue
                if len(run) > 1:
                    for one in run:
                        if one.batch.number > self.place:
                            await self._handle([one])
                    return
                tries += 1
                log.error("handler failed", stream=self.stream, number=run[0].batch.number, tries=tries, exc_info=fault)
                if tries >= TRIES:
                    await self._give_up(run[0], fault)
                    return
            else:
                break
        telemetry.HANDLE_SECONDS.labels(self.stream).observe(time.perf_counter() - started)
        telemetry.READER_POSITION.labels(self.stream).set(self.place)

    async def _transaction(self, run: list[_Decoded]) -> None:
        began = time.monotonic()
        async with self._store.work() as work:
            place = self.place
            work.ahead = [one.batch for one in run]
            for one in run:
                if work.handled and time.monotonic() - began > TRANSACTION_S:
                    break  # others wait for their turn: a halt among them
                for broken in one.broken:
                    await self._bury(work, one.batch.number, broken.place, broken.reason, broken.payload)
                if one.batch.events or one.batch.lost:
                    work.cause = one.batch.events[0] if one.batch.events else None
                    await self._handler(one.batch, work)
                work.move(self.stream, place, one.batch.number)
                work.handled.append(one.batch)
                place = one.batch.number
        telemetry.BATCHES.labels(self.stream).inc(len(work.handled))

    async def _give_up(self, one: _Decoded, fault: Exception) -> None:
        payload = _json({"events": [event.model_dump(mode="json") for event in one.batch.events]})
        async with self._store.work() as work:
            for broken in one.broken:
                await self._bury(work, one.batch.number, broken.place, broken.reason, broken.payload)
            await self._bury(work, one.batch.number, outbox.WHOLE_BATCH, f"{type(fault).__name__}: {fault}", payload)
            work.move(self.stream, self.place, one.batch.number)

    async def again(self, letter: DeadLetter) -> None:
        """Handles what a dead letter holds once more, in one transaction that marks it as retried.

        Raises ValueError when it is still malformed, and whatever the handler raises.
        """
        if letter.event_index == outbox.WHOLE_BATCH:
            raw = TypeAdapter(dict[str, Any]).validate_json(letter.payload)
            events = tuple(self._events.validate_python(item) for item in raw.get("events", ()))
        else:
            events = (self._events.validate_json(letter.payload),)
        if not events:
            raise ValueError("no events in it")
        async with self._store.work(cause=events[0]) as work:
            await self._handler(Received(self.stream, letter.number, self._store.source, letter.created_ms, events), work)
            await outbox.mark_retried(work.session, letter.id, work.now)

    async def _bury(self, work: Work, number: int, index: int, reason: str, payload: str) -> None:
        telemetry.DEAD_LETTERS.labels(self.stream).inc()
        log.error("dead letter", stream=self.stream, number=number, index=index, reason=reason)
        await outbox.bury(work.session, self.stream, number, index, reason, payload, work.now)


def reason_of(error: ValidationError) -> str:
    """The first thing that is wrong, in words, without the input (which stands beside it)."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"malformed: {place}: {first['msg']}" if place else f"malformed: {first['msg']}"


def is_surroundings(fault: Exception) -> bool:
    if isinstance(fault, DBAPIError) and (fault.connection_invalidated or getattr(fault.orig, "sqlstate", None) == READ_ONLY):
        return True
    return isinstance(fault, SURROUNDINGS)


def _json(value: Any) -> str:
    return TypeAdapter(Any).dump_json(value).decode()


@cache
def _one_event(events: Any) -> TypeAdapter[Any]:
    return TypeAdapter(events)


@cache
def _typed_batch(events: Any) -> type[Batch]:
    """`Batch` with its events decoded in the same pass: the usual way; a batch that fails it is decoded event by event."""
    return create_model("TypedBatch", __base__=Batch, events=(tuple[events, ...], ()))
