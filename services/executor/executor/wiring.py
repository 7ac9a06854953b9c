"""The executor as a process: decides and sends copy orders."""

import asyncio
import gc
import hmac

import structlog
from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, Field
from shared.bus.broker import Bus
from shared.contracts import config, links, orders, rewards, trades
from shared.service import Parts, Read, run
from shared.store.work import Store, Work
from sqlalchemy.exc import DBAPIError

from executor import figures, reconcile, snapshots, timers
from executor.desk import Desk
from executor.flow import Flow
from executor.outgoing import Outgoing
from executor.reward_side import RewardEvent
from executor.settings import ExecutorSettings

log = structlog.get_logger()

RING_EVERY_S = 1.0
GC_ALLOCATIONS = 100_000
"""A fan-out makes tens of thousands of short-lived rows without a cycle: looking for cycles more often takes a third of its time."""
WRITES = (orders.TOPIC, links.TOPIC)


class Reconcile(BaseModel):
    """The accounts to compare with the venue."""

    logins: list[int] = Field(min_length=1, max_length=10_000)


def parts(settings: ExecutorSettings, store: Store) -> Parts:
    """What the executor is made of, whatever brings its topics."""
    desk = Desk(settings)
    flow = Flow(desk)

    async def orders_snapshot(work: Work) -> None:
        await snapshots.orders(desk, work)

    async def links_snapshot(work: Work) -> None:
        await snapshots.link_states(desk, work)

    return Parts(
        reads={
            config.TOPIC: Read(config.ConfigEvent, flow.on_config),
            trades.TOPIC: Read(trades.TradeEvent, flow.on_trades),
            rewards.TOPIC: Read(RewardEvent, flow.on_rewards),
        },
        writes={orders.TOPIC: orders_snapshot, links.TOPIC: links_snapshot},
        app=doors(settings, store, desk),
        tasks=[lambda: keep_ringing(store, desk)],
        on_prices=flow.on_prices,
        forget=desk.forget,
        told=figures.told,
        figures=(figures.links, figures.UnknownOrders(settings)),
    )


async def keep_ringing(store: Store, desk: Desk) -> None:
    """Rings each second, for ever; a fault of the store is waited out."""
    while True:
        await asyncio.sleep(RING_EVERY_S)
        try:
            async with store.work() as work:
                await timers.ring(desk, work)
        except DBAPIError as fault:
            log.warning("the timer waits for the store", fault=repr(fault))


def doors(settings: ExecutorSettings, store: Store, desk: Desk) -> FastAPI:
    """The service's own HTTP door: an operator may ask for a reconcile, with the secret that the services share."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/reconcile", include_in_schema=False)
    async def ask(wanted: Reconcile, response: Response, authorization: str = Header(default="")) -> dict[str, object]:
        if not hmac.compare_digest(authorization.encode(), settings.secret.get_secret_value().encode()):
            response.status_code = 401
            return {"error": "INVALID_SECRET"}
        async with store.work() as work:
            await desk.begin(work)
            out = Outgoing()
            await reconcile.begin(desk, out, wanted.logins)
            out.emit(work)
        return {"data": "OK"}

    return app


async def build(store: Store, bus: Bus) -> Parts:
    """The executor on its own store."""
    gc.set_threshold(GC_ALLOCATIONS, 50, 50)
    return parts(ExecutorSettings(), store)


def main() -> None:
    run("executor", ExecutorSettings(), build, WRITES)
