"""One run from one seed: trades, while everything goes wrong that may; then calm, in which all has to be done; stage by stage.

A step lets one party do one thing: a customer calls, a relay appends, a reader is handed entries, a loop turns. At every seam of it the
process may stop. What may never be is looked at after each step; after each stage's faults everything has to be done within a bounded
number of rounds, as `tests/chaos/oracle.py` says, which knows nothing but the trades' numbers.
"""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache

from shared.contracts.config import TOPIC as CONFIG
from shared.store.outbox import Entry, Report
from sqlalchemy.exc import DBAPIError

from tests.chaos.oracle import RULES, STAGES, trade
from tests.chaos.oracle import World as Expected
from tests.sim.check import Outcome, Safety, UnsafeError
from tests.sim.clock import run
from tests.sim.disk import blank
from tests.sim.faults import CALM, PLAN, Plan, Result
from tests.sim.latecomers import Latecomers
from tests.sim.wire import Stopped
from tests.sim.workload import Action, Workload
from tests.sim.world import EPOCH_MS, KEEPING, SERVICES, WRITER, World, quiet

ROUNDS = 60
"""Rounds of calm in which everything has to be done; one lets each party do all it has to do, and takes about four seconds."""
ACCOUNTS = "nobody"
"""Of who subscribes later: there are not even masters and followers yet."""
HOUR_MS = 3_600_000
SHORT_MS = 3_000
"""For so long the log keeps what all have read, in every other run."""


class Simulation:
    """One run."""

    world_class = World

    def __init__(self, seed: int, plan: Plan = PLAN) -> None:
        self.seed = seed
        self.plan = plan
        self.chance = random.Random(seed)
        self.faults = CALM
        self.slow: tuple[str, str] | None = None
        self.result = Result(seed)
        self.stop_at = 0
        """The seam at which the process ends, counted from 1; 0: chance decides."""
        self.trace: Callable[[str], None] = lambda text: None
        self.world: World
        self.work: Workload
        self.safety: Safety
        self.latecomers: Latecomers
        first = self.chance.randrange(48)
        self.numbers = range(first, first + min(self.chance.choice((1, 2, 2, 3, self.plan.trades)), self.plan.trades))
        self.late = self.chance.choice([None, *RULES])
        self.blank = self.seed % 10 == 9
        quick = [k for k in self.numbers if trade(k).quick]
        since = {self.late: self.chance.choice(quick or self.numbers)} if self.late else {}
        self.block = self.chance.randrange(300)
        self.expected = Expected(since=since, block=self.block - 1)

    @property
    def begins_with(self) -> str | None:
        """Which prepared databases this run begins with."""
        return ACCOUNTS if self.blank else self.late

    async def go(self) -> Result:
        """The whole run."""
        try:
            await self.begin()
            await self.stages()
        except UnsafeError as error:
            self.result.wrong.append(str(error))
        finally:
            self.world.close()
        return self.result

    async def begin(self) -> None:
        """The world before the first fault. One seed of ten begins with accounts alone; the others with all but one follower subscribed."""
        images, logins = prepared(self.begins_with)
        keeping = replace(KEEPING, retention_ms=self.chance.choice((KEEPING.retention_ms, SHORT_MS)))
        line = lambda: self.faults.line  # noqa: E731
        self.world = self.world_class(images, self.chance, self._seam, line, keeping, EPOCH_MS + 600_000)
        self.work = Workload(self.world)
        self.work.logins = dict(logins)
        self.safety = Safety(self.world)
        self.latecomers = Latecomers(self.work, self.safety, RULES if self.blank else [self.late] if self.late else [], self.numbers)
        for service in SERVICES:
            await self.world.start(service)

    async def stages(self) -> None:
        """Opening, reducing, closing: each under faults, then at rest; and before it, now and then, the whole configuration."""
        before: list[Action] = []
        if self.blank:
            before = [*self.work.people(), *self.work.subscribe_all(self.late)]
        for stage in STAGES:
            for service, set_price in self.work.prices(self.block, stage, self.numbers):
                while not await self.step(service, set_price):
                    continue
            await self.burn([*before, *self._actions(stage)])
            before = []
            self.expected.apply(self.block, stage, self.numbers)
            self.result.trades = len(self.expected.trades)
            if not await self.catch_up(f"stage {stage}"):
                return
        self.result.wrong += Outcome(self.world, self.work, self.expected).differences()

    def _actions(self, stage: int) -> list[Action]:
        found: list[Action] = []
        for k in self.numbers:
            if stage == STAGES[0] and self.late and k == self.expected.since[self.late]:
                found += self.work.subscribe(self.late)
            found += self.work.trade(k, stage)
        return found

    # --- while it burns

    async def burn(self, actions: list[Action]) -> None:
        """All actions, in their order, and as many other steps, under faults."""
        self.faults = self.plan.faults
        self.slow = self._slow() if self.chance.random() < self.faults.slow else None
        waiting, steps, least = list(actions), 0, self.plan.steps * (1 + len(self.numbers))
        while waiting or steps < least:
            steps += 1
            if waiting and self.chance.random() < max(0.15, len(waiting) / max(1, least - steps)):
                if await self.step(waiting[0][0], waiting[0][1]) and self.chance.random() >= self.faults.reply:
                    waiting.pop(0)
            else:
                await self.step("", self._something())
        for _ in range(self.plan.turns):
            await self._sweep(passes=5)
            for service in SERVICES:
                await self.step(service, lambda service=service: self.world.tick(service))
        self.faults = CALM
        if self.slow is not None:
            await self._sweep()
            self.slow = None

    def _slow(self) -> tuple[str, str]:
        """A reader that gets nothing while the others go on; half of the time one of the configuration."""
        feeds = self.world.feeds()
        return self.chance.choice([feed for feed in feeds if feed[1] == CONFIG] if self.chance.random() < 0.5 else feeds)

    async def step(self, acting: str, act: Callable[[], Awaitable[None]]) -> bool:
        """One thing that one party does; whether it came to its end. A party that stops there is started again."""
        self.result.steps += 1
        self.world.acting = acting
        await asyncio.sleep(self.chance.randint(1, 60) / 1000)
        done = True
        try:
            await act()
        except (ConnectionError, DBAPIError):
            done = False
        except Stopped:
            done = False
            await self._restart(self.world.acting)
        self.safety.look()
        self.latecomers.see()
        return done

    async def _restart(self, service: str) -> None:
        self.result.stops += 1
        self.trace(f"{service} stops")
        while True:
            try:
                await self.world.start(service)
            except Stopped:
                continue
            except (ConnectionError, DBAPIError):
                continue
            return

    def _something(self) -> Callable[[], Awaitable[None]]:
        chance, faults, world = self.chance, self.faults, self.world
        unsent = [topic for topic in WRITER if world.unsent(topic)]
        unread = [feed for feed in world.feeds() if feed != self.slow and world.unread(*feed)]
        what = chance.choices(
            ["deliver", "append", "look", "answer", "watch", "tick", "kill", "flush", "delete", "cut", "trim", "jump", "newcomer"],
            [
                12 if unread else 0, 6 if unsent else 0.5, 2, 6 if world.wire.requests else 0, 3, 3,
                faults.kill, faults.flush, faults.delete, faults.cut, faults.trim, faults.jump, faults.newcomer,
            ],
        )[0]  # fmt: skip
        topic = chance.choice([topic for _, topic in unread] or list(WRITER))
        match what:
            case "deliver":
                service, topic = chance.choice(unread)
                return lambda: self._read(service, topic)
            case "append":
                return lambda: self._relay(chance.choice(unsent or [topic]), "append")
            case "look":
                return lambda: self._relay(topic, "look")
            case "answer":
                return self._answer
            case "watch":
                service, topic = chance.choice(world.feeds())
                return lambda: world.watch(service, topic)
            case "tick":
                service = chance.choice(SERVICES)
                return lambda: world.tick(service)
            case _:
                return lambda: self._hurt(what, topic)

    async def _relay(self, topic: str, what: str) -> None:
        self.world.acting = WRITER[topic]
        self.trace(f"{WRITER[topic]}: {what} {topic}")
        await getattr(self.world.processes[WRITER[topic]].relays[topic], what)()

    async def _answer(self) -> None:
        requests = self.world.wire.requests
        topic, number, reader = requests.pop(self.chance.randrange(len(requests)))
        self.world.acting = WRITER[topic]
        self.trace(f"{WRITER[topic]}: answers {reader}, who wants {topic} {number}")
        await self.world.processes[WRITER[topic]].relays[topic].answer(number, reader)

    async def _read(self, service: str, topic: str) -> None:
        """A read of the stream; now and then from too early on, with entries missing, or in another order."""
        chance, world = self.chance, self.world
        entries = world.unread(service, topic)
        place = world.processes[service].feeds[topic].reader.place
        if chance.random() < self.faults.read:
            match chance.choice(("again", "missing", "shuffled")):
                case "again":
                    entries = [entry for entry in world.wire.rows[topic] if entry.number > place - chance.randint(1, 4)]
                case "missing":
                    entries = [entry for entry in entries if chance.random() < 0.7]
                case _:
                    chance.shuffle(entries)
        entries = entries[: chance.randint(1, 6)]
        self.trace(f"{service}: reads {topic} {[entry.number for entry in entries]} after {place}")
        await world.deliver(service, topic, entries)

    async def _hurt(self, what: str, topic: str) -> None:
        chance, world = self.chance, self.world
        self.trace(f"{what} {topic}")
        match what:
            case "kill":
                world.acting = chance.choice(SERVICES)
                raise Stopped
            case "flush":
                world.wire.flush()
            case "delete":
                world.wire.delete(topic)
            case "cut":
                world.wire.cut(topic, chance.randint(1, 5))
            case "trim":
                await world.wire.trim(topic, chance.choice((world.wire.lasts[topic], chance.randint(0, world.wire.lasts[topic]))))
            case "jump":
                # The clocks by which a subscription and a trade are ordered are left alone: who should copy what would not be defined.
                service = chance.choice([one for one in SERVICES if one not in {"api", "gateway"}])
                world.offsets[service] = chance.choice((0, 0, -HOUR_MS, HOUR_MS, chance.randint(-HOUR_MS, HOUR_MS)))
            case "newcomer":
                world.wire.reports[topic]["newcomer"] = Report(0, world.now)
                world.wire.requests.append((topic, 1, "newcomer"))

    def _seam(self, service: str, name: str) -> None:
        """A place where something may go wrong. Counted are those that leave something different behind: commits, and the stream server."""
        self.result.seams += name != "statement"
        if self.stop_at and self.result.seams == self.stop_at and name != "statement":
            self.world.acting = service or self.world.acting
            raise Stopped
        faults = self.faults
        if faults is CALM:
            return
        inside, commit = name == "statement", name.endswith("commit")
        stop = faults.stop_inside if inside else faults.stop
        drawn = self.chance.random()
        if drawn < stop:
            self.world.acting = service or self.world.acting
            self.trace(f"{service} stops {name}")
            raise Stopped
        if inside and drawn < stop + faults.store:
            raise sqlite3.OperationalError("disk I/O error")
        if not inside and not commit and drawn < stop + faults.away:
            raise ConnectionError("away")

    # --- at rest

    async def catch_up(self, what: str) -> bool:
        """Everything that was asked for is done within so many rounds; whether it was."""
        outcome = Outcome(self.world, self.work, self.expected)
        for reports in self.world.wire.reports.values():
            reports.pop("newcomer", None)
        if self.chance.random() < 0.5:
            self.world.offsets = dict.fromkeys(SERVICES, 0)
        missing = ""
        for turn in range(ROUNDS):
            await self._sweep()
            self.latecomers.excuse(self.expected)
            missing = outcome.settled()
            if not missing:
                self.result.rounds = max(self.result.rounds, turn)
                return True
            for service in SERVICES:
                await self.step(service, lambda service=service: self.world.tick(service))
            self.world.report_places()
            for topic in WRITER:
                await self.step(WRITER[topic], lambda topic=topic: self._relay(topic, "look"))
            for service, topic in self.world.feeds():
                if self.world.behind(service, topic):
                    await self.step(service, lambda service=service, topic=topic: self.world.watch(service, topic))
        self.result.wrong += [f"never done after {what}: {missing}", *outcome.differences()]
        return False

    async def _sweep(self, passes: int = 1000) -> None:
        """Hands on what there is to hand on, until nothing moves, or so many times."""
        world, before = self.world, -1
        while passes and before != (before := sum(disk.commits for disk in world.disks.values())):
            passes -= 1
            for topic in WRITER:
                if world.unsent(topic):
                    await self.step(WRITER[topic], lambda topic=topic: self._relay(topic, "append"))
            for _ in range(len(world.wire.requests)):
                await self.step("", self._answer)
            for service, topic in world.feeds():
                if (service, topic) != self.slow and (entries := world.unread(service, topic)):
                    await self.step(service, lambda service=service, topic=topic, entries=entries: self.hand_on(service, topic, entries))

    async def hand_on(self, service: str, topic: str, entries: list[Entry]) -> None:
        """A read of the stream that brings all there is."""
        await self.world.deliver(service, topic, entries)


@cache
def prepared(late: str | None) -> tuple[dict[str, bytes], dict[str, int]]:
    """The databases, made without a fault, and the accounts' logins: where runs begin.

    `late` is the follower who subscribes later, or ACCOUNTS.
    """
    before = prepared(ACCOUNTS) if late != ACCOUNTS else ({service: blank(service) for service in SERVICES}, {})
    with quiet():
        return run(_prepared(late, *before))


async def _prepared(late: str | None, images: dict[str, bytes], logins: dict[str, int]) -> tuple[dict[str, bytes], dict[str, int]]:
    simulation = Simulation(0)
    world = simulation.world = World(images, simulation.chance)
    work = simulation.work = Workload(world)
    work.logins = dict(logins)
    simulation.safety = Safety(world)
    simulation.latecomers = Latecomers(work, simulation.safety, [], [])
    for service in SERVICES:
        await world.start(service)
    parts = [work.prices(0, 0), work.accounts()] if late == ACCOUNTS else [work.people(), work.subscribe_all(late)]
    for actions in parts:
        for _, act in actions:
            await act()
        await simulation._sweep()
    world.report_places()  # a writer waits for the readers that it has heard of
    for topic in WRITER:
        await simulation._relay(topic, "look")
    images = world.images()
    world.close()
    return images, work.logins


def simulate(seed: int, plan: Plan = PLAN, trace: Callable[[str], None] | None = None) -> Result:
    """A whole run of a seed."""
    simulation = Simulation(seed, plan)
    prepared(simulation.begins_with)
    if trace is not None:
        simulation.trace = trace
    with quiet(seed):
        return run(simulation.go())
