"""What the rewards service says of subscriptions: one whose prepaid fee is not paid opens nothing until it is."""

from typing import Annotated, Literal

from pydantic import Field
from shared.contracts.event import Event
from shared.contracts.rewards import StandingsChanged
from sqlalchemy import update

from executor.columns import S
from executor.desk import Desk
from executor.store import Subscription, table


class Unread(Event):
    """The topic's other events, which are not the executor's matter: their rows are not even decoded."""

    type: Literal["accrual.changed", "balance.requested", "sharing.changed"]


RewardEvent = Annotated[StandingsChanged | Unread, Field(discriminator="type")]


async def all_good(desk: Desk) -> None:
    """Everybody is as good as paid: a snapshot begins, which names those who are not."""
    own = table(Subscription)
    await desk.session.execute(update(own).where(own.c.past_due != 0).values(past_due=0))
    for columns in desk.memory.columns.values():
        columns.data[:, S["past_due"]] = 0


async def standings_changed(desk: Desk, event: StandingsChanged) -> None:
    """Takes over who is past due; `close_only` and `disabled` both hold opens back, and closes go on.

    The topic's order brings a subscription before its standing: one that is not known is deleted by now.
    """
    own = table(Subscription)
    for row in event.rows:
        past_due = int(row.standing != "good")
        await desk.session.execute(update(own).where(own.c.id == row.subscription).values(past_due=past_due))
        columns = desk.memory.columns.get(row.master_login)
        place = columns.find(row.subscription) if columns is not None else None
        if columns is not None and place is not None:
            columns.data[place, S["past_due"]] = past_due
