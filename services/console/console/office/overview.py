"""The overview: whether everything runs, how far each service is, and what wants a person's look."""

import asyncio
import time

from nicegui import ui
from starlette.responses import RedirectResponse

from console.api import ApiError, Json
from console.figures import ago, plain, short, when
from console.frame import frame
from console.parts import Panel, box, heading, settled
from console.session import Who, admitted
from console.tables import Column, data_table

LOOK_EVERY_S = 5.0
SILENT_S = 30
"""A reader reports each second; who has not for so long is away."""
DRIFT = ["MISSING", "VOLUME_DRIFT", "SLTP_DRIFT", "PRICE_DRIFT"]
HOUR_S = 3600
COLUMNS = (
    Column("stream", "Topic"),
    Column("reader", "Reader"),
    Column("state", "State", "chip"),
    Column("lag", "Behind", "num"),
    Column("place", "Has read", "num"),
    Column("last", "Last number", "num"),
    Column("seen", "Heard of", "num"),
)
CHECKS = (
    ("halts", "Halts in force", "/office/halt"),
    ("unknown", "Unknown orders", "/office/links"),
    ("drift", "Drift, last hour", "/office/links"),
    ("letters", "Dead letters waiting", "/office/letters"),
    ("failed", "Failed settlements", "/office/accruals"),
    ("active", "Open copies", "/office/links"),
    ("skips", "Skips, last hour", "/office/links"),
    ("subscriptions", "Subscriptions", "/office/subscriptions"),
)
ALARMING = frozenset({"halts", "unknown", "letters", "failed", "drift"})


def topic_row(one: Json, now: int) -> Json:
    """A reader of a topic."""
    silent = now - one["reported_time"] > SILENT_S
    state, tone = ("away", "bad") if silent else ("behind", "warn") if one["lag"] > 0 else ("level", "good")
    return {
        "id": f"{one['stream']} {one['reader']}",
        "stream": one["stream"],
        "reader": one["reader"],
        "state": state,
        "state_tone": tone,
        "lag": plain(one["lag"], 0),
        "place": plain(one["place"], 0),
        "last": plain(one["last"], 0),
        "seen": ago(one["reported_time"], now),
    }


class Overview:
    """The page's data."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.tiles: dict[str, ui.label] = {}
        self.table: ui.table
        self.note: ui.label
        self.panel: Panel

    async def _count(self, command: str, **query: object) -> int | None:
        """How many match; None for who may not know."""
        try:
            return (await self.who.table(command, {"limit": 1, **query}))[1]
        except ApiError as error:
            if error.code != "PERMISSION_DENIED":
                raise
            return None

    async def figures(self) -> dict[str, int | None]:
        """Everything that is counted. Raises ApiError."""
        since = ["updated_time", ">=", int(time.time()) - HOUR_S]
        links = "MngGetCopyTradeLinksByFilter"
        found = await asyncio.gather(
            self._count("MngGetHaltsByFilter", where=[["active", "=", 1]]),
            self._count(links, where=[["state", "=", 0], ["reason", "=", "UNKNOWN"]]),
            self._count(links, where=[since], whereIn=[["reason", DRIFT]]),
            self._count("MngGetDeadLettersByFilter", where=[["retried", "=", 0]]),
            self._count("MngGetCopyRewardAccrualsByFilter", where=[["state", "=", 3]]),
            self._count(links, where=[["state", "=", 0]]),
            self._count(links, where=[since, ["phase", "=", "skipped"]]),
            self._count("MngGetCopySubscriptionsByFilter"),
        )
        return dict(zip((key for key, _, _ in CHECKS), found, strict=True))

    async def topics(self) -> list[Json]:
        """How far each reader is; nothing where the api does not tell."""
        try:
            answer = await self.who.command("MngGetTopics")
        except ApiError as error:
            if error.code not in {"UNKNOWN_COMMAND", "UNAVAILABLE"}:
                raise
            return []
        now = int(time.time())
        return [topic_row(dict(zip(answer["structure"], row, strict=True)), now) for row in answer["rows"]]

    async def draw(self) -> None:
        figures, topics = await asyncio.gather(self.figures(), self.topics())
        with box("tiles"):
            for key, name, path in CHECKS:
                with ui.link(target=path).classes("tile tile-link"):
                    ui.label(name).classes("tile-name")
                    self.tiles[key] = ui.label().classes("tile-value num")
        with box("card flush"):
            with box("card-head"):
                heading("Topics and their readers", 2)
                self.note = ui.label().classes("muted small")
            nothing = ("sensors_off", "No reader was heard of", "Redis, or the api's way to it, is away.")
            self.table = data_table(COLUMNS, [], "id", "Topics", nothing=nothing)
        self._show(figures, topics)

    def _show(self, figures: dict[str, int | None], topics: list[Json]) -> None:
        for key, label in self.tiles.items():
            value = figures[key]
            label.text = "–" if value is None else short(value)
            label.classes(replace=f"tile-value num {'neg' if value and key in ALARMING else ''}")
        if topics != self.table.rows:
            self.table.rows = topics
        self.note.text = f"as of {when(int(time.time()))} UTC"

    async def look(self) -> None:
        """Looks again; what is there stays while the api is away, marked as old."""
        if not self.tiles or self.table.is_deleted:
            return
        try:
            self._show(*await asyncio.gather(self.figures(), self.topics()))
        except ApiError as error:
            if error.session_over:
                await self.panel.load()
            else:
                self.note.text = f"Connection lost, trying again. {self.note.text.partition('. ')[2] or self.note.text}"


async def overview() -> RedirectResponse | None:
    """The page at /office."""
    who = admitted("manager")
    if isinstance(who, RedirectResponse):
        return who
    page = Overview(who)
    with frame(who, "Overview", "/office", "Whether everything runs, and what wants a look."):
        page.panel = Panel(page.draw, lines=6)
        ui.timer(LOOK_EVERY_S, page.look)
    await settled(page.panel)
    return None
