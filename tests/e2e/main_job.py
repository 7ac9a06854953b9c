"""The main job as a user does it, checked to the unit against numbers worked out by hand.

GBPUSD, 100,000 a lot, 100 units a lot; the master's policy is 20 % of each profitable copied trade. All accounts are in USD.

    bid/ask 1.50000/1.50010   the master (10,000.00) buys 100 units at 1.50010
        A  10,000.00  multiplier 0.5               buys   50 at 1.50010
        B   3,000.00  equity ratio                 buys   30 at 1.50010     100 * 3,000 / 10,000
        C  10,000.00  fixed 20, reversed           sells  20 at 1.50000
        D  10,000.00  multiplier 1, EURUSD alone   skips: SYMBOL_FILTERED
    bid/ask 1.50500/1.50510   the master closes 40 of 100: 0.00490 * 40,000 = 196.00
        A  50 -> 30, closes 20: 0.00490 * 20,000 =  98.00
        B  30 -> 18, closes 12: 0.00490 * 12,000 =  58.80
        C  20 -> 12, closes  8: (1.50000 - 1.50510) * 8,000 = -40.80
    bid/ask 1.51000/1.51010   the master closes 60: 0.00990 * 60,000 = 594.00
        A  30: 0.00990 * 30,000 = 297.00    in all  395.00    share 79.00    ends with 10,316.00
        B  18: 0.00990 * 18,000 = 178.20    in all  237.00    share 47.40    ends with  3,189.60
        C  12: (1.50000 - 1.51010) * 12,000 = -121.20    in all -162.00    share 0    ends with 9,838.00
    the master: 10,000 + 196 + 594 = 10,790.00, and 79.00 + 47.40 = 126.40 of rewards: 10,916.40
    statistics: one trade, pnl 790.00, win rate 100, roi 7.90 % (the reward is no performance), no drawdown
"""

from collections.abc import Callable
from typing import Any

from tests.e2e.running import Client

SETTLE_S = 60
MASTER = 1
FOLLOWERS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "A": (2, 10_000, {"volume_mode": 1, "risk_multiplier": 0.5}),
    "B": (3, 3_000, {"volume_mode": 2}),
    "C": (4, 10_000, {"volume_mode": 0, "fixed_volume": 20, "reverse_direction": 1}),
    "D": (5, 10_000, {"volume_mode": 1, "risk_multiplier": 1, "symbols_mode": 1, "symbols": "EURUSD"}),
}


class MainJob:
    """The trade and its copies, step by step; the tests choose what is killed in between."""

    def __init__(self, stack: Client) -> None:
        self.stack = stack
        self.logins: dict[str, int] = {}
        self.tokens: dict[str, str] = {}
        self.order = 0

    def api(self, who: str, method: str, path: str, **arguments: Any) -> Any:
        answer = self.stack.call(method, f"{self.stack.api}{path}", headers={"Authorization": self.tokens[who]}, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def venue(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.stack.call(method, f"{self.stack.venue}{path}", **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def open_accounts(self) -> None:
        self.venue("PUT", "/prices/GBPUSD", json={"bid": 1.50000, "ask": 1.50010})
        for who, (customer, balance) in {"master": (MASTER, 10_000), **{k: v[:2] for k, v in FOLLOWERS.items()}}.items():
            body = {"customer_id": customer, "group": "real-usd", "balance": balance, "leverage": 100}
            self.logins[who] = self.venue("POST", "/accounts", json=body)["login"]
            self.tokens[who] = self.stack.token(customer)

    def subscribe(self) -> None:
        policy = {"reward_type": 3, "fee_percent": 20}
        body = {"login": self.logins["master"], "strategy_name": "Cable", "visibility": "public", "reward_policy": policy}
        self.api("master", "POST", "/copytrade/master", json=body)
        for who, (_, _, rules) in FOLLOWERS.items():
            login = self.logins[who]
            self.api(who, "POST", "/copytrade/follower", json={"login": login})
            self.api(who, "POST", "/copytrade/subscription", json={"master_login": self.logins["master"], "follower_login": login, **rules})

    def open(self) -> None:
        body = {"login": self.logins["master"], "symbol": "GBPUSD", "side": "buy", "volume": 100, "client_id": "trade-1"}
        self.order = self.venue("POST", "/orders", json=body)["order"]

    def close_part(self) -> None:
        self.venue("PUT", "/prices/GBPUSD", json={"bid": 1.50500, "ask": 1.50510})
        self.venue("POST", f"/orders/{self.order}/close", json={"volume": 40, "client_id": "close-1"})

    def close_rest(self) -> None:
        self.venue("PUT", "/prices/GBPUSD", json={"bid": 1.51000, "ask": 1.51010})
        self.venue("POST", f"/orders/{self.order}/close", json={"client_id": "close-2"})

    def steps(self) -> list[tuple[Callable[[], None], dict[str, list[int]]]]:
        """What the master does, and what the followers hold after it."""
        return [
            (self.open, {"A": [50], "B": [30], "C": [20], "D": []}),
            (self.close_part, {"A": [30], "B": [18], "C": [12], "D": []}),
            (self.close_rest, {"A": [], "B": [], "C": [], "D": []}),
        ]

    def links(self, who: str) -> list[dict[str, Any]]:
        return as_objects(self.api(who, "GET", "/copytrade/trade-links"))

    def volumes(self) -> dict[str, list[int]]:
        """What each follower holds on the venue."""
        return {who: [p["volume"] for p in self.venue("GET", f"/accounts/{self.logins[who]}")["positions"]] for who in FOLLOWERS}

    def balances(self) -> dict[str, float]:
        return {who: self.venue("GET", f"/accounts/{login}")["balance"] for who, login in self.logins.items()}

    def wait_for_volumes(self, expected: dict[str, list[int]]) -> None:
        self.stack.until(lambda: self.volumes() == expected, SETTLE_S, f"followers hold {expected}")

    def wait_for_the_end(self) -> None:
        self.stack.until(lambda: self.balances() == END, SETTLE_S, f"balances are {END}, not {self.balances()}")
        self.stack.until(lambda: len(as_objects(self.api("master", "GET", "/copytrade/rewards"))) == 3, SETTLE_S, "three accruals")


END = {"master": 10_916.40, "A": 10_316.00, "B": 3_189.60, "C": 9_838.00, "D": 10_000.00}


def as_objects(table: dict[str, Any]) -> list[dict[str, Any]]:
    assert table["count"] == len(table["rows"])
    return [dict(zip(table["structure"], row, strict=True)) for row in table["rows"]]


def check_end(job: MainJob) -> None:
    """Everything that a user can see at the end."""
    for who, volume in {"A": 50, "B": 30, "C": 20}.items():
        (link,) = job.links(who)
        assert (link["state"], link["reason"], link["volume"], link["volume_now"]) == (1, "MASTER_CLOSED", volume, 0)
        assert (link["master_login"], link["follower_login"], link["master_order"]) == (job.logins["master"], job.logins[who], job.order)
        history = job.venue("GET", f"/accounts/{job.logins[who]}/history")
        assert [(deal["entry"], deal["volume"]) for deal in history["deals"]] == {
            "A": [("in", 50), ("out", 20), ("out", 30)],
            "B": [("in", 30), ("out", 12), ("out", 18)],
            "C": [("in", 20), ("out", 8), ("out", 12)],
        }[who]
        assert [deal["profit"] for deal in history["deals"]] == {"A": [0, 98.0, 297.0], "B": [0, 58.8, 178.2], "C": [0, -40.8, -121.2]}[who]
    (skip,) = job.links("D")
    assert (skip["state"], skip["reason"], skip["follower_order"], skip["volume"]) == (3, "SYMBOL_FILTERED", 0, 0)

    accruals = {row["follower_login"]: row for row in as_objects(job.api("master", "GET", "/copytrade/rewards"))}
    figures = {
        who: (row["base_amount"], row["fee_amount"], row["state"], row["currency"])
        for who in ("A", "B", "C")
        for row in [accruals[job.logins[who]]]
    }
    assert figures == {"A": (395.0, 79.0, 2, "USD"), "B": (237.0, 47.4, 2, "USD"), "C": (-162.0, 0.0, 4, "USD")}
    rewards = [
        op for op in job.venue("GET", f"/accounts/{job.logins['A']}/history")["operations"] if op["reason"] == "TR_REASON_COPY_REWARD"
    ]
    assert [(op["type"], op["amount"], op["api_data"]["copy_reward_accrual_id"]) for op in rewards] == [
        ("OP_BALANCE_OUT", 79.0, accruals[job.logins["A"]]["id"])
    ]
    incoming = [op for op in job.venue("GET", f"/accounts/{job.logins['master']}/history")["operations"] if op["type"] == "OP_BALANCE_IN"]
    assert sorted(op["amount"] for op in incoming if op["reason"] == "TR_REASON_COPY_REWARD") == [47.4, 79.0]

    (row,) = job.stack.until(lambda: rows_with_trades(job), SETTLE_S, "the master's statistics")
    stats = row["stats"]
    assert (stats["period"], stats["period_days"], stats["trades"], stats["pnl"]) == ("30D", 30, 1, 790.0)
    assert (stats["win_rate"], stats["avg_pnl_per_trade"], stats["roi"], stats["max_drawdown"]) == (100.0, 790.0, 7.9, 0.0)
    assert stats["pnl_history"] == [0.0] * 29 + [790.0]
    for where, count in (('[["stats.roi",">=",7.9]]', 1), ('[["stats.roi",">",7.9]]', 0), ('[["pnl","=",790]]', 1)):
        assert job.api("D", "GET", "/copytrade/masters", params={"where": where})["count"] == count


def rows_with_trades(job: MainJob) -> Any:
    found = job.api("D", "GET", "/copytrade/masters", params={"where": '[["stats.trades",">=",1]]'})
    return found["rows"] if found["count"] == 1 else None
