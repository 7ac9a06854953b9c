"""What every event has, the table form, and the batch that is one entry of a stream."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, ClassVar, NamedTuple, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from shared.money import EXACT

ROWS_PER_ENTRY = 500
"""Most table rows that one entry of a stream carries."""

Amount = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json")]
"""Money or a price: a finite Decimal inside, a plain decimal string (never an exponent) on the wire."""


class Event(BaseModel):
    """One thing that happened, or that somebody wants done. The stamp (`id` to `time`) is put on when it is emitted."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    type: str
    id: str = ""
    correlation_id: str = ""
    """The id of the event that began the workflow."""
    causation_id: str = ""
    """The id of the event that this one answers."""
    time: int = 0
    """When it happened: Unix milliseconds."""

    def weight(self) -> int:
        """How many rows of an entry the event takes."""
        return 1


class TableEvent(Event):
    """An event about many accounts at once: `structure` names the columns, `rows` holds one NamedTuple each.

    A reader takes columns by name: one that it does not know is left out, one that an older writer did not send has its default. On the
    wire, `same` may hold the columns that all rows share, each with its one value; `structure` and `rows` then leave them out.
    """

    structure: tuple[str, ...]
    rows: tuple[Any, ...]
    _fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        arguments = get_args(cls.model_fields["rows"].annotation)
        if arguments and hasattr(arguments[0], "_fields"):
            cls._fields = arguments[0]._fields

    @classmethod
    def of(cls, rows: Iterable[Any], **fields: Any) -> Self:
        """The event with these rows, which are of the event's own row type already: they are not validated again."""
        own_type = cls.model_fields["type"].default
        return cast("Self", cls.model_construct(type=own_type, structure=cls._fields, rows=tuple(rows), **fields))

    @model_validator(mode="before")
    @classmethod
    def _columns_by_name(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "structure" not in data or "rows" not in data:
            return data
        sent, same, sent_rows = data["structure"], data.get("same") or {}, data["rows"]
        if not isinstance(sent, list | tuple) or not isinstance(sent_rows, list | tuple) or not isinstance(same, dict):
            return data
        if not same and tuple(sent) == cls._fields[: len(sent)]:
            return data
        if not all(isinstance(name, str) for name in sent):
            return data
        place = {name: index for index, name in enumerate(sent)}
        known = tuple(name for name in cls._fields if name in place or name in same)
        try:
            columns = [[row[place[name]] for row in sent_rows] if name in place else [same[name]] * len(sent_rows) for name in known]
        except (IndexError, TypeError, KeyError):
            raise ValueError("a row has not a value for each column of the structure") from None
        rows: list[Any] = list(zip(*columns, strict=True))
        if known != cls._fields[: len(known)]:
            rows = [dict(zip(known, row, strict=True)) for row in rows]
        return {**data, "structure": known, "rows": rows}

    def weight(self) -> int:
        return max(1, len(self.rows))


class Lost(NamedTuple):
    """Numbers that a writer no longer has, first to last: the batch that says so begins a snapshot which stands for them."""

    first: int
    last: int


class Batch(BaseModel):
    """One entry of a stream: what one transaction of its writer told, or so much of it as an entry holds (`shared.store.work.pack`).

    The entry's id is its `number` in the writer's own log; the stream itself carries everything but that.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    sent: int
    """When the writer committed it: Unix milliseconds."""
    after: dict[str, int] = Field(default_factory=dict)
    """How far the writer had read other streams: a reader of those handles the batch only when it has read as far."""
    lost: Lost | None = None
    events: tuple[dict[str, Any], ...] = ()


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros or an exponent: what two writers of it would both send."""
    normal = value.normalize(EXACT)
    return normal.quantize(Decimal(1), context=EXACT) if normal.as_tuple().exponent > 0 else normal  # type: ignore[operator]
