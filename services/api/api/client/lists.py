"""Lists behind the client REST door: the standard filter from a query string or a JSON body, and rows as a table or as objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import Select
from sqlmodel import col, select

from api import filters, views
from api.context import Context
from api.door import context_of
from api.errors import Refused
from api.filters import CONDITION_KEYS, Fields, Query
from api.read_models import Account

Options = Mapping[str, Callable[[Any], Any]]


class Listing(NamedTuple):
    """A list: what may be filtered, what is answered, and the key that pages are ordered by last."""

    fields: Fields
    structure: Sequence[str]
    key: Any


def one_of(name: str, *allowed: str) -> Callable[[Any], str]:
    """The check of an option with a few values."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Refused("INVALID_DATA", f"{name} is one of {', '.join(allowed)}")
        return str(value)

    return check


FORMAT: Options = {"format": one_of("format", "table", "objects")}


async def query_of(request: Request, fields: Fields, options: Options) -> Query:
    """The filter that a request asks for: query parameters, and a JSON object as its body; a parameter goes before the body."""
    given: dict[str, Any] = {}
    if await request.body():
        body = await request.json()
        if not isinstance(body, dict):
            raise Refused("INVALID_DATA", "the filter must be a JSON object")
        given = body
    given |= filters.from_query_string(request.query_params.multi_items())
    settings = context_of(request).settings
    return filters.parse(given, fields, settings.page_default, settings.page_max, options)


async def answer(context: Context, listing: Listing, statement: Select[Any], query: Query) -> JSONResponse:
    """The page as a table, or as objects with `format=objects`."""
    async with context.store.read() as session:
        rows, count = await filters.page(session, statement, query, listing.fields, listing.key)
    form = views.objects if query.options.get("format") == "objects" else views.table
    return JSONResponse(form([row[0] for row in rows], listing.structure, count))


def own_logins(customer_id: int) -> Any:
    """The customer's accounts, as a subquery."""
    return select(col(Account.login)).where(col(Account.customer_id) == customer_id)


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _described(page_max: int, options: Mapping[str, Sequence[str]]) -> dict[str, tuple[dict[str, Any], str]]:
    array = {"type": "array", "items": {"type": "array"}}
    described: dict[str, tuple[dict[str, Any], str]] = dict.fromkeys(
        CONDITION_KEYS, (array, "conditions of the standard filter, all of which hold")
    )
    described["orderBy"] = (array, 'for example [["id", "desc"]]')
    described["limit"] = ({"type": "integer", "minimum": 1, "maximum": page_max}, "page size")
    described["offset"] = ({"type": "integer", "minimum": 0}, "rows to pass over")
    return described | {name: ({"type": "string", "enum": list(values)}, name) for name, values in options.items()}


def documented(options: Mapping[str, Sequence[str]], page_max: int = 500) -> dict[str, Any]:
    """`openapi_extra` of a GET list: the filter's keys as JSON-encoded parameters."""
    return {
        "parameters": [
            _parameter(
                name, {"type": "string"} if schema.get("type") == "array" else schema, f"{text} (JSON)" if "JSON" not in text else text
            )
            for name, (schema, text) in _described(page_max, options).items()
        ]
    }


def documented_search(options: Mapping[str, Sequence[str]], page_max: int = 500) -> dict[str, Any]:
    """`openapi_extra` of a POST search: the same keys in a body."""
    properties = {name: schema for name, (schema, _) in _described(page_max, options).items()}
    return {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}}


FORMATS = {"format": ("table", "objects")}
