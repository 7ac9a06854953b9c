"""Charts: options for the bundled ECharts, in the theme's colours; text is drawn on a canvas, so nothing is taken for HTML."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from console.figures import Figure
from console.parts import named
from console.session import is_dark

Options = dict[str, Any]
TIP = "value => value == null ? '–' : Number(value).toLocaleString('en-GB', {maximumFractionDigits: 2}) + UNIT"
BLUE, GREEN, RED = "#4f86ff", "#1fa971", "#e5584d"


def _ink() -> dict[str, str]:
    dark = is_dark()
    return {"text": "#8d9bb1" if dark else "#667085", "line": "#212c3f" if dark else "#e3e8f0", "tip": "#182132" if dark else "#ffffff"} | {
        "tip_text": "#eef2f8" if dark else "#101828"
    }


def days(last_s: int, count: int, zone: ZoneInfo) -> list[str]:
    """The names of so many days of a zone up to and with the one that a time is in."""
    last = datetime.fromtimestamp(last_s, zone).date()
    return [(last - timedelta(days=count - 1 - at)).strftime("%-d %b %Y") for at in range(count)]


def tip(unit: str) -> str:
    """The script that writes a value with its unit, which may be a currency that somebody named."""
    return TIP.replace("UNIT", json.dumps(f" {unit}"))


def _frame(labels: Sequence[str], unit: str) -> Options:
    ink = _ink()
    return {
        "animationDuration": 250,
        "grid": {"left": 8, "right": 14, "top": 16, "bottom": 4, "containLabel": True},
        "textStyle": {"fontFamily": "Roboto, system-ui, sans-serif"},
        "tooltip": {
            "trigger": "axis",
            "renderMode": "richText",
            "confine": True,
            "backgroundColor": ink["tip"],
            "borderColor": ink["line"],
            "textStyle": {"color": ink["tip_text"], "fontSize": 12},
            ":valueFormatter": tip(unit),
        },
        "xAxis": {
            "type": "category",
            "data": list(labels),
            "boundaryGap": False,
            "axisLine": {"lineStyle": {"color": ink["line"]}},
            "axisTick": {"show": False},
            "axisLabel": {"color": ink["text"], "hideOverlap": True, "fontSize": 11},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "splitLine": {"lineStyle": {"color": ink["line"]}},
            "axisLabel": {"color": ink["text"], "fontSize": 11},
        },
    }


def _series(name: str, values: Sequence[Figure], colour: str, **more: Any) -> Options:
    data = [None if value is None else float(value) for value in values]
    plain = {"name": name, "type": "line", "data": data, "showSymbol": False, "lineStyle": {"width": 2, "color": colour}}
    return plain | {"itemStyle": {"color": colour}, "areaStyle": {"color": colour, "opacity": 0.12}} | more


def line(name: str, labels: Sequence[str], values: Sequence[Figure], unit: str, colour: str = BLUE) -> Options:
    """One curve over days; days before the first known one are left open."""
    return _frame(labels, unit) | {"series": [_series(name, values, colour)]}


def under_water(name: str, labels: Sequence[str], values: Sequence[Figure]) -> Options:
    """The fall from the highest so far: at most 0."""
    options = _frame(labels, "%")
    options["yAxis"] |= {"max": 0, "scale": False}
    return options | {"series": [_series(name, values, RED, areaStyle={"color": RED, "opacity": 0.18, "origin": "end"})]}


def drawdowns(growth: Sequence[Figure]) -> list[float | None]:
    """From returns in percent since the base (100): how far below the highest so far, in percent, at each day's end."""
    highest = 100.0
    found: list[float | None] = []
    for value in growth:
        if value is None:
            found.append(None)
            continue
        level = 100.0 + float(value)
        highest = max(highest, level)
        found.append(round((level / highest - 1) * 100, 2))
    return found


def padded(values: Sequence[Figure], count: int) -> list[Figure]:
    """Returns at the end of so many days, from the base (0 %) on; the days before it are unknown."""
    known: list[Figure] = [0, *values] if values else []
    return [*([None] * (count - len(known))), *known][-count:]


def draw(options: Options, description: str, low: bool = False) -> ui.echart:
    """A chart with its words for who cannot see it."""
    chart = ui.echart(options).classes("chart low" if low else "chart")
    return named(chart.props("role=img"), description)
