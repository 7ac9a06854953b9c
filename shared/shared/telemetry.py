"""Logs and metrics: structlog to standard output, Prometheus for figures; per batch, never per message."""

import logging
import sys
from collections.abc import Mapping

import structlog
from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

BATCHES = Counter("lockstep_batches_handled", "Entries of a stream that a service handled", ["stream"])
READY = Gauge("lockstep_ready", "1 when every loop turns and the store and Redis answer, as /readyz says", ["shard"])
SHARDS = Gauge("lockstep_shards", "How many shards the service is divided into; 1 where it is not")
ZONES_DIFFERENT = Gauge("lockstep_timezones_different", "Services that were told another broker's time zone than this one")
DEAD_LETTERS = Counter("lockstep_dead_letters", "Entries or events that were put aside", ["stream"])
DEAD_LETTERS_WAITING = Gauge("lockstep_dead_letters_waiting", "Dead letters in the store that nobody has retried yet", ["stream"])
READER_POSITION = Gauge("lockstep_reader_position", "Last number of a stream that a service handled", ["stream"])
STREAM_LAST = Gauge("lockstep_stream_last", "Last number that a stream holds, as its reader sees it", ["stream"])
READER_LAG = Gauge("lockstep_reader_lag", "Entries that a stream is ahead of the service that reads it", ["stream"])
GAPS = Counter("lockstep_gaps", "Times a reader asked for a number that its stream did not hold", ["stream"])
OUTBOX_LAST = Gauge("lockstep_outbox_last", "Last number that a service wrote for a stream", ["stream"])
REBUILDS = Counter("lockstep_rebuilds", "Times a stream was written anew from the outbox", ["stream"])
HANDLE_SECONDS = Histogram(
    "lockstep_handle_seconds", "Time to handle a run of entries, commit included", ["stream"], buckets=LATENCY_BUCKETS
)


COPY_SECONDS = Histogram(
    "lockstep_copy_seconds",
    "Latency of a copy: `decide` from the venue's word to our order, `carry_out` to its fill, `confirm` to the link; once an entry",
    ["part", "action"],
    buckets=LATENCY_BUCKETS,
)


def show(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Sets a gauge of one label to what was just counted; labels that are gone stand at 0, so that an alert on them ends."""
    for (label,) in {tuple(sample.labels.values()) for metric in gauge.collect() for sample in metric.samples}:
        if label not in values:
            gauge.labels(label).set(0)
    for label, value in values.items():
        gauge.labels(label).set(value)


def configure_logging(service: str, level: str = "info", as_json: bool = False) -> None:
    """Once per process: structured lines on standard output, the service's name in each when they are JSON."""
    shared_processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared_processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    if as_json:
        structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
