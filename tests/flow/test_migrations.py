"""Every service's store is brought up to date, taken down to nothing and up again, on either database, and is what the code says it is."""

from collections.abc import Callable

import pytest
from shared.store import migrate
from shared.store.engine import database_url
from sqlalchemy import create_engine, inspect, text

SERVICES = ("gateway", "api", "executor", "rewards", "stats")


def tables(url: str) -> set[str]:
    engine = create_engine(database_url(url, sync=True))
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    engine.dispose()
    return found - {"alembic_version"}


@pytest.mark.parametrize("service", SERVICES)
def test_up_and_down_and_up_again(new_store_url: Callable[[str], str], service: str) -> None:
    url = new_store_url(service)
    migrate.upgrade(service, url)
    has, wants = migrate.current(service, url)
    assert has == wants
    assert migrate.differences(service, url) == []
    there = tables(url)
    assert {"log_outbox", "log_place", "dead_letter"} < there
    migrate.downgrade(service, url)
    assert tables(url) == set()
    migrate.upgrade(service, url)
    assert tables(url) == there
    assert migrate.differences(service, url) == []


def test_a_store_that_a_newer_version_has_migrated_is_worked_on(new_store_url: Callable[[str], str]) -> None:
    """As an older instance finds it that is started again in the middle of a rolling upgrade."""
    url = new_store_url("stats")
    migrate.upgrade("stats", url)
    engine = create_engine(database_url(url, sync=True))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    migrate.upgrade("stats", url)
    assert migrate.current("stats", url)[0] == "9999"
