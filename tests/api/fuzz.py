"""S10: requests that no client library would send, made from a seed: junk, and what is right but for one thing. Every answer is checked
against what `/openapi.json` declares for its route and status."""

import asyncio
import hashlib
import hmac
import json
import random
import string
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import jsonschema_rs
from api import auth, flow
from api.errors import STATUS
from api.filters import CONDITION_KEYS, OPERATORS
from api.manager.commands import COMMANDS
from shared.contracts.trades import PositionsOpened, SymbolsChanged
from shared.store.outbox import Report

from tests.api.test_events import GBPUSD, opened
from tests.api.told import link, links
from tests.api.world import ALICE, BOB, BOB_LOGIN, FOLLOWER_LOGIN, MASTER, MASTER_LOGIN, PERFORMANCE, World, open_world

AT_ONCE = 4
"""No more than the pool has connections: opening one costs more than a request."""
PER_WORLD = 4000
"""Requests until everything begins anew, so that what was made on the way does not pile up."""

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 3, 0.5, -0.0, 1e-9, 1e308, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30),
    *("", " ", "x", "1", "-1", "0x10", "\u0000", "\ud800", "\u202e💥", "' OR 1=1 --", "%", "a" * 300, "GBPUSD", "public", "USD"),
    *([], {}, [[]], [None], {"x": 1}, [[["id", "=", 1]]], ALICE, BOB, MASTER_LOGIN, BOB_LOGIN, FOLLOWER_LOGIN),
]
BODIES: dict[str, Any] = {
    "/copytrade/master": MASTER,
    "/copytrade/master/{id}": {"enabled": 1, "strategy_name": "x", "reward_policy": PERFORMANCE},
    "/copytrade/follower": {"login": BOB_LOGIN, "max_master_count": 3},
    "/copytrade/follower/{id}": {"enabled": 1, "manual_trading_mode": 1},
    "/copytrade/subscription": {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN, "risk_multiplier": 1.5},
    "/copytrade/subscription/{id}": {"enabled": 1, "max_positions": 3, "symbols_mode": 1, "symbols": "GBPUSD"},
    "/copytrade/halt": {"scope": "follower", "login": BOB_LOGIN, "mode": "reduce_only"},
    "/copytrade/resume": {"scope": "follower", "login": BOB_LOGIN},
    "/copytrade/api-keys": {"login": BOB_LOGIN, "ips": "10.0.0.0/8"},
    "/copytrade/api-keys/{id}": {"enabled": 1, "expires_time": 2_000_000_000},
    "/customer/auth/login": {"email": "bob@example.com", "password": "correct horse"},
    "/customer/auth/otp": {"otp_code": "123456", "enabled": 1},
}
DATA: dict[str, Any] = {
    "MngCreateCopyMaster": MASTER,
    "MngCreateCopyRewardPolicy": {"master_id": 1, **PERFORMANCE},
    "MngUpdateCopyRewardPolicy": {"id": 1, **PERFORMANCE},
    "MngCreateCustomer": {"email": "x@y.zz", "password": "correct horse"},
    "MngCreateCopyFollower": {"login": BOB_LOGIN},
    "MngCreateCopySubscription": {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN},
    "MngCreateApiKey": {"login": BOB_LOGIN},
    "MngHalt": {"scope": "all"},
    "MngResume": {"scope": "all"},
}
FILTER: dict[str, Any] = {"limit": 10, "offset": 0, "where": [["id", ">=", 1]], "orderBy": [["id", "desc"]]}
PARAMETERS = (*CONDITION_KEYS, "where", "where", "orderBy", "limit", "offset", "period", "format", "login", "symbols")
NO_OBJECTS = (b"", b"null", b"[]", b"{", b"[" * 5000, b'{"a":1,"a":1}', b'{"limit":1e999}', b"NaN")
NAMES = (b"content-type", b"content-length", b"idempotency-key", b"if-match", b"last-event-id", b"accept", b"cookie")
FIELDS = ("id", "login", "stats.roi", "pnl", "strategy_name", "state", "created_time", "order", "email", "fee_amount", "nonsense")


class Sent(NamedTuple):
    """One request as it is put to the application, and the route that it is meant for (empty: none)."""

    route: str
    method: str
    path: str
    query: bytes
    body: bytes
    headers: list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


class Maker:
    """Makes requests from a seed."""

    def __init__(self, seed: int, world: World, paths: dict[str, Any]) -> None:
        self.chance = random.Random(seed)
        self.routes = [(method.upper(), path) for path, methods in paths.items() for method in methods]
        self.tokens = {
            "customer": [world.token(auth.CUSTOMER, ALICE), world.token(auth.CUSTOMER, BOB)],
            "manager": [world.token(kind, "ops") for kind in sorted(auth.MANAGERS)],
        }
        self.key, self.secret = "", ""
        self.now = world.now

    def one(self) -> Sent:
        """The next request."""
        if self.chance.random() < 0.1:
            return self._junk()
        method, route = self.chance.choice(self.routes)
        path = route.replace("{id}", self.chance.choice(("1", "1", "2", "3", "0", "-1", "x", "9" * 30, "1e3")))
        path = path.replace("{leader}", str(MASTER_LOGIN)).replace("{command}", command := self.chance.choice(sorted(COMMANDS)))
        data = DATA.get(command, FILTER if "ByFilter" in command else {"id": self.chance.randint(0, 3)})
        wanted = data if "{command}" in route else FILTER if route.endswith("/search") else BODIES.get(route)
        body = self._body(wanted) if method != "GET" or self.chance.random() < 0.1 else b""
        if route.startswith("/api/v2"):
            return self._signed(route, method, path, body)
        owners = self.tokens["manager" if route.startswith("/manager") else "customer"]
        token = self.chance.choice(owners if self.chance.random() < 0.95 else ["", "x", "Bearer ", *self.tokens["manager"]])
        headers = [(b"authorization", token.encode()), *self._more_headers()]
        query = self._query() if method == "GET" or self.chance.random() < 0.1 else b""
        if route.endswith("/events"):
            query = b"follow=0&" + query
        return Sent(f"{method} {route}", method, path, query, body, headers)

    def _junk(self) -> Sent:
        method = self.chance.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "X"))
        path = self.chance.choice((self.chance.choice(self.routes)[1], "/", "/copytrade", self._text(), "/copytrade/" + self._text()))
        token = self.chance.choice((*self.tokens["customer"], self.tokens["manager"][0], "", "\xff", self._text()))
        headers = [(b"authorization", token.encode("utf-8", "replace")), *self._more_headers()]
        if path.endswith("/events"):
            path = "/copytrade/eventss"
        return Sent("", method, "/" + path.lstrip("/"), self._bytes(40), self._bytes(60), headers)

    def _signed(self, route: str, method: str, path: str, body: bytes) -> Sent:
        given = {"timestamp": str(self.now), "recvWindow": "5000", "nonce": str(self.chance.getrandbits(60))}
        names = self.chance.sample(("page", "size", "leaderUserId", "type"), self.chance.randint(0, 2))
        given |= {name: str(self._value()) for name in names}
        query = urlencode(given, errors="replace").encode()
        body = body if self.chance.random() < 0.3 else b""
        signature = hmac.new(self.secret.encode(), query, hashlib.sha256).hexdigest()
        query += b"&signature=" + (signature if self.chance.random() < 0.9 else "00").encode()
        headers = [(b"x-bb-apikey", self.key.encode()), (b"content-type", b"application/json")]
        return Sent(f"{method} {route}", method, path, query, body, headers)

    def _query(self) -> bytes:
        """A filter as a query string, most of it right."""
        if self.chance.random() < 0.1:
            return self._bytes(40)
        items: list[tuple[str, str]] = []
        for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
            name = self.chance.choice(PARAMETERS)
            items.append((name, self._filter_value(name)))
        return "&".join(f"{name}={quote(text, errors='replace')}" for name, text in items).encode()

    def _filter_value(self, name: str) -> str:
        if self.chance.random() < 0.15:
            return self.chance.choice((self._json(self._value()), self._text()))
        field = self.chance.choice(FIELDS)
        match name:
            case "where":
                found: Any = [[field, self.chance.choice(OPERATORS), self._value()]]
            case "whereNot":
                found = [[field, self._value()]]
            case "whereIn" | "whereNotIn" | "whereBetween" | "whereNotBetween":
                found = [[field, [self._value() for _ in range(2)]]]
            case "orderBy":
                found = [[field, self.chance.choice(("asc", "desc", "DESC", "up"))]]
            case "period" | "format":
                return self.chance.choice(("7D", "30D", "365D", "table", "objects", "x"))
            case "login":
                return str(MASTER_LOGIN)
            case _:
                found = self.chance.choice((0, 1, 5, 500, 501, -1))
        return self._json(found)

    def _body(self, wanted: Any) -> bytes:
        """What the route takes, as it is or with a thing or two changed; sometimes no JSON at all."""
        dice = self.chance.random()
        if dice < 0.08 or wanted is None:
            return self.chance.choice((*NO_OBJECTS, self._bytes(60)))
        body = {name: list(value) if isinstance(value, list) else value for name, value in wanted.items()}
        while dice > 0.3:
            name = self.chance.choice((*body, "id", "customer_id", "updated_time", "close_policy"))
            if self.chance.random() < 0.2:
                body.pop(name, None)
            else:
                body[name] = self._value()
            dice = self.chance.random()
        raw = self._json(body).encode("utf-8", "surrogatepass")
        return raw[: self.chance.randrange(len(raw))] if self.chance.random() < 0.03 else raw

    def _more_headers(self) -> list[tuple[bytes, bytes]]:
        if self.chance.random() < 0.7:
            return []
        name = self.chance.choice(NAMES)
        right = {b"idempotency-key": b"k%d" % self.chance.randrange(50), b"if-match": b'"1"', b"accept": b"text/csv"}
        return [(name, right.get(name, b"1") if self.chance.random() < 0.7 else self._bytes(12))]

    def _value(self) -> Any:
        return self.chance.choice(VALUES)

    def _text(self) -> str:
        return "".join(self.chance.choices(string.printable + "é\u0000💥", k=self.chance.randrange(12)))

    def _bytes(self, most: int) -> bytes:
        return self.chance.randbytes(self.chance.randrange(most))

    def _json(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=self.chance.random() < 0.5)


class Judge:
    """Knows what each route may answer."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._schemas: dict[tuple[str, int], Any] = {}
        self._kinds: dict[tuple[str, int], set[str]] = {}
        self._components = {"components": spec["components"]}
        self._compiled: dict[str, Any] = {}
        for path, methods in spec["paths"].items():
            for method, operation in methods.items():
                for status, answer in operation["responses"].items():
                    key = (f"{method.upper()} {path}", int(status))
                    content = answer.get("content", {})
                    self._kinds[key] = set(content)
                    self._schemas[key] = content.get("application/json", {}).get("schema")

    def _validator(self, schema: Any) -> Any:
        """Compiled when it is first needed; many answers have the same schema."""
        name = json.dumps(schema)
        if name not in self._compiled:
            self._compiled[name] = jsonschema_rs.validator_for(schema | self._components)
        return self._compiled[name]

    def wrong(self, sent: Sent, answer: Answer) -> str:
        """What is wrong with an answer; empty when nothing is."""
        if answer.status >= 500:
            return "a failure of ours"
        if sent.method == "HEAD" or (not answer.body and not sent.route):
            return ""
        if answer.kind == "application/json":
            try:
                value = json.loads(answer.body)
            except ValueError:
                return "no JSON"
        elif answer.kind.partition(";")[0] in self._kinds.get((sent.route, answer.status), {"text/html"}):
            return ""
        else:
            return f"an answer of an undeclared kind: {answer.kind}"
        if (schema := self._schemas.get((sent.route, answer.status))) is not None:
            return next((f"not as declared: {error.message}"[:300] for error in self._validator(schema).iter_errors(value)), "")
        if answer.status == 200:
            return "" if not sent.route else "a success that is not declared"
        if sent.path.startswith("/api/v2") and set(value) == {"code", "msg", "data"}:
            return ""
        known = set(value) == {"error", "message"} and (value["error"] in STATUS)
        return "" if known and STATUS[value["error"]] == answer.status else "a failure that is not in the table"


async def put(world: World, sent: Sent) -> Answer:
    """The application's answer to a raw request."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "root_path": "",
        "path": sent.path,
        "raw_path": sent.path.encode("utf-8", "replace"),
        "query_string": sent.query,
        "client": ("1.2.3.4", 5),
        "headers": sent.headers,
        "server": ("api", 80),
    }
    told: list[Any] = []
    coming = iter([{"type": "http.request", "body": sent.body, "more_body": False}])
    done = asyncio.Event()

    async def receive() -> Any:
        if (message := next(coming, None)) is not None:
            return message
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    await world.app(scope, receive, send)
    done.set()
    headers = {name.lower(): value.decode("latin-1") for name, value in told[0]["headers"]}
    return Answer(told[0]["status"], headers.get(b"content-type", ""), b"".join(message.get("body", b"") for message in told[1:]))


async def _places() -> dict[str, tuple[int, dict[str, Report]]]:
    """What the bus would tell, were there one."""
    return {"trade.push": (7, {"api": Report(5, 1_778_160_000_000)})}


async def furnished(world: World, maker: Maker) -> None:
    """A world in which there is something to find."""
    await world.good(
        "SESSION_ADMIN", "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"}
    )
    await world.pair()
    await world.good(BOB, "POST", "/copytrade/subscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
    key = await world.good(BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN})
    maker.key, maker.secret = key["key"], key["secret"]
    world.context.reader_places = _places
    await world.told(flow.on_links, links(link(1), link(2, inputs="{}")))
    await world.told(flow.on_trades, SymbolsChanged.of([GBPUSD]), PositionsOpened.of([opened(5001, BOB_LOGIN)]))


async def run(seed: int, requests: int) -> Counter[int]:
    """Puts so many requests; answers how often each status came. Raises AssertionError for the first wrong answer, with its request."""
    statuses: Counter[int] = Counter()
    spec: dict[str, Any] = {}
    for part in range(-(-requests // PER_WORLD)):
        with TemporaryDirectory() as folder:
            home = Path(folder) / "world"
            home.mkdir()
            async with open_world(home, login_rate_limit="1000000/minute", rate_limit="100000000/minute") as world:
                if not spec:
                    spec = world.app.openapi()
                    judge = Judge(spec)
                maker = Maker(seed * 1_000_003 + part, world, spec["paths"])
                await furnished(world, maker)
                for _ in range(0, min(PER_WORLD, requests - part * PER_WORLD), AT_ONCE):
                    batch = [maker.one() for _ in range(AT_ONCE)]
                    for sent, answer in zip(batch, await asyncio.gather(*(put(world, sent) for sent in batch)), strict=True):
                        wrong = judge.wrong(sent, answer)
                        assert not wrong, f"seed {seed} part {part}: {wrong}\n{sent}\n{answer}"
                        statuses[answer.status] += 1
    return statuses
