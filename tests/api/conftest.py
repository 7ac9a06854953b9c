"""The world that the api's tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened
