"""Much at once: a hundred thousand trades that wait when the services start, a hundred malformed messages among ten thousand."""

import json
import os
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos import bulk, malformed, oracle
from tests.chaos.burning import LINES
from tests.chaos.check import dead_letters, unsafe
from tests.chaos.stack import SERVICES, ChaosStack, running, wait_until
from tests.chaos.workload import Workload, number

TRADES = int(os.environ.get("CHAOS_TRADES", "100000"))
MESSAGES = int(os.environ.get("CHAOS_MESSAGES", "10000"))
MEMORY_MB = 300
RETRIED_S = 300
"""Each letter is a transaction of its own, and waits its turn while the service works off what has come meanwhile."""
FOLLOW_S = 600
"""What is shown follows what is done: of a backlog not within a minute."""
LOOK_S = 3
"""Counting so many deals takes a part of a second of the machine's time."""
READERS = ("api", "executor", "rewards", "stats")
"""The services that read `trade.push`."""


def prepared(stack: ChaosStack) -> Workload:
    """Everybody is there, and B alone follows: 7 units in reverse for each trade of M1."""
    work = Workload(stack, dict.fromkeys(("A", "C", "E"), 10**9))
    work.prepare()
    wait_until(lambda: len(stack.rows("executor", "SELECT id FROM subscription")) == 2, 30)
    return work


def memory_mb(stack: ChaosStack, service: str) -> float:
    """The most memory that a service's process has had."""
    status = Path(f"/proc/{stack.pid(service)}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def copied(stack: ChaosStack, entry: str, login: int) -> int:
    statement = "SELECT count(*), count(DISTINCT client_id) FROM deal WHERE login = :login AND entry = :entry"
    count, distinct = stack.rows("gateway", statement, login=login, entry=entry)[0]
    assert count == distinct, f"{count} deals, {distinct} client ids"
    return int(count)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_backlog_fits_into_memory(tmp_path: Path) -> None:
    """R18: 100,000 trades wait; every one is copied once, and no process ever takes more than 300 MB.

    B sells 7 units at the bid and buys them back at the ask, 0.00010 higher: 0.00010 * 7,000 = 0.70 lost in each trade.
    """
    with running(tmp_path) as stack:
        work = prepared(stack)
        master, follower = work.logins["M1"], work.logins["B"]
        assert stack.stop() == 0
        entries = bulk.trade(stack.home, master, range(TRADES), per_entry=10)
        began = time.monotonic()
        stack.start()
        assert wait_until(lambda: copied(stack, "out", follower) == TRADES, 3000, LOOK_S), copied(stack, "out", follower)
        took = time.monotonic() - began
        links = "SELECT count(*) FROM trade_link WHERE state = 1"
        assert wait_until(lambda: stack.rows("api", links)[0][0] == TRADES, FOLLOW_S, LOOK_S)
        assert copied(stack, "in", follower) == TRADES
        balance = number(work.venue("GET", f"/accounts/{follower}")["balance"])
        assert balance == oracle.BALANCES["B"] - Decimal("0.70") * TRADES
        assert not unsafe(stack)
        assert dead_letters(stack) == []
        most = {service: memory_mb(stack, service) for service in SERVICES}
        shown = " ".join(f"{service}={mb:.0f}MB" for service, mb in most.items())
        LINES.append(f"{'R18':<28} trades={TRADES} entries={entries} took_s={took:.0f} {shown}")
        print(LINES[-1])
        assert max(most.values()) <= MEMORY_MB, most


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_malformed_among_many(tmp_path: Path) -> None:
    """R9: of 10,000 messages one in a hundred is malformed: as many dead letters with each reader, the others done, none after a retry."""
    with running(tmp_path) as stack:
        work = prepared(stack)
        master, follower = work.logins["M1"], work.logins["B"]
        assert stack.stop() == 0
        bulk.trade(stack.home, master, range(MESSAGES), closed=False)
        broken = range(50, MESSAGES, 100)
        outbox = "SELECT number, payload FROM log_outbox WHERE payload LIKE '%position.opened%'"
        told = {payload: entry for entry, payload in stack.rows("gateway", outbox)}
        spoilt = {entry: malformed.without_volume(payload) for payload, entry in told.items() if any(f'"t-{k}"' in payload for k in broken)}
        assert len(spoilt) == len(broken)
        rows = [{"payload": payload, "number": entry} for entry, payload in spoilt.items()]
        stack.write_all("gateway", "UPDATE log_outbox SET payload = :payload WHERE number = :number", rows)
        began = time.monotonic()
        stack.start()
        assert wait_until(lambda: copied(stack, "in", follower) == MESSAGES - len(broken), 1200, LOOK_S), copied(stack, "in", follower)
        assert wait_until(lambda: len(dead_letters(stack)) == len(broken) * len(READERS), 60), len(dead_letters(stack))
        took = time.monotonic() - began
        mended: dict[str, list[dict[str, object]]] = {service: [] for service in READERS}
        for letter in dead_letters(stack):
            assert letter.reason.startswith("malformed: position.opened.rows.0."), letter.reason
            event = json.loads(letter.payload)
            column = event["structure"].index("volume")
            assert [row[column] for row in event["rows"]] == [malformed.NOT_A_NUMBER]
            event["rows"][0][column] = 1
            mended[letter.service].append({"payload": json.dumps(event), "id": letter.id})
        for service, letters in mended.items():
            stack.write_all(service, "UPDATE dead_letter SET payload = :payload, retry_requested_ms = 1 WHERE id = :id", letters)
        assert wait_until(lambda: dead_letters(stack) == [], RETRIED_S), dead_letters(stack)[:3]
        assert wait_until(lambda: copied(stack, "in", follower) == MESSAGES, 60)
        links = "SELECT count(*), count(DISTINCT master_order) FROM trade_link WHERE state = 0"
        assert wait_until(lambda: tuple(stack.rows("api", links)[0]) == (MESSAGES, MESSAGES), 60)
        assert not unsafe(stack)
        LINES.append(
            f"{'R9 1 %':<28} messages={MESSAGES} malformed={len(broken)} dead={len(broken) * len(READERS)}, then 0; took_s={took:.0f}"
        )
