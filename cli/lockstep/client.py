"""The demo's side of the two HTTP doors: the paper venue's, and the api's with its sessions."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

TIMEOUT_S = 10
TOO_MANY = 429


class Away(Exception):  # noqa: N818  (a state of the other side, not an error of ours)
    """The other side does not answer, or not now: the same may be tried again."""


class Denied(Exception):  # noqa: N818  (the other side's answer)
    """The other side said no, with an error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}".strip())
        self.status = status
        self.code = code


class Door:
    """One HTTP door. Numbers in answers are exact: Decimal, or int."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S)

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, method: str, path: str, body: Any = None, token: str = "", **params: Any) -> Any:
        """The answer's JSON. Raises Away or Denied."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        # A Decimal of at most 15 digits is written as a float exactly as it stands.
        content = None if body is None else json.dumps(body, default=float)
        try:
            answer = await self._client.request(method, path, content=content, params=params or None, headers=headers)
        except httpx.HTTPError as fault:
            raise Away(f"{method} {path}: {fault!r}") from fault
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code == TOO_MANY:
            raise Away(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        try:
            said = json.loads(answer.text, parse_float=Decimal) if answer.text else None
        except ValueError as fault:
            raise Away(f"{method} {path}: answers no JSON") from fault
        if answer.is_error:
            known = said if isinstance(said, dict) else {}
            raise Denied(answer.status_code, str(known.get("error", "")), str(known.get("message", "")))
        return said


class Customer:
    """A customer of the api: logs in when that is needed, and again when the session is over."""

    def __init__(self, api: Door, email: str, password: str) -> None:
        self._api = api
        self._email = email
        self._password = password
        self._token = ""

    async def log_in(self) -> dict[str, Any]:
        """The customer's profile."""
        profile: dict[str, Any] = await self._api.call("POST", "/customer/auth/login", {"email": self._email, "password": self._password})
        self._token = profile["__token"]
        return profile

    async def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        if not self._token:
            await self.log_in()
        try:
            return await self._api.call(method, path, body, self._token, **params)
        except Denied as denied:
            if denied.status != httpx.codes.UNAUTHORIZED:
                raise
        await self.log_in()
        return await self._api.call(method, path, body, self._token, **params)


class Manager:
    """A manager of the api, with tokens that are made beside it."""

    def __init__(self, api: Door, issue: Callable[[], str]) -> None:
        self._api = api
        self._issue = issue
        self._token = issue()

    async def call(self, command: str, data: dict[str, Any]) -> Any:
        try:
            return await self._api.call("POST", f"/manager/{command}", data, self._token)
        except Denied as denied:
            if denied.status != httpx.codes.UNAUTHORIZED:
                raise
        self._token = self._issue()
        return await self._api.call("POST", f"/manager/{command}", data, self._token)
