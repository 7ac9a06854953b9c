"""One instance works on a store; a second one waits, and takes over however the first one ends."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from shared.store.engine import Ownership, create_engine

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from shared.store.engine import Ownership, create_engine

async def main():
    await Ownership(create_engine(sys.argv[1]), "executor").acquire()
    print("held", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_standby_waits_and_takes_over_when_the_owner_is_killed(new_store_url: Callable[[str], str]) -> None:
    url = new_store_url("executor")
    owner = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert await asyncio.to_thread(owner.stdout.readline) == "held\n"
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
    assert owner._connection is not None
    async with engine.connect() as other:
        pid = (await owner._connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar()
        await other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    assert not await owner.held()
    await engine.dispose()
