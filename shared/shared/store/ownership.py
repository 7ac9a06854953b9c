"""The one instance that works on a store, and those that stand by: a lock that goes with its holder, and what becomes of one that hangs.

SQLite: a file lock beside the file. A holder that hangs is killed by a standby: both are on one machine, and only the holder's end frees
a file that it may be in the middle of writing. Postgres: an advisory lock of a session of its own. The sessions of a holder that hangs are
ended by a standby, and each term of ownership has a number that every unit of work looks at (`Store.begin_term`): a former owner that
wakes up writes nothing.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import structlog
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.store.engine import INSTANCE

log = structlog.get_logger()

BEAT_EVERY_S = 0.5
SILENT_LOOKS = 10
"""So often an owner looks (each second) without a new sign of its own before it gives the store up: its session is gone without a word.
Looks, not seconds: an owner that was stopped for a while is told of that by its standby."""
HUNG_AFTER_S = 2.5
"""A holder that shows no sign of life for so long hangs. Another thread than the one that works shows them: being busy is not hanging."""

HOLDER = text("""
SELECT a.application_name AS instance, extract(epoch FROM clock_timestamp() - greatest(a.state_change, a.query_start)) AS silent_s
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = :key
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
END_SESSIONS = text("""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = :instance AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
""")


class Ownership:
    """Held by the one instance that works on a store; a second one waits for it (a standby)."""

    def __init__(self, engine: AsyncEngine, service: str) -> None:
        self._url = engine.url
        self._key = int.from_bytes(hashlib.sha256(service.encode()).digest()[:8], "big", signed=True)
        self._file: int | None = None
        self._session: Connection | None = None
        self._beating: threading.Thread | None = None
        self._released = threading.Event()
        self._lost = False
        self._beats = self._seen_beats = self._silent = 0
        self._seen_beat = 0
        self._seen_at = 0.0

    async def acquire(self, every_s: float = 0.5) -> None:
        """Waits until this instance is the owner."""
        while not await asyncio.to_thread(self._try):  # noqa: ASYNC110  (the holder is another process: there is no event to wait for)
            await asyncio.sleep(every_s)
        self._beating = threading.Thread(target=self._beat, name="ownership", daemon=True)
        self._beating.start()

    async def held(self) -> bool:
        """Whether the lock is held still. A lost session of Postgres loses it: the instance has to stop."""
        self._silent = 0 if self._beats != self._seen_beats else self._silent + 1
        self._seen_beats = self._beats
        return self._beating is not None and not self._lost and self._silent < SILENT_LOOKS

    async def release(self) -> None:
        self._released.set()
        if self._beating is not None:
            await asyncio.to_thread(self._beating.join, 1.0)
            if self._beating.is_alive():
                return  # it waits for an answer that may never come; the lock ends with the process
            self._beating = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._session is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                await asyncio.to_thread(self._session.close)
            self._session = None

    def _beat(self) -> None:
        """Shows that this instance lives, until the lock is given back or lost."""
        while not self._released.wait(BEAT_EVERY_S):
            try:
                if self._file is not None:
                    os.utime(self._file)
                if self._session is not None:
                    self._session.execute(text("SELECT 1"))
                self._beats += 1
            except Exception as fault:  # noqa: BLE001  (whatever went wrong: without the session there is no lock)
                log.warning("the lock on the store is lost", fault=repr(fault))
                self._lost = True
                return

    def _try(self) -> bool:
        if self._url.get_backend_name() == "postgresql":
            return self._try_session()
        database = self._url.database
        return not database or database == ":memory:" or self._try_file(Path(f"{database}.lock"))

    def _try_file(self, path: Path) -> bool:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._end_if_hung(handle)
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._file = handle
        return True

    def _end_if_hung(self, handle: int) -> None:
        """Kills the process that holds the file lock when its file was not touched for too long, as this instance's own clock counts."""
        now = time.monotonic()
        beat = os.fstat(handle).st_mtime_ns
        if beat != self._seen_beat:
            self._seen_beat, self._seen_at = beat, now
        elif now - self._seen_at > HUNG_AFTER_S and hasattr(os, "pidfd_open"):
            written = os.pread(handle, 20, 0).strip()
            with contextlib.suppress(OSError):  # it is gone, or not ours to end: then it is waited for
                pid = int(written or 0)
                process = os.pidfd_open(pid)
                try:
                    if _has_open(pid, handle):
                        log.error("the owner of the store hangs: killed", pid=pid)
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                finally:
                    os.close(process)

    def _try_session(self) -> bool:
        if self._session is None:
            options = {"application_name": INSTANCE, "connect_timeout": 5}
            engine = create_engine(self._url, poolclass=NullPool, connect_args=options)
            self._session = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if self._session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
            return True
        holder = self._session.execute(HOLDER, {"key": self._key}).first()
        if holder is not None and holder.instance and holder.silent_s > HUNG_AFTER_S:
            ended = self._session.execute(END_SESSIONS, {"instance": holder.instance}).scalar()
            log.error("the owner of the store hangs: its sessions are ended", instance=holder.instance, sessions=ended)
        return False


def _has_open(pid: int, handle: int) -> bool:
    """Whether a process has the same file open: the pid in it is not another process's by now, or one of another container's."""
    mine = os.fstat(handle)
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(entry.stat(), mine):
                return True
    return False
