"""Migrations: each service has its own Alembic versions; they run when the service starts, while it owns its store.

python -m shared.store.migrate SERVICE MESSAGE     writes the next version of a service (in development)
"""

import importlib
import sys
import tempfile
from pathlib import Path

import structlog
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine

from shared.store.engine import database_url

log = structlog.get_logger()


def configuration(service: str, url: str) -> Config:
    """Alembic's configuration for a service's store: the shared environment, the service's own versions."""
    package = importlib.import_module(service)
    assert package.__file__ is not None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(Path(package.__file__).parent / "migrations" / "versions"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = database_url(url, sync=True)
    config.attributes["metadata"] = metadata_of(service)
    return config


def metadata_of(service: str) -> MetaData:
    """The tables of a service, the log's among them."""
    metadata = importlib.import_module(f"{service}.store").METADATA
    assert isinstance(metadata, MetaData)
    return metadata


def upgrade(service: str, url: str, revision: str = "head") -> None:
    """Brings a store up to a revision; blocking, a matter of milliseconds when there is nothing to do.

    A store that a newer version has migrated is left as it is: versions only add, so that an older instance may work on.
    """
    parsed = database_url(url, sync=True)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    has, wants = current(service, url)
    if has is not None and wants is not None and has > wants:
        log.warning("a newer version has migrated the store", has=has, wants=wants)
        return
    command.upgrade(configuration(service, url), revision)


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """Takes a store down to a revision."""
    command.downgrade(configuration(service, url), revision)


def current(service: str, url: str) -> tuple[str | None, str | None]:
    """The revision that the store has, and the one that the code wants."""
    engine = create_engine(database_url(url, sync=True))
    with engine.connect() as connection:
        has = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return has, ScriptDirectory.from_config(configuration(service, url)).get_current_head()


def differences(service: str, url: str) -> list[object]:
    """What the migrations and the tables in code disagree on: nothing, or somebody forgot a migration."""
    engine = create_engine(database_url(url, sync=True))
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), metadata_of(service))
    engine.dispose()
    return list(found)


def write_version(service: str, message: str) -> None:
    """Writes the next version from the difference between the versions so far and the tables in code."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.db"
        upgrade(service, url)
        config = configuration(service, url)
        known = len(list(ScriptDirectory.from_config(config).walk_revisions()))
        command.revision(config, message, autogenerate=True, rev_id=f"{known + 1:04}")


if __name__ == "__main__":
    write_version(sys.argv[1], sys.argv[2])
