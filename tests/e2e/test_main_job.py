"""The main job through the whole stack of processes, undisturbed and with kills: `main_job.py` has the numbers, worked out by hand."""

from pathlib import Path

import pytest

from tests.e2e.main_job import END, MainJob, check_end
from tests.e2e.running import running_stack


def test_open_partial_close_and_close_are_copied_rewarded_and_shown(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        job = MainJob(stack)
        job.open_accounts()
        job.subscribe()
        for step, expected in job.steps():
            step()
            job.wait_for_volumes(expected)
        job.wait_for_the_end()
        check_end(job)
        assert stack.stop() == 0
        stack.start()  # state survives a restart
        assert job.balances() == END
        check_end(job)


@pytest.mark.parametrize("when", ["before", "after"])
def test_each_service_killed_in_the_middle_gives_the_same_end(tmp_path: Path, when: str) -> None:
    """Each service is killed -9 twice around the master's trades: just before and just after them, in different orders."""
    with running_stack(tmp_path) as stack:
        job = MainJob(stack)
        job.open_accounts()
        job.subscribe()
        victims_of = [("executor", "api"), ("gateway", "stats"), ("rewards", "executor")]
        for (step, expected), victims in zip(job.steps(), victims_of, strict=True):
            if when == "before":
                for victim in victims:
                    stack.kill_service(victim)
            step()
            if when == "after":
                for victim in victims:
                    stack.kill_service(victim)
            job.wait_for_volumes(expected)
        job.wait_for_the_end()
        check_end(job)
