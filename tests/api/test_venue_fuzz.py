"""Whatever is sent to the venue's door, it answers with an object and never with a fault of its own, and its sums stay right."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.gateway_world import GatewayWorld, gateway_world

pytestmark = pytest.mark.anyio
SEED = 20_120_223
REQUESTS = 1_500
ODD = (
    None,
    True,
    "",
    "1",
    "-1",
    "NaN",
    "\ud800",
    "x" * 300,
    [],
    {},
    [1],
    0,
    -1,
    1,
    2,
    7,
    100,
    0.1,
    1.5,
    1.6,
    -0.0,
    1e-9,
    1e308,
    2**31,
    2**63 - 1,
    2**63,
    10**40,
    float("nan"),
    float("inf"),
    "TR_REASON_COPY_REWARD",
    "limit",
    "stop",
    "stop_limit",
    "sell",
    "real-eur",
    "BTC-SWAP-USDT",
)
BODIES: dict[str, dict[str, Any]] = {
    "POST /accounts": {"customer_id": 1, "group": "real-usd", "balance": 100, "leverage": 100},
    "POST /accounts/{login}/balance": {"amount": 5, "reason": "TR_REASON_DEPOSIT"},
    "POST /orders": {"login": 100_001, "symbol": "GBPUSD", "side": "buy", "volume": 3, "sl": 1.5, "client_id": "f"},
    "POST /orders/{order}/close": {"volume": 1},
    "PUT /orders/{order}": {"sl": 1.4, "tp": 1.8},
    "PUT /prices/{symbol}": {"bid": 1.57, "ask": 1.5701},
    "DELETE /orders/{order}": {},
    "GET /accounts/{login}": {},
    "GET /accounts/{login}/history": {},
    "GET /symbols": {},
}
FIELDS = sorted({field for body in BODIES.values() for field in body} | {"type", "price", "limit_price", "expiration", "id", "state"})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[GatewayWorld]:
    async with gateway_world(tmp_path) as found:
        yield found


def request(chance: random.Random) -> tuple[str, str, bytes]:
    """A request that is nearly right: some fields changed, dropped or added, now and then broken as a whole."""
    route = chance.choice(list(BODIES))
    method, path = route.split(" ")
    body = {name: value for name, value in BODIES[route].items() if chance.random() > 0.05}
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        body[chance.choice(FIELDS)] = chance.choice(ODD)
    if "client_id" in body and chance.random() < 0.8:
        body["client_id"] = f"f{chance.randrange(40)}"
    path = path.replace("{login}", str(chance.choice((100_001, 100_002, 100_003, 1, 0, "-5", "x", 2**64, "%00", "%ff"))))
    path = path.replace("{order}", str(chance.choice((chance.randrange(1_000_001, 1_000_200), 0, "x", 2**70))))
    path = path.replace("{symbol}", chance.choice(("GBPUSD", "GBPUSD", "EURUSD", "USDJPY", "nope", "%F0%9F%92%B0", "..")))
    content = json.dumps(body).encode()
    if chance.random() < 0.05:
        content = content[: chance.randrange(len(content) + 1)]
    return method, path, content


async def test_1500_requests_that_are_nearly_right(world: GatewayWorld) -> None:
    for _ in range(3):
        await world.account(1000)
    chance = random.Random(SEED)
    statuses: dict[int, int] = {}
    for number in range(REQUESTS):
        method, path, content = request(chance)
        answer = await world.http.request(method, path, content=content)
        where = f"seed {SEED}, request {number}: {method} {path} {content!r} -> {answer.status_code} {answer.text[:200]}"
        assert answer.status_code in {200, 400, 404, 405, 413}, where
        if answer.status_code != 200:
            assert set(answer.json()) == {"error", "message"}, where
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    assert min(statuses[200], statuses[400], statuses[404]) > 100, statuses
    before = await world.tables()
    async with world.venue.transaction() as (book, _):
        accounts = {login: (book.standing(account), len(account.positions)) for login, account in book.accounts.items()}
    await world.restart()
    async with world.venue.transaction() as (book, _):
        assert {login: (book.standing(account), len(account.positions)) for login, account in book.accounts.items()} == accounts
    told = {"log_outbox", "log_counter"}  # symbols are told at every start
    after = await world.tables()
    assert {name: after[name] for name in after.keys() - told} == {name: before[name] for name in before.keys() - told}
    assert before["dead_letter"] == []
