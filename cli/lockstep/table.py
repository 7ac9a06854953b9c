"""The demo's figures, and how they are shown: a table on a terminal, plain lines elsewhere."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class MasterFigures:
    """A master as the demo sees it. Amounts are in the currency of its account, as text."""

    name: str
    login: int
    symbol: str
    policy: str
    position: str
    equity: str
    trades: int
    followers: int
    roi: str
    rewards_paid: str


@dataclass(frozen=True, slots=True)
class FollowerFigures:
    """A follower's account and its copies."""

    name: str
    login: int
    master: str
    settings: str
    equity: str
    copies_open: int
    copies_closed: int
    skipped: int
    failed: int
    last: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment."""

    clock: str = ""
    prices: dict[str, str] = field(default_factory=dict)
    masters: tuple[MasterFigures, ...] = ()
    followers: tuple[FollowerFigures, ...] = ()
    latency_ms: int | None = None
    """From a master's order to the follower's copy seen through the API, the last one measured: milliseconds."""
    note: str = ""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Snapshot":
        """From the JSON that `raw` was."""
        masters = tuple(MasterFigures(**item) for item in raw.pop("masters"))
        followers = tuple(FollowerFigures(**item) for item in raw.pop("followers"))
        return cls(masters=masters, followers=followers, **raw)

    def raw(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def copies(self) -> tuple[int, int, int]:
        """Copies open, closed and skipped, of all followers."""
        return (
            sum(one.copies_open for one in self.followers),
            sum(one.copies_closed for one in self.followers),
            sum(one.skipped for one in self.followers),
        )


def latency(snapshot: Snapshot) -> str:
    return "-" if snapshot.latency_ms is None else f"{snapshot.latency_ms} ms"


def table(snapshot: Snapshot) -> RenderableType:
    """The live table."""
    masters = Table(title="masters", title_justify="left", expand=False)
    for name in ("master", "login", "symbol", "reward policy", "position", "equity", "trades", "followers", "ROI %", "rewards paid"):
        masters.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for one in snapshot.masters:
        figures = (one.position, one.equity, str(one.trades), str(one.followers), one.roi, one.rewards_paid)
        masters.add_row(one.name, str(one.login), one.symbol, one.policy, *figures)
    followers = Table(title="copies", title_justify="left", expand=False)
    for name in ("follower", "login", "copies", "settings", "equity", "open", "closed", "skipped", "failed", "last"):
        followers.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for each in snapshot.followers:
        counts = (each.copies_open, each.copies_closed, each.skipped, each.failed)
        followers.add_row(each.name, str(each.login), each.master, each.settings, each.equity, *(str(count) for count in counts), each.last)
    prices = "   ".join(f"{symbol} {price}" for symbol, price in snapshot.prices.items())
    foot = Text(f"{snapshot.clock}   last copy after {latency(snapshot)}   {prices}   {snapshot.note}")
    return Group(masters, followers, foot)


NUMBERS = frozenset({"login", "equity", "trades", "followers", "ROI %", "rewards paid", "open", "closed", "skipped", "failed"})


def plain(snapshot: Snapshot) -> list[str]:
    """The same in a few plain lines."""
    is_open, closed, skipped = snapshot.copies
    head = f"{snapshot.clock}  copies: {is_open} open, {closed} closed, {skipped} skipped; last copy after {latency(snapshot)}"
    masters = [
        f"  {one.name}: {one.position}, equity {one.equity}, {one.trades} trades, ROI {one.roi} %, rewards paid {one.rewards_paid}"
        for one in snapshot.masters
    ]
    return [f"{head}  {snapshot.note}".rstrip(), *masters]
