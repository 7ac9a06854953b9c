"""What the configuration says becomes who follows whom, by which policy, from when until when. What is told late changes nothing."""

from shared.contracts import config
from shared.contracts.config import SubscriptionStatus

from rewards.known import Known
from rewards.terms import Master, Subscription, Version


def master_saved(known: Known, state: config.Master) -> Master | None:
    """The master as it is now; None when that is no news."""
    master = known.masters.get(state.login)
    if master is not None and master.id > state.id:
        return None
    if master is None or master.id < state.id:
        fresh = Master(state.login, state.id, state.customer_id, 0)
        if master is not None:  # the login was a master before: what was agreed with that one ended with it
            fresh.policies = master.policies
            fresh.running = master.running
            if master.gone_ms is not None:
                fresh.running.set(master.gone_ms, False)
                if master.id:  # else it had ended without a word, and runs from when the restored store tells of it
                    fresh.running.set(max(state.created_ms, master.gone_ms + 1), True)
        master = known.masters[state.login] = fresh
    if state.version <= master.version:
        return None
    master.version, master.customer_id = state.version, state.customer_id
    if master.gone_ms is not None:  # as with a subscription
        master.running.set(master.gone_ms, False)
        master.gone_ms = None
    master.running.set(state.updated_ms or state.created_ms, bool(state.enabled))
    return master


def master_gone(known: Known, state: config.Master, at_ms: int) -> Master | None:
    """The master, who is one no more; None when what is known is later than that."""
    master = known.master(state.login)
    if (master.id, master.version) > (state.id, state.version):
        return None
    master.id, master.version = state.id, state.version
    master.gone_ms = master.gone_ms or at_ms
    return master


def policy_saved(known: Known, state: config.RewardPolicy, gone_ms: int | None) -> Master | None:
    """The master with a version of a policy, or with the policy's end; None when that is no news."""
    master = known.master(state.master_login)
    versions = {version.policy.version: version for version in master.policies if version.policy.id == state.id}
    if gone_ms is None and state.version in versions:
        return None
    ended = [one.gone_ms for number, one in versions.items() if number > state.version and one.gone_ms is not None]
    versions.setdefault(state.version, Version(state, min(ended, default=None)))
    if gone_ms is not None:
        ends = {number: version for number, version in versions.items() if number <= state.version}
        versions |= {number: version._replace(gone_ms=version.gone_ms or gone_ms) for number, version in ends.items()}
    master.policies = [one for one in master.policies if one.policy.id != state.id] + list(versions.values())
    return master


def subscription_saved(known: Known, state: config.Subscription, now: int) -> Subscription | None:
    """The subscription as it is now; None when that is no news."""
    subscription = known.subscriptions.get(state.id)
    if subscription is None:
        subscription = Subscription(state.id, state.master_login, state.follower_login, 0, state.created_ms or now)
        known.add(subscription)
    if state.version <= subscription.version:
        return None
    subscription.version = state.version
    if subscription.gone_ms is not None:  # it had ended, and the store that told of that was restored: it was not active meanwhile
        subscription.active.set(subscription.gone_ms, False)
        subscription.gone_ms = None
    active = bool(state.enabled) and state.status == SubscriptionStatus.ACTIVE
    subscription.active.set(state.updated_ms or subscription.created_ms, active)
    return subscription


def subscription_gone(known: Known, state: config.Subscription, at_ms: int) -> Subscription | None:
    """The subscription, which has ended, also when it was never told of; None when what is known is later than that."""
    subscription = known.subscriptions.get(state.id) or subscription_saved(known, state, at_ms)
    if subscription is None or subscription.version > state.version:
        return None
    subscription.version = state.version
    subscription.gone_ms = subscription.gone_ms or at_ms
    return subscription


def subscriptions_ended(known: Known, event: config.RecordsHeld, now: int) -> list[Subscription]:
    """The subscriptions that came to their end in what is lost; they end now."""
    held = set(event.ids)
    living = [one for one in known.subscriptions.values() if one.gone_ms is None]
    found = [one for one in living if event.first <= one.id <= event.last and one.id not in held]
    for subscription in found:
        subscription.gone_ms = now
    return found


def masters_ended(known: Known, event: config.RecordsHeld, now: int) -> list[Master]:
    """The masters that came to their end in what is lost; they end now. Whatever is told of their logins next is newer."""
    held = set(event.ids)
    found = [one for one in known.masters.values() if event.first <= one.id <= event.last and one.id not in held]
    for master in found:
        master.id = master.version = 0
        master.gone_ms = master.gone_ms or now
    return found


def policies_ended(known: Known, event: config.RecordsHeld, now: int) -> list[Master]:
    """The masters of whom a policy came to its end in what is lost; it ends now."""
    held, found = set(event.ids), []
    for master in known.masters.values():
        ended = {one.policy.id for one in master.policies if one.gone_ms is None and event.first <= one.policy.id <= event.last} - held
        if ended:
            master.policies = [one._replace(gone_ms=now) if one.policy.id in ended else one for one in master.policies]
            found.append(master)
    return found
