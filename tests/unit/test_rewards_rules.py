"""The pure rules of rewards: periods, postings, the settlement's table, the ids, with values worked out by hand."""

import itertools
import random
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rewards import decide, ledger
from rewards.ledger import Posting
from rewards.periods import Period, days_in, overlap, period_at
from rewards.settings import RewardsSettings
from rewards.settle import _MOVES, FINAL, STATE_OF, TAKEN, Fact, Phase, move, wait_ms
from rewards.settlement import parse_reward_client_id
from rewards.terms import Switch
from shared.contracts.rewards import AccrualState
from shared.ids import reward_client_id
from shared.money import Money

UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# --- periods --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "zone", "instant", "start", "end"),
    [
        ("daily", "UTC", "2024-02-29 23:59:59", "2024-02-29", "2024-03-01"),
        ("weekly", "UTC", "2024-01-14 23:59", "2024-01-08", "2024-01-15"),
        ("weekly", "UTC", "2024-01-15", "2024-01-15", "2024-01-22"),
        ("monthly", "UTC", "2023-12-31 23:59", "2023-12-01", "2024-01-01"),
        ("quarterly", "UTC", "2024-05-15", "2024-04-01", "2024-07-01"),
        ("quarterly", "UTC", "2024-12-31", "2024-10-01", "2025-01-01"),
        # Berlin is an hour ahead in winter and two in summer: March 2024 there has 743 hours.
        ("monthly", "Europe/Berlin", "2024-02-29 23:00", "2024-02-29 23:00", "2024-03-31 22:00"),
        ("daily", "Europe/Berlin", "2024-03-31 12:00", "2024-03-30 23:00", "2024-03-31 22:00"),
        ("daily", "Europe/Berlin", "2024-10-27 12:00", "2024-10-26 22:00", "2024-10-27 23:00"),
        ("weekly", "America/New_York", "2024-11-03 12:00", "2024-10-28 04:00", "2024-11-04 05:00"),
        # Havana goes from 00:00 to 01:00 on 2024-03-10: that day begins with its second hour, 05:00 UTC.
        ("daily", "America/Havana", "2024-03-10 12:00", "2024-03-10 05:00", "2024-03-11 04:00"),
    ],
)
def test_periods_are_the_calendar_s_in_the_zone(kind: str, zone: str, instant: str, start: str, end: str) -> None:
    assert period_at(kind, at(instant), ZoneInfo(zone)) == Period(at(start), at(end))


def test_a_kind_that_is_no_period_is_an_error() -> None:
    with pytest.raises(ValueError, match="fortnightly"):
        period_at("fortnightly", 0, UTC_ZONE)


@given(
    st.sampled_from(["daily", "weekly", "monthly", "quarterly"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
    st.integers(946_684_800_000, 2_000_000_000_000),
)
def test_periods_follow_each_other_without_gap_or_overlap(kind: str, zone_name: str, instant: int) -> None:
    zone = ZoneInfo(zone_name)
    period = period_at(kind, instant, zone)
    assert period.start <= instant < period.end
    assert period_at(kind, period.end, zone).start == period.end
    assert period_at(kind, period.end - 1, zone) == period
    days = days_in(period, zone)
    assert days[0].start == period.start
    assert days[-1].end == period.end
    assert all(before.end == after.start for before, after in itertools.pairwise(days))


def test_overlap_and_switch() -> None:
    assert overlap(Period(10, 20), 15, 30) == 5
    assert overlap(Period(10, 20), 20, 30) == 0
    switch = Switch()
    assert switch.set(12, False)
    assert not switch.set(13, False)
    assert switch.set(18, True)
    assert switch.on_spans(Period(10, 20)) == [Period(10, 12), Period(18, 20)]
    assert [switch.at(instant) for instant in (11, 12, 17, 18)] == [True, False, False, True]


@pytest.mark.parametrize("bad", [{"broker_timezone": "Mars/Base"}, {"retry_schedule_s": ()}, {"hwm_basis": "none"}, {"retry_max": 0}])
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RewardsSettings(**bad)


# --- ledger (L1, L5) -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [("a", "b", 0, "USD"), ("a", "b", -1, "USD"), ("a", "a", 1, "USD"), ("a", "b", 1, ""), ("", "b", 1, "USD"),
     ("a", "b", Decimal(1), "USD"), ("a", "b", True, "USD")],
)  # fmt: skip
def test_a_posting_that_does_not_balance_cannot_be_made(fields: tuple[object, ...]) -> None:
    with pytest.raises(ValueError):
        Posting(*fields)  # type: ignore[arg-type]


def test_l1_a_million_random_postings_never_leave_a_currency_unbalanced() -> None:
    """After every step the sum per currency is 0: kept step by step in plain dicts, and compared with the fold at the end."""
    chance = random.Random(20240111)
    accounts = [f"{kind}:{number}" for kind in ("follower", "payable", "payout", "held", "suspense") for number in range(4)]
    currencies = ("USD", "EUR", "BTC")
    totals = dict.fromkeys(currencies, 0)
    balances = {(account, currency): 0 for account in accounts for currency in currencies}
    for _ in range(10):
        postings = []
        for _ in range(100_000):
            drawn = chance.getrandbits(60)
            source = accounts[drawn % 20]
            destination = accounts[(drawn + 1 + (drawn >> 8) % 19) % 20]
            currency = currencies[(drawn >> 16) % 3]
            posting = Posting(source, destination, 1 + (drawn >> 20) % 10**9, currency)
            left, right = (posting.source, posting.currency), (posting.destination, posting.currency)
            before = balances[left] + balances[right]
            balances[left] -= posting.amount
            balances[right] += posting.amount
            totals[currency] += balances[left] + balances[right] - before
            if totals[currency]:
                pytest.fail(f"{posting} leaves {totals}")
            postings.append(posting)
        assert set(ledger.sums(ledger.fold(postings)).values()) == {0}
    assert sum(balances.values()) == 0


def test_a_chain_shows_every_change_of_what_was_written() -> None:
    entries = ledger.chain(None, 5, "taken", [Posting("follower:1", "payable:2", 100, "USD")], 1000)
    entries += ledger.chain(entries[-1], 5, "paid", [Posting("payable:2", "payout:2", 100, "USD")], 1001)
    assert [entry.sequence for entry in entries] == [1, 2]
    assert entries[0].previous == ledger.GENESIS
    assert entries[1].previous == entries[0].hash
    for name, value in (("amount", 99), ("source", "follower:3"), ("time_ms", 1), ("accrual", 6), ("currency", "EUR"), ("previous", "x")):
        assert ledger.digest(entries[1]._replace(**{name: value})) != entries[1].hash
    assert ledger.fold(entries) == {("follower:1", "USD"): -100, ("payout:2", "USD"): 100}


@given(
    st.integers(1, 10**9),
    st.sampled_from([("USD", "EUR"), ("USD", "JPY"), ("JPY", "USD"), ("EUR", "BTC"), ("USDT", "USD"), ("BTC", "USD")]),
    st.decimals(min_value=Decimal("0.00001"), max_value=Decimal(200_000), places=5),
)
def test_l5_a_conversion_accounts_for_the_last_unit(units: int, currencies: tuple[str, str], rate: Decimal) -> None:
    """What is payable ends at 0 in the currency of the charge, and at what is paid in the payee's."""
    source, target = currencies
    charged = Money.from_minor(units, source)
    conversion = decide.convert(charged, target, decide.Rate(source, target, rate, "", 0))
    taken = Posting("follower:1", "payable:9", charged.minor(), source)
    balances = ledger.fold([taken, *decide.conversion_postings(9, conversion)])
    assert ("payable:9", source) not in balances
    assert balances.get(("payable:9", target), 0) == conversion.paid.minor()
    assert set(ledger.sums(balances).values()) <= {0}
    assert abs(conversion.paid.amount - charged.amount * rate) * 2 <= Money.from_minor(1, target).amount


# --- settlement ------------------------------------------------------------------------------------------------------------------------


def test_no_way_through_the_settlement_takes_twice_or_pays_what_was_not_taken() -> None:
    """All ways of up to 7 facts: at most one OUT counts, an IN only after it, and what is done or parked stays so."""
    ways = {(Phase.OUT_SENT, 0, 0), (Phase.WAITS, 0, 0)}
    for _ in range(7):
        reached = set()
        for phase, outs, ins in ways:
            for fact in Fact:
                after = move(phase, fact)
                out = outs + (fact is Fact.OUT_OK and after is not phase)
                into = ins + (fact is Fact.IN_OK and after is Phase.DONE and phase is not Phase.DONE)
                reached.add((after, out, into))
        ways |= reached
    assert all(outs <= 1 and ins <= outs for _, outs, ins in ways)
    assert all((phase in TAKEN) == (outs == 1) for phase, outs, _ in ways)
    for phase in (Phase.DONE, Phase.PARKED):
        assert {move(phase, fact) for fact in Fact} == {phase}


def test_every_phase_has_a_state_and_every_move_is_between_phases() -> None:
    assert set(STATE_OF) == set(Phase)
    assert {phase for phase, _ in _MOVES} | FINAL == set(Phase)
    assert STATE_OF[Phase.OUT_REFUSED] is AccrualState.FAILED
    assert STATE_OF[Phase.PARKED] is AccrualState.CHARGED


def test_amounts_in_inputs_are_plain_digits_whoever_asked_before() -> None:
    values = ("-0.00", "0", "1E+2", "100.00", "-1.50", "1.5")
    assert [decide.text(Decimal(value)) for value in values] == ["0", "0", "100", "100", "-1.5", "1.5"]


def test_retries_follow_the_schedule_and_repeat_its_last() -> None:
    assert [wait_ms((60, 300), tries) for tries in (0, 1, 2, 3, 99)] == [60_000, 60_000, 300_000, 300_000, 300_000]


def test_an_accrual_s_id_follows_from_its_key_and_fits_any_json_reader() -> None:
    assert decide.accrual_id("7:3:p9001") == decide.accrual_id("7:3:p9001")
    assert decide.accrual_id("7:3:p9001") != decide.accrual_id("7:3:p9001", 1)
    assert all(0 < decide.accrual_id(f"7:3:p{order}") < 2**52 for order in range(1000))


@pytest.mark.parametrize(("client_id", "parsed"), [(reward_client_id(12, "out"), (12, "out")), ("r-12-in", (12, "in")), ("r-x-in", None),
                                                   ("c-1-2-open-0", None), ("r-12-up", None), ("", None)])  # fmt: skip
def test_a_settlement_s_client_id_is_read_back(client_id: str, parsed: tuple[int, str] | None) -> None:
    assert parse_reward_client_id(client_id) == parsed
