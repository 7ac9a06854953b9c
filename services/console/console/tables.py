"""Tables: rows on a desktop, cards on a phone, drawn by Vue slot templates from plain rows; figures come formatted from here."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nicegui import ui
from nicegui.events import GenericEventArguments

from console.api import Json
from console.parts import named


class Column(NamedTuple):
    """A column. `kind`: text, num (right-aligned), chip or toned (the class of either is in `FIELD_tone`), reason (wraps) or mono."""

    name: str
    label: str
    kind: str = "text"
    sortable: bool = False


class Act(NamedTuple):
    """A button in each row. Shown where the row's field `shown` is true, always when that is empty."""

    name: str
    label: str
    icon: str
    shown: str = ""
    danger: bool = False


VALUE = {
    "text": "{{ props.row.FIELD }}",
    "num": '<span class="num">{{ props.row.FIELD }}</span>',
    "mono": '<span class="mono">{{ props.row.FIELD }}</span>',
    "reason": "{{ props.row.FIELD }}",
    "toned": '<span class="num" :class="props.row.FIELD_tone">{{ props.row.FIELD }}</span>',
    "chip": '<span class="chip" :class="props.row.FIELD_tone">{{ props.row.FIELD }}</span>',
}
NOTHING = """
<div class="empty full-width" role="status"><i class="q-icon material-icons empty-icon" aria-hidden="true">{}</i>
<div class="empty-title">{}</div><div class="empty-hint">{}</div></div>
"""
WIDE = frozenset({"reason", "mono"})
RIGHT = frozenset({"num", "toned"})


def _buttons(acts: Sequence[Act]) -> str:
    parts = []
    for act in acts:
        shown = f' v-if="props.row.{act.shown}"' if act.shown else ""
        colour = "negative" if act.danger else ""
        parts.append(
            f'<q-btn{shown} flat dense no-caps size="sm" icon="{act.icon}" label="{act.label}" color="{colour}" '
            f""":aria-label="'{act.label} ' + props.row.title" @click.stop="$parent.$emit('{act.name}', props.row)"/>"""
        )
    return "".join(parts)


def _card(columns: Sequence[Column], acts: Sequence[Act], clickable: bool) -> str:
    first, *rest = columns
    click = (
        """ @click="$parent.$emit('open', props.row)" tabindex="0" @keydown.enter="$parent.$emit('open', props.row)" """
        if clickable
        else ""
    )
    lead = f'<div class="lead"><span class="wrap-any">{VALUE[first.kind].replace("FIELD", first.name)}</span></div>'
    lines = "".join(
        f'<div class="name">{column.label}</div><div class="value">{VALUE[column.kind].replace("FIELD", column.name)}</div>'
        for column in rest
    )
    buttons = f'<div class="act">{_buttons(acts)}</div>' if acts else ""
    return f'<div class="rowcard{" clickable" if clickable else ""}"{click}>{lead}{lines}{buttons}</div>'


def data_table(
    columns: Sequence[Column],
    rows: list[Json],
    key: str,
    label: str,
    *,
    acts: Sequence[Act] = (),
    on_act: Callable[[str, Json], Any] | None = None,
    on_open: Callable[[Json], Any] | None = None,
    per_page: int = 0,
    nothing: tuple[str, str, str] = ("inbox", "Nothing here", ""),
) -> ui.table:
    """A table with its rows; `rows` are plain values under the columns' names. `per_page` 0: no paging here.

    `nothing`: icon, title and hint of the empty table.
    """
    shown = [
        {
            "name": column.name,
            "label": column.label,
            "field": column.name,
            "align": "right" if column.kind in RIGHT else "left",
            "sortable": column.sortable,
            "classes": "reason" if column.kind == "reason" else "",
        }
        for column in columns
    ]
    if acts:
        shown.append({"name": "acts", "label": "", "field": key, "align": "right"})
    table = ui.table(columns=shown, rows=rows, row_key=key, pagination=per_page or None)
    named(table.classes("data full-width").props("flat"), label)
    table.props[":grid"] = "Quasar.Screen.lt.md"
    for column in columns:
        if column.kind in {"toned", "chip", "mono"}:
            table.add_slot(f"body-cell-{column.name}", f'<q-td :props="props">{VALUE[column.kind].replace("FIELD", column.name)}</q-td>')
    if acts:
        table.add_slot("body-cell-acts", f'<q-td :props="props" style="white-space:nowrap">{_buttons(acts)}</q-td>')
    table.add_slot("no-data", NOTHING.format(*nothing))
    table.add_slot("item", _card(columns, acts, on_open is not None))
    for act in acts:
        table.on(act.name, _acting(on_act, act.name))
    if on_open is not None:
        table.on("open", lambda event: on_open(event.args))
        table.on("row-click", lambda event: on_open(event.args[1]))
        table.props["table-class"] = "clickable"
    return table


def _acting(on_act: Callable[[str, Json], Any] | None, name: str) -> Callable[[GenericEventArguments], Any]:
    def handle(event: GenericEventArguments) -> Any:
        return on_act(name, event.args) if on_act else None

    return handle
