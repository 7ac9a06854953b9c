"""What `lockstep doctor` looks at in a Postgres store: whether it can be reached, keeps what it commits, and who works on it."""

from collections.abc import AsyncIterator
from typing import Any

from shared.store.engine import create_engine
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from lockstep.finding import Finding, ok, problem, warning

OLDEST_VERSION = 130000
CONNECTIONS_LEFT = 40
"""An instance takes up to thirty."""
HELD = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
MENDS = {
    "password authentication failed": "give the role's password in LOCKSTEP_DATABASE_URL; deploy/postgres/init.sh shows how roles are made",
    "no password supplied": "put the password into LOCKSTEP_DATABASE_URL: postgresql://USER:PASSWORD@HOST/DATABASE",
    "does not exist": "make it: deploy/postgres/init.sh shows one database and one role for each service",
    "permission denied for database": "this role may not open this database: each service has one of its own",
    "connection refused": "is Postgres up, and is this its address and port?",
    "could not translate host name": "the host's name is not known here",
    "failed to resolve host": "the host's name is not known here",
    "timeout": "nobody answers: a firewall, or another address",
}


async def postgres_findings(about: str, url: str) -> list[Finding]:
    """Everything about a database, if it can be reached at all."""
    engine = create_engine(url)
    try:
        async with engine.connect() as raw:
            connection = await raw.execution_options(isolation_level="AUTOCOMMIT")
            return [finding async for finding in _looked_at(about, connection)]
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[-1] if str(error.orig).strip() else repr(error.orig)
        mend = next((mend for sign, mend in MENDS.items() if sign in str(error.orig).lower()), "look at Postgres's own log")
        return [problem(about, f"cannot be reached: {said}", mend)]
    finally:
        await engine.dispose()


async def _looked_at(about: str, connection: AsyncConnection) -> AsyncIterator[Finding]:
    async def ask(question: str) -> Any:
        return (await connection.execute(text(question))).scalar()

    version = int(await ask("SHOW server_version_num"))
    if version < OLDEST_VERSION:
        yield problem(about, f"is Postgres {version // 10000}", "use Postgres 13 or later")
    else:
        yield ok(about, f"is Postgres {version // 10000}")
    if await ask("SELECT pg_is_in_recovery()"):
        yield problem(about, "is a replica: nothing can be written", "give the address of the primary in LOCKSTEP_DATABASE_URL")
    durable = {name: await ask(f"SHOW {name}") for name in ("synchronous_commit", "fsync", "full_page_writes")}
    loose = [f"{name} = {value}" for name, value in durable.items() if value == "off"]
    if loose:
        mend = "turn them on: what is committed is what others are told, and a crash must not take it back"
        yield problem(about, f"may lose what it committed: {', '.join(loose)}", mend)
    if not await ask("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        role = await ask("SELECT current_user")
        yield problem(about, f"its role {role} may make no tables", f"ALTER DATABASE ... OWNER TO {role}, or GRANT CREATE ON SCHEMA public")
    backends = {await ask("SELECT pg_backend_pid()") for _ in range(5)}
    if len(backends) > 1:
        pooled = "is behind a pool that gives each transaction another session: the owner's lock does not hold there"
        yield problem(about, pooled, "use session pooling, or no pool, for executor, rewards, stats and gateway")
    taken = int(await ask("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
    left = int(await ask("SHOW max_connections")) - taken
    if left < CONNECTIONS_LEFT:
        yield warning(about, f"{left} more connections are possible", "raise max_connections: an instance takes up to 31")
    yield ok(about, "an instance works on it" if await ask(HELD) else "no instance works on it now (an api never shows)")
