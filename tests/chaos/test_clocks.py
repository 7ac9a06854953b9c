"""R15 with real processes: the clock of one service is an hour wrong, or jumps, over the end of a month: its fee is charged then, once.

All services live at the end of October; the master is paid 36.5 % a year of what a follower has: 1 a day of each 1,000.
"""

import random
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.burning import LINES
from tests.chaos.check import unsafe
from tests.chaos.stack import ProcessStack, running, wait_until
from tests.chaos.workload import Workload, number

MIDNIGHT_MS = round(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
BEFORE_S = 60
"""So long before midnight the services begin."""
CATCH_UP_S = 30
HOUR_S = 3600
WRONG = {"ahead": HOUR_S, "behind": -HOUR_S, "jumps": 0}
BALANCE = 100_000_000
A_MINUTE = Decimal(BALANCE) * 365 / 1000 / 365 / 1440
MONTHLY = {"reward_type": 4, "billing_period": "monthly", "fee_percent": 36.5}


class Evening:
    """A master and a follower on a stack whose clocks stand at the last minute of a month, and the venue that goes on to speak."""

    def __init__(self, stack: ProcessStack, service: str, offset_s: float) -> None:
        self.stack, self.service, self.offset_s = stack, service, offset_s
        self.work = Workload(stack)
        self.early: list[Any] = []
        self.master, self.follower = 0, 0

    def prepare(self) -> None:
        self.master, self.follower = self._account("master", 11), self._account("follower", 21)
        policy = MONTHLY | {"payout_account_login": self.master}
        body = {"login": self.master, "strategy_name": "monthly", "visibility": "public", "reward_policy": policy}
        self.work.api("master", "POST", "/copytrade/master", json=body)
        self.work.api("follower", "POST", "/copytrade/follower", json={"login": self.follower})
        pair = {"master_login": self.master, "follower_login": self.follower, "volume_mode": 0, "fixed_volume": 1}
        self.work.api("follower", "POST", "/copytrade/subscription", json=pair)

    def _account(self, who: str, customer: int) -> int:
        body = {"customer_id": customer, "group": "real-usd", "balance": BALANCE, "leverage": 100}
        self.work.tokens[who] = self.stack.token(customer)
        return int(self.work.venue("POST", "/accounts", json=body)["login"])

    def set_clock(self, wrong_s: float) -> None:
        """The service's clock is wrong by so much from now on: it is killed, and started again with another one."""
        self.stack.env[self.service] = {"LOCKSTEP_CLOCK_OFFSET": str(self.offset_s + wrong_s)}
        self.stack.send(self.service, signal.SIGKILL)

    def now_ms(self) -> float:
        """The true time of the stack."""
        return (time.time() + self.offset_s) * 1000

    def ends(self) -> list[int]:
        """The ends of all periods that were accrued: Unix milliseconds."""
        return [row[0] for row in self.stack.rows("rewards", "SELECT period_to FROM accrual")]

    def moved(self, who: int) -> Decimal:
        """What an account has more than in the beginning."""
        return number(self.work.venue("GET", f"/accounts/{who}")["balance"]) - BALANCE

    def speak(self) -> None:
        """The venue tells a price, and the accruals are looked at. Nobody waits for a venue that is on its way up."""
        with suppress(httpx.HTTPError):
            httpx.put(f"{self.stack.venue}/prices/EURUSD", json={"bid": 1.1, "ask": 1.1001}, timeout=2)
        before = self.now_ms()
        self.early += [end for end in self.ends() if end > before]

    def paid(self) -> bool:
        """Whether the master has got something; the venue speaks."""
        self.speak()
        return self.moved(self.master) > 0


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("service", ["rewards", "gateway", "executor"])
def test_a_wrong_clock_ends_no_month_early_or_twice(tmp_path: Path, service: str, wrong: str) -> None:
    """Before midnight nothing is charged; after it October is, once. An hour behind it may be late, until the clock is right again."""
    offset_s = MIDNIGHT_MS / 1000 - BEFORE_S - time.time()
    env = {service: {"LOCKSTEP_CLOCK_OFFSET": str(offset_s + WRONG[wrong])}}
    chance = random.Random(1)
    with running(tmp_path, env=env, clock_offset_s=offset_s) as stack:
        assert isinstance(stack, ProcessStack)
        evening = Evening(stack, service, offset_s)
        evening.prepare()
        assert evening.now_ms() < MIDNIGHT_MS - 5000, "everybody is there before midnight"
        kills = 0
        while evening.now_ms() < MIDNIGHT_MS + 10_000:
            evening.speak()
            if wrong == "jumps" and kills < (BEFORE_S + 10) // 8 and stack.ready(service):
                evening.set_clock(chance.uniform(-HOUR_S, HOUR_S))
                kills += 1
            time.sleep(0.5)
        on_time = wait_until(evening.paid, CATCH_UP_S if wrong == "ahead" else 0)
        assert on_time or wrong != "ahead"
        evening.set_clock(0)
        began = time.monotonic()
        assert wait_until(evening.paid, CATCH_UP_S), evening.ends()
        took = time.monotonic() - began
        for _ in range(10):
            evening.speak()
            time.sleep(0.5)
        assert evening.early == []
        assert evening.ends() == [MIDNIGHT_MS]
        operations = "SELECT login FROM operation WHERE api_data LIKE '%copy_reward_accrual_id%'"
        assert sorted(row[0] for row in stack.rows("gateway", operations)) == [evening.master, evening.follower]
        charged = evening.moved(evening.master)
        assert evening.moved(evening.follower) == -charged
        assert charged <= A_MINUTE * BEFORE_S / 60
        assert not unsafe(stack)
        LINES.append(
            f"{f'R15 {service} {wrong}':<28} kills={kills + 1} early=0 twice=0 charged={charged} on_time={on_time} then_s={took:.1f}"
        )
        print(LINES[-1])
