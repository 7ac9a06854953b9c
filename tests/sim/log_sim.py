"""The numbered log under every fault at once, from one seed: the real relay, reader and store on a stream server that may lose anything.

One writer, two relays of it, two readers. While faults burn, any call to the server may fail before or after it took effect, any party may
stop at any seam, the stream may be flushed, cut or trimmed wrongly, requests may get lost. Then the faults stop, and both readers must have
handled 1, 2, ..., n, each once, in order. `without="answer"` leaves requests unanswered, to show that the simulation would notice.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from shared.bus.reader import Reader, Received, Verdict
from shared.bus.relay import Keeping, Relay
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.outbox import Report
from shared.store.work import Store, Work
from sqlalchemy import BigInteger, Column, Integer, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.flow.log_world import AnyNote, Noted
from tests.sim.wire import BreakingWire, Stopped

TOPIC = "notes"
METADATA = outbox.log_metadata()
handled_table = Table("handled", METADATA, Column("id", Integer, primary_key=True, autoincrement=True), Column("value", BigInteger))


class Simulation:
    """One run from one seed."""

    def __init__(self, seed: int, steps: int = 160, total: int = 24, without: str = "") -> None:
        self.chance = random.Random(seed)
        self.faulty = True
        self.wire = BreakingWire(self._seam, self.chance)
        self.steps, self.total, self.without = steps, total, without
        self.now = 1_000_000
        self.written = 0
        self.engines: dict[str, AsyncEngine] = {}
        self.stores: dict[str, Store] = {}
        self.relays: list[Relay] = []
        self.readers: dict[str, Reader] = {}

    async def run(self) -> dict[str, list[int]]:
        """What each reader handled."""
        for name in ("writer", "a", "b"):
            await self._start(name)
        self.faulty = False
        for name in self.readers:  # the writer knows its readers: what a reader needs that it never heard of may be pruned
            await self.wire.report(TOPIC, name, Report(0, self.now))
        await self.relays[0].look()
        step = 0
        while step < self.steps or not await self._done():
            step += 1
            self.now += 400
            self.faulty = step < self.steps
            if step > self.steps * 6:
                break
            try:
                await self._step(step)
            except ConnectionError:
                continue
            except Stopped:
                await self._start(self.chance.choice(["writer", "a", "b"]))
        result = {name: await self._values(name) for name in ("a", "b")}
        for engine in self.engines.values():
            await engine.dispose()
        return result

    def _seam(self, _name: str) -> None:
        if self.faulty and self.chance.random() < 0.06:
            raise self.chance.choice([ConnectionError("away"), Stopped()])

    async def _start(self, name: str) -> None:
        """Starts a party, or starts it again: all that it knew in memory is gone."""
        if name not in self.engines:
            self.engines[name] = create_engine("sqlite:///:memory:")
            async with self.engines[name].begin() as connection:
                await connection.run_sync(METADATA.create_all)
        store = Store(self.engines[name], name, lambda: self.now, {TOPIC: TOPIC} if name == "writer" else {})
        await store.open()
        self.stores[name] = store
        if name == "writer":
            keeping = Keeping(retention_ms=2000, stream_entries=3)
            self.relays = [Relay(store, self.wire, TOPIC, self._snapshot, keeping) for _ in range(2)]
        else:
            self.readers[name] = Reader(store, TOPIC, AnyNote, self._handler(store))

    async def _snapshot(self, work: Work) -> None:
        raise AssertionError("nothing is ever lost for good here: no snapshot may be needed")

    def _handler(self, store: Store) -> Callable[[Received[Any], Work], Awaitable[None]]:
        async def handle(batch: Received[Any], work: Work) -> None:
            self._stop_maybe()
            await work.session.execute(insert(handled_table), [{"value": event.value} for event in batch.events])
            self._stop_maybe()

        return handle

    def _stop_maybe(self) -> None:
        if self.faulty and self.chance.random() < 0.04:
            raise Stopped

    async def _step(self, step: int) -> None:
        faulty = self.faulty
        writes = 1.6 if self.written < self.total and step * self.total > self.written * self.steps else 0
        what = self.chance.choices(
            ["write", "append", "look", "answer", "read", "report", "flush", "cut", "trim"],
            [writes, 5, 4, 4, 10, 2, 0.6 * faulty, 0.9 * faulty, 1.5 * faulty],
        )[0]
        relay = self.chance.choice(self.relays)
        name = self.chance.choice(["a", "b"])
        match what:
            case "write":
                async with self.stores["writer"].work() as work:
                    work.emit(TOPIC, Noted(value=self.written + 1))
                self.written += 1
            case "append":
                await relay.append()
            case "look":
                await relay.look()
            case "answer":
                if self.wire.requests and self.without != "answer":
                    await relay.answer(*self.wire.requests.pop(0)[1:])
            case "read":
                await self._read(name)
            case "report":
                await self.wire.report(TOPIC, name, Report(self.readers[name].place, self.now))
            case "flush":
                self.wire.flush()
            case "cut":
                self.wire.cut(TOPIC, self.chance.randint(1, 5))
            case "trim":
                await self.wire.trim(TOPIC, self.chance.randint(0, self.wire.lasts[TOPIC]))

    async def _read(self, name: str) -> None:
        reader = self.readers[name]
        entries = [entry for entry in self.wire.rows[TOPIC] if entry.number > reader.place][: self.chance.randint(1, 4)]
        if not entries:
            if self.wire.lasts[TOPIC] > reader.place:
                await self.wire.ask(TOPIC, reader.place + 1, name)
            return
        if await reader.take(entries) is Verdict.GAP:
            await self.wire.ask(TOPIC, reader.place + 1, name)
        self._stop_maybe()

    async def _done(self) -> bool:
        return self.written == self.total and all(reader.place == self.total for reader in self.readers.values())

    async def _values(self, name: str) -> list[int]:
        async with self.stores[name].read() as session:
            return list((await session.execute(select(handled_table.c.value).order_by(handled_table.c.id))).scalars())


async def simulate(seed: int, without: str = "") -> bool:
    """Whether a seed ends as it must."""
    run = Simulation(seed, without=without)
    values = await run.run()
    return all(handled == list(range(1, run.total + 1)) for handled in values.values())
