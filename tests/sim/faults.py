"""What may go wrong in a simulated run, how often, and how large a run is."""

from dataclasses import dataclass, field

from tests.sim.venue import Line

BAD_LINE = Line(dropped=0.08, away=0.05, late=0.05)


@dataclass(frozen=True)
class Faults:
    """How likely each fault is, at a seam or at a step."""

    stop: float = 0.012
    """At a commit, before or after it, and at an operation of the stream server, before or after it: the process ends."""
    stop_inside: float = 0.0015
    """At a statement that writes: the process ends in the middle of a handler."""
    away: float = 0.02
    """At an operation of the stream server: it does not answer, before or after it did what it was asked."""
    store: float = 0.0005
    """At a statement that writes: the database answers with an error."""
    reply: float = 0.1
    """A customer's call is carried out and its answer lost: it is made again."""
    slow: float = 0.4
    """In a stage: a reader is handed nothing until the other faults are over and all others have gone on."""
    read: float = 0.3
    """A read brings entries from before the reader's place, leaves some out, or brings them in another order."""
    kill: float = 0.6
    flush: float = 0.5
    delete: float = 0.6
    cut: float = 1.2
    trim: float = 2.5
    jump: float = 0.5
    newcomer: float = 0.6
    """Weights of steps: a service ends, the streams are gone, one is gone, cut or trimmed too far, a clock jumps, a new reader comes."""
    line: Line = BAD_LINE


CALM = Faults(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, Line())


@dataclass(frozen=True)
class Plan:
    """How large a run is: so many trades at most; in each stage so many steps of faults for each of them and one more, beside what the
    customers do, and so many turns in which everything is handed on, under faults still."""

    trades: int = 4
    steps: int = 4
    turns: int = 2
    faults: Faults = Faults()


PLAN = Plan()
QUICK = Plan(trades=1, steps=2, turns=1)
"""Half the time of the usual one: those of `make test`. One trade alone finds the planted bugs, too, and what waits for ever sooner."""


@dataclass
class Result:
    """What came of a seed; `wrong` is empty when all is as it must be."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    steps: int = 0
    stops: int = 0
    rounds: int = 0
    seams: int = 0
    trades: int = 0
