"""Billing by periods: what is due at the end, or at the beginning, of each."""

from collections.abc import Iterable, Sequence

from shared.contracts.rewards import StandingRow
from shared.contracts.trades import BalanceRow
from shared.store.work import Work

from rewards.known import Known
from rewards.settings import RewardsSettings
from rewards.settlement import Changes, Settlement


class Billing:
    """The periods of every subscription."""

    def __init__(self, settings: RewardsSettings, settlement: Settlement) -> None:
        self._settings = settings
        self._settlement = settlement
        self._heard_ms = 0

    def heard(self, sent_ms: int) -> None:
        self._heard_ms = max(self._heard_ms, sent_ms)

    async def wake(self, work: Work, known: Known, subscriptions: Iterable[int]) -> None:
        return

    async def flows(self, work: Work, known: Known, rows: Sequence[BalanceRow], time_ms: int) -> None:
        return

    async def equities(self, work: Work, known: Known, logins: Sequence[int], time_ms: int) -> None:
        return

    async def tick(self, work: Work, known: Known, caught_up: bool, changes: Changes) -> bool:
        return False

    async def standings(self, work: Work, known: Known) -> None:
        return

    async def all_standings(self, work: Work, known: Known) -> list[StandingRow]:
        return []
