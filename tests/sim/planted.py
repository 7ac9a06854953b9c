"""Twelve bugs, each a rule of the log, of the flows or of the settlement left out, to show that the simulation would notice.

A bug is a context in which the product lacks the rule.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

from executor import timers
from gateway.paper.venue import PaperVenue
from rewards.settlement import Settlement
from shared.bus import broker
from shared.bus.reader import Reader, Verdict
from shared.bus.relay import Relay
from shared.store import outbox
from shared.store.outbox import Entry
from shared.store.work import Store, Work

from tests.sim.wire import BreakingWire

Bug = Callable[[], AbstractContextManager[Any]]


def _method(owner: Any, name: str, stand_in: Any) -> AbstractContextManager[Any]:
    return patch.object(owner, name, stand_in)


@contextmanager
def no_position_check() -> Iterator[None]:
    """A reader handles what it is handed, whether it has handled it before or not, and puts its place wherever that leads."""

    async def take(self: Any, entries: Sequence[Entry]) -> Verdict:
        run = [decoded for entry in entries if (decoded := self._decode(entry)) is not None]
        for one in run:
            await self._handle([one])
        return Verdict.HANDLED

    async def move_place(session: Any, stream: str, _before: int, after: int) -> None:
        statement = outbox.upsert(session, outbox.place).values(stream=stream, number=after)
        await session.execute(statement.on_conflict_do_update(index_elements=["stream"], set_={"number": after}))

    with _method(Reader, "take", take), _method(outbox, "move_place", move_place):
        yield


def position_moved_before_the_commit() -> AbstractContextManager[Any]:
    """The place is moved in a transaction of its own, and then the entries are handled."""

    async def transaction(self: Any, run: list[Any]) -> None:
        async with self._store.work() as work:
            work.move(self.stream, self.place, run[-1].batch.number)
        async with self._store.work() as work:
            for one in run:
                if one.batch.events:
                    work.cause = one.batch.events[0]
                    await self._handler(one.batch, work)

    return _method(Reader, "_transaction", transaction)


def append_without_compare() -> AbstractContextManager[Any]:
    """The stream takes what the relay believes to be next."""

    async def append(self: Any, stream: str, _expected: int, entries: Sequence[Entry]) -> int:
        self._seam("before append")
        self.add(stream, entries)
        self._seam("after append")
        return self.lasts[stream]

    return _method(BreakingWire, "append", append)


def new_id_on_retry() -> AbstractContextManager[Any]:
    """A close without an answer is sent again as another order."""
    usual = timers.ask_again

    async def ask_again(desk: Any, out: Any, link: Any, **which: bool) -> None:
        link.close_step += bool(link.close_volume)
        await usual(desk, out, link, **which)

    return _method(timers, "ask_again", ask_again)


def no_rebuild() -> AbstractContextManager[Any]:
    """A stream that has lost something is not written anew."""

    async def rebuild(_self: Any, _stream: str, _entries: Sequence[Entry]) -> None:
        return

    return _method(BreakingWire, "rebuild", rebuild)


def no_gap_request() -> AbstractContextManager[Any]:
    """Nobody asks for the number that is missing."""

    async def ask(_self: Any) -> None:
        return

    return _method(broker._Feed, "_ask", ask)


def no_idle_look() -> AbstractContextManager[Any]:
    """A reader that is handed nothing does not look whether there is something."""

    async def watch(self: Any) -> None:
        await self._wire.report(self.reader.stream, self._name, outbox.Report(self.reader.place, self.reader.now()))

    return _method(broker._Feed, "watch", watch)


def no_causal_wait() -> AbstractContextManager[Any]:
    """An entry is handled before what its writer had read."""
    return _method(Reader, "_caught_up", lambda _self, _entry: True)


@contextmanager
def asked_again_done_again() -> Iterator[None]:
    """The venue carries out what it is asked once more, also under an id that it knows."""

    async def settle(self: Any, request: Any, work: Work) -> None:
        from gateway.paper import balances  # noqa: PLC0415

        book = await self.begin(work)
        balances.settle_all(book, request.rows, {})
        book.changes.answers.clear()
        await self.finish(work, book)

    with _method(PaperVenue, "settle", settle):
        yield


def paid_before_taken() -> AbstractContextManager[Any]:
    """A reward is paid out together with its being taken, whatever comes of that."""
    usual = Settlement._ask_out

    def ask_out(self: Any, accrual: Any, now: int, changes: Any) -> None:
        usual(self, accrual, now, changes)
        if not accrual.is_refund and not accrual.withheld:
            accrual.payout_amount, accrual.payout_currency = accrual.fee_amount, accrual.currency
            self._ask_in(accrual, now, changes)

    return _method(Settlement, "_ask_out", ask_out)


def outbox_outside_the_transaction() -> AbstractContextManager[Any]:
    """What a unit of work emits is written after its commit."""
    usual = Store.work

    @asynccontextmanager
    async def work(self: Any, *arguments: Any, **options: Any) -> AsyncIterator[Work]:
        async with usual(self, *arguments, **options) as first:
            yield first
            emitted, first.emitted = first.emitted, []
            if first.lost is not None:
                first.emitted = emitted
        if emitted and first.lost is None:
            async with usual(self, first.cause, first.correlation_id) as second:
                second.emitted = emitted

    return _method(Store, "work", work)


def pruned_beyond_a_reader_s_place() -> AbstractContextManager[Any]:
    """What was appended is forgotten, whether everybody has read it or not."""
    usual = Relay._prune

    async def prune(self: Any, low: int, _lowest: int) -> None:
        async with self._store.read() as session:
            _, last = await outbox.ends(session, self.stream)
        await usual(self, low, last)

    return _method(Relay, "_prune", prune)


BUGS: dict[str, Bug] = {
    "no position check": no_position_check,
    "position moved before the commit": position_moved_before_the_commit,
    "append without compare": append_without_compare,
    "new id on retry": new_id_on_retry,
    "no rebuild": no_rebuild,
    "no gap request": no_gap_request,
    "no idle look": no_idle_look,
    "no causal wait": no_causal_wait,
    "asked again, done again": asked_again_done_again,
    "paid before it is taken": paid_before_taken,
    "outbox outside the transaction": outbox_outside_the_transaction,
    "pruned beyond a reader's place": pruned_beyond_a_reader_s_place,
}
