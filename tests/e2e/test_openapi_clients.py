"""Existing clients of the signed OpenAPI against a running stack: ccxt's `toobit` class, and one that sends JSON beside a signed query.

BTC-SWAP-USDT at 50,000, 0.01 BTC a unit: a unit is worth 500 USDT. Bob places 100 USDT an order at leverage 20: 2,000, 4 units.
"""

import contextlib
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.e2e.running import LOCKSTEP, RunningStack, running_stack

ROOT = Path(__file__).parents[2]
CCXT = ROOT / ".venv-clients" / "bin" / "python"
V2 = "api/v2/copy-trading"
SYMBOL = "BTC-SWAP-USDT"
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
    """Alice leads, Bob follows."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.price(50_000)
        self.tokens = {who: stack.token(number) for who, number in (("alice", 1), ("bob", 2))}
        self.alice, self.bob = (self.account(number, balance) for number, balance in ((1, 100_000), (2, 10_000)))
        share = {"reward_type": 3, "fee_percent": 10}
        master = {"login": self.alice, "strategy_name": "S5", "visibility": "public", "reward_policy": share}
        self.api("alice", "/copytrade/master", master)
        self.api("bob", "/copytrade/follower", {"login": self.bob})
        self.api("bob", "/copytrade/subscription", {"master_login": self.alice, "follower_login": self.bob})

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


@pytest.mark.slow
def test_ccxt_and_a_json_client_follow_a_leader(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack, ccxt_client(stack.api) as process:
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
