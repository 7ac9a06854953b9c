"""Chaos: real processes are hurt while masters trade; what comes of it is exactly what the oracle says, soon after the last fault.

Each scenario is one row of `docs/promises.md`, and part of `make chaos`.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import faults, malformed, oracle
from tests.chaos.burning import CATCH_UP_S, LINES, Hurt, Plan, Run
from tests.chaos.check import dead_letters, settled
from tests.chaos.oracle import CLOSE, OPEN, REDUCE
from tests.chaos.stack import SERVICES, running, wait_until

SCALE = int(os.environ.get("CHAOS_SCALE", "1"))
"""`CHAOS_SCALE=10 make chaos` makes ten times as many trades, in blocks that are up to ten times as large."""
BLOCKS = min(SCALE, 10)

LARGE = Plan(trades=240 * SCALE, block=80 * BLOCKS, seconds=(10 if SCALE == 1 else 5 * BLOCKS), hands=(1 if SCALE == 1 else 6))
STOP_S = 10


def burn(name: str, folder: Path, plan: Plan, hurt: Hurt, urls: dict[str, str] | None = None) -> Run:
    """A whole run under one fault."""
    with running(folder, urls) as stack:
        one = Run(name, stack, plan)
        one.go(hurt)
        return one


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_services_killed(tmp_path: Path) -> None:
    """`kill -9` of a random service every 1 to 2 s."""
    assert burn("R3", tmp_path, LARGE, faults.kill_a_service).kills > 5


@pytest.mark.postgres
@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_services_killed_on_postgres(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    """The same on a Postgres database for each service, of services that are ready."""
    urls = {service: postgres(service) for service in SERVICES}
    assert burn("R3 Postgres", tmp_path, replace(LARGE, trades=160 * SCALE), faults.kill_a_ready_service, urls).kills > 5


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_redis_killed(tmp_path: Path) -> None:
    """`kill -9` of Redis every 2 to 4 s; it is started again with its file."""
    assert burn("R5", tmp_path, replace(LARGE, pause_s=(2.0, 4.0)), faults.kill_redis).kills > 5


@pytest.mark.postgres
@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_redis_killed_on_postgres(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    """The same on a Postgres database for each service."""
    urls = {service: postgres(service) for service in SERVICES}
    plan = replace(LARGE, trades=160 * SCALE, pause_s=(2.0, 4.0))
    assert burn("R5 Postgres", tmp_path, plan, faults.kill_redis, urls).kills > 5


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_redis_loses_power(tmp_path: Path) -> None:
    """Redis is killed and 1 to 2 s are cut off its file, once two thirds of it: what is acknowledged in Redis is not there any more."""
    loss = faults.PowerLoss()
    burn("R6", tmp_path, replace(LARGE, pause_s=(0.5, 2.0), seconds=2 * LARGE.seconds), loss)
    assert sum(lost > 0 for lost in loss.lost_bytes) >= 10
    LINES[-1] += f" bytes={sum(loss.lost_bytes)}"


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_streams_lost(tmp_path: Path) -> None:
    """`FLUSHALL`, a stream deleted, or an empty Redis in its place, every 1 to 2 s."""
    loss = faults.StreamLoss()
    burn("R7", tmp_path, LARGE, loss)
    assert min(loss.times.values()) >= 3
    LINES[-1] += "".join(f" {what}={times}" for what, times in loss.times.items())


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_killed_in_mid_commit(tmp_path: Path) -> None:
    """`kill -9` of a service at the moment when its SQLite log grows; every store is intact afterwards."""
    run = burn("R13", tmp_path, replace(LARGE, pause_s=(0.5, 1.5)), faults.kill_in_mid_commit)
    assert run.kills > 5


@pytest.mark.chaos
@pytest.mark.timeout(900 * SCALE)
def test_rolling_restart(tmp_path: Path) -> None:
    """SIGTERM to one service after the other; each ends with code 0 and comes again."""
    restart = faults.RollingRestart()
    run = burn("R16", tmp_path, replace(LARGE, pause_s=(0.1, 0.2)), restart)
    assert restart.stops >= len(SERVICES)
    log = run.stack.log()
    assert log.count("ended with exit code 0; starts again") == restart.stops
    assert "was ended by" not in log


@pytest.mark.parametrize("away", ["gone", "hung", "full"])
@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_redis_away(tmp_path: Path, away: str) -> None:
    """For 60 s Redis is not there, does not answer, or takes no more: both doors go on; a subscription of that time copies what comes."""
    plan, since = Plan(trades=120, block=120, seconds=75), 60
    with running(tmp_path) as stack:
        run = Run(f"R8 {away}", stack, plan, since={"C": since}, within_s=60)
        run.work.prepare()
        (numbers,) = plan.blocks
        ends: list[Callable[[], object]] = []

        def before(k: int) -> None:
            if k == 12:
                if away == "gone":
                    run.kills += 1
                    ends.append(stack.redis_away())
                elif away == "hung":
                    stack.send("redis", signal.SIGSTOP)
                    ends.append(lambda: stack.send("redis", signal.SIGCONT))
                else:
                    ends.append(stack.redis_full())
            if k == since:
                run.work.subscribe("C")
            if 12 <= k < 108:
                path = f"/copytrade/master/{run.work.masters['M1']}"
                assert run.work.api("M1", "PUT", path, json={"description": f"at trade {k}"})["description"] == f"at trade {k}"
                refused = stack.call("GET", f"{stack.api}/copytrade/my", headers={"Authorization": run.work.tokens["M1"][:-2]})
                assert refused.status_code == 401, "S14: nobody is let in by an error"
            if k == 108:
                assert not settled(run.work), "nothing was copied meanwhile"
                ends.pop()()

        run.work.act(0, OPEN, numbers, plan.seconds, before)
        run.catch_up("opening while Redis is away")
        assert stack.failures == []
        for stage in (REDUCE, CLOSE):
            run.work.act(0, stage, numbers)
            run.catch_up(f"stage {stage}")
        run.finish()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_malformed_entries(tmp_path: Path) -> None:
    """Of 120 openings, 4 are malformed events and 1 entry is no batch: 5 dead letters, the rest done, and a retry after the fix.

    The entry that is no batch comes last: it is asked for again, and what is written anew from there on is whole. Who wrote the stream has
    a letter of it, too.
    """
    plan = Plan(trades=120, block=120, seconds=0)
    broken, garbage = [40, 61, 62, 100], [110]
    assert not any(oracle.trade(k).quick for k in broken + garbage)
    with running(tmp_path) as stack:
        run = Run("R9", stack, plan)
        run.work.prepare()
        (numbers,) = plan.blocks

        def before(k: int) -> None:
            if k == 30:
                malformed.hold(stack, "executor")

        run.work.act(0, OPEN, numbers, 0, before)
        entries = f"{run.work.orders[119]}"
        with stack.redis() as client:
            assert wait_until(lambda: any(entries in str(fields) for _, fields in client.xrevrange(malformed.STREAM, count=5)), 10)
        assert malformed.spoil(stack, broken, garbage) == len(broken + garbage)
        malformed.let_go(stack, "executor")
        began = time.monotonic()
        assert wait_until(lambda: settled(run.work, frozenset(broken)), CATCH_UP_S), "the others are done"
        run.converged_s = time.monotonic() - began
        letters = dead_letters(stack)
        assert Counter(letter.service for letter in letters) == {"executor": len(broken + garbage), "gateway": len(garbage)}, letters
        kept = malformed.GARBAGE.replace("\x00", "\\u0000")
        assert [letter.payload for letter in letters if letter.event_index < 0] == [kept] * 2 * len(garbage)
        malformed.mend(run.work, [letter for letter in letters if letter.event_index >= 0], {k: oracle.trade(k).volume for k in broken})
        run.catch_up("retried")
        run.dead = 2 * len(garbage)
        for stage in (REDUCE, CLOSE):
            run.work.act(0, stage, numbers)
            run.catch_up(f"stage {stage}")
        run.finish()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_stopped_under_load(tmp_path: Path) -> None:
    """SIGTERM while masters trade: everything is out within 10 s with exit code 0, and goes on where it was."""
    plan = Plan(trades=192, block=48, seconds=6)
    slowest = 0.0
    with running(tmp_path) as stack:
        run = Run("R21", stack, plan)
        run.work.prepare()
        for block, numbers in enumerate(plan.blocks):
            for stage in (OPEN, REDUCE, CLOSE):
                errors: list[BaseException] = []

                def act(block: int = block, stage: int = stage, numbers: range = numbers, errors: list[BaseException] = errors) -> None:
                    try:
                        run.work.act(block, stage, numbers, plan.seconds)
                    except BaseException as error:
                        errors.append(error)

                acting = threading.Thread(target=act)
                acting.start()
                if stage == OPEN:
                    time.sleep(plan.seconds / 2)
                    began = time.monotonic()
                    assert stack.stop() == 0
                    slowest = max(slowest, time.monotonic() - began)
                    stack.start()
                acting.join()
                assert not errors, errors
                run.catch_up(f"block {block}, stage {stage}")
        run.finish()
        LINES[-1] += f" stopped_s={slowest:.1f}"
        assert slowest <= STOP_S
        assert "does not stop within" not in stack.log()
