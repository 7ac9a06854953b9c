"""A record in full, as the manager API answers it."""

import json
from typing import Any

from nicegui import ui

from console.api import Json
from console.figures import when
from console.parts import answer_of, box, heading, named


def shown(name: str, value: Any) -> str:
    """A field's value for a person."""
    if name.endswith("_time") or name in {"period_from", "period_to", "retried", "retry_requested"}:
        return when(value)
    return "–" if value in ("", None) else str(value)


def pretty(text: str) -> str:
    """JSON with line breaks; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


async def record(title: str, one: Json, long: tuple[str, ...] = ("inputs", "payload", "before", "after")) -> None:
    """Opens a dialog with every field; long texts below, in a box of their own."""
    with ui.dialog() as dialog, box("dialog wide").props('role=dialog aria-label="Record"'):
        heading(title, 2)
        with box("facts wide", "dl"):
            for name, value in one.items():
                if name in long:
                    continue
                with box("", "dt"):
                    ui.label(name).classes("mono")
                with box("num", "dd"):
                    ui.label(shown(name, value))
        for name in long:
            if one.get(name):
                heading(name.capitalize(), 3)
                named(ui.label(pretty(str(one[name]))).classes("code").props("tabindex=0 role=region"), name)
        with box("dialog-actions"):
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("flat")
    await answer_of(dialog)
