"""What a service's settings make of its readers and relays."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from shared.bus.relay import Keeping
from shared.settings import Settings

from shared import service

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000


class NotedBus:
    """A bus that carries nothing, and notes what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, Keeping] = {}
        self.at_once: dict[str, int] = {}

    async def connect(self) -> None: ...

    async def agree(self, *_: Any) -> list[str]:
        return []

    def relay(self, relay: tuple[Any, ...]) -> None:
        _, _, topic, _, keeping = relay
        self.kept[topic] = keeping

    def read(self, stream: Any, max_records: int) -> None:
        self.at_once[stream] = max_records

    async def start(self) -> None:
        raise EOFError


async def test_how_long_is_kept_and_how_much_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "Relay", lambda *of: of)
    monkeypatch.setattr(service, "Reader", lambda _store, stream, *_, **__: stream)
    bus: Any = NotedBus()
    bus.wire = None
    reads = {"trade.push": service.Read(None, None), "copy.link": service.Read(None, None)}  # type: ignore[arg-type]
    parts: Any = SimpleNamespace(writes={"copy.order": None}, reads=reads, on_prices=None)
    settings = Settings(retention_days=0.25, max_records=7, executor_shards=2)
    with pytest.raises(EOFError):
        await service._connect_and_start(bus, SimpleNamespace(), parts, settings, asyncio.Event())  # type: ignore[arg-type]
    assert {topic: kept.retention_ms for topic, kept in bus.kept.items()} == {"copy.order": 6 * HOUR_MS}
    assert set(bus.at_once.values()) == {7}
    assert len(bus.at_once) == 3, "the executor's links come from two shards"
