"""Trade links as tables show them, and the explanation of a decision; for followers, masters and the back office."""

from nicegui import ui

from console import words
from console.api import Json
from console.figures import LOT, lots, price, when
from console.parts import answer_of, attempt, box, chip, heading
from console.session import Who
from console.tables import Column

COLUMNS = (
    Column("symbol", "Symbol"),
    Column("side", "Side", "chip"),
    Column("lots", "Lots", "num"),
    Column("of", "of the master's", "num"),
    Column("phase", "State", "chip"),
    Column("reason", "Why", "reason"),
    Column("price", "Opened at", "num"),
    Column("accounts", "Master → follower", "num"),
    Column("time", "Last change (UTC)", "num"),
)


class Grid:
    """What a symbol's figures need: places of prices, units of a lot."""

    def __init__(self, symbols: list[Json]) -> None:
        self._known = {row["symbol"]: (row["digits"], row["volume_per_lot"]) for row in symbols}

    def price(self, symbol: str, value: object) -> str:
        return price(value, self._known.get(symbol, (5, LOT))[0])  # type: ignore[arg-type]

    def lots(self, symbol: str, volume: int) -> str:
        return lots(volume, self._known.get(symbol, (5, LOT))[1])

    @classmethod
    async def of(cls, who: Who) -> "Grid":
        return cls((await who.call("GET", "/copytrade/symbols"))["rows"])


def link_row(link: Json, grid: Grid) -> Json:
    """A link as its row."""
    skipped = link["phase"] in {"skipped", "rejected"}
    return {
        "id": link["id"],
        "title": f"{link['symbol']} {link['master_order']}",
        "symbol": link["symbol"],
        "side": link["side"] or "–",
        "side_tone": "info" if link["side"] == "buy" else "",
        "lots": "–" if skipped else grid.lots(link["symbol"], link["volume"]),
        "of": grid.lots(link["symbol"], link["master_volume"]),
        "phase": words.PHASE.get(link["phase"], link["phase"]),
        "phase_tone": words.PHASE_TONE.get(link["phase"], "mute"),
        "reason": words.reason(link["reason"]) if link["reason"] else "",
        "price": "–" if skipped else grid.price(link["symbol"], link["price"]),
        "accounts": f"{link['master_login']} → {link['follower_login']}",
        "time": when(link["updated_time"]),
    }


async def explain(who: Who, row: Json) -> None:
    """Opens the decision in words: what the master did, what was known, each step to the volume, and what became of it."""
    found = await attempt(who.call("GET", f"/copytrade/trade-links/{row['id']}/explain"))
    if found is None:
        return
    tones = {"copied": "good", "skipped": "warn", "rejected": "bad"}
    with ui.dialog() as dialog, box("dialog wide").props('role=dialog aria-label="Why"'):
        with box("card-head"):
            heading(f"Why: {row['title']}", 2)
            chip(found["decision"], tones[found["decision"]])
        with box("lines"):
            for sentence in found["text"]:
                ui.label(sentence)
        if found["reason"]:
            ui.label(f"Code: {found['reason']}").classes("muted small")
        with box("dialog-actions"):
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("flat")
    await answer_of(dialog)
