"""The gateway's figures: how long a copy order takes from its sender's commit to its fill."""

from shared.store.work import Work
from shared.telemetry import COPY_SECONDS

ACTIONS = {"copy.open": "open", "copy.close": "close"}


def told(work: Work, now_ms: int) -> None:
    """From the order as it was written to what the venue did with it (`carry_out`): once an entry."""
    for batch in work.handled:
        for action in {ACTIONS[event.type] for event in batch.events if event.type in ACTIONS}:
            COPY_SECONDS.labels("carry_out", action).observe(max(0, now_ms - batch.sent) / 1000)
