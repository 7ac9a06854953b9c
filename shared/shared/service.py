"""The run of a service: from an empty or a killed store to a ready one, and out again; start-up and recovery are one path.

Order: own the store, migrate, load, open the HTTP door, wait for Redis, read and relay. Whatever fails in the background ends the process;
its supervisor starts it again.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvloop
from fastapi import FastAPI

from shared import telemetry
from shared.bus.broker import Bus
from shared.bus.reader import Handler, Overheard, Reader
from shared.bus.relay import DAY_MS, Keeping, Relay, Snapshot
from shared.bus.retry import retry_forever
from shared.clock import system_clock
from shared.contracts.stats import Prices
from shared.ending import end
from shared.health import Door, Figure, Health
from shared.settings import Settings
from shared.shards import numbered, streams
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.ownership import Ownership
from shared.store.work import Store, Work
from shared.telemetry import configure_logging
from shared.tracing import Tracer, tracer

log = structlog.get_logger()

STOP_TIMEOUT_S = 8


@dataclass(frozen=True, slots=True)
class Read:
    """A topic that a service reads: the topic's event type and the handler of its batches.

    `overheard`: for a service of several instances, told of what one of them has handled.
    """

    events: Any
    handler: Handler
    overheard: Overheard | None = None

    def reader(self, store: Store, stream: str, reads: Sequence[str] = ()) -> Reader:
        """The reader of one of the topic's streams. `reads`: all streams that the service reads."""
        return Reader(store, stream, self.events, self.handler, reads, self.overheard)


@dataclass(slots=True)
class Parts:
    """What a service is made of, beyond what all of them have."""

    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: Mapping[str, Snapshot] = field(default_factory=dict)
    app: FastAPI = field(default_factory=lambda: FastAPI(docs_url=None, redoc_url=None, openapi_url=None))
    tasks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Loops that run as long as the service does."""
    on_prices: Callable[[Prices], Awaitable[None]] | None = None
    forget: Callable[[], None] | None = None
    """Called when a transaction was given up: throw away what memory knows."""
    told: Callable[[Work, int], None] | None = None
    """Called after each commit, with its time (Unix milliseconds): for figures."""
    figures: tuple[Figure, ...] = ()
    """Gauges that are read from the store from time to time."""


Build = Callable[[Store, Bus], Awaitable[Parts]]
"""Makes a service's parts, once its store is open and up to date."""


def run(name: str, settings: Settings, build: Build, writes: tuple[str, ...] = (), sole_owner: bool = True) -> None:
    """Runs a service until SIGTERM or Ctrl-C; returns then, raises when something in it failed."""
    configure_logging(name, settings.log_level, settings.log_json)
    _agree_on_shards(settings, writes)
    uvloop.run(serve(name, settings, build, writes, sole_owner))


async def serve(name: str, settings: Settings, build: Build, writes: tuple[str, ...] = (), sole_owner: bool = True) -> None:
    """The service's whole life. `writes` are the topics that it writes; a `sole_owner` waits while another instance has its store."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = settings.database(name)
    engine = create_engine(url)
    ownership = Ownership(engine, name)
    door = Door(settings.trusted_proxies)
    http = asyncio.create_task(door.open(settings.http_host, settings.http_port), name="http")
    if sole_owner and not await _unless_stopped(ownership.acquire(), stop, http):
        door.close()
        await engine.dispose()
        return
    door.starting()
    await asyncio.to_thread(migrate.upgrade, name, url)
    part = settings.part
    own_streams = {topic: numbered(topic, part.number) for topic in writes}
    store = Store(engine, numbered(name, part.number), system_clock(settings.clock_offset), own_streams, serial=sole_owner)
    if sole_owner:
        await store.begin_term()
    await store.open(shard=str(part))
    bus = Bus(settings.redis_url, store.source)
    parts = await build(store, bus)
    if parts.forget is not None:
        store.on_rollback.append(parts.forget)
    health = Health(store, bus, (await asyncio.to_thread(migrate.current, name, url))[1], part.number)
    health.add_to(parts.app)
    traces = _listen(store, parts, tracer(store.source, settings))
    last_resort = _last_resort()
    door.serves(parts.app)
    background: list[asyncio.Task[None]] = []
    try:
        loops = [_connect_and_start(bus, store, parts, settings, health.started), health.keep_ready(), health.keep_figures(parts.figures)]
        loops += [_forever(task) for task in parts.tasks]
        if sole_owner:
            loops.append(_watch_ownership(ownership, store, last_resort))
        background += [asyncio.create_task(one) for one in loops]
        await _first_fault([http, *background], stop)
        log.info("stopping", service=name)
    finally:
        if not last_resort.is_alive():
            last_resort.start()
        await _stop_working(door, http, background, bus)
        if traces is not None:
            await asyncio.to_thread(traces.close)
        await ownership.release()
        await engine.dispose()
        last_resort.cancel()


async def _stop_working(door: Door, http: asyncio.Task[None], background: list[asyncio.Task[None]], bus: Bus) -> None:
    door.close()
    await end(background)
    await asyncio.wait({http}, timeout=STOP_TIMEOUT_S)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(bus.stop(), STOP_TIMEOUT_S)


def _agree_on_shards(settings: Settings, writes: tuple[str, ...]) -> None:
    """Raises ValueError when the others would not read what this instance writes, or wait for what nobody writes."""
    part = settings.part
    telemetry.SHARDS.set(part.of)
    for topic in writes:
        if settings.shards_of(topic) != part.of:
            raise ValueError(
                f"LOCKSTEP_SHARD is {part}, and {topic} has {settings.shards_of(topic)} shards by LOCKSTEP_*_SHARDS: make them agree"
            )


async def _connect_and_start(bus: Bus, store: Store, parts: Parts, settings: Settings, started: asyncio.Event) -> None:
    await bus.connect()
    others = await bus.agree("broker_timezone", settings.broker_timezone)
    telemetry.ZONES_DIFFERENT.set(len(others))
    if others:
        log.error("services differ in LOCKSTEP_BROKER_TIMEZONE, which is one for all", own=settings.broker_timezone, others=others)
    keeping = Keeping(retention_ms=round(settings.retention_days * DAY_MS))
    for topic, snapshot in parts.writes.items():
        bus.relay(Relay(store, bus.wire, topic, snapshot, keeping))
    reads = {stream: read for topic, read in parts.reads.items() for stream in streams(topic, settings.shards_of(topic))}
    readers = [read.reader(store, stream, list(reads)) for stream, read in reads.items()]
    for reader in readers:
        bus.read(reader, settings.max_records)
    if parts.on_prices is not None:
        bus.on_prices(parts.on_prices)
    await bus.start()
    started.set()
    log.info("started", service=store.source)
    await retry_forever(store, readers, bus.board)


def _listen(store: Store, parts: Parts, traces: Tracer | None) -> Tracer | None:
    """Has figures and traces told of each commit."""
    figures = parts.told
    if figures is not None:
        store.on_told.append(lambda work: figures(work, store.clock()))
    if traces is not None:
        store.on_told.append(traces.told)
    return traces


async def _forever(task: Callable[[], Awaitable[None]]) -> None:
    await task()


def _last_resort() -> threading.Timer:
    """Ends the process when it does not end by itself, once it has to: a statement on a connection that is gone may answer a cancellation
    with an error of its own, or never, and what waits for its surroundings then waits for ever. What is not committed is done again."""
    timer = threading.Timer(STOP_TIMEOUT_S, os._exit, (1,))
    timer.daemon = True
    return timer


async def _watch_ownership(ownership: Ownership, store: Store, last_resort: threading.Timer) -> None:
    while await ownership.held() and not store.not_owner:  # noqa: ASYNC110  (a lost lock does not tell)
        await asyncio.sleep(1)
    last_resort.start()
    raise RuntimeError("the lock on the store was lost: another instance may work on it now")


async def _first_fault(tasks: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Until somebody asks to stop; raises what one of the tasks ends with."""
    stopped = asyncio.create_task(stop.wait())
    going: set[asyncio.Task[Any]] = {stopped, *tasks}
    try:
        while not stopped.done():
            done, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
    finally:
        stopped.cancel()


async def _unless_stopped(waiting: Awaitable[None], stop: asyncio.Event, door: asyncio.Task[None]) -> bool:
    """Whether the wait came to its end before somebody asked to stop. Raises what the door ended with, should it end."""
    wait, stopped = asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())
    await asyncio.wait({wait, stopped, door}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if wait.done():
        await wait
        return True
    wait.cancel()
    if door.done():
        await door
    return False
