"""OpenTelemetry: one trace from a trade on the venue to the fills of its copies, if an exporter is configured; a span per entry.

Nothing travels for it. An event carries the id of the workflow that it belongs to and the id of the event that it answers, so trace and
span ids are derived from those: every service makes the same ones by itself, and a retry makes them again.
"""

import os
import time
from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, NamedTuple

from shared.contracts.event import Event
from shared.settings import Settings
from shared.store.work import Work

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

STATE_REPORTS = frozenset({"account.changed", "symbol.changed", "stats.changed"})
"""Told from time to time by themselves: they begin no trace."""
SPANS_A_COMMIT = 500
STOP_MS = 1000


class _Made(NamedTuple):
    """What a span is about: the entry that was handled (empty: a request or a timer), and the span that sent it."""

    name: str
    stream: str
    number: int
    parent: int
    sent_ms: int


class Tracer:
    """Makes the spans of one service, after each commit."""

    def __init__(self, service: str, key: bytes, ratio: float, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (nobody pays for it who does not trace)

        self._service = service
        self._key = sha256(key).digest()
        self._below = round(ratio * (1 << 64))
        self._processor = processor
        self._resource = Resource.create({"service.name": f"lockstep-{service}"})

    def told(self, work: Work) -> None:
        """Takes a unit of work that was committed."""
        ended_ns = time.time_ns()
        spans: dict[tuple[str, str], _Made] = {}
        rows: dict[tuple[str, str], int] = {}
        for batch in work.handled:
            entry = f"{batch.stream}:{batch.number}"
            for event in _traced(batch.events):
                key = (entry, event.correlation_id)
                if key not in spans:
                    parent = self._span_id(batch.source, *_cause(event))
                    spans[key] = _Made(f"{self._service} handles {batch.stream}", batch.stream, batch.number, parent, batch.sent)
        for stream, number, events in work.sent:
            for index, event in enumerate(events):
                correlation = event.correlation_id or f"{stream}:{number}:{index}"
                key = (event.causation_id.rpartition(":")[0], correlation)
                if key not in spans and event.type not in STATE_REPORTS:
                    spans[key] = _Made(f"{self._service} tells {stream}", stream, number, 0, 0)
                rows[key] = rows.get(key, 0) + event.weight()
        for (entry, correlation), made in list(spans.items())[:SPANS_A_COMMIT]:
            self._end(entry, correlation, made, rows.get((entry, correlation), 0), work.began_ns, ended_ns)

    def close(self) -> None:
        """Sends what is left, within a second. Blocks."""
        self._processor.force_flush(STOP_MS)
        self._processor.shutdown()

    def _end(self, entry: str, correlation: str, made: _Made, rows: int, began_ns: int, ended_ns: int) -> None:
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags  # noqa: PLC0415

        trace_id = int.from_bytes(self._digest(16, "trace", correlation), "big")
        if trace_id & ((1 << 64) - 1) >= self._below:
            return
        flags = TraceFlags(TraceFlags.SAMPLED)
        attributes: dict[str, str | int] = {
            "messaging.system": "redis",
            "messaging.destination.name": made.stream,
            "lockstep.number": made.number,
            "lockstep.correlation_id": correlation,
            "lockstep.rows_sent": rows,
        }
        if made.sent_ms:
            attributes["lockstep.sent_ms"] = made.sent_ms
        span = ReadableSpan(
            made.name,
            SpanContext(trace_id, self._span_id(self._service, entry, correlation), is_remote=False, trace_flags=flags),
            SpanContext(trace_id, made.parent, is_remote=True, trace_flags=flags) if made.parent else None,
            self._resource,
            attributes,
            kind=SpanKind.CONSUMER if made.parent else SpanKind.PRODUCER,
            start_time=began_ns,
            end_time=ended_ns,
        )
        self._processor.on_end(span)

    def _span_id(self, service: str, entry: str, correlation: str) -> int:
        return int.from_bytes(self._digest(8, service, entry, correlation), "big")

    def _digest(self, size: int, *parts: str) -> bytes:
        """Keyed by the installation's secret: two installations that count from 1 do not share their traces."""
        return blake2b("\n".join(parts).encode(), digest_size=size, key=self._key).digest()


def _traced(events: Iterable[Event]) -> Iterable[Event]:
    return (event for event in events if event.correlation_id and event.type not in STATE_REPORTS)


def _cause(event: Event) -> tuple[str, str]:
    """What its writer was handling when it sent the event: an entry (empty: a request or a timer), and the workflow."""
    return event.causation_id.rpartition(":")[0], event.correlation_id


def tracer(service: str, settings: Settings) -> Tracer | None:
    """The service's tracer when an exporter is configured: by `LOCKSTEP_TRACE_URL`, or OpenTelemetry's own variables."""
    standard = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not settings.trace_url and not standard:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=settings.trace_url or None)
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
    return Tracer(service, settings.secret.get_secret_value().encode(), settings.trace_ratio, processor)
