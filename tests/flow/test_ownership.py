"""One instance works on a store; a second one waits, and takes over however the first one ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.outbox import NotOwnerError
from shared.store.ownership import BEAT_EVERY_S, SILENT_LOOKS, Ownership
from shared.store.work import Store
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from shared.store import outbox
from shared.store.engine import create_engine
from shared.store.outbox import NotOwnerError
from shared.store.ownership import Ownership
from shared.store.work import Store

async def main():
    engine = create_engine(sys.argv[1])
    await Ownership(engine, "executor").acquire()
    async with engine.begin() as connection:
        await connection.run_sync(outbox.LOG.create_all)
    store = Store(engine, "executor", lambda: 1)
    await store.begin_term()
    print("held", flush=True)
    while True:
        try:
            async with store.work() as work:
                await outbox.take_numbers(work.session, "written", 1)
        except NotOwnerError:
            print("no owner any more", flush=True)
            return
        except Exception:  # its sessions were ended
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


def started_owner(url: str) -> "subprocess.Popen[str]":
    """Another process that owns the store and writes to it all the time."""
    owner = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    return owner


async def written(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT last FROM log_counter WHERE stream = 'written'"))).scalar() or 0)


async def test_a_standby_waits_and_takes_over_when_the_owner_is_killed(new_store_url: Callable[[str], str]) -> None:
    url = new_store_url("executor")
    owner = await asyncio.to_thread(started_owner, url)
    engine = create_engine(url)
    standby = Ownership(engine, "executor")
    waiting = asyncio.create_task(standby.acquire(every_s=0.1))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    await asyncio.wait_for(waiting, 5)
    assert await standby.held()
    await standby.release()
    await engine.dispose()


async def test_an_owner_that_hangs_is_fenced(new_store_url: Callable[[str], str]) -> None:
    """R4: stopped in the middle of its writing, replaced within 5 s, and let go on: it writes nothing any more."""
    url = new_store_url("executor")
    owner = await asyncio.to_thread(started_owner, url)
    engine = create_engine(url)
    standby = Ownership(engine, "executor")
    waiting = asyncio.create_task(standby.acquire(every_s=0.1))
    await asyncio.sleep(1)
    assert not waiting.done(), "an owner that shows that it lives is left alone"
    owner.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(5):
        await waiting
        store = Store(engine, "executor", lambda: 1)
        await store.begin_term()
    before = await written(engine)
    assert before > 0
    owner.send_signal(signal.SIGCONT)
    assert owner.stdout is not None
    said = await asyncio.to_thread(owner.stdout.read)
    code = await asyncio.to_thread(owner.wait, 10)
    if engine.dialect.name == "sqlite":
        assert (said, code) == ("", -signal.SIGKILL)
    else:
        assert said.endswith("no owner any more\n")
    async with store.work() as work:
        await outbox.take_numbers(work.session, "written", 1)
    assert await written(engine) == before + 1
    assert await standby.held()
    await standby.release()
    await engine.dispose()


async def test_a_term_ends_when_the_next_one_begins(new_store_url: Callable[[str], str]) -> None:
    """Whatever became of the lock (somebody removed its file): two that believe to own a store never both write."""
    engine = create_engine(new_store_url("executor"))
    async with engine.begin() as connection:
        await connection.run_sync(outbox.LOG.create_all)
    first, second = Store(engine, "executor", lambda: 1), Store(engine, "executor", lambda: 1)
    await first.begin_term()
    async with first.work():
        pass
    await second.begin_term()
    with pytest.raises(NotOwnerError):
        async with first.work() as work:
            await outbox.take_numbers(work.session, "written", 1)
    assert first.not_owner
    assert not second.not_owner
    async with second.work():
        pass
    assert await written(engine) == 0
    await engine.dispose()


async def test_another_service_is_not_held_up(new_store_url: Callable[[str], str]) -> None:
    first, second = create_engine(new_store_url("executor")), create_engine(new_store_url("rewards"))
    owners = [Ownership(first, "executor"), Ownership(second, "rewards")]
    for owner in owners:
        await asyncio.wait_for(owner.acquire(), 5)
    for owner in owners:
        await owner.release()
    await first.dispose()
    await second.dispose()


async def test_a_lost_connection_loses_the_lock(postgres: Callable[[str], str]) -> None:
    engine = create_engine(postgres("executor"))
    owner = Ownership(engine, "executor")
    await owner.acquire()
    assert owner._session is not None
    pid = await asyncio.to_thread(lambda: owner._session and owner._session.execute(text("SELECT pg_backend_pid()")).scalar())
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    async with asyncio.timeout(3):
        while await owner.held():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await owner.release()
    await engine.dispose()


@pytest.mark.postgres
async def test_an_owner_whose_session_is_gone_without_a_word_gives_the_store_up(postgres: Callable[[str], str]) -> None:
    """Its question is never answered, as when the database's host has vanished; neither does the end wait for that."""
    engine = create_engine(postgres("executor"))
    owner = Ownership(engine, "executor")
    await owner.acquire()
    session = owner._session
    assert session is not None
    backend = int(session.connection.dbapi_connection.info.backend_pid)  # type: ignore[union-attr]
    assert all([await owner.held() for _ in range(3)])
    os.kill(backend, signal.SIGSTOP)
    try:
        await asyncio.sleep(3 * BEAT_EVERY_S)
        looks = 0
        while await owner.held():
            looks += 1
            assert looks <= SILENT_LOOKS + 1
        began = time.monotonic()
        await owner.release()
        assert time.monotonic() - began < 3
    finally:
        os.kill(backend, signal.SIGCONT)
        await engine.dispose()
