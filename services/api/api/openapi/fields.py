"""What a request of the V2 says, read field by field: -1102 for what is missing or malformed, -1130 for what is out of its range."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from shared.contracts.event import plain

from api.intake import INT64_MAX, fits
from api.openapi.door import SignedRefusal

AMOUNT_MAX = Decimal(10) ** 9
NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")
PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 10, 100
FLAGS = {"true": True, "1": True, "false": False, "0": False}


def given(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a field was sent with a value."""
    return fields.get(name) not in {None, ""} if not isinstance(fields.get(name), list | dict) else True


def needed(fields: Mapping[str, Any], name: str) -> Any:
    """A mandatory field. Raises SignedRefusal(-1102)."""
    if not given(fields, name):
        raise SignedRefusal(-1102, name)
    return fields[name]


def whole(fields: Mapping[str, Any], name: str, low: int = 0, high: int = INT64_MAX) -> int:
    """A mandatory whole number, as a number or as digits."""
    value = needed(fields, name)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdigit() and value.isascii():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SignedRefusal(-1102, name)
    if not low <= value <= high:
        raise SignedRefusal(-1130, name)
    return value


def amount(fields: Mapping[str, Any], name: str, high: Decimal = AMOUNT_MAX) -> Decimal:
    """A mandatory decimal, not negative, of 8 places at most; in its shortest form, however long it is written."""
    value = needed(fields, name)
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal) or len(str(value)) > 64:
        raise SignedRefusal(-1102, name)
    if not NUMBER.fullmatch(str(value)):  # Decimal takes 1_0, blanks, and digits of other scripts
        raise SignedRefusal(-1102, name)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise SignedRefusal(-1102, name) from None
    if not 0 <= number <= high:  # before it is looked at: 1e1000000 cannot be
        raise SignedRefusal(-1130, name)
    if not fits(number):
        raise SignedRefusal(-1130, name)
    return abs(plain(number))  # a 0e-999999999 would be told with all of its zeros


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """A mandatory boolean."""
    value = needed(fields, name)
    found = value if isinstance(value, bool) else FLAGS.get(str(value).lower())
    if found is None:
        raise SignedRefusal(-1102, name)
    return found


def text(fields: Mapping[str, Any], name: str, longest: int) -> str:
    """A mandatory text."""
    value = needed(fields, name)
    if not isinstance(value, str) or "\x00" in value or not value.isprintable():
        raise SignedRefusal(-1102, name)
    if len(value) > longest:
        raise SignedRefusal(-1130, name)
    return value


def query_whole(parameters: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """An optional whole number of a query: whatever is wrong with it is -1130."""
    value = str(parameters.get(name, default))
    if not value.isascii() or not value.isdigit() or len(value) > 18 or not low <= int(value) <= high:
        raise SignedRefusal(-1130, name)
    return int(value)


def paging(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Page, from 1, and size, 100 at most."""
    page = query_whole(parameters, "page", 1, 1, 10**9)
    return page, query_whole(parameters, "size", PAGE_SIZE_DEFAULT, 1, PAGE_SIZE_MAX)


def page_of(found: list[Any], total: int, size: int) -> dict[str, Any]:
    """One page, as the V2 answers it."""
    return {"pages": str(-(-total // size)), "total": str(total), "list": found}


def user_id(value: str, name: str) -> int:
    """A user id of a path or query, 1 or more. Raises SignedRefusal(-1130)."""
    if not value.isascii() or not value.isdigit() or len(value) > 18 or int(value) < 1:
        raise SignedRefusal(-1130, name)
    return int(value)
