"""What every command works with: the transaction, who asks, and the record of what was changed."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from shared.contracts.config import TOPIC, State
from shared.contracts.event import Event
from shared.store.work import Work
from sqlalchemy.ext.asyncio import AsyncSession

from api import read_models
from api.auth import Actor
from api.errors import AccountUnseen, Refused
from api.read_models import Account
from api.store import Audit, Follower, Master, RewardPolicy, Subscription, Version
from api.tables import Base
from api.views import Json

R = TypeVar("R", Master, Follower, Subscription, RewardPolicy)


@dataclass(frozen=True, slots=True)
class Change:
    """One command's surroundings. `if_match`: the version that the asker has seen, when they told it."""

    work: Work
    actor: Actor
    if_match: int | None = None

    @property
    def session(self) -> AsyncSession:
        return self.work.session

    def owns(self, customer_id: int) -> bool:
        """Managers may act for everybody."""
        return self.actor.customer_id in {None, customer_id}

    async def own_account(self, login: int, unseen: str) -> Account:
        """The asker's account. Raises AccountUnseen under the given code, Refused(INVALID_ACCOUNT) for somebody else's."""
        account = await read_models.account(self.session, login)
        if account is None:
            raise AccountUnseen(unseen, login)
        if not self.owns(account.customer_id):
            raise Refused("INVALID_ACCOUNT", f"account {login} is not yours")
        return account

    async def find(self, model: type[R], record_id: int) -> R:
        """A record by its id. Raises Refused(RET_ERR_NOTFOUND)."""
        row = await self.session.get(model, record_id)
        if row is None:
            raise Refused("RET_ERR_NOTFOUND", f"there is no {noun_of(model)} {record_id}")
        return row

    async def own(self, model: type[R], record_id: int) -> R:
        """A record that is the asker's. Raises Refused(PERMISSION_DENIED) for somebody else's."""
        row = await self.find(model, record_id)
        if isinstance(row, Master | Follower):
            owner = row.customer_id
        else:
            login = row.follower_login if isinstance(row, Subscription) else row.master_login
            account = await read_models.account(self.session, login)
            owner = account.customer_id if account else 0
        if not self.owns(owner):
            raise Refused("PERMISSION_DENIED", f"{noun_of(model)} {record_id} is not yours")
        return row

    def unchanged_since(self, row: R, updated_time: int | None) -> None:
        """Optimistic concurrency: refuses to write over a change that the asker has not seen."""
        if self.if_match is not None and row.version != self.if_match:
            raise Refused("PRECONDITION_FAILED", f"the record has version {row.version}")
        if updated_time is not None and row.updated_ms // 1000 != updated_time:
            raise Refused("CONFLICT", f"the record was changed at {row.updated_ms // 1000}")

    def touch(self, row: R) -> None:
        """A new version of the record, from now on."""
        row.version += 1
        row.updated_ms = max(self.work.now, row.updated_ms)

    def show(self, master_login: int) -> None:
        """The marketplace is to look at a master again. Numbered last of all: others wait for the numbers."""
        self.work.before_commit.append(partial(read_models.touch_master, self.session, master_login))

    def tell(self, event: Event) -> None:
        self.work.emit(TOPIC, event)

    def record(self, action: str, row: Base, before: Json | None, after: Json | None, record_id: int) -> None:
        """The audit's row: who did what, before and after. What the marketplace shows of a master, it is to look at again."""
        match row:
            case Master():
                self.show(row.login)
            case RewardPolicy():
                self.show(row.master_login)
            case Subscription() if action != "update":  # it shows how many follow
                self.show(row.master_login)
        self.session.add(
            Audit(
                created_ms=self.work.now,
                actor=str(self.actor),
                action=action,
                noun=noun_of(type(row)),
                record_id=record_id,
                before=_text(before),
                after=_text(after),
            )
        )

    def keep_version(self, noun: str, state: State, valid_from_ms: int) -> None:
        """Keeps what the record is from now on: settings and terms hold from a time, and later questions go back to it."""
        values = state.model_dump_json()
        self.session.add(
            Version(noun=noun, record_id=state.id, version=state.version, valid_from_ms=valid_from_ms, actor=str(self.actor), state=values)
        )


def noun_of(model: type[Base]) -> str:
    return str(model.__tablename__)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if value else ""
