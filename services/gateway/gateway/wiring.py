"""The gateway: the paper venue, its HTTP door, and the topics that it reads and tells on."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from shared.bus.broker import Bus
from shared.contracts import trades
from shared.contracts.stats import Prices
from shared.service import Parts, run
from shared.store.work import Store

from gateway import figures
from gateway.decide import DAY_MS
from gateway.flow import reads
from gateway.paper.feed import Feed
from gateway.paper.http import add_routes
from gateway.paper.venue import Keeping, PaperVenue
from gateway.settings import GatewaySettings


async def assemble(settings: GatewaySettings, store: Store, send: Callable[[Prices], Awaitable[None]]) -> Parts:
    """The gateway on a store that is open; `send` publishes prices."""
    keeping = Keeping(*(round(days * DAY_MS) for days in (settings.answer_days, settings.history_days)))
    venue = PaperVenue(store, settings.symbols(), settings.account_report_ms, keeping)
    await venue.prepare()
    app = FastAPI(title="Lockstep paper venue", docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(app, venue)

    async def tell_prices() -> None:
        await venue.tell_prices(send)

    tasks: list[Callable[[], Awaitable[None]]] = [venue.tend, tell_prices]
    if settings.feed_speed:
        tasks.append(Feed(venue, settings.feed_speed).run)
    return Parts(reads=reads(venue), writes={trades.TOPIC: venue.snapshot}, app=app, tasks=tasks, forget=venue.forget, told=figures.told)


def main() -> None:
    settings = GatewaySettings()

    async def build(store: Store, bus: Bus) -> Parts:
        async def send(prices: Prices) -> None:
            if hasattr(bus, "wire"):  # set once Redis has answered for the first time
                await bus.publish_prices(prices)

        return await assemble(settings, store, send)

    run("gateway", settings, build, writes=(trades.TOPIC,))
