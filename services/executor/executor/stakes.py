"""What copies bind of a follow config's money, where nothing is kept of it since they were opened (`fanout.py`)."""

from fractions import Fraction

from shared.contracts.config import Subscription

from executor import config_rules
from executor.columns import S
from executor.desk import Desk
from executor.fanouts import of_logins
from executor.follows import StakeFacts
from executor.records import LinkRecord
from executor.store import Link, table


async def of_older(desk: Desk, subscription: Subscription) -> None:
    """A follow config is set: it holds for the copies that are there, which were opened without it, at their account's leverage."""
    if subscription.follow is None:
        return
    login, link, follows = subscription.follower_login, table(Link), desk.memory.follows
    mine = (link.c.follower_login == login, link.c.subscription == subscription.id, link.c.state == 0)
    for found in await desk.links_where(of_logins([login]), *mine):
        if follows.stake(found.subscription, found.master_order) is None:
            await _take(desk, found, 0)


async def of_taken_up(desk: Desk, link: LinkRecord) -> None:
    """A copy is there after all, whose link had ended, or was a skip: then nothing was kept, or that it binds nothing."""
    row = await desk.subscription(link.master_login, link.subscription)
    if row is None or not row[S["invest_cap"]]:
        return
    known = desk.memory.follows.stake(link.subscription, link.master_order)
    await _take(desk, link, known.leverage if known else row[S["leverage"]])


async def _take(desk: Desk, link: LinkRecord, leverage: int) -> None:
    """`leverage` 0: the account's. A copy that has no price yet binds what it would at the price now."""
    login = link.follower_login
    accounts, market = await desk.accounts([login]), desk.memory.market
    facts = market.symbols.get(link.symbol)
    unit = market.margin(facts, accounts.currency(login), link.price or facts.ask) if facts else Fraction(0)
    margin = config_rules.stake(link.volume, unit, config_rules.gear(leverage, accounts.get(login, "leverage")))
    desk.memory.follows.take(StakeFacts(link.subscription, link.master_order, login, margin, margin, leverage, link.created_ms))
    desk.memory.follows.matched(link, desk.now)
    desk.put_sums(link.master_login, link.subscription)
