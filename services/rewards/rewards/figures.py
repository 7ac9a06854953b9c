"""The rewards service's figures: accruals by state, and the settlements that stand still."""

from collections import Counter as Tally

from prometheus_client import Gauge
from shared.telemetry import show
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from rewards.settle import STATE_OF, Phase
from rewards.tables import accrual

ACCRUALS = Gauge("lockstep_accruals", "Accruals in the store, by the specification's state", ["state"])
FAILURES = Gauge("lockstep_settlement_failures", "Accruals whose settlement stands still, by where it stands", ["phase"])
STANDING = (Phase.OUT_REFUSED, Phase.DEAD, Phase.NO_RATE, Phase.IN_REFUSED, Phase.PARKED)


async def accruals(session: AsyncSession, _now: int) -> None:
    """Accruals by state and by failed phase, from the index on phases."""
    phases = {Phase(row[0]): row[1] for row in await session.execute(select(accrual.c.phase, func.count()).group_by(accrual.c.phase))}
    states: Tally[str] = Tally()
    for phase, number in phases.items():
        states[STATE_OF[phase].name.lower()] += number
    show(ACCRUALS, states)
    show(FAILURES, {phase.value: phases.get(phase, 0) for phase in STANDING})
