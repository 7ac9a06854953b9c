"""The chaos workload on a running stack: accounts, subscriptions, and the trades of `oracle.py`, each asked for under its own id."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from tests.chaos import oracle
from tests.chaos.oracle import CLOSE, OPEN, REDUCE, World
from tests.chaos.stack import ChaosStack

CUSTOMERS = {"M1": 11, "M2": 12, "A": 21, "B": 22, "C": 23, "E": 24, "P1": 11, "P2": 12}


class Workload:
    """Carries out on the stack what the oracle says is carried out."""

    def __init__(self, stack: ChaosStack, since: dict[str, int] | None = None, hands: int = 1) -> None:
        """`since`: followers who subscribe later, and the first trade that they copy. `hands`: how many trades are made at once."""
        self.stack = stack
        self.hands = hands
        self.world = World(since=since or {})
        self.logins: dict[str, int] = {}
        self.tokens: dict[str, str] = {}
        self.orders: dict[int, int] = {}
        """Trade number to the master's order."""
        self.masters: dict[str, int] = {}
        """Ids of the master records."""

    def prepare(self) -> None:
        """Accounts, masters, followers and subscriptions; who subscribes later is left out."""
        self._prices(0, OPEN)
        for who, balance in oracle.BALANCES.items():
            body = {"customer_id": CUSTOMERS[who], "group": "real-usd", "balance": balance, "leverage": 100}
            self.logins[who] = self.venue("POST", "/accounts", json=body)["login"]
            same = next((known for known in self.tokens if CUSTOMERS[known] == CUSTOMERS[who]), None)
            self.tokens[who] = self.tokens[same] if same else self.stack.token(CUSTOMERS[who])
        for master, percent in oracle.PERCENT.items():
            policy = {"reward_type": 3, "fee_percent": percent, "payout_account_login": self.logins[oracle.PAYOUT[master]]}
            body = {"login": self.logins[master], "strategy_name": master, "visibility": "public", "reward_policy": policy}
            self.masters[master] = self.api(master, "POST", "/copytrade/master", json=body)["id"]
        for follower in oracle.RULES:
            self.api(follower, "POST", "/copytrade/follower", json={"login": self.logins[follower], "max_master_count": 2})
            if follower not in self.world.since:
                self.subscribe(follower)

    def subscribe(self, follower: str) -> None:
        for master, followers in oracle.FOLLOWERS_OF.items():
            if follower in followers:
                pair = {"master_login": self.logins[master], "follower_login": self.logins[follower]}
                self.api(follower, "POST", "/copytrade/subscription", json=pair | oracle.RULES[follower])

    def act(self, block: int, stage: int, numbers: range, seconds: float = 0, before: Callable[[int], None] | None = None) -> None:
        """Everything that the masters do in a stage; `seconds` is how long it takes when they do something with every trade.

        `before` is called with each trade's number just before it is done.
        """
        self._prices(block, stage)
        actions = [k for k in numbers if self._does(k, stage)]
        seconds = seconds * len(actions) / len(numbers)
        began = time.monotonic()
        with ThreadPoolExecutor(self.hands) as pool:
            doing = []
            for place, k in enumerate(actions):
                time.sleep(max(0.0, began + seconds * place / len(actions) - time.monotonic()))
                if before is not None:
                    before(k)
                doing.append(pool.submit(self.one, k, stage))
                if self.hands == 1:
                    doing[-1].result()
            for done in doing:
                done.result()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        self.world.apply(block, stage, numbers)

    def one(self, k: int, stage: int) -> None:
        """What a master does with one trade in a stage."""
        one = oracle.trade(k)
        if stage == OPEN:
            body = {"login": self.logins[one.master], "symbol": one.symbol.name, "side": one.side, "volume": one.volume}
            self.orders[k] = self.venue("POST", "/orders", json=body | {"client_id": f"t-{k}"})["order"]
        if stage == REDUCE:
            self._close(k, {"volume": one.part, "client_id": f"p-{k}"})
        if stage == CLOSE or (stage == OPEN and one.quick):
            self._close(k, {"client_id": f"x-{k}"})

    def venue(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.stack.call(method, f"{self.stack.venue}{path}", **arguments)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def api(self, who: str, method: str, path: str, **arguments: Any) -> Any:
        answer = self.stack.call(method, f"{self.stack.api}{path}", headers={"Authorization": self.tokens[who]}, **arguments)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def records(self, who: str, path: str) -> list[dict[str, Any]]:
        """A whole list of the client REST door, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            body = {"limit": 500, "offset": len(found), "orderBy": [["id", "asc"]], "format": "objects"}
            page = self.api(who, "POST", f"{path}/search", json=body)["rows"]
            found += page
            if len(page) < 500:
                return found

    def _does(self, k: int, stage: int) -> bool:
        one = oracle.trade(k)
        return stage == OPEN or (stage == REDUCE and one.part > 0) or (stage == CLOSE and not one.quick)

    def _close(self, k: int, body: dict[str, Any]) -> None:
        self.venue("POST", f"/orders/{self.orders[k]}/close", json=body)

    def _prices(self, block: int, stage: int) -> None:
        for symbol in oracle.SYMBOLS:
            bid, ask = oracle.price(symbol, block, stage)
            self.venue("PUT", f"/prices/{symbol.name}", json={"bid": float(bid), "ask": float(ask)})


def number(value: Any) -> Decimal:
    """A JSON number as the exact number that was written."""
    return Decimal(str(value))
