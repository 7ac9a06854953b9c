"""The demo's parts without a stack: rules of the masters, sums of what is read again and again, the table, the screen, the two doors."""

import asyncio
import dataclasses
import json
import os
from decimal import Decimal
from io import StringIO
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lockstep.cast import FOLLOWERS, MASTERS
from lockstep.client import Away, Customer, Denied, Door
from lockstep.figures import Tally
from lockstep.screen import Output, Screen
from lockstep.strategies import Close, Held, Open, Want, breakout, mean_reversion, moving_average_cross, orders, stops
from lockstep.table import FollowerFigures, MasterFigures, Snapshot, plain
from rich.console import Console


def prices(*values: int) -> list[Decimal]:
    return [Decimal(value) for value in values]


def test_a_moving_average_cross_holds_the_side_of_the_short_average() -> None:
    rule = moving_average_cross(2, 4)
    assert rule(prices(1, 2, 3)) is Want.STAY, "too few prices"
    assert rule(prices(1, 2, 3, 4)) is Want.BUY  # 3.5 over 2.5
    assert rule(prices(4, 3, 2, 1)) is Want.SELL
    assert rule(prices(2, 2, 2, 2)) is Want.STAY


def test_a_breakout_leaves_the_range_before_it() -> None:
    rule = breakout(3)
    assert rule(prices(9, 1, 3, 2)) is Want.STAY, "inside 1 to 9"
    assert rule(prices(9, 1, 2, 3, 4)) is Want.BUY, "the 9 is too long ago: above 1 to 3"
    assert rule(prices(5, 6, 7, 5)) is Want.STAY, "at the edge is not beyond it"
    assert rule(prices(5, 6, 7, 4)) is Want.SELL
    assert rule(prices(5, 6, 7)) is Want.STAY


def test_mean_reversion_fades_takes_half_and_ends_at_the_mean() -> None:
    rule = mean_reversion(4, Decimal("1.5"))
    # mean 12.5, mean deviation (2.5 * 3 + 7.5) / 4 = 3.75; 7.5 away is more than 5.625
    assert rule(prices(10, 10, 10, 20)) is Want.SELL
    assert rule(prices(20, 20, 20, 10)) is Want.BUY
    # mean 11.25, deviations 1.25 8.75 6.25 1.25 -> 4.375: 1.25 below is less than half of it, and it was below before
    assert rule(prices(10, 20, 5, 10)) is Want.HALF
    assert rule(prices(10, 8, 12, 10)) is Want.FLAT, "at the mean"
    assert rule(prices(10, 10, 10)) is Want.STAY


def test_orders_turn_what_is_held_into_what_is_wanted() -> None:
    long, short = Held(1, "buy", 100), Held(2, "sell", 100)
    assert orders(Want.STAY, [long], 100) == []
    assert orders(Want.FLAT, [long, short], 100) == [Close(1, 100), Close(2, 100)]
    assert orders(Want.BUY, [], 100) == [Open("buy", 100)]
    assert orders(Want.BUY, [long], 100) == [], "it is held already"
    assert orders(Want.BUY, [Held(1, "buy", 50)], 100) == [], "half of it is as good"
    assert orders(Want.SELL, [long], 100) == [Close(1, 100), Open("sell", 100)]
    assert orders(Want.SELL, [long, short], 100) == [Close(1, 100)]
    assert orders(Want.HALF, [long], 100) == [Close(1, 50)]
    assert orders(Want.HALF, [Held(1, "buy", 50)], 100) == [], "half was taken already"
    assert orders(Want.HALF, [Held(1, "buy", 1)], 1) == [], "one unit has no half"


def test_stops_are_on_the_symbol_s_grid_on_the_right_side() -> None:
    loss, gain = Decimal("0.004"), Decimal("0.006")
    # 46319.37 * 0.996 = 46134.09252, * 1.006 = 46597.28622
    assert stops("buy", Decimal("46319.37"), 2, loss, gain) == (Decimal("46134.09"), Decimal("46597.29"))
    # 46319.37 * 1.004 = 46504.64748, * 0.994 = 46041.45378
    assert stops("sell", Decimal("46319.37"), 2, loss, gain) == (Decimal("46504.65"), Decimal("46041.45"))
    assert stops("buy", Decimal("1.5"), 5, Decimal(0), Decimal(0)) == (Decimal(0), Decimal(0))


def test_the_cast_fits_together() -> None:
    keys = [role.key for role in (*MASTERS, *FOLLOWERS)]
    assert len(set(keys)) == len(keys) == 15
    assert len({role.reward["reward_type"] for role in MASTERS}) == 3
    masters = {role.key for role in MASTERS}
    for follower in FOLLOWERS:
        assert set(follower.copies) <= masters
        assert len(follower.copies) <= follower.follower.get("max_master_count", 1)


def row(number: int, state: int, at: int) -> dict[str, Any]:
    return {"id": number, "state": state, "updated_time": at, "amount": Decimal(10)}


def tally() -> Tally:
    return Tally({1}, lambda one: one["state"], lambda one: one["amount"])


def test_a_tally_counts_each_record_once_in_its_latest_state() -> None:
    sums = tally()
    sums.take([row(1, 0, 100), row(2, 0, 101)])
    assert (sums.totals(), sums.since) == ({0: Decimal(20)}, 101)
    sums.take([row(2, 0, 101)])  # the last second is read again
    sums.take([row(2, 1, 102), row(3, 0, 102)])
    assert sums.totals() == {0: Decimal(20), 1: Decimal(10)}
    sums.take([row(2, 1, 102), row(3, 1, 103)])
    assert sums.totals() == {0: Decimal(10), 1: Decimal(20)}


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=40), st.integers(1, 5))
def test_a_tally_is_right_however_often_the_last_second_is_read(changes: list[tuple[int, bool]], step: int) -> None:
    """Against the plain way: keep the latest of everything. A record in its final state does not change any more."""
    sums, latest = tally(), dict[int, dict[str, Any]]()
    for at, (number, final) in enumerate(changes):
        if number not in latest or latest[number]["state"] != 1:
            latest[number] = row(number, int(final), at // step)
        sums.take(one for one in latest.values() if one["updated_time"] >= sums.since)
    expected: dict[int, Decimal] = {}
    for one in latest.values():
        expected[one["state"]] = expected.get(one["state"], Decimal(0)) + 10
    assert sums.totals() == expected


SNAPSHOT = Snapshot(
    "06:23:05",
    {"GBPUSD": "1.57560"},
    (MasterFigures("Cable Trend", 100001, "GBPUSD", "25 a month", "sell 100", "49,136.00 USD", 36, 6, "-1.79", "41.80 USD"),),
    (FollowerFigures("anna", 100004, "trend", "all as it is", "50,000.00 USD", 1, 30, 2, 3, "skipped SYMBOL_FILTERED 100"),),
    158,
)


def test_figures_survive_their_way_as_json() -> None:
    assert Snapshot.of(json.loads(json.dumps(SNAPSHOT.raw()))) == SNAPSHOT


def test_the_plain_lines_hold_the_main_figures() -> None:
    assert plain(SNAPSHOT) == [
        "06:23:05  copies: 1 open, 30 closed, 2 skipped; last copy after 158 ms",
        "  Cable Trend: sell 100, equity 49,136.00 USD, 36 trades, ROI -1.79 %, rewards paid 41.80 USD",
    ]


@pytest.mark.parametrize(
    ("width", "there", "not_there"), [(80, "rewards paid", "settings"), (145, "settings", "login"), (170, "login", "settings and")]
)
def test_the_table_has_the_columns_that_there_is_room_for(width: int, there: str, not_there: str) -> None:
    out = StringIO()
    screen = Screen(Console(file=out, width=width, height=40, force_terminal=True, color_system=None))
    screen.line("demo", json.dumps(SNAPSHOT.raw()))
    screen.close()
    shown = out.getvalue()
    assert there in shown
    assert not_there not in shown
    for cell in ("Cable Trend", "sell 100", "41.80 USD", "anna", "skipped SYMBOL_FILTERED 100", "last copy after 158 ms", "GBPUSD 1.57560"):
        assert cell in shown, cell
    assert "…" not in shown


def test_without_a_terminal_every_line_has_its_program_s_name() -> None:
    out = StringIO()
    screen = Screen(Console(file=out, width=10, soft_wrap=True, highlight=False))
    screen.line("api", "\x1b[31mred\x1b[0m [bold]not markup[/bold] and long enough to be wrapped")
    screen.line("demo", json.dumps(SNAPSHOT.raw()))
    screen.line("demo", json.dumps(SNAPSHOT.raw()))
    assert out.getvalue().splitlines() == [
        "api      | red [bold]not markup[/bold] and long enough to be wrapped",
        "demo     | 06:23:05  copies: 1 open, 30 closed, 2 skipped; last copy after 158 ms",
        "demo     |   Cable Trend: sell 100, equity 49,136.00 USD, 36 trades, ROI -1.79 %, rewards paid 41.80 USD",
    ]


def answering(monkeypatch: pytest.MonkeyPatch, answers: list[httpx.Response | Exception]) -> tuple[Door, list[httpx.Request]]:
    """A door behind which these answers come, one after the other."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: real(**options, transport=httpx.MockTransport(answer)))
    return Door("http://door"), asked


def test_a_door_tells_away_from_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    door, asked = answering(
        monkeypatch,
        [
            httpx.ConnectError("refused"),
            httpx.Response(503, text="later"),
            httpx.Response(429, json={"error": "TOO_MANY_REQUESTS"}),
            httpx.Response(200, text="<html>"),
            httpx.Response(403, json={"error": "INVALID_ACCOUNT", "message": "not yours"}),
            httpx.Response(200, text='{"price": 1.57560}'),
        ],
    )

    async def calls() -> None:
        for _ in range(4):
            with pytest.raises(Away):
                await door.call("GET", "/x")
        with pytest.raises(Denied, match="403 INVALID_ACCOUNT not yours"):
            await door.call("GET", "/x")
        assert await door.call("POST", "/x", {"sl": Decimal("1.57560")}) == {"price": Decimal("1.57560")}
        await door.close()

    asyncio.run(calls())
    assert asked[-1].content == b'{"sl": 1.5756}'


def test_a_customer_logs_in_again_when_the_session_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    door, asked = answering(
        monkeypatch,
        [
            httpx.Response(200, json={"id": 7, "__token": "one"}),
            httpx.Response(200, json={"rows": []}),
            httpx.Response(401, json={"error": "INVALID_CUSTOMER_SESSION"}),
            httpx.Response(200, json={"id": 7, "__token": "two"}),
            httpx.Response(200, json={"rows": [1]}),
        ],
    )
    customer = Customer(door, "a@demo.example", "secret")

    async def calls() -> list[Any]:
        return [await customer.call("GET", "/copytrade/my") for _ in range(2)]

    assert asyncio.run(calls()) == [{"rows": []}, {"rows": [1]}]
    assert [request.headers.get("Authorization") for request in asked] == [None, "one", "one", None, "two"]


@pytest.mark.parametrize("what", ["pipe", "terminal"])
def test_a_screen_that_nobody_sees_any_more_says_so_once_and_is_silent(what: str) -> None:
    """`lockstep up | head -3`, and a session that was left with the stack in the background: lines and the table, whichever is first."""
    reading, writing = os.pipe() if what == "pipe" else os.openpty()
    os.close(reading)
    told: list[str] = []
    with os.fdopen(writing, "w") as file:
        screen = Screen(Output(file=file, highlight=False, soft_wrap=True), closed=lambda: told.append("closed"))
        for _ in range(3):
            screen.line("demo", json.dumps(dataclasses.asdict(Snapshot())))
            screen.line("api", "a line")
        screen.close()
    assert told == ["closed"]
