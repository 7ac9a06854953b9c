"""Every service's store is brought up to date, taken down to nothing and up again, on either database, and is what the code says it is."""

from collections.abc import Callable

import pytest
from shared.store import migrate
from shared.store.engine import database_url
from sqlalchemy import create_engine, inspect

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
