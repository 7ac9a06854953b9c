"""What the console says: figures, fees in words with examples worked out by hand, and what its forms send."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from console import fees, figures, forms, words
from console.charts import drawdowns, padded
from console.office import halts
from console.office.browser import Field, FilterError, condition
from console.office.letters import LETTERS
from console.pages.market import AT_FIRST, query_of
from console.pages.statement import periods
from console.pages.wizard import STEPS
from console.settings import Settings
from console.streams import events
from hypothesis import given
from hypothesis import strategies as st
from shared.contracts.config import REWARD_MATRIX
from shared.explain import REASONS
from shared.settings import UnsafeSettingsError

POLICY: dict[str, Any] = {
    "enabled": 1,
    "reward_type": 1,
    "billing_period": "monthly",
    "fee_amount": 0,
    "fee_percent": 20,
    "currency": "USD",
    "hwm_enabled": 1,
    "fee_cap": 0,
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.money(Decimal("1240.5"), "USD"), "1,240.50 USD"),
        (figures.money(-5, "JPY", signed=True), "−5 JPY"),
        (figures.money(Decimal("0.004"), "USD", signed=True), "0.00 USD"),
        (figures.money(None, "USD"), "–"),
        (figures.percent(Decimal("8.424"), signed=True), "+8.42 %"),
        (figures.lots(50), "0.50"),
        (figures.price(Decimal("1.5"), 5), "1.50000"),
        (figures.price(Decimal("40123.4"), 2), "40,123.40"),
        (figures.price(0, 5), "–"),
        (figures.span(12_000), "3 h 20 min"),
        (figures.span(59), "59 s"),
        (figures.short(Decimal("1000.50")), "1,000.5"),
        (figures.ago(100, 400), "5 min ago"),
        (figures.day(1_778_160_000), "7 May 2026"),
        (figures.initials("Conservative FX"), "CF"),
        (figures.initials("<b>"), "•"),
    ],
)
def test_figures_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected


@given(st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=400))
def test_a_sparkline_stays_in_its_picture(values: list[Decimal]) -> None:
    line, area = figures.spark(values)
    assert line.startswith("M")
    assert area.startswith(line)
    points = [point.split() for point in line[1:].split(" L")]
    assert all(0 <= float(x) <= 240 and 0 <= float(y) <= 56 for x, y in points)


def test_a_drawdown_is_measured_from_the_highest_so_far() -> None:
    # 100, 110, 99, 121: a fall of 10 % from 110.
    assert drawdowns([0, 10, -1, 21]) == [0, 0, -10, 0]
    assert drawdowns([None, 0, -50]) == [None, 0, -50]
    assert padded([Decimal(5)], 4) == [None, None, 0, Decimal(5)]
    assert padded([], 2) == [None, None]


@pytest.mark.parametrize(
    ("more", "short", "said", "example"),
    [
        ({}, "20 % of new profit, by month", "high-water mark", "(1,000.00 USD − 400.00 USD) × 20 % = 120.00 USD"),
        ({"hwm_enabled": 0}, "20 % of profit, by month", "There is no high-water mark", "again 200.00 USD"),
        ({"fee_cap": 150}, "20 % of new profit, by month", "No single charge is more than 150.00 USD", "× 20 % = 150.00 USD"),
        (
            {"reward_type": 0, "fee_amount": 25, "billing_period": "weekly"},
            *("25.00 USD a week", "25.00 USD every week, in advance", "25.00 USD × 3 = 75.00 USD"),
        ),
        ({"reward_type": 0, "fee_amount": 25, "billing_period": "one_time"}, "25.00 USD once", "25.00 USD once", "You pay 25.00 USD once"),
        (
            {"reward_type": 2, "fee_amount": 3, "billing_period": "daily", "rebate_sides": "both"},
            *("3.00 USD a lot", "3.00 USD for each lot", "6 × 3.00 USD = 18.00 USD"),
        ),
        ({"reward_type": 3, "netting": "daily"}, "20 % of each profit", "net of the day's losses", "1,000.00 USD × 20 % = 200.00 USD"),
        # 10,000 at 12 % a year for a month: 100
        ({"reward_type": 4, "fee_percent": 12}, "12 % a year", "12 % a year of your copied equity", "about 100.00 USD each month"),
        ({"reward_type": 4, "fee_amount": 40, "fee_percent": 0}, "40.00 USD a month", "40.00 USD, charged every month", "40.00 USD"),
    ],
)
def test_fees_are_said_in_words_with_an_example(more: dict[str, Any], short: str, said: str, example: str) -> None:
    policy = POLICY | more
    assert fees.short_terms(policy) == short
    assert said in " ".join(fees.in_words(policy))
    assert example in fees.example(policy)
    assert fees.quiet_label(policy) == ("no high-water mark" if more.get("hwm_enabled") == 0 else "")


def test_no_fee_is_said_too() -> None:
    assert fees.short_terms(None) == "No fee"
    assert fees.in_words(POLICY | {"enabled": 0}) == ["This master takes no fee."]
    assert fees.example(None) == ""


def test_a_subscription_sends_what_applies_and_lots_as_units() -> None:
    body = forms.subscription_body(forms.DEFAULTS | {"volume_mode": 0, "fixed_volume": 0.15, "max_volume": 2, "drawdown_percent": 10})
    assert (body["fixed_volume"], body["max_volume"], body["drawdown_percent"], body["stop_action"]) == (15, 200, 10, "halt")
    assert not {"risk_multiplier", "allocation_percent", "ratio_multiplier", "symbols"} & body.keys()
    assert "stop_action" not in forms.subscription_body(forms.DEFAULTS)
    with pytest.raises(forms.FormError, match="symbols"):
        forms.subscription_body(forms.DEFAULTS | {"symbols_mode": 1})
    with pytest.raises(forms.FormError, match="times the master's volume"):
        forms.subscription_body(forms.DEFAULTS | {"risk_multiplier": None})


def test_a_subscription_that_is_there_fills_the_form_that_sends_it_again() -> None:
    body = forms.subscription_body(forms.DEFAULTS | {"volume_mode": 2, "allocation_percent": 40, "symbols_mode": 2, "symbols": ["GBPUSD"]})
    kept = forms.DEFAULTS | {"fixed_volume": 0, "min_volume": 0, "max_volume": 0} | body
    assert forms.subscription_body(forms.filled_of(kept)) == body


@pytest.mark.parametrize("reward_type", list(REWARD_MATRIX))
def test_the_reward_form_is_the_matrix(reward_type: int) -> None:
    rule, shown = forms.rule_of(reward_type), forms.reward_fields(reward_type)
    figure = rule.figure
    body = forms.reward_body({"reward_type": int(reward_type), figure: 7, "figure": figure})
    assert body[figure] == 7
    assert ("hwm_enabled" in body) == rule.hwm
    assert body.get("billing_period", rule.billing_periods[0]) == rule.billing_periods[0]
    assert shown.options == rule.options
    with pytest.raises(forms.FormError):
        forms.reward_body({"reward_type": int(reward_type), "figure": figure})


def test_every_reason_and_error_has_words() -> None:
    assert all(words.reason(code) != code for code in (*REASONS, "MASTER_CLOSED", "OWN", "NO_GAIN", "UNKNOWN"))
    assert words.reason("SOMETHING_NEW") == "SOMETHING_NEW", "what is not known is told as it is"
    assert words.error("SOMETHING_NEW") == "The request was refused"
    assert len(STEPS) == 3


def test_filters_are_the_standard_ones() -> None:
    state = AT_FIRST | {"filters": {"roi": 5, "trades": 10.0}, "admits": 0, "page": 3}
    assert query_of(state) == {
        "stats_period": "30D",
        "where": [["stats.roi", ">=", Decimal(5)], ["stats.trades", ">=", 10], ["allowed_follower_modes", "!=", 1]],
        "orderBy": [["stats.roi", "desc"]],
        "limit": 24,
        "offset": 48,
    }
    assert isinstance(query_of(state)["where"][1][2], int), "a count compares with a whole number"
    fields = (Field("login", "Account"), Field("fee_amount", "Amount", "number"), Field("reason", "Why", "text"))
    assert condition(fields, "login", "=", "100,001") == ["login", "=", 100001]
    assert condition(fields, "fee_amount", ">=", "2.5") == ["fee_amount", ">=", Decimal("2.5")]
    assert condition(fields, "reason", "like", "MIN") == ["reason", "like", "MIN"]
    for name, operator, text in (("login", "=", "Max"), ("login", "like", "1"), ("login", "=", "1.5")):
        with pytest.raises(FilterError):
            condition(fields, name, operator, text)


@pytest.mark.anyio
async def test_events_are_read_as_the_standard_says() -> None:
    async def lines() -> AsyncIterator[str]:
        for line in (
            "retry: 2000",
            "",
            "id: 7",
            "event: link",
            'data: {"id": 1,',
            'data: "price": 1.5}',
            "",
            ": still here",
            "",
            "event: price",
            "",
        ):
            yield line

    [told] = [one async for one in events(lines())]
    assert (told.event, told.number, told.data) == ("link", "7", {"id": 1, "price": Decimal("1.5")})


def test_periods_of_statements_cross_the_year() -> None:
    assert list(periods(datetime(2027, 1, 31, tzinfo=UTC)))[:4] == ["all", "2027-01", "2026-12", "2027-Q1"]


def test_the_demo_s_secret_and_logins_are_not_for_production() -> None:
    with pytest.raises((UnsafeSettingsError, ValueError), match="LOCKSTEP_SECRET"):
        Settings(env="production")


def test_a_dead_letter_is_known_by_its_service_and_its_number_there() -> None:
    told = {"id": 3, "created_time": 1, "stream": "trade.push", "number": 7, "reason": "KeyError", "retry_requested": 0, "retried": 0}
    rows = [LETTERS.row(told | {"service": service}) for service in ("api", "stats")]
    assert [row["id"] for row in rows] == ["api 3", "stats 3"]
    assert {(row["letter"], row["state"], row["waits"]) for row in rows} == {(3, "Waits", True)}
    assert "service" in [column.name for column in LETTERS.columns]


def test_a_stop_that_is_taken_back_over_a_customer_s_own_says_that_it_holds() -> None:
    assert [halts.resumed({"active": active}) for active in (0, 1)] == ["It goes on", "Taken back. The customer's own stop holds still"]
