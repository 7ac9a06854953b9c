"""The time that a service sees: Unix milliseconds, moved by `LOCKSTEP_CLOCK_OFFSET` in tests and drills."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Answers the time now, in Unix milliseconds."""


def system_clock(offset_s: float = 0) -> Clock:
    """The machine's clock, `offset_s` seconds ahead (behind when negative)."""
    offset_ms = round(offset_s * 1000)
    return lambda: time.time_ns() // 1_000_000 + offset_ms


def has_passed(now: int, since: int, wait_ms: int) -> bool:
    """Whether so long has passed since then; also when the clock went back behind it, or it would not until it is that late again."""
    return not 0 <= now - since < wait_ms


def seconds(ms: int) -> int:
    """Unix seconds, as the specification's `created_time` and `updated_time` count them."""
    return ms // 1000
