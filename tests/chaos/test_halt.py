"""K1: one decision stops all opening within a second, lets closings go on, and survives the end of every process."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos import bulk
from tests.chaos.burning import LINES
from tests.chaos.check import unsafe
from tests.chaos.stack import ChaosStack, run_command, running, wait_until
from tests.chaos.test_size import copied, prepared

TRADES = int(os.environ.get("CHAOS_HALT_TRADES", "6000"))
WITHIN_S = 1.0


def kill_everything(stack: ChaosStack) -> None:
    """`kill -9` of the supervisor and all that it runs, at once."""
    supervisor = psutil.Process(stack.supervisor())
    processes = [supervisor, *supervisor.children()]
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=20)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_halt_holds(tmp_path: Path) -> None:
    """Trades that wait are copied as fast as they can be; none is opened later than 1 s after the halt; those that are open are closed."""
    with running(tmp_path) as stack:
        work = prepared(stack)
        follower = work.logins["B"]
        manager = {"Authorization": run_command(stack, "token", "manager", "anna").strip()}
        assert stack.stop() == 0
        bulk.trade(stack.home, work.logins["M1"], range(TRADES))
        stack.start()
        assert wait_until(lambda: copied(stack, "in", follower) >= TRADES // 20, 120)
        began, before = time.monotonic(), copied(stack, "in", follower)
        time.sleep(2)
        rate = (copied(stack, "in", follower) - before) / (time.monotonic() - began)
        asked = time.monotonic()
        answer = stack.call("POST", f"{stack.api}/manager/MngHalt", json={"scope": "all", "reason": "drill"}, headers=manager)
        assert answer.status_code == 200, answer.text
        halted = time.monotonic()
        opened, last = copied(stack, "in", follower), 0.0
        while time.monotonic() - halted < 4:
            now = copied(stack, "in", follower)
            opened, last = (now, time.monotonic() - halted) if now != opened else (opened, last)
            time.sleep(0.02)
        assert opened < TRADES, "there was something left to halt"
        assert wait_until(lambda: copied(stack, "out", follower) == opened, 60), "closings go on"
        kill_everything(stack)
        stack.start()
        skipped = "SELECT count(*) FROM trade_link WHERE state <> 1 AND reason IN ('HALTED', 'TRADING_HALTED')"
        assert wait_until(lambda: stack.rows("api", skipped)[0][0] == TRADES - opened, 120), stack.rows("api", skipped)
        assert copied(stack, "in", follower) == opened
        assert stack.call("POST", f"{stack.api}/manager/MngResume", json={"scope": "all"}, headers=manager).status_code == 200
        time.sleep(1)
        body = {"login": work.logins["M1"], "symbol": bulk.SYMBOL, "side": "buy", "volume": 1}
        work.venue("POST", "/orders", json=body)
        assert wait_until(lambda: copied(stack, "in", follower) == opened + 1, 30), "lifted, it is copied again"
        assert not unsafe(stack)
        LINES.append(
            f"{'K1':<28} copies_s={rate:.0f} answered_s={halted - asked:.2f} last_opened_s={last:.2f} of={opened}/{TRADES} after_restart=0"
        )
        print(LINES[-1])
        assert last <= WITHIN_S
