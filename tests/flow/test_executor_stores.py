"""The executor's store on SQLite and on Postgres: what is written is read back, and the migration makes what the code wants."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from executor.settings import ExecutorSettings
from executor.timers import ring
from executor.wiring import WRITES, parts
from shared.bus.reader import Reader
from shared.contracts import config, links, trades
from shared.store import migrate, outbox
from shared.store.outbox import Entry
from shared.store.work import encode

from tests.flow.executor_world import ANNA, MASTER, NOW, D, account, opened, subscription, symbol
from tests.loopback import Loopback

pytestmark = pytest.mark.anyio


async def test_a_copy_s_life_and_the_timer(tmp_path: Path, new_store_url: Callable[[str], str]) -> None:
    url = new_store_url("executor")
    loop = Loopback(tmp_path, lambda: NOW)
    store = await loop.open_store("executor", WRITES, url)
    made = parts(ExecutorSettings(), store)
    readers = {topic: Reader(store, topic, read.events, read.handler) for topic, read in made.reads.items()}

    async def told(topic: str, *events: object) -> None:
        number = readers[topic].place + 1
        text = encode({"source": "test", "sent": NOW}, topic, number, list(events))  # type: ignore[arg-type]
        await readers[topic].take([Entry(number, text)])

    fill = trades.OpenedRow(
        51, ANNA, "EURUSD", "buy", 100, D("1.1"), D(0), D(0), "c-1-11-open-0", trades.REASON_COPY, D(0), D(1), D(1), D(0), NOW
    )
    await told(trades.TOPIC, trades.SymbolsChanged.of([symbol("EURUSD")]), trades.AccountsOpened.of([account(MASTER), account(ANNA)]))
    await told(
        config.TOPIC,
        config.MasterSaved(master=config.Master(id=1, login=MASTER, customer_id=1)),
        config.FollowerSaved(follower=config.Follower(id=1, login=ANNA, customer_id=2)),
        config.SubscriptionSaved(subscription=subscription(1, ANNA, daily_loss_percent=D(5))),
    )
    await told(trades.TOPIC, opened(11))
    await told(trades.TOPIC, trades.PositionsOpened.of([fill]), trades.AccountsChanged.of([account(ANNA, equity=D(9000))]))
    assert made.forget is not None
    made.forget()
    await told(trades.TOPIC, trades.PositionsChanged.of([trades.ChangedRow(51, ANNA, "EURUSD", D("1.05"), D(0), 2, "")]))
    desk = made.reads[trades.TOPIC].handler.__self__.desk  # type: ignore[attr-defined]
    async with store.work() as work:
        await ring(desk, work)
    async with store.read() as session:
        entries = await outbox.kept(session, links.TOPIC, 1, 100)
        dead = await outbox.dead_letters(session)
    last = links.LINK_EVENTS.validate_python(json.loads(entries[-1].payload)["events"][-1]).rows[0]
    assert dead == []
    assert (last.phase, last.volume_now, last.sl) == ("open", 100, D("1.05"))
    assert await asyncio.to_thread(migrate.differences, "executor", url) == []
    await store.engine.dispose()
