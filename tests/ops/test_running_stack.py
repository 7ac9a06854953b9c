"""What a running stack tells its operator: metrics, readiness, logs, and one trace from the master's trade to the copies' fills.

One stack of real processes does the main job (tests/e2e/main_job.py has the numbers) with an exporter of traces, looked at from all sides.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shared.topics import TOPICS

from tests.e2e.main_job import MainJob
from tests.e2e.running import RunningStack
from tests.ops.collector import Collector, Seen, collector
from tests.ports import free_base

PORTS = {"api": 1, "gateway": 3, "executor": 4, "rewards": 5, "stats": 6}


@dataclass
class Watched:
    """A stack on which the main job is done, and the collector of its spans."""

    stack: RunningStack
    job: MainJob
    base: int
    spans: Collector

    def get(self, service: str, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.base + PORTS[service]}{path}", timeout=5)

    def metrics(self, service: str) -> dict[tuple[str, ...], float]:
        """Samples of our own by name and labels' values."""
        families = text_string_to_metric_families(self.get(service, "/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name.startswith("lockstep_")]
        return {
            (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "le")): sample.value for sample in samples
        }


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    base = free_base()
    with pytest.MonkeyPatch.context() as patch, collector() as spans:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.url)
        patch.setenv("LOCKSTEP_LOG_JSON", "true")
        stack = RunningStack(tmp_path / "home", base)
        try:
            stack.start()
            job = MainJob(stack)
            job.open_accounts()
            job.subscribe()
            for step, expected in job.steps():
                step()
                job.wait_for_volumes(expected)
            job.wait_for_the_end()
            yield Watched(stack, job, base, spans)
        finally:
            stack.end()


def wait_for(holds: Any, timeout_s: float = 60) -> Any:
    until = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def the_figures_are_what_happened(watched: Watched) -> None:
    """Four subscriptions, one trade with a partial close: three copied and closed, one skipped; three accruals, one of them for nothing."""
    executor = wait_for(lambda: (now := watched.metrics("executor")).get(("lockstep_links", "closed")) == 3 and now)
    assert executor[("lockstep_links", "closed")] == 3
    assert executor.get(("lockstep_links", "active"), 0) == 0
    assert executor[("lockstep_skips_total", "SYMBOL_FILTERED")] == 1
    assert executor[("lockstep_unknown_orders",)] == 0
    assert executor[("lockstep_ready", "1")] == 1
    for part, service in (("decide", "executor"), ("carry_out", "gateway"), ("confirm", "executor")):
        figures = watched.metrics(service)
        opened, closed = (figures[("lockstep_copy_seconds_count", action, part)] for action in ("open", "close"))
        assert opened >= 1, part
        assert closed >= 2, part
        assert 0 < figures[("lockstep_copy_seconds_sum", "open", part)] < 10, part
    rewards = wait_for(lambda: (now := watched.metrics("rewards")).get(("lockstep_accruals", "paid")) == 2 and now)
    assert rewards[("lockstep_accruals", "cancelled")] == 1
    assert rewards[("lockstep_settlement_failures", "dead")] == 0
    for service, topic in (("gateway", "copy.order"), ("executor", "trade.push"), ("stats", "copy.link"), ("api", "master.stats")):
        figures = wait_for(
            lambda service=service, topic=topic: (now := watched.metrics(service)).get(("lockstep_reader_lag", topic)) == 0 and now
        )
        assert figures[("lockstep_reader_position", topic)] == figures[("lockstep_stream_last", topic)] > 0


def ready_says_what_was_looked_at(watched: Watched) -> None:
    for service in PORTS:
        answer = watched.get(service, "/readyz")
        assert (answer.status_code, answer.json()["status"], answer.json()["stuck"]) == (200, "ready", [])
        assert watched.get(service, "/healthz").json() == {"status": "ok"}


def topics_are_read_and_written_as_they_are_documented(watched: Watched) -> None:
    for service in PORTS:
        assert set(watched.get(service, "/readyz").json()["lag"]) == {topic.name for topic in TOPICS if service in topic.readers}
        written = {name[1] for name in watched.metrics(service) if name[0] == "lockstep_outbox_last"}
        assert written == {topic.name for topic in TOPICS if topic.writer == service}


def one_trace_from_the_masters_trade_to_the_fills_of_its_copies(watched: Watched) -> None:
    """Gateway (the master's trade) -> executor (decides) -> gateway (fills) -> executor (links are open): each the parent of the next."""

    def chains() -> list[list[Seen]]:
        spans = {(one.trace, one.span): one for one in watched.spans.spans}
        found = []
        for last in spans.values():
            chain = [last]
            while (before := spans.get((chain[-1].trace, chain[-1].parent))) is not None:
                chain.append(before)
            found.append(chain[::-1])
        return found

    wanted = ["gateway tells trade.push", "executor handles trade.push", "gateway handles copy.order", "executor handles trade.push"]
    (first, *others) = wait_for(lambda: [chain for chain in chains() if [one.name for one in chain] == wanted])
    assert len(others) >= 2, "the two closings have traces of their own"
    assert len({one.trace for chain in (first, *others) for one in chain}) == len(others) + 1
    for chain in (first, *others):
        assert len({one.trace for one in chain}) == 1
        assert len({one.correlation for one in chain}) == 1
        assert [one.service for one in chain] == ["lockstep-gateway", "lockstep-executor", "lockstep-gateway", "lockstep-executor"]
        assert not chain[0].parent
        assert all(before.start_ns < after.start_ns <= after.end_ns for before, after in pairwise(chain))
    everybody = {one.service for one in watched.spans.spans if one.trace == first[0].trace}
    assert everybody >= {"lockstep-gateway", "lockstep-executor", "lockstep-rewards", "lockstep-stats", "lockstep-api"}


def spans_are_per_entry_and_never_sent_twice(watched: Watched) -> None:
    ids = [(one.trace, one.span) for one in watched.spans.spans]
    assert len(ids) == len(set(ids))


def logs_are_json_with_the_service_s_name(watched: Watched) -> None:
    lines = [line.partition("|")[2].strip() for line in watched.stack.log().splitlines() if "|" in line]
    started = {said["service"] for line in lines if line.startswith("{") and (said := json.loads(line))["event"] == "started"}
    assert started >= set(PORTS)


@pytest.mark.timeout(300)
def test_a_running_stack_tells_its_operator(watched: Watched) -> None:
    """One test, so that the stack is started once wherever the tests run."""
    the_figures_are_what_happened(watched)
    ready_says_what_was_looked_at(watched)
    topics_are_read_and_written_as_they_are_documented(watched)
    one_trace_from_the_masters_trade_to_the_fills_of_its_copies(watched)
    spans_are_per_entry_and_never_sent_twice(watched)
    logs_are_json_with_the_service_s_name(watched)
