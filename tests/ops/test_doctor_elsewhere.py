"""The doctor on a store that is in no home: a real Postgres with what can be wrong with it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lockstep.main import app
from shared.store.engine import create_engine
from shared.store.ownership import Ownership
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy import text
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

pytestmark = pytest.mark.postgres


def doctor(url: str) -> tuple[int, list[dict[str, str]]]:
    done = CliRunner().invoke(app, ["doctor", "--service", "rewards", "--database-url", url, "--json", "--home", "/nowhere"])
    return done.exit_code, json.loads(done.output)


def test_a_postgres_is_looked_at_and_told_what_to_mend(postgres: Callable[[str], str]) -> None:
    url = postgres("rewards")
    code, found = doctor(url)
    texts = [one["text"] for one in found]
    assert code == 1
    assert "no instance works on it now (an api never shows)" in texts
    assert [one["mend"] for one in found if one["text"].startswith("has version None")] == [
        "`lockstep migrate`; the service does it, too, when it starts"
    ]

    assert CliRunner().invoke(app, ["migrate", "--service", "rewards", "--database-url", url, "--home", "/nowhere"]).exit_code == 0
    code, found = doctor(url)
    assert (code, {one["level"] for one in found}) == (0, {"ok"})

    async def owned() -> list[dict[str, str]]:
        engine = create_engine(url)
        owner = Ownership(engine, "rewards")
        await owner.acquire()
        try:
            return (await asyncio.to_thread(doctor, url))[1]
        finally:
            await owner.release()
            await engine.dispose()

    assert "an instance works on it" in [one["text"] for one in asyncio.run(owned())]

    database = make_url(url).database
    engine = create_sync_engine(make_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{database}" SET synchronous_commit = off'))
    engine.dispose()
    code, found = doctor(url)
    (loose,) = [one for one in found if one["level"] == "problem"]
    assert (code, loose["text"]) == (1, "may lose what it committed: synchronous_commit = off")


def test_a_database_that_is_not_there_is_said_with_what_to_do(postgres: Callable[[str], str]) -> None:
    url = make_url(postgres("rewards")).set(database="no_such").render_as_string(hide_password=False)
    code, found = doctor(url)
    assert code == 1
    assert [(one["level"], "does not exist" in one["text"], "init.sh" in one["mend"]) for one in found] == [("problem", True, True)]


def test_nobody_at_the_address_is_said_with_what_to_do() -> None:
    code, (found,) = doctor("postgresql://somebody:secret@127.0.0.1:1/store")
    assert code == 1
    assert found["mend"] == "is Postgres up, and is this its address and port?"
    assert "secret" not in json.dumps(found)


def test_a_store_in_a_file_elsewhere_is_looked_at(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rewards.db"
    assert doctor(url)[1][0]["text"] == "is not there yet; the service makes it when it starts"
    assert CliRunner().invoke(app, ["migrate", "--service", "rewards", "--database-url", url, "--home", "/nowhere"]).exit_code == 0
    assert not Path("/nowhere").exists(), "a store elsewhere needs no home"
    assert doctor(url)[0] == 0
