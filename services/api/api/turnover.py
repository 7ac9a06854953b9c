"""A new `LOCKSTEP_SECRET`: what was encrypted with a former one is encrypted anew, once, when the service starts."""

from typing import Any

import structlog
from cryptography.fernet import InvalidToken
from shared.store.work import Store
from sqlalchemy import select, update
from sqlmodel import col

from api import tables
from api.auth import Vault
from api.store import Answered, ApiKey, Customer
from api.tables import Base

log = structlog.get_logger()

SEALED: tuple[tuple[type[Base], Any], ...] = (
    (Customer, col(Customer.otp_sealed)),
    (ApiKey, col(ApiKey.secret_sealed)),
    (Answered, col(Answered.body)),
)


async def renew(store: Store, vault: Vault) -> int:
    """Seals anew what a former secret sealed, in one transaction; answers how many values. One that no secret opens is left and told."""
    renewed = 0
    async with store.work() as work:
        for row_type, column in SEALED:
            table = tables.table_of(row_type)
            keys = list(table.primary_key.columns)
            for *key, sealed in (await work.session.execute(select(*keys, column).where(column != ""))).all():
                try:
                    fresh = vault.renewed(sealed)
                except InvalidToken:
                    log.error("sealed with a secret that is not known", table=table.name, key=key)
                    continue
                if fresh != sealed:
                    its = [one == value for one, value in zip(keys, key, strict=True)]
                    await work.session.execute(update(table).where(*its).values({column.key: fresh}))
                    renewed += 1
    log.info("sealed with the present secret", values=renewed)
    return renewed
