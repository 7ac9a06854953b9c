"""A trade link's life as a table (phase, event) -> phase, and how much of a copy is to be left after the master has closed a part."""

from shared.contracts.links import LinkState

SKIPPED, OPENING, PENDING, OPEN, CLOSING = "skipped", "opening", "pending", "open", "closing"
CLOSED, REJECTED, DETACHED, CANCELLED = "closed", "rejected", "detached", "cancelled"

OPEN_SENT, PLACE_SENT, FILLED, CLOSE_SENT = "open_sent", "place_sent", "filled", "close_sent"
CLOSE_REFUSED, CLOSE_LOST = "close_refused", "close_lost"
GONE, REFUSED, LET_GO, WITHDRAWN = "gone", "refused", "let_go", "withdrawn"

TRANSITIONS: dict[tuple[str, str], str] = {
    # a follower who asks for existing positions may get what was skipped before
    (SKIPPED, OPEN_SENT): OPENING,
    (SKIPPED, PLACE_SENT): PENDING,
    (OPENING, FILLED): OPEN,
    (OPENING, REFUSED): REJECTED,
    (OPENING, CLOSE_SENT): CLOSING,
    (OPENING, LET_GO): DETACHED,
    (OPENING, GONE): CLOSED,
    (PENDING, FILLED): OPEN,
    (PENDING, REFUSED): REJECTED,
    (PENDING, WITHDRAWN): CANCELLED,
    (PENDING, OPEN_SENT): OPENING,
    (PENDING, LET_GO): DETACHED,
    (OPEN, CLOSE_SENT): CLOSING,
    (OPEN, GONE): CLOSED,
    (OPEN, LET_GO): DETACHED,
    (CLOSING, FILLED): CLOSING,
    (CLOSING, REFUSED): REJECTED,
    (CLOSING, CLOSE_REFUSED): OPEN,
    # refused because the venue has not opened it yet
    (CLOSING, CLOSE_LOST): OPENING,
    (CLOSING, GONE): CLOSED,
    (CLOSING, LET_GO): DETACHED,
    # an opening that was refused because nobody knew its outcome, or a pending copy withdrawn too late: what is there is taken up;
    # or one that was decided on before this store was lost, and skipped when it was decided on again
    (REJECTED, FILLED): OPEN,
    (CANCELLED, FILLED): OPEN,
    (SKIPPED, FILLED): OPEN,
}
"""What is not in the table changes nothing: a repeated or late answer."""

ACTIVE = frozenset({OPENING, PENDING, OPEN, CLOSING})

STATES = {
    SKIPPED: LinkState.CANCELLED,
    OPENING: LinkState.ACTIVE,
    PENDING: LinkState.ACTIVE,
    OPEN: LinkState.ACTIVE,
    CLOSING: LinkState.ACTIVE,
    CLOSED: LinkState.CLOSED,
    REJECTED: LinkState.FAILED,
    DETACHED: LinkState.CANCELLED,
    CANCELLED: LinkState.CANCELLED,
}
"""The specification's state of each phase."""


def after(phase: str, event: str) -> str:
    """The phase after an event; the same phase when the event means nothing to it."""
    return TRANSITIONS.get((phase, event), phase)


def remaining(follower_initial: int, master_now: int, master_initial: int) -> int:
    """What is to be left of a copy: the nearest to its share of the master's, a half rounded down (formulas.md section 2).

    `floor((2 * F0 * m + M0 - 1) / (2 * M0))`: absolute against the initial volumes, so that a slice that is told twice, late or
    never does no harm.
    """
    return (2 * follower_initial * master_now + master_initial - 1) // (2 * master_initial)


def target(follower_initial: int, follower_now: int, master_now: int, master_initial: int, smallest: int, step: int, dust: str) -> int:
    """The volume that is to be left open: on the step, never more than there is, and never a residue that the symbol forbids.

    `dust` says what becomes of a target below the symbol's minimum: `close_dust` closes it, `keep_min` keeps the minimum.
    """
    if master_now <= 0:
        return 0
    wanted = remaining(follower_initial // step, master_now, master_initial) * step
    if 0 < wanted < smallest:
        wanted = 0 if dust == "close_dust" else smallest
    left = min(follower_now, wanted)
    return 0 if left < smallest else left
