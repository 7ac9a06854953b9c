"""What the gateway asks of a trading venue. The paper venue is one; another is a module of its own that satisfies this Protocol."""

from collections.abc import Sequence
from typing import Protocol

from shared.contracts.config import ConfigEvent
from shared.contracts.orders import CancelCopies, CloseCopies, OpenCopies, PlaceCopies, ProtectCopies, ReplaceCopies, SyncAccounts
from shared.contracts.rewards import BalancesRequested
from shared.store.work import Work

CopyTable = OpenCopies | CloseCopies | ProtectCopies | PlaceCopies | ReplaceCopies | CancelCopies
"""The orders of copying: each row has a client order id that is derived from it."""


class Venue(Protocol):
    """A venue carries out what it is asked, once per client id, and tells on `trade.push` what came of it.

    All methods run inside a unit of work. A row that cannot be carried out is answered (`order.rejected`, `balance.refused`), never
    raised; a row that was carried out before has no second effect and gets the same answer again. A venue whose book lives elsewhere
    writes down what it is asked and sends it after the commit; until it has an answer, the outcome is unknown, never failed.
    """

    async def carry_out(self, table: CopyTable, work: Work) -> None:
        """Opens, closes, changes, places, replaces or cancels copies: a table of up to 500 rows."""
        ...

    async def sync(self, request: SyncAccounts, work: Work) -> None:
        """Tells all positions and pending orders of the accounts (`account.positions`, under the request's id)."""
        ...

    async def settle(self, request: BalancesRequested, work: Work) -> None:
        """Carries out balance operations that settle rewards (`balance.changed`, `balance.refused`)."""
        ...

    async def follow(self, changes: Sequence[ConfigEvent], work: Work) -> None:
        """Takes over what the configuration says of followers' manual trading and of halts."""
        ...

    async def snapshot(self, work: Work) -> None:
        """Tells the venue's whole state again: symbols, accounts, positions and pending orders."""
        ...

    def forget(self) -> None:
        """A unit of work was given up: what memory knows has to be loaded again."""
        ...
