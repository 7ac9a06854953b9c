"""The demo's figures, and how they are shown: a table on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

Figure = TypeVar("Figure")


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


class Column(NamedTuple, Generic[Figure]):
    """A column of the table; on a terminal of fewer than `from_width` characters it is left out."""

    title: str
    of: Callable[[Figure], str | int]
    from_width: int = 0


MASTERS: tuple[Column[MasterFigures], ...] = (
    Column("master", lambda one: one.name),
    Column("login", lambda one: one.login, 150),
    Column("symbol", lambda one: one.symbol, 120),
    Column("reward policy", lambda one: one.policy, 150),
    Column("position", lambda one: one.position),
    Column("equity", lambda one: one.equity),
    Column("trades", lambda one: one.trades, 100),
    Column("followers", lambda one: one.followers, 100),
    Column("ROI %", lambda one: one.roi),
    Column("rewards paid", lambda one: one.rewards_paid),
)
FOLLOWERS: tuple[Column[FollowerFigures], ...] = (
    Column("follower", lambda one: one.name),
    Column("login", lambda one: one.login, 150),
    Column("copies", lambda one: one.master, 90),
    Column("settings", lambda one: one.settings, 140),
    Column("equity", lambda one: one.equity, 100),
    Column("open", lambda one: one.copies_open),
    Column("closed", lambda one: one.copies_closed),
    Column("skipped", lambda one: one.skipped),
    Column("failed", lambda one: one.failed, 120),
    Column("last", lambda one: one.last),
)
RIGHT = frozenset({"login", "equity", "trades", "followers", "ROI %", "rewards paid", "open", "closed", "skipped", "failed"})


class LiveTable:
    """The figures of one moment, in as many columns as the terminal is wide enough for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        snapshot, width = self._snapshot, options.max_width
        yield _rows(MASTERS, snapshot.masters, width)
        yield Text()
        yield _rows(FOLLOWERS, snapshot.followers, width)
        prices = "  ".join(f"{symbol} {price}" for symbol, price in snapshot.prices.items())
        foot = f"{snapshot.clock}  last copy after {latency(snapshot)}  {prices}  {snapshot.note}"
        yield Text(foot.rstrip(), no_wrap=True, overflow="ellipsis")


def _rows(columns: Sequence[Column[Figure]], figures: Sequence[Figure], width: int) -> Table:
    shown = [column for column in columns if column.from_width <= width]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in shown:
        table.add_column(column.title, justify="right" if column.title in RIGHT else "left", no_wrap=True)
    for figure in figures:
        table.add_row(*(str(column.of(figure)) for column in shown))
    return table


def plain(snapshot: Snapshot) -> list[str]:
    """The same in a few plain lines."""
    is_open, closed, skipped = snapshot.copies
    head = f"{snapshot.clock}  copies: {is_open} open, {closed} closed, {skipped} skipped; last copy after {latency(snapshot)}"
    masters = [
        f"  {one.name}: {one.position}, equity {one.equity}, {one.trades} trades, ROI {one.roi} %, rewards paid {one.rewards_paid}"
        for one in snapshot.masters
    ]
    return [f"{head}  {snapshot.note}".rstrip(), *masters]
