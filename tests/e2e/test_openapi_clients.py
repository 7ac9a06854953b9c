"""Existing clients of the signed OpenAPI against a running stack: ccxt's `toobit` class, and one that sends JSON beside a signed query;
and somebody who has captured what they sent (S3).

    S3_REQUESTS=10000 pytest tests/e2e/test_openapi_clients.py -k captured -s      the promises' size

BTC-SWAP-USDT at 50,000, 0.01 BTC a unit: a unit is worth 500 USDT. Bob places 100 USDT an order at leverage 20: 2,000, 4 units.
"""

import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest

from tests.e2e.running import LOCKSTEP, RunningStack, running_stack

ROOT = Path(__file__).parents[2]
CCXT = ROOT / ".venv-clients" / "bin" / "python"
V2 = "api/v2/copy-trading"
SYMBOL = "BTC-SWAP-USDT"
REQUESTS = int(os.environ.get("S3_REQUESTS", "40"))
BLOCK = 250
"""Requests that are captured together: what is done with them takes less than their window of 60 s."""
WINDOW_MS = 60_000
CONFIG: dict[str, Any] = {
    "investAmount": "1000",
    "singlePlaceAmount": "100",
    "dailyMaxInvestAmount": "0",
    "leverage": "20",
    "maxInvestRate": "1",
    "stopProfitRate": "0",
    "stopLossRate": "0",
    "realInvestAmount": "1000",
    "followAmountMode": 0,
    "stopLossDelay": 0,
    "isolatedReservedAmount": "0",
    "followMarginType": 0,
    "followSymbolIds": "all",
    "zeroSlippageSwitch": False,
}


class Ccxt:
    """ccxt in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]", key: str, secret: str) -> None:
        self._process, self.key, self.secret = process, key, secret

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        told = {"key": self.key, "secret": self.secret, "method": method, "path": f"{V2}/{path}", "parameters": parameters}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def data(self, method: str, path: str, **parameters: Any) -> Any:
        answer = self.call(method, path, **parameters)
        assert answer.get("code") == 200, answer
        return answer["data"]


@contextlib.contextmanager
def ccxt_client(base: str) -> Iterator["subprocess.Popen[str]"]:
    assert CCXT.exists(), "`make setup` makes the clients' environment"
    command = [str(CCXT), str(Path(__file__).with_name("toobit_client.py")), base]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


class JsonClient:
    """As the published example: the query is signed, the JSON body is not part of it."""

    def __init__(self, stack: RunningStack, key: str, secret: str) -> None:
        self.base, self.key, self.secret = f"{stack.api}/{V2}", key, secret

    def put(self, path: str, body: Any, sign_body: bool = False) -> Any:
        query = urlencode({"recvWindow": 5000, "timestamp": round(time.time() * 1000)})
        sent = json.dumps(body)
        signature = hmac.new(self.secret.encode(), (query + (sent if sign_body else "")).encode(), hashlib.sha256).hexdigest()
        headers = {"X-BB-APIKEY": self.key, "Content-Type": "application/json"}
        return httpx.put(f"{self.base}/{path}?{query}&signature={signature}", content=sent, headers=headers, timeout=10).json()


class Scene:
    """Alice leads, Bob follows: customers `first` and the one after."""

    def __init__(self, stack: RunningStack, first: int = 1) -> None:
        self.stack = stack
        self.price(50_000)
        self.tokens = {who: stack.token(number) for number, who in enumerate(("alice", "bob"), first)}
        self.alice, self.bob = (self.account(number, balance) for number, balance in enumerate((100_000, 10_000), first))
        share = {"reward_type": 3, "fee_percent": 10}
        master = {"login": self.alice, "strategy_name": "S5", "visibility": "public", "reward_policy": share}
        self.api("alice", "/copytrade/master", master)
        self.api("bob", "/copytrade/follower", {"login": self.bob})
        subscribed = self.api("bob", "/copytrade/subscription", {"master_login": self.alice, "follower_login": self.bob})
        self.subscription = subscribed["id"]

    def account(self, customer: int, balance: int) -> int:
        return int(self.venue("POST", "/accounts", customer_id=customer, group="real-usdt", balance=balance)["login"])

    def venue(self, method: str, path: str, **body: Any) -> Any:
        answer = self.stack.call(method, f"{self.stack.venue}{path}", json=body or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def api(self, who: str, path: str, body: Any) -> Any:
        answer = self.stack.call("POST", f"{self.stack.api}{path}", json=body, headers={"Authorization": self.tokens[who]})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def price(self, price: int) -> None:
        self.venue("PUT", f"/prices/{SYMBOL}", bid=price, ask=price)

    def opens(self, **more: Any) -> int:
        return int(self.venue("POST", "/orders", login=self.alice, symbol=SYMBOL, side="buy", volume=10, **more)["order"])

    def key(self, who: str, login: int, **more: Any) -> tuple[str, str]:
        made = self.api(who, "/copytrade/api-keys", {"login": login, **more})
        return made["key"], made["secret"]

    def key_by_command(self, login: int) -> tuple[str, str]:
        command = [*LOCKSTEP, "api-key", "create", str(login), "--home", str(self.stack.home)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return lines[0].removeprefix("key "), lines[1].removeprefix("secret ")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with pytest.MonkeyPatch.context() as environment:
        for limit in ("LOCKSTEP_RATE_LIMIT", "LOCKSTEP_OPENAPI_WRITE_RATE_LIMIT"):
            environment.setenv(limit, "1000000000/minute")
        with running_stack(tmp_path_factory.mktemp("clients")) as started:
            yield started


@pytest.mark.slow
def test_ccxt_and_a_json_client_follow_a_leader(stack: RunningStack) -> None:
    with ccxt_client(stack.api) as process:
        scene = Scene(stack)
        bob = Ccxt(process, *scene.key("bob", scene.bob))
        plain = JsonClient(stack, bob.key, bob.secret)
        look = Ccxt(process, *scene.key("bob", scene.bob, read_only=1))
        leader = {"leaderUserId": scene.alice}

        [followed] = bob.data("GET", "follower/leaders")
        assert (followed["leaderUserId"], followed["leaderNickname"], followed["marginBalance"]) == (str(scene.alice), "S5", "10000")
        assert bob.data("PUT", "follower/config", **leader, **CONFIG) is None
        shown = {name: value for name, value in CONFIG.items() if name != "realInvestAmount"}
        assert bob.data("GET", "follower/config", **leader) == shown | {"leaderUserId": str(scene.alice)}
        refused = look.call("PUT", "follower/config", **leader, **CONFIG)
        assert (refused["raised"], "-1020" in refused["message"]) == ("OperationRejected", True)

        scene.opens()
        [held] = stack.until(lambda: look.data("GET", "follower/orders/current"), 20, "the copy is shown")
        shown = [held[name] for name in ("symbolId", "quantity", "leverage", "margin", "openAvgPrice", "positionType", "isLong")]
        assert shown == [SYMBOL, "0.04", "20", "100", "50000", 0, 1]
        refused = bob.call("DELETE", f"follower/leaders/{scene.alice}", **leader)
        assert "-120055" in refused["message"], refused
        assert plain.put("follower/config", leader | CONFIG | {"leverage": 21})["msg"] == "Data sent for paramter 'leverage' is not valid."
        assert plain.put("follower/config", leader | CONFIG | {"singlePlaceAmount": 50}, sign_body=True)["code"] == 200

        stops = leader | {"symbolId": SYMBOL, "isLong": 1, "stopProfitRate": "0.2", "stopLossRate": "0.1", "stopLossDelay": 2}
        assert plain.put("follower/positions/stop-profit-loss", stops) == {"code": 200, "msg": "success", "data": None}
        [held] = look.data("GET", "follower/orders/current")
        assert (held["stopProfitRate"], held["stopLossRate"]) == ("0.2", "0.1")
        scene.price(44_900)  # beyond 45,000
        beyond = time.monotonic()
        past = stack.until(lambda: look.data("GET", "follower/orders/history", page=1, size=10)["list"], 20, "the stop has acted")
        assert time.monotonic() - beyond >= 2
        assert [past[0][name] for name in ("closeAvgPrice", "closedQuantity", "realizedProfit", "closeStatus")] == [
            "44900",
            "0.04",
            "-204",
            2,
        ]

        alice = Ccxt(process, *scene.key_by_command(scene.alice))
        assert [one["symbolId"] for one in alice.data("GET", "leader/symbols") if one["isLead"]][:1] == [SYMBOL]
        assert alice.data("GET", "leader/followers")["list"][0]["followAmountLimit"] == "1000"
        assert bob.data("DELETE", f"follower/leaders/{scene.alice}", **leader) is None
        gone = bob.call("GET", "follower/leaders")
        assert (gone["raised"], "-32045" in gone["message"]) == ("ExchangeError", True)
        wrong = Ccxt(process, bob.key, "not the secret").call("GET", "follower/leaders")
        assert (wrong["raised"], "-1022" in wrong["message"]) == ("OperationRejected", True)


class Captured(NamedTuple):
    """A request as it went over the wire."""

    method: str
    url: str
    key: str
    body: str


class Thief:
    """Captures what Bob's programs send, and sends it again."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._base = scene, f"{scene.stack.api}/{V2}/follower"
        self._plain, self._strict = scene.key("bob", scene.bob), scene.key("bob", scene.bob, require_nonce=1)
        self._http = httpx.Client(timeout=30)

    def capture(self, number: int) -> Captured:
        """A write of the follow config as the published example sends it, in turn with a read under a nonce."""
        writes = number % 2
        key, secret = self._plain if writes else self._strict
        named: dict[str, Any] = {"number": number} if writes else {"nonce": f"n{number}"}
        query = urlencode(named | {"recvWindow": WINDOW_MS, "timestamp": round(time.time() * 1000)})
        query += f"&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"
        body = json.dumps({"leaderUserId": self._scene.alice} | CONFIG) if writes else ""
        return Captured("PUT" if writes else "GET", f"{self._base}/{'config' if writes else 'leaders'}?{query}", key, body)

    def send(self, requests: Sequence[Captured]) -> Counter[int]:
        """The codes that the door answers."""
        with ThreadPoolExecutor(4) as threads:
            return Counter(threads.map(self._send, requests))

    def _send(self, one: Captured) -> int:
        headers = {"X-BB-APIKEY": one.key} | ({"Content-Type": "application/json"} if one.body else {})
        code: int = self._http.request(one.method, one.url, content=one.body or None, headers=headers).json()["code"]
        return code


@pytest.mark.slow
@pytest.mark.timeout(240 + REQUESTS // 4)
def test_s3_what_was_captured_is_refused_after_a_restart_and_a_flush(stack: RunningStack) -> None:
    """Each request is accepted when it is first sent. Sent again in its window it never is: not at once, not by an api that was killed and
    started again, not after FLUSHALL. A write that was accepted had its effect once: as many versions of the settings as writes."""
    scene = Scene(stack, first=3)
    thief = Thief(scene)
    first, again, longest = Counter[int](), Counter[int](), 0.0
    for start in range(0, REQUESTS, BLOCK):
        began = time.monotonic()
        requests = [thief.capture(number) for number in range(start, min(start + BLOCK, REQUESTS))]
        first += thief.send(requests)
        again += thief.send(requests)
        stack.kill_service("api")
        stack.call("GET", f"{stack.api}/readyz")  # asked until it answers
        again += thief.send(requests)
        with stack.redis() as redis:
            redis.flushall()
        again += thief.send(requests)
        longest = max(longest, time.monotonic() - began)
        print(f"captured so far: {sum(first.values())}, in {time.monotonic() - began:.1f} s", flush=True)
    print(f"captured={REQUESTS} accepted={first[200]} accepted_again={again[200]} answers={dict(again)} longest_s={longest:.1f}")
    assert first == {200: REQUESTS}
    assert again.total() == 3 * REQUESTS
    assert set(again) == {-1022} or (set(again) == {-1022, -1021} and longest * 1000 > WINDOW_MS), "-1021: the window was over"
    found = stack.call(
        "GET", f"{stack.api}/copytrade/subscription/{scene.subscription}/history", headers={"Authorization": scene.tokens["bob"]}
    )
    assert len(found.json()["rows"]) == 1 + REQUESTS // 2
