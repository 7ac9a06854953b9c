"""Reckons one subscription's fees from what is known and recorded: gathers each formula's figures and makes the accrual."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from shared.contracts.config import RewardPolicy, RewardType
from shared.money import EXACT
from shared.symbols import SymbolSpec

from rewards import decide, fees, marks
from rewards.decide import Accrual, Fee, Payer, Rate, Span
from rewards.fees import Charged, Day, Fill, Open, Performance
from rewards.known import Known
from rewards.marks import Mark
from rewards.periods import Period, days_in
from rewards.records import Material, Pair
from rewards.schedule import Step, ends_all
from rewards.settings import RewardsSettings
from rewards.settle import UNTAKEN
from rewards.store import Trade
from rewards.terms import FOREVER, Master, Subscription, billed_before, terms_at

ZERO = Decimal(0)


class NoRateError(Exception):
    """A fee in another currency cannot be reckoned, because no price is known between the two."""


def basis_of(policy: RewardPolicy, settings: RewardsSettings) -> str:
    """The basis of a policy's mark; without `hwm_enabled` there is no high-water mark, and each period stands alone."""
    if not policy.hwm_enabled:
        return marks.PERIOD
    return policy.hwm_basis or settings.hwm_basis


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one subscription is reckoned."""

    settings: RewardsSettings
    zone: ZoneInfo
    known: Known
    material: Material
    subscription: Subscription
    now: int

    def prepaid(self, step: Step) -> Accrual:
        """The fee of a prepaid period, at its beginning."""
        policy = _terms(step)
        payer = self.known.payer(self.subscription)
        once = step.end >= FOREVER
        part = Period(step.start, step.start if once else step.end)
        first = not billed_before(self.subscription, self.master, step.reward_type, step.start)
        pro_rata = self.settings.first_period == "pro_rata" or not first
        pro_rata = pro_rata and not once and step.whole is not None and step.whole.start < step.start
        fee = fees.subscription_fee(policy, part, step.whole if pro_rata else None, self._rate(policy, payer))
        accrual = self._accrue(policy, payer, part, fee, str(step.start))
        if once:
            accrual.key = f"once:{self.subscription.follower_login}:{self.subscription.master_login}"
            accrual.id = decide.accrual_id(accrual.key)
        self._charged(accrual, step.start)
        return accrual

    def stopped(self, accruals: Iterable[Accrual]) -> None:
        """A prepaid fee was given back, or lapsed: what is reckoned next in the same turn is reckoned with that."""
        known = {fee.accrual: fee for fee in self.material.fees[self.subscription.id]}
        for one in accruals:
            if (one.subscription_id, one.reward_type) != (self.subscription.id, RewardType.SUBSCRIPTION_FEE):
                continue
            known.pop(one.id, None)
            if one.fee_amount and one.phase not in UNTAKEN:
                known[one.id] = Charged(one.id, one.period_from, one.fee_amount)
        self.material.fees[self.subscription.id] = list(known.values())

    def closed(self, step: Step) -> Accrual:
        """The fee of a period that has ended."""
        figures = _terms(step)
        policy = terms_at(self.subscription, self.master, step.reward_type, step.end - 1) or figures
        payer = self.known.payer(self.subscription)
        span = Period(step.start, step.end)
        match step.reward_type:
            case RewardType.VOLUME_REBATE:
                fee = fees.volume_fee(self._fills(step), policy, self._rate(policy, payer), payer.currency)
            case RewardType.MANAGEMENT_FEE:
                fee = self._management(policy, payer, span, step.whole or span)
            case _:
                fee = self._performance(policy, payer, step)
        accrual = self._accrue(policy, payer, span, fee, str(step.start))
        if step.reward_type != RewardType.PERFORMANCE_FEE_HWM:
            self._charged(accrual, step.end)
        return accrual

    def skip_performance(self, step: Step) -> None:
        """What was traded and moved while nobody was billed still belongs to the profit that the mark is compared with.

        Without a performance policy nothing of it is ever charged: the mark goes up to it, as at a rate of 0, so that a policy that begins
        later does not reach back to what was paid for otherwise.
        """
        mark = self.material.marks.get(self._pair)
        if mark is None:
            return
        slices = [trade.slice for trade in self.material.booked(self.subscription.id, step.start, step.end)]
        others = self._other_fees(step.end)
        flows = self.material.flows_in(self.subscription.follower_login, step.start, step.end)
        mark = fees.lived(mark, slices, others, flows, self.settings.hwm_withdrawal)
        if self.master.policy(RewardType.PERFORMANCE_FEE_HWM, step.start) is None:
            taken = sum((fee.amount for fee in others), ZERO)
            mark = marks.crystallise(mark, -taken, ZERO, self.known.payer(self.subscription).currency).after
        self.material.marks[self._pair] = self._ended(mark) if ends_all(self.subscription, self.master, step.end) else mark

    def _ended(self, mark: Mark) -> Mark:
        """The mark of a pair whose subscription is over: its other fees, which no later one knows of, stay taken from the profit."""
        taken = sum((fee.amount for fee in self._other_fees(FOREVER)), ZERO)
        return replace(mark, realised=EXACT.subtract(mark.realised, taken))

    def _other_fees(self, until_ms: int) -> list[Charged]:
        """The other copy fees up to an instant that are taken from the profit, in the order of their times; none when they do not count."""
        others = self.material.fees[self.subscription.id] if self.settings.fee_base == "net_of_fees" else []
        return sorted((fee for fee in others if fee.at_ms <= until_ms), key=lambda fee: (fee.at_ms, fee.accrual))

    @property
    def master(self) -> Master:
        return self.known.master(self.subscription.master_login)

    @property
    def _pair(self) -> Pair:
        return (self.subscription.follower_login, self.subscription.master_login)

    def _accrue(self, policy: RewardPolicy, payer: Payer, span: Period, fee: Fee, name: str) -> Accrual:
        about = Span(span.start, span.end, name)
        return decide.accrue(self.subscription.id, self.subscription.master_login, payer, policy, about, fee, self.now)

    def _charged(self, accrual: Accrual, at_ms: int) -> None:
        if accrual.fee_amount:
            self.material.fees[self.subscription.id].append(Charged(accrual.id, at_ms, accrual.fee_amount))

    def _rate(self, policy: RewardPolicy, payer: Payer) -> Rate | None:
        """The rate for a policy's fixed amounts; none for who is never charged, nor within one currency."""
        if payer.exempt or policy.currency == payer.currency:
            return None
        rate = self.known.rate(policy.currency, payer.currency)
        if rate is None:
            raise NoRateError(f"{policy.currency} to {payer.currency}")
        return rate

    def _fills(self, step: Step) -> list[Fill]:
        """The fills of a period; of the last one also what was closed with the subscription, and is told by now."""
        until = FOREVER if ends_all(self.subscription, self.master, step.end) else step.end
        booked = self.material.booked(self.subscription.id, step.start, until)
        return [Fill(trade.order, trade.deal, trade.time_ms, trade.volume, trade.volume_per_lot) for trade in booked]

    def _management(self, policy: RewardPolicy, payer: Payer, span: Period, whole: Period) -> Fee:
        active = self.subscription.active.on_spans(span)
        if policy.fee_amount or not policy.fee_percent:
            return fees.management_fixed(policy, sum(one.length for one in active), whole, self._rate(policy, payer))
        days = []
        for day in days_in(span, self.zone):
            active_ms = sum(max(0, min(one.end, day.end) - max(one.start, day.start)) for one in active)
            days.append(Day(day.start, self._equity(day.start), active_ms, day.length))
        return fees.management_percent(policy, days)

    def _equity(self, day_ms: int) -> Decimal:
        """The follower's equity at the end of a day: the latest told until then; before the first, the first."""
        told = self.material.days[self.subscription.follower_login]
        until = [equity for at, equity in told if at <= day_ms]
        if until:
            return until[-1]
        return told[0][1] if told else self.known.equity(self.subscription.follower_login)

    def expected(self, cursor: int) -> Decimal:
        """What the running period's performance fee would come to if it ended now; 0 for who is not billed now or never charged."""
        policy = terms_at(self.subscription, self.master, RewardType.PERFORMANCE_FEE_HWM, self.now)
        payer = self.known.payer(self.subscription)
        if policy is None or payer.exempt:
            return ZERO
        try:
            return self._fee(policy, payer, Period(cursor, FOREVER), self.settings.unrealised_mode, "period_end", FOREVER)[0].amount
        except NoRateError:
            return ZERO  # the cap is in a currency that has no price yet

    def _performance(self, policy: RewardPolicy, payer: Payer, step: Step) -> Fee:
        final = ends_all(self.subscription, self.master, step.end)
        mode = self.settings.unrealised_mode
        if final:
            mode = "full" if self.settings.on_detach == "mark_to_market" else "none"
        # What was closed with the subscription, and is told by now, is not open at its market value any more: it counts with its result.
        told_until = FOREVER if final and mode == "full" else step.end
        fee, after = self._fee(policy, payer, Period(step.start, step.end), mode, step.cause, told_until)
        if final and mode == "full":
            # Detached copies were charged at their market value: should the two meet again, that much is realised.
            floating = sum((one.profit for one in self._opens(payer.currency)), ZERO)
            after = replace(after, realised=EXACT.add(after.realised, floating))
        self.material.marks[self._pair] = self._ended(after) if final else after
        return fee

    def _fee(self, policy: RewardPolicy, payer: Payer, span: Period, mode: str, cause: str, told_until: int) -> tuple[Fee, Mark]:
        """The performance fee of a time, and the mark after it; closings count until `told_until`."""
        other_fees = self._other_fees(span.end)
        material = Performance(
            slices=[trade.slice for trade in self.material.booked(self.subscription.id, span.start, told_until) if trade.deal],
            fees=other_fees,
            since_ms=span.start,
            opens=self._opens(payer.currency) if mode != "none" else [],
            mode=mode,
            flows=self.material.flows_in(self.subscription.follower_login, span.start, span.end),
            withdrawal=self.settings.hwm_withdrawal,
            cause=cause,
        )
        cap = fees.cap_of(policy, self._rate(policy, payer), payer.currency) if policy.fee_cap else None
        earlier = sum((fee.amount for fee in other_fees if fee.at_ms <= span.start), ZERO)
        return fees.performance_fee(self._mark(policy, -earlier), material, policy, payer.currency, cap, not payer.exempt)

    def _mark(self, policy: RewardPolicy, other: Decimal) -> Mark:
        """The mark as it stood when the period began, on the policy's basis."""
        basis = basis_of(policy, self.settings)
        mark = self.material.marks.get(self._pair)
        if mark is None or mark.basis != basis:
            return marks.begin(basis, self.known.equity(self.subscription.follower_login), other, mark)
        return mark

    def _opens(self, currency: str) -> list[Open]:
        """Open copies at the latest prices; one without a price, or a rate to the account's currency, counts as it was opened."""
        return [self._open(trade, currency) for trade in self.material.opens[self.subscription.id]]

    def _open(self, trade: Trade, currency: str) -> Open:
        symbol = self.known.symbols.get(trade.symbol)
        rate = Rate(currency, currency, Decimal(1), "", 0)
        price = trade.price
        if symbol is not None:
            found = rate if symbol.quote_currency == currency else self.known.rate(symbol.quote_currency, currency)
            latest = symbol.bid if trade.side == "buy" else symbol.ask
            if found is not None and latest > 0:
                rate, price = found, latest
        size = symbol.contract_size if symbol else Decimal(1)
        spec = SymbolSpec(trade.symbol, 0, size, "", "", trade.volume_per_lot)
        profit = EXACT.multiply(spec.profit(trade.side, trade.open_volume, trade.price, price), rate.rate)
        return Open(trade.order, trade.symbol, trade.side, trade.open_volume, trade.price, price, rate.rate, profit)


def _terms(step: Step) -> RewardPolicy:
    assert step.policy is not None, "only a skip has no terms"
    return step.policy
