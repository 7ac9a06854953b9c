"""What every table of the api is made with: the metadata, the base class, and what a column holds."""

from typing import Any, Literal

from shared.store.engine import ScaledDecimal
from shared.store.outbox import BigId, log_metadata
from sqlalchemy import Column, Integer
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

METADATA = log_metadata()
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Ids are never given out again, not even the last one after its record was deleted: client order ids are made of them."""


class Base(SQLModel, registry=registry(metadata=METADATA)):
    """A table of this service."""


def key() -> Any:
    return Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))


Kind = Literal["int", "number", "text"]


def kind_of(column: Any) -> Kind:
    """What a column holds: whole numbers, amounts, or text."""
    if isinstance(column.type, ScaledDecimal):
        return "number"
    return "int" if isinstance(column.type, Integer) else "text"


def table_of(model: type[Base]) -> Any:
    """The SQLAlchemy table behind a model."""
    return model.__table__  # type: ignore[attr-defined]
