"""S10: raw requests that no client library would send never break the application, and every answer is as declared."""

import asyncio
import os

import pytest

from tests.api import fuzz

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "4000"))
"""Requests in all; `make fuzz` puts 200,000, and FUZZ_SEED others."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))
SHARDS = max(2, REQUESTS // 10_000)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_s10_raw_requests_never_break_it(shard: int) -> None:
    statuses = asyncio.run(fuzz.run(SEED + shard, -(-REQUESTS // SHARDS)))
    print(f"S10 raw seed={SEED + shard} requests={statuses.total()} {dict(sorted(statuses.items()))}")
    assert statuses[200] > statuses.total() // 10, "most requests are refused for one thing alone, and many are right"
