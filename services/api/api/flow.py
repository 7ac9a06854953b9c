"""Events: the read models of what the other services tell, and the configuration told again as a snapshot."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from shared.bus.reader import Received
from shared.contracts import config, links, rewards, stats, trades
from shared.contracts.links import LinksChanged
from shared.contracts.rewards import AccrualsChanged, RewardEvent, SharingChanged, StandingsChanged
from shared.contracts.stats import StatsChanged
from shared.contracts.trades import TradeEvent
from shared.service import Read
from shared.store.work import Work
from sqlalchemy import bindparam, delete, select
from sqlmodel import col

from api import read_models, restored, saving, store
from api.read_models import Account, Accrual, Deal, MasterStats, Position, PositionGone, Sharing, Symbol, TradeLink
from api.store import Follower, Halt, Master, PositionStop, RewardPolicy, Subscription, Version
from api.tables import Base, table_of
from api.views import MORE_STATS, number


async def on_links(batch: Received[LinksChanged], work: Work) -> None:
    """Trade links as they stand. The inputs of a decision come with it alone, and stay."""
    found: dict[int, dict[str, Any]] = {}
    decisions: dict[str, str] = {}
    for event in batch.events:
        digest = ""
        if event.inputs:
            digest = blake2b(event.inputs.encode(), digest_size=16).hexdigest()
            decisions[digest] = event.inputs
        for row in event.rows:
            values = _kept(TradeLink, row, id="link", subscription_id="subscription")
            before = found.get(row.link, {"inputs": "", "decision": ""})
            values["master_login"], values["master_order"] = event.master_login, event.master_order
            values["inputs"], values["decision"] = row.inputs or before["inputs"], digest or before["decision"]
            found[row.link] = values
    await read_models.keep_decisions(work.session, decisions)
    await saving.save_rows(work.session, TradeLink, list(found.values()), keep_when_empty=("inputs", "decision"))


async def on_rewards(batch: Received[RewardEvent], work: Work) -> None:
    """Accruals and sharing as they stand; the balance operations between rewards and the venue are not ours."""
    accruals: dict[int, dict[str, Any]] = {}
    sharing: dict[int, dict[str, Any]] = {}
    for event in batch.events:
        if isinstance(event, AccrualsChanged):
            accruals |= {row.id: _kept(Accrual, row) | {"base_exact": row.base_amount} for row in event.rows}
        elif isinstance(event, SharingChanged):
            sharing |= {row.subscription: _kept(Sharing, row) for row in event.rows}
        elif isinstance(event, StandingsChanged):
            standings = [{"its_id": row.subscription, "new": row.standing} for row in event.rows]
            its_id = col(Subscription.id) == bindparam("its_id")
            await saving.change_rows(work.session, Subscription, its_id, {"standing": bindparam("new")}, standings)
    await saving.save_rows(work.session, Accrual, list(accruals.values()))
    await saving.save_rows(work.session, Sharing, list(sharing.values()))


async def on_stats(batch: Received[StatsChanged], work: Work) -> None:
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for event in batch.events:
        for row in event.rows:
            history = json.dumps([number(value) for value in row.pnl_history], separators=(",", ":"))
            found[row.login, row.period] = _kept(MasterStats, row) | {"pnl_history": history} | _figures(row.details)
    await saving.save_rows(work.session, MasterStats, list(found.values()))


def _figures(details: str) -> dict[str, Decimal | None]:
    """Of a master's details what masters are filtered by."""
    known: dict[str, Any] = json.loads(details, parse_float=Decimal) if details else {}
    found = {name: known.get(name) for name in MORE_STATS}
    return {name: None if value is None else Decimal(value) for name, value in found.items()}


async def on_trades(batch: Received[TradeEvent], work: Work) -> None:
    """Accounts, symbols, open positions and closings, in the order in which they happened."""
    for event in batch.events:
        match event:
            case trades.AccountsOpened() | trades.AccountsChanged():
                rows = {row.login: _kept(Account, row, group_name="group") | {"updated_ms": event.time} for row in event.rows}
                await saving.save_rows(work.session, Account, list(rows.values()))
            case trades.SymbolsChanged():
                symbols = {row.symbol: _kept(Symbol, row) for row in event.rows}
                await saving.save_rows(work.session, Symbol, list(symbols.values()))
            case trades.PositionsOpened():
                opened = {row.order: _kept(Position, row) | {"initial": row.volume} for row in event.rows}
                await _opened(work, opened)
            case trades.PositionsChanged():
                stops = [{"its_order": row.order, "new_sl": saving.bounded(row.sl), "new_tp": saving.bounded(row.tp)} for row in event.rows]
                values: dict[str, Any] = {"sl": bindparam("new_sl"), "tp": bindparam("new_tp")}
                await saving.change_rows(work.session, Position, col(Position.order) == bindparam("its_order"), values, stops)
            case trades.PositionsReduced() | trades.PositionsClosed():
                await _closed(work, event.rows)
            case trades.AccountPositions():
                await _positions_of(work, event)
            case _:
                pass  # orders and balance operations change nothing that is shown here


async def _opened(work: Work, opened: dict[int, dict[str, Any]]) -> None:
    """A position that is known already (told again) keeps the volume that it has now."""
    seen = await read_models.known_orders(work.session, list(opened))
    await saving.save_rows(work.session, Position, [row for order, row in opened.items() if order not in seen])


async def _closed(work: Work, rows: Iterable[trades.ClosedRow]) -> None:
    deals = {row.deal: _kept(Deal, row, position="order") for row in rows}
    await saving.save_rows(work.session, Deal, list(deals.values()))
    left = [{"its_order": row.order, "now": row.left} for row in rows if row.left]
    await saving.change_rows(work.session, Position, col(Position.order) == bindparam("its_order"), {"volume": bindparam("now")}, left)
    await _gone(work, [{"order": row.order, "login": row.login, "symbol": row.symbol} for row in rows if not row.left])


async def _gone(work: Work, rows: list[dict[str, Any]]) -> None:
    if rows:
        await work.session.execute(delete(Position).where(col(Position.order).in_([row["order"] for row in rows])))
        await saving.save_rows(work.session, PositionGone, rows)


async def _positions_of(work: Work, event: trades.AccountPositions) -> None:
    """All that an account holds: what is not among them is gone."""
    held = {row.order: _kept(Position, row) | {"login": event.login} for row in event.rows}
    if event.first:
        known = select(col(Position.order), col(Position.symbol)).where(col(Position.login) == event.login)
        found = (await work.session.execute(known)).all()
        await _gone(work, [{"order": order, "login": event.login, "symbol": symbol} for order, symbol in found if order not in held])
    await saving.save_rows(work.session, Position, list(held.values()))


async def snapshot(work: Work) -> None:
    """The whole configuration again: masters, every version of their policies, followers, subscriptions, stops of positions, halts; before
    them which there are, so that what ended in the lost entries ends for all."""
    session = work.session
    if work.lost is not None and await restored.is_older(session, work.lost):
        await restored.made_the_newest(session, work.now, work.lost[1])
    for model in (Subscription, RewardPolicy, Master, Follower):
        for held in await restored.held(session, model):
            work.emit(config.TOPIC, held)
    halts = (await session.execute(select(col(Halt.scope), col(Halt.key)).order_by(col(Halt.id)))).all()
    work.emit(config.TOPIC, config.HaltsHeld(halts=tuple(config.HaltKey(*row) for row in halts)))
    for master in (await session.execute(select(Master).order_by(col(Master.id)))).scalars():
        work.emit(config.TOPIC, config.MasterSaved(master=store.master_state(master)))
    versions = (
        select(col(Version.state))
        .join(RewardPolicy, col(RewardPolicy.id) == col(Version.record_id))
        .where(col(Version.noun) == "reward_policy")
        .order_by(col(Version.record_id), col(Version.version))
    )
    for state in (await session.execute(versions)).scalars():
        work.emit(config.TOPIC, config.PolicySaved(policy=config.RewardPolicy.model_validate_json(state)))
    for follower in (await session.execute(select(Follower).order_by(col(Follower.id)))).scalars():
        work.emit(config.TOPIC, config.FollowerSaved(follower=store.follower_state(follower)))
    for subscription in (await session.execute(select(Subscription).order_by(col(Subscription.id)))).scalars():
        work.emit(config.TOPIC, config.SubscriptionSaved(subscription=store.subscription_state(subscription)))
    for stops in (await session.execute(select(PositionStop).order_by(col(PositionStop.id)))).scalars():
        work.emit(config.TOPIC, config.StopsSaved(stops=store.stops_state(stops)))
    for halt in (await session.execute(select(Halt).order_by(col(Halt.id)))).scalars():
        work.emit(config.TOPIC, config.HaltSaved(halt=store.halt_state(halt)))


def _kept(model: type[Base], row: Any, **renamed: str) -> dict[str, Any]:
    """A row as the read model keeps it: the fields that it has columns for, some under another name. Contracts grow by fields, which are
    nothing to a read model that does not show them."""
    kind: Any = type(row)
    names, values = _columns(model, kind, tuple(renamed.items()))
    return dict(zip(names, values(row), strict=True))


@cache
def _columns(model: type[Base], kind: Any, renamed: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
    """The columns that a kind of row has values for, and what takes these out of it."""
    fields = {name: name for name in kind._fields if name not in dict(renamed).values()} | dict(renamed)
    known = {column: kind._fields.index(field) for column, field in fields.items() if column in table_of(model).c}
    return tuple(known), itemgetter(*known.values())


READS = {
    links.TOPIC: Read(links.LinkEvent, on_links),
    rewards.TOPIC: Read(rewards.RewardEvent, on_rewards),
    stats.TOPIC: Read(stats.StatsEvent, on_stats),
    trades.TOPIC: Read(trades.TradeEvent, on_trades),
}
"""What this service reads, and what it does with it."""
