"""The console as a process."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import structlog
import uvicorn
from shared.telemetry import configure_logging

from console.settings import Settings

log = structlog.get_logger()
STOP_S = 3


def main() -> None:
    settings = Settings()
    configure_logging("console", settings.log_level, settings.log_json)
    storage = settings.home / "console"
    storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    # NiceGUI reads it when it is imported: sessions are kept here, on the server.
    os.environ["NICEGUI_STORAGE_PATH"] = str(storage)
    os.umask(0o077)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from console.app import create_app  # noqa: PLC0415  (after the storage path is set)

    server = _Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.http_host,
            port=settings.http_port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=STOP_S,
            ws="wsproto",
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
        )
    )

    def stop() -> None:
        log.info("stopping", service="console")
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    log.info("started", service="console")
    await server.serve()


class _Server(uvicorn.Server):
    """Uvicorn inside our own loop: signals are the process's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
