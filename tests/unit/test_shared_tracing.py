"""Which part of all workflows is traced, and where their spans go."""

from types import SimpleNamespace
from typing import Any

import pytest
from shared.contracts.orders import SyncAccounts
from shared.settings import Settings
from shared.tracing import Tracer, tracer

from tests.ops.collector import collector

WORKFLOWS = 400


def traced(service: str, ratio: float) -> set[int]:
    """The traces that a service has a part in, of as many workflows."""
    ended: list[Any] = []
    processor: Any = SimpleNamespace(on_end=ended.append)
    tell(Tracer(service, b"a key", ratio, processor), WORKFLOWS)
    return {span.context.trace_id for span in ended}


def tell(made: Tracer, workflows: int) -> None:
    """As many workflows have an event each."""
    for number in range(workflows):
        event = SyncAccounts(logins=(1,), request="r").model_copy(update={"correlation_id": f"trade.push:{number}:0"})
        work: Any = SimpleNamespace(handled=[], sent=[("copy.order", number, [event])], began_ns=1)
        made.told(work)


def test_all_services_trace_the_same_part_of_all_workflows() -> None:
    everything = traced("executor", 1)
    assert len(everything) == WORKFLOWS
    assert traced("executor", 0) == set()
    part = traced("executor", 0.25)
    assert part < everything
    assert WORKFLOWS / 8 < len(part) < WORKFLOWS / 2
    assert traced("gateway", 0.25) == part


def test_spans_go_where_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracer("executor", Settings()) is None
    with collector() as kept:
        made = tracer("executor", Settings(trace_url=f"{kept.url}/v1/traces"))
        assert made is not None
        tell(made, 2)
        made.close()
    assert [(one.service, one.correlation) for one in kept.spans] == [("lockstep-executor", f"trade.push:{n}:0") for n in range(2)]
