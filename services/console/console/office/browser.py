"""The back office's tables: any `MngGet...ByFilter` with its standard filter, sorted and paged by the api."""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

from nicegui import ui
from nicegui.events import GenericEventArguments

from console.api import ApiError, Json
from console.parts import Panel, attempt, box, complain
from console.session import Who
from console.tables import Act, Column, data_table

PER_PAGE = 25
OPERATORS = {
    "=": "is",
    "!=": "is not",
    ">": "more than",
    ">=": "at least",
    "<": "less than",
    "<=": "at most",
    "like": "contains",
}


class Field(NamedTuple):
    """A field that may be filtered by, under its name on the wire."""

    name: str
    label: str
    kind: Literal["int", "number", "text"] = "int"


class Spec(NamedTuple):
    """A table: where its rows come from and how they are shown. `order`: the column and direction it begins with."""

    command: str
    label: str
    columns: tuple[Column, ...]
    row: Callable[[Json], Json]
    fields: tuple[Field, ...]
    nothing: tuple[str, str, str]
    order: tuple[str, str] = ("id", "desc")
    where: tuple[tuple[Any, ...], ...] = ()


class FilterError(ValueError):
    """A condition whose value does not fit its field."""


def condition(fields: Sequence[Field], name: str, operator: str, text: str) -> list[Any]:
    """A condition as the standard filter has it. Raises FilterError."""
    field = next(one for one in fields if one.name == name)
    if field.kind == "text":
        return [name, operator, text]
    if operator == "like":
        raise FilterError(f"{field.label} is a number: it contains nothing")
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        raise FilterError(f"{field.label} compares with a number") from None
    if field.kind == "int" and value != value.to_integral_value():
        raise FilterError(f"{field.label} compares with a whole number")
    return [name, operator, int(value) if field.kind == "int" else value]


class Browser:
    """A table on its page."""

    def __init__(
        self,
        who: Who,
        spec: Spec,
        acts: Sequence[Act] = (),
        on_act: Callable[[str, Json], Any] | None = None,
        on_open: Callable[[Json], Any] | None = None,
    ) -> None:
        self.who = who
        self.spec = spec
        self.acts = acts
        self.on_act = on_act
        self.on_open = on_open
        self.conditions: list[Json] = []
        self.order = spec.order
        self.page = 1
        self.raw: dict[Any, Json] = {}
        self.table: ui.table
        self.lines: ui.element
        self.wrong: ui.label
        self.panel: Panel

    def draw(self) -> Panel:
        """The filter, and the table below it."""
        with box("toolbar"):
            ui.button("Add a filter", icon="filter_alt", on_click=self._add).props("outline")
            ui.button("Refresh", icon="refresh", on_click=self.refresh).props("flat")
            self.wrong = ui.label().classes("neg").props("role=alert")
        self.lines = box("stack")
        self.lines.visible = False
        self.panel = Panel(self._table, lines=8)
        return self.panel

    async def _table(self) -> None:
        rows, count = await self._load()
        with box("card flush"):
            self.table = data_table(
                self.spec.columns,
                rows,
                "id",
                self.spec.label,
                acts=self.acts,
                on_act=self.on_act,
                on_open=self._open if self.on_open else None,
                per_page=PER_PAGE,
                nothing=self.spec.nothing,
            )
        self.table.pagination = self._pagination(count)
        self.table.props["rows-per-page-options"] = [PER_PAGE]
        self.table.on("request", self._turned)

    def _pagination(self, count: int) -> Json:
        name, direction = self.order
        return {"page": self.page, "rowsPerPage": PER_PAGE, "rowsNumber": count, "sortBy": name, "descending": direction == "desc"}

    async def _load(self) -> tuple[list[Json], int]:
        """The page's rows. Raises ApiError."""
        where = [list(one) for one in self.spec.where]
        where += [condition(self.spec.fields, one["name"], one["operator"], one["text"]) for one in self.conditions if one["text"]]
        query = {"where": where, "orderBy": [list(self.order)], "limit": PER_PAGE, "offset": (self.page - 1) * PER_PAGE}
        found, count = await self.who.table(self.spec.command, query)
        rows = [self.spec.row(one) for one in found]
        self.raw = {row["id"]: one for row, one in zip(rows, found, strict=True)}
        return rows, count

    async def refresh(self) -> None:
        """Loads the page again."""
        self.wrong.text = ""
        try:
            rows, count = await self._load()
        except FilterError as error:
            self.wrong.text = str(error)
        except ApiError as error:
            complain(error)
        else:
            self.table.rows = rows
            self.table.pagination = self._pagination(count)

    async def _turned(self, event: GenericEventArguments) -> None:
        asked = event.args["pagination"]
        self.page = int(asked["page"])
        self.order = (asked["sortBy"], "desc" if asked["descending"] else "asc") if asked.get("sortBy") else self.spec.order
        await self.refresh()

    async def _open(self, row: Json) -> None:
        if self.on_open is not None and row["id"] in self.raw:
            await self.on_open(self.raw[row["id"]])

    # The filter

    def _add(self) -> None:
        first = self.spec.fields[0]
        self.conditions.append({"name": first.name, "operator": "=", "text": ""})
        self._draw_conditions()

    def _draw_conditions(self) -> None:
        self.lines.clear()
        self.lines.visible = bool(self.conditions)
        names = {field.name: field.label for field in self.spec.fields}
        with self.lines, box("card"):
            for one in self.conditions:
                with box("condition"):
                    ui.select(names, value=one["name"]).props('aria-label="Field"').on_value_change(self._setter(one, "name"))
                    ui.select(OPERATORS, value=one["operator"]).props('aria-label="Comparison"').on_value_change(
                        self._setter(one, "operator")
                    )
                    value = ui.input("Value", value=one["text"]).props('aria-label="Value"').on_value_change(self._setter(one, "text"))
                    value.on("keydown.enter", self._apply)
                    drop = ui.button(icon="close", on_click=lambda one=one: self._drop(one), color=None)
                    drop.props('flat round dense aria-label="Remove this filter"').classes("quiet")
            with box("dialog-actions"):
                ui.button("Apply", on_click=self._apply)

    def _setter(self, one: Json, name: str) -> Callable[[Any], None]:
        return lambda event: one.update({name: event.value or ""})

    async def _drop(self, one: Json) -> None:
        self.conditions.remove(one)
        self._draw_conditions()
        await self._apply()

    async def _apply(self) -> None:
        self.page = 1
        await self.refresh()

    async def act(self, action: Any, done: str) -> None:
        """Does something to a row, and shows the page as it is then."""
        if await attempt(action, done) is not None:
            await self.refresh()
