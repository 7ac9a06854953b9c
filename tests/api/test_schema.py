"""S10: requests made from the OpenAPI document itself, against a running server: no failure of ours, every answer of a declared shape."""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from api import auth
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.api.world import ALICE, NOW_MS, SECRET, open_world

CASES = int(os.environ.get("FUZZ_CASES", "250"))
"""Requests in all, shared by the operations; `make fuzz` makes 10,000."""
SHARDS = 4
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The api on a port of its own, in a thread with a loop of its own; answers its address."""
    ready, stop = threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with open_world(tmp_path_factory.mktemp("served"), login_rate_limit="1000000/minute", rate_limit="100000000/minute") as world:
            await world.pair()
            server = uvicorn.Server(uvicorn.Config(world.app, port=0, log_level="error", lifespan="off", timeout_keep_alive=600))
            running = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110  (uvicorn does not tell)
                await asyncio.sleep(0.01)
            address.append(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
            ready.set()
            await asyncio.to_thread(stop.wait)
            server.should_exit = True
            await running

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    yield address[0]
    stop.set()
    thread.join(30)


def probe(operation: Any, headers: dict[str, str], cases: int, session: requests.Session) -> int:
    """So many requests to one operation, or as many different ones as there are; answers how many."""
    count = 0

    @settings(
        max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
    )
    @given(case=operation.as_strategy())
    def sent(case: Any) -> None:
        nonlocal count
        count += 1
        if operation.path.endswith("/events"):
            case.query = dict(case.query or {}) | {"follow": 0}  # else it never ends
        case.call_and_validate(headers=headers, checks=CHECKS, session=session)

    sent()
    return count


@pytest.mark.parametrize("shard", range(SHARDS))
def test_s10_every_answer_is_declared(served: str, shard: int) -> None:
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    cases = -(-CASES // len(operations))
    done = 0
    with requests.Session() as session:
        for operation in operations[shard::SHARDS]:
            kind, subject = (auth.MANAGER, "ops") if operation.path.startswith("/manager") else (auth.CUSTOMER, str(ALICE))
            token = auth.issue_token(SECRET, kind, subject, NOW_MS // 1000, 3600)
            done += probe(operation, {"Authorization": token}, cases, session)
    print(f"S10 schemathesis shard={shard} operations={len(operations[shard::SHARDS])} cases={done}")
