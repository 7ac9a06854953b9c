"""API keys of the signed OpenAPI: made once, their secret told once and encrypted at rest."""

import ipaddress
import secrets

from api.auth import Vault
from api.bodies import ApiKeyCreate, ApiKeyUpdate
from api.commands.change import Change
from api.errors import Refused
from api.store import ApiKey
from api.views import API_KEY, Json, as_object


async def create(change: Change, body: ApiKeyCreate, vault: Vault) -> Json:
    """The key with its secret, 64 characters each. Raises Refused: INVALID_ACCOUNT, INVALID_DATA."""
    account = await change.own_account(body.login, "INVALID_ACCOUNT")
    secret = secrets.token_hex(32)
    now = change.work.now
    row = ApiKey(
        key=secrets.token_hex(32),
        secret_sealed=vault.seal(secret),
        customer_id=account.customer_id,
        created_ms=now,
        updated_ms=now,
        expires_ms=body.expires_time * 1000,
        **body.model_dump(exclude={"expires_time", "ips"}),
        ips=_addresses(body.ips),
    )
    change.session.add(row)
    await change.session.flush()
    change.record("create", row, None, as_object(row, API_KEY), row.id)
    return as_object(row, API_KEY) | {"secret": secret}


async def update(change: Change, key_id: int, body: ApiKeyUpdate) -> Json:
    """The key as it is now, without its secret. Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED, INVALID_DATA."""
    row = await _own(change, key_id)
    before = as_object(row, API_KEY)
    for name, value in body.model_dump(exclude_none=True, exclude={"expires_time", "ips"}).items():
        setattr(row, name, value)
    if body.ips is not None:
        row.ips = _addresses(body.ips)
    if body.expires_time is not None:
        row.expires_ms = body.expires_time * 1000
    row.updated_ms = change.work.now
    change.record("update", row, before, as_object(row, API_KEY), row.id)
    return as_object(row, API_KEY)


async def delete(change: Change, key_id: int) -> Json:
    """Raises Refused: RET_ERR_NOTFOUND, PERMISSION_DENIED."""
    row = await _own(change, key_id)
    change.record("delete", row, as_object(row, API_KEY), None, row.id)
    await change.session.delete(row)
    return {"data": "OK"}


async def _own(change: Change, key_id: int) -> ApiKey:
    row = await change.session.get(ApiKey, key_id)
    if row is None:
        raise Refused("RET_ERR_NOTFOUND", f"there is no API key {key_id}")
    if not change.owns(row.customer_id):
        raise Refused("PERMISSION_DENIED", f"API key {key_id} is not yours")
    return row


def _addresses(text: str) -> str:
    """Addresses and networks, as they are kept."""
    try:
        return ",".join(str(ipaddress.ip_network(part.strip(), strict=False)) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Refused("INVALID_DATA", f"ips: {error}") from None
