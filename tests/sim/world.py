"""The five services in one process: the real handlers, loops, unit of work, outbox, relays and readers, on databases in memory and a
stream server that breaks; each service may stop at any seam and is started again with nothing but its database."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast
from unittest.mock import patch

import executor.wiring as executor_wiring
import rewards.wiring as rewards_wiring
import stats.wiring as stats_wiring
import structlog
from api import flow as api_flow
from api.context import Context
from api.manager.pushes import Pushes
from api.settings import Settings as ApiSettings
from executor.settings import ExecutorSettings
from fastapi import FastAPI
from gateway.flow import reads
from gateway.paper.http import Door
from gateway.paper.venue import PaperVenue
from gateway.settings import GatewaySettings
from rewards.settings import RewardsSettings
from shared.bus import broker, reader
from shared.bus.reader import Reader
from shared.bus.relay import Keeping, Relay
from shared.contracts import config, links, orders, rewards, stats, trades
from shared.service import Parts
from shared.store.outbox import Report
from shared.store.work import Store
from starlette.requests import Request
from stats.settings import StatsSettings

from tests.sim.clock import Monotonic, Passing, for_a_while
from tests.sim.disk import Disk, Seam, at_once, engine
from tests.sim.venue import Line, UnreliableVenue
from tests.sim.wire import BreakingWire

WRITES = {
    "gateway": (trades.TOPIC,),
    "api": (config.TOPIC,),
    "executor": (orders.TOPIC, links.TOPIC),
    "rewards": (rewards.TOPIC,),
    "stats": (stats.TOPIC,),
}
SERVICES = tuple(WRITES)
WRITER = {topic: service for service, topics in WRITES.items() for topic in topics}
EPOCH_MS = 1_778_155_200_000
"""2026-05-07 12:00 UTC."""
MAX_RECORDS = 50
KEEPING = Keeping(retention_ms=60_000, stream_entries=5)

API = ApiSettings(account_wait_s=0)
EXECUTOR = ExecutorSettings(unknown_after_ms=2000)
GATEWAY = GatewaySettings()
REWARDS = RewardsSettings(answer_window_s=3, retry_schedule_s=(1, 2, 4))
STATS = StatsSettings()
_NO_DOORS = FastAPI()


@dataclass
class Process:
    """One life of a service: what it knows in memory, and its loops, each of which can be let run for a moment."""

    name: str
    store: Store
    feeds: dict[str, Any] = field(default_factory=dict)
    relays: dict[str, Relay] = field(default_factory=dict)
    timers: list[tuple[Callable[[], Awaitable[None]], float]] = field(default_factory=list)
    """Loops, and how long each needs for a turn, in seconds."""
    door: Any = None
    venue: UnreliableVenue | None = None


class _Subscriber:
    """Where FastStream's subscriber would be: the feed hands it its function, the simulation calls the feed."""

    last_id = ""

    def __call__(self, _handler: Any) -> None:
        return


class _Broker:
    def subscriber(self, **_arguments: Any) -> _Subscriber:
        return _Subscriber()


class _Bus:
    """What the services' own loops ask of their bus."""

    def __init__(self, world: "World", service: str) -> None:
        self._world = world
        self._service = service

    def lag(self) -> dict[str, int]:
        feeds = self._world.processes[self._service].feeds
        return {topic: max(0, self._world.wire.lasts[topic] - feed.reader.place) for topic, feed in feeds.items()}

    def stuck(self) -> list[str]:
        return []


class World:
    """The services, their databases, the stream server and the time."""

    def __init__(
        self,
        images: dict[str, bytes],
        chance: random.Random,
        seam: Seam = lambda service, name: None,
        line: Callable[[], Line] = Line,
        keeping: Keeping = KEEPING,
        epoch_ms: int = EPOCH_MS,
    ) -> None:
        self.chance = chance
        self.epoch_ms = epoch_ms
        self.keeping = keeping
        self.line = line
        self.acting = ""
        """Whose step it is: what fails at the stream server fails for this one."""
        self.offsets = dict.fromkeys(SERVICES, 0)
        """By how much each service's clock is wrong, milliseconds."""
        self.wire = BreakingWire(lambda name: seam(self.acting, name), chance)
        self.disks = {service: Disk(service, seam, image) for service, image in images.items()}
        self.processes: dict[str, Process] = {}
        self.starts = dict.fromkeys(SERVICES, 0)

    @property
    def now(self) -> int:
        """The true time, Unix milliseconds."""
        return self.epoch_ms + round(asyncio.get_running_loop().time() * 1000)

    async def start(self, service: str) -> None:
        """Starts a service, or starts it again: all that it knew in memory is gone, and what it had not committed."""
        self.acting = service
        self.starts[service] += 1
        self.disks[service].rollback()
        writes = {topic: topic for topic in WRITES[service]}
        store = Store(engine(service), service, lambda: self.now + self.offsets[service], writes, serial=service != "api")
        await store.open()
        process = Process(service, store)
        parts = await getattr(self, f"_{service}")(process)
        if parts.forget is not None:
            store.on_rollback.append(parts.forget)
        process.relays = {topic: Relay(store, self.wire, topic, snapshot, self.keeping) for topic, snapshot in parts.writes.items()}
        for topic, read in parts.reads.items():
            reader = Reader(store, topic, read.events, read.handler, reads=list(parts.reads))
            feed: Any = broker._Feed(cast("Any", _Broker()), cast("Any", self.wire), reader, service, MAX_RECORDS)
            feed._asked_at = -10.0
            process.feeds[topic] = feed
        self.processes[service] = process

    async def _gateway(self, process: Process) -> Parts:
        paper = PaperVenue(process.store, GATEWAY.symbols(), GATEWAY.account_report_ms)
        await paper.prepare()
        venue = UnreliableVenue(paper, process.store, self.chance, self.line)
        process.venue, process.door = venue, Door(paper)
        process.timers = [(paper.tend, 0.3), (venue.tell_late, 0.1)]
        return Parts(reads=reads(venue), writes={trades.TOPIC: venue.snapshot}, app=_NO_DOORS, forget=venue.forget)

    async def _api(self, process: Process) -> Parts:
        process.door = Context(process.store, API)
        return Parts(reads=Pushes(process.store).reads(api_flow.READS), writes={config.TOPIC: api_flow.snapshot}, app=_NO_DOORS)

    async def _executor(self, process: Process) -> Parts:
        with patch.object(executor_wiring, "doors", lambda *_: _NO_DOORS):  # its one route takes longer to make than all the rest
            parts = executor_wiring.parts(EXECUTOR, process.store)
        process.timers = [(parts.tasks[0], 1.1)]
        return parts

    async def _rewards(self, process: Process) -> Parts:
        parts = await rewards_wiring.build(REWARDS, process.store, cast("Any", _Bus(self, "rewards")))
        process.timers = [(parts.tasks[0], 1.1)]
        return parts

    async def _stats(self, process: Process) -> Parts:
        parts = stats_wiring.parts(process.store, STATS)
        process.timers = [(parts.tasks[0], 0.1)]
        return parts

    # --- what a process does, one thing at a time

    async def tick(self, service: str) -> None:
        """A turn of each of a service's own loops."""
        self.acting = service
        for loop, seconds in self.processes[service].timers:
            await for_a_while(cast("Any", loop()), seconds)

    async def deliver(self, service: str, topic: str, entries: list[Any]) -> None:
        """Hands entries to a reader as a read of the stream would; one that waits for its cause is let go after a while."""
        self.acting = service
        await for_a_while(self.processes[service].feeds[topic]._received(entries), 0.9)

    async def watch(self, service: str, topic: str) -> None:
        """Two turns of a reader's look at its stream: it tells its place, and asks when nothing comes although there is more."""
        self.acting = service
        await for_a_while(self.processes[service].feeds[topic].watch(), 1.1)

    def report_places(self) -> None:
        """Each reader says how far it is, as it does each second."""
        for service, topic in self.feeds():
            report = Report(self.processes[service].feeds[topic].reader.place, self.now + self.offsets[service])
            self.wire.reports[topic][service] = report

    def unread(self, service: str, topic: str) -> list[Any]:
        place = self.processes[service].feeds[topic].reader.place
        return [entry for entry in self.wire.rows[topic] if entry.number > place]

    def unsent(self, topic: str) -> bool:
        """Whether a topic's log has more than its stream."""
        return self.written(topic) != self.wire.lasts[topic]

    def written(self, topic: str) -> int:
        """The last number of a topic's log."""
        last = self.disks[WRITER[topic]].rows("SELECT last FROM log_counter WHERE stream = ?", topic)
        return int(last[0][0]) if last else 0

    def behind(self, service: str, topic: str) -> int:
        """How many of a topic's numbers a reader has not handled, whether they are on the stream or not."""
        return self.written(topic) - self.processes[service].feeds[topic].reader.place

    def feeds(self) -> list[tuple[str, str]]:
        return [(service, topic) for service, process in self.processes.items() for topic in process.feeds]

    def images(self) -> dict[str, bytes]:
        return {service: disk.image() for service, disk in self.disks.items()}

    def close(self) -> None:
        for disk in self.disks.values():
            disk.close()


def request_of(body: dict[str, Any]) -> Request:
    """A request with a JSON body, as the venue's door takes it."""
    data = json.dumps(body, default=_number).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", str(len(data)).encode())]}, receive)


def _number(value: Any) -> float:
    assert isinstance(value, Decimal)
    return float(value)


@contextlib.contextmanager
def quiet(seed: int = 0) -> Iterator[None]:
    """The product's own clock for pauses is the simulation's, and its log is still."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    patches = (
        at_once(),
        patch.object(broker, "time", Monotonic),
        patch.object(reader, "time", Passing(random.Random(seed))),
        patch.object(rewards_wiring, "time", Monotonic, create=True),
    )
    try:
        with contextlib.ExitStack() as patched:
            for one in patches:
                patched.enter_context(one)
            yield
    finally:
        structlog.configure(**before)


def _drop(_logger: Any, _name: str, _event: Any) -> Any:
    raise structlog.DropEvent
