"""Dead letters of all services on one board, in Redis: each service tells its own, and takes from it what a manager asks of them.

Each service's store is the truth. What it tells is told again every few seconds, so that a Redis that lost it has it again; what is asked
names a letter by its service and id, so that asking twice does it once. What Redis loses before the service took it is asked again by hand:
the letter is on the board still.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.store.outbox import DeadLetter

TOLD = "letters"
ASKED = "letters:asked"
TOLD_MAX = 500
"""Letters of one service that are told, those that wait before those that were handled."""
PAYLOAD_MAX = 20_000
"""Characters of a payload that are told; the store has all of it."""
TELL_EVERY_S = 5.0

Action = Literal["retry", "discard"]


class Board:
    """The board, as one service sees it. Every call raises ConnectionError while Redis is away."""

    def __init__(self) -> None:
        self._client: Any = None
        self._told = ""
        self._told_at = 0.0

    def connect(self, client: Redis) -> None:
        self._client = client

    async def tell(self, service: str, letters: Sequence[DeadLetter]) -> None:
        """A service's letters as they stand now."""
        text = json.dumps([one._replace(payload=one.payload[:PAYLOAD_MAX]) for one in letters], separators=(",", ":"))
        now = time.monotonic()
        if text == self._told and now - self._told_at < TELL_EVERY_S:
            return
        await self._do("hset", TOLD, service, text)
        self._told, self._told_at = text, now

    async def letters(self) -> dict[str, list[DeadLetter]]:
        """The letters of every service, as each last told them."""
        found: dict[bytes, bytes] = await self._do("hgetall", TOLD)
        return {name.decode(): [DeadLetter(*one) for one in json.loads(text)] for name, text in found.items()}

    async def ask(self, service: str, letter: int, action: Action) -> None:
        """Asks a service to handle a letter again, or to throw it away; it looks each second when it runs, and else when it starts."""
        await self._do("hset", ASKED, f"{service}:{letter}", action)

    async def asked(self, service: str) -> dict[int, str]:
        """What is asked of a service, by letter."""
        found: dict[bytes, bytes] = await self._do("hgetall", ASKED)
        names = {name.decode(): action.decode() for name, action in found.items()}
        pairs = [(name.rpartition(":"), action) for name, action in names.items()]
        return {int(number): action for (whose, _, number), action in pairs if whose == service and number.isdigit()}

    async def done(self, service: str, letter: int) -> None:
        await self._do("hdel", ASKED, f"{service}:{letter}")

    async def _do(self, command: str, *arguments: str) -> Any:
        if self._client is None:
            raise ConnectionError("Redis was not reached yet")
        try:
            return await getattr(self._client, command)(*arguments)
        except (RedisError, OSError) as fault:
            raise ConnectionError(f"Redis is away: {fault}") from fault
