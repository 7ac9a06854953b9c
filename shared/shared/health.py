"""A service's own doors, open from its first moment: `/healthz` (the process lives), `/readyz` (it works), `/metrics` (Prometheus)."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import telemetry
from shared.bus.broker import Bus
from shared.patience import Impatient, many_files
from shared.store.outbox import dead_letter
from shared.store.work import Store

log = structlog.get_logger()

ASK_S = 2.0
"""How long the store or Redis may take to answer before the service counts as not ready."""
BIND_S = 5.0
FIGURES_EVERY_S = 5.0
REST, REST_MAX_S = 20, 60
"""A figure that takes t seconds to read is read again 20 t later, a minute at most: figures cost a twentieth of one connection's time."""

Figure = Callable[[AsyncSession, int], Awaitable[None]]
"""Sets gauges from the store, at a time (Unix milliseconds)."""


class Health:
    """What a service that runs is asked about itself."""

    def __init__(self, store: Store, bus: Bus, version: str | None, shard: int) -> None:
        """`version`: the migration that the code wants; `shard`: the number of the instance's."""
        self._shard = str(shard)
        self._store = store
        self._bus = bus
        self._version = version or ""
        self.started = asyncio.Event()

    async def stuck(self) -> list[str]:
        """What keeps the service from its work; nothing: it is ready. Loops have to turn, the store and Redis to answer."""
        if not self.started.is_set():
            return ["not started"]
        wrong = self._bus.stuck()
        for name, ask in (("store", self._ask_store), ("redis", self._bus.ping)):
            try:
                async with asyncio.timeout(ASK_S):
                    said = await ask()
            except Exception as fault:  # noqa: BLE001  (whatever it is: it does not answer)
                said = f"{name} does not answer: {type(fault).__name__}"
            if said:
                wrong.append(said)
        return wrong

    async def _ask_store(self) -> str:
        async with self._store.read() as session:
            has = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar() or ""
        # A newer instance may have migrated it already, in a rolling upgrade: versions only ever add.
        return "" if has >= self._version else f"migrations: the store has version {has}, the code wants {self._version}"

    def add_to(self, app: FastAPI) -> None:
        """Puts the three doors on the service's app."""

        @app.get("/healthz", include_in_schema=False)
        async def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @app.get("/readyz", include_in_schema=False)
        async def readyz(response: Response) -> dict[str, object]:
            stuck = await self.stuck()
            self._tell(ready=not stuck)
            response.status_code = 503 if stuck else 200
            return {"status": "waiting" if stuck else "ready", "stuck": stuck, "lag": self._bus.lag()}

        app.get("/metrics", include_in_schema=False)(_metrics)

    def _tell(self, *, ready: bool) -> None:
        telemetry.READY.labels(self._shard).set(ready)

    async def keep_ready(self) -> None:
        """Keeps the gauge that says whether the service is ready, for ever."""
        await self.started.wait()
        while True:
            self._tell(ready=not await self.stuck())
            await asyncio.sleep(FIGURES_EVERY_S)

    async def keep_figures(self, figures: Sequence[Figure]) -> None:
        """Reads the gauges that stand in the store, one after the other, again and again; a fault of the store is waited out."""
        await self.started.wait()
        loop = asyncio.get_running_loop()
        due = dict.fromkeys((_dead_letters, *figures), 0.0)
        while True:
            for figure in due:
                if due[figure] <= loop.time():
                    due[figure] = await self._read(figure)
            await asyncio.sleep(max(0.0, min(due.values()) - loop.time()))

    async def _read(self, figure: Figure) -> float:
        """Reads a gauge; answers when it is to be read again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._store.read() as session:
                await figure(session, self._store.clock())
        except Exception as fault:  # noqa: BLE001  (a figure must not end the service)
            log.warning("figures wait", figure=getattr(figure, "__name__", "figure"), fault=repr(fault))
        return loop.time() + min(REST_MAX_S, max(FIGURES_EVERY_S, REST * (loop.time() - began)))


async def _dead_letters(session: AsyncSession, _now: int) -> None:
    waiting = select(dead_letter.c.stream, func.count()).where(dead_letter.c.retried_ms.is_(None)).group_by(dead_letter.c.stream)
    telemetry.show(telemetry.DEAD_LETTERS_WAITING, {row[0]: row[1] for row in await session.execute(waiting)})


async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _waiting_app(status: str, why: str) -> FastAPI:
    """What stands at the door before the service's own app does: alive, and not ready."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": status}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(response: Response) -> dict[str, object]:
        response.status_code = 503
        return {"status": status, "stuck": [why], "lag": {}}

    app.get("/metrics", include_in_schema=False)(_metrics)

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def elsewhere(response: Response) -> dict[str, str]:
        response.status_code = 503
        return {"error": "NOT_READY", "message": why}

    return app


class Door:
    """The HTTP port of a service: a standby, then a start, then its own app answer at it."""

    def __init__(self, trusted_proxies: str = "") -> None:
        """`trusted_proxies`: see the setting of that name. Uvicorn would believe whoever comes from this machine."""
        self._trusted = trusted_proxies
        self._app: Any = _waiting_app("standby", "standby: another instance works on the store")
        self._alone = False
        self._server: uvicorn.Server | None = None

    def starting(self) -> None:
        """The store is this instance's."""
        self._alone = True
        self._app = _waiting_app("starting", "not started")

    def serves(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def open(self, host: str, port: int) -> None:
        """Serves until `close`. A standby may wait for the port as it waits for the store. Raises OSError when the owner cannot have it."""
        bound = await self._bound(host, port)
        many_files()
        config = uvicorn.Config(
            self,
            http=Impatient,
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=bool(self._trusted),
            forwarded_allow_ips=self._trusted,
        )
        self._server = _Server(config)
        await self._server.serve(sockets=[bound])

    def close(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    async def _bound(self, host: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        until = loop.time() + BIND_S
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:
            try:
                return socket.create_server((host, port), family=family, backlog=2048)
            except OSError:
                if not self._alone:
                    until = loop.time() + BIND_S
                elif loop.time() > until:
                    raise
            await asyncio.sleep(0.2)


class _Server(uvicorn.Server):
    """Uvicorn inside our own loop: signals are the service's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
