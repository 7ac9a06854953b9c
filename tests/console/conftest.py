"""The world behind the console in its tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.world import World, open_world
from tests.console.stage import people


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await people(opened)
        yield opened
