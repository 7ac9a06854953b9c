"""What a run does to a stack again and again: each fault hurts it once and answers how many processes it killed."""

import os
import random
import shutil
import signal
import time

import redis

from tests.chaos.stack import SERVICES, ChaosStack, wait_until

TOPICS = ("trade.push", "copy.config", "copy.order", "copy.link", "reward.accrual", "master.stats")


def kill_a_service(stack: ChaosStack, chance: random.Random) -> int:
    """R3: `kill -9` of a random service."""
    return int(stack.send(chance.choice(SERVICES), signal.SIGKILL))


def kill_a_ready_service(stack: ChaosStack, chance: random.Random) -> int:
    """R3 where no pause grows between the starts: one that is on its way up is left alone, or it would never be there."""
    service = chance.choice(SERVICES)
    return int(stack.ready(service) and stack.send(service, signal.SIGKILL))


def kill_redis(stack: ChaosStack, _chance: random.Random) -> int:
    """R5: `kill -9` of Redis; its supervisor starts it again with what its file holds."""
    return int(stack.send("redis", signal.SIGKILL))


class PowerLoss:
    """R6: power goes, and with it what Redis wrote to its file in the last 1 to 2 s; the fifth time two thirds of the file."""

    def __init__(self) -> None:
        self.lost_bytes: list[int] = []

    def __call__(self, stack: ChaosStack, chance: random.Random) -> int:
        files = sorted((stack.home / "redis" / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
        if not files or not stack.pid("redis"):
            return 0  # it is on its way up still
        before = files[-1].stat().st_size
        time.sleep(chance.uniform(1, 2))
        back = stack.redis_away()
        wait_until(lambda: not stack.pid("redis"), 5)
        size = files[-1].stat().st_size
        keep = size // 3 if len(self.lost_bytes) == 4 else before
        os.truncate(files[-1], min(keep, size))
        self.lost_bytes.append(size - min(keep, size))
        back()
        return 1


class StreamLoss:
    """R7: everything in Redis is gone, or a stream is, or an empty Redis stands in its place."""

    def __init__(self) -> None:
        self.times = dict.fromkeys(("flush", "delete", "empty"), 0)

    def __call__(self, stack: ChaosStack, chance: random.Random) -> int:
        what = chance.choice(tuple(self.times))
        if what == "empty":
            back = stack.redis_away()
            wait_until(lambda: not stack.pid("redis"), 5)
            shutil.rmtree(stack.home / "redis" / "appendonlydir", ignore_errors=True)
            back()
        else:
            try:
                with stack.redis() as client:
                    client.flushall() if what == "flush" else client.delete(chance.choice(TOPICS))
            except redis.RedisError:
                return 0  # it is on its way up still
        self.times[what] += 1
        return int(what == "empty")


def kill_in_mid_commit(stack: ChaosStack, chance: random.Random) -> int:
    """R13: `kill -9` of a service at the moment when its store's write-ahead log grows."""
    service = chance.choice(SERVICES)
    log = stack.home / f"{service}.db-wal"
    pid = stack.pid(service)

    def written() -> int:
        try:
            return log.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    before, until = written(), time.monotonic() + 1
    while written() == before:
        if not pid or time.monotonic() > until:
            return 0
    return int(stack.send(service, signal.SIGKILL))


class RollingRestart:
    """R16: SIGTERM to one service after the other, the next one when the one before is ready again."""

    def __init__(self) -> None:
        self._next = 0
        self.stops = 0

    def __call__(self, stack: ChaosStack, _chance: random.Random) -> int:
        service = SERVICES[self._next % len(SERVICES)]
        self._next += 1
        pid = stack.pid(service)
        if not stack.send(service, signal.SIGTERM):
            return 0
        self.stops += 1
        wait_until(lambda: stack.pid(service) not in {0, pid} and stack.ready(service), 30)
        return 1
