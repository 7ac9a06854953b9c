"""S7: after a run nothing that the stack keeps or says holds a secret: stores, streams, Redis's file, logs."""

import hashlib
import hmac
import time
from pathlib import Path
from urllib.parse import quote

import pyotp
import pytest
import redis

from tests.chaos.burning import LINES
from tests.chaos.oracle import OPEN
from tests.chaos.stack import ChaosStack, run_command, running, wait_until
from tests.chaos.workload import CUSTOMERS, Workload

KNOWN_TO_THE_OWNER = {"secret", "redis.password", "run/redis.url", "redis/valkey.conf"}
"""Files of a stack's home that hold secrets by their purpose; readable by their owner alone."""
PASSWORD, WRONG = "correct horse battery staple", "wrong horse battery staple"


def used(stack: ChaosStack, work: Workload) -> dict[str, str]:
    """Makes every kind of secret, uses it rightly and wrongly, and answers them by their kind."""
    manager = {"Authorization": run_command(stack, "token", "manager", "anna").strip()}
    customer = CUSTOMERS["A"]
    door = stack.api
    made = {"id": customer, "email": "a@example.com", "password": PASSWORD}
    assert stack.call("POST", f"{door}/manager/MngCreateCustomer", json=made, headers=manager).status_code == 200
    for password in (WRONG, PASSWORD):
        answer = stack.call("POST", f"{door}/customer/auth/login", json={"email": "a@example.com", "password": password})
    session = answer.json()["__token"]
    own = {"Authorization": session}
    device = stack.call("GET", f"{door}/customer/auth/otp", headers=own).json()["secret"]
    code = pyotp.TOTP(device).now()
    assert stack.call("PUT", f"{door}/customer/auth/otp", json={"enabled": 1, "otp_code": code}, headers=own).status_code == 200
    body = {"login": work.logins["A"]}
    key = stack.call("POST", f"{door}/copytrade/api-keys", json=body, headers=own | {"Idempotency-Key": "made once"}).json()
    for secret, status in ((key["secret"], 200), ("0" * 64, 401)):
        query = f"recvWindow=5000&timestamp={time.time_ns() // 1_000_000}"
        query += f"&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"
        answer = stack.call("GET", f"{door}/api/v2/copy-trading/follower/leaders?{query}", headers={"X-BB-APIKEY": key["key"]})
        assert answer.status_code == status or status != 200, answer.text
    # where a secret does not belong, and where it is refused
    stack.call("GET", f"{door}/copytrade/my?token={quote(session)}", headers={"Authorization": session[:-1]})
    stack.call("POST", f"{door}/copytrade/follower", json={"login": session, "password": PASSWORD}, headers=own)
    stack.call("POST", f"http://127.0.0.1:{stack.port_base + 4}/reconcile", json={"logins": [1]}, headers={"Authorization": session})
    home = stack.home
    return {
        "password": PASSWORD,
        "wrong password": WRONG,
        "session": session,
        "manager's session": manager["Authorization"],
        "one-time password": device,
        "API secret": key["secret"],
        "LOCKSTEP_SECRET": (home / "secret").read_text().strip(),
        "Redis's password": (home / "redis.password").read_text().strip(),
    } | {f"session of {who}": token for who, token in work.tokens.items()}


def hits(stack: ChaosStack, secrets: dict[str, str]) -> list[str]:
    """Every file below the stack's folder that holds a secret (a store and its log, Redis's file, all lines of all processes)."""
    found = []
    for file in sorted(stack.home.parent.rglob("*")):
        name = str(file.relative_to(stack.home.parent)).removeprefix("home/")
        if not file.is_file() or name in KNOWN_TO_THE_OWNER:
            continue
        held = file.read_bytes()
        # a session's signed part alone is no secret: its signature is
        found += [f"{what} in {name}" for what, secret in secrets.items() if secret.rpartition(".")[2].encode() in held]
    return found


def streams(client: redis.Redis) -> int:
    """How many entries Redis holds."""
    return sum(client.xlen(name) for name in client.keys("*.*") if client.type(name) == b"stream")  # type: ignore[union-attr,misc]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_secret_is_kept(tmp_path: Path) -> None:
    with running(tmp_path, env={}) as stack:
        work = Workload(stack)
        work.prepare()
        secrets = used(stack, work)
        work.act(0, OPEN, range(12))
        assert wait_until(lambda: bool(stack.rows("api", "SELECT 1 FROM trade_link LIMIT 1")), 30)
        with stack.redis() as client:
            assert streams(client) > 10
            client.bgrewriteaof()
        assert len(secrets) >= 8 + 4
        for file in KNOWN_TO_THE_OWNER:
            path = stack.home / file
            assert not path.exists() or path.stat().st_mode & 0o077 == 0, file
        assert hits(stack, {"a word that is there": "copy.config"}) != []
        while_up = hits(stack, secrets)
        stack.stop()
        assert (while_up, hits(stack, secrets)) == ([], [])
        LINES.append(f"{'S7':<28} secrets={len(secrets)} hits=0")
