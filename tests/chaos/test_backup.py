"""A service's store is lost and restored from a backup while the others go on; everything ends as if it had never been away."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.burning import Plan, Run
from tests.chaos.oracle import CLOSE, OPEN, REDUCE
from tests.chaos.stack import ChaosStack, ProcessStack, run_command, running, wait_until
from tests.chaos.workload import Workload


def backup(stack: ChaosStack, service: str, kept: Path) -> None:
    """As `docs/operations.md` says: the service works on meanwhile."""
    with closing(sqlite3.connect(stack.home / f"{service}.db")) as store, closing(sqlite3.connect(kept)) as copy:
        store.backup(copy)


def restore(stack: ChaosStack, service: str, kept: Path) -> None:
    """The store is gone; what was kept takes its place."""
    for name in (f"{service}.db", f"{service}.db-wal", f"{service}.db-shm"):
        (stack.home / name).unlink(missing_ok=True)
    (stack.home / f"{service}.db").write_bytes(kept.read_bytes())


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", ["executor", "rewards", "stats", "api"])
def test_a_store_is_restored(tmp_path: Path, service: str) -> None:
    """The backup is a third of the run old: copies, fees, statistics and pages since then are made good from the others' outboxes."""
    plan = Plan(trades=96, block=48, seconds=4, hands=4)
    kept = tmp_path / "kept.db"
    with running(tmp_path, env={}) as stack:
        assert isinstance(stack, ProcessStack)
        run = Run(f"backup of {service}", stack, plan)
        run.work.prepare()
        first, second = plan.blocks
        for stage in (OPEN, REDUCE):
            run.work.act(0, stage, first, 0)
            run.catch_up(f"before the backup, stage {stage}")
        backup(stack, service, kept)
        run.work.act(0, CLOSE, first, 0)
        run.catch_up("after the backup")
        run.work.act(1, OPEN, second, plan.seconds)
        run.catch_up("after the backup")
        with stack.down(service):
            restore(stack, service, kept)
        assert wait_until(lambda: stack.ready(service), 60)
        run.catch_up("restored")
        for stage in (REDUCE, CLOSE):
            run.work.act(1, stage, second, plan.seconds)
            run.catch_up(f"after the restore, stage {stage}")
        run_command(stack, "resync", "--all")
        run.finish()
        run_command(stack, "verify")


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_what_was_made_after_the_backup_of_the_api_ends_with_all(tmp_path: Path) -> None:
    """A subscribed after it, C changed a setting twice, B was halted: that is gone for the others, too. What A and C set then counts."""
    kept = tmp_path / "kept.db"
    ids = "SELECT id FROM subscription WHERE follower_login = :login AND deleted = 0"
    limit = "SELECT max_positions FROM subscription WHERE id = :id"
    gone = "SELECT gone_ms FROM subscription WHERE follower_login = :login"
    with running(tmp_path, env={}) as stack:
        assert isinstance(stack, ProcessStack)
        work = Workload(stack, {"A": 10**9})
        work.prepare()
        a, c = work.logins["A"], work.logins["C"]
        assert wait_until(lambda: stack.rows("executor", ids, login=c), 30)
        ((changed,), *_) = stack.rows("executor", ids, login=c)
        backup(stack, "api", kept)
        work.subscribe("A")
        for most in (5, 6):
            work.api("C", "PUT", f"/copytrade/subscription/{changed}", json={"max_positions": most})
        work.api("B", "POST", "/copytrade/halt", json={"scope": "follower", "login": work.logins["B"]})
        assert wait_until(lambda: stack.rows("executor", "SELECT * FROM halt"), 30)
        lost = {number for (number,) in stack.rows("executor", ids, login=a)}
        assert lost
        assert stack.rows("executor", limit, id=changed)[0][0] == 6
        with stack.down("api"):
            restore(stack, "api", kept)
        assert wait_until(lambda: not stack.rows("executor", ids, login=a), 60)
        assert wait_until(lambda: stack.rows("executor", limit, id=changed)[0][0] == 0, 10)
        assert stack.rows("executor", "SELECT * FROM halt") == []
        assert wait_until(lambda: all(at for (at,) in stack.rows("rewards", gone, login=a)), 10)
        work.subscribe("A")
        work.api("C", "PUT", f"/copytrade/subscription/{changed}", json={"max_positions": 7})
        assert wait_until(lambda: stack.rows("executor", limit, id=changed)[0][0] == 7, 10)
        assert wait_until(lambda: stack.rows("executor", ids, login=a), 10)
        assert min(number for (number,) in stack.rows("executor", ids, login=a)) > max(lost)
        work.act(0, OPEN, range(12), 0)
        mine = "SELECT count(*), count(DISTINCT master_order) FROM link WHERE follower_login = :login AND phase <> 'skipped'"
        assert wait_until(lambda: stack.rows("executor", mine, login=a)[0][0] > 0, 30)
        copies, distinct = stack.rows("executor", mine, login=a)[0]
        assert copies == distinct, "by one subscription each"
