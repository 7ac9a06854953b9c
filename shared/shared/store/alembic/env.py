"""Alembic's environment for every service: `shared.store.migrate` says which store and which tables."""

from alembic import context
from sqlalchemy import create_engine

config = context.config
engine = create_engine(config.attributes["url"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=config.attributes["metadata"],
        render_as_batch=True,
        transaction_per_migration=True,
        user_module_prefix="engine.",
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
