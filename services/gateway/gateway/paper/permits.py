"""Who may trade what on the paper venue: trading halts for copies, and the manual trading mode of followers."""

from collections.abc import Iterable

from shared.contracts.config import ManualTradingMode

from gateway import decide
from gateway.decide import Refused
from gateway.paper.records import HaltState


def halt_fault(halts: Iterable[HaltState], master: int, follower: int, symbol: str) -> Refused | None:
    """TRADING_HALTED or REDUCE_ONLY when a halt keeps a copy from being opened; a halt outweighs reduce-only."""
    keys = {"all": "", "master": str(master), "follower": str(follower), "symbol": symbol}
    modes = {halt.mode for halt in halts if keys[halt.scope] == halt.key or halt.scope == "all"}
    if "halt" in modes:
        return Refused(decide.TRADING_HALTED, "trading is halted")
    if "reduce_only" in modes:
        return Refused(decide.REDUCE_ONLY, "positions may only be reduced")
    return None


def manual_fault(mode: ManualTradingMode, copied: bool) -> Refused | None:
    """MANUAL_TRADING_DISABLED unless the account's mode lets its owner act by hand: on a copied order only with ALLOW_ALL."""
    if mode is ManualTradingMode.ALLOW_ALL or (mode is ManualTradingMode.ALLOW_NON_COPIED and not copied):
        return None
    what = "copied positions are" if mode is ManualTradingMode.ALLOW_NON_COPIED else "the account is"
    return Refused(decide.MANUAL_TRADING_DISABLED, f"{what} not open to manual trading")
