"""The settlement of an accrual as a table: OUT from the payer, then IN to the payee, never a second OUT.

due ──► out_sent ──ok──► in_sent ──ok──► done
          │  ▲             │  ▲  └─final─► parked
  refused │  │ retry       │  │ retry
          ▼  │             ▼  │
      out_refused      in_refused, no_rate        held: taken, waits for its netting period's end
          └─final──► dead
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from shared.contracts.rewards import AccrualState


class Phase(StrEnum):
    """Where a settlement is; `STATE_OF` gives the specification's state."""

    NOTHING = "nothing"
    """Nothing is due, or it was voided before anything was taken."""
    WAITS = "waits"
    """A refund that waits until what it gives back has been taken."""
    OUT_SENT = "out_sent"
    OUT_REFUSED = "out_refused"
    DEAD = "dead"
    """Refused for good, or too often: nothing was taken."""
    HELD = "held"
    NO_RATE = "no_rate"
    """Taken; no price is known yet to convert it at."""
    IN_SENT = "in_sent"
    IN_REFUSED = "in_refused"
    PARKED = "parked"
    """Taken, and refused by the payee's account for good: in suspense."""
    DONE = "done"


class Fact(StrEnum):
    """What happens to a settlement."""

    OUT_OK = "out_ok"
    OUT_REFUSED = "out_refused"
    OUT_REFUSED_FINAL = "out_refused_final"
    IN_OK = "in_ok"
    IN_REFUSED = "in_refused"
    IN_REFUSED_FINAL = "in_refused_final"
    TIME = "time"
    """The answer window is over, or the next attempt is due."""
    GIVE_UP = "give_up"
    """The last attempt that the settings allow was refused."""
    VOID = "void"


STATE_OF: Mapping[Phase, AccrualState] = MappingProxyType(
    {
        Phase.NOTHING: AccrualState.CANCELLED,
        Phase.WAITS: AccrualState.PENDING,
        Phase.OUT_SENT: AccrualState.PENDING,
        Phase.OUT_REFUSED: AccrualState.FAILED,
        Phase.DEAD: AccrualState.FAILED,
        Phase.HELD: AccrualState.CHARGED,
        Phase.NO_RATE: AccrualState.CHARGED,
        Phase.IN_SENT: AccrualState.CHARGED,
        Phase.IN_REFUSED: AccrualState.CHARGED,
        Phase.PARKED: AccrualState.CHARGED,
        Phase.DONE: AccrualState.PAID,
    }
)

TAKEN = frozenset({Phase.HELD, Phase.NO_RATE, Phase.IN_SENT, Phase.IN_REFUSED, Phase.PARKED, Phase.DONE})
"""Phases in which the OUT has been carried out."""
UNTAKEN = frozenset({Phase.NOTHING, Phase.DEAD})
"""Over, with nothing taken."""
FINAL = frozenset({Phase.NOTHING, Phase.DEAD, Phase.PARKED, Phase.DONE})

# An OUT that is reported late counts from wherever the money was believed not to have moved; once it has, no refusal takes it back.
_MOVES: Mapping[tuple[Phase, Fact], Phase] = MappingProxyType(
    {
        (Phase.WAITS, Fact.TIME): Phase.OUT_SENT,
        (Phase.WAITS, Fact.VOID): Phase.NOTHING,
        (Phase.NOTHING, Fact.TIME): Phase.OUT_SENT,  # a refund that had lapsed with what was taken after all
        (Phase.OUT_SENT, Fact.OUT_OK): Phase.IN_SENT,
        (Phase.OUT_SENT, Fact.OUT_REFUSED): Phase.OUT_REFUSED,
        (Phase.OUT_SENT, Fact.OUT_REFUSED_FINAL): Phase.DEAD,
        (Phase.OUT_SENT, Fact.TIME): Phase.OUT_SENT,
        (Phase.OUT_REFUSED, Fact.OUT_OK): Phase.IN_SENT,
        (Phase.OUT_REFUSED, Fact.OUT_REFUSED_FINAL): Phase.DEAD,
        (Phase.OUT_REFUSED, Fact.TIME): Phase.OUT_SENT,
        (Phase.OUT_REFUSED, Fact.GIVE_UP): Phase.DEAD,
        (Phase.OUT_REFUSED, Fact.VOID): Phase.NOTHING,
        (Phase.DEAD, Fact.OUT_OK): Phase.IN_SENT,
        (Phase.NOTHING, Fact.OUT_OK): Phase.IN_SENT,
        (Phase.HELD, Fact.TIME): Phase.IN_SENT,
        (Phase.NO_RATE, Fact.TIME): Phase.IN_SENT,
        (Phase.IN_SENT, Fact.IN_OK): Phase.DONE,
        (Phase.IN_SENT, Fact.IN_REFUSED): Phase.IN_REFUSED,
        (Phase.IN_SENT, Fact.IN_REFUSED_FINAL): Phase.PARKED,
        (Phase.IN_SENT, Fact.TIME): Phase.IN_SENT,
        (Phase.IN_REFUSED, Fact.IN_OK): Phase.DONE,
        (Phase.IN_REFUSED, Fact.IN_REFUSED_FINAL): Phase.PARKED,
        (Phase.IN_REFUSED, Fact.TIME): Phase.IN_SENT,
    }
)


def move(phase: Phase, fact: Fact) -> Phase:
    """The phase after a fact. A fact that has no place in a phase (an answer told twice, or too late to matter) changes nothing."""
    return _MOVES.get((phase, fact), phase)


def changes(phase: Phase, fact: Fact) -> bool:
    """Whether a fact has a place in a phase, even one that leads back to the same phase."""
    return (phase, fact) in _MOVES


def wait_ms(schedule_s: tuple[int, ...], tries: int) -> int:
    """How long to wait after the `tries`-th refusal, milliseconds."""
    return schedule_s[min(max(tries, 1), len(schedule_s)) - 1] * 1000
