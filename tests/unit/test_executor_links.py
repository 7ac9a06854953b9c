"""A link's life: what follows what, and what changes nothing."""

import pytest
from executor import links
from executor.amounts import UNIT
from executor.desk import GuardFacts
from executor.drift import Held, of_link
from executor.guards import DAY_MS, measure
from executor.links import ACTIVE, STATES, TRANSITIONS, after
from executor.records import LinkRecord
from shared.contracts.links import LinkState


def link(**fields: object) -> LinkRecord:
    values: dict[str, object] = dict.fromkeys(LinkRecord.__slots__, 0)
    values |= {"phase": "open", "reason": "", "kind": "position", "symbol": "EURUSD", "side": "buy", "close_reason": ""}
    values |= {"follower_order": 5, "volume": 10, "volume_now": 10, "target": 10}
    return LinkRecord(**(values | fields))  # type: ignore[arg-type]


def test_every_phase_has_a_state_and_ends_stay() -> None:
    phases = {phase for phase, _ in TRANSITIONS} | set(TRANSITIONS.values())
    assert phases == set(STATES)
    assert {phase for phase in phases if STATES[phase] is LinkState.ACTIVE} == ACTIVE
    assert not [event for phase, event in TRANSITIONS if phase in {links.CLOSED, links.DETACHED}], "what is over stays over"


@pytest.mark.parametrize("phase", sorted(STATES))
def test_a_late_fill_never_opens_what_is_over(phase: str) -> None:
    reopened = after(phase, links.FILLED)
    assert (reopened in ACTIVE) == (phase in {*ACTIVE, links.REJECTED, links.CANCELLED, links.SKIPPED})


@pytest.mark.parametrize(
    ("fields", "held", "resting", "found"),
    [
        ({}, Held(10, 0, 0), False, []),
        ({}, None, False, ["missing"]),
        ({}, Held(8, 0, 0), False, ["volume"]),
        ({"target": 5}, Held(10, 0, 0), False, ["volume"]),
        ({"target": 5, "close_volume": 5, "sent_ms": 1}, Held(10, 0, 0), False, []),
        ({"target": 0, "close_volume": 10, "sent_ms": 1}, None, False, []),
        ({"target": 0, "close_volume": 4, "sent_ms": 1}, None, False, ["missing"]),
        ({"target": 0, "close_volume": 10}, None, False, ["missing"]),
        ({"target": 6, "close_volume": 4, "sent_ms": 1}, Held(6, 0, 0), False, []),
        ({"target": 6, "close_volume": 4, "sent_ms": 1}, Held(7, 0, 0), False, ["volume"]),
        ({"want_sl": 9}, Held(10, 8, 0), False, ["stops"]),
        ({"want_sl": 9, "protect_ms": 1}, Held(10, 8, 0), False, []),
        ({"phase": "opening", "follower_order": 0}, None, False, []),
        ({"phase": "pending", "kind": "limit"}, None, True, []),
        ({"phase": "pending", "kind": "limit"}, None, False, ["missing"]),
        ({"phase": "pending", "kind": "limit", "follower_order": 0}, None, False, []),
    ],
)
def test_what_counts_as_a_difference(fields: dict[str, object], held: Held | None, resting: bool, found: list[str]) -> None:
    own = link(**fields)
    assert of_link(own, held, (own.want_sl, own.want_tp), resting=resting) == found


def test_stops_for_losses_by_hand() -> None:
    """10,000 at the start of the day, 5 %: 9,500 stops, 9,500.01 does not. From a peak of 12,000, 25 %: 9,000 stops.
    The next day begins from the last equity of the day before."""
    guard = GuardFacts(1, 1000, 2001, 5 * UNIT, 0, "halt", 0, 20, 10_000 * UNIT, 10_000 * UNIT, 0, "")
    assert measure(guard, 0, 9_500 * UNIT, 20 * DAY_MS + 5).reason == "DAILY_LOSS"
    assert measure(guard, 0, 9_500 * UNIT + UNIT // 100, 20 * DAY_MS + 5).reason == ""
    assert measure(guard, 9_400 * UNIT, 9_300 * UNIT, 21 * DAY_MS).day_start == 9_400 * UNIT
    fall = GuardFacts(1, 1000, 2001, 0, 25 * UNIT, "halt", 0, 20, 10_000 * UNIT, 12_000 * UNIT, 0, "")
    assert measure(fall, 0, 9_000 * UNIT, 20 * DAY_MS).reason == "DRAWDOWN"
    assert measure(fall, 0, 9_001 * UNIT, 20 * DAY_MS).reason == ""
