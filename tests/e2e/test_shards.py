"""The main job while its followers move between shards: stopped, moved, started again between the master's trades."""

import time
from pathlib import Path

from tests.e2e.main_job import MainJob, check_end
from tests.e2e.running import RunningStack, running_stack


def move(stack: RunningStack, executors: int, rewards: int) -> None:
    """Stops the stack and moves its followers. What was stopped before everything was read to its end is started again first."""
    for _ in range(10):
        time.sleep(3)  # readers report their places once a second, and writers keep the reports
        assert stack.stop() == 0
        try:
            moved = stack.command("reshard", "rewards", "--shards", str(rewards))
            assert moved.startswith("rewards: ")
            moved = stack.command("reshard", "executor", "--shards", str(executors))
            assert moved.startswith("executor: ")
        except AssertionError as refused:
            if "wait" not in str(refused):
                raise
            stack.start()
        else:
            stack.start()
            return
    raise AssertionError("never read to its end")


def test_followers_that_move_between_shards_in_mid_trade_end_as_all_others(tmp_path: Path) -> None:
    """One shard opens, two close a part, three of the executor and one of rewards close the rest: figures and books are the same."""
    with running_stack(tmp_path) as stack:
        job = MainJob(stack)
        job.open_accounts()
        job.subscribe()
        for (step, expected), (executors, rewards) in zip(job.steps(), ((1, 1), (2, 2), (3, 1)), strict=True):
            if step != job.open:
                move(stack, executors, rewards)
            step()
            job.wait_for_volumes(expected)
        job.wait_for_the_end()
        check_end(job)
        assert {file.name for file in stack.home.glob("executor*.db")} == {"executor.db", "executor.2.db", "executor.3.db"}
        assert stack.command("verify").startswith("everything agrees; 4 balance operations")
        assert "0 come out otherwise" in stack.command("replay")
