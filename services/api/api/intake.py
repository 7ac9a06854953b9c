"""What comes in from outside: one JSON parser with limits, for every door. Numbers stay exact: a fraction becomes a Decimal."""

import json
from decimal import Context, Decimal
from typing import Any, NoReturn

from api.errors import Refused

INT64_MAX = 2**63 - 1
EXPONENT_MAX = 40
DEPTH_MAX = 16
SMALLEST = Decimal("0.00000001")
"""What amounts are kept in: 8 decimal places."""
AS_WRITTEN = Context(prec=160)
"""Wider than any number that is taken in is long, so that nothing of it is rounded away before it is looked at."""


def parse_json(raw: bytes | str, depth_max: int = DEPTH_MAX) -> Any:
    """The value, with its fractions as Decimals. Raises Refused(INVALID_DATA) for what is no JSON, or beyond the limits:
    depth, whole numbers of 64 bits, exponents, NaN and infinities, names given twice, text that is no Unicode or holds a NUL."""
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
        value = json.loads(text, parse_float=_fraction, parse_int=_whole, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Refused("INVALID_DATA", f"not JSON: {str(error)[:200]}") from None
    _look_through(value, depth_max)
    return value


def _fraction(text: str) -> Decimal:
    value = Decimal(text) if len(text) <= 100 else None
    if value is None or not value.is_finite() or abs(value.adjusted()) > EXPONENT_MAX:
        raise ValueError("a number is out of range")
    return value


def fits(number: Decimal) -> bool:
    """Whether a finite number has no more decimal places than an amount is kept with, however it is written."""
    return number == number.quantize(SMALLEST, context=AS_WRITTEN)


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else INT64_MAX + 1
    if abs(value) > INT64_MAX:
        raise ValueError("a whole number has more than 64 bits")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _look_through(value: Any, depth: int) -> None:
    if depth <= 0 and isinstance(value, list | dict):
        raise Refused("INVALID_DATA", "nested too deeply")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, list):
        for item in value:
            _look_through(item, depth - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_text(name)
            _look_through(item, depth - 1)


def check_text(text: str) -> None:
    """Refuses text that a database could not keep."""
    if "\x00" in text:
        raise Refused("INVALID_DATA", "text holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("INVALID_DATA", "text is no valid Unicode") from None
