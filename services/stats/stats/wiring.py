"""The stats service: closed trades, balance operations and daily equity in; what the marketplace ranks by out."""

from shared.bus.broker import Bus
from shared.contracts import config, links, rewards, stats, trades
from shared.service import Parts, Read, run
from shared.settings import UnsafeSettingsError
from shared.store.work import Store

from stats.flow import Flow
from stats.settings import StatsSettings
from stats.store import days_zone, keep_min_base
from stats.tell import snapshot


def main() -> None:
    settings = StatsSettings()

    async def build(store: Store, _bus: Bus) -> Parts:
        await keep_settings(store, settings)
        return parts(store, settings)

    run("stats", settings, build, writes=(stats.TOPIC,))


async def keep_settings(store: Store, settings: StatsSettings) -> None:
    """Keeps in the store what an import has to count with, wherever it runs.

    A store's days are those of the zone that it was first counted in: raises UnsafeSettingsError when the setting says another.
    """
    async with store.work() as work:
        zone = await days_zone(work.session, settings)
        await keep_min_base(work.session, settings.stats_min_base)
    if zone != settings.broker_timezone:
        told = settings.broker_timezone
        raise UnsafeSettingsError(f"the days in the statistics' store end at midnight in {zone}, LOCKSTEP_BROKER_TIMEZONE says {told}")


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
