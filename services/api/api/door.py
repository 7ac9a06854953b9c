"""The HTTP door: limits on what comes in, who is asking, and every failure answered in the same form."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from shared.store.engine import AWAY
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Actor
from api.context import KEY_MAX_LENGTH, Asked, Context, Operation, fingerprint
from api.errors import STATUS, Refused
from api.intake import parse_json
from api.views import Json

log = structlog.get_logger()

CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}
WRITES = frozenset({"POST", "PUT", "DELETE", "PATCH"})
TOKEN = APIKeyHeader(
    name="Authorization", scheme_name="session", description="The session's token, with or without `Bearer`.", auto_error=False
)


class Failure(BaseModel):
    """The body of every answer that is no success."""

    error: str
    message: str = ""


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": ", ".join(sorted(code for code, its in STATUS.items() if its == status))}
    for status in (400, 401, 403, 404, 405, 408, 409, 412, 413, 422, 429, 503)
}


class StrictRequest(Request):
    """A request whose JSON goes through our own parser."""

    async def json(self) -> Any:
        return parse_json(await self.body(), context_of(self).settings.json_depth_max)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenRoute(APIRoute):
    """A route that asks for no session."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            await self.admit(strict)
            return await handle(strict)

        return handler

    async def admit(self, request: Request) -> None:
        """Lets the request in, or raises Refused. Comes before anything else is looked at."""


class CustomerRoute(OpenRoute):
    """A route for customers' sessions."""

    async def admit(self, request: Request) -> None:
        context = context_of(request)
        request.state.token = self.token(request)
        request.state.actor = await context.customer(request.state.token)
        await context.spend(str(request.state.actor))

    def token(self, request: Request) -> str:
        """Where the session's token is."""
        return request.headers.get("authorization", "")


class ManagerRoute(OpenRoute):
    """A route for managers' sessions."""

    async def admit(self, request: Request) -> None:
        context = context_of(request)
        request.state.actor = context.manager(request.headers.get("authorization", ""))
        await context.spend(str(request.state.actor))


class Door:
    """What an endpoint works with: who asks, and how to write."""

    def __init__(self, context: Context, actor: Actor, asked: Asked) -> None:
        self.context = context
        self.actor = actor
        self._asked = asked

    @property
    def customer_id(self) -> int:
        assert self.actor.customer_id is not None, "not a customer's route"
        return self.actor.customer_id

    async def write(self, operation: Operation) -> Json:
        return await self.context.write(self.actor, operation, self._asked)


def context_of(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


async def door(request: Request, _token: Annotated[str | None, Depends(TOKEN)]) -> Door:
    """The door of a route with a session."""
    return Door(context_of(request), request.state.actor, await asked(request))


At = Annotated[Door, Depends(door)]


async def asked(request: Request) -> Asked:
    """What the headers say about a write."""
    if request.method not in WRITES:
        return Asked()
    key = request.headers.get("idempotency-key", "")
    if len(key) > KEY_MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Refused("INVALID_DATA", f"Idempotency-Key: at most {KEY_MAX_LENGTH} printable ASCII characters")
    # As it was sent: a query need not be text.
    print_ = fingerprint(request.method, request.scope["path"], request.scope["query_string"], await request.body()) if key else ""
    return Asked(key, print_, _if_match(request.headers.get("if-match", "")))


def _if_match(header: str) -> int | None:
    version = header.strip().removeprefix("W/").strip('"')
    if version in {"", "*"}:
        return None
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise Refused("PRECONDITION_FAILED", "If-Match takes the record's version")
    return int(version)


def failure(refused: Refused) -> JSONResponse:
    headers = {"Retry-After": str(refused.retry_after_s)} if refused.retry_after_s else None
    return JSONResponse(refused.body(), refused.status, headers)


def invalid(errors: Sequence[Any]) -> Refused:
    """What a validation found, in the specification's words: the reward policy has codes of its own."""
    first = errors[0] if errors else {}
    place = [str(part) for part in first.get("loc", ()) if part != "body"]
    message = f"{'.'.join(place)}: {first.get('msg', 'invalid')}"[:300]
    if "reward_policy" in place[:1]:
        absent = len(place) == 1 and (first.get("type") == "missing" or first.get("input") is None)
        return Refused("REWARD_POLICY_REQUIRED" if absent else "INVALID_REWARD_POLICY", message)
    return Refused("INVALID_DATA", message)


def answer_failures(app: FastAPI) -> None:
    """Every failure answers `{"error": CODE, "message": ...}`."""

    @app.exception_handler(Refused)
    async def on_refused(_request: Request, refused: Refused) -> Response:
        return failure(refused)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: RequestValidationError) -> Response:
        return failure(invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "INVALID_DATA" if error.status_code < 500 else "INTERNAL")
        return JSONResponse(Refused(code, str(error.detail)).body(), error.status_code, error.headers)


class Limits:
    """The outermost layer: takes a body whole, within its size and time, and lets no unexpected failure out as it is."""

    def __init__(self, app: ASGIApp, body_max_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._body_max_bytes = body_max_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            try:
                body = await self._body(scope, receive)
                await self._app(scope, _replay(body, receive), send_on)
            except Refused as refused:
                await failure(refused)(scope, receive, send_on)
            except AWAY as fault:
                log.warning("database unavailable", fault=repr(fault))
                await failure(Refused("UNAVAILABLE", "try again"))(scope, receive, send_on)
        except Exception as error:
            log.error("request failed", path=scope["path"], exc_info=error)
            if begun:
                raise
            await failure(Refused("INTERNAL", "internal error"))(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        too_large = Refused("BODY_TOO_LARGE", f"a body has at most {self._body_max_bytes} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and len(length) < 20 and int(length) > self._body_max_bytes:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_s):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > self._body_max_bytes:
                        raise too_large
                    if message["type"] == "http.disconnect":
                        raise Refused("INVALID_DATA", "the body did not come whole")  # to nobody, but what it asked for is not known
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refused("REQUEST_TIMEOUT", "the body did not come in time") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body once more, then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
