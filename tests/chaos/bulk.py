"""Trades by the ten thousand: made by the venue's own book, without its door, while the stack is down; they wait in its outbox."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from gateway.decide import NONE
from gateway.paper.deals import Opening, close_position, open_position
from gateway.paper.venue import PaperVenue
from gateway.settings import GatewaySettings
from shared.clock import system_clock
from shared.contracts import trades
from shared.store.engine import create_engine
from shared.store.work import Store

from tests.stores import quick

SYMBOL = "GBPUSD"


def trade(home: Path, login: int, numbers: Iterable[int], per_entry: int = 1, closed: bool = True) -> int:
    """A master buys one unit for each number, under the client id `t-NUMBER`, and sells it again at once; answers how many entries wait."""
    return asyncio.run(_trade(home, login, iter(numbers), per_entry, closed))


async def _trade(home: Path, login: int, numbers: Iterable[int], per_entry: int, closed: bool) -> int:
    store = Store(quick(create_engine(f"sqlite:///{home}/gateway.db")), "gateway", system_clock(), {trades.TOPIC: trades.TOPIC})
    await store.open()
    venue = PaperVenue(store, GatewaySettings().symbols())
    store.on_rollback.append(venue.forget)
    entries = 0
    waiting = iter(numbers)
    while some := list(islice(waiting, per_entry)):
        async with venue.transaction() as (book, _):
            account = book.account(login)
            for k in some:
                opened = open_position(book, account, Opening(SYMBOL, "buy", 1, NONE, NONE, f"t-{k}", trades.REASON_CLIENT))  # type: ignore[arg-type]
                assert isinstance(opened, trades.OpenedRow), opened
                if closed:
                    close_position(book, book.positions[opened.order], 1, trades.REASON_CLIENT)
        entries += 1
    await store.engine.dispose()
    return entries
