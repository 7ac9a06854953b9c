"""The decision by columns gives what the plain one-follower rule gives, on a million random cases and at the edges."""

import json
import os
import time
from decimal import Decimal
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from executor.amounts import UNIT
from executor.bulk import CODE, REASONS, Table, decide_all
from executor.columns import RULES, T_WIDTH, S
from executor.decide import decide
from executor.encoded import encoded, rows_of
from executor.exact import floor_ratio, wrapped
from executor.reward_side import Unread
from executor.terms import Policy, Rules, Signal, Standing, Terms
from hypothesis import given
from hypothesis import strategies as st
from shared.contracts import orders, rewards
from shared.contracts.orders import OpenCopies, OpenRow
from shared.contracts.rewards import StandingsChanged

WANTED = int(os.environ.get("LOCKSTEP_CASES", "0"))
"""So many cases, however long they take; unset: as many as fit in 10 seconds, 50,000 at least, a million at most."""
CASES = WANTED or 1_000_000
PER_SIGNAL = 500


def chosen(random: np.random.Generator, rows: int, *values: int) -> np.ndarray:
    return random.choice(np.array(values, dtype=np.int64), rows)


def random_signal(random: np.random.Generator) -> Signal:
    def one(*values: object) -> object:
        return values[random.integers(len(values))]

    return Signal(
        order=1, login=1000, symbol="EURUSD", side=str(one("buy", "sell")), volume=int(random.integers(1, 5000)),
        price=int(random.integers(1, 10**9)), sl=int(one(0, 108_000_000)), tp=int(one(0, 112_000_000)),  # type: ignore[call-overload]
        equity=int(one(0, -5, 10_000 * UNIT, int(random.integers(1, 10**15)), int(random.integers(1, 10**8)) * 10**6)),  # type: ignore[call-overload]
        balance=int(one(0, 10_000 * UNIT, int(random.integers(1, 10**15)))), opened_ms=10_000, now=int(one(10_000, 10_500, 20_000)),  # type: ignore[call-overload]
        enabled=int(random.random() < 0.9), follower_modes=int(one(0, 1, 2, 2, 2)),  # type: ignore[call-overload]
        halted=str(one("", "", "", "", "", "HALTED", "REDUCE_ONLY")),
        closed=int(random.random() < 0.05),
        asked=int(random.random() < 0.2), pending=int(random.random() < 0.2),
        leverage=int(one(1, 20, 100)),  # type: ignore[call-overload]
        margin_type=int(random.random() < 0.3), led=int(random.random() < 0.9),
    )  # fmt: skip


def random_terms(random: np.random.Generator, price: int) -> Terms:
    norm = Fraction(int(random.integers(1, 50)), int(random.integers(1, 50)))
    fx = Fraction(int(random.choice([0, 1, 1, 108_345])), int(random.choice([1, 1, 100_000, 150_333])))
    margin = Fraction(int(random.integers(0, 3)) * int(random.integers(1, 10**12)), int(random.integers(1, 10**5)))
    near = max(1, price + int(random.integers(-50_000, 50_000)))
    return Terms(
        "EURUSD", int(random.random() < 0.95), int(random.choice([1, 1, 5, 10])), int(random.choice([1, 5, 100])),
        int(random.choice([50, 10**6, 10**9])), norm.numerator, norm.denominator, fx.numerator, fx.denominator,
        int(random.choice([1000, 10**6])), int(random.choice([0, near])), int(random.choice([0, near])), margin.numerator,
        margin.denominator, str(random.choice(["", "", "", "", "HALTED", "REDUCE_ONLY"])),
    )  # fmt: skip


def random_rules(random: np.random.Generator, rows: int) -> np.ndarray:
    made = np.zeros((rows, T_WIDTH), dtype=np.int64)
    usual = np.full(rows, 9)
    settings: dict[str, np.ndarray] = {
        "subscription": np.arange(1, rows + 1), "version": usual, "enabled": chosen(random, rows, *[1] * 19, 0),
        "status": chosen(random, rows, *[0] * 18, 1, 2), "copy_mode": chosen(random, rows, *[0] * 9, 1, 2),
        "volume_mode": random.integers(0, 6, rows), "risk_multiplier": random.integers(0, 5 * UNIT, rows),
        "fixed_volume": chosen(random, rows, 0, 1, 7, 100, 2**41, 2**62), "copy_sl": random.integers(0, 2, rows),
        "copy_tp": random.integers(0, 2, rows), "reverse_direction": random.integers(0, 2, rows),
        "max_volume": chosen(random, rows, 0, 0, 3, 50, 2**62), "min_volume": chosen(random, rows, 0, 0, 10, 100, 2**62),
        "max_positions": chosen(random, rows, 0, 0, 0, 3), "symbols_mode": chosen(random, rows, 0, 0, 0, 0, 1, 2),
        "allocation_percent": chosen(random, rows, 100 * UNIT, 100 * UNIT, 33 * UNIT, 33_333_333_33, 1),
        "raise_to_min": random.integers(0, 2, rows), "ratio_multiplier": chosen(random, rows, UNIT, UNIT, UNIT // 3, 7 * UNIT),
        "max_slippage_points": chosen(random, rows, 0, 0, 10, 10**9), "max_signal_age_ms": chosen(random, rows, 0, 0, 500, 10**12),
        "require_sl": chosen(random, rows, 0, 0, 0, 1), "margin_filter": chosen(random, rows, 0, 0, 1, 2),
        "zero_slippage": chosen(random, rows, 0, 0, 0, 1), "leverage": chosen(random, rows, 0, 0, 1, 20, 125),
        "single_amount": chosen(random, rows, 1, 10 * UNIT, 12_345_678_901, 2**62),
        "invested": np.where(random.random(rows) < 0.5, random.integers(0, 10**8, rows) * 10**6, chosen(random, rows, 0, 1, 2**62)),
        "invest_cap": chosen(random, rows, 0, 0, 0, 1, 100 * UNIT, 10**6 * UNIT, 2**62),
        "daily_cap": chosen(random, rows, 0, 0, 0, 50 * UNIT, 10**6 * UNIT, 2**62),
    }  # fmt: skip
    for name, column in settings.items():
        made[:, S[name]] = column
    return made


def random_standing(random: np.random.Generator, rows: int) -> np.ndarray:
    equity = np.where(random.random(rows) < 0.5, random.integers(1, 10**9, rows) * 10**6, random.integers(-(10**8), 10**15, rows))
    columns = {
        "known": chosen(random, rows, *[1] * 19, 0), "enabled": chosen(random, rows, *[1] * 19, 0),
        "demo": random.integers(0, 2, rows),
        "equity": equity, "balance": np.where(random.random(rows) < 0.1, 0, equity + 10**6),
        "free_margin": random.integers(-(10**6), 10**15, rows),
        "leverage": chosen(random, rows, 0, 1, 20, 100, 500), "positions": chosen(random, rows, 0, 1),
        "updated_ms": chosen(random, rows, 0, 9_500, 10_000), "copies": chosen(random, rows, 0, 2, 3),
        "rank": chosen(random, rows, 0, 0, 1),
        "max_masters": chosen(random, rows, 0, 1, 1, 5), "halted": chosen(random, rows, *[0] * 18, 1, 2),
        "stopped": chosen(random, rows, *[0] * 19, 1), "past_due": chosen(random, rows, *[0] * 19, 1),
        "had": chosen(random, rows, *[0] * 19, 1),
        "bound": chosen(random, rows, 0, 0, 1, 99 * UNIT, 2**40), "spent": chosen(random, rows, 0, 0, 49 * UNIT, 2**40),
    }  # fmt: skip
    return np.column_stack([columns[name] for name in Standing._fields]).astype(np.int64)


def differences(random: np.random.Generator, rows: int, seen: set[str]) -> list[str]:
    """One random signal for many random followers, decided both ways."""
    signal = random_signal(random)
    terms = [random_terms(random, signal.price) for _ in range(3)]
    table = Table(terms, random.integers(0, 3, rows))
    rules, standing, listed = random_rules(random, rows), random_standing(random, rows), random.random(rows) < 0.5
    policy = Policy(int(random.choice([0, 600])), int(random.choice([-1, 0, UNIT // 100])))
    many = decide_all(signal, table, rules, listed, standing, policy)
    columns = [column.tolist() for column in many]
    opposite = {"buy": "sell", "sell": "buy"}[signal.side]
    found = []
    plain_rules, plain_standing, which = rules[:, : len(RULES)].tolist(), standing.tolist(), table.which.tolist()
    for place, (code, reverse, *rest) in enumerate(zip(*columns, strict=True)):
        one = decide(
            signal,
            terms[which[place]],
            Rules._make([*plain_rules[place], int(listed[place])]),
            Standing._make(plain_standing[place]),
            policy,
        )
        if one != (REASONS[code], opposite if reverse else signal.side, *rest):
            found.append(
                f"{signal} {terms[which[place]]} {plain_rules[place]} {plain_standing[place]} {policy}: {one} {REASONS[code]} {rest}"
            )
    seen.update(REASONS[code] for code in set(columns[0]))
    return found


@pytest.mark.timeout(3600 if WANTED else 240)
def test_a_million_random_cases_are_decided_alike() -> None:
    """As many as fit in 10 seconds, 50,000 at least (`LOCKSTEP_CASES=1000000`: all of them); each reason occurs, and so do copies."""
    seed = 20_260_101
    random, seen, cases, started = np.random.default_rng(seed), set(), 0, time.monotonic()
    while cases < CASES and (WANTED or cases < 50_000 or time.monotonic() - started < 10):
        found = differences(random, PER_SIGNAL, seen)
        assert not found, f"seed {seed}, case {cases}: {found[0]}"
        cases += PER_SIGNAL
    print(f"cases={cases} seed={seed}")
    assert seen == set(REASONS)


@given(
    st.lists(st.integers(0, 2**62), min_size=1, max_size=4),
    st.integers(0, 2**80),
    st.integers(1, 2**70),
    st.lists(st.integers(1, 2**40), min_size=0, max_size=2),
)
def test_floor_division_is_exact_or_says_that_it_is_not(rows: list[int], num: int, den: int, factors: list[int]) -> None:
    columns = (np.array(rows, dtype=np.int64), *(np.full(len(rows), factor, dtype=np.int64) for factor in factors))
    spread = np.full(len(rows), 1)
    got, sure = floor_ratio(columns, wrapped(num) * spread, wrapped(den) * spread, float(num) * spread, float(den) * spread)
    for place, row in enumerate(rows):
        product = row * num
        for factor in factors:
            product *= factor
        if sure[place]:
            assert int(got[place]) == product // den
        else:
            assert product // den >= 2**43 or den >= 2**60


@pytest.mark.parametrize("equity", [0.29, 10_000, 33_333.33, 1e9])
def test_whole_results_are_not_lost_by_one(equity: float) -> None:
    """A follower with exactly n/100 of the master's equity copies exactly n of 100: no float rounds it down."""
    cents = round(equity * 100)
    masters = cents * 10**6
    own = np.array([cents * 10**4 * n for n in range(1, 101)], dtype=np.int64)
    got, sure = floor_ratio((own,), *(np.full(100, v) for v in (100, masters)), *(np.full(100, float(v)) for v in (100, masters)))
    assert sure.all()
    assert got.tolist() == list(range(1, 101))


def test_codes_are_distinct() -> None:
    assert len(CODE) == len(REASONS)


@pytest.mark.parametrize("sides", [("buy", "buy"), ("buy", "sell")])
def test_encoded_rows_are_read_as_the_event_that_they_stand_for(sides: tuple[str, str]) -> None:
    """Of one group what is told of it stands once; of several in each row."""
    ids = np.array([1, 2, 3])
    numbers = {"link": ids, "login": ids + 2000, "volume": ids * 5, "subscription": ids + 6}
    groups = [np.array([0, 1, 2])] if len(set(sides)) == 1 else [np.array([0, 2]), np.array([1])]
    told = [{"side": side, "sl": "1.1", "tp": "0", "worst_price": "0"} for side in dict.fromkeys(sides)]
    event = encoded(OpenCopies, rows_of(groups, numbers, told), master_order=11, master_login=1000, symbol='a"%d', price="1.1")
    stamped = event.model_copy(update={"id": "x", "time": 5, "correlation_id": "c", "causation_id": "d"})
    sent = json.loads(stamped.model_dump_json())
    read = orders.ORDER_EVENTS.validate_python(sent)
    assert isinstance(read, OpenCopies)
    assert (read.id, read.time, read.symbol, stamped.weight()) == ("x", 5, 'a"%d', 3)
    side_of = {1: sides[0], 2: sides[1], 3: sides[0]}
    loss, none = Decimal("1.1"), Decimal(0)
    expected = [OpenRow(n, 2000 + n, side_of[n], 5 * n, loss, none, n + 6, none) for n in (1, 2, 3)]  # type: ignore[arg-type]
    assert sorted(read.rows) == expected
    assert set(sent) - {"same"} == set(OpenCopies.model_fields)
    assert ("same" in sent) == (len(groups) == 1)


def test_a_text_of_percent_signs_stays_what_it_is() -> None:
    groups, numbers = [np.array([0]), np.array([1])], {"link": np.array([1, 2])}
    rows = rows_of(groups, numbers, [{"reason": "100 %d"}, {"reason": "%s"}])
    assert json.loads(f"[{rows.body}]") == [[1, "100 %d"], [2, "%s"]]
    assert rows.structure == ("link", "reason")


def test_every_event_of_the_rewards_topic_is_read_or_known_to_be_left() -> None:
    """A type that neither names would become a dead letter."""
    told = {event.model_fields["type"].default for event in get_args(get_args(rewards.RewardEvent)[0])}
    assert {StandingsChanged.model_fields["type"].default, *get_args(Unread.model_fields["type"].annotation)} == told
