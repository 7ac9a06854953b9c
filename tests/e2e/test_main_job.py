"""The main job through the whole stack of processes, undisturbed and with kills: `main_job.py` has the numbers, worked out by hand."""

from pathlib import Path

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


def test_each_service_killed_in_the_middle_gives_the_same_end(tmp_path: Path) -> None:
    """Each service is killed -9 just before a step of the master's, and just after one."""
    with running_stack(tmp_path) as stack:
        job = MainJob(stack)
        job.open_accounts()
        job.subscribe()
        before = [("executor", "api"), ("rewards", "executor"), ("gateway", "stats")]
        after = [("gateway", "stats"), ("api", "gateway"), ("rewards", "executor")]
        for (step, expected), first, then in zip(job.steps(), before, after, strict=True):
            for victim in first:
                stack.kill_service(victim)
            step()
            for victim in then:
                stack.kill_service(victim)
            job.wait_for_volumes(expected)
        job.wait_for_the_end()
        check_end(job)
