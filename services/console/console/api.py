"""The console's way to the api: one pooled HTTP client, every answer exact, every failure a code that can be put in words."""

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import httpx
from prometheus_client import Histogram
from shared.telemetry import LATENCY_BUCKETS

Json = dict[str, Any]

CALL_SECONDS = Histogram("lockstep_console_api_seconds", "Time of a call to the api", ["method", "outcome"], buckets=LATENCY_BUCKETS)
AWAY = "AWAY"
IDLE_S = 2
"""An idle connection is used no more after so long: the api closes it after 5 s, and a call that is sent at that moment is lost."""
SESSION_OVER = frozenset({"INVALID_CUSTOMER_SESSION", "INVALID_MANAGER_SESSION"})


class ApiError(Exception):
    """The api said no, or nothing: `code` is its error code, or AWAY when it does not answer."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = code
        self.message = message

    @property
    def session_over(self) -> bool:
        return self.code in SESSION_OVER


class Api:
    """The api at one address. Numbers of answers are int or Decimal. All calls raise ApiError."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        limits = httpx.Limits(max_connections=200, keepalive_expiry=IDLE_S)
        endless = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=url, timeout=timeout_s, transport=transport, limits=limits)
        # An event stream holds its connection for as long as a page is open: calls must never wait for one of those.
        self.streams = httpx.AsyncClient(base_url=url, timeout=timeout_s, transport=transport, limits=endless)

    async def close(self) -> None:
        await self.http.aclose()
        await self.streams.aclose()

    async def call(
        self,
        method: str,
        path: str,
        token: str = "",
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        version: int | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """The answer's JSON. `version`: the record's that was seen; the api refuses to write over another (PRECONDITION_FAILED). `more`:
        further headers."""
        answer = await self._answer(method, path, token, body, params, version, more)
        try:
            return json.loads(answer.text, parse_float=Decimal)
        except ValueError as fault:
            raise ApiError(AWAY, "the answer is no JSON") from fault

    async def text(self, path: str, token: str, params: Mapping[str, Any]) -> str:
        """The answer as it is."""
        return (await self._answer("GET", path, token, None, params)).text

    async def _answer(
        self,
        method: str,
        path: str,
        token: str,
        body: Any,
        params: Mapping[str, Any] | None,
        version: int | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> httpx.Response:
        headers = {"Authorization": token} if token else {}
        headers |= {"If-Match": f'"{version}"'} if version is not None else {}
        headers |= more
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, default=_number)
        began = time.monotonic()
        outcome = "away"
        try:
            answer = await self.http.request(method, path, content=content, params=params, headers=headers)
            outcome = "refused" if answer.is_error else "ok"
        except httpx.HTTPError as fault:
            raise ApiError(AWAY, type(fault).__name__) from fault
        finally:
            CALL_SECONDS.labels(method, outcome).observe(time.monotonic() - began)
        if answer.is_error:
            raise _refusal(answer)
        return answer


def _number(value: object) -> float:
    # A Decimal of at most 15 digits is written as a float exactly as it stands.
    assert isinstance(value, Decimal)
    return float(value)


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        said = answer.json()
        return ApiError(str(said["error"]), str(said.get("message", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(
            "INTERNAL" if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else "NOT_FOUND", f"status {answer.status_code}"
        )
