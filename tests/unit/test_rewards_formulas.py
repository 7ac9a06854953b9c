"""Fees against the worked cases of `vectors.json` by name, and against brute force that shares no code with the product (L4)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewards import decide, fees, marks
from rewards.decide import Slice
from rewards.fees import Charged, Day, Fill, Performance
from rewards.marks import Flow, Mark
from rewards.periods import Period
from shared.contracts.config import RewardPolicy, RewardType

ZERO = Decimal(0)
D = Decimal


def policy(**fields: Any) -> RewardPolicy:
    head = {"id": 1, "master_id": 1, "master_login": 1, "currency": "USD", "payout_account_login": 1}
    return RewardPolicy(**head | {"reward_type": RewardType.PERFORMANCE_FEE_HWM} | fields)


def trade(net: Decimal, order: int = 1) -> Slice:
    return Slice(order, 1, "GBPUSD", 1, net, ZERO, ZERO, 0)


def run(basis: str, percent: str, pnl: list[Any], start: str = "0") -> list[Decimal]:
    """The fees of periods with these results, from a start equity."""
    mark, charged = marks.begin(basis, D(start)), []
    for result in pnl:
        mark = replace(mark, realised=mark.realised + D(result))
        crystal = marks.crystallise(mark, ZERO, D(percent), "USD")
        mark = crystal.after
        charged.append(crystal.fee)
    return charged


# --- vectors.json ----------------------------------------------------------------------------------------------------------------------


def test_ctrader_gross() -> None:
    assert run("gross_equity", "30", [2000, -400, 1500, 1650], "10000") == [600, 0, 150, 450]


def test_cumulative() -> None:
    assert run("cumulative", "30", [2000, -400, 1500, 1650], "10000") == [600, 0, 330, 495]


def test_binance_weekly() -> None:
    assert run("cumulative", "10", [200, -150, 100, 150]) == [20, 0, 0, 10]


def test_darwinex() -> None:
    """Cumulative results 10000, 3000, 11000."""
    assert run("cumulative", "20", [10000, -7000, 8000]) == [2000, 0, 200]


def test_okx_withhold() -> None:
    withheld = sum((decide.profit_share([trade(D(win))], policy(fee_percent=10)).amount for win in (500, 600)), ZERO)
    due = fees.netted([(D(10), D(500)), (D(10), D(600)), (D(10), D(-550))], withheld, "USD")
    assert (withheld, due, withheld - due) == (110, 55, 55)


def test_bybit_pro_deposit() -> None:
    """1000 shares at 1.0 with the mark at 1.2: 1200 in money. 600 buy 600 shares: 1800 over 1600 shares is 1.125."""
    mark = marks.flowed(Mark("nav_per_share", D(1200), D(1000)), Flow(1, 0, D(600), D(1600)), "additive")
    shares = D(1000) + D(600) / D("1.0")
    assert mark.mark / shares == D("1.125")


def test_a_redemption_leaves_the_mark_per_share() -> None:
    """1000 shares at 1.0, mark 1.2: redeeming 250 shares leaves 750 with a mark of 900 in money, 1.2 a share."""
    mark = marks.flowed(Mark("nav_per_share", D(1200), D(1000)), Flow(1, 0, D(-250), D(750)), "additive")
    assert mark.mark / D(750) == D("1.2")


def test_ctrader_withdraw() -> None:
    assert marks.flowed(Mark("gross_equity", D(120), D(120)), Flow(1, 0, D(-40), D(80)), "additive").mark == 80


@pytest.mark.parametrize(("withdrawal", "after"), [("additive", 75), ("proportional", 60)])
def test_withdraw_underwater(withdrawal: str, after: int) -> None:
    """The equity is 90: 120 put in, 30 lost."""
    assert marks.flowed(Mark("gross_equity", D(120), D(120), D(-30)), Flow(1, 0, D(-45), D(45)), withdrawal).mark == after


def test_capped_fee() -> None:
    first = marks.crystallise(Mark("cumulative", realised=D(1000)), ZERO, D(20), "USD", cap=D(120))
    assert (first.fee, first.after.mark) == (120, 600)
    assert marks.crystallise(first.after, ZERO, D(20), "USD").fee == 80


def test_rate_change_flat() -> None:
    assert marks.crystallise(Mark("cumulative", D(1000), realised=D(1000)), ZERO, D(20), "USD").fee == 0


def test_position_share() -> None:
    rules = policy(fee_percent=20)
    whole = decide.profit_share([trade(D(100)), trade(D(-150))], rules)
    assert (whole.base, whole.amount) == (-50, 0)
    assert sum(decide.profit_share([trade(D(net))], rules).amount for net in (100, -150)) == 20


def test_mgmt_fee() -> None:
    fee = fees.management_percent(policy(fee_percent=2), [Day(number, D(1000), 10, 10) for number in range(31)])
    assert fee.amount.quantize(D("0.01")) == D("1.70")


def test_netting() -> None:
    """Results +1000 and -1500 at 20 %: 200 is withheld of the win, nothing is due."""
    assert fees.netted([(D(20), D(1000)), (D(20), D(-1500))], D(200), "USD") == 0


# --- the other formulas ----------------------------------------------------------------------------------------------------------------


def test_a_share_keeps_its_places_until_it_is_charged() -> None:
    """33.33 % of 10.01 - 0.07 + 0.005 = 9.945 is 3.3146685 exactly."""
    one = Slice(1, 1, "GBPUSD", 1, D("10.01"), D("-0.07"), D("0.005"), 0)
    fee = decide.profit_share([one], policy(fee_percent=D("33.33")))
    assert (fee.base, fee.amount) == (D("9.945"), D("3.3146685"))


def test_a_refund_is_the_unused_part() -> None:
    fee = fees.subscription_refund(D(30), Period(0, 2100), 1400)
    assert (fee.amount, fee.inputs) == (D(-10), {"fee": "30", "unused_ms": 700, "period_ms": 2100})
    assert fees.subscription_refund(D(30), Period(0, 2100), 2100).amount == 0


def test_volume_is_counted_in_each_symbol_s_own_lots() -> None:
    """0.5 lots of 100 units and 2 lots of 10 units at 3 a lot: 7.50; with a cap of 4.999 the whole cents of it."""
    fills = [Fill(1, 0, 0, 50, 100), Fill(2, 0, 0, 20, 10)]
    assert fees.volume_fee(fills, policy(fee_amount=3), None, "USD").amount == D("7.5")
    assert fees.volume_fee(fills, policy(fee_amount=3, fee_cap=D("4.999")), None, "USD").amount == D("4.99")


def test_a_change_of_basis_carries_what_is_still_under_the_mark() -> None:
    """Cumulative, 300 under the mark, equity 5000: on an equity basis the mark is at 5300, and back again at 300 above the profit."""
    under = Mark("cumulative", D(1000), realised=D(700))
    on_equity = marks.begin("gross_equity", D(5000), former=under)
    assert (on_equity.mark, on_equity.value()) == (5300, 5000)
    back = marks.begin("cumulative", D(0), former=on_equity)
    assert (back.mark, back.value()) == (1000, 700)


# --- L4: the same profit is never charged twice ----------------------------------------------------------------------------------------


def performance(net: list[Decimal], flows: list[Flow], other: list[Charged]) -> Performance:
    slices = [trade(one, order) for order, one in enumerate(net)]
    return Performance(slices, other, 0, [], "none", flows, "additive", "period_end")


PERIODS = st.lists(
    st.tuples(
        st.lists(st.integers(-300, 300), max_size=4),
        st.lists(st.integers(-500, 500).filter(bool), max_size=2),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=400, deadline=None)
@given(PERIODS, st.integers(1, 50))
def test_l4_no_path_charges_the_same_profit_twice(path: list[tuple[list[int], list[int], int]], percent: int) -> None:
    """Brute force: every whole unit of cumulative profit is charged when it is first reached at a period's end, and never again.

    Deposits and withdrawals come and go in between; other fees lower the profit. Units are whole, so the percentages of them are whole
    cents and no rounding hides a difference.
    """
    rules, mark = policy(fee_percent=percent), marks.begin("cumulative", D(10_000))
    charged_units: set[int] = set()
    profit, equity, others = 0, 10_000, []
    for number, (results, moves, other) in enumerate(path):
        profit += sum(results) - other
        newly = {unit for unit in range(1, profit + 1) if unit not in charged_units}
        charged_units |= newly

        flows = []
        for move in moves:
            equity += move
            flows.append(Flow(number, 0, D(move), D(equity)))
        others.append(Charged(number, number, D(other)))
        fee, mark = fees.performance_fee(mark, performance([D(one) for one in results], flows, list(others)), rules, "USD", None, True)
        assert fee.amount == D(percent * len(newly)) / 100
    assert mark.mark == max(charged_units, default=0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 40)), min_size=1, max_size=14), st.integers(1, 50))
def test_l4_a_capped_fee_is_charged_later_and_never_more_than_once(path: list[tuple[int, int]], percent: int) -> None:
    """With any caps, all fees together never exceed the percentage of the highest profit, and reach it once nothing is capped."""
    mark, profit, highest, total = marks.begin("cumulative", ZERO), 0, 0, ZERO
    for result, cap in [*path, (0, 10**6)]:
        profit += result
        mark = replace(mark, realised=D(profit))
        crystal = marks.crystallise(mark, ZERO, D(percent), "USD", D(cap))
        before, mark = mark.mark, crystal.after
        highest, total = max(highest, profit), total + crystal.fee
        assert crystal.fee <= cap
        assert mark.mark >= before
        assert total <= D(percent * highest) / 100 + D("0.005") * len(path)
    if profit == highest:
        assert abs(total - D(percent * highest) / 100) <= D("0.01") * (len(path) + 1)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(-100_000, 100_000)), min_size=1, max_size=12))
def test_l5_what_is_due_and_what_goes_back_are_what_was_withheld(shares: list[tuple[int, int]]) -> None:
    """Each share rounded by itself, the due part once: to the last cent nothing is lost, and no more goes out than came in."""
    nets = [(D(percent), D(net).scaleb(-3)) for percent, net in shares]
    withheld = sum((max(ZERO, (percent * net / 100)).quantize(D("0.01")) for percent, net in nets), ZERO)
    due = fees.netted(nets, withheld, "USD")
    exact = max(ZERO, sum((percent * net / 100 for percent, net in nets), ZERO))
    assert ZERO <= due <= withheld
    assert due == min(withheld, due) == min(withheld, exact.quantize(D("0.01")))
