"""Redis and FastStream: the real wire, the subscribers that feed the readers, and the prices that are not numbered.

FastStream reads without a consumer group: `XREAD` from the reader's own place, which is set again after each run, so that a gap, a flush
or a rebuild cannot move it. An entry's payload is one field, `batch`, plain JSON that any Redis client can read.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import structlog
from faststream.message import StreamMessage
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.message import FAKE_CONSUMER, BatchStreamMessage, DefaultStreamMessage, RedisBatchStreamMessage, RedisStreamMessage
from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import ResponseError as RedisResponseError

from shared import telemetry
from shared.bus.letters import Board
from shared.bus.reader import Reader, Verdict
from shared.bus.relay import Relay
from shared.contracts.stats import PRICE_CHANNEL, Prices
from shared.ending import end
from shared.store.outbox import Entry, Report

log = structlog.get_logger()

FIELD = "batch"
CONTROL = "control"
CONTROL_LENGTH = 1000
POSITIONS = "positions:"
REPORTED_AT = ":ms"
BLOCK_MS = 1000
GAP_PAUSE_S = 0.1
HANDLER_STOP_S = 2.0
"""How long a stop waits for a handler. One that waits itself (for its cause, for its surroundings) is cancelled then; its transaction is
given up, and handled again by whoever reads next."""
LOOK_EVERY_S = 1.0

# KEYS[1] is the stream; entries come as number, payload, number, payload ... APPEND answers the stream's last number.
APPEND = """
local last = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = tonumber(string.match(info[i + 1], '^%d+')) end
  end
end
if last ~= tonumber(ARGV[1]) then return last end
for i = 2, #ARGV, 2 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'batch', ARGV[i + 1])
  last = tonumber(ARGV[i])
end
return last
"""
REBUILD = """
redis.call('DEL', KEYS[1])
for i = 1, #ARGV, 2 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'batch', ARGV[i + 1])
end
return 0
"""
# These two may run while Redis is full: a writer that hears who has read what can trim.
REPORT = """#!lua flags=allow-oom
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
"""
ASK = """#!lua flags=allow-oom
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'stream', ARGV[2], 'number', ARGV[3], 'reader', ARGV[4])
"""


class RedisWire:
    """The stream operations of the numbered log, on Redis 7.0 or anything that speaks its protocol."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # its type hints answer unions of everything that any protocol version could answer
        self._append = client.register_script(APPEND)
        self._rebuild = client.register_script(REBUILD)
        self._report = client.register_script(REPORT)
        self._ask = client.register_script(ASK)

    async def last(self, stream: str) -> int:
        try:
            info = await self._client.xinfo_stream(stream)
        except RedisResponseError as error:
            if "no such key" in str(error):
                return 0
            raise
        return _number(info["last-generated-id"])

    async def append(self, stream: str, expected: int, entries: Sequence[Entry]) -> int:
        arguments: list[int | str] = [expected]
        for entry in entries:
            arguments += [entry.number, entry.payload]
        return int(await self._append(keys=[stream], args=arguments))

    async def rebuild(self, stream: str, entries: Sequence[Entry]) -> None:
        arguments: list[int | str] = []
        for entry in entries:
            arguments += [entry.number, entry.payload]
        await self._rebuild(keys=[stream], args=arguments)

    async def entry(self, stream: str, number: int) -> str | None:
        found = await self._client.xrange(stream, f"{number}-0", f"{number}-0", count=1)
        return _payload(found[0][1]) if found else None

    async def beyond(self, stream: str, number: int, limit: int) -> list[tuple[str, str]]:
        found = await self._client.xrange(stream, f"({number}-0", "+", count=limit)
        return [(entry_id.decode(), _payload(fields)) for entry_id, fields in found]

    async def trim(self, stream: str, upto: int) -> None:
        await self._client.xtrim(stream, minid=f"{upto + 1}-0", approximate=True)

    async def report(self, stream: str, reader: str, report: Report) -> None:
        await self._report(keys=[f"{POSITIONS}{stream}"], args=[reader, report.number, f"{reader}{REPORTED_AT}", report.reported_ms])

    async def reported(self, stream: str) -> dict[str, Report]:
        found: dict[bytes, bytes] = await self._client.hgetall(f"{POSITIONS}{stream}")
        figures = {name.decode(): int(value) for name, value in found.items() if value.isdigit()}
        readers = [name for name in figures if not name.endswith(REPORTED_AT)]
        return {reader: Report(figures[reader], figures.get(f"{reader}{REPORTED_AT}", 0)) for reader in readers}

    async def ask(self, stream: str, number: int, reader: str) -> None:
        await self._ask(keys=[CONTROL], args=[CONTROL_LENGTH, stream, number, reader])


class Bus:
    """What one service has of Redis: its readers, its relays, and the prices."""

    def __init__(self, url: str, reader_name: str) -> None:
        self.broker = RedisBroker(url, logger=cast("Any", None), apply_types=False, graceful_timeout=HANDLER_STOP_S)
        self.wire: RedisWire
        self.board = Board()
        self._client: Any = None
        self._reader_name = reader_name
        self._feeds: list[_Feed] = []
        self._relays: list[Relay] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Waits until Redis answers; to be called before the rest."""
        client: Any = await self.broker.connect()
        self._client = client
        client.xread = _as_a_fault(client.xread)
        self.wire = RedisWire(client)
        self.board.connect(client)
        while True:
            try:
                await client.ping()
                return
            except (RedisError, OSError) as fault:
                log.warning("waits for Redis", fault=repr(fault))
                await asyncio.sleep(0.5)

    async def agree(self, setting: str, value: str) -> dict[str, str]:
        """Tells the others what this service was told of a setting that is one for all; answers who was told something else."""
        try:
            await self._client.hset(f"settings:{setting}", self._reader_name, value)
            told: dict[bytes, bytes] = await self._client.hgetall(f"settings:{setting}")
        except (RedisError, OSError) as fault:
            log.warning("settings not compared", fault=repr(fault))
            return {}
        found = {service.decode(): other.decode() for service, other in told.items()}
        return {service: other for service, other in sorted(found.items()) if other != value}

    async def ping(self) -> str:
        """Empty when Redis answers; raises whatever went wrong otherwise."""
        return "" if await self._client.ping() else "redis does not answer"

    async def standings(self) -> dict[str, tuple[int, dict[str, Report]]]:
        """Every stream that somebody reads: its last number, and how far each reader says it is. Raises ConnectionError."""
        try:
            keys = [key.decode() async for key in self._client.scan_iter(match=f"{POSITIONS}*", count=1000)]
            names = sorted(key.removeprefix(POSITIONS) for key in keys)
            return {name: (await self.wire.last(name), await self.wire.reported(name)) for name in names}
        except (RedisError, OSError, AttributeError) as fault:  # AttributeError: not connected yet
            raise ConnectionError("Redis does not answer") from fault

    def read(self, reader: Reader, max_records: int) -> None:
        """Subscribes a reader to its stream, from its own place on."""
        self._feeds.append(_Feed(self.broker, self.wire, reader, self._reader_name, max_records))

    def relay(self, relay: Relay) -> None:
        self._relays.append(relay)

    def on_prices(self, handler: Callable[[Prices], Awaitable[None]]) -> None:
        """Calls the handler with prices as they come; some may be missing."""

        @self.broker.subscriber(PRICE_CHANNEL)
        async def on_prices(message: Any) -> None:
            try:
                prices = Prices.model_validate(message)
            except ValidationError as error:
                log.warning("malformed prices", fault=str(error))
                return
            await handler(prices)

    async def publish_prices(self, prices: BaseModel) -> None:
        """Tells the latest prices. When Redis is away they are lost; the next ones are as good."""
        try:
            await self.broker.publish(prices.model_dump(mode="json"), channel=PRICE_CHANNEL)
        except (RedisError, OSError) as fault:
            log.debug("prices not told", fault=repr(fault))

    async def start(self) -> None:
        if self._relays:
            self._listen_to_requests()
        await self.broker.start()
        self._tasks = [asyncio.create_task(relay.run(), name=f"relay {relay.stream}") for relay in self._relays]
        self._tasks += [asyncio.create_task(feed.watch(), name=f"watch {feed.reader.stream}") for feed in self._feeds]
        if self._relays:
            self._tasks.append(asyncio.create_task(self._watch_requests(), name="watch control"))

    async def stop(self) -> None:
        await end(self._tasks)
        try:
            await self.broker.stop()
        except Exception as fault:  # noqa: BLE001  (Redis is away, say: nothing of ours is lost by not saying good-bye to it)
            log.warning("not stopped in order", fault=repr(fault))

    def stuck(self, longest_s: float = 5.0) -> list[str]:
        """The loops that have not turned for so long: a service with one of them is not ready."""
        now = time.monotonic()
        loops = {f"relay {relay.stream}": relay.turned_at for relay in self._relays}
        loops |= {f"read {feed.reader.stream}": feed.turned_at for feed in self._feeds}
        return [name for name, turned_at in loops.items() if now - turned_at > longest_s]

    def lag(self) -> dict[str, int]:
        """Entries that each stream is ahead of this service, as last seen."""
        return {feed.reader.stream: max(0, feed.stream_last - feed.reader.place) for feed in self._feeds}

    def _listen_to_requests(self) -> None:
        relays = {relay.stream: relay for relay in self._relays}

        self._requests: Any = self.broker.subscriber(
            stream=StreamSub(CONTROL, last_id="$", polling_interval=BLOCK_MS), parser=_keep_one, decoder=_as_it_is
        )

        @self._requests
        async def on_request(fields: dict[bytes, bytes]) -> None:
            relay = relays.get(fields.get(b"stream", b"").decode())
            number = fields.get(b"number", b"")
            if relay is None or not number.isdigit():
                return
            try:
                await relay.answer(int(number), fields.get(b"reader", b"").decode())
            except Exception as fault:  # noqa: BLE001  (it will be asked again)
                log.warning("request not answered", stream=relay.stream, number=int(number), fault=repr(fault))

    async def _watch_requests(self) -> None:
        """Each second: a `control` that was lost begins again at its server's clock, which may be behind what was read last."""
        while True:
            try:
                if self._requests.last_id != "$" and await self.wire.last(CONTROL) < _number(self._requests.last_id):
                    self._requests.last_id = "0-0"
            except (RedisError, OSError) as fault:
                log.warning("cannot look at the requests", fault=repr(fault))
            await asyncio.sleep(LOOK_EVERY_S)


class _Feed:
    """FastStream's subscriber of one stream, and the look once a second that finds what a blocked read cannot."""

    def __init__(self, broker: RedisBroker, wire: RedisWire, reader: Reader, name: str, max_records: int) -> None:
        self.reader = reader
        self.stream_last = 0
        self._wire = wire
        self._name = name
        self._watched_at = time.monotonic()
        self._asked_at = 0.0
        self._subscriber: Any = broker.subscriber(
            stream=StreamSub(reader.stream, batch=True, last_id=f"{reader.place}-0", max_records=max_records, polling_interval=BLOCK_MS),
            parser=_keep_batch,
            decoder=_as_it_is,
        )
        self._subscriber(self._received)

    @property
    def turned_at(self) -> float:
        """When the loop last turned: it handled something, or was seen to have nothing to handle."""
        idle = self.stream_last <= self.reader.place
        return max(self.reader.turned_at, self._watched_at) if idle else self.reader.turned_at

    async def _received(self, entries: list[Entry]) -> None:
        try:
            verdict = await self.reader.take(entries)
        except Exception:  # FastStream would hide it, and read again at once
            log.exception("entries were not taken", stream=self.reader.stream, first=entries[0].number)
            await asyncio.sleep(LOOK_EVERY_S)
            raise
        finally:
            self._subscriber.last_id = f"{self.reader.place}-0"
        if verdict is Verdict.GAP:
            await self._ask()
            await asyncio.sleep(GAP_PAUSE_S)

    async def watch(self) -> None:
        """Each second: reports the place, and asks when the stream is ahead although nothing comes."""
        stream = self.reader.stream
        place_before = -1
        while True:
            try:
                place = self.reader.place
                await self._wire.report(stream, self._name, Report(place, self.reader.now()))
                self.stream_last = await self._wire.last(stream)
                telemetry.STREAM_LAST.labels(stream).set(self.stream_last)
                telemetry.READER_POSITION.labels(stream).set(place)
                telemetry.READER_LAG.labels(stream).set(max(0, self.stream_last - place))
                if self.stream_last > place == place_before:
                    await self._ask()
                place_before = place
                self._watched_at = time.monotonic()
            except (RedisError, OSError) as fault:
                log.warning("cannot look at the stream", stream=stream, fault=repr(fault))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ask(self) -> None:
        """Asks for the next number, once a second at most."""
        now = time.monotonic()
        if now - self._asked_at < LOOK_EVERY_S:
            return
        self._asked_at = now
        telemetry.GAPS.labels(self.reader.stream).inc()
        await self._wire.ask(self.reader.stream, self.reader.place + 1, self._name)


def _as_a_fault(read: Any) -> Any:
    """FastStream begins a reader's task anew, at once and for ever, on any error that Redis answers; a lost connection it waits out."""

    async def xread(*arguments: Any, **named: Any) -> Any:
        try:
            return await read(*arguments, **named)
        except RedisResponseError as fault:
            raise ConnectionError(f"Redis refuses to be read: {fault}") from fault

    return xread


def _number(entry_id: bytes | str) -> int:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    return int(text.partition("-")[0])


def _payload(fields: dict[bytes, bytes]) -> str:
    """An entry's JSON; of a foreign entry, whatever it holds, as text that every database can keep: Postgres takes no NUL."""
    found = fields.get(FIELD.encode())
    if found is not None:
        return found.decode("utf-8", "replace").replace("\x00", "\\u0000")
    return repr({name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()})


async def _keep_batch(message: BatchStreamMessage) -> RedisBatchStreamMessage:
    """Hands the entries on as they are: an entry that cannot be decoded is ours to keep, not FastStream's to drop."""
    pairs = zip(message["message_ids"], message["data"], strict=True)
    entries = [Entry(_number(entry_id), _payload(fields)) for entry_id, fields in pairs]
    return RedisBatchStreamMessage(raw_message=message, body=entries, consumer=FAKE_CONSUMER, group=None)


async def _keep_one(message: DefaultStreamMessage) -> RedisStreamMessage:
    return RedisStreamMessage(raw_message=message, body=message["data"], consumer=FAKE_CONSUMER, group=None)


async def _as_it_is(message: StreamMessage[Any]) -> Any:
    return message.body
