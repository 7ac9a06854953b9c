"""The gateway's handlers: what comes in on the topics is handed to the venue, event by event."""

from shared.bus.reader import Received
from shared.contracts import config, orders, rewards
from shared.contracts.config import ConfigEvent
from shared.contracts.orders import OrderEvent, SyncAccounts
from shared.contracts.rewards import BalancesRequested, RewardEvent
from shared.service import Read
from shared.store.work import Work

from gateway.venue import Venue


def reads(venue: Venue) -> dict[str, Read]:
    """The topics that the gateway reads, with their handlers."""

    async def on_orders(batch: Received[OrderEvent], work: Work) -> None:
        for event in batch.events:
            work.cause = event
            if isinstance(event, SyncAccounts):
                await venue.sync(event, work)
            else:
                await venue.carry_out(event, work)

    async def on_rewards(batch: Received[RewardEvent], work: Work) -> None:
        for event in batch.events:
            work.cause = event
            if isinstance(event, BalancesRequested):
                await venue.settle(event, work)

    async def on_config(batch: Received[ConfigEvent], work: Work) -> None:
        await venue.follow(batch.events, work)

    return {
        orders.TOPIC: Read(OrderEvent, on_orders),
        rewards.TOPIC: Read(RewardEvent, on_rewards),
        config.TOPIC: Read(ConfigEvent, on_config),
    }
