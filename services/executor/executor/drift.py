"""How a link and what the venue holds for it can differ: pure."""

from typing import Literal, NamedTuple

from executor import links
from executor.records import LinkRecord

Finding = Literal["missing", "volume", "stops"]

UNSETTLED = frozenset({links.OPENING, links.CLOSING, links.PENDING, links.REJECTED, links.CANCELLED, links.SKIPPED})
"""Phases in which a position may yet turn out to exist."""


class Held(NamedTuple):
    """What the venue holds of a copy; prices in 1e-8."""

    volume: int
    sl: int
    tp: int


def of_link(link: LinkRecord, held: Held | None, wanted: tuple[int, int], *, resting: bool) -> list[Finding]:
    """The differences of one active link, whose stops should be as `wanted`.

    An order of ours that is in flight explains a difference: it is looked at again later.
    """
    if link.phase == links.PENDING:
        confirmed = link.follower_order != 0 and not link.sent_ms
        return ["missing"] if confirmed and not resting and held is None else []
    if link.follower_order == 0:
        return []  # the opening has no answer yet: the timer asks for it under its own id
    closing = link.close_volume if link.sent_ms else 0
    if held is None:
        # Our close of the whole has no answer yet: it is asked for, since only the answer tells at which price, and whose close it was.
        return [] if closing and closing == link.volume_now else ["missing"]
    findings: list[Finding] = []
    if held.volume not in {link.volume_now, link.volume_now - closing} or (
        held.volume > link.target and not link.close_volume and not link.sent_ms
    ):
        findings.append("volume")
    if (held.sl, held.tp) != wanted and not link.protect_ms and link.phase == links.OPEN:
        findings.append("stops")
    return findings
