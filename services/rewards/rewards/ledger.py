"""The double-entry journal: what a posting is, why it balances, how entries are chained, and how balances follow from them.

A posting names a source, a destination and one positive amount: it takes exactly what it gives, so no transaction made of postings can
be unbalanced (the idea is Formance's).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

GENESIS = "0" * 64
"""What the first entry follows."""


def follower(login: int) -> str:
    """A follower's money on the venue: what leaves it is negative here."""
    return f"follower:{login}"


def payout(login: int) -> str:
    """The account that a master's rewards are paid to."""
    return f"payout:{login}"


def payable(login: int) -> str:
    """Taken already, still owed to this login."""
    return f"payable:{login}"


def held(login: int) -> str:
    """Withheld from a follower until its netting period ends."""
    return f"held:{login}"


def suspense(login: int) -> str:
    """Owed to a login whose account takes it no more: for a person to decide."""
    return f"suspense:{login}"


def exchange(currency: str) -> str:
    """The house's side of a conversion."""
    return f"fx:{currency}"


def rounding(currency: str) -> str:
    """What conversions into whole minor units gained or lost."""
    return f"rounding:{currency}"


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount` whole minor units of one currency leave `source` and reach `destination`."""

    source: str
    destination: str
    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int or self.amount <= 0:
            raise ValueError(f"a posting moves a positive whole number of minor units, not {self.amount!r}")
        if not self.source or not self.destination or self.source == self.destination:
            raise ValueError(f"a posting needs two accounts, not {self.source!r} and {self.destination!r}")
        if not self.currency:
            raise ValueError("a posting needs a currency")


class Entry(NamedTuple):
    """A posting as it stands in the journal. `sequence` has no gap; `hash` covers `previous` and all the rest."""

    sequence: int
    accrual: int
    kind: str
    place: int
    source: str
    destination: str
    amount: int
    currency: str
    time_ms: int
    previous: str
    hash: str


def digest(entry: Entry) -> str:
    """The hash that an entry must have: SHA-256 over the hash before it and its own content."""
    content = "\n".join(str(part) for part in (entry.previous, *entry[:9]))
    return hashlib.sha256(content.encode()).hexdigest()


def chain(last: Entry | None, accrual: int, kind: str, postings: Iterable[Posting], time_ms: int) -> list[Entry]:
    """The entries that a transaction adds after the journal's last one."""
    entries: list[Entry] = []
    for place, posting in enumerate(postings):
        before = entries[-1] if entries else last
        sequence, previous = (before.sequence + 1, before.hash) if before else (1, GENESIS)
        source, destination, amount, currency = posting.source, posting.destination, posting.amount, posting.currency
        bare = Entry(sequence, accrual, kind, place, source, destination, amount, currency, time_ms, previous, "")
        entries.append(bare._replace(hash=digest(bare)))
    return entries


def fold(entries: Iterable[Posting | Entry]) -> dict[tuple[str, str], int]:
    """The balance of each (account, currency) that some postings come to, in minor units; accounts that stand at 0 are left out."""
    balances: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        balances[entry.source, entry.currency] -= entry.amount
        balances[entry.destination, entry.currency] += entry.amount
    return {key: amount for key, amount in balances.items() if amount}


def sums(balances: dict[tuple[str, str], int]) -> dict[str, int]:
    """The sum of all balances per currency: 0 in each, always."""
    totals: dict[str, int] = defaultdict(int)
    for (_, currency), amount in balances.items():
        totals[currency] += amount
    return dict(totals)
