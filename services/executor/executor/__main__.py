"""The executor as a process: decides and sends copy orders."""

from shared.bus.broker import Bus
from shared.contracts import config, links, orders, trades
from shared.service import Parts, Read, run
from shared.store.work import Store, Work

from executor import snapshots
from executor.desk import Desk
from executor.flow import Flow
from executor.settings import ExecutorSettings

WRITES = (orders.TOPIC, links.TOPIC)


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
        },
        writes={orders.TOPIC: orders_snapshot, links.TOPIC: links_snapshot},
        on_prices=flow.on_prices,
        forget=desk.forget,
    )


async def build(store: Store, bus: Bus) -> Parts:
    """The executor on its own store."""
    return parts(ExecutorSettings(), store)


if __name__ == "__main__":
    run("executor", ExecutorSettings(), build, WRITES)
