"""What followers do by hand that their `manual_trading_mode` forbids, seen on a venue that let them."""

import structlog
from prometheus_client import Counter
from shared.contracts.config import ManualTradingMode

from executor.desk import Desk

log = structlog.get_logger()

FORBIDDEN = Counter("lockstep_forbidden_trades", "What followers did by hand that they may not")


def forbids(mode: int, *, copied: bool) -> bool:
    """Whether a follower with this mode may not act by hand: mode 0 never, mode 1 not on what was copied, mode 2 always may."""
    return mode == ManualTradingMode.DISABLED or (mode == ManualTradingMode.ALLOW_NON_COPIED and copied)


async def forbidden(desk: Desk, login: int, order: int, deed: str, *, copied: bool) -> bool:
    """Whether the follower may not have done this, which is then counted and logged."""
    mode = (await desk.accounts([login])).get(login, "manual_mode")
    if not forbids(mode, copied=copied):
        return False
    FORBIDDEN.inc()
    log.warning("done by hand, which the manual_trading_mode forbids", login=login, order=order, deed=deed, copied=copied)
    return True


async def undone(desk: Desk, login: int, order: int, deed: str, *, copied: bool) -> bool:
    """Whether the follower may not have done this, and it is to be undone: `LOCKSTEP_FORBIDDEN_TRADES` is `close`."""
    return await forbidden(desk, login, order, deed, copied=copied) and desk.settings.forbidden_trades == "close"
