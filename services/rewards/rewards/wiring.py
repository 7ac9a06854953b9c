"""Runs the rewards service."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter
from shared.bus.broker import Bus
from shared.bus.reader import SURROUNDINGS
from shared.contracts import config, rewards, trades
from shared.service import Parts, Read, run
from shared.store.work import Store, Work

from rewards import figures
from rewards.flow import Rewards
from rewards.settings import RewardsSettings

log = structlog.get_logger()

TIMER_FAULTS = Counter("lockstep_rewards_timer_faults", "Turns of the timer that failed by themselves", ["what"])
READS = (config.TOPIC, trades.TOPIC)
CALM_TURNS = 3
"""Turns of the timer without a backlog after which the topics count as read to their end: a lag is looked at each second."""

EXPECT_EVERY_S = 5.0
"""How often the running periods' expected fees are reckoned in a backlog: money comes before what is only shown."""


async def build(settings: RewardsSettings, store: Store, bus: Bus) -> Parts:
    """The service's parts: two topics, one written topic, and the timer."""
    service = Rewards(settings)
    async with store.work() as work:
        await service.known(work)

    async def timer() -> None:
        calm, expected_at = 0, 0.0
        while True:
            await asyncio.sleep(settings.timer_s)
            lag = bus.lag()
            read_whole = all(lag.get(topic, 1) == 0 for topic in READS) and not bus.stuck()
            calm = calm + 1 if read_whole else 0
            caught_up = calm >= CALM_TURNS
            await _until_done(store, service.settle, "settlement")
            await _until_done(store, lambda work: service.bill(work, caught_up), "billing")  # noqa: B023  (awaited before it changes)
            if caught_up or time.monotonic() - expected_at >= EXPECT_EVERY_S:
                await _until_done(store, service.expect, "expected fees", once=not caught_up)
                expected_at = time.monotonic()

    return Parts(
        reads={config.TOPIC: Read(config.ConfigEvent, service.on_config), trades.TOPIC: Read(trades.TradeEvent, service.on_trades)},
        writes={rewards.TOPIC: service.snapshot},
        tasks=[timer],
        on_prices=service.on_prices,
        forget=service.forget,
        figures=(figures.accruals,),
    )


async def _until_done(store: Store, turn: Callable[[Work], Awaitable[bool]], what: str, once: bool = False) -> None:
    """Turns in a transaction each while there is more to do; `once`: not more than one.

    What goes wrong is told and tried again at the next look: settlement must not stand still because of one subscription's bill, nor the
    reading of topics because of either.
    """
    try:
        more = True
        while more:
            async with store.work() as work:
                more = await turn(work) and not once
    except SURROUNDINGS as fault:
        log.warning("the timer waits for its surroundings", what=what, fault=repr(fault))
    except Exception:
        TIMER_FAULTS.labels(what).inc()
        log.exception("the timer's turn failed", what=what)


def main() -> None:
    settings = RewardsSettings()
    run("rewards", settings, lambda store, bus: build(settings, store, bus), writes=(rewards.TOPIC,))
