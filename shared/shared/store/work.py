"""The unit of work: one handled run of entries, or one request, is one transaction, with what it emits in the same transaction."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from shared.clock import Clock
from shared.contracts.event import ROWS_PER_ENTRY, Event, Lost, TableEvent
from shared.store import outbox
from shared.store.engine import READ_ONLY

ENTRY_CHARS = 32_768
"""About as much as `ROWS_PER_ENTRY` rows of a fan-out. A reader takes 200 entries at once of each stream, in a process of 300 MB."""
FRESH_LIMIT = 256
"""Most entries of a stream that are kept in memory for the relay."""


class Places:
    """How far this service has read each stream: as committed, in memory, with a way to wait for progress."""

    def __init__(self, numbers: Mapping[str, int] | None = None) -> None:
        self._numbers = dict(numbers or {})
        self._moved = asyncio.Condition()

    def __getitem__(self, stream: str) -> int:
        return self._numbers.get(stream, 0)

    def all(self) -> dict[str, int]:
        return dict(self._numbers)

    async def moved(self, numbers: Mapping[str, int]) -> None:
        """Takes over what was just committed and wakes whoever waits for it."""
        self._numbers.update(numbers)
        async with self._moved:
            self._moved.notify_all()

    async def wait(self, timeout_s: float) -> None:
        """Waits for any progress, for `timeout_s` at most."""
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the progress, and the service never stops.
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait()
        except TimeoutError:
            return


@dataclass(slots=True)
class Work:
    """What a handler works with: the session, the time, and `emit`. It never commits; who made it does."""

    session: AsyncSession
    now: int
    """Unix milliseconds, one instant for the whole unit of work."""
    cause: Event | None = None
    """The event that is being handled: what is emitted answers it."""
    correlation_id: str = ""
    """For work without a cause (a request): the id of the workflow that it begins."""
    lost: tuple[str, Lost] | None = None
    """For a snapshot: its topic, and the numbers that it stands for."""
    moves: dict[str, tuple[int, int]] = field(default_factory=dict)
    emitted: list[tuple[str, Event]] = field(default_factory=list)
    before_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Called once when the block has ended, before what was emitted is numbered: for state that is written in bulk at the end."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Called once it is committed, and not at all when it is given up: for figures."""
    ahead: list[Any] = field(default_factory=list)
    """The entries that were read together: what a handler may look at to know what comes after."""
    handled: list[Any] = field(default_factory=list)
    """The entries (`Received`) that are handled in it: none for a request or a timer."""
    sent: list[tuple[str, int, list[Event]]] = field(default_factory=list)
    """What was emitted, by stream and number; filled when it is written."""
    began_ns: int = field(default_factory=time.time_ns)
    """When it began, by the machine's own clock."""

    def emit(self, topic: str, event: Event) -> None:
        """Sends an event with this transaction. A table of more than 500 rows goes as several."""
        correlation = self.cause.correlation_id if self.cause else self.correlation_id
        stamp: dict[str, object] = {"time": self.now, "correlation_id": correlation, "causation_id": self.cause.id if self.cause else ""}
        if isinstance(event, TableEvent) and len(event.rows) > ROWS_PER_ENTRY:
            for start in range(0, len(event.rows), ROWS_PER_ENTRY):
                part = event.model_copy(update=stamp | {"rows": event.rows[start : start + ROWS_PER_ENTRY]})
                self.emitted.append((topic, part))
            return
        self.emitted.append((topic, event.model_copy(update=stamp)))

    def move(self, stream: str, before: int, after: int) -> None:
        """Moves this service's place in a stream with this transaction."""
        start = self.moves[stream][0] if stream in self.moves else before
        self.moves[stream] = (start, after)


class WrongStoreError(Exception):
    """A store is not what the instance that opens it is told to be: its followers would be served by nobody, or twice."""


class Store:
    """A service's store: makes units of work, numbers what they emit, and knows how far the service has read.

    `streams` names the stream that this instance writes for each topic. With `serial`, units of work run one at a time: for a service
    that decides from memory, and for SQLite, which has one writer anyway.
    """

    def __init__(self, engine: AsyncEngine, source: str, clock: Clock, streams: Mapping[str, str] | None = None, serial: bool = True):
        self.engine = engine
        self.source = source
        self.clock = clock
        self.streams = dict(streams or {})
        self.places = Places()
        self.on_commit: list[Callable[[set[str]], None]] = []
        """Called after each commit with the streams that it wrote to."""
        self.on_rollback: list[Callable[[], None]] = []
        """Called when a unit of work is given up: what memory knows of it has to be forgotten."""
        self.on_told: list[Callable[[Work], None]] = []
        """Called after each commit with the unit of work: for figures and traces. They must not raise."""
        self.not_owner = False
        """Set when a unit of work found that another instance has taken over: this one has to end."""
        self.fresh: dict[str, list[outbox.Entry]] = {}
        """Entries committed last, by stream, for whoever carries them on: taken from here they need not be read again."""
        self.written: dict[str, int] = {}
        """The last number that this instance has committed to each stream."""
        self._term = 0
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._readers = async_sessionmaker(engine.execution_options(**READ_ONLY), expire_on_commit=False)
        self._turn = asyncio.Lock() if serial or engine.dialect.name == "sqlite" else None

    async def begin_term(self) -> None:
        """For a sole owner, once it has the lock and before it loads anything: whoever had the store before cannot write any more."""
        async with self._sessions.begin() as session:
            self._term = await outbox.take_numbers(session, outbox.TERM, 1)

    async def open(self, shard: str | None = None) -> None:
        """Loads the places; to be called once, before anything else.

        Raises WrongStoreError when the store was made for another shard than the one named (`2/8`).
        """
        if shard is not None:
            async with self.work() as work:
                known = await outbox.claim(work.session, "shard", shard)
            if known != shard:
                raise WrongStoreError(f"this store is shard {known} of {self.source}, not {shard}: `lockstep reshard` moves followers")
        async with self.read() as session:
            self.places = Places(await outbox.places(session))

    async def reload_places(self) -> None:
        """Takes the places from the store again, after another instance has moved them."""
        async with self.read() as session:
            await self.places.moved(await outbox.places(session))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading alone: waits for nobody, commits nothing."""
        async with self._readers() as session:
            yield session

    @asynccontextmanager
    async def work(self, cause: Event | None = None, correlation_id: str = "", lost: tuple[str, Lost] | None = None) -> AsyncIterator[Work]:
        """One transaction: committed when the block ends, given up when it raises. Raises NotOwnerError when another instance took over.

        With `lost` (a topic and numbers), what is emitted on that topic is a snapshot that stands for those numbers.
        """
        turn: AbstractAsyncContextManager[object] = self._turn if self._turn is not None else nullcontext()
        async with turn:
            try:
                async with self._sessions.begin() as session:
                    if self._term:
                        await self._hold_term(session)
                    work = Work(session, self.clock(), cause, correlation_id, lost)
                    yield work
                    for finish in work.before_commit:
                        await finish()
                    written = await self._write(work)
            except BaseException:
                for forget in self.on_rollback:
                    forget()
                raise
            await self.places.moved({stream: after for stream, (_, after) in work.moves.items()})
        self._hand_on(written)
        for committed in self.on_commit:
            committed(set(written))
        for count in work.after_commit:
            count()
        for told in self.on_told:
            told(work)

    async def _hold_term(self, session: AsyncSession) -> None:
        try:
            await outbox.hold_term(session, self._term)
        except outbox.NotOwnerError:
            self.not_owner = True
            raise

    def _hand_on(self, written: Mapping[str, list[outbox.Entry]]) -> None:
        for stream, entries in written.items():
            waiting = self.fresh.setdefault(stream, [])
            follows = not waiting or waiting[-1].number + 1 == entries[0].number
            if not follows or len(waiting) + len(entries) > FRESH_LIMIT:
                waiting.clear()  # nobody takes them, or they came out of turn: they are in the outbox
            else:
                waiting += entries
            self.written[stream] = max(self.written.get(stream, 0), entries[-1].number)

    async def _write(self, work: Work) -> dict[str, list[outbox.Entry]]:
        for stream, (before, after) in work.moves.items():
            await outbox.move_place(work.session, stream, before, after)
        by_topic: dict[str, list[Event]] = {work.lost[0]: []} if work.lost else {}
        for topic, event in work.emitted:
            by_topic.setdefault(topic, []).append(event)
        written: dict[str, list[outbox.Entry]] = {}
        positions = self.places.all() | {stream: number for stream, (_, number) in work.moves.items()}
        # Always in the same order: two transactions that take numbers of several streams cannot wait for each other.
        for topic in sorted(by_topic):
            stream = self.streams[topic]
            lost = work.lost[1] if work.lost and work.lost[0] == topic else None
            first = await outbox.take_numbers(work.session, stream, 1)
            packed = pack(by_topic[topic], stream, first)
            if len(packed) > 1:  # nobody else can have taken them: the counter is ours until this transaction ends
                await outbox.take_numbers(work.session, stream, len(packed) - 1)
            entries = []
            for one in packed:
                head: dict[str, object] = {"source": self.source, "sent": work.now, "after": positions}
                if lost is not None and one.number == first:
                    head["lost"] = lost
                entries.append(outbox.Entry(one.number, _entry(head, one.texts)))
                work.sent.append((stream, one.number, one.events))
            await outbox.keep(work.session, stream, entries, work.now, lost)
            written[stream] = entries
        return written


class Packed(NamedTuple):
    """What goes out as one entry: its number, its events, and the JSON of each."""

    number: int
    events: list[Event]
    texts: list[str]


def pack(events: Sequence[Event], stream: str, first: int) -> list[Packed]:
    """Events as entries from the number `first` on, in order; always at least one entry.

    An entry has at most `ROWS_PER_ENTRY` rows and `ENTRY_CHARS` characters, unless a single event has more.
    """
    entry = Packed(first, [], [])
    packed = [entry]
    rows = chars = 0
    for event in events:
        weight = event.weight()
        if entry.events and rows + weight > ROWS_PER_ENTRY:  # each part of a fan-out: it is not written twice
            entry, rows, chars = _following(packed), 0, 0
        text = _stamped(event, stream, entry.number, len(entry.events))
        if entry.events and chars + len(text) > ENTRY_CHARS:
            entry, rows, chars = _following(packed), 0, 0
            text = _stamped(event, stream, entry.number, 0)
        entry.events.append(event)
        entry.texts.append(text)
        rows += weight
        chars += len(text)
    return packed


def _following(packed: list[Packed]) -> Packed:
    packed.append(Packed(packed[-1].number + 1, [], []))
    return packed[-1]


def encode(head: Mapping[str, object], stream: str, number: int, events: Sequence[Event]) -> str:
    """The JSON of one entry."""
    return _entry(head, [_stamped(event, stream, number, index) for index, event in enumerate(events)])


def _stamped(event: Event, stream: str, number: int, index: int) -> str:
    """The JSON of one event. Its id is its place in the log; one that answers nothing begins its own workflow."""
    own_id = f"{stream}:{number}:{index}"
    return event.model_copy(update={"id": own_id, "correlation_id": event.correlation_id or own_id}).model_dump_json()


def _entry(head: Mapping[str, object], texts: Sequence[str]) -> str:
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"events":[{",".join(texts)}]}}'
