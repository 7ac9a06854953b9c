"""What the executor is told when it starts."""

from decimal import Decimal
from typing import Literal

from pydantic import Field
from shared.settings import ShardedSettings

from executor.amounts import units
from executor.terms import Policy


class ExecutorSettings(ShardedSettings):
    """The executor's own environment variables `LOCKSTEP_*`, beside those that every service has."""

    max_equity_age_ms: int = Field(default=0, ge=0)
    """A follower with open positions whose equity was told longer ago is not sized on it (STALE_EQUITY); 0: not checked."""
    margin_check: bool = True
    """Skip (MARGIN) what the follower's free margin cannot carry, before the venue has to refuse it."""
    margin_slippage: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    """The slippage that the margin check reckons with, as a part of the price (0: a copy may take all that is free, as on the venue)."""
    dust_policy: Literal["close_dust", "keep_min"] = "close_dust"
    """What becomes of a partly closed copy whose share is below the symbol's minimum."""
    unknown_after_ms: int = Field(default=5000, ge=100)
    """An opening or closing without an answer for so long is asked for again, under its own client order id."""
    pending_fill_policy: Literal["market_if_within_slippage", "leave", "cancel"] = "market_if_within_slippage"
    """What becomes of a pending copy when only one side's order was filled."""
    reconcile_every_ms: int = Field(default=60_000, ge=0)
    """How often accounts with copies are compared with the venue; 0: only at the start and on request."""
    closed_meanwhile: Literal["copy", "skip"] = "copy"
    """A trade that its master has closed by the time that its opening is read (after a pause, both are read at once): `copy` opens and
    closes it late, `skip` leaves a skip (MASTER_CLOSED)."""
    repair_orphans: Literal["report", "close", "adopt"] = "adopt"
    """A copied position on the venue whose link is not open: `adopt` takes it up again where the link is unsettled, closes it where it is
    settled; `close` closes it; `report` only tells."""
    repair_stops: Literal["report", "restore"] = "restore"
    """Stop loss or take profit of a copy that differ from the master's."""
    repair_volume: Literal["report", "close_excess"] = "close_excess"
    """A copy that is larger on the venue than it should be."""
    forbidden_trades: Literal["report", "close"] = "report"
    """What a follower did by hand that its `manual_trading_mode` forbids, seen on a venue that does not enforce it: `report` counts and
    logs it; `close` also closes its own position, cancels its own pending order, and puts a copy's stops and price back. What it closed or
    cancelled itself cannot be undone."""
    symbol_map: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per account group (`*` for all): the master's symbol -> the followers' symbol, as JSON."""

    def policy(self) -> Policy:
        """The house's limits as the rules take them."""
        return Policy(self.max_equity_age_ms, units(self.margin_slippage) if self.margin_check else -1)
