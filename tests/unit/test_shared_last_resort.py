"""Who has lost the store ends, whatever its tasks wait for."""

import subprocess
import sys
from typing import Any, cast

import pytest

from shared import service

pytestmark = pytest.mark.anyio

HANGS = """
import time
from shared import service
service.STOP_TIMEOUT_S = 0.1
service._last_resort().start()
time.sleep(60)
"""


class Lost:
    async def held(self) -> bool:
        return False


class Timer:
    started = False

    def start(self) -> None:
        self.started = True


async def test_the_end_is_set_when_the_lock_is_lost() -> None:
    timer = Timer()
    with pytest.raises(RuntimeError, match="another instance may work on it"):
        await service._watch_ownership(cast("Any", Lost()), cast("Any", None), cast("Any", timer))
    assert timer.started


def test_a_process_that_hangs_is_ended() -> None:
    assert subprocess.run([sys.executable, "-c", HANGS], check=False, timeout=50).returncode == 1
