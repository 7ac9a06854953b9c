"""The signed door: who asks is told by an API key and a signature, and every answer has the V2 wrapper `{"code", "msg", "data"}`."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from cryptography.fernet import InvalidToken
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from shared.store.outbox import upsert
from sqlalchemy import select
from sqlmodel import col

from api.auth import Actor
from api.context import Context
from api.door import Handler, context_of
from api.errors import Refused
from api.intake import parse_json
from api.openapi import signing
from api.store import ApiKey, Customer, Signed
from api.tables import table_of

log = structlog.get_logger()

KEY_LENGTH = 64
KIND = "API_KEY"
COPY_TRADING = "COPY_TRADING"
WRITES = frozenset({"POST", "PUT", "DELETE"})
USED_MAX_LENGTH = 128
WEIGHT = 1
"""What each endpoint of the specification takes of the allowance."""

MESSAGES = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1003: (429, "Too many requests."),
    -1015: (429, "Too many new orders."),
    -1023: (403, "Please set IP whitelist before using API"),
    -1005: (403, "No permission."),
    -1020: (403, "This operation is not supported."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -1022: (401, "Signature for this request is not valid."),
    -1102: (400, "Mandatory parameter '%s' was not sent, was empty/null, or malformed."),
    -1103: (400, "each request requires at least one parameter (timestamp)"),
    -1107: (401, "accessKey missing from header/params or wrong format"),
    -1130: (400, "Data sent for paramter '%s' is not valid."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
    -2017: (401, "API-key expired."),
    -2018: (401, "API-key suspended."),
    -32045: (400, "Copy trading follower not found."),
    -32090: (400, "Trading pair change is not allowed."),
    -32093: (400, "Copy trading position type cannot be changed."),
    -120041: (400, "Copy trading leader is not available."),
    -120047: (400, "Leader does not exist."),
    -120055: (400, "The follower currently has copy position, cannot be removed."),
    -120067: (400, "Copy trading level config not found."),
    -120072: (400, "Copy trading leader config is invalid."),
    -120073: (400, "Unable to switch invite setting."),
    -120078: (400, "unLeadStartTime or unLeadEndTime is invalid."),
    -120510: (400, "Invite code already exists."),
    -120511: (400, "Invite code contains sensitive content."),
    -120512: (400, "Invite code is invalid."),
}


class SignedRefusal(Exception):  # noqa: N818  (it carries a refusal, as `Refused` does)
    """A refusal of the V2, by its code; `about` is the parameter that it is about."""

    def __init__(self, code: int, about: str = "", retry_after_s: int = 0) -> None:
        super().__init__(code)
        self.headers = {"Retry-After": str(retry_after_s)} if retry_after_s else None
        status, text = MESSAGES[code]
        self.status = status
        self.body = {"code": code, "msg": text % about if "%s" in text else text, "data": None}


class Wrapped(BaseModel):
    """The V2 wrapper of every answer: `code` 200 and the data, or an error's code and words."""

    code: int
    msg: str
    data: Any = None


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Wrapped, "description": ", ".join(str(code) for code, (its, _) in MESSAGES.items() if its == status)}
    for status in (400, 401, 403, 429, 500)
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A request that is known to come from the holder of a key."""

    context: Context
    key: ApiKey
    parameters: Mapping[str, str]
    actor: Actor
    body: Mapping[str, Any]
    """A JSON body's fields; a parameter of the same name goes before."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the request says, wherever it says it: query, form or JSON."""
        return {**self.body, **self.parameters}

    @property
    def login(self) -> int:
        """The account that the key is for."""
        return self.key.login


class SignedRoute(APIRoute):
    """A route that is open to signed requests alone."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                request.state.caller = await admit(request, WEIGHT)
                return await handle(request)
            except SignedRefusal as refusal:
                return JSONResponse(refusal.body, refusal.status, refusal.headers)
            except Refused as refused:
                if refused.status == 429:
                    return JSONResponse(SignedRefusal(-1003).body, 429, {"Retry-After": str(refused.retry_after_s)})
                log.error("a refusal that the V2 has no code for", code=refused.code)
            except Exception as error:
                log.error("request failed", path=request.url.path, exc_info=error)
            unknown = SignedRefusal(-1000)
            return JSONResponse(unknown.body, unknown.status)

        return handler


def caller_of(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def success(data: Any) -> dict[str, Any]:
    return {"code": 200, "msg": "success", "data": data}


async def admit(request: Request, weight: int) -> Caller:
    """Lets a signed request in. The order of the checks is the one that existing clients know. Raises SignedRefusal, and
    Refused(TOO_MANY_REQUESTS) when the key's allowance does not have the request's weight any more."""
    context = context_of(request)
    body = (await request.body()).decode("utf-8", "surrogateescape")
    query = request.scope["query_string"].decode("utf-8", "surrogateescape")
    is_form = not request.headers.get("content-type", "").startswith("application/json") and not body.lstrip().startswith("{")
    given = signing.parameters(query, body if is_form else "")
    name = request.headers.get("x-bb-apikey") or given.get("accessKey", "")
    if len(name) != KEY_LENGTH or not name.isascii():
        raise SignedRefusal(-1107)
    if not name.isalnum():
        raise SignedRefusal(-2014)
    if not given:
        raise SignedRefusal(-1103)
    if not given.get("signature"):
        raise SignedRefusal(-1102, "signature")
    timestamp, recv_window = _stamp(given), _recv_window(given)
    now = context.store.clock()
    if not signing.in_window(timestamp, recv_window, now):
        raise SignedRefusal(-1021)
    key = await _key(context, name, request.client.host if request.client else "", now)
    must = context.settings.openapi_require_signed_body
    candidates = signing.payloads(query, body, is_form=is_form, body_must_be_signed=must)
    if not signing.is_signed(_secret(context, key), given["signature"], candidates):
        raise SignedRefusal(-1022)
    writes = request.method in WRITES
    await context.spend_weight(f"key:{key.id}", weight)
    if writes:
        await _spend_write(context, key)
    if key.account_type != COPY_TRADING:
        raise SignedRefusal(-1005)
    if writes and key.read_only:
        raise SignedRefusal(-1020)
    if writes and context.settings.openapi_require_ip_list and not key.ips:
        raise SignedRefusal(-1023)
    await _once(context, key, given, writes, timestamp + recv_window)
    return Caller(context, key, given, Actor(KIND, str(key.id), key.customer_id), {} if is_form else _json(context, body))


async def _spend_write(context: Context, key: ApiKey) -> None:
    try:
        await context.spend_write(str(key.id))
    except Refused as refused:
        raise SignedRefusal(-1015, retry_after_s=refused.retry_after_s) from None


def _json(context: Context, body: str) -> dict[str, Any]:
    """A JSON body's fields; empty when there is no body. Raises SignedRefusal(-1130) for what is no JSON object."""
    if not body.strip():
        return {}
    try:
        found = parse_json(body, context.settings.json_depth_max)
    except Refused:
        raise SignedRefusal(-1130, "body") from None
    if not isinstance(found, dict):
        raise SignedRefusal(-1130, "body")
    return found


def _stamp(given: Mapping[str, str]) -> int:
    text = given.get("timestamp", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise SignedRefusal(-1102, "timestamp")
    return int(text)


def _recv_window(given: Mapping[str, str]) -> int:
    text = given.get("recvWindow", str(signing.RECV_WINDOW_DEFAULT_MS))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise SignedRefusal(-1130, "recvWindow")
    # More than the longest window is taken as the longest: existing clients send up to 10000000.
    return min(int(text), signing.RECV_WINDOW_MAX_MS)


async def _key(context: Context, name: str, address: str, now: int) -> ApiKey:
    of_customer = select(ApiKey, col(Customer.enabled)).outerjoin(Customer, col(Customer.id) == col(ApiKey.customer_id))
    async with context.store.read() as session:
        row = (await session.execute(of_customer.where(col(ApiKey.key) == name))).one_or_none()
    if row is None or not _from_allowed(row[0].ips, address):
        raise SignedRefusal(-2015)
    key: ApiKey = row[0]
    if not key.enabled or row[1] == 0:  # a customer of the broker who has no row here is as good
        raise SignedRefusal(-2018)
    if key.expires_ms and key.expires_ms <= now:
        raise SignedRefusal(-2017)
    return key


def _from_allowed(ips: str, address: str) -> bool:
    if not ips:
        return True
    try:
        came_from = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(came_from in ipaddress.ip_network(one) for one in ips.split(","))


def _secret(context: Context, key: ApiKey) -> str:
    try:
        return context.vault.open(key.secret_sealed)
    except InvalidToken:  # LOCKSTEP_SECRET was changed: keys of before are no longer any good
        log.warning("an API key was made under another LOCKSTEP_SECRET", key=key.id)
        raise SignedRefusal(-2015) from None


async def _once(context: Context, key: ApiKey, given: Mapping[str, str], writes: bool, until_ms: int) -> None:
    """Replay protection: a nonce, where one is sent or required, and the signature of a write, count once within their window."""
    nonce = given.get("nonce", "")
    if key.require_nonce and not nonce:
        raise SignedRefusal(-1102, "nonce")
    if len(nonce) > USED_MAX_LENGTH - 2 or not nonce.isascii() or not nonce.isprintable():
        raise SignedRefusal(-1130, "nonce")
    used = [f"n:{nonce}"] if nonce else []
    signature = given["signature"].lower()
    if writes:
        if context.was_read(key.id, signature):
            raise SignedRefusal(-1022)
        used.append(f"s:{signature}")
    else:
        context.keep_read(key.id, signature, until_ms)
    if not used:
        return
    async with context.store.work() as work:
        table = table_of(Signed)
        for one in used:
            statement = upsert(work.session, table).values(key_id=key.id, used=one, expires_ms=until_ms).on_conflict_do_nothing()
            if (await work.session.execute(statement.returning(table.c.used))).scalar() is None:
                raise SignedRefusal(-1022)
