"""Which terms hold for a subscription at an instant: policies with their versions, masters that run or stop, subscriptions that end."""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.contracts.config import RewardPolicy, RewardType

from rewards.periods import Period

FOREVER = 2**62


class Version(NamedTuple):
    """One version of a policy and when its policy was deleted (None: it stands)."""

    policy: RewardPolicy
    gone_ms: int | None

    @property
    def valid_from_ms(self) -> int:
        if self.policy.valid_from_ms:
            return self.policy.valid_from_ms
        return self.policy.updated_ms if self.policy.version > 1 else 0


@dataclass(slots=True)
class Switch:
    """Something that is on or off since given instants; on before the first."""

    since: list[int] = field(default_factory=list)
    values: list[bool] = field(default_factory=list)

    def set(self, at_ms: int, on: bool) -> bool:
        """From `at_ms` on it is so; answers whether that says anything new. What was known for later instants stays."""
        if self.at(at_ms) == on:
            return False
        index = bisect_right(self.since, at_ms)
        if index and self.since[index - 1] == at_ms:
            self.values[index - 1] = on
        else:
            self.since.insert(index, at_ms)
            self.values.insert(index, on)
        return True

    def at(self, at_ms: int) -> bool:
        index = bisect_right(self.since, at_ms)
        return self.values[index - 1] if index else True

    def on_spans(self, period: Period) -> list[Period]:
        """The parts of a period during which it was on."""
        bounds = [period.start, *(at for at in self.since if period.start < at < period.end), period.end]
        return [Period(start, end) for start, end in itertools.pairwise(bounds) if self.at(start) and start < end]


@dataclass(slots=True)
class Master:
    """A provider: the login that is followed. `running` follows its `enabled`."""

    login: int
    id: int
    customer_id: int
    version: int
    gone_ms: int | None = None
    running: Switch = field(default_factory=Switch)
    policies: list[Version] = field(default_factory=list)

    def runs(self, at_ms: int) -> bool:
        return (self.gone_ms is None or at_ms < self.gone_ms) and self.running.at(at_ms)

    def policy(self, reward_type: RewardType, at_ms: int) -> RewardPolicy | None:
        """The policy of a type that holds at an instant, whether the master runs or not."""
        best: tuple[int, int, int] | None = None
        found: RewardPolicy | None = None
        for policy_id in {version.policy.id for version in self.policies}:
            holding = self._version(policy_id, at_ms)
            if holding is None or holding.policy.reward_type != reward_type or not holding.policy.enabled:
                continue
            rank = (holding.valid_from_ms, holding.policy.version, policy_id)
            if best is None or rank > best:
                best, found = rank, holding.policy
        return found

    def _version(self, policy_id: int, at_ms: int) -> Version | None:
        holding: Version | None = None
        for version in self.policies:
            if version.policy.id != policy_id or version.valid_from_ms > at_ms:
                continue
            if version.gone_ms is not None and version.gone_ms <= at_ms:
                continue
            if holding is None or (version.valid_from_ms, version.policy.version) > (holding.valid_from_ms, holding.policy.version):
                holding = version
        return holding

    def instants(self) -> Iterable[int]:
        """Every instant at which its terms may change."""
        yield from self.running.since
        if self.gone_ms is not None:
            yield self.gone_ms
        for version in self.policies:
            yield version.valid_from_ms
            if version.gone_ms is not None:
                yield version.gone_ms

    def netted(self) -> RewardPolicy | None:
        """The newest version of any policy whose profit shares were netted by periods."""
        shares = [one for one in self.policies if one.policy.reward_type == RewardType.PROFIT_SHARE_PER_TRADE]
        found = [one for one in shares if one.policy.netting != "none"]
        return max(found, key=lambda one: (one.valid_from_ms, one.policy.version)).policy if found else None

    def types(self) -> set[RewardType]:
        return {version.policy.reward_type for version in self.policies}


@dataclass(slots=True)
class Subscription:
    """Who follows whom, from when until when; `active` is off while it is paused or disabled."""

    id: int
    master_login: int
    follower_login: int
    version: int
    created_ms: int
    gone_ms: int | None = None
    active: Switch = field(default_factory=Switch)

    def lives(self, at_ms: int) -> bool:
        return self.created_ms <= at_ms and (self.gone_ms is None or at_ms < self.gone_ms)


def terms_at(subscription: Subscription, master: Master, reward_type: RewardType, at_ms: int) -> RewardPolicy | None:
    """The policy that a subscription is billed by at an instant; None when it is not billed then."""
    if not subscription.lives(at_ms) or not master.runs(at_ms):
        return None
    return master.policy(reward_type, at_ms)


def billed_before(subscription: Subscription, master: Master, reward_type: RewardType, at_ms: int) -> bool:
    """Whether a subscription was billed by a type at an earlier instant: what begins now goes on, after a stop or in the next period."""
    instants = (subscription.created_ms, *master.instants())
    return any(terms_at(subscription, master, reward_type, at) is not None for at in instants if at < at_ms)


def next_change(subscription: Subscription, master: Master, reward_type: RewardType, after_ms: int) -> int | None:
    """The first later instant at which other terms hold: another figure, basis or currency, or none (a stop)."""
    now = _figures(terms_at(subscription, master, reward_type, after_ms))
    ends = [] if subscription.gone_ms is None else [subscription.gone_ms]
    for at in sorted({at for at in (*master.instants(), *ends, subscription.created_ms) if at > after_ms}):
        if _figures(terms_at(subscription, master, reward_type, at)) != now:
            return at
    return None


def over_ms(subscription: Subscription, master: Master) -> int | None:
    """When a subscription came to its end, or its master did; None while neither has."""
    ends = [at for at in (subscription.gone_ms, master.gone_ms) if at is not None]
    return min(ends, default=None)


def policy_for_trade(subscription: Subscription, master: Master, reward_type: RewardType, closed_ms: int) -> RewardPolicy | None:
    """The policy that a closed position is shared by: what held when it closed, or when its subscription or master ended before."""
    ended = over_ms(subscription, master)
    return master.policy(reward_type, closed_ms if ended is None else min(closed_ms, ended - 1))


def provider_stopped(subscription: Subscription, master: Master, at_ms: int) -> bool:
    """Whether it was the provider who ended the service at an instant, not the follower."""
    return not master.runs(at_ms) or subscription.gone_ms is None or subscription.gone_ms > at_ms


def trade_book_ms(time_ms: int, cursors: Sequence[int]) -> int:
    """The instant at which a trade counts: its own, unless a period that held it was billed before the trade was known."""
    return max(time_ms, *cursors) if cursors else time_ms


def _figures(policy: RewardPolicy | None) -> tuple[object, ...] | None:
    if policy is None:
        return None
    figures = (policy.fee_amount, policy.fee_percent, policy.billing_period, policy.currency, policy.fee_cap)
    return (policy.id, *figures, policy.hwm_enabled, policy.hwm_basis, policy.netting, policy.rebate_sides)
