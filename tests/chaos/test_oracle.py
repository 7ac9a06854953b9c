"""The oracle against trades worked out by hand, and the check against differences that are planted."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos import oracle
from tests.chaos.burning import Plan, Run
from tests.chaos.check import differences, unsafe
from tests.chaos.oracle import CLOSE, OPEN, REDUCE, World
from tests.chaos.stack import running


def test_a_trade_by_hand() -> None:
    """Trade 33 of M2 sells GBPUSD, 1 + 231 mod 60 = 52 units, of which 17 are closed in between.

    Prices: 11 + 170 * stage, mod 401, - 200 points: 1.49811, 1.49981, 1.50151; the ask is 10 points above.
        M2  sells 52 at 1.49811; closes 17 at 1.49991: -0.00180 * 17,000 = -30.60; 35 at 1.50161: -0.00350 * 35,000 = -122.50
        A   sells 26; 26 * 35 / 52 = 17.5, a half rounded down: 17, closes 9: -16.20, then 17: -59.50; nothing is owed
        B   buys 7 at 1.49821, keeps them, closes at 1.50151: 0.00330 * 7,000 = 23.10; 10 %: 2.31
        C   sells 52 * 0.3 = 15.6: 15; 15 * 35 / 52 = 10.1: 10, closes 5: -9.00, then 10: -35.00; nothing is owed
    """
    world = World()
    for stage in (OPEN, REDUCE, CLOSE):
        world.apply(0, stage, range(33, 34))
    nets = {who: str(copy.position.net) for (who, _), copy in world.copies.items() if copy.position}
    assert nets == {"A": "-75.70", "B": "23.10", "C": "-44.00"}
    assert str(world.trades[33][1].net) == "-153.10"
    assert [deal.volume for deal in world.copies["A", 33].position.deals] == [26, 9, 17]  # type: ignore[union-attr]
    assert world.balances["M2"] == Decimal("9999846.90")
    assert world.balances["P2"] == Decimal("2.31")
    assert world.statistics("M2") == (1, Decimal("-153.10"), 0)


def test_a_gain_is_shared() -> None:
    """Trade 8 of M1 sells EURUSD, 1 + 56 = 57 units, and closes all of them at the end.

    Prices: 57 + 11 + 170 * stage, mod 401, - 200 points: 1.29868, and at the end 1.29807; the ask is 12 points above.
        E   wants 85.5, at most 50: sells 50 at 1.29868, closes at 1.29819: 0.00049 * 50,000 = 24.50; 20 %: 4.90
        A   sells 28: 0.00049 * 28,000 = 13.72; 20 %: 2.744, charged 2.74
        B   buys 7 at 1.29880, closes at 1.29807: -0.00073 * 7,000 = -5.11; nothing is owed
    """
    world = World()
    for stage in (OPEN, REDUCE, CLOSE):
        world.apply(0, stage, range(8, 9))
    fees = {who: str(copy.fee) for (who, _), copy in world.copies.items()}
    assert fees == {"A": "2.74", "B": "0.00", "E": "4.90"}
    assert world.balances["P1"] == Decimal("7.64")
    assert world.balances["E"] == Decimal("10000019.60")
    assert world.balances["B"] == Decimal("9999994.89")


def test_the_workload_has_every_kind_of_trade() -> None:
    trades = [oracle.trade(k) for k in range(48)]
    assert {one.symbol for one in trades} == set(oracle.SYMBOLS)
    assert {one.side for one in trades} == {"buy", "sell"}
    assert {one.master for one in trades} == {"M1", "M2"}
    assert any(one.quick for one in trades)
    assert any(one.part for one in trades)
    world = World()
    world.apply(0, OPEN, range(48))
    reasons = {(who, copy.reason) for (who, _), copy in world.copies.items() if copy.reason}
    assert reasons >= {("A", "SYMBOL_FILTERED"), ("E", "BELOW_MIN")}


@pytest.mark.slow
def test_the_check_sees_what_is_planted(tmp_path: Path) -> None:
    """Undisturbed, nothing is found; then the oracle, or a store, is changed, and exactly that is found."""
    with running(tmp_path) as stack:
        run = Run("undisturbed", stack, Plan(trades=24, block=24, seconds=0))
        run.go(lambda _stack, _chance: 0)
        world, work = run.work.world, run.work
        paid = next(key for key, copy in world.copies.items() if copy.fee)
        copy = world.copies.pop(paid)
        found = differences(work)
        assert (found.lost, found.duplicate, found.double_charge) == (0, 2, 3), found  # its link, its deals; accrual, out, in
        world.copies[paid] = copy
        world.copies["C", 1] = copy
        assert differences(work).lost == 2  # its link and its accrual
        del world.copies["C", 1]
        assert copy.fee
        copy.fee += Decimal("0.01")
        assert differences(work).wrong
        copy.fee -= Decimal("0.01")
        stack.write("stats", "INSERT INTO dead_letter VALUES (1, 'trade.push', 1, -1, 'planted', '', 0, NULL, NULL)")
        assert differences(work).dead == 1
        stack.write("rewards", "UPDATE balance SET amount = amount + 1 WHERE account LIKE 'follower%'")
        assert unsafe(stack).unbalanced == 1
        again = "client_id, time_ms FROM deal WHERE client_id LIKE 'c-%' LIMIT 1"
        stack.write(
            "gateway",
            'INSERT INTO deal SELECT 1, "order", login, symbol, side, entry, volume, price, profit, commission, swap, reason, ' + again,
        )
        assert unsafe(stack).duplicate == 1
