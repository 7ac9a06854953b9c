"""The subscription form sends what it shows, or says in words why it cannot."""

from typing import Any

import pytest
from console import forms
from console.pages.links import Grid
from console.pages.master import trade_row


@pytest.mark.parametrize(
    ("filled", "said"),
    [
        ({"max_volume": 0.004}, "Most volume: in steps of 0.01 lots"),
        ({"min_volume": 0.015}, "Least volume: in steps of 0.01 lots"),
        ({"volume_mode": 0, "fixed_volume": 0.005}, "Each copy: in steps of 0.01 lots"),
        ({"max_positions": 0.5}, "Most copies open at once: a whole number"),
        ({"max_signal_age_ms": 1500.5}, "Oldest trade to copy: a whole number"),
    ],
)
def test_a_limit_that_would_be_rounded_is_refused_in_words(filled: dict[str, Any], said: str) -> None:
    with pytest.raises(forms.FormError, match=said):
        forms.subscription_body(forms.DEFAULTS | filled)


@pytest.mark.parametrize("lots", [0, 0.01, 0.07, 0.29, 1, 12.34, 1000000.01])
def test_lots_on_the_grid_are_sent_exactly(lots: float) -> None:
    assert forms.subscription_body(forms.DEFAULTS | {"max_volume": lots})["max_volume"] == round(lots * 100)


def test_an_empty_limit_is_no_limit() -> None:
    body = forms.subscription_body(forms.DEFAULTS | {"max_volume": None, "max_positions": None})
    assert (body["max_volume"], body["max_positions"]) == (0, 0)


@pytest.mark.parametrize("mode", [4, 5])
def test_volumes_that_the_openapi_set_are_left_out(mode: int) -> None:
    body = forms.subscription_body(forms.DEFAULTS | {"volume_mode": mode, "max_positions": 3})
    assert body["max_positions"] == 3
    assert not {"volume_mode", "fixed_volume", "risk_multiplier", "allocation_percent", "ratio_multiplier"} & body.keys()


def test_a_closing_s_lots_are_those_of_its_symbol() -> None:
    grid = Grid([{"symbol": "BTCUSD", "digits": 2, "volume_per_lot": 10_000}])
    trade = dict.fromkeys(("deal", "order", "profit", "commission", "storage", "open_price", "close_price", "close_time"), 1)
    assert trade_row(trade | {"symbol": "BTCUSD", "side": "buy", "volume": 5000}, "USD", grid)["lots"] == "0.50"
    assert trade_row(trade | {"symbol": "GBPUSD", "side": "buy", "volume": 50}, "USD", grid)["lots"] == "0.50"
