"""Halts: one decision stops trading, of everything, a master, a follower or a symbol, until it is taken back."""

import json

from shared.contracts.config import HaltSaved
from sqlalchemy import select
from sqlmodel import col

from api import store
from api.auth import CUSTOMER
from api.bodies import HaltBody, ResumeBody
from api.commands.change import Change
from api.errors import Refused
from api.store import Halt
from api.views import HALT, Json, as_object


async def halt(change: Change, body: HaltBody) -> Json:
    """The halt as it stands. Customers halt their own masters and followers.

    Raises Refused: INVALID_DATA, MASTER_NOT_FOUND, FOLLOWER_NOT_FOUND, PERMISSION_DENIED, PRECONDITION_FAILED.
    """
    key = await _key(change, body)
    found = await _found(change, body.scope, key)
    if found is None:
        found = Halt(created_ms=change.work.now, updated_ms=change.work.now, scope=body.scope, key=key, version=0)
        change.session.add(found)
    _unchanged_since(change, found)
    before = _view(found) if found.version else None
    if before and found.active and found.set_by == CUSTOMER != change.actor.kind:
        found.beneath = json.dumps({"mode": found.mode, "reason": found.reason})
    found.active, found.mode, found.reason, found.set_by = 1, body.mode, body.reason, change.actor.kind
    return await _saved(change, found, before, "halt")


async def resume(change: Change, body: ResumeBody) -> Json:
    """The halt, lifted; of a manager's over a customer's own, the customer's, which holds until it is lifted, too.

    Raises Refused: RET_ERR_NOTFOUND when nothing was halted, and as `halt` does.
    """
    found = await _found(change, body.scope, await _key(change, body))
    if found is None or not found.active:
        raise Refused("RET_ERR_NOTFOUND", "this was not halted")
    _unchanged_since(change, found)
    before = _view(found)
    if found.beneath:
        own = json.loads(found.beneath)
        found.mode, found.reason, found.set_by, found.beneath = own["mode"], own["reason"], CUSTOMER, ""
    else:
        found.active = 0
    return await _saved(change, found, before, "resume")


def _unchanged_since(change: Change, found: Halt) -> None:
    """Refuses to write over a change that the asker has not seen, where they told which they have."""
    if change.if_match not in {None, found.version}:
        raise Refused("PRECONDITION_FAILED", f"the halt has version {found.version}")


async def _saved(change: Change, found: Halt, before: Json | None, action: str) -> Json:
    found.version += 1
    found.updated_ms = change.work.now
    await change.session.flush()
    change.tell(HaltSaved(halt=store.halt_state(found)))
    change.record(action, found, before, _view(found), found.id)
    return _view(found)


async def _found(change: Change, scope: str, key: str) -> Halt | None:
    """The halt of this scope. A customer does not touch one that a manager has set."""
    statement = select(Halt).where(col(Halt.scope) == scope, col(Halt.key) == key)
    found = (await change.session.execute(statement)).scalar_one_or_none()
    if found is not None and found.active and change.actor.kind == CUSTOMER != found.set_by:
        raise Refused("PERMISSION_DENIED", "a manager has set this halt")
    return found


async def _key(change: Change, body: HaltBody | ResumeBody) -> str:
    """What is halted, as the contract names it; checked to exist and to be the asker's."""
    wanted = {"all": None, "master": body.login, "follower": body.login, "symbol": body.symbol}[body.scope]
    if (wanted is None) != (body.scope == "all") or (body.login is not None and body.symbol is not None):
        raise Refused("INVALID_DATA", "master and follower take a login, symbol a symbol, all neither")
    if body.scope in {"all", "symbol"}:
        if change.actor.customer_id is not None:
            raise Refused("PERMISSION_DENIED", f"the scope {body.scope} is for managers")
        return str(wanted or "")
    assert body.login is not None
    found = await (store.master_of if body.scope == "master" else store.follower_of)(change.session, body.login)
    if found is None:
        raise Refused("MASTER_NOT_FOUND" if body.scope == "master" else "FOLLOWER_NOT_FOUND", f"{body.login} is no {body.scope}")
    if not change.owns(found.customer_id):
        raise Refused("PERMISSION_DENIED", f"{body.scope} {body.login} is not yours")
    return str(body.login)


def _view(row: Halt) -> Json:
    return as_object(row, HALT)
