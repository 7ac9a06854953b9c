"""Sessions: their end on another instance, and the second factor."""

import asyncio
from pathlib import Path
from typing import Any

import pyotp
import pytest
from api import auth
from sqlalchemy import text

from tests.api.routes import MNG, answer_to, bobs
from tests.api.world import BOB, World, open_world

pytestmark = pytest.mark.anyio


async def test_another_instances_end_of_a_session_counts_within_a_moment(tmp_path: Path) -> None:
    """An instance looks at a customer again after `session_check_s`, and at once after a change of its own managers."""
    async with open_world(tmp_path, session_check_s=0.3) as world:
        await world.good(MNG, "POST", "/manager/MngCreateCustomer", {"id": BOB, "email": "bob@example.com", "password": "correct horse"})
        await world.good(BOB, "GET", "/copytrade/my")
        async with world.store.work() as elsewhere:
            await elsewhere.session.execute(text("UPDATE customer SET enabled = 0"))
        await world.good(BOB, "GET", "/copytrade/my")
        await asyncio.sleep(0.35)
        assert await answer_to(world, BOB, "GET /copytrade/my") == 401
        await world.good(MNG, "POST", "/manager/MngUpdateCustomer", {"id": BOB, "enabled": 1})
        world.now += 2000
        assert await answer_to(world, BOB, "GET /copytrade/my") == 200


async def test_second_factor(world: World) -> None:
    await bobs(world)
    login = {"email": "bob@example.com", "password": "correct horse"}

    async def refused(code: str, who: int | None, method: str, path: str, body: Any) -> None:
        answer = await world.call(who, method, path, body)
        assert (answer.status_code, answer.json()["error"]) == (403, code)

    await refused("OTP_NOT_CONFIGURED", None, "POST", "/customer/auth/login", login | {"otp_code": "123456"})
    offer = await world.good(BOB, "GET", "/customer/auth/otp")
    device = pyotp.TOTP(offer["secret"])
    assert offer["secret"] not in str(await world.rows("customer"))
    await world.good(None, "POST", "/customer/auth/login", login)  # not on yet
    await refused("INVALID_OTP_CODE", BOB, "PUT", "/customer/auth/otp", {"otp_code": "000000", "enabled": 1})
    assert (await world.good(BOB, "PUT", "/customer/auth/otp", {"otp_code": device.at(world.now // 1000), "enabled": 1}))["enabled"] == 1
    assert await world.good(BOB, "GET", "/customer/auth/otp") == {"enabled": 1}
    await refused("OTP_REQUIRED", None, "POST", "/customer/auth/login", login)
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": device.at(world.now // 1000)})  # used
    world.now += 30_000
    code = device.at(world.now // 1000)
    await world.good(None, "POST", "/customer/auth/login", login | {"otp_code": code})
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": code})
    world.now += 60_000
    late = device.at(world.now // 1000 - 60)
    await refused("INVALID_OTP_CODE", None, "POST", "/customer/auth/login", login | {"otp_code": late})
    answer = await world.call(BOB, "PUT", "/customer/auth/otp", {"otp_code": code, "enabled": 1})
    assert (answer.status_code, answer.json()["error"]) == (409, "OTP_ALREADY_CONFIGURED")
    await world.good(BOB, "PUT", "/customer/auth/otp", {"otp_code": device.at(world.now // 1000), "enabled": 0})
    await world.good(None, "POST", "/customer/auth/login", login)


async def test_a_login_that_is_overtaken_by_a_new_password_has_no_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the old password is checked, which takes a moment on purpose, and longer when many log in, a manager sets a new one."""
    await bobs(world)
    update = {"id": BOB, "password": "another horse"}
    managed = asyncio.get_running_loop()
    check = auth.check_password

    def slowly(password_hash: str | None, password: str) -> bool:
        changing = world.good(MNG, "POST", "/manager/MngUpdateCustomer", update)
        asyncio.run_coroutine_threadsafe(changing, managed).result(10)
        world.now += 1000
        return check(password_hash, password)

    monkeypatch.setattr(auth, "check_password", slowly)
    answer = await world.call(None, "POST", "/customer/auth/login", {"email": "bob@example.com", "password": "correct horse"})
    token = answer.json().get("__token", "")
    assert (await world.call(None, "GET", "/copytrade/my", headers={"Authorization": token})).status_code == 401


async def test_a_password_that_was_set_by_a_clock_that_is_ahead_locks_nobody_out(world: World) -> None:
    """The clock that ended the sessions was an hour ahead, or another instance's: a login is good at once, not after that hour."""
    await bobs(world)
    world.now += 3_600_000
    before = world.customer(BOB)
    await world.good(MNG, "POST", "/manager/MngUpdateCustomer", {"id": BOB, "password": "another horse"})
    world.now -= 3_600_000
    answer = await world.good(None, "POST", "/customer/auth/login", {"email": "bob@example.com", "password": "another horse"})
    await world.good(None, "GET", "/copytrade/my", headers={"Authorization": answer["__token"]})
    assert (await world.call(None, "GET", "/copytrade/my", headers=before)).status_code == 401
