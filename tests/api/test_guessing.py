"""S8: passwords cannot be guessed by trying, and an answer does not tell whether an e-mail is known."""

import time
from collections import Counter
from statistics import median

import pytest
from api import auth
from argon2 import PasswordHasher

from shared import visitors
from tests.api.world import ALICE, World

pytestmark = pytest.mark.anyio

EMAILS = ("alice@example.com", "nobody@example.com")


async def answers(world: World, emails: list[str]) -> Counter[int]:
    """The statuses of as many attempts, each with another wrong password."""
    body = [{"email": email, "password": f"guess number {number}"} for number, email in enumerate(emails)]
    return Counter([(await world.call(None, "POST", "/customer/auth/login", one)).status_code for one in body])


@pytest.fixture
async def known(world: World) -> World:
    customer = {"id": ALICE, "email": EMAILS[0], "password": "correct horse"}
    await world.good("SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", customer)
    return world


@pytest.mark.parametrize("email", EMAILS)
async def test_a_thousand_wrong_passwords(known: World, monkeypatch: pytest.MonkeyPatch, email: str) -> None:
    """20 a minute are looked at, the others are refused before any password is; the right one waits as well, others do not."""
    checked = []
    monkeypatch.setattr(auth, "check_password", lambda password_hash, password: bool(checked.append(password)))
    assert await answers(known, [email] * 1000) == {403: 20, 429: 980}
    assert len(checked) == 20
    late = await known.call(None, "POST", "/customer/auth/login", {"email": email, "password": "correct horse"})
    assert (late.status_code, late.json()["error"]) == (429, "TOO_MANY_REQUESTS")
    assert 0 < int(late.headers["Retry-After"]) <= 60
    assert await answers(known, ["bob@example.com"]) == {403: 1}


async def test_a_thousand_e_mails_from_one_address(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "check_password", lambda password_hash, password: False)
    assert await answers(known, [f"customer{number}@example.com" for number in range(1000)]) == {403: 200, 429: 800}


async def test_customers_of_the_console_have_an_allowance_each(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says, signed, whom it speaks for; what anybody else says, or what was signed long ago, counts for nothing."""
    monkeypatch.setattr(auth, "check_password", lambda password_hash, password: False)
    secret, now_s = known.context.secret, known.now // 1000

    async def statuses(first: int, *headers: str) -> Counter[int]:
        found: Counter[int] = Counter()
        for number in range(first, first + 300):
            value = headers[number % len(headers)]
            body = {"email": f"customer{number}@example.com", "password": "a guess"}
            answer = await known.call(None, "POST", "/customer/auth/login", body, headers={visitors.HEADER: value})
            found[answer.status_code] += 1
        return found

    homes = [visitors.hand_on(secret, f"198.51.100.{number}", now_s) for number in (1, 2)]
    assert await statuses(0, *homes) == {403: 300}
    forged = [visitors.hand_on(other, f"203.0.113.{number}", at_s) for number, (other, at_s) in enumerate([("guess", now_s), (secret, 0)])]
    assert await statuses(300, *forged, "203.0.113.9", "a b c") == {403: 200, 429: 100}


async def test_an_answer_takes_as_long_for_an_e_mail_that_nobody_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real cost of a password's hash; half or twice as long would tell."""
    monkeypatch.setattr(auth, "_hasher", PasswordHasher())
    await world.good(
        "SESSION_MANAGER", "POST", "/manager/MngCreateCustomer", {"id": ALICE, "email": EMAILS[0], "password": "correct horse"}
    )
    took: dict[str, list[float]] = {email: [] for email in EMAILS}
    said = set()
    for _ in range(8):
        for email in EMAILS:
            began = time.perf_counter()
            answer = await world.call(None, "POST", "/customer/auth/login", {"email": email, "password": "wrong"})
            took[email].append(time.perf_counter() - began)
            said.add((answer.status_code, answer.text))
    assert len(said) == 1
    known, unknown = (min(took[email]) for email in EMAILS)
    assert 0.5 < known / unknown < 2, (median(took[EMAILS[0]]), median(took[EMAILS[1]]))


async def test_nobody_spends_a_customers_attempts_at_a_code(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The allowance for switching the second factor has a name that no e-mail can have."""
    monkeypatch.setattr(auth, "check_password", lambda password_hash, password: False)
    await known.good(ALICE, "GET", "/customer/auth/otp")
    await answers(known, [f"otp:{ALICE}"] * 25)
    body = {"otp_code": "000000", "enabled": 1}
    found = Counter([(await known.call(ALICE, "PUT", "/customer/auth/otp", body)).json()["error"] for _ in range(25)])
    assert found == {"INVALID_OTP_CODE": 20, "TOO_MANY_REQUESTS": 5}
