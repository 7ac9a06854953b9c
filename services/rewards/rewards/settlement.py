"""Carries accruals through their settlement: what is asked of the venue, what its answers mean, and what is booked and told for it."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from shared.contracts.config import RewardType
from shared.contracts.rewards import TOPIC, AccrualsChanged, BalanceOrderRow, BalancesRequested, SharingChanged
from shared.contracts.trades import REASON_COPY_REWARD
from shared.ids import reward_client_id
from shared.money import EXACT, Money
from shared.store.work import Work
from sqlalchemy.ext.asyncio import AsyncSession

from rewards import decide, ledger, store
from rewards.decide import Accrual, Rate
from rewards.known import Known
from rewards.ledger import Posting
from rewards.settings import RewardsSettings
from rewards.settle import TAKEN, UNTAKEN, Fact, Phase, changes, move, wait_ms
from rewards.store import Sharing
from rewards.tables import accrual as accrual_table

log = structlog.get_logger()

PARKED = Counter("lockstep_rewards_parked", "Rewards taken from a payer that the payee's account refused for good: a person has to act")
DEAD = Counter("lockstep_rewards_dead", "Rewards that could not be taken and are given up")
STRANGE = Counter("lockstep_rewards_strange_answers", "Balance operations under a reward's id that are not what was asked for")
SETTLED = frozenset({Phase.DONE})
OWED = frozenset(Phase) - SETTLED - UNTAKEN


class Answer(NamedTuple):
    """What the venue says about one balance operation."""

    accrual: int
    step: str
    fact: Fact
    login: int
    amount: Decimal
    operation_id: int = 0
    reason: str = ""


def parse_reward_client_id(client_id: str) -> tuple[int, str] | None:
    """The accrual and step (`out`, `in`) of a settlement's client id; None for any other id."""
    parts = client_id.split("-")
    if len(parts) != 3 or parts[0] != "r" or not parts[1].isdigit() or parts[2] not in {"out", "in"}:
        return None
    return int(parts[1]), parts[2]


class Changes:
    """What one event changes: collected, then written and told at once."""

    def __init__(self) -> None:
        self.accruals: dict[int, Accrual] = {}
        self.fresh: dict[str, Accrual] = {}
        """By key, those of them that are not in the store yet."""
        self.waiting: list[Accrual] = []
        """New ones that settlement has not begun yet, in their order."""
        self.postings: list[tuple[int, str, list[Posting]]] = []
        self.requests: list[BalanceOrderRow] = []
        self.sharing: dict[int, tuple[Decimal, Decimal, Decimal]] = {}
        self.crystallised: set[int] = set()
        """Subscriptions whose expected performance fee has become an accrual."""
        self.reckoned: set[int] = set()
        """Subscriptions of which something has changed that an expected fee is reckoned from."""

    def shared(
        self, subscription: int, realised: Decimal = Decimal(0), holding: Decimal = Decimal(0), settled: Decimal = Decimal(0)
    ) -> None:
        before = self.sharing.get(subscription, (Decimal(0),) * 3)
        delta = (realised, holding, settled)
        total = tuple(EXACT.add(old, new) for old, new in zip(before, delta, strict=True))
        self.sharing[subscription] = (total[0], total[1], total[2])
        if realised:
            self.reckoned.add(subscription)

    def moved(self, accrual: Accrual, before: Phase | None) -> None:
        """Notes that an accrual has left a phase (None: it is new), for the sums that are shown."""
        after, fee = Phase(accrual.phase), accrual.fee_amount
        holding = fee * ((after in OWED) - (before in OWED))
        settled = fee * ((after in SETTLED) - (before in SETTLED))
        if holding or settled:
            self.shared(accrual.subscription_id, holding=holding, settled=settled)
        if before is None and accrual.reward_type == RewardType.PERFORMANCE_FEE_HWM:
            self.crystallised.add(accrual.subscription_id)
        if before is None or after in UNTAKEN:
            self.reckoned.add(accrual.subscription_id)
        self.accruals[accrual.id] = accrual


class Settlement:
    """The saga: only this changes an accrual's phase."""

    def __init__(self, settings: RewardsSettings) -> None:
        self._settings = settings
        self._last: ledger.Entry | None = None
        self._loaded = False

    def forget(self) -> None:
        self._loaded = False

    async def begin(self, work: Work, known: Known, accruals: Iterable[Accrual], changes_: Changes) -> list[Accrual]:
        """Takes new accruals and asks for what is due; answers those that were new."""
        fresh = await store.new_accruals(work.session, [one for one in accruals if one.key not in changes_.fresh])
        for accrual in fresh:
            changes_.fresh[accrual.key] = accrual
            match Phase(accrual.phase):
                case Phase.OUT_SENT:
                    self._ask_out(accrual, work.now, changes_)
                case Phase.IN_SENT:
                    self._start_in(accrual, known, work.now, changes_)
                case _:
                    pass
            changes_.moved(accrual, None)
        return fresh

    async def begin_waiting(self, work: Work, known: Known, changes_: Changes) -> None:
        """Takes all new accruals that were put by, at once."""
        waiting, changes_.waiting = changes_.waiting, []
        if waiting:
            await self.begin(work, known, waiting, changes_)

    async def answered(self, work: Work, known: Known, answers: Sequence[Answer], changes_: Changes) -> None:
        """Takes the venue's answers to what was asked."""
        found = await store.accruals_by_id(work.session, {answer.accrual for answer in answers})
        for answer in answers:
            accrual = found.get(answer.accrual)
            if accrual is None or not self._is_ours(accrual, answer):
                STRANGE.inc()
                log.error("an answer to nothing that was asked", **answer._asdict())
                continue
            self.apply(accrual, answer.fact, known, work.now, changes_, answer)
        await self._wake_refunds(work, known, [one for one in found.values() if one.id in changes_.accruals], changes_)

    async def tick(self, work: Work, known: Known, changes_: Changes) -> int:
        """Asks again for what was not answered, and tries again what was refused; answers how many."""
        due = await store.due_accruals(work.session, work.now)
        for accrual in due:
            give_up = accrual.phase == Phase.OUT_REFUSED and accrual.tries >= self._settings.retry_max
            self.apply(accrual, Fact.GIVE_UP if give_up else Fact.TIME, known, work.now, changes_)
        await self._wake_refunds(work, known, [one for one in due if one.id in changes_.accruals], changes_)
        return len(due)

    def apply(self, accrual: Accrual, fact: Fact, known: Known, now: int, changes_: Changes, answer: Answer | None = None) -> None:
        """One step of the table, and what follows from it."""
        before = Phase(accrual.phase)
        if not changes(before, fact):
            return
        accrual.phase = move(before, fact)
        accrual.updated_ms = now
        accrual.next_ms = None
        accrual.reason = answer.reason if answer else accrual.reason
        match fact:
            case Fact.OUT_OK:
                accrual.charge_order = answer.operation_id if answer else 0
                changes_.postings.append((accrual.id, "taken", decide.taken_postings(accrual)))
                if accrual.withheld and accrual.pay_amount is None:
                    accrual.phase = Phase.HELD
                else:
                    self._start_in(accrual, known, now, changes_)
            case Fact.OUT_REFUSED if accrual.withheld and accrual.pay_amount is not None and not accrual.pay_amount:
                accrual.phase, accrual.reason = move(Phase.OUT_REFUSED, Fact.VOID), "NETTED"  # all of it would go back
            case Fact.OUT_REFUSED:
                accrual.next_ms = now + wait_ms(self._settings.retry_schedule_s, accrual.tries)
            case Fact.OUT_REFUSED_FINAL | Fact.GIVE_UP:
                DEAD.inc()
                log.error("a reward is given up", accrual=accrual.id, reason=accrual.reason)
            case Fact.IN_OK:
                accrual.payout_order = answer.operation_id if answer else 0
                changes_.postings.append((accrual.id, "paid", decide.paid_postings(accrual)))
            case Fact.IN_REFUSED:
                accrual.next_ms = now + wait_ms(self._settings.retry_schedule_s, accrual.tries)
            case Fact.IN_REFUSED_FINAL:
                PARKED.inc()
                log.error("a reward is parked in suspense", accrual=accrual.id, reason=accrual.reason)
                changes_.postings.append((accrual.id, "parked", decide.parked_postings(accrual)))
            case Fact.TIME:
                accrual.tries += before in {Phase.OUT_REFUSED, Phase.IN_REFUSED, Phase.WAITS, Phase.NOTHING}
                self._go_on(accrual, before, known, now, changes_)
            case Fact.VOID:
                pass
        changes_.moved(accrual, before)

    def _go_on(self, accrual: Accrual, before: Phase, known: Known, now: int, changes_: Changes) -> None:
        if accrual.phase == Phase.OUT_SENT and accrual.is_refund and accrual.withheld:
            self._start_refund(accrual, now, changes_)  # it is held: there is nothing to take first
        elif accrual.phase == Phase.OUT_SENT:
            self._ask_out(accrual, now, changes_)
        elif before in {Phase.IN_SENT, Phase.IN_REFUSED}:
            self._ask_in(accrual, now, changes_)
        else:
            self._start_in(accrual, known, now, changes_)

    def _start_in(self, accrual: Accrual, known: Known, now: int, changes_: Changes) -> None:
        """What was taken is turned into the payee's currency, once, and asked to be paid."""
        if accrual.is_refund:
            self._start_refund(accrual, now, changes_)
            return
        due = Money(accrual.fee_amount if accrual.pay_amount is None else accrual.pay_amount, accrual.currency)
        if not due.amount:
            accrual.phase, accrual.reason = Phase.DONE, "NETTED"
            accrual.payout_currency = accrual.currency
            return
        currency = known.currency(accrual.payout_account_login)
        rate: Rate | None = None
        if currency is not None and currency != due.currency:
            rate = known.rate(due.currency, currency)
        if currency is None or (rate is None and currency != due.currency):
            accrual.phase, accrual.next_ms = Phase.NO_RATE, now + wait_ms(self._settings.retry_schedule_s, 1)
            return
        conversion = decide.convert(due, currency, rate)
        postings = decide.conversion_postings(accrual.payout_account_login, conversion)
        if accrual.withheld:
            release = Posting(ledger.held(accrual.follower_login), ledger.payable(accrual.payout_account_login), due.minor(), due.currency)
            postings.insert(0, release)
        if postings:
            changes_.postings.append((accrual.id, "convert", postings))
        accrual.payout_amount, accrual.payout_currency = conversion.paid.amount, currency
        if rate is not None:
            accrual.inputs = _with_payout(accrual.inputs, rate, conversion)
        accrual.tries = 1
        if conversion.paid.amount:
            accrual.phase = Phase.IN_SENT
            self._ask_in(accrual, now, changes_)
        else:
            accrual.phase, accrual.reason = Phase.DONE, "LESS_THAN_A_UNIT"

    def _start_refund(self, accrual: Accrual, now: int, changes_: Changes) -> None:
        back = Money(-accrual.fee_amount, accrual.currency)
        if accrual.withheld:
            postings = [Posting(ledger.held(accrual.follower_login), ledger.payable(accrual.follower_login), back.minor(), back.currency)]
        else:
            taken = accrual.charge
            rate = json.loads(accrual.inputs).get("payout", {}).get("rate")
            worth = Money(EXACT.multiply(back.amount, Decimal(rate or 1)), taken.currency).rounded()
            conversion = decide.Conversion(taken, back, taken.minor() - worth.minor())
            postings = decide.conversion_postings(accrual.follower_login, conversion)
        if postings:
            changes_.postings.append((accrual.id, "convert", postings))
        accrual.tries = 1
        accrual.phase = Phase.IN_SENT
        self._ask_in(accrual, now, changes_)

    def _ask_out(self, accrual: Accrual, now: int, changes_: Changes) -> None:
        login = accrual.payout_account_login if accrual.is_refund else accrual.follower_login
        guard = 0 if accrual.is_refund else self._settings.keep_margin_level
        self._ask(accrual, "out", login, accrual.charge, guard, now, changes_)

    def _ask_in(self, accrual: Accrual, now: int, changes_: Changes) -> None:
        self._ask(accrual, "in", *decide.payee(accrual), 0, now, changes_)

    def _ask(self, accrual: Accrual, step: str, login: int, amount: Money, guard: int, now: int, changes_: Changes) -> None:
        accrual.next_ms = now + round(self._settings.answer_window_s * 1000)
        changes_.requests.append(
            BalanceOrderRow(
                client_id=reward_client_id(accrual.id, step),
                accrual=accrual.id,
                login=login,
                operation="OP_BALANCE_OUT" if step == "out" else "OP_BALANCE_IN",
                amount=amount.amount,
                currency=amount.currency,
                reason=REASON_COPY_REWARD,
                api_data=f'{{"copy_reward_accrual_id": {accrual.id}}}',
                keep_margin_level=guard,
            )
        )

    def repeat(self, accrual: Accrual) -> list[BalanceOrderRow]:
        """The request that an accrual in flight waits for an answer to, once more."""
        again = Changes()
        if accrual.phase == Phase.OUT_SENT:
            self._ask_out(accrual, 0, again)
        elif accrual.phase == Phase.IN_SENT:
            self._ask_in(accrual, 0, again)
        return again.requests

    @staticmethod
    def _is_ours(accrual: Accrual, answer: Answer) -> bool:
        """Whether an answer is about what was asked: anything else under our id is somebody's mistake and moves nothing here."""
        if answer.step == "out":
            login = accrual.payout_account_login if accrual.is_refund else accrual.follower_login
            return answer.login == login and answer.amount == accrual.charge.amount
        login, amount = decide.payee(accrual)
        return answer.login == login and answer.amount == amount.amount

    async def _wake_refunds(self, work: Work, known: Known, changed: Sequence[Accrual], changes_: Changes) -> None:
        """A refund that waited for what it gives back begins, or lapses with it; one that had lapsed begins if that was taken after all."""
        settled = [one.id for one in changed if one.phase in {Phase.DONE, *UNTAKEN} or (one.withheld and Phase(one.phase) in TAKEN)]
        for some in store.chunks(settled):
            not_begun = accrual_table.c.phase.in_((Phase.WAITS, Phase.NOTHING))
            waiting = await store.accruals_where(work.session, accrual_table.c.ref_accrual_id.in_(some), not_begun)
            for refund in waiting:
                self.start_refund(refund, changes_.accruals[refund.ref_accrual_id], known, work.now, changes_)

    def start_refund(self, refund: Accrual, original: Accrual, known: Known, now: int, changes_: Changes) -> None:
        """Begins a refund whose original is settled; with nothing taken, or nothing paid that could be taken back, it is void."""
        if not refund.withheld and original.phase == Phase.DONE:
            set_refund_payout(refund, original)
        possible = original.phase not in UNTAKEN and (refund.withheld or refund.payout_amount)
        self.apply(refund, Fact.TIME if possible else Fact.VOID, known, now, changes_)

    async def write(self, work: Work, known: Known, changes_: Changes) -> None:
        """Writes and tells everything that was collected."""
        session = work.session
        await store.add_accruals(session, changes_.fresh.values())
        await store.save_accruals(session, [one for one in changes_.accruals.values() if one.key not in changes_.fresh])
        await self._book(session, changes_, work.now)
        rows = [accrual.row() for accrual in changes_.accruals.values()]
        if rows:
            work.emit(TOPIC, AccrualsChanged.of(rows))
        if changes_.requests:
            work.emit(TOPIC, BalancesRequested.of(changes_.requests))
        await self._share(work, known, changes_)

    async def _book(self, session: AsyncSession, changes_: Changes, now: int) -> None:
        if not self._loaded:
            self._last, self._loaded = await store.last_entry(session), True
        entries: list[ledger.Entry] = []
        for accrual, kind, postings in changes_.postings:
            entries += ledger.chain(entries[-1] if entries else self._last, accrual, kind, postings, now)
        await store.append_journal(session, entries)
        if entries:
            self._last = entries[-1]

    async def _share(self, work: Work, known: Known, changes_: Changes) -> None:
        before = await store.sharing_of(work.session, changes_.sharing)
        rows = []
        for subscription_id, (realised, holding, settled) in changes_.sharing.items():
            subscription = known.subscriptions[subscription_id]
            head = (subscription_id, subscription.follower_login, subscription.master_login, known.payer(subscription).currency)
            old = before.get(subscription_id) or Sharing(*head, *(Decimal(0),) * 4, 1)
            rows.append(
                old._replace(
                    realized_profit=EXACT.add(old.realized_profit, realised),
                    holding=EXACT.add(old.holding, holding),
                    settled=EXACT.add(old.settled, settled),
                    expected=Decimal(0) if subscription_id in changes_.crystallised else old.expected,
                    stale=1 if subscription_id in changes_.reckoned else old.stale,
                )
            )
        if rows:
            await store.save_sharing(work.session, rows)
            work.emit(TOPIC, SharingChanged.of([one.row() for one in rows]))


def set_refund_payout(refund: Accrual, original: Accrual) -> None:
    """A refund takes from the payout account the part of what was paid that it gives back, at the rate of then."""
    share = EXACT.divide(-refund.fee_amount, original.fee_amount)
    refund.payout_currency = original.payout_currency
    refund.payout_amount = -Money(EXACT.multiply(original.payout_amount, share), original.payout_currency).rounded().amount
    payout = json.loads(original.inputs).get("payout")
    if payout is not None:
        refund.inputs = decide.inputs_json(json.loads(refund.inputs) | {"payout": payout})


def _with_payout(inputs: str, rate: Rate, conversion: decide.Conversion) -> str:
    """Inputs with what was converted for the payout, at which rate, and the minor units of it that rounding kept."""
    payout = {
        "amount": decide.text(conversion.charged.amount),
        "from": rate.source,
        "to": rate.target,
        "rate": decide.text(rate.rate),
        "seen": rate.seen,
        "time": rate.time_ms,
        "rounding": conversion.difference,
    }
    return decide.inputs_json(json.loads(inputs) | {"payout": payout})
