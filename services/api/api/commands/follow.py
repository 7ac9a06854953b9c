"""What a follower sets by the signed OpenAPI: the follow config of a subscription, and the stops of what it holds."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from shared.contracts.config import FollowConfig, StopsSaved, SymbolsMode, VolumeMode
from sqlalchemy import select
from sqlmodel import col

from api import store
from api.commands import subscriptions
from api.commands.change import Change
from api.store import PositionStop, Subscription
from api.views import Json, as_object, subscription_view

STOPS = ("id", "follower_login", "master_login", "symbol", "is_long", "stop_profit_rate", "stop_loss_rate", "stop_loss_delay", "version")


class Wanted(NamedTuple):
    """A follow config as it was asked for; no symbols: all of them."""

    config: FollowConfig
    mode: VolumeMode
    symbols: tuple[str, ...]


async def configure(change: Change, subscription: Subscription, wanted: Wanted) -> Json:
    """Makes a follow config a subscription's. Raises Refused as `subscriptions.update` does."""
    before = subscription_view(subscription) | {"follow": subscription.follow}
    subscription.volume_mode = int(wanted.mode)
    subscription.symbols_mode = int(SymbolsMode.INCLUDE if wanted.symbols else SymbolsMode.ALL)
    subscription.symbols = ",".join(wanted.symbols)
    known = store.follow_of(subscription)
    # After the last time, whatever this instance's clock says: a stop that has acted is lifted by a later config alone.
    set_ms = max(change.work.now, known.set_ms + 1 if known else 0)
    subscription.follow = wanted.config.model_copy(update={"set_ms": set_ms}).model_dump_json()
    await subscriptions.changed(change, subscription, before)
    return subscription_view(subscription)


class Rates(NamedTuple):
    """Stops of a position; None leaves what was set for it before."""

    profit: Decimal | None
    loss: Decimal | None
    delay: int | None


async def set_stops(change: Change, subscription: Subscription, symbol: str, is_long: int, rates: Rates, opened_ms: Sequence[int]) -> Json:
    """Sets the stops of what the follower holds in a symbol and direction. `opened_ms`: when each of it was opened; what was set before the
    oldest was for something else."""
    own = col(PositionStop.follower_login) == subscription.follower_login, col(PositionStop.master_login) == subscription.master_login
    one = col(PositionStop.symbol) == symbol, col(PositionStop.is_long) == is_long
    row = (await change.session.execute(select(PositionStop).where(*own, *one))).scalar_one_or_none()
    now = change.work.now
    before = as_object(row, STOPS) if row is not None else None
    if row is None:
        row = PositionStop(
            created_ms=now,
            updated_ms=now,
            follower_login=subscription.follower_login,
            master_login=subscription.master_login,
            symbol=symbol,
            is_long=is_long,
            version=0,
        )
        change.session.add(row)
    elif row.updated_ms < min(opened_ms):
        row.stop_profit_rate, row.stop_loss_rate, row.stop_loss_delay = Decimal(0), Decimal(0), 0
    row.stop_profit_rate = row.stop_profit_rate if rates.profit is None else rates.profit
    row.stop_loss_rate = row.stop_loss_rate if rates.loss is None else rates.loss
    row.stop_loss_delay = row.stop_loss_delay if rates.delay is None else rates.delay
    row.version += 1
    # They are for what is held already, also where the venue's clock, which tells when that was opened, is ahead of this one.
    row.updated_ms = max(now, row.updated_ms, *opened_ms)
    await change.session.flush()
    change.tell(StopsSaved(stops=store.stops_state(row)))
    change.record("update" if before else "create", row, before, as_object(row, STOPS), row.id)
    return as_object(row, STOPS)
