"""Money, ids, symbols, packing and settings: values that everything else is built on."""

import json
from decimal import Decimal

import pytest
from executor.settings import ExecutorSettings
from executor.wiring import WRITES
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.orders import CloseCopies, CloseRow, SyncAccounts
from shared.ids import CopyId, copy_client_id, is_copy, parse_copy_client_id, reward_client_id
from shared.money import CurrencyMismatchError, Money
from shared.service import run
from shared.settings import DEMO_SECRET, Settings
from shared.store.engine import ScaledDecimal, database_url
from shared.store.work import ENTRY_CHARS, pack
from shared.symbols import SymbolSpec

DIALECT = None


def test_money_is_rounded_half_even_to_the_minor_unit() -> None:
    assert Money(Decimal("0.125"), "USD").rounded() == Money(Decimal("0.12"), "USD")
    assert Money(Decimal("0.135"), "USD").rounded() == Money(Decimal("0.14"), "USD")
    assert Money(Decimal("100.5"), "JPY").rounded() == Money(Decimal("100"), "JPY")
    assert Money(Decimal("0.0000005"), "USDT").rounded() == Money(Decimal("0"), "USDT")


def test_two_currencies_never_add_or_compare() -> None:
    with pytest.raises(CurrencyMismatchError):
        Money(Decimal(1), "USD") + Money(Decimal(1), "EUR")
    with pytest.raises(CurrencyMismatchError):
        assert Money(Decimal(1), "USD") < Money(Decimal(2), "EUR")


@given(st.integers(-(10**14), 10**14), st.sampled_from(["USD", "JPY", "USDT", "BTC", "XXX"]))
def test_minor_units_there_and_back(units: int, currency: str) -> None:
    assert Money.from_minor(units, currency).minor() == units


@given(st.lists(st.decimals(-1000, 1000, places=10, allow_nan=False), max_size=30))
def test_sums_are_exact(amounts: list[Decimal]) -> None:
    total = Money.zero("USD")
    for amount in amounts:
        total = total + Money(amount, "USD")
    assert total.amount * 10**10 == sum(int(amount * 10**10) for amount in amounts)


def test_an_unrounded_amount_has_no_minor_units() -> None:
    with pytest.raises(AssertionError):
        Money(Decimal("0.005"), "USD").minor()


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.sampled_from(["open", "close", "protect"]), st.integers(0, 10**9))
def test_a_copys_client_order_id_says_what_it_is(subscription: int, order: int, action: str, step: int) -> None:
    made = copy_client_id(subscription, order, action, step)
    assert is_copy(made)
    assert parse_copy_client_id(made) == CopyId(subscription, order, action, step)


@pytest.mark.parametrize("other", ["", "c", "c-1-2-open", "c-x-2-open-0", "r-1-out", "my order", "c-1-2-open-0-9"])
def test_other_ids_are_no_copies(other: str) -> None:
    assert parse_copy_client_id(other) is None


def test_known_ids() -> None:
    assert copy_client_id(7, 1001, "close", 2) == "c-7-1001-close-2"
    assert reward_client_id(12, "out") == "r-12-out"


def test_profit_of_a_standard_lot() -> None:
    gbpusd = SymbolSpec("GBPUSD", 5, Decimal(100_000), "GBP", "USD")
    assert gbpusd.profit("buy", 100, Decimal("1.57560"), Decimal("1.57570")) == Decimal(10)
    assert gbpusd.profit("sell", 50, Decimal("1.57560"), Decimal("1.57570")) == Decimal(-5)
    assert gbpusd.point == Decimal("0.00001")
    assert gbpusd.price(Decimal("1.575605")) == Decimal("1.57560")


def test_rows_fill_entries_up_to_the_limit() -> None:
    def closes(count: int) -> CloseCopies:
        return CloseCopies.of([CloseRow(1, 2, 3, 4, 5, 6)] * count, master_order=1, reason="x")

    packed = pack([closes(499), closes(1), closes(1), closes(ROWS_PER_ENTRY)], "copy.order", 7)
    assert [(entry.number, [event.weight() for event in entry.events]) for entry in packed] == [(7, [499, 1]), (8, [1]), (9, [500])]
    assert [json.loads(text)["id"] for entry in packed for text in entry.texts] == [f"copy.order:{n}" for n in ("7:0", "7:1", "8:0", "9:0")]
    assert pack([], "copy.order", 7) == [(7, [], [])]


def test_the_parts_of_a_fan_out_are_written_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    part = CloseCopies.of([CloseRow(1, 2, 3, 4, 5, 6)] * ROWS_PER_ENTRY, master_order=1, reason="x")
    numbers = []

    def stamped(_event: object, _stream: str, number: int, _index: int) -> str:
        numbers.append(number)
        return "{}"

    monkeypatch.setattr("shared.store.work._stamped", stamped)
    pack([part] * 3, "copy.order", 7)
    assert numbers == [7, 8, 9]


def test_an_entry_is_as_long_as_it_may_be_and_no_longer() -> None:
    """What one transaction decides of 501 trades, each with its inputs, is told in entries that a reader has memory for."""
    events = [SyncAccounts(logins=(number,), request="r" * 2000) for number in range(501)]
    packed = pack(events, "copy.order", 1)
    assert [event for entry in packed for event in entry.events] == events
    assert [entry.number for entry in packed] == list(range(1, len(packed) + 1))
    sizes = [sum(map(len, entry.texts)) for entry in packed]
    assert max(sizes) <= ENTRY_CHARS
    assert min(sizes[:-1]) > ENTRY_CHARS - 3000
    assert len(pack([SyncAccounts(logins=(1,), request="r" * ENTRY_CHARS)], "copy.order", 1)) == 1


def test_scaled_amounts_are_exact_or_refused() -> None:
    column = ScaledDecimal()
    assert column.process_bind_param(Decimal("-1234.56789012"), DIALECT) == -123456789012  # type: ignore[arg-type]
    assert column.process_result_value(-123456789012, DIALECT) == Decimal("-1234.56789012")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decimal places"):
        column.process_bind_param(Decimal("0.000000001"), DIALECT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too large"):
        column.process_bind_param(Decimal(10) ** 11, DIALECT)  # type: ignore[arg-type]


def test_database_urls_get_the_driver_that_is_there() -> None:
    assert str(database_url("sqlite:///a.db")) == "sqlite+aiosqlite:///a.db"
    assert database_url("postgresql://u:p@host/db").drivername == "postgresql+psycopg"
    with pytest.raises(ValueError, match="neither sqlite nor postgresql"):
        database_url("mysql://host/db")


SAFE = {"LOCKSTEP_SECRET": "x" * 40, "LOCKSTEP_REDIS_URL": "redis://lockstep:a-password-of-its-own@redis"}


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"LOCKSTEP_SECRET": DEMO_SECRET}, "LOCKSTEP_SECRET is the demo's"),
        ({"LOCKSTEP_SECRET": "a-secret-for-this-machine-alone-0123456789"}, "LOCKSTEP_SECRET is the demo's"),
        ({"LOCKSTEP_SECRET": "short"}, "LOCKSTEP_SECRET has fewer than 32"),
        ({"LOCKSTEP_OLD_SECRETS": f"{'y' * 40},{DEMO_SECRET}"}, "LOCKSTEP_OLD_SECRETS is the demo's"),
        ({"LOCKSTEP_OLD_SECRETS": "short"}, "LOCKSTEP_OLD_SECRETS has fewer than 32"),
        ({"LOCKSTEP_REDIS_URL": "redis://redis:6379"}, "LOCKSTEP_REDIS_URL has no password"),
        ({"LOCKSTEP_REDIS_URL": "redis://lockstep:redis-on-this-machine@redis"}, "the demo's password"),
        ({"LOCKSTEP_DATABASE_URL": "postgresql://api:postgres-on-this-machine@postgres/api"}, "the demo's password"),
        ({"LOCKSTEP_CLOCK_OFFSET": "5"}, "LOCKSTEP_CLOCK_OFFSET"),
    ],
)
def test_unsafe_settings_are_refused_in_production(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], complaint: str) -> None:
    for name, value in (SAFE | environment).items():
        monkeypatch.setenv(name, value)
    Settings()  # fine in development
    monkeypatch.setenv("LOCKSTEP_ENV", "production")
    with pytest.raises(ValueError, match=complaint) as refused:
        Settings()
    assert "x" * 40 not in str(refused.value)
    for name in environment:
        monkeypatch.delenv(name)
    for name, value in SAFE.items():
        monkeypatch.setenv(name, value)
    Settings()  # and without it, in production, too


@pytest.mark.parametrize("word", ["prod", "Production", "production "])
def test_a_word_that_is_nearly_production_does_not_start(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """It would be taken for a demo's, and nothing be refused."""
    monkeypatch.setenv("LOCKSTEP_ENV", word)
    with pytest.raises(ValidationError, match="production"):
        Settings()


def test_a_services_store_is_its_own_file_unless_a_url_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_HOME", "/somewhere")
    assert Settings().database("rewards") == "sqlite:////somewhere/rewards.db"
    monkeypatch.setenv("LOCKSTEP_DATABASE_URL", "postgresql://host/x")
    assert Settings().database("rewards") == "postgresql://host/x"


def test_a_refused_start_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SECRET", "0123456789abcdef" * 2)
    monkeypatch.setenv("LOCKSTEP_MAX_RECORDS", "many")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "max_records" in str(refused.value)
    monkeypatch.delenv("LOCKSTEP_MAX_RECORDS")
    monkeypatch.setenv("LOCKSTEP_ENV", "production")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "LOCKSTEP_REDIS_URL has no password" in str(refused.value)
    assert "0123" not in str(refused.value)


@pytest.mark.parametrize(("shard", "shards"), [("2/2", 1), ("1/1", 2)])
def test_a_shard_that_the_others_do_not_know_of_does_not_start(shard: str, shards: int) -> None:
    settings = ExecutorSettings(shard=shard, executor_shards=shards)
    with pytest.raises(ValueError, match=f"LOCKSTEP_SHARD is {shard}, and copy.order has {shards} shards"):
        run("executor", settings, lambda store, bus: pytest.fail("it starts"), WRITES)
