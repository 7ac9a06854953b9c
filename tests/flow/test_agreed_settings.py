"""A setting that is one for all services: whoever is told another one than the others notices."""

import pytest
from shared.bus.broker import Bus

from tests.ports import started_valkey

pytestmark = pytest.mark.anyio


async def test_services_with_different_time_zones_notice() -> None:
    """Rewards bills by Athens, stats counts in UTC: each hears of the other; started again with the same zone they agree."""
    server = started_valkey()
    url = f"redis://{server.host}:{server.port}/0"
    rewards, stats, api = (Bus(url, name) for name in ("rewards", "stats", "api"))
    for bus in (rewards, stats, api):
        await bus.connect()
    assert await rewards.agree("broker_timezone", "Europe/Athens") == {}
    assert await stats.agree("broker_timezone", "UTC") == {"rewards": "Europe/Athens"}
    assert await api.agree("broker_timezone", "Europe/Athens") == {"stats": "UTC"}
    assert await stats.agree("broker_timezone", "Europe/Athens") == {}
    for bus in (rewards, stats, api):
        await bus.stop()
    server.stop()
    assert await api.agree("broker_timezone", "UTC") == {}  # without Redis there is nobody to compare with, and nothing fails
