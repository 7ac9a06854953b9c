"""The api's rules and what guards its doors: reward terms, cycles, tokens, the JSON parser."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from api import auth, decide
from api.decide import Refusal, Terms
from api.errors import Refused
from api.intake import parse_json
from hypothesis import given
from hypothesis import strategies as st
from shared.contracts.config import RewardType

D = Decimal


@pytest.mark.parametrize(
    ("kind", "given_", "terms"),
    [
        (0, {"fee_amount": D(25)}, (0, "monthly", D(25), D(0), 0)),
        (0, {"fee_amount": D(25), "billing_period": "one_time"}, (0, "one_time", D(25), D(0), 0)),
        (1, {"fee_percent": D(20)}, (1, "monthly", D(0), D(20), 1)),
        (1, {"fee_percent": D(20), "hwm_enabled": 0, "billing_period": "quarterly"}, (1, "quarterly", D(0), D(20), 0)),
        (2, {"fee_amount": D(3), "fee_percent": D(0), "hwm_enabled": 0}, (2, "daily", D(3), D(0), 0)),
        (3, {"fee_percent": D("12.5")}, (3, "per_trade", D(0), D("12.5"), 0)),
        (4, {"fee_amount": D(9), "billing_period": "quarterly"}, (4, "quarterly", D(9), D(0), 0)),
        (4, {"fee_percent": D(2)}, (4, "monthly", D(0), D(2), 0)),
    ],
)
def test_the_reward_form(kind: int, given_: dict[str, Any], terms: tuple[Any, ...]) -> None:
    fields: dict[str, Any] = {"billing_period": None, "fee_amount": None, "fee_percent": None, "hwm_enabled": None} | given_
    assert decide.reward_terms(kind, **fields) == Terms(*terms)


@pytest.mark.parametrize(
    ("kind", "given_"),
    [
        (0, {}),
        (0, {"fee_amount": D(1), "billing_period": "daily"}),
        (0, {"fee_amount": D(1), "fee_percent": D(1)}),
        (1, {"fee_amount": D(1)}),
        (1, {"fee_percent": D(1), "billing_period": "weekly"}),
        (2, {"fee_amount": D(1), "billing_period": "quarterly"}),
        (3, {"fee_percent": D(1), "hwm_enabled": 1}),
        (4, {"fee_percent": D(1), "fee_amount": D(1)}),
        (4, {}),
    ],
)
def test_what_the_reward_form_refuses(kind: int, given_: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"billing_period": None, "fee_amount": None, "fee_percent": None, "hwm_enabled": None} | given_
    found = decide.reward_terms(kind, **fields)
    assert isinstance(found, Refusal)
    assert found.code == "INVALID_REWARD_POLICY"


OPTIONS: dict[str, Any] = {"hwm_basis": "", "netting": "none", "rebate_sides": "both", "fee_cap": D(0)}


@pytest.mark.parametrize(
    ("kind", "hwm", "given_", "fits"),
    [
        *[(kind, int(kind == 1), {}, True) for kind in range(5)],
        *[(kind, int(kind == 1), {"fee_cap": D(5)}, kind in {1, 2}) for kind in range(5)],
        *[(kind, int(kind == 1), {"netting": "weekly"}, kind == 3) for kind in range(5)],
        *[(kind, int(kind == 1), {"rebate_sides": "open"}, kind == 2) for kind in range(5)],
        *[(kind, int(kind == 1), {"hwm_basis": "nav_per_share"}, kind == 1) for kind in range(5)],
        (1, 0, {"hwm_basis": "cumulative"}, False),
        (1, 1, {"hwm_basis": "period"}, False),
        (1, 0, {"hwm_basis": "period"}, True),
    ],
)
def test_which_reward_model_has_which_option(kind: int, hwm: int, given_: dict[str, Any], fits: bool) -> None:
    terms = Terms(RewardType(kind), "monthly", D(0), D(0), hwm)
    assert (decide.reward_options(terms, OPTIONS | given_) is None) == fits


def test_allocations_count_once_any_is_set() -> None:
    assert decide.within_allocation([D(100), D(100)]) is None
    assert decide.within_allocation([D(60), D(40)]) is None
    assert decide.within_allocation([D(60), D(100)]) is not None
    assert decide.within_allocation([D("60.00000001"), D(40)]) is not None


@pytest.mark.parametrize(
    ("allowed", "mode", "may"),
    [(0, "REAL", True), (0, "DEMO", False), (1, "REAL", False), (1, "DEMO", True), (2, "REAL", True), (2, "DEMO", True)],
)
def test_follower_modes(allowed: int, mode: str, may: bool) -> None:
    assert (decide.may_copy(1, True, 7, allowed, 8, mode) is None) == may


def test_symbols_are_kept_clean() -> None:
    assert decide.symbol_list(" GBPUSD, EURUSD ,GBPUSD") == "GBPUSD,EURUSD"
    assert decide.symbol_list("  ") == ""
    assert isinstance(decide.symbol_list("GBPUSD,"), Refusal)


SECRET = "a secret of the house"


def test_a_token_is_good_until_it_expires_and_for_its_own_secret() -> None:
    token = auth.issue_token(SECRET, auth.CUSTOMER, 7, 1000, 60)
    session = auth.check_token(SECRET, f"Bearer {token}", 1059)
    assert (session, auth.customer_of(session)) == (auth.Session(auth.CUSTOMER, "7", 1000), 7)
    assert auth.check_token(SECRET, token, 1060) is None
    assert auth.check_token(SECRET + "!", token, 1000) is None
    assert auth.customer_of(auth.check_token(SECRET, auth.issue_token(SECRET, auth.MANAGER, 7, 1000, 60), 1000)) is None


@given(place=st.integers(0, 200), letter=st.sampled_from("aB0_-."))
def test_a_changed_token_is_no_token(place: int, letter: str) -> None:
    token = auth.issue_token(SECRET, auth.CUSTOMER, 7, 1000, 60)
    head, body, _ = token.split(".")
    place %= len(head) + len(body) + 1
    changed = token[:place] + letter + token[place + 1 :]
    assert changed == token or auth.check_token(SECRET, changed, 1000) is None


def test_a_token_without_a_signature_is_refused() -> None:
    # {"alg":"none"} . {"sub":"7","kind":"SESSION_CUSTOMER","iat":0,"exp":9999999999}
    unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3Iiwia2luZCI6IlNFU1NJT05fQ1VTVE9NRVIiLCJpYXQiOjAsImV4cCI6OTk5OTk5OTk5OX0."
    assert auth.check_token(SECRET, unsigned, 1000) is None


def test_the_vault_keeps_what_it_is_given_and_shows_nothing() -> None:
    sealed = auth.Vault(SECRET).seal("the API secret")
    assert "secret" not in sealed
    assert auth.Vault(SECRET).open(sealed) == "the API secret"


def test_fractions_stay_exact() -> None:
    assert parse_json('{"a": 0.1, "b": 12345678901234567.89}') == {"a": D("0.1"), "b": D("12345678901234567.89")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e41",
        "9223372036854775808",
        "9" * 5000,
        "[" * 17 + "]" * 17,
        '{"a":1,"a":2}',
        '"\\u0000"',
        '"\\udc00"',
    ],
)
def test_what_is_no_json_for_us(text: str) -> None:
    with pytest.raises(Refused, match="INVALID_DATA"):
        parse_json(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(raw: bytes) -> None:
    with suppress(Refused):
        parse_json(raw)
