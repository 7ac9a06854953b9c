"""The stats service: closed trades, balance operations and daily equity in; what the marketplace ranks by out."""

from shared.bus.broker import Bus
from shared.contracts import config, links, rewards, stats, trades
from shared.service import Parts, Read, run
from shared.store.work import Store

from stats.flow import Flow
from stats.settings import StatsSettings
from stats.tell import snapshot


def main() -> None:
    settings = StatsSettings()

    async def build(store: Store, _bus: Bus) -> Parts:
        return parts(store, settings)

    run("stats", settings, build, writes=(stats.TOPIC,))


def parts(store: Store, settings: StatsSettings) -> Parts:
    """The service's parts."""
    flow = Flow(settings)

    async def turn() -> None:
        await flow.turn(store)

    return Parts(
        reads={
            config.TOPIC: Read(config.ConfigEvent, flow.on_config),
            trades.TOPIC: Read(trades.TradeEvent, flow.on_trades),
            links.TOPIC: Read(links.LinkEvent, flow.copying.on_links),
            rewards.TOPIC: Read(rewards.RewardEvent, flow.copying.on_accruals),
        },
        writes={stats.TOPIC: snapshot},
        tasks=[turn],
        on_prices=flow.on_prices,
    )


if __name__ == "__main__":
    main()
