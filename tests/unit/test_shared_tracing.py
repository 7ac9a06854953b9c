"""Which part of all workflows is traced."""

from types import SimpleNamespace
from typing import Any

from shared.contracts.orders import SyncAccounts
from shared.tracing import Tracer

WORKFLOWS = 400


def traced(service: str, ratio: float) -> set[int]:
    """The traces that a service has a part in, of as many workflows."""
    ended: list[Any] = []
    processor: Any = SimpleNamespace(on_end=ended.append)
    made = Tracer(service, b"a key", ratio, processor)
    for number in range(WORKFLOWS):
        event = SyncAccounts(logins=(1,), request="r").model_copy(update={"correlation_id": f"trade.push:{number}:0"})
        work: Any = SimpleNamespace(handled=[], sent=[("copy.order", number, [event])], began_ns=1)
        made.told(work)
    return {span.context.trace_id for span in ended}


def test_all_services_trace_the_same_part_of_all_workflows() -> None:
    everything = traced("executor", 1)
    assert len(everything) == WORKFLOWS
    assert traced("executor", 0) == set()
    part = traced("executor", 0.25)
    assert part < everything
    assert WORKFLOWS / 8 < len(part) < WORKFLOWS / 2
    assert traced("gateway", 0.25) == part
