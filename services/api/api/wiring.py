"""The api as a process: its doors, what it reads, and what it writes."""

import gc

from shared.bus.broker import Bus
from shared.contracts import config
from shared.contracts.stats import Prices
from shared.service import Parts, run
from shared.store.work import Store

from api import flow, turnover
from api.app import create_app
from api.context import Context
from api.manager.pushes import Pushes
from api.manager.tcp import LineServer
from api.settings import Settings

GC_ALLOCATIONS = 50_000
"""A fan-out's links are tens of thousands of rows without a cycle: looking for cycles more often takes a fifth of the time."""


def main() -> None:
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    settings = Settings()

    async def build(store: Store, bus: Bus) -> Parts:
        context = Context(store, settings)
        context.reader_places = bus.standings
        context.letters = bus.board
        if settings.former_secrets:
            await turnover.renew(store, context.vault)
        pushes = Pushes(store)
        lines = LineServer(context, pushes)

        async def on_prices(prices: Prices) -> None:
            context.prices.update((row.symbol, row) for row in prices.rows)

        return Parts(
            reads=pushes.reads(flow.READS),
            writes={config.TOPIC: flow.snapshot},
            app=create_app(store, settings, context),
            tasks=[context.prune_answers, context.hub.run, context.marketplace.run, pushes.run, lines.run],
            on_prices=on_prices,
        )

    run("api", settings, build, writes=(config.TOPIC,), sole_owner=False)
