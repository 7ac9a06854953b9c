"""The commands that look after a stack: tokens, dead letters, versions, the doctor; on stores of the log's own tables."""

import asyncio
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from api.auth import check_token
from lockstep.main import app
from lockstep.stack import SERVICES, Home, Stack, busy_ports
from lockstep.stores import ServiceStore
from shared.store import outbox
from typer.testing import CliRunner

from tests.ports import free_base

runner = CliRunner()
BASE = free_base()
"""Ports that are only looked at here."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.prepare()
    found.secret()
    return found


def bury(home: Home, service: str, *reasons: str) -> None:
    """A store with the log's tables and a dead letter for each reason."""
    file = home.path / f"{service}.db"
    store = ServiceStore(service, f"sqlite:///{file}")

    async def write() -> None:
        async with store.session() as session:
            connection = await session.connection()
            await connection.run_sync(outbox.log_metadata().create_all)
            for number, reason in enumerate(reasons, 1):
                await outbox.bury(session, "trade.push", number, 0, reason, '{"type": "x"}', 1_700_000_000_000)

    asyncio.run(write())


def run(home: Home, *arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, [*arguments, "--home", str(home.path)])
    return result.exit_code, result.output


def test_a_token_is_one_line_that_the_api_takes(home: Home) -> None:
    code, token = run(home, "token", "customer", "7")
    session = check_token(home.known_secret(), token, 1_000_000)
    assert code == 0
    assert session is not None
    assert (session.kind, session.subject) == ("SESSION_CUSTOMER", "7")
    manager = check_token(home.known_secret(), run(home, "token", "manager", "anna")[1], 1_000_000)
    assert manager is not None
    assert (manager.kind, manager.subject) == ("SESSION_MANAGER", "anna")


def test_a_token_follows_the_running_stack_s_clock(home: Home) -> None:
    def issued_s() -> int:
        session = check_token(home.known_secret(), run(home, "token", "customer", "7")[1], 0)
        assert session is not None
        return session.issued_s

    home.remember(Stack(clock_offset=0))
    now = issued_s()
    home.remember(Stack(clock_offset=86_400))
    assert 86_400 <= issued_s() - now <= 86_460


def test_a_token_of_a_home_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    code, output = run(Home(tmp_path / "nowhere"), "token", "customer", "7")
    assert code == 1
    assert "is no home of a stack" in output
    assert not (tmp_path / "nowhere").exists()


def test_a_token_for_a_stack_elsewhere_is_made_from_its_secret(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_SECRET", "the secret of containers")
    elsewhere = run(Home(tmp_path / "nowhere"), "token", "customer", "7")[1]
    assert check_token("the secret of containers", elsewhere, 1_000_000) is not None
    at_home = run(home, "token", "customer", "7")[1]  # a home of one's own comes first
    assert check_token(home.known_secret(), at_home, 1_000_000) is not None


@pytest.mark.parametrize("number", ["0", "-1", "seven"])
def test_a_customer_has_a_number(home: Home, number: str) -> None:
    assert run(home, "token", "customer", number)[0] == 2


def test_dead_letters_of_all_services_are_listed_and_shown(home: Home) -> None:
    assert run(home, "dead-letters", "list") == (0, "no dead letters\n")
    bury(home, "executor", "ValueError: one", "ValueError: two")
    bury(home, "stats", "malformed: x")
    code, output = run(home, "dead-letters", "list")
    assert code == 0
    assert output.splitlines() == [
        "executor:1  trade.push 1  2023-11-14 22:13:20 UTC  dead  ValueError: one",
        "executor:2  trade.push 2  2023-11-14 22:13:20 UTC  dead  ValueError: two",
        "stats:1  trade.push 1  2023-11-14 22:13:20 UTC  dead  malformed: x",
    ]
    assert [letter["name"] for letter in json.loads(run(home, "dead-letters", "list", "--service", "stats", "--json")[1])] == ["stats:1"]
    assert '{"type": "x"}' in run(home, "dead-letters", "show", "executor:2")[1]
    assert json.loads(run(home, "dead-letters", "show", "executor:2", "--json")[1])["reason"] == "ValueError: two"


def test_no_stores_are_not_the_same_as_no_letters(tmp_path: Path) -> None:
    code, said = run(Home(tmp_path), "dead-letters", "list")
    assert (code, "is no home of a stack" in said) == (1, True)


@pytest.mark.parametrize("by_url", [False, True])
def test_a_shard_s_letter_goes_by_the_name_that_it_is_listed_under(home: Home, by_url: bool) -> None:
    bury(home, "executor")
    bury(home, "executor.2", "ValueError: one", "ValueError: two")
    url = ["--database-url", f"sqlite:///{home.path / 'executor.2.db'}"] if by_url else []
    assert "executor.2:1  trade.push 1" in run(home, "dead-letters", "list")[1]
    assert "ValueError: two" in run(home, "dead-letters", "show", "executor.2:2", *url)[1]
    asked = (0, "executor.2:1 is asked for; executor.2 handles it when it runs\n")
    assert run(home, "dead-letters", "retry", "executor.2:1", "--wait", "0", *url) == asked
    assert run(home, "dead-letters", "discard", "executor.2:2", *url)[0] == 0


@pytest.mark.parametrize("name", ["executor:9", "api:1", "executor:x"])
def test_a_letter_that_is_not_there_is_said(home: Home, name: str) -> None:
    bury(home, "executor", "ValueError: one")
    code, output = run(home, "dead-letters", "show", name)
    assert code == 1
    assert f"there is no dead letter {name}" in output


def test_a_retry_is_asked_for_and_its_outcome_told(home: Home) -> None:
    bury(home, "executor", "ValueError: one", "ValueError: two", "ValueError: three")
    file = home.path / "executor.db"
    code, output = run(home, "dead-letters", "retry", "executor:1", "--wait", "0")
    assert (code, output) == (0, "executor:1 is asked for; executor handles it when it runs\n")
    with sqlite3.connect(file) as store:
        assert store.execute("SELECT id FROM dead_letter WHERE retry_requested_ms > 0").fetchall() == [(1,)]
        # What the service does with it: it goes through ...
        store.execute(
            "CREATE TRIGGER ok AFTER UPDATE OF retry_requested_ms ON dead_letter WHEN new.id = 2 AND new.retry_requested_ms > 0"
            " BEGIN UPDATE dead_letter SET retried_ms = 1 WHERE id = 2; END"
        )
        # ... or it fails again.
        store.execute(
            "CREATE TRIGGER bad AFTER UPDATE OF retry_requested_ms ON dead_letter WHEN new.id = 3 AND new.retry_requested_ms > 0"
            " BEGIN UPDATE dead_letter SET retry_requested_ms = NULL, reason = 'still' WHERE id = 3; END"
        )
    assert run(home, "dead-letters", "retry", "executor:2") == (0, "executor:2 was handled\n")
    assert run(home, "dead-letters", "retry", "executor:3") == (1, "executor:3 failed again: still\n")
    code, output = run(home, "dead-letters", "retry", "executor:2")
    assert code == 1
    assert "executor:2 was retried already" in output


def test_a_service_that_does_not_exist_is_refused(home: Home) -> None:
    code, output = run(home, "dead-letters", "list", "--service", "console")
    assert code == 1
    assert "console is no service; there are gateway, api, executor, rewards, stats" in output


def test_another_store_needs_its_service_s_name(home: Home) -> None:
    code, output = run(home, "dead-letters", "list", "--database-url", "sqlite:////tmp/x.db")
    assert code == 1
    assert "say whose store it is" in output


def doctor(home: Home, *arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    code, output = run(home, "doctor", "--json", "--port-base", str(BASE), *arguments)
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(output):
        found.setdefault(finding["about"], []).append(finding)
    return code, found


def test_the_doctor_finds_a_new_home_well(home: Home) -> None:
    code, found = doctor(home)
    assert code == 0
    assert found["home"][0]["level"] == found["ports"][0]["level"] == "ok"


def test_the_doctor_says_who_can_read_the_secret(home: Home) -> None:
    (home.path / "secret").chmod(0o644)
    code, found = doctor(home)
    assert code == 1
    assert found["home"] == [
        {
            "about": "home",
            "level": "problem",
            "text": f"others on this machine can read {home.path / 'secret'}",
            "mend": f"chmod 600 {home.path / 'secret'}",
        }
    ]


def test_the_doctor_sees_a_port_in_use(home: Home) -> None:
    with socket.create_server(("127.0.0.1", BASE + 5)):
        assert busy_ports(Stack(BASE)) == {"rewards": BASE + 5}
        code, found = doctor(home)
    assert code == 1
    assert f"in use by something else: {BASE + 5} (rewards)" in found["ports"][0]["text"]


def test_the_doctor_sees_dead_letters_and_a_store_that_cannot_be_read(home: Home) -> None:
    bury(home, "executor", "ValueError: one")
    (home.path / "stats.db").write_bytes(b"no database at all" * 100)
    code, found = doctor(home)
    assert code == 1
    assert "cannot be read" in found["stats's store"][0]["text"]
    assert found["executor's store"][1]["text"] == "holds dead letters: executor:1"
    code, output = run(home, "dead-letters", "list")
    assert code == 1
    assert "stats's store cannot be read" in output


def test_a_store_behind_the_code_is_found_and_brought_up_to_date(home: Home) -> None:
    code, output = run(home, "migrate", "--check", "--service", "executor")
    head = output.removeprefix("executor: no store -> ").strip()
    assert (code, head.isdigit()) == (1, True)
    assert not (home.path / "executor.db").exists(), "a check changes nothing"
    assert run(home, "migrate", "--service", "executor")[0] == 0
    assert run(home, "migrate", "--check", "--service", "executor") == (0, f"executor: {head}, up to date\n")
    with sqlite3.connect(home.path / "executor.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '0000'")
    code, found = doctor(home)
    assert code == 1
    assert found["executor's store"][0]["text"] == f"has version 0000, the code wants {head}"


def test_a_store_from_the_future_is_a_moved_clock(home: Home) -> None:
    assert run(home, "migrate", "--service", "executor")[0] == 0
    with sqlite3.connect(home.path / "executor.db") as store:
        store.execute("INSERT INTO log_outbox VALUES ('copy.link', 1, '', ?, NULL, NULL)", (int((time.time() + 3600) * 1000),))
    code, found = doctor(home)
    assert code == 0
    assert found["executor's store"][1]["text"].startswith("was last written 3")


TRADES = """order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,commission,swap
1,GBPUSD,buy,100,2026-01-05T10:00:00Z,1.5,2026-01-05T11:00:00Z,1.51,1000,-7,0
2,GBPUSD,buy,{volume},2026-01-06T10:00:00Z,1.5,2026-01-06T11:00:00Z,1.49,-500,-3.5,0
"""


def test_an_import_tells_each_bad_row_and_loads_nothing(home: Home, tmp_path: Path) -> None:
    assert run(home, "migrate", "--service", "stats")[0] == 0
    file = tmp_path / "trades.csv"
    file.write_text(TRADES.format(volume="half"))
    code, output = run(home, "import", "--login", "100001", "--trades", str(file))
    assert code == 1
    assert output.splitlines()[-2:] == [
        "trades.csv:3: volume: 'half' is no whole number above 0",
        "nothing was loaded: 1 rows are not as they should be",
    ]


def test_an_import_is_of_an_account_that_is_known(home: Home, tmp_path: Path) -> None:
    assert run(home, "migrate", "--service", "stats")[0] == 0
    file = tmp_path / "trades.csv"
    file.write_text(TRADES.format(volume="50"))
    code, output = run(home, "import", "--login", "100001", "--trades", str(file))
    assert code == 1
    assert "account 100001 is not known" in output


def test_an_import_of_nothing_is_refused(home: Home) -> None:
    code, output = run(home, "import", "--login", "100001")
    assert code == 1
    assert "give --trades, --equity or both" in output


def test_a_time_that_is_none_is_refused(home: Home) -> None:
    code, output = run(home, "replay", "--from", "yesterday")
    assert code == 1
    assert "write it like 2026-01-31" in output


def test_a_replay_of_no_decisions_finds_no_difference(home: Home) -> None:
    assert run(home, "migrate", "--service", "executor")[0] == 0
    assert run(home, "replay", "--from", "2026-01-01") == (0, "0 decisions made again, 0 come out otherwise\n")
    assert json.loads(run(home, "replay", "--json")[1]) == {"decisions": 0, "differences": []}


def test_verify_names_what_the_venue_has_otherwise(home: Home) -> None:
    for service in ("rewards", "gateway"):
        assert run(home, "migrate", "--service", service)[0] == 0
    assert run(home, "verify") == (0, "everything agrees; 0 balance operations are on the venue as they are claimed\n")
    urls = ("--rewards-url", f"sqlite:///{home.path}/rewards.db", "--gateway-url", f"sqlite:///{home.path}/gateway.db")
    for number, said in ((1, "was carried out, but there is no such accrual"), (2, "carried out twice, as operation 1 and 2")):
        with sqlite3.connect(home.path / "gateway.db") as store:
            values = (number, 100001, "OP_BALANCE_OUT", "1", "TR_REASON_COPY_REWARD", "r-5-out", "", 1)
            store.execute(
                "INSERT INTO operation (id, login, operation, amount, reason, client_id, api_data, time_ms) VALUES (?,?,?,?,?,?,?,?)",
                values,
            )
        assert run(home, "verify") == run(home, "verify", *urls) == (1, f"venue: r-5-out: {said}\n")
    assert run(home, "verify", *urls[:2])[0] == 1


@pytest.mark.postgres
def test_verify_reads_postgres(home: Home, postgres: Callable[[str], str]) -> None:
    urls = {service: postgres(service) for service in ("rewards", "gateway")}
    for service, url in urls.items():
        assert run(home, "migrate", "--service", service, "--database-url", url)[0] == 0
    code, output = run(home, "verify", "--rewards-url", urls["rewards"], "--gateway-url", urls["gateway"])
    assert (code, output) == (0, "everything agrees; 0 balance operations are on the venue as they are claimed\n")


def test_verify_needs_a_home_with_stores(home: Home) -> None:
    code, output = run(home, "verify")
    assert code == 1
    assert "there are no stores" in output


@pytest.mark.parametrize("arguments", [("api-key", "create", "100001"), ("resync", "100001"), ("resync", "--all")])
def test_what_needs_a_running_stack_says_so(home: Home, arguments: tuple[str, ...]) -> None:
    home.remember(Stack(BASE))
    code, output = run(home, *arguments)
    assert code == 1
    assert "is the stack running?" in output


@pytest.mark.parametrize("arguments", [("resync",), ("resync", "--all", "100001")])
def test_a_resync_is_of_some_accounts_or_of_all(home: Home, arguments: tuple[str, ...]) -> None:
    assert run(home, *arguments)[0] == 2


def test_a_home_that_a_stack_runs_on_is_in_use(home: Home) -> None:
    assert not home.in_use()
    with home.taken():
        assert home.in_use()
        assert (home.run / "up.lock").read_text() == f"{os.getpid()}\n"
    assert not home.in_use()


def test_every_service_has_its_ports() -> None:
    ports = Stack(9000).ports()
    assert ports == {
        "gateway": 9003,
        "api": 9001,
        "executor": 9004,
        "rewards": 9005,
        "stats": 9006,
        "console": 9000,
        "manager TCP": 9002,
        "redis": 9009,
    }
    assert set(SERVICES) <= set(ports)


def test_a_letter_is_thrown_away(home: Home) -> None:
    bury(home, "executor", "ValueError: one", "ValueError: two")
    code, output = run(home, "dead-letters", "discard", "executor:1")
    assert (code, output.splitlines()[0]) == (0, "executor:1 was thrown away: trade.push 1, ValueError: one")
    assert [letter["name"] for letter in json.loads(run(home, "dead-letters", "list", "--json")[1])] == ["executor:2"]
    assert run(home, "dead-letters", "discard", "executor:1")[0] == 1
    code, output = run(home, "dead-letters", "discard", "executor:2", "--json")
    assert (code, [(one["name"], one["reason"]) for one in json.loads(output)]) == (0, [("executor:2", "ValueError: two")])
