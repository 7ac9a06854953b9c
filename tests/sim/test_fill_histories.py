"""R12: what a venue tells of one copy in any order, doubled, late or after a cancel: the position is the sum of the distinct fills."""

import os
import random
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

from executor import follower_side, links, pending_side
from executor.columns import Accounts
from executor.desk import Desk
from executor.outgoing import Outgoing
from executor.records import POSITION, LinkRecord, new_link
from shared.contracts.trades import NO_PRICE, REASON_CLIENT, REASON_COPY, REASON_SL, ClosedRow, OpenedRow, PendingGoneRow, RejectedRow
from shared.ids import copy_client_id

HISTORIES = int(os.environ.get("SIM_HISTORIES", "20000"))
SUBSCRIPTION, MASTER_ORDER, LOGIN, ORDER = 7, 1001, 100_004, 5005
OPEN_ID = copy_client_id(SUBSCRIPTION, MASTER_ORDER, "open")
PLACE_ID = copy_client_id(SUBSCRIPTION, MASTER_ORDER, "place")
KNOWN = Accounts()
KNOWN.add([LOGIN])


class _Desk:
    """The executor's desk around one link, without a store."""

    def __init__(self, link: LinkRecord) -> None:
        self.only = link
        self.now = 1000
        self.settings = SimpleNamespace(dust_policy="close_dust", pending_fill_policy="leave")
        self.memory = SimpleNamespace(market=SimpleNamespace(symbols={}), positions={}, follows=_Out())

    async def link(self, _order: int, _subscription: int) -> LinkRecord:
        return self.only

    async def position(self, _order: int) -> None:
        return None

    async def subscription(self, _login: int, _subscription: int) -> None:
        return None

    async def accounts(self, _logins: list[int]) -> Accounts:
        return KNOWN

    def changed_link(self, _link: LinkRecord) -> None:
        return

    def count(self, _link: LinkRecord, _change: int) -> None:
        return


class _Out:
    """Orders that go out: here nobody carries them out."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def history(seed: int) -> None:
    """One random history, told in a random order; raises AssertionError when the link ends otherwise than the fills add up."""
    chance = random.Random(seed)
    volume = chance.randint(1, 60)
    pending = chance.random() < 0.3
    values: dict[str, Any] = {"id": 1, "subscription": SUBSCRIPTION, "master_order": MASTER_ORDER, "follower_login": LOGIN}
    values |= {"symbol": "EURUSD", "side": "buy", "volume": volume, "volume_now": 0 if pending else volume, "target": volume}
    values |= {"master_volume": volume, "master_now": volume, "kind": "limit" if pending else POSITION, "sent_ms": 1}
    link = new_link(values)
    link.enter(links.PENDING if pending else links.OPENING)
    client_id = PLACE_ID if pending else OPEN_ID
    told: list[Any] = [
        OpenedRow(
            ORDER,
            LOGIN,
            "EURUSD",
            "buy",
            volume,
            NO_PRICE,
            NO_PRICE,
            NO_PRICE,
            client_id,
            REASON_COPY,
            NO_PRICE,
            NO_PRICE,
            NO_PRICE,
            NO_PRICE,
            1,
        )
    ]
    left, deal = volume, 0
    while left and deal < 4 and chance.random() < 0.75:
        closed = chance.randint(1, left)
        left, deal = left - closed, deal + 1
        step = f"c-{SUBSCRIPTION}-{MASTER_ORDER}-close-{deal}" if chance.random() < 0.5 else ""
        told.append(
            ClosedRow(
                ORDER,
                9000 + deal,
                LOGIN,
                "EURUSD",
                "buy",
                volume,
                closed,
                left,
                NO_PRICE,
                NO_PRICE,
                NO_PRICE,
                NO_PRICE,
                NO_PRICE,
                chance.choice((REASON_COPY, REASON_CLIENT, REASON_SL)),
                step,
                client_id,
                1,
                1,
            )
        )
    if chance.random() < 0.4:  # an acknowledgement of something else comes in between: a cancel that came too late, a refused close
        told.append(PendingGoneRow(ORDER, LOGIN, "EURUSD", client_id, "EXPIRED") if pending else "refused")
    stream = [one for one in told for _ in range(chance.choice((1, 1, 2, 3)))]
    chance.shuffle(stream)
    desk, out = cast("Desk", _Desk(link)), cast("Outgoing", _Out())
    for one in stream:
        _now(_told(desk, out, one, link))
    expected = volume - sum(one.closed for one in told if isinstance(one, ClosedRow))
    assert link.volume_now == expected == left, f"history {seed}: {link.volume_now}, not {expected}: {stream}"
    assert (link.phase == links.CLOSED) == (expected == 0), f"history {seed}: {link.phase} with {expected}: {stream}"
    assert link.follower_order == ORDER


async def _told(desk: Desk, out: Outgoing, one: Any, link: LinkRecord) -> None:
    match one:
        case OpenedRow():
            await follower_side.filled(desk, out, one)
        case ClosedRow():
            await follower_side.reduced(desk, out, one)
        case PendingGoneRow():
            await pending_side.cancelled(desk, out, one)
        case _:
            refused = copy_client_id(SUBSCRIPTION, MASTER_ORDER, "close", link.close_step)
            await follower_side.rejected(desk, out, RejectedRow(LOGIN, refused, ORDER, "close", "MARKET_CLOSED", ""))


def _now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def test_the_position_is_the_sum_of_the_distinct_fills() -> None:
    for seed in range(HISTORIES):
        history(seed)
