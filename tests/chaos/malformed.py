"""R9: entries of `trade.push` are spoilt in the stream while the executor is stopped, so that it alone gets them."""

import json
import signal
from collections.abc import Sequence

from tests.chaos.check import Letter
from tests.chaos.stack import ChaosStack, run_command
from tests.chaos.workload import Workload

STREAM = "trade.push"
NOT_A_NUMBER = "many"
GARBAGE = "\u0000 this is no batch {"


def spoil(stack: ChaosStack, trades: Sequence[int], garbage: Sequence[int]) -> int:
    """In the entries that tell of `trades`, the opening's volume becomes a word; those of `garbage` are no batch any more."""
    changed = 0
    with stack.redis() as client, client.pipeline() as pipe:
        pipe.watch(STREAM)
        entries = [(key, fields[b"batch"].decode()) for key, fields in pipe.xrange(STREAM)]
        pipe.multi()
        pipe.delete(STREAM)
        for key, payload in entries:
            spoilt = payload
            for k in trades:
                if _tells(payload, k):
                    spoilt = without_volume(payload)
            for k in garbage:
                if _tells(payload, k):
                    spoilt = GARBAGE
            changed += spoilt != payload
            pipe.xadd(STREAM, {"batch": spoilt}, id=key)
        pipe.execute()
    return changed


def mend(work: Workload, letters: Sequence[Letter], volumes: dict[int, int]) -> None:
    """What a person does: puts the volume right in each letter, and has them handled again."""
    stack = work.stack
    for letter in letters:
        event = json.loads(letter.payload)
        column = event["structure"].index("volume")
        for row in event["rows"]:
            row[column] = volumes[int(row[event["structure"].index("client_id")].removeprefix("t-"))]
        stack.write(letter.service, "UPDATE dead_letter SET payload = :payload WHERE id = :id", payload=json.dumps(event), id=letter.id)
    run_command(stack, "dead-letters", "retry", *(f"{letter.service}:{letter.id}" for letter in letters))


def hold(stack: ChaosStack, service: str) -> None:
    stack.send(service, signal.SIGSTOP)


def let_go(stack: ChaosStack, service: str) -> None:
    stack.send(service, signal.SIGCONT)


def _tells(payload: str, k: int) -> bool:
    return '"position.opened"' in payload and f'"t-{k}"' in payload


def without_volume(payload: str) -> str:
    batch = json.loads(payload)
    for event in batch["events"]:
        if event["type"] == "position.opened":
            column = event["structure"].index("volume")
            for row in event["rows"]:
                row[column] = NOT_A_NUMBER
    return json.dumps(batch)
