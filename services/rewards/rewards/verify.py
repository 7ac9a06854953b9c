"""Recomputes everything that the rewards store claims, and names what is different.

python -m rewards.verify [URL ...]  prints the first difference; exits with 1 when there is one

Several stores are the shards of one service: each has a journal of its own, and all journals together are the ledger.
"""

import asyncio
import itertools
import json
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from shared.contracts.config import RewardType
from shared.ids import reward_client_id
from shared.money import Money
from shared.store.engine import READ_ONLY, create_engine
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from rewards import decide, ledger, recompute, store, tables
from rewards.decide import Accrual, Slice
from rewards.ledger import Entry
from rewards.settings import RewardsSettings
from rewards.settle import TAKEN, Phase
from rewards.settlement import OWED, SETTLED, parse_reward_client_id

PAGE = 1000
ASKED = frozenset({Phase.OUT_SENT, Phase.OUT_REFUSED})
"""Phases of an OUT that the venue may have carried out without our having heard of it."""
Balances = dict[tuple[str, str], int]
Owed = dict[int, list[Decimal]]
"""By subscription: held, settled."""
Spans = dict[tuple[int, int], list[tuple[int, int, int]]]
"""By subscription and reward type: the periods billed (from, to, accrual)."""


class Difference(NamedTuple):
    """One thing that is not as it has to be: which check found it, where, and what."""

    check: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: {self.what}"


class Operation(NamedTuple):
    """A balance operation that the venue has to have carried out, once, by this store's account."""

    client_id: str
    login: int
    operation: str
    amount: Decimal
    currency: str
    operation_id: int


async def verify(*shards: AsyncSession) -> Difference | None:
    """The first difference: in a chain, the balances, the accruals against journal, inputs and trades. None: everything agrees."""
    by_accrual: dict[int, Balances] = {}
    seen: Counter[tuple[int, int, int, int]] = Counter()
    for session in shards:
        wrong = await _books(session, by_accrual)
        if wrong is not None:
            return wrong
    for session in shards:
        owed: Owed = defaultdict(lambda: [Decimal(0), Decimal(0)])
        spans: Spans = defaultdict(list)
        withheld: set[int] = set()
        given_back: set[int] = set()
        async for page in _pages(session):
            told = await store.trades_of(session, {row[0] for one in page for row in _trades_in(one)})
            known = {(trade.order, trade.deal): trade.slice for trades in told.values() for trade in trades}
            for accrual in page:
                what = _against_journal(accrual, by_accrual.pop(accrual.id, {})) or recompute.difference(accrual)
                what = what or _against_trades(accrual, known)
                if what:
                    return Difference("accrual", f"{accrual.id} ({accrual.key})", what)
                twice = _counted_twice(accrual, seen)
                if twice is not None:
                    return twice
                _remember(accrual, owed, spans)
                if accrual.is_refund and accrual.phase != Phase.NOTHING:
                    given_back.add(accrual.ref_accrual_id)
                elif accrual.phase == Phase.DONE and accrual.withheld and accrual.fee_amount > (accrual.pay_amount or 0):
                    withheld.add(accrual.id)
        wrong = _periods(spans) or _kept(withheld - given_back) or await _sharing(session, owed)
        if wrong is not None:
            return wrong
    if by_accrual:
        return Difference("journal", f"accrual {min(by_accrual)}", "has entries, but there is no such accrual")
    return None


async def _books(session: AsyncSession, by_accrual: dict[int, Balances]) -> Difference | None:
    """One journal: its chain, and the balances that are kept beside it. Adds what it booked for each accrual."""
    last: Entry | None = None
    whole: Balances = defaultdict(int)
    async for entry in _journal(session):
        wrong = _chain(last, entry)
        if wrong:
            return Difference("chain", f"entry {entry.sequence}", wrong)
        own = by_accrual.setdefault(entry.accrual, defaultdict(int))
        for (account, currency), amount in ledger.fold([entry]).items():
            whole[account, currency] += amount
            own[account, currency] += amount
        last = entry
    return _balances(whole, await store.balances(session))


async def operations(session: AsyncSession) -> AsyncIterator[Operation]:
    """What the venue's own record of balance operations with a reward's id has to be, for a comparison with it."""
    async for accrual in _accruals(session):
        if Phase(accrual.phase) in TAKEN and not (accrual.is_refund and accrual.withheld):
            login = accrual.payout_account_login if accrual.is_refund else accrual.follower_login
            charge = accrual.charge
            out = reward_client_id(accrual.id, "out")
            yield Operation(out, login, "OP_BALANCE_OUT", charge.amount, charge.currency, accrual.charge_order)
        login, amount = decide.payee(accrual)
        if accrual.phase == Phase.DONE and amount.amount:
            into = reward_client_id(accrual.id, "in")
            yield Operation(into, login, "OP_BALANCE_IN", amount.amount, amount.currency, accrual.payout_order)


async def _journal(session: AsyncSession) -> AsyncIterator[Entry]:
    after = 0
    while True:
        statement = select(tables.journal).where(tables.journal.c.sequence > after).order_by(tables.journal.c.sequence).limit(PAGE)
        rows = [Entry(*row) for row in (await session.execute(statement)).all()]
        for row in rows:
            yield row
        if not rows:
            return
        after = rows[-1].sequence


async def _pages(session: AsyncSession) -> AsyncIterator[list[Accrual]]:
    after = 0
    while rows := await store.accruals_after(session, after):
        yield rows
        after = rows[-1].id


async def _accruals(session: AsyncSession) -> AsyncIterator[Accrual]:
    async for page in _pages(session):
        for row in page:
            yield row


def _chain(last: Entry | None, entry: Entry) -> str:
    wanted = last.sequence + 1 if last else 1
    if entry.sequence != wanted:
        return f"follows {wanted - 1}: entries are missing"
    if entry.previous != (last.hash if last else ledger.GENESIS):
        return "does not follow the entry before it"
    if ledger.digest(entry) != entry.hash:
        return "its hash is not that of its content"
    return ""


def _balances(folded: Balances, kept: Balances) -> Difference | None:
    for key in sorted(folded.keys() | kept.keys()):
        if folded.get(key, 0) != kept.get(key, 0):
            return Difference("balance", " ".join(key), f"kept as {kept.get(key, 0)}, the journal gives {folded.get(key, 0)}")
    for currency, total in ledger.sums(folded).items():
        if total:
            return Difference("balance", currency, f"all accounts together come to {total}, not 0")
    return None


def _against_journal(accrual: Accrual, booked: Balances) -> str:
    """Whether what was booked for an accrual is what its phase says: the payer's side, the payee's, and what is parked."""
    phase = Phase(accrual.phase)
    login, due = decide.payee(accrual)
    payee = ledger.follower(login) if accrual.is_refund else ledger.payout(login)
    wanted: dict[tuple[str, str], int] = {}
    if phase in TAKEN and not (accrual.is_refund and accrual.withheld):
        source = ledger.payout(accrual.payout_account_login) if accrual.is_refund else ledger.follower(accrual.follower_login)
        wanted[source, accrual.charge.currency] = -accrual.charge.minor()
    if phase == Phase.DONE and due.amount:
        wanted[payee, due.currency] = due.minor()
    if phase == Phase.PARKED:
        wanted[ledger.suspense(login), due.currency] = due.minor()
    outside = ("follower:", "payout:", "suspense:")
    found = {key: amount for key, amount in booked.items() if amount and key[0].startswith(outside)}
    if found != wanted:
        return f"phase {phase} with {found} booked, not {wanted}"
    if phase == Phase.DONE and accrual.withheld and not accrual.is_refund:
        kept = Money.from_minor(booked.get((ledger.held(accrual.follower_login), accrual.currency), 0), accrual.currency)
        if kept.amount != accrual.fee_amount - (accrual.pay_amount or 0):
            return f"{kept} of it is held still"
    return ""


def _trades_in(accrual: Accrual) -> list[list[Any]]:
    rows: list[list[Any]] = json.loads(accrual.inputs).get("trades", [])
    return rows


def _against_trades(accrual: Accrual, known: dict[tuple[int, int], Slice]) -> str:
    """Whether every closing deal in the inputs was told so by the venue."""
    for one in recompute.slices(_trades_in(accrual)):
        if known.get((one.order, one.deal)) != one:
            return f"deal {one.deal} of order {one.order} is not in the trades as its inputs say"
    return ""


def _remember(accrual: Accrual, owed: Owed, spans: Spans) -> None:
    """What an accrual adds to the sums that are shown of its subscription, and the period that it bills."""
    phase, sums = Phase(accrual.phase), owed[accrual.subscription_id]
    sums[0] += accrual.fee_amount if phase in OWED else 0
    sums[1] += accrual.fee_amount if phase in SETTLED else 0
    by_period = not accrual.ref_accrual_id and not accrual.source_order and accrual.period_to > accrual.period_from
    if by_period:
        spans[accrual.subscription_id, accrual.reward_type].append((accrual.period_from, accrual.period_to, accrual.id))


def _periods(spans: Spans) -> Difference | None:
    """Whether any time is billed twice by one reward type of a subscription."""
    for (subscription, kind), periods in spans.items():
        periods.sort()
        for before, after in itertools.pairwise(periods):
            # A prepaid period that a stop has cut is followed by another within it: its unused part went back.
            if after[0] < before[1] and kind != RewardType.SUBSCRIPTION_FEE:
                where = f"subscription {subscription}, reward type {kind}"
                return Difference("period", where, f"accruals {before[2]} and {after[2]} bill the same time")
    return None


def _kept(shares: set[int]) -> Difference | None:
    """Shares that were withheld and are not due in full, of which nothing goes back."""
    return Difference("accrual", str(min(shares)), "was withheld, and nothing of what is not due goes back") if shares else None


async def _sharing(session: AsyncSession, owed: Owed) -> Difference | None:
    """Whether what is shown as held and settled is what the accruals come to."""
    after, zero = 0, Decimal(0)
    while rows := await store.all_sharing(session, after):
        for row in rows:
            holding, settled = owed.pop(row.subscription_id, (zero, zero))
            if (row.holding, row.settled) != (holding, settled):
                shown, found = (row.holding, row.settled), (holding, settled)
                what = f"held and settled shown as {_digits(shown)}, its accruals come to {_digits(found)}"
                return Difference("sharing", f"subscription {row.subscription_id}", what)
        after = rows[-1].subscription_id
    missing = [one for one, sums in owed.items() if any(sums)]
    return Difference("sharing", f"subscription {min(missing)}", "has accruals, but nothing is shown of them") if missing else None


def _digits(amounts: Iterable[Decimal]) -> str:
    return " and ".join(decide.text(one) for one in amounts)


async def unclaimed(done: Iterable[str], *shards: AsyncSession) -> Difference | None:
    """Whether the venue has carried out an operation under a reward's id that no accrual has asked for: read the venue's record first."""
    ids = [(client_id, parse_reward_client_id(client_id)) for client_id in done]
    accruals: dict[int, Accrual] = {}
    for session in shards:
        accruals |= await store.accruals_by_id(session, {parsed[0] for _, parsed in ids if parsed is not None})
    for client_id, parsed in ids:
        accrual = accruals.get(parsed[0]) if parsed else None
        if accrual is None or parsed is None:
            return Difference("venue", client_id, "was carried out, but there is no such accrual")
        taken = Phase(accrual.phase) in TAKEN
        if not taken and (parsed[1] == "in" or Phase(accrual.phase) not in ASKED):
            return Difference("venue", client_id, f"was carried out, but the accrual is {accrual.phase}")
    return None


def _counted_twice(accrual: Accrual, seen: Counter[tuple[int, int, int, int]]) -> Difference | None:
    """Whether any deal was counted before by the same reward type of the subscription."""
    for row in _trades_in(accrual):
        key = (accrual.subscription_id, accrual.reward_type, row[0], row[1])
        seen[key] += 1
        if seen[key] > 1:
            return Difference("twice", f"deal {row[1]} of order {row[0]}", f"counted again by accrual {accrual.id}")
    return None


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[AsyncSession]:
    """A session in which a running store stands still and nobody waits for it: all that is read is of one instant."""
    engine = create_engine(url)
    options: dict[str, Any] = dict(READ_ONLY)
    if engine.dialect.name != "sqlite":
        options["isolation_level"] = "REPEATABLE READ"
    try:
        async with AsyncSession(engine.execution_options(**options)) as session:
            yield session
    finally:
        await engine.dispose()


async def verify_stores(urls: Sequence[str]) -> Difference | None:
    """`verify` on the stores of all shards, by their URLs."""
    async with AsyncExitStack() as stack:
        return await verify(*[await stack.enter_async_context(reading(url)) for url in urls])


def main(arguments: list[str]) -> int:
    found = asyncio.run(verify_stores(arguments or [RewardsSettings().database("rewards")]))
    sys.stdout.write(f"{found or 'rewards: everything agrees'}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
