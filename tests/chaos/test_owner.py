"""R4: an owner hangs, its standby takes over, and the owner wakes up again."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.burning import LINES, Plan, Run
from tests.chaos.check import unsafe
from tests.chaos.oracle import CLOSE, OPEN, REDUCE
from tests.chaos.stack import SERVICES, running, wait_until
from tests.e2e.running import is_ready

TAKES_OVER_S = 5
HANGS_S = 20
ENDS_S = 30
"""How long an owner that wakes up and finds that its term is over may take to end: what it was doing is given up first."""


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", ["executor", "rewards", "gateway"])
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_an_owner_hangs(tmp_path: Path, request: pytest.FixtureRequest, store: str, service: str) -> None:
    """SIGSTOP for 20 s under load: the standby owns the store within 5 s; SIGCONT: nothing is done twice, and the old owner ends."""
    urls: dict[str, str] | None = None
    if store == "postgres":
        make: Callable[[str], str] = request.getfixturevalue("postgres")
        urls = {name: make(name) for name in SERVICES}
    plan = Plan(trades=96, block=96, seconds=30)
    with running(tmp_path, urls) as stack, stack.one_more(service) as standby:
        run = Run(f"R4 {service} {store}", stack, plan)
        run.work.prepare()
        time.sleep(2)  # the standby is on its feet by then
        took: dict[str, float] = {}

        def terms() -> int:
            return int(stack.rows(service, "SELECT last FROM log_counter WHERE stream = :stream", stream=":term")[0][0])

        def hang() -> None:
            old, before, began = stack.pid(service), terms(), time.monotonic()
            stack.send(service, signal.SIGSTOP)
            assert wait_until(lambda: terms() > before, 4 * TAKES_OVER_S)
            took["over"] = time.monotonic() - began
            assert wait_until(lambda: is_ready(standby), 4 * TAKES_OVER_S)
            took["ready"] = time.monotonic() - began

            def wake() -> None:
                time.sleep(began + HANGS_S - time.monotonic())
                if Path(f"/proc/{old}").exists():  # a standby on the same machine has killed it already
                    os.kill(old, signal.SIGCONT)
                assert wait_until(lambda: stack.pid(service) != old, ENDS_S), "the old owner ends"
                took["woken"] = time.monotonic() - began

            threading.Thread(target=wake).start()

        def before(k: int) -> None:
            if k == 24:
                hang()
                if service == "gateway":
                    stack.venue = standby

        (numbers,) = plan.blocks
        run.work.act(0, OPEN, numbers, plan.seconds, before)
        run.found = run.found or unsafe(stack)
        run.catch_up("opening")
        assert wait_until(lambda: "woken" in took, HANGS_S + ENDS_S)
        for stage in (REDUCE, CLOSE):
            run.work.act(0, stage, numbers, 6)
            run.catch_up(f"stage {stage}")
        run.finish()
        LINES[-1] += f" took_over_s={took['over']:.1f} ready_s={took['ready']:.1f}"
        assert took["over"] <= TAKES_OVER_S
