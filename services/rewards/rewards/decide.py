"""The rules of rewards, pure: a profit becomes an accrual, an accrual becomes balanced postings.

Amounts are exact inside and rounded once, half-even, to the currency's minor unit, where they are charged.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from shared.contracts.config import RewardPolicy, RewardType
from shared.contracts.event import plain
from shared.contracts.rewards import AccrualRow, AccrualState
from shared.money import EXACT, Money

from rewards import ledger
from rewards.ledger import Posting
from rewards.settle import STATE_OF, Phase

ID_BITS = 52
"""Accrual ids stay whole in a JSON number of any reader."""
HUNDRED = Decimal(100)
ROUNDS_TO_ZERO = "ROUNDS_TO_ZERO"
"""The reason of an accrual of 0 where something is due, but less than half of the currency's smallest unit."""
NO_FEE = "NO_FEE"
"""The reason where the policy asks for nothing."""


class Payer(NamedTuple):
    """Who would be charged: the follower's account, and whether it may be charged at all."""

    login: int
    currency: str
    exempt: str
    """Why it is never charged (`DEMO`, `OWN`, `ACCOUNT_UNKNOWN`); empty when it is."""


class Rate(NamedTuple):
    """What one unit of `source` was worth in `target`, where that was seen, and when (Unix milliseconds)."""

    source: str
    target: str
    rate: Decimal
    seen: str
    time_ms: int


class Slice(NamedTuple):
    """One closing deal of a copied position; amounts in the follower's currency, times in Unix milliseconds."""

    order: int
    deal: int
    symbol: str
    volume: int
    profit: Decimal
    commission: Decimal
    swap: Decimal
    time_ms: int

    @property
    def net(self) -> Decimal:
        return EXACT.add(EXACT.add(self.profit, self.commission), self.swap)


@dataclass(slots=True)
class Accrual:
    """A reward as it stands, in the columns of its table.

    `fee_amount` is negative for a refund, which goes the other way. `pay_amount` is the part of a withheld share that is due to the
    master once its period was netted (None: all of it). `next_ms`: when something is to be done without an answer.
    """

    id: int
    key: str
    subscription_id: int
    master_login: int
    follower_login: int
    reward_type: int
    period_from: int
    period_to: int
    base_amount: Decimal
    fee_amount: Decimal
    currency: str
    phase: str
    created_ms: int
    updated_ms: int
    payout_account_login: int
    payout_amount: Decimal
    payout_currency: str
    policy_id: int
    policy_version: int
    source_order: int
    formula: str
    inputs: str
    reason: str = ""
    charge_order: int = 0
    payout_order: int = 0
    ref_accrual_id: int = 0
    withheld: int = 0
    pay_amount: Decimal | None = None
    tries: int = 0
    next_ms: int | None = None

    @property
    def state(self) -> AccrualState:
        return STATE_OF[Phase(self.phase)]

    @property
    def is_refund(self) -> bool:
        return self.fee_amount < 0

    @property
    def charge(self) -> Money:
        """What is taken from the payer."""
        return Money(-self.payout_amount, self.payout_currency) if self.is_refund else Money(self.fee_amount, self.currency)

    def row(self) -> AccrualRow:
        """The accrual as it is told."""
        return AccrualRow(
            id=self.id,
            subscription_id=self.subscription_id,
            master_login=self.master_login,
            follower_login=self.follower_login,
            reward_type=self.reward_type,
            period_from=self.period_from,
            period_to=self.period_to,
            base_amount=self.base_amount,
            fee_amount=self.fee_amount,
            currency=self.currency,
            state=self.state,
            created_ms=self.created_ms,
            updated_ms=self.updated_ms,
            payout_account_login=self.payout_account_login,
            payout_amount=self.payout_amount,
            payout_currency=self.payout_currency,
            policy_id=self.policy_id,
            policy_version=self.policy_version,
            source_order=self.source_order,
            charge_order=self.charge_order,
            payout_order=self.payout_order,
            reason=self.reason,
            formula=self.formula,
            inputs=self.inputs,
            ref_accrual_id=self.ref_accrual_id,
        )


class Fee(NamedTuple):
    """What a formula came to: its base and the unrounded fee in the follower's currency, with everything it was computed from."""

    formula: str
    base: Decimal
    amount: Decimal
    inputs: dict[str, Any]
    cause: str = "NO_GAIN"
    """The reason that is given when nothing is due."""


class Span(NamedTuple):
    """What an accrual is about: its period (Unix milliseconds), its source order, and the name that makes it the only one."""

    start: int
    end: int
    name: str
    source_order: int = 0


def accrual_id(key: str, attempt: int = 0) -> int:
    """The id that follows from an accrual's key; `attempt` counts the ids that other keys have already."""
    seed = key if attempt == 0 else f"{key}#{attempt}"
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest()) >> (64 - ID_BITS) or 1


@lru_cache(maxsize=4096)
def text(value: Decimal) -> str:
    """A Decimal as it stands in inputs: plain digits, none of them needless."""
    return format(plain(value), "f") if value else "0"  # -0 is equal to 0, and would be kept for it


def inputs_json(inputs: dict[str, Any]) -> str:
    """Inputs as canonical JSON: sorted keys, amounts as decimal strings."""
    return json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=text)


def accrue(subscription: int, master_login: int, payer: Payer, policy: RewardPolicy, span: Span, fee: Fee, now: int) -> Accrual:
    """The accrual that a fee becomes: pending, or cancelled with the reason why nothing is charged."""
    charged = Money(fee.amount, payer.currency).rounded()
    reason = payer.exempt or ("" if charged.amount > 0 else ROUNDS_TO_ZERO if fee.amount > 0 else fee.cause)
    key = f"{subscription}:{int(policy.reward_type)}:{span.name}"
    return Accrual(
        id=accrual_id(key),
        key=key,
        subscription_id=subscription,
        master_login=master_login,
        follower_login=payer.login,
        reward_type=int(policy.reward_type),
        period_from=span.start,
        period_to=span.end,
        base_amount=fee.base,
        fee_amount=Decimal(0) if reason else charged.amount,
        currency=payer.currency,
        phase=Phase.NOTHING if reason else Phase.OUT_SENT,
        created_ms=now,
        updated_ms=now,
        payout_account_login=policy.payout_account_login,
        payout_amount=Decimal(0),
        payout_currency="",
        policy_id=policy.id,
        policy_version=policy.version,
        source_order=span.source_order,
        formula=fee.formula,
        inputs=inputs_json(fee.inputs),
        reason=reason,
        tries=0 if reason else 1,
        withheld=int(policy.reward_type == RewardType.PROFIT_SHARE_PER_TRADE and policy.netting != "none"),
    )


def profit_share(slices: Sequence[Slice], policy: RewardPolicy) -> Fee:
    """The share of one fully closed position: max(0, percent of the sum of its slices' net results) (formulas, section 4)."""
    base = EXACT.create_decimal(0)
    for one in slices:
        base = EXACT.add(base, one.net)
    share = EXACT.divide(EXACT.multiply(max(base, Decimal(0)), policy.fee_percent), HUNDRED)
    inputs: dict[str, Any] = {"percent": text(policy.fee_percent), "trades": [trade_input(one) for one in slices]}
    return Fee("profit_share/1", base, share, inputs, "NO_GAIN" if base <= 0 else NO_FEE)


def trade_input(one: Slice) -> list[Any]:
    """A closing deal as it stands in inputs: order, deal, time, symbol, volume, profit, commission, swap."""
    return [one.order, one.deal, one.time_ms, one.symbol, one.volume, text(one.profit), text(one.commission), text(one.swap)]


class Conversion(NamedTuple):
    """A charge in the payee's currency: `paid` is whole minor units of it, `difference` minor units of the charge that rounding kept."""

    charged: Money
    paid: Money
    difference: int


def convert(charged: Money, currency: str, rate: Rate | None) -> Conversion:
    """What a charge comes to in another currency, rounded half-even; no rate is needed for the same currency."""
    if rate is None:
        assert charged.currency == currency, f"no rate from {charged.currency} to {currency}"
        return Conversion(charged, charged, 0)
    paid = Money(EXACT.multiply(charged.amount, rate.rate), currency).rounded()
    back = Money(EXACT.divide(paid.amount, rate.rate), charged.currency).rounded()
    return Conversion(charged, paid, charged.minor() - back.minor())


def taken_postings(accrual: Accrual) -> list[Posting]:
    """What an OUT that was carried out means."""
    amount = accrual.charge
    if accrual.is_refund:
        source, target = ledger.payout(accrual.payout_account_login), ledger.payable(accrual.follower_login)
    else:
        source = ledger.follower(accrual.follower_login)
        target = ledger.held(accrual.follower_login) if accrual.withheld else ledger.payable(accrual.payout_account_login)
    return [Posting(source, target, amount.minor(), amount.currency)]


def conversion_postings(login: int, conversion: Conversion) -> list[Posting]:
    """The house changes what is payable to `login` into the payee's currency; what rounding kept is booked by itself."""
    charged, paid, difference = conversion
    if charged.currency == paid.currency:
        return []
    currency = charged.currency
    owed, worth = ledger.payable(login), charged.minor() - difference
    postings = []
    if difference > 0:
        postings.append(Posting(owed, ledger.rounding(currency), difference, currency))
    elif difference < 0:
        postings.append(Posting(ledger.rounding(currency), owed, -difference, currency))
    if worth:
        postings.append(Posting(owed, ledger.exchange(currency), worth, currency))
    if paid.minor():
        postings.append(Posting(ledger.exchange(paid.currency), owed, paid.minor(), paid.currency))
    return postings


def payee(accrual: Accrual) -> tuple[int, Money]:
    """The login that an accrual's IN goes to, and the amount."""
    if accrual.is_refund:
        return accrual.follower_login, Money(-accrual.fee_amount, accrual.currency)
    return accrual.payout_account_login, Money(accrual.payout_amount, accrual.payout_currency)


def paid_postings(accrual: Accrual) -> list[Posting]:
    """What an IN that was carried out means."""
    login, amount = payee(accrual)
    target = ledger.follower(login) if accrual.is_refund else ledger.payout(login)
    return [Posting(ledger.payable(login), target, amount.minor(), amount.currency)]


def parked_postings(accrual: Accrual) -> list[Posting]:
    """What an IN that was refused for good means: it is owed still, and a person has to see to it."""
    login, amount = payee(accrual)
    return [Posting(ledger.payable(login), ledger.suspense(login), amount.minor(), amount.currency)]
