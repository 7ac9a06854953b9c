"""What all doors share: the store, the settings, the limits, and how a write becomes one transaction with one answer."""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from shared.bus.letters import Board
from shared.clock import seconds
from shared.contracts.stats import PriceRow
from shared.store.engine import AWAY
from shared.store.outbox import Report, upsert
from shared.store.work import Store, Work
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from api import auth, news, read_models, tables
from api.auth import Actor, Session, Vault
from api.commands.change import Change
from api.errors import AccountUnseen, Refused
from api.marketplace import Marketplace
from api.settings import Settings
from api.store import Answered, Customer, Signed, one_at_a_time
from api.views import Json

log = structlog.get_logger()

POLL_S = 0.05
KEY_MAX_LENGTH = 255
PRUNE_EVERY_S = 600
CLOCK_WRONG_MS = 2 * 3_600_000
"""Two instances' clocks differ by less, one being an hour ahead and the other an hour behind."""
STANDINGS_MAX = 50_000
READS_MAX = 100_000

Operation = Callable[[Change], Awaitable[Json]]
ReaderPlaces = Callable[[], Awaitable[dict[str, tuple[int, dict[str, Report]]]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a write is known by, so that asking twice does it once."""

    key: str = ""
    fingerprint: str = ""
    if_match: int | None = None


class Context:
    """One instance a process; the doors are made with it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.secret = settings.secret.get_secret_value()
        self.vault = Vault(self.secret, settings.former_secrets)
        self.prices: dict[str, PriceRow] = {}
        self.letters: Board | None = None
        """The other services' dead letters; None in a process without a bus."""
        self.reader_places: ReaderPlaces | None = None
        """How far the readers of each stream are; None in a process without a bus."""
        self.marketplace = Marketplace(store)
        self.hub = news.Hub(store, settings.events_streams_max, settings.events_streams_total)
        self._standings: dict[int, tuple[float, tuple[int, int]]] = {}
        self._standings_dropped = 0
        self._reads: dict[tuple[int, str], int] = {}
        """Signatures of the reads of API keys, until when each could be sent again (Unix milliseconds)."""
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = parse(settings.rate_limit)
        self._login_rate = parse(settings.login_rate_limit)
        self._write_rate = parse(settings.openapi_write_rate_limit)

    def now_s(self) -> int:
        return seconds(self.store.clock())

    def session(self, token: str) -> Session | None:
        return auth.check_token(self.secret, token, self.now_s(), self.settings.former_secrets)

    async def customer(self, token: str) -> Actor:
        """The customer whose session it is. Raises Refused(INVALID_CUSTOMER_SESSION)."""
        session = self.session(token)
        customer_id = auth.customer_of(session)
        if session is None or customer_id is None:
            raise Refused("INVALID_CUSTOMER_SESSION", "the session is missing, invalid or expired")
        enabled, sessions_from_s = await self._standing(customer_id)
        if not enabled or session.issued_s < sessions_from_s:
            raise Refused("INVALID_CUSTOMER_SESSION", "the session was ended")
        return Actor(session.kind, str(customer_id), customer_id)

    async def _standing(self, customer_id: int) -> tuple[int, int]:
        """Whether a customer is enabled, and since when sessions are good (Unix seconds): as looked up a moment ago, on this instance
        after any manager's change anew."""
        now = time.monotonic()
        known = self._standings.get(customer_id)
        if known is not None and now < known[0]:
            return known[1]
        columns = select(col(Customer.enabled), col(Customer.sessions_from_s)).where(col(Customer.id) == customer_id)
        changes = self._standings_dropped
        async with self.store.read() as reading:
            row = (await reading.execute(columns)).one_or_none()
        # A customer of the broker who has no row here has a session from elsewhere: it is as good.
        found: tuple[int, int] = (row[0], row[1]) if row else (1, 0)
        if len(self._standings) >= STANDINGS_MAX:
            self._standings.clear()
        if changes == self._standings_dropped:
            self._standings[customer_id] = (now + self.settings.session_check_s, found)
        return found

    def manager(self, token: str) -> Actor:
        """The manager whose session it is. Raises Refused(INVALID_MANAGER_SESSION)."""
        session = self.session(token)
        if session is None or session.kind not in auth.MANAGERS:
            raise Refused("INVALID_MANAGER_SESSION", "the session is missing, invalid or expired")
        return Actor(session.kind, session.subject)

    async def spend(self, who: str) -> None:
        """One request of the allowance. Raises Refused(TOO_MANY_REQUESTS)."""
        await self._spend(self._rate, who)

    async def spend_weight(self, who: str, weight: int) -> None:
        """A request that counts as several."""
        for _ in range(weight):
            await self.spend(who)

    async def spend_write(self, who: str) -> None:
        """One write of an API key. Raises Refused(TOO_MANY_REQUESTS)."""
        await self._spend(self._write_rate, f"write:{who}")

    def keep_read(self, key_id: int, signature: str, until_ms: int) -> None:
        """Remembers a read: what is signed names no path, so that whoever has seen one could send it as a write."""
        while len(self._reads) >= READS_MAX:
            self._reads.pop(next(iter(self._reads)))
        self._reads[key_id, signature] = until_ms

    def was_read(self, key_id: int, signature: str) -> bool:
        """Whether this instance has answered a read with the same signature that could be sent again."""
        return self._reads.get((key_id, signature), 0) >= self.store.clock()

    async def spend_login(self, email: str, address: str) -> None:
        """One attempt to log in, for the e-mail and for the address it comes from."""
        await self._spend(self._login_rate, f"login:{email.lower()}")
        await self._spend(self._login_rate, f"from:{address}", share=10)

    async def spend_code(self, customer_id: int) -> None:
        """One attempt at a one-time code, in a session. Nobody spends it for somebody else, as an e-mail's can be."""
        await self._spend(self._login_rate, f"code:{customer_id}")

    async def _spend(self, rate: RateLimitItem, who: str, share: int = 1) -> None:
        allowance = type(rate)(rate.amount * share, rate.multiples) if share != 1 else rate
        if not await self._limiter.hit(allowance, who):
            window = await self._limiter.get_window_stats(allowance, who)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise Refused("TOO_MANY_REQUESTS", f"try again in {wait} s", retry_after_s=wait)

    async def write(self, actor: Actor, operation: Operation, asked: Asked = Asked()) -> Json:
        """One command, one transaction. Waits a moment for an account that was not seen yet; with a key, does nothing a second time.

        Raises Refused: what the command refuses, IDEMPOTENCY_KEY_REUSED, CONFLICT when another change came first.
        """
        try:
            try:
                return await self._once(actor, operation, asked, final=False)
            except AccountUnseen as unseen:
                await self._seen(unseen.login)
                return await self._once(actor, operation, asked, final=True)
        except IntegrityError:
            raise Refused("CONFLICT", "another change came first") from None
        finally:
            self.marketplace.stale()
            if actor.customer_id is None:  # a manager may have ended sessions
                self._standings.clear()
                self._standings_dropped += 1

    async def prune_answers(self) -> None:
        """Forgets what is old, again and again; runs as long as the service does."""
        while True:
            try:
                await self.forget_old_answers()
            except AWAY as fault:
                log.warning("database unavailable", fault=repr(fault))
            await asyncio.sleep(PRUNE_EVERY_S)

    async def forget_old_answers(self) -> None:
        """Answers to Idempotency-Keys, used signatures that are out of their window, and what is kept for resumed streams."""
        async with self.store.work() as work:
            before = work.now - round(self.settings.idempotency_hours * 3_600_000)
            await work.session.execute(delete(Answered).where(col(Answered.created_ms) < before))
            # Another instance's clock may be behind this one's: what it may still be sent again is kept for as long.
            await work.session.execute(delete(Signed).where(col(Signed.expires_ms) < work.now - CLOCK_WRONG_MS))
            await news.forget_old_changes(work.session, self.settings.events_kept)

    async def _seen(self, login: int) -> None:
        """Waits until the account was seen, `account_wait_s` at most."""
        deadline = asyncio.get_running_loop().time() + self.settings.account_wait_s
        while asyncio.get_running_loop().time() < deadline:
            async with self.store.read() as session:
                if await read_models.account(session, login) is not None:
                    return
            await asyncio.sleep(POLL_S)

    async def _once(self, actor: Actor, operation: Operation, asked: Asked, *, final: bool) -> Json:
        async with self.store.work() as work:
            await one_at_a_time(work.session)
            change = Change(work, actor, asked.if_match)
            if not asked.key:
                return await operation(change)
            answer = await _answered(work, str(actor), asked)
            if answer is None:
                answer = await self._first_time(change, operation, asked, final=final)
        if answer.status >= 400:
            failure = json.loads(self.vault.open(answer.body))
            raise Refused(failure["error"], failure["message"])
        found: Json = json.loads(self.vault.open(answer.body))
        return found

    async def _first_time(self, change: Change, operation: Operation, asked: Asked, *, final: bool) -> Answered:
        """Does it, and keeps the answer, a refusal, too, in the same transaction."""
        session = change.session
        answer = await session.get_one(Answered, (str(change.actor), asked.key))
        emitted = len(change.work.emitted)
        try:
            async with session.begin_nested():
                body = await operation(change)
                await session.flush()
            answer.status, answer.body = 200, self.vault.seal(json.dumps(body))
        except Refused as refused:
            if (isinstance(refused, AccountUnseen) and not final) or refused.status >= 500:  # "try again" is no answer to keep
                raise
            del change.work.emitted[emitted:]
            answer = await session.get_one(Answered, (str(change.actor), asked.key))
            answer.status, answer.body = refused.status, self.vault.seal(json.dumps(refused.body()))
        return answer


async def _answered(work: Work, owner: str, asked: Asked) -> Answered | None:
    """The earlier answer under this key; None when this is the first time (the key is taken then). Of two at once, one waits here."""
    statement = upsert(work.session, tables.table_of(Answered)).on_conflict_do_nothing()
    values = {"owner": owner, "key": asked.key, "fingerprint": asked.fingerprint, "status": 0, "body": "", "created_ms": work.now}
    taken = (await work.session.execute(statement.values(values).returning(col(Answered.key)))).scalar()
    if taken is not None:
        return None
    answer = await work.session.get_one(Answered, (owner, asked.key))
    if answer.fingerprint != asked.fingerprint:
        raise Refused("IDEMPOTENCY_KEY_REUSED", "the key was used for another request")
    return answer


def fingerprint(*parts: str | bytes) -> str:
    """What a request is, in 32 bytes: two requests with the same one are the same."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
