"""What a follower does by hand on a venue that lets it, in each `manual_trading_mode`: its own trades, and what was copied for it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from executor.manual import FORBIDDEN, forbids
from shared.contracts import trades
from shared.contracts.config import Follower, FollowerSaved, ManualTradingMode
from shared.contracts.orders import CancelCopies, CloseCopies, ProtectCopies, ReplaceCopies

from tests.flow.executor_world import ANNA, CARL, D, World, opened, subscription, world
from tests.flow.test_executor_pending import pending

pytestmark = pytest.mark.anyio
NEVER, NOT_COPIES, ALWAYS = ManualTradingMode
COPY = 50_001
"""The order that Anna's copy of order 11 has on the venue."""


async def opens(w: World) -> None:
    await w.told(opened(21, login=ANNA, now=w.now))


async def closes_its_own(w: World) -> None:
    await w.told(w.venue.closing(20, 40, trades.REASON_CLIENT))


async def moves_its_own_stops(w: World) -> None:
    await w.told(w.venue.stops(20, D("1.05"), D(0)))


async def places(w: World) -> None:
    await w.told(trades.PendingPlaced.of([pending(22, login=ANNA)]))


async def changes_its_own_order(w: World) -> None:
    await w.told(trades.PendingChanged.of([pending(23, login=ANNA, version=2)]))


async def cancels_its_own_order(w: World) -> None:
    await w.told(trades.PendingCancelled.of([trades.PendingGoneRow(23, ANNA, "EURUSD", "", trades.REASON_CLIENT)]))


async def closes_a_copy(w: World) -> None:
    await w.told(w.venue.closing(COPY, 40, trades.REASON_CLIENT))


async def moves_a_copy_s_stops(w: World) -> None:
    await w.told(w.venue.stops(COPY, D("1.05"), D(0)))


async def changes_a_resting_copy(w: World) -> None:
    resting = w.venue.pending[COPY + 1]
    resting.update(price=D("1.05"), sl=D("1.04"), version=2)
    await w.told(trades.PendingChanged.of([trades.PendingRow(**resting)]))


async def cancels_a_resting_copy(w: World) -> None:
    resting = w.venue.pending.pop(COPY + 1)
    gone = trades.PendingGoneRow(COPY + 1, ANNA, "EURUSD", resting["client_id"], trades.REASON_CLIENT)
    await w.told(trades.PendingCancelled.of([gone]))


class Deed(NamedTuple):
    """What a follower does, whether it does it to a copy, and the order that undoes it (None: nothing can)."""

    does: Callable[[World], Awaitable[None]]
    copied: bool
    undone_by: type | None


DEEDS = (
    Deed(opens, False, CloseCopies),
    Deed(closes_its_own, False, None),
    Deed(moves_its_own_stops, False, None),
    Deed(places, False, CancelCopies),
    Deed(changes_its_own_order, False, None),
    Deed(cancels_its_own_order, False, None),
    Deed(closes_a_copy, True, None),
    Deed(moves_a_copy_s_stops, True, ProtectCopies),
    Deed(changes_a_resting_copy, True, ReplaceCopies),
    Deed(cancels_a_resting_copy, True, None),
)


async def ready(w: World, mode: ManualTradingMode) -> None:
    """Anna has copies of order 11 and of pending order 12, and her own position 20 and pending order 23; then comes her mode."""
    await w.ready(subscription(1, ANNA, copy_pending_orders=1))
    w.venue.pending |= {12: pending(12)._asdict(), 23: pending(23, login=ANNA)._asdict()}
    await w.open(11, sl=D("1.09"))
    await w.told(trades.PendingPlaced.of([pending(12)]))
    await w.told(opened(20, login=ANNA, now=w.now))
    await w.told(trades.PendingPlaced.of([pending(23, login=ANNA)]))
    follower = Follower(id=ANNA, login=ANNA, customer_id=1, manual_trading_mode=mode, version=2)
    await w.configured(FollowerSaved(follower=follower))


@pytest.mark.parametrize("policy", ["report", "close"])
@pytest.mark.parametrize("mode", [NEVER, NOT_COPIES, ALWAYS])
async def test_each_mode_at_each_deed(tmp_path: Path, mode: ManualTradingMode, policy: str) -> None:
    """Mode 0 forbids everything, mode 1 what is done to copies, mode 2 nothing. `close` undoes what can be, `report` nothing."""
    async with world(tmp_path, forbidden_trades=policy) as w:
        await ready(w, mode)
        await w.tick()
        for deed in DEEDS:
            name, sent, seen = deed.does.__name__, len(await w.orders()), FORBIDDEN._value.get()  # type: ignore[attr-defined]
            await deed.does(w)
            forbidden = mode == NEVER or (mode == NOT_COPIES and deed.copied)
            assert FORBIDDEN._value.get() - seen == forbidden, name  # type: ignore[attr-defined]
            answers = (await w.orders())[sent:]
            undone = forbidden and policy == "close" and deed.undone_by is not None
            assert [type(answer) for answer in answers] == ([deed.undone_by] if undone else []), name
            if deed.copied:
                await _copies_are(w, deed, undone)
            elif undone:
                order = 21 if deed.does is opens else 22
                assert (answers[0].reason, answers[0].rows[0].order, answers[0].rows[0].login) == ("MANUAL_TRADING_DISABLED", order, ANNA)
        before = len(await w.orders())
        await w.tick(4_000)
        await w.tick(4_000)
        assert (await w.orders())[before:] == [], "what the follower may do stays as it is"


async def _copies_are(w: World, deed: Deed, undone: bool) -> None:
    """A copy is as the follower made it, or as it was before; then that is what the copier keeps to."""
    if deed.does is moves_a_copy_s_stops:
        assert (await w.links(11))[1].sl == w.venue.positions[COPY]["sl"] == (D("1.09") if undone else D("1.05"))
    if deed.does is changes_a_resting_copy:
        resting = w.venue.pending[COPY + 1]
        expected = (D("1.09"), D("1.08")) if undone else (D("1.05"), D("1.04"))
        assert (resting["price"], resting["sl"]) == expected
        assert ((await w.links(12))[1].price, (await w.links(12))[1].sl) == expected
    if deed.does is closes_a_copy:
        assert ((await w.links(11))[1].volume_now, w.venue.positions[COPY]["volume"]) == (60, 60)
    if deed.does is cancels_a_resting_copy:
        assert ((await w.links(12))[1].phase, (await w.links(12))[1].reason) == ("cancelled", "FOLLOWER_CANCELLED")


async def test_what_the_venue_does_is_not_done_by_hand(tmp_path: Path) -> None:
    """A stop loss, a stop-out, our own closes and what a master without a mode does are nobody's hand."""
    async with world(tmp_path, forbidden_trades="close") as w:
        await ready(w, NEVER)
        seen = FORBIDDEN._value.get()  # type: ignore[attr-defined]
        await w.told(w.venue.closing(20, 10, trades.REASON_SL))
        await w.told(w.venue.closing(COPY, 10, trades.REASON_STOP_OUT))
        await w.reduce(11, 50, 50)
        await w.told(opened(30, login=CARL, now=w.now))
        assert FORBIDDEN._value.get() == seen  # type: ignore[attr-defined]


@pytest.mark.parametrize(("mode", "own", "copies"), [(NEVER, True, True), (NOT_COPIES, False, True), (ALWAYS, False, False)])
def test_what_each_mode_forbids(mode: ManualTradingMode, own: bool, copies: bool) -> None:
    assert (forbids(mode, copied=False), forbids(mode, copied=True)) == (own, copies)
