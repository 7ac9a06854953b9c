"""An account as statistics know it: where its NAV stands, what it holds, and what each observation or balance operation changes.

Days only go forward: what is told with an earlier time than what is known already counts to the day that has begun.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from stats import nav
from stats.amounts import bounded
from stats.nav import Chain

OPENING, FLOW, BUST, REBASE = "opening", "external", "bust", "rebase"
"""The links of a chain, by which it can be followed again: the first equity, a flow, an epoch's end, an unexplained equity."""


class Link(NamedTuple):
    """One link of an account's chain: at a flow, `amount` is what it added to the equity, which then was `equity`; at an equity that is
    not explained, `amount` is the equity before it. Units of 1e-8."""

    kind: str
    day: int
    amount: int
    equity: int


class DayEnd(NamedTuple):
    """The snapshot at a day's end. `held`: with open positions, so that the next day's equity is not known until it is told."""

    login: int
    day: int
    equity: int
    nav: Decimal
    epoch: int
    alive: int
    held: int
    quality: int


class Inception(NamedTuple):
    """The snapshot that an account's history begins with: before its first day, or an imported one at the end of `day`."""

    day: int
    nav: Decimal
    equity: int
    epoch: int


@dataclass(slots=True)
class Standing:
    """One account. Amounts are units of 1e-8 of its currency; `equity` is without credit."""

    login: int
    customer_id: int
    mode: str
    currency: str
    inception: Inception
    chain: Chain
    day: int
    equity: int
    balance: int
    held: int
    quality: int
    epoch_equity: int
    """What the present epoch began with."""
    day_base: int
    """What the account had when the day began, and what was paid in since: what a day's copied profit is measured on. A withdrawal does
    not take from it: on the little that is left of an emptied account, any result would be a huge return."""
    suspect: int = 0
    """Events were lost: the next observation may hide a flow."""
    links: list[Link] = field(default_factory=list)
    ends: list[DayEnd] = field(default_factory=list)
    """What has come about and is not stored yet."""

    def nav(self, min_base: int) -> Decimal:
        return nav.value(self.chain, self.equity, min_base)

    def end_of_day(self, min_base: int) -> DayEnd:
        """The snapshot as it would be if the day ended now."""
        chain = self.chain
        return DayEnd(
            self.login, self.day, self.equity, self.nav(min_base), chain.epoch, int(chain.alive), int(bool(self.held)), self.quality
        )

    def roll(self, day: int, min_base: int) -> None:
        """Ends the days before `day`. What has grown from less than the least base by then is measured from here on."""
        if day <= self.day:
            return
        self.ends.append(self.end_of_day(min_base))
        self.day, self.day_base, self.quality = day, max(self.equity, 0), nav.EXACT_QUALITY
        if self.chain.alive and self.chain.equity < max(min_base, 1) <= self.equity:
            self.chain = nav.rebase(self.chain, self.chain.nav, self.equity)
            self.links.append(Link(REBASE, day, self.equity, self.equity))

    def see(self, day: int, equity: int, balance: int, held: int, min_base: int) -> None:
        """An observation of the account."""
        self.roll(day, min_base)
        if self.suspect and balance != self.balance:
            self.chain = nav.rebase(self.chain, self.nav(min_base), equity)
            self.quality = nav.BROKEN_QUALITY
            self.links.append(Link(REBASE, self.day, self.equity, equity))
        self.suspect = 0
        self.equity, self.balance, self.held = equity, balance, held
        if nav.is_bust(self.chain, equity, min_base):
            self.chain = nav.bust(self.chain)
            self.links.append(Link(BUST, self.day, 0, equity))

    def paid(self, day: int, amount: int, equity: int, balance: int, min_base: int) -> bool:
        """The owner put `amount` in (took it out), which left `equity`; False when it only announces what the account began with."""
        self.roll(day, min_base)
        first = not self.held and amount > 0 and amount == equity == self.equity == self.chain.equity
        if first and self.chain.nav == nav.ONE and self.inception.equity == equity:
            return False  # the venue told of the account with its first deposit in it, then of the deposit itself
        epoch = self.chain.epoch
        unfunded = self.chain.alive and self.chain.equity == 0 and self.chain.nav == nav.ONE
        self.chain = nav.flow(self.chain, amount, equity, min_base)
        self.links.append(Link(FLOW, self.day, amount, equity))
        self.equity, self.balance = equity, balance
        self.day_base = bounded(self.day_base + max(amount, 0))
        if self.chain.epoch != epoch or unfunded:
            self.epoch_equity = max(equity, 0)
        if unfunded and self.inception.equity == 0:
            self.inception = self.inception._replace(equity=max(equity, 0), day=self.day - 1)
        return True

    def moved(self, day: int, equity: int, balance: int, min_base: int) -> None:
        """A charge, interest or another operation that is a result of the account: its equity simply moved."""
        self.roll(day, min_base)
        self.equity, self.balance = equity, balance
        if nav.is_bust(self.chain, equity, min_base):
            self.chain = nav.bust(self.chain)
            self.links.append(Link(BUST, self.day, 0, equity))


def begin(login: int, customer_id: int, mode: str, currency: str, day: int, equity: int, balance: int, held: int) -> Standing:
    """An account that is seen for the first time: what it has is what it begins with."""
    start = max(equity, 0)
    return Standing(
        login=login,
        customer_id=customer_id,
        mode=mode,
        currency=currency,
        inception=Inception(day - 1, nav.ONE, start, 1),
        chain=Chain(equity=start),
        day=day,
        equity=equity,
        balance=balance,
        held=held,
        quality=nav.EXACT_QUALITY,
        epoch_equity=start,
        day_base=start,
        links=[Link(OPENING, day, start, start)],
    )


def replay(links: list[Link], snapshots: list[DayEnd], min_base: int) -> tuple[list[DayEnd], Chain]:
    """The day ends and the chain again, from its links and the equity of each snapshot alone: what `roll` made, to the last digit."""
    chain, at = Chain(), 0
    again = []
    for end in snapshots:
        while at < len(links) and links[at].day <= end.day:
            chain = _follow(chain, links[at], min_base)
            at += 1
        again.append(end._replace(nav=nav.value(chain, end.equity, min_base), epoch=chain.epoch, alive=int(chain.alive)))
    for link in links[at:]:
        chain = _follow(chain, link, min_base)
    return again, chain


def _follow(chain: Chain, link: Link, min_base: int) -> Chain:
    match link.kind:
        case "opening":
            return Chain(equity=link.equity)
        case "bust":
            return nav.bust(chain)
        case "rebase":
            return nav.rebase(chain, nav.value(chain, link.amount, min_base), link.equity)
        case _:
            return nav.flow(chain, link.amount, link.equity, min_base)
