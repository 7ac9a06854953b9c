"""A new `LOCKSTEP_SECRET` is brought in without a key or a session lost; then the old one is good for nothing."""

from pathlib import Path

import pytest
from api import auth, turnover
from api.auth import Vault
from cryptography.fernet import InvalidToken

from tests.api.world import ALICE, BOB, BOB_LOGIN, SECRET, open_world

pytestmark = pytest.mark.anyio

NEW = "the next secret of this house, long enough"
KEYED = {"Idempotency-Key": "made once"}


async def test_a_secret_is_turned_over(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.good(
            "SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", {"id": ALICE, "email": "a@b.c", "password": "correct horse"}
        )
        device = (await world.good(ALICE, "GET", "/customer/auth/otp"))["secret"]
        made = await world.good(BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN}, headers=KEYED)
        session = world.token(auth.CUSTOMER, ALICE)
    async with open_world(tmp_path, secret=NEW, old_secrets=SECRET) as world:
        assert world.context.session(session) is not None
        assert world.context.vault.open((await world.rows("api_key"))[0]["secret_sealed"]) == made["secret"]
        assert await turnover.renew(world.store, world.context.vault) == 3  # the device's secret, the key's, the answer with it
        assert await turnover.renew(world.store, world.context.vault) == 0
        fresh = auth.issue_token(NEW, auth.CUSTOMER, ALICE, world.now // 1000, 60)
        assert auth.check_token(SECRET, fresh, world.now // 1000) is None, "what is new is signed with the new one"
    async with open_world(tmp_path, secret=NEW) as world:
        assert world.context.session(session) is None
        own = {"Authorization": auth.issue_token(NEW, auth.CUSTOMER, BOB, world.now // 1000, 60)}
        again = await world.http.post("/copytrade/api-keys", json={"login": BOB_LOGIN}, headers=own | KEYED)
        assert again.json() == made
        assert world.context.vault.open((await world.rows("customer"))[0]["otp_sealed"]) == device
        for row in await world.rows("api_key"):
            with pytest.raises(InvalidToken):
                Vault(SECRET).open(row["secret_sealed"])


async def test_what_no_secret_opens_is_left_as_it_is(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.good(BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN})
        sealed = (await world.rows("api_key"))[0]["secret_sealed"]
        assert await turnover.renew(world.store, Vault(NEW, ["another"])) == 0
        assert (await world.rows("api_key"))[0]["secret_sealed"] == sealed
