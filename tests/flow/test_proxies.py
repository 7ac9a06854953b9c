"""Whose word for a client's address is believed at an HTTP port."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI, Request
from shared.health import Door

from tests.ports import free_base

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("trusted", "address"), [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("10.0.0.0/8,127.0.0.1", "203.0.113.7")])
async def test_a_proxy_is_believed_only_when_it_is_trusted(trusted: str, address: str) -> None:
    """The first address in the header is what the client itself said: the last that is no proxy's counts."""
    app = FastAPI()

    @app.get("/")
    async def whoami(request: Request) -> str:
        return request.client.host if request.client else ""

    door, port = Door(trusted), free_base(1)
    door.serves(app)
    serving = asyncio.create_task(door.open("127.0.0.1", port))
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.7"})
    door.close()
    await serving
    assert answer.json() == address
