"""JSON as the paper venue's door takes and gives it: numbers stay exact, and what is not a number is no number."""

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from shared.contracts.event import plain
from shared.money import quantize
from starlette.requests import ClientDisconnect

from gateway.decide import INVALID_DATA, NONE

BODY_MAX = 256 * 1024
BODY_S = 10.0
"""A body has come by then, however slowly its sender writes."""
INT64_MAX = 2**63 - 1
AMOUNT_MAX = Decimal(10) ** 9
PRICE_MAX = Decimal(10) ** 7
PLACES_MAX = 8
DIGITS = re.compile(r"-?[0-9]{1,19}")


class Fault(Exception):  # noqa: N818  (it is an answer)
    """A request that is answered with an error: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> Response:
        response = answer({"error": self.code, "message": self.message}, self.status)
        if self.status == 408:  # what else comes on this line is the rest of that body
            response.headers["connection"] = "close"
        return response


def invalid(message: str) -> Fault:
    return Fault(400, INVALID_DATA, message)


def _whole(value: Any) -> int:
    """A 64-bit whole number, as a JSON number or as a string of digits."""
    if isinstance(value, str) and DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is no whole number")
    return value


def _number(value: Any) -> Decimal:
    """A JSON number (no string) that is of a sane size, in its shortest form: how long it is written is up to its sender."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is no number")
    number = Decimal(value)
    if number.adjusted() > 18 or quantize(number, PLACES_MAX) != number:
        raise ValueError(f"is too large or has more than {PLACES_MAX} decimal places")
    return plain(quantize(number, PLACES_MAX)) or NONE  # no negative zero


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[Decimal, BeforeValidator(_number)]
Id = Annotated[Whole, Field(ge=1, le=INT64_MAX)]
Volume = Annotated[Whole, Field(ge=1, le=INT64_MAX)]
Price = Annotated[Number, Field(ge=0, le=PRICE_MAX)]
ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Expiration = Annotated[Whole, Field(ge=0, le=10**11)]
"""Unix seconds; 0: until cancelled."""


class Body(BaseModel):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewAccount(Body):
    customer_id: Id
    group: str
    balance: Annotated[Number, Field(ge=0, le=AMOUNT_MAX)] = Decimal(0)
    leverage: Annotated[Whole, Field(ge=1, le=1000)] = 100


class BalanceBody(Body):
    amount: Annotated[Number, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")] = "TR_REASON_DEPOSIT"


class NewOrder(Body):
    login: Id
    symbol: str
    side: Literal["buy", "sell"]
    volume: Volume
    type: Literal["market", "limit", "stop", "stop_limit"] = "market"
    price: Price = Decimal(0)
    limit_price: Price = Decimal(0)
    sl: Price = Decimal(0)
    tp: Price = Decimal(0)
    expiration: Expiration = 0
    client_id: ClientId | None = None
    leverage: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """0: the account's."""
    margin_type: Literal["cross", "isolated"] = "cross"


class CloseBody(Body):
    volume: Volume | None = None
    client_id: ClientId | None = None


class ChangeBody(Body):
    """What is left out stays as it is."""

    sl: Price = Decimal(0)
    tp: Price = Decimal(0)
    price: Price = Decimal(0)
    limit_price: Price = Decimal(0)
    expiration: Expiration = 0


class PriceBody(Body):
    bid: Annotated[Number, Field(gt=0, le=PRICE_MAX)]
    ask: Annotated[Number, Field(gt=0, le=PRICE_MAX)]


B = TypeVar("B", bound=Body)


async def body_of(request: Request, model: type[B], *, optional: bool = False) -> B:
    """The request's body. Raises Fault INVALID_DATA (413 when it is larger than 256 KB) for anything that it may not be, and
    REQUEST_TIMEOUT when it does not come."""
    data = await _bytes(request)
    if optional and not data.strip():
        return model()
    try:
        parsed = json.loads(data, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)
        return model.model_validate(parsed)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise invalid(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise invalid(f"the body is no JSON object that can be used: {type(error).__name__}") from error


def path_number(text: str) -> int:
    """A number in the path. Raises Fault INVALID_DATA."""
    if not DIGITS.fullmatch(text) or not 0 < int(text) <= INT64_MAX:
        raise invalid("the path has no number where one belongs")
    return int(text)


async def _bytes(request: Request) -> bytes:
    data = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                data += part
                if len(data) > BODY_MAX:
                    raise Fault(413, INVALID_DATA, f"a body has at most {BODY_MAX} bytes")
    except TimeoutError as error:
        raise Fault(408, "REQUEST_TIMEOUT", "the body did not come in time") from error
    except ClientDisconnect as error:
        raise invalid("the body ended too early") from error
    return data


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json_text(value), status, media_type="application/json")


def json_text(value: Any) -> str:
    """Amounts are JSON numbers with all their digits."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(name))}:{json_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    return json.dumps(value)
