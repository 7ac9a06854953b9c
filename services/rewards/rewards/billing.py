"""Billing by periods: each subscription's steps in the order of their instants, each once, each when everything before it is known."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from shared.contracts.config import RewardType
from shared.contracts.rewards import TOPIC, SharingChanged, StandingRow, StandingsChanged
from shared.contracts.trades import OP_BALANCE_IN, BalanceRow
from shared.money import EXACT
from shared.store.work import Work

from rewards import marks, reckoning, records, store
from rewards.known import Known
from rewards.netting import net_period, refund_prepaid
from rewards.periods import period_at
from rewards.reckoning import NoRateError
from rewards.records import Line, Material
from rewards.schedule import Clock, Step, billed_by_period, ends_all, next_step
from rewards.settings import RewardsSettings
from rewards.settlement import Changes, Settlement
from rewards.terms import FOREVER, Subscription, over_ms, terms_at

log = structlog.get_logger()

AT_ONCE = 1000
"""Subscriptions that one transaction bills."""
STEPS = 400
"""Steps that it does of one of them, so that a long sleep does not make a long transaction."""
RATE_WAIT_MS = 60_000
ZERO = Decimal(0)


class Billing:
    """The periods of every subscription."""

    def __init__(self, settings: RewardsSettings, settlement: Settlement) -> None:
        self._settings = settings
        self._settlement = settlement
        self._zone = ZoneInfo(settings.broker_timezone)
        self._heard_ms = 0
        self._quiet_ms = 0

    def heard(self, sent_ms: int) -> None:
        """The venue has spoken, and nothing that it said before is unknown any more."""
        self._heard_ms = max(self._heard_ms, sent_ms)

    async def wake(self, work: Work, known: Known, subscriptions: Sequence[int]) -> None:
        """Looks again at subscriptions whose terms may have changed; opens the books of reward types that are new to them, and those of
        netting again when a subscription goes on that was over."""
        fresh: list[Line] = []
        again: list[Line] = []
        for subscription in (known.subscriptions[one] for one in subscriptions):
            cursors = known.cursors.setdefault(subscription.id, {})
            for version in known.master(subscription.master_login).policies:
                policy = billed_by_period(version.policy)
                if policy is not None and policy.reward_type not in cursors:
                    cursors[policy.reward_type] = subscription.created_ms
                    fresh.append(Line(subscription.id, policy.reward_type, subscription.created_ms))
            over = over_ms(subscription, known.master(subscription.master_login))
            if over is None and cursors.get(RewardType.PROFIT_SHARE_PER_TRADE) == FOREVER:  # a restored store tells it again
                cursors[RewardType.PROFIT_SHARE_PER_TRADE] = work.now
                again.append(Line(subscription.id, RewardType.PROFIT_SHARE_PER_TRADE, work.now))
        await records.add_lines(work.session, fresh)
        await records.save_lines(work.session, again)
        await self._begin_days(work, known, fresh)
        await records.wake(work.session, subscriptions)
        await store.mark_stale(work.session, subscriptions)
        performing = [known.subscriptions[one.subscription_id] for one in fresh if one.reward_type == RewardType.PERFORMANCE_FEE_HWM]
        await self._begin_marks(work, known, performing)

    async def _begin_days(self, work: Work, known: Known, lines: Sequence[Line]) -> None:
        """The equity with which followers begin: it counts until another is told, which may be days later."""
        begun = [(known.subscriptions[line.subscription_id].follower_login, line.cursor_ms) for line in lines]
        rows = [
            {"login": login, "day_ms": period_at("daily", at_ms, self._zone).start, "equity": known.equity(login)}
            for login, at_ms in dict(begun).items()
            if login in known.accounts and known.billed_on_equity(login)
        ]
        await records.begin_equities(work.session, rows)

    async def _begin_marks(self, work: Work, known: Known, subscriptions: Sequence[Subscription]) -> None:
        """The mark of a follower and a master, at the value of now; one that they had before goes on."""
        by_pair = {(one.follower_login, one.master_login): one for one in subscriptions}
        there = (await records.material(work.session, {}, by_pair)).marks
        fresh = {}
        for pair, subscription in by_pair.items():
            master = known.master(subscription.master_login)
            policy = terms_at(subscription, master, RewardType.PERFORMANCE_FEE_HWM, subscription.created_ms)
            basis = reckoning.basis_of(policy, self._settings) if policy else self._settings.hwm_basis
            if pair not in there:
                fresh[pair] = marks.begin(basis, known.equity(subscription.follower_login))
        await records.save_marks(work.session, fresh)

    def nets(self, known: Known, subscription: Subscription) -> bool:
        """Whether there is a netting ahead for a share that is withheld now."""
        kind = RewardType.PROFIT_SHARE_PER_TRADE
        cursor = known.cursors.get(subscription.id, {}).get(kind, subscription.created_ms)
        return next_step(subscription, known.master(subscription.master_login), kind, cursor, None, self._zone) is not None

    async def flows(self, work: Work, known: Known, rows: Sequence[BalanceRow], time_ms: int) -> None:
        """Deposits and withdrawals of followers: no profit, and a move of the equity bases' marks."""
        values = []
        for row in rows:
            if row.login in known.by_follower:
                amount = row.amount if row.operation == OP_BALANCE_IN else -row.amount
                equity = EXACT.subtract(row.equity, row.credit)
                values.append(
                    {"operation_id": row.operation_id, "login": row.login, "amount": amount, "equity": equity, "time_ms": time_ms}
                )
        await records.add_flows(work.session, values)
        await store.mark_stale(work.session, {one for row in rows for one in known.by_follower.get(row.login, ())})

    async def equities(self, work: Work, known: Known, logins: Collection[int], time_ms: int) -> None:
        """Keeps the day's latest equity of followers who are billed by it."""
        day = period_at("daily", time_ms, self._zone).start
        wanted = [login for login in dict.fromkeys(logins) if known.billed_on_equity(login)]
        rows = [{"login": login, "day_ms": day, "equity": known.accounts[login].equity} for login in wanted]
        await records.save_equities(work.session, rows)

    async def tick(self, work: Work, known: Known, caught_up: bool, changes: Changes) -> bool:
        """Does what is due. `caught_up`: nothing that the venue has told is unread. Answers whether more may be due at once."""
        if caught_up:
            self._quiet_ms = work.now
        clock = Clock(
            work.now,
            self._heard_ms,
            self._quiet_ms,
            round(self._settings.clock_tolerance_s * 1000),
            round(self._settings.cut_grace_s * 1000),
        )
        lines = await records.due_lines(work.session, work.now, AT_ONCE)
        if not lines:
            return False
        # A pair's earlier subscription comes first: its mark is handed on to the later one.
        subscriptions = sorted((known.subscriptions[one] for one in lines), key=lambda one: (one.created_ms, one.id))
        since = {one: min(line.cursor_ms for line in lines[one]) for one in lines}
        material = await records.material(work.session, since, [(one.follower_login, one.master_login) for one in subscriptions])
        done = 0
        for subscription in subscriptions:
            done += await self._bill(work, known, material, subscription, lines[subscription.id], clock, changes)
        await self._settlement.begin_waiting(work, known, changes)
        await records.save_marks(work.session, material.marks)
        await records.save_lines(work.session, [line for some in lines.values() for line in some])
        return done > 0

    async def _bill(
        self, work: Work, known: Known, material: Material, subscription: Subscription, lines: list[Line], clock: Clock, changes: Changes
    ) -> int:
        """One subscription's steps, in order, until one may not be done yet; answers how many were done."""
        master = known.master(subscription.master_login)
        done, wait_until = 0, 0
        while True:
            steps: dict[int, Step] = {}
            for line in lines:
                kind = RewardType(line.reward_type)
                step = next_step(subscription, master, kind, line.cursor_ms, line.open_from_ms, self._zone)
                line.due_ms = step.at_ms if step and step.at_ms < FOREVER else None
                if step is not None and line.due_ms is not None:
                    steps[line.reward_type] = step
            first = min(steps.values(), key=lambda step: step.rank, default=None)
            if first is None or done >= STEPS or not clock.allows(first):
                break
            line = next(line for line in lines if line.reward_type == first.reward_type)
            try:
                await self._do(work, known, material, subscription, line, first, changes)
            except NoRateError as missing:
                log.warning("a fee waits for a price", subscription=subscription.id, rate=str(missing))
                wait_until = work.now + RATE_WAIT_MS
                break
            known.cursors[subscription.id][line.reward_type] = line.cursor_ms
            done += 1
        for line in lines:
            line.due_ms = None if line.due_ms is None else max(line.due_ms, wait_until)
        return done

    async def _do(
        self, work: Work, known: Known, material: Material, subscription: Subscription, line: Line, step: Step, changes: Changes
    ) -> None:
        desk = reckoning.Desk(self._settings, self._zone, known, material, subscription, work.now)
        match step.kind:
            case "skip":
                if step.reward_type == RewardType.PERFORMANCE_FEE_HWM:
                    desk.skip_performance(step)
                line.cursor_ms, line.open_from_ms = step.end, None
            case "prepay":
                changes.waiting.append(desk.prepaid(step))
                line.cursor_ms, line.open_from_ms = step.end, step.start
            case "stop":
                await self._settlement.begin_waiting(work, known, changes)
                await refund_prepaid(work, self._settlement, known, subscription, step, changes)
                desk.stopped(changes.accruals.values())
                line.cursor_ms, line.open_from_ms = step.at_ms, None
            case "close" if step.reward_type == RewardType.PROFIT_SHARE_PER_TRADE:
                all_netted = await net_period(work, self._settlement, known, subscription, step, changes)
                over = ends_all(subscription, known.master(subscription.master_login), step.end - 1)
                line.cursor_ms = FOREVER if over and all_netted and not material.opens[subscription.id] else step.end
            case "close":
                changes.waiting.append(desk.closed(step))
                line.cursor_ms = step.end

    async def expect(self, work: Work, known: Known) -> int:
        """Reckons the running period's performance fee of subscriptions where something has changed; answers how many there were."""
        stale = await store.stale_sharing(work.session)
        cursors = {one.subscription_id: known.cursors.get(one.subscription_id, {}).get(RewardType.PERFORMANCE_FEE_HWM) for one in stale}
        since = {one: cursor for one, cursor in cursors.items() if cursor is not None}
        pairs = [(one.follower_login, one.master_login) for one in stale if one.subscription_id in since]
        material = await records.material(work.session, since, pairs)
        fresh = []
        for one in stale:
            cursor, expected = since.get(one.subscription_id), ZERO
            if cursor is not None:
                subscription = known.subscriptions[one.subscription_id]
                expected = reckoning.Desk(self._settings, self._zone, known, material, subscription, work.now).expected(cursor)
            fresh.append(one._replace(expected=expected, stale=0))
        await store.save_sharing(work.session, fresh)
        changed = [after.row() for before, after in zip(stale, fresh, strict=True) if before.expected != after.expected]
        if changed:
            work.emit(TOPIC, SharingChanged.of(changed))
        return len(stale)

    async def standings(self, work: Work, known: Known) -> None:
        """Tells whose prepaid fee has been unpaid for too long, and who has paid since."""
        before = await store.standings(work.session)
        now: dict[int, StandingRow] = {}
        overdue = work.now - round(self._settings.past_due_grace_s * 1000)
        for debt in await records.debts(work.session, overdue):
            subscription = known.subscriptions[debt.subscription]
            owed_s = (work.now - debt.since_ms) / 1000
            if subscription.gone_ms is not None:
                continue
            standing: Any = "disabled" if owed_s >= self._settings.past_due_disable_s else "close_only"
            logins = (subscription.follower_login, subscription.master_login)
            now[subscription.id] = StandingRow(subscription.id, *logins, standing, debt.accrual, debt.since_ms)
        changed = [row for one, row in now.items() if one not in before or before[one].standing != row.standing]
        for one in before.keys() - now.keys():
            subscription = known.subscriptions[one]
            changed.append(StandingRow(one, subscription.follower_login, subscription.master_login, "good", 0, work.now))
        if changed:
            await store.save_standings(work.session, changed)
            work.emit(TOPIC, StandingsChanged.of(changed))

    async def all_standings(self, work: Work, known: Known) -> list[StandingRow]:
        """The standings that are not good, for a snapshot."""
        rows = (await store.standings(work.session)).values()
        logins = {row.subscription: known.subscriptions[row.subscription] for row in rows}
        return [
            row._replace(follower_login=logins[row.subscription].follower_login, master_login=logins[row.subscription].master_login)
            for row in rows
        ]
