"""A thousand random accounts' statements, recomputed by the tool that shares no code with what made them."""

import importlib.util
import json
import random
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rewards import decide, fees, marks
from rewards.decide import Accrual, Fee, Payer, Rate, Slice, Span
from rewards.fees import Charged, Day, Fill, Open, Performance
from rewards.marks import Flow, Mark
from rewards.periods import Period
from rewards.recompute import difference
from rewards.settle import Phase
from shared.contracts.config import RewardPolicy, RewardType
from shared.money import minor_digits
from shared.statement import statement, to_csv

TOOL = Path(__file__).parents[2] / "tools" / "verify_statement.py"
CURRENCIES = ("USD", "EUR", "JPY", "USDT", "BTC")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_statement", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Life:
    """A random account: its accruals of all kinds, one after the other."""

    def __init__(self, number: int) -> None:
        self.chance = random.Random(number)
        self.currency = self.chance.choice(CURRENCIES)
        self.payer = Payer(100, self.currency, self.chance.choice(["", "", "", "", "DEMO", "OWN"]))
        self.mark: Mark | None = None
        self.orders = 0
        self.accruals: list[Accrual] = []
        self.others: list[Charged] = []

    def amount(self, low: int, high: int) -> Decimal:
        return Decimal(self.chance.randrange(low, high)).scaleb(-minor_digits(self.currency) - self.chance.randrange(0, 3))

    def slices(self) -> list[Slice]:
        found = []
        for _ in range(self.chance.randrange(0, 5)):
            self.orders += 1
            amounts = (self.amount(-50_000, 60_000), self.amount(-300, 1), self.amount(-100, 1))
            found.append(Slice(self.orders, self.orders, "GBPUSD", self.chance.randrange(1, 500), *amounts, self.chance.randrange(7000)))
        return found

    def policy(self, kind: RewardType, **fields: Any) -> RewardPolicy:
        figures = {"fee_percent": Decimal(self.chance.randrange(1, 5000)).scaleb(-2), "fee_amount": abs(self.amount(0, 9000))}
        head: dict[str, Any] = {"id": 1, "master_id": 1, "master_login": 1, "currency": "USD", "payout_account_login": 1}
        return RewardPolicy(**head | figures | {"reward_type": kind} | fields)

    def rate(self) -> Rate | None:
        worth = Decimal(self.chance.randrange(1, 10**7)).scaleb(-5)
        return None if self.currency == "USD" else Rate("USD", self.currency, worth, "X", 1)

    def take(self, kind: RewardType, policy: RewardPolicy, start: int, end: int, fee: Fee) -> Accrual:
        accrual = decide.accrue(7, 1, self.payer, policy, Span(start, end, f"{len(self.accruals)}"), fee, end)
        if not accrual.reason:
            accrual.phase = Phase.DONE
            if kind != RewardType.PERFORMANCE_FEE_HWM:
                self.others.append(Charged(accrual.id, end, accrual.fee_amount))
        self.accruals.append(accrual)
        return accrual

    def month(self, number: int) -> None:
        start, end = number * 1000 + 1, (number + 1) * 1000 + 1
        whole = Period(start, end)
        match self.chance.choice(list(RewardType)):
            case RewardType.SUBSCRIPTION_FEE as kind:
                policy = self.policy(kind)
                part = Period(start + self.chance.randrange(0, 900), end)
                fee = fees.subscription_fee(policy, part, self.chance.choice([whole, None]), self.rate())
                paid = self.take(kind, policy, part.start, end, fee)
                if paid.fee_amount and self.chance.random() < 0.5:
                    self.refund(paid, part)
            case RewardType.VOLUME_REBATE as kind:
                cap = self.chance.choice([Decimal(0), abs(self.amount(1, 5000))])
                policy = self.policy(kind, rebate_sides=self.chance.choice(["both", "open", "close"]), fee_cap=cap)
                fills = [Fill(one.order, one.deal % 2, 0, one.volume, self.chance.choice([100, 10, 3])) for one in self.slices()]
                self.take(kind, policy, start, end, fees.volume_fee(fills, policy, self.rate(), self.currency))
            case RewardType.MANAGEMENT_FEE as kind:
                policy = self.policy(kind)
                days = [Day(day, self.amount(-10_000, 10**7), self.chance.randrange(0, 25), 24) for day in range(30)]
                fixed = fees.management_fixed(policy, self.chance.randrange(0, 1001), whole, self.rate())
                self.take(kind, policy, start, end, self.chance.choice([fixed, fees.management_percent(policy, days)]))
            case RewardType.PROFIT_SHARE_PER_TRADE as kind:
                policy = self.policy(kind)
                self.take(kind, policy, start, end, decide.profit_share(self.slices(), policy))
            case RewardType.PERFORMANCE_FEE_HWM as kind:
                self.performance(kind, start, end)

    def refund(self, paid: Accrual, part: Period) -> None:
        fee = fees.subscription_refund(paid.fee_amount, part, self.chance.randrange(part.start, part.end))
        policy = self.policy(RewardType.SUBSCRIPTION_FEE)
        refund = self.take(RewardType.SUBSCRIPTION_FEE, policy, part.start, part.end, fee)
        unit = Decimal(1).scaleb(-minor_digits(self.currency))
        refund.fee_amount, refund.reason, refund.phase = fee.amount.quantize(unit), "", Phase.DONE
        refund.ref_accrual_id = paid.id
        if not refund.fee_amount:
            self.accruals.pop()

    def performance(self, kind: RewardType, start: int, end: int) -> None:
        basis = self.mark.basis if self.mark else self.chance.choice(["cumulative", "gross_equity", "nav_per_share", "period"])
        self.mark = self.mark or marks.begin(basis, self.amount(1, 10**7))
        flows, equity = [], self.mark.value()
        for number in range(self.chance.randrange(0, 3)):
            moved = self.amount(-10_000, 20_000)
            equity += moved
            flows.append(Flow(number, start, moved, equity))
        policy = self.policy(kind, fee_cap=self.chance.choice([Decimal(0), abs(self.amount(1, 5000))]))
        opens = [
            Open(9, "X", "buy", 1, Decimal(1), Decimal(2), Decimal(1), self.amount(-9000, 9000)) for _ in range(self.chance.randrange(3))
        ]
        mode = self.chance.choice(["none", "negative_only", "full"])
        withdrawal = self.chance.choice(["additive", "proportional"])
        material = Performance(self.slices(), list(self.others), start, opens, mode, flows, withdrawal, "period_end")
        cap = fees.cap_of(policy, self.rate(), self.currency)
        fee, self.mark = fees.performance_fee(self.mark, material, policy, self.currency, cap, not self.payer.exempt)
        self.take(kind, policy, start, end, fee)


def test_a_thousand_random_accounts_are_recomputed_to_the_last_unit(tool: ModuleType, tmp_path: Path) -> None:
    """Both by the tool, from either form of the statement in turn, and by the service's own verification."""
    seen: set[tuple[str, bool]] = set()
    for number in range(1000):
        life = Life(number)
        for month in range(6):
            life.month(month)
        document = statement(7, 0, 2**60, [accrual.row() for accrual in life.accruals])
        path = tmp_path / ("statement.csv" if number % 2 else "statement.json")
        path.write_text(to_csv(document) if number % 2 else json.dumps(document))
        read = tool.read(path)
        assert len(read) == len(life.accruals)
        for accrual, line in zip(
            life.accruals, sorted(read, key=lambda line: [one.id for one in life.accruals].index(int(line["id"]))), strict=True
        ):
            assert (number, accrual.formula, tool.wrong_with(line)) == (number, accrual.formula, "")
            assert (number, accrual.formula, difference(accrual)) == (number, accrual.formula, "")
            seen.add((accrual.formula, accrual.fee_amount != 0))
    formulas = {"profit_share/1", "subscription/1", "volume/1", "management_fixed/1", "management_percent/1", "performance/1"}
    assert {(formula, due) for formula in formulas for due in (True, False)} <= seen


def test_a_statement_has_what_ends_in_its_time_and_prepaid_periods_that_begin_in_it() -> None:
    life = Life(0)
    life.payer = Payer(100, "USD", "")
    life.currency = "USD"
    policy = life.policy(RewardType.SUBSCRIPTION_FEE, fee_amount=Decimal(5))
    life.take(RewardType.SUBSCRIPTION_FEE, policy, 100, 200, fees.subscription_fee(policy, Period(100, 200), None, None))
    share = life.policy(RewardType.PROFIT_SHARE_PER_TRADE, fee_percent=Decimal(10))
    one = Slice(1, 1, "X", 1, Decimal(50), Decimal(0), Decimal(0), 0)
    life.take(RewardType.PROFIT_SHARE_PER_TRADE, share, 90, 150, decide.profit_share([one], share))
    rows = [accrual.row() for accrual in life.accruals]
    assert [line["formula"] for line in statement(7, 100, 150, rows)["accruals"]] == ["subscription/1"]
    assert [line["formula"] for line in statement(7, 101, 151, rows)["accruals"]] == ["profit_share/1"]
    assert statement(7, 0, 1000, rows)["charged"] == "10.00"
    assert statement(8, 0, 1000, rows)["accruals"] == []
