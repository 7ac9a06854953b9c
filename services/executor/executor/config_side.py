"""What customers and managers set: masters, followers, subscriptions, halts, as `copy.config` tells them."""

from shared.contracts.config import (
    FollowConfig,
    Follower,
    Halt,
    HaltsHeld,
    Master,
    RecordsHeld,
    Subscription,
    SubscriptionSaved,
    SubscriptionStatus,
)
from shared.money import EXACT
from shared.store.work import Work
from sqlalchemy import select, update

from executor import follow_stops, links, stakes
from executor.amounts import bounded, units
from executor.closing import UNSUBSCRIBED, let_go
from executor.columns import S
from executor.desk import ALLOW_ALL, Desk
from executor.fanout import fan_out
from executor.fanouts import of_logins
from executor.follower_side import symbol_of
from executor.limits import hold
from executor.outgoing import Outgoing
from executor.records import GuardFacts, LinkRecord, MasterFacts
from executor.store import Follower as FollowerRow
from executor.store import Guard as GuardRow
from executor.store import Halt as HaltRow
from executor.store import Link, columns_of, read_rows, table, write_rows
from executor.store import Master as MasterRow
from executor.store import Subscription as SubscriptionRow

RANK, PAST_DUE = (columns_of(SubscriptionRow).index(name) for name in ("rank", "past_due"))
POINTS_LIMIT = 10**9
"""A slippage guard of more points than this is none."""


async def master_saved(desk: Desk, master: Master) -> None:
    """A master as it is now; an older state than the one known changes nothing."""
    if await _known(desk, MasterRow, master.login) >= (master.id, master.version):
        return
    row = (master.login, master.id, master.version, master.enabled, int(master.allowed_follower_modes), 0, *leads(master))
    await write_rows(desk.session, MasterRow, [row], replace=True)
    desk.memory.masters[master.login] = MasterFacts(master.enabled, int(master.allowed_follower_modes), *leads(master))


def leads(master: Master) -> tuple[str, int, int, int]:
    """Which of its trades a master leads."""
    return master.lead_symbols, master.lead_margin_type, master.unlead_from_ms, master.unlead_to_ms


async def master_deleted(desk: Desk, out: Outgoing, master: Master, close: bool) -> None:
    """No opens any more; its followers' copies are closed or stay with them, and their subscriptions end."""
    if await _known(desk, MasterRow, master.login) > (master.id, master.version):
        return
    row = (master.login, master.id, master.version, 0, int(master.allowed_follower_modes), 1, *leads(master))
    await write_rows(desk.session, MasterRow, [row], replace=True)
    desk.memory.masters[master.login] = MasterFacts(0, int(master.allowed_follower_modes))
    await _end_all(desk, out, "master_login", master.login, close)


async def follower_saved(desk: Desk, follower: Follower) -> None:
    """A follower as it is now; another shard's is that shard's matter."""
    if desk.owns(follower.login) and await _known(desk, FollowerRow, follower.login) < (follower.id, follower.version):
        await _put_follower(desk, follower, 0)


async def follower_deleted(desk: Desk, out: Outgoing, follower: Follower, close: bool) -> None:
    """No opens any more; its copies are closed or stay, and its subscriptions end."""
    if not desk.owns(follower.login) or await _known(desk, FollowerRow, follower.login) > (follower.id, follower.version):
        return
    await _put_follower(desk, follower, 1)
    await _end_all(desk, out, "follower_login", follower.login, close)


async def _put_follower(desk: Desk, follower: Follower, deleted: int) -> None:
    most, mode = bounded(follower.max_master_count), int(follower.manual_trading_mode)
    row = (follower.login, follower.id, follower.version, follower.enabled, mode, most, deleted)
    await write_rows(desk.session, FollowerRow, [row], replace=True)
    await desk.accounts([follower.login])
    desk.take_follower(follower.login, 0 if deleted else follower.enabled, ALLOW_ALL if deleted else mode, most)


async def halt_saved(desk: Desk, halt: Halt) -> None:
    """A stop of trading begins, changes or is lifted."""
    own = table(HaltRow)
    known = await read_rows(desk.session, HaltRow, own.c.scope == halt.scope, own.c.key == halt.key)
    if known and known[0][2] > halt.version:
        return
    await write_rows(desk.session, HaltRow, [(halt.scope, halt.key, halt.version, halt.mode, halt.active)], replace=True)
    if halt.active:
        desk.memory.halts[halt.scope, halt.key] = hold(halt.mode)
    else:
        desk.memory.halts.pop((halt.scope, halt.key), None)
    _halted(desk, halt.scope, halt.key)


async def subscription_saved(desk: Desk, work: Work, out: Outgoing, event: SubscriptionSaved) -> None:
    """A subscription as it is now. A new one copies the trades since it began that were told before it; with `copy_existing`, all."""
    subscription = event.subscription
    if not desk.owns(subscription.follower_login):
        return
    own = table(SubscriptionRow)
    known = await read_rows(desk.session, SubscriptionRow, own.c.id == subscription.id)
    if known and known[0][1] >= subscription.version:
        return
    await desk.write()
    past_due = known[0][PAST_DUE] if known else 0
    row = stored(subscription, deleted=0, rank=0, past_due=past_due)
    await write_rows(desk.session, SubscriptionRow, [row], replace=True)
    await put_guard(desk, subscription)
    follow_stops.put_copy_stop(desk, subscription)
    await _rank(desk, subscription.follower_login)
    await _put_columns(desk, subscription)
    await stakes.of_older(desk, subscription)
    if known and not event.copy_existing:
        return
    for position in await desk.positions_of(subscription.master_login):
        if event.copy_existing or position.opened_ms >= subscription.created_ms:
            await fan_out(desk, work, position, new=False, asked=event.copy_existing, only=subscription.id)
    if not known:
        for position in await desk.closed_since(subscription.master_login, subscription.created_ms):
            await fan_out(desk, work, position, new=False, only=subscription.id, closed=True)


async def subscription_deleted(desk: Desk, out: Outgoing, subscription: Subscription, close: bool) -> None:
    """The copying ends: open copies are closed, or stay with the follower. What is told late of it does not begin it again."""
    if not desk.owns(subscription.follower_login):
        return
    own = table(SubscriptionRow)
    known = await read_rows(desk.session, SubscriptionRow, own.c.id == subscription.id)
    if known and known[0][1] > subscription.version:
        return
    if not known or known[0][1] < subscription.version:
        await desk.write()
        await write_rows(desk.session, SubscriptionRow, [stored(subscription, deleted=1, rank=0)], replace=True)
    await _delete(desk, out, subscription.id, (subscription.master_login, subscription.follower_login), close)


async def records_held(desk: Desk, out: Outgoing, event: RecordsHeld) -> None:
    """What ended without a word, in what is lost. Open copies stay with the followers."""
    match event.noun:
        case "subscription":
            await _subscriptions_held(desk, out, event)
        case "master" | "follower":
            await _accounts_held(desk, out, event)
        case "reward_policy":
            pass  # the rewards service's matter


async def _subscriptions_held(desk: Desk, out: Outgoing, event: RecordsHeld) -> None:
    await desk.write()
    own = table(SubscriptionRow)
    gone = (own.c.id.between(event.first, event.last), own.c.id.not_in(event.ids), own.c.deleted == 0)
    for row in (await desk.session.execute(select(own.c.id, own.c.master_login, own.c.follower_login).where(*gone))).all():
        await _delete(desk, out, row.id, (row.master_login, row.follower_login), False)


async def _accounts_held(desk: Desk, out: Outgoing, event: RecordsHeld) -> None:
    """Whatever is told of these logins from now on is newer: a record that was made after another one may be lost, and the other one
    there again."""
    await desk.write()
    model, column = (MasterRow, "master_login") if event.noun == "master" else (FollowerRow, "follower_login")
    own = table(model)
    gone = (own.c.id.between(event.first, event.last), own.c.id.not_in(event.ids))
    for login, deleted in (await desk.session.execute(select(own.c.login, own.c.deleted).where(*gone))).all():
        await desk.session.execute(update(own).where(own.c.login == login).values(id=0, version=0, deleted=1))
        if deleted:
            continue
        if model is MasterRow:
            desk.memory.masters[login] = MasterFacts(0, 0)
        else:
            desk.take_follower(login, 0, ALLOW_ALL, 0)
        await _end_all(desk, out, column, login, close=False)


async def _delete(desk: Desk, out: Outgoing, subscription: int, logins: tuple[int, int], close: bool) -> None:
    """Ends a subscription of a master's and a follower's login."""
    master, follower = logins
    own = table(SubscriptionRow)
    await desk.session.execute(update(own).where(own.c.id == subscription).values(deleted=1))
    await _end(desk, out, {subscription: follower}, close)
    columns = desk.memory.columns.get(master)
    place = columns.find(subscription) if columns is not None else None
    if columns is not None and place is not None:
        columns.data[place, S["deleted"]] = 1
    await _rank(desk, follower)


async def halts_held(desk: Desk, event: HaltsHeld) -> None:
    """Halts that were lost with what told of them are lifted: nobody could lift them any more."""
    own = table(HaltRow)
    known = await read_rows(desk.session, HaltRow)
    for scope, key in {(row[0], row[1]) for row in known} - set(event.halts):
        await desk.session.execute(own.delete().where(own.c.scope == scope, own.c.key == key))
        desk.memory.halts.pop((scope, key), None)
        _halted(desk, scope, key)


def _halted(desk: Desk, scope: str, key: str) -> None:
    """Takes over into a follower's account whether it is halted now."""
    if scope == "follower" and key.isdigit() and int(key) in desk.memory.accounts.place:
        desk.memory.accounts.set(int(key), halted=desk.halted(int(key)))


async def _known(desk: Desk, model: type[MasterRow] | type[FollowerRow], login: int) -> tuple[int, int]:
    """Id and version of what is known of a login; whoever was deleted and comes back has a higher id. What is told late is lower."""
    known = await read_rows(desk.session, model, table(model).c.login == login)
    return (known[0][1], known[0][2]) if known else (0, 0)


async def _put_columns(desk: Desk, subscription: Subscription) -> None:
    """Takes the stored subscription over into its master's columns, if these are in memory."""
    columns = desk.memory.columns.get(subscription.master_login)
    if columns is None:
        return
    own = table(SubscriptionRow)
    row = (await read_rows(desk.session, SubscriptionRow, own.c.id == subscription.id))[0]
    accounts = await desk.accounts([subscription.follower_login])
    if not columns.put(desk.column_row(row, 0, accounts)):
        del desk.memory.columns[subscription.master_login]


def stored(subscription: Subscription, *, deleted: int, rank: int, past_due: int = 0) -> tuple[object, ...]:
    """A subscription as its table has it."""
    s = subscription
    flags = (int(s.enabled), int(s.status), int(s.copy_mode), int(s.volume_mode))
    copying = (s.copy_sl, s.copy_tp, s.copy_partial_close, s.copy_pending_orders, s.reverse_direction)
    bounds = (bounded(s.max_volume), bounded(s.min_volume), bounded(s.max_positions), int(s.symbols_mode), s.symbols)
    guards = (min(s.max_slippage_points, POINTS_LIMIT), bounded(s.max_signal_age_ms), s.require_sl, rank, past_due)
    return (
        s.id, s.version, s.master_login, s.follower_login, deleted, s.created_ms, *flags, units(s.risk_multiplier),
        bounded(s.fixed_volume), *copying, *bounds, units(s.allocation_percent), int(s.small_volume_policy == "raise_to_min"),
        units(s.ratio_multiplier), *guards, *follow_columns(s.follow),
    )  # fmt: skip


def follow_columns(follow: FollowConfig | None) -> tuple[int, ...]:
    """A follow config as the subscription's table has it, in the order of its columns."""
    if follow is None:
        return (0,) * 7
    invested = max(0, units(follow.real_invest_amount) - units(follow.isolated_reserved_amount))
    part = units(EXACT.multiply(follow.invest_amount, follow.max_invest_rate)) if follow.max_invest_rate else units(follow.invest_amount)
    leverage = max(1, int(follow.leverage)) if follow.leverage else 0
    return (
        follow.follow_margin_type, follow.zero_slippage, leverage, units(follow.single_place_amount), invested,
        max(1, min(invested, part)), units(follow.daily_max_invest_amount),
    )  # fmt: skip


async def put_guard(desk: Desk, subscription: Subscription) -> None:
    """Takes over the stops for losses. A person's later `resumed_ms` lifts a stop and measures anew."""
    guards = desk.memory.guards.setdefault(subscription.follower_login, {})
    known = guards.get(subscription.id)
    daily, drawdown = units(subscription.daily_loss_percent), units(subscription.drawdown_percent)
    if known is None:
        if not daily and not drawdown:
            return
        known = GuardFacts(subscription.id, subscription.master_login, subscription.follower_login, 0, 0, "", 0, 0, 0, 0, 0, "")
        guards[subscription.id] = known
    if subscription.resumed_ms > known.resumed_ms:
        known.day = known.day_start = known.peak = known.stopped_ms = 0
        known.reason = ""
        known.resumed_ms = subscription.resumed_ms
    known.daily_loss_percent, known.drawdown_percent, known.stop_action = daily, drawdown, subscription.stop_action
    desk.changed_guard(known)


async def _rank(desk: Desk, follower_login: int) -> None:
    """Counts, for each subscription of a follower, the masters that its older active subscriptions copy."""
    await desk.write()
    own = table(SubscriptionRow)
    rows = await read_rows(desk.session, SubscriptionRow, own.c.follower_login == follower_login, own.c.deleted == 0, order_by=own.c.id)
    masters: set[int] = set()
    for row in rows:
        subscription, master = row[0], row[2]
        rank = len(masters - {master})
        if row[6] and row[7] == SubscriptionStatus.ACTIVE:
            masters.add(master)
        if row[RANK] == rank:
            continue
        await desk.session.execute(update(own).where(own.c.id == subscription).values(rank=rank))
        columns = desk.memory.columns.get(master)
        place = columns.find(subscription) if columns is not None else None
        if columns is not None and place is not None:
            columns.data[place, S["rank"]] = rank


async def _end_all(desk: Desk, out: Outgoing, column: str, login: int, close: bool) -> None:
    """Ends all subscriptions of a master or a follower."""
    await desk.write()
    own = table(SubscriptionRow)
    rows = await read_rows(desk.session, SubscriptionRow, own.c[column] == login, own.c.deleted == 0)
    await desk.session.execute(update(own).where(own.c[column] == login).values(deleted=1))
    await _end(desk, out, {row[0]: row[3] for row in rows}, close)
    for columns in desk.memory.columns.values():
        columns.data[columns.data[:, S[column]] == login, S["deleted"]] = 1


async def _end(desk: Desk, out: Outgoing, followers: dict[int, int], close: bool) -> None:
    """Ends subscriptions (follower login by id): their links, and their stops for losses."""
    for link in await active_links(desk, followers):
        await let_go(desk, out, link, close, UNSUBSCRIBED, await symbol_of(desk, link))
    guard = table(GuardRow)
    for subscription, follower in followers.items():
        desk.memory.follows.drop_copy_stop(subscription)
        if desk.memory.guards.get(follower, {}).pop(subscription, None) is not None:
            await desk.write()
            await desk.session.execute(guard.delete().where(guard.c.subscription == subscription))


async def active_links(desk: Desk, followers: dict[int, int]) -> list[LinkRecord]:
    """The active links of subscriptions (follower login by id), in the order of their ids."""
    link, found = table(Link), []
    subscriptions = sorted(followers)
    for start in range(0, len(subscriptions), 1000):
        part = subscriptions[start : start + 1000]
        logins = {followers[subscription] for subscription in part}
        state = link.c.state == int(links.STATES[links.OPEN])
        found += await desk.links_where(of_logins(logins), link.c.follower_login.in_(logins), link.c.subscription.in_(part), state)
    return found
