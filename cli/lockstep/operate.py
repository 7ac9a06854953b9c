"""What an operator asks of a stack: API keys, a comparison with the venue, decisions made again, an account's past."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from executor.replay import Replayed, instant
from executor.replay import run as run_replay
from shared.clock import system_clock
from shared.shards import streams
from shared.store.engine import create_engine
from shared.store.work import Store
from stats.history import Report, load

from lockstep.client import Away, Denied, Door, Manager
from lockstep.options import progress
from lockstep.sessions import issued, secret_of
from lockstep.stack import Home, StackError
from lockstep.stores import ServiceStore

MANAGER = "lockstep command"
PAGE = 1000
LOGINS_A_CALL = 10_000

Answer = TypeVar("Answer")


def create_api_key(home: Home, login: int, read_only: bool, api_url: str = "") -> tuple[str, str]:
    """A new key of the signed OpenAPI for an account, and its secret, which is told this once. Raises StackError."""

    async def ask(api: Door) -> tuple[str, str]:
        made = await Manager(api, lambda: issued(home, "manager", MANAGER)).call(
            "MngCreateApiKey", {"login": login, "read_only": int(read_only)}
        )
        return made["key"], made["secret"]

    return _asked(home, "api", ask, api_url)


def accounts(home: Home, api_url: str = "") -> list[int]:
    """The logins of all accounts that the api knows. Raises StackError."""

    async def ask(api: Door) -> list[int]:
        manager = Manager(api, lambda: issued(home, "manager", MANAGER))
        found: list[int] = []
        while True:
            page = await manager.call("MngGetAccountsByFilter", {"limit": PAGE, "offset": len(found), "orderBy": [["login", "asc"]]})
            place = page["structure"].index("login")
            found += [row[place] for row in page["rows"]]
            if len(page["rows"]) < PAGE:
                return found

    return _asked(home, "api", ask, api_url)


def resync(home: Home, logins: Sequence[int], executor_urls: Sequence[str] = ()) -> None:
    """Has the executor compare what these accounts hold on the venue with their links, and repair what differs. Raises StackError.

    `executor_urls`: of all its shards, where they are not the home's.
    """

    async def ask(executor: Door) -> None:
        for start in range(0, len(logins), LOGINS_A_CALL):
            await executor.call("POST", "/reconcile", {"logins": logins[start : start + LOGINS_A_CALL]}, secret_of(home))

    doors = [("executor", url) for url in executor_urls] or [(one, "") for one in streams("executor", home.stack().executor_shards)]
    for instance, url in doors:
        _asked(home, instance, ask, url)


def _asked(home: Home, service: str, ask: Callable[[Door], Awaitable[Answer]], url: str = "") -> Answer:
    """The answer to a question at a running service's door, the home's when no URL is given. Raises StackError when it is not running, or
    refuses."""

    async def through() -> Answer:
        door = Door(url or home.stack().url(service))
        try:
            return await ask(door)
        finally:
            await door.close()

    secret_of(home)  # without a secret nothing is asked
    try:
        return asyncio.run(through())
    except Away as away:
        where, more = (url, "") if url else (home.path, " `lockstep doctor` says more")
        raise StackError(f"the {service} of {where} does not answer ({away}): is the stack running?{more}") from None
    except Denied as denied:
        raise StackError(f"refused: {denied}") from None


def replay(of: Sequence[ServiceStore], since: str, until: str, offset_s: float) -> Replayed:
    """Makes the executor's recorded decisions of a time again, by today's rules. Raises StackError for a time that is none."""
    try:
        from_ms = instant(since) if since else 0
        until_ms = instant(until) if until else system_clock(offset_s)() + 1
    except ValueError as error:
        raise StackError(f"no time: {error}; write it like 2026-01-31 or 2026-01-31T12:00:00Z") from None
    parts = []
    for store in of:
        if not store.exists():
            raise StackError(f"there is no store at {store.url}")
        parts.append(asyncio.run(run_replay(store.url, from_ms, until_ms)))
    return Replayed(sum(part.decisions for part in parts), [one for part in parts for one in part.differences])


def import_past(store: ServiceStore, login: int, trades: Path | None, equity: Path | None, offset_s: float) -> Report:
    """Loads an account's past from elsewhere into the statistics, whole or not at all, with a progress bar. Raises StackError."""
    if trades is None and equity is None:
        raise StackError("give --trades, --equity or both")
    if not store.exists():
        raise StackError(f"there is no store at {store.url}: start the stack once")
    with progress() as told:

        async def run() -> Report:
            engine = create_engine(store.url)
            try:
                service = Store(engine, "stats", system_clock(offset_s))
                await service.open()
                return await load(service, login, trades, equity, lambda done, total: told("rows read and stored", done, total))
            finally:
                await engine.dispose()

        return asyncio.run(run())
