"""What is to be billed next, and when, pure: the calendar's periods, cut where other terms begin or somebody stops."""

from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from shared.contracts.config import REWARD_MATRIX, RewardPolicy, RewardType

from rewards.periods import ONE_TIME, Period, period_at
from rewards.terms import FOREVER, Master, Subscription, next_change, over_ms, terms_at

ORDER = (
    RewardType.VOLUME_REBATE,
    RewardType.MANAGEMENT_FEE,
    RewardType.SUBSCRIPTION_FEE,
    RewardType.PERFORMANCE_FEE_HWM,
    RewardType.PROFIT_SHARE_PER_TRADE,
)
"""Of what is due at one instant, the performance fee comes after what it is reckoned net of."""

Kind = Literal["skip", "prepay", "stop", "close"]
Cause = Literal["period_end", "terms_changed", "master_stop", "unsubscribed"]


class Step(NamedTuple):
    """One thing to do at an instant: `skip` time without terms, `prepay` a period, `stop` a prepaid one, `close` one that has ended.

    `whole` is the calendar's period around it. `on_calendar`: it is due because a period ends or begins, not because somebody acted.
    """

    at_ms: int
    kind: Kind
    reward_type: RewardType
    start: int
    end: int
    policy: RewardPolicy | None = None
    whole: Period | None = None
    cause: Cause = "period_end"
    on_calendar: bool = False

    @property
    def rank(self) -> tuple[int, int]:
        return (self.at_ms, ORDER.index(self.reward_type))


class Clock(NamedTuple):
    """What is known of the time: our own clock, how far the venue was heard, and until when (our clock) nothing of it was unread."""

    now: int
    heard_ms: int
    quiet_ms: int
    tolerance_ms: int
    grace_ms: int

    def allows(self, step: Step) -> bool:
        """Whether a step's instant has come, and everything that happened before it is known.

        The end of a period has to be past by two clocks: ours, and the venue's; or by ours alone, by more than a clock may be wrong.
        """
        slack = self.tolerance_ms if step.on_calendar else self.grace_ms
        return self.now >= step.at_ms and (self.heard_ms >= step.at_ms or self.quiet_ms - slack >= step.at_ms)


def billed_by_period(policy: RewardPolicy | None) -> RewardPolicy | None:
    """The policy, if it bills by periods: profit shares do only when they are netted."""
    if policy is None or (policy.reward_type == RewardType.PROFIT_SHARE_PER_TRADE and policy.netting == "none"):
        return None
    return policy


def billing_period(policy: RewardPolicy) -> str:
    """The kind of a policy's periods; where it names none that its type has, the type's usual one."""
    if policy.reward_type == RewardType.PROFIT_SHARE_PER_TRADE:
        return policy.netting
    known = REWARD_MATRIX[policy.reward_type].billing_periods
    return policy.billing_period if policy.billing_period in known else known[0]


def next_step(
    subscription: Subscription, master: Master, reward_type: RewardType, cursor: int, open_from: int | None, zone: ZoneInfo
) -> Step | None:
    """The next step of a subscription's billing by one reward type; None when there is nothing more to come.

    Everything before `cursor` is billed; a prepaid period that began at `open_from` is billed up to it.
    """
    if reward_type == RewardType.SUBSCRIPTION_FEE and open_from is not None:
        stopped = _first_stop(subscription, master, open_from, cursor)
        if stopped is not None:
            policy = terms_at(subscription, master, reward_type, open_from)
            return Step(stopped, "stop", reward_type, open_from, cursor, policy)
    if cursor >= FOREVER:
        return None
    policy = billed_by_period(terms_at(subscription, master, reward_type, cursor))
    change = next_change(subscription, master, reward_type, cursor)
    if policy is None:
        over = over_ms(subscription, master)
        until = change if change is not None or over is None or over <= cursor else over
        return _left_over(master, reward_type, cursor, zone) if until is None else Step(until, "skip", reward_type, cursor, until)
    if reward_type == RewardType.SUBSCRIPTION_FEE:
        return _prepaid(policy, cursor, cursor != subscription.created_ms, zone)
    whole = period_at(billing_period(policy), cursor, zone)
    if change is None or change >= whole.end:
        return Step(whole.end, "close", reward_type, cursor, whole.end, policy, whole, on_calendar=True)
    return Step(change, "close", reward_type, cursor, change, policy, whole, _cause(subscription, master, change))


def _left_over(master: Master, reward_type: RewardType, cursor: int, zone: ZoneInfo) -> Step | None:
    """Where no terms are ahead, netting goes on by the latest that there were, so that nothing is kept that was withheld before, or is
    closed later."""
    policy = master.netted()
    if policy is None or reward_type != RewardType.PROFIT_SHARE_PER_TRADE:
        return None
    whole = period_at(billing_period(policy), cursor, zone)
    return Step(whole.end, "close", policy.reward_type, cursor, whole.end, policy, whole, on_calendar=True)


def _prepaid(policy: RewardPolicy, cursor: int, renewed: bool, zone: ZoneInfo) -> Step:
    if billing_period(policy) == ONE_TIME:
        return Step(cursor, "prepay", policy.reward_type, cursor, FOREVER, policy)
    whole = period_at(billing_period(policy), cursor, zone)
    on_calendar = renewed and cursor == whole.start
    return Step(cursor, "prepay", policy.reward_type, cursor, whole.end, policy, whole, on_calendar=on_calendar)


def ends_all(subscription: Subscription, master: Master, at_ms: int) -> bool:
    """Whether nothing of a subscription is billed any more from an instant on."""
    over = over_ms(subscription, master)
    return over is not None and over <= at_ms


def _first_stop(subscription: Subscription, master: Master, start: int, end: int) -> int | None:
    if terms_at(subscription, master, RewardType.SUBSCRIPTION_FEE, start) is None:
        return start  # the end was told after the period was charged
    at: int | None = start
    while at is not None:
        at = next_change(subscription, master, RewardType.SUBSCRIPTION_FEE, at)
        if at is not None and at >= end:
            return None
        if at is not None and terms_at(subscription, master, RewardType.SUBSCRIPTION_FEE, at) is None:
            return at
    return None


def _cause(subscription: Subscription, master: Master, at_ms: int) -> Cause:
    if not master.runs(at_ms):
        return "master_stop"
    return "terms_changed" if subscription.lives(at_ms) else "unsubscribed"
