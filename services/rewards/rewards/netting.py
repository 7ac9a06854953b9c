"""Gives back: what a provider who stopped was paid for in advance, and what was withheld of wins that losses have eaten since."""

import json
from collections.abc import Sequence
from decimal import Decimal

from shared.contracts.config import RewardPolicy, RewardType
from shared.money import EXACT, Money
from shared.store.work import Work

from rewards import decide, fees, store
from rewards.decide import Accrual, Fee
from rewards.known import Known
from rewards.periods import Period
from rewards.schedule import Step
from rewards.settle import TAKEN, UNTAKEN, Fact, Phase
from rewards.settlement import Changes, Settlement
from rewards.tables import accrual as table
from rewards.terms import Subscription, provider_stopped

ZERO = Decimal(0)
SURELY = (Phase.HELD, Phase.OUT_SENT, Phase.OUT_REFUSED)
"""The order in which what is due is taken from what was withheld: first what is surely there."""


async def refund_prepaid(
    work: Work, settlement: Settlement, known: Known, subscription: Subscription, step: Step, changes: Changes
) -> None:
    """A provider stopped in a prepaid period: the fee's unused part goes back; a fee that is not even taken lapses.

    So does the whole fee of a period that began after the end, whoever ended it: the end was told too late to keep it from being charged.
    """
    master = known.master(subscription.master_login)
    withdrawn = master.policy(RewardType.SUBSCRIPTION_FEE, step.at_ms) is None
    if step.at_ms > step.start and not withdrawn and not provider_stopped(subscription, master, step.at_ms):
        return
    wanted = (table.c.subscription_id == subscription.id, table.c.reward_type == RewardType.SUBSCRIPTION_FEE)
    found = await store.accruals_where(work.session, *wanted, table.c.period_from == step.start, table.c.fee_amount > 0)
    found += [
        one
        for one in changes.fresh.values()
        if (one.subscription_id, one.reward_type, one.period_from) == (subscription.id, RewardType.SUBSCRIPTION_FEE, step.start)
    ]
    for original in found:
        if original.period_to <= step.at_ms:
            continue  # for once and for ever: there is no unused part
        if original.phase == Phase.OUT_REFUSED:
            original.reason = "PROVIDER_STOPPED"
            settlement.apply(original, Fact.VOID, known, work.now, changes)
        fee = fees.subscription_refund(original.fee_amount, Period(original.period_from, original.period_to), step.at_ms)
        await give_back(work, settlement, known, original, fee, Period(step.at_ms, original.period_to), changes)


async def net_period(work: Work, settlement: Settlement, known: Known, subscription: Subscription, step: Step, changes: Changes) -> bool:
    """Settles what was withheld of a period's wins net of its losses: the due part to the master, the rest back. Answers whether nothing of
    later is withheld."""
    wanted = (table.c.subscription_id == subscription.id, table.c.reward_type == RewardType.PROFIT_SHARE_PER_TRADE)
    withheld_now = (table.c.withheld == 1, table.c.pay_amount.is_(None), table.c.fee_amount >= 0)
    found = await store.accruals_where(work.session, *wanted, *withheld_now)
    # What an earlier end netted in this very turn is not in the store yet.
    found = [one for one in found if changes.accruals.get(one.id, one).pay_amount is None]
    shares = [one for one in found if one.period_to < step.end]
    if shares:
        await _net(work, settlement, known, shares, changes)
    return len(shares) == len(found)


async def _net(work: Work, settlement: Settlement, known: Known, shares: Sequence[Accrual], changes: Changes) -> None:
    results = [(Decimal(json.loads(one.inputs)["percent"]), one.base_amount) for one in shares]
    wins = sorted((one for one in shares if one.phase in SURELY), key=lambda one: (SURELY.index(Phase(one.phase)), one.period_to, one.id))
    withheld = sum((one.fee_amount for one in wins), ZERO)
    due = fees.netted(results, withheld, shares[0].currency)
    rest = due
    for one in shares:
        one.pay_amount = ZERO
        changes.accruals[one.id] = one
    for one in [*wins, *(share for share in shares if share.phase == Phase.DEAD)]:
        one.pay_amount = min(one.fee_amount, rest)
        rest = EXACT.subtract(rest, one.pay_amount)
        await _settle(work, settlement, known, one, _netting(shares, results, withheld, due, one), changes)


def _netting(shares: Sequence[Accrual], results: Sequence[tuple[Decimal, Decimal]], withheld: Decimal, due: Decimal, one: Accrual) -> Fee:
    """The refund of one withheld share, with the whole netting that it follows from."""
    assert one.pay_amount is not None
    rows = [
        [share.id, share.source_order, decide.text(percent), decide.text(net), decide.text(share.fee_amount)]
        for share, (percent, net) in zip(shares, results, strict=True)
    ]
    back = EXACT.subtract(one.fee_amount, one.pay_amount)
    inputs = {
        "shares": rows,
        "withheld": decide.text(withheld),
        "due": decide.text(due),
        "fee": decide.text(one.fee_amount),
        "pay": decide.text(one.pay_amount),
    }
    return Fee("profit_share_refund/1", one.fee_amount, -back, inputs, "NOTHING_BACK")


async def _settle(work: Work, settlement: Settlement, known: Known, share: Accrual, refund: Fee, changes: Changes) -> None:
    if share.phase == Phase.OUT_REFUSED and not share.pay_amount:
        share.reason = "NETTED"
        settlement.apply(share, Fact.VOID, known, work.now, changes)
    if share.phase == Phase.HELD:
        settlement.apply(share, Fact.TIME, known, work.now, changes)
    changes.accruals[share.id] = share
    if refund.amount:
        await give_back(work, settlement, known, share, refund, Period(share.period_from, share.period_to), changes)


async def give_back(work: Work, settlement: Settlement, known: Known, original: Accrual, fee: Fee, span: Period, changes: Changes) -> None:
    """A refund: a new accrual that goes the other way, as soon as what it gives back is there.

    Of what was not taken it lapses at once, and begins if the venue tells later that it was taken after all.
    """
    amount = Money(fee.amount, original.currency).rounded().amount
    if not amount:
        return
    policy = RewardPolicy(
        id=original.policy_id,
        version=original.policy_version,
        master_id=0,
        master_login=original.master_login,
        reward_type=RewardType(original.reward_type),
        currency=original.currency,
        payout_account_login=original.payout_account_login,
    )
    about = decide.Span(span.start, span.end, f"refund-{original.id}", original.source_order)
    payer = decide.Payer(original.follower_login, original.currency, "")
    refund = decide.accrue(original.subscription_id, original.master_login, payer, policy, about, fee, work.now)
    refund.fee_amount, refund.phase, refund.reason = amount, Phase.WAITS, ""
    refund.ref_accrual_id, refund.withheld, refund.tries = original.id, original.withheld, 0
    begun = await settlement.begin(work, known, [refund], changes)
    ready = TAKEN if original.withheld else frozenset({Phase.DONE})
    for one in begun:
        if original.phase in ready | UNTAKEN:
            settlement.start_refund(one, original, known, work.now, changes)
