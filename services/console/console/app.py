"""The console as an application: its pages by path, its static files, health and metrics, and the headers that keep it to itself."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Response
from nicegui import app as pages_app
from nicegui import ui
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from shared.telemetry import READY, SHARDS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api import Api
from console.frame import STATIC
from console.office.halts import halts
from console.office.letters import audit, letters
from console.office.overview import overview
from console.office.tables import table
from console.pages.copying import copying
from console.pages.login import login
from console.pages.market import market
from console.pages.master import master
from console.pages.rewards import rewards
from console.pages.strategies import strategies
from console.pages.wizard import wizard
from console.session import Console
from console.settings import Settings
from console.streams import Streams

Page = Callable[..., Awaitable[Any]]

PAGES: dict[str, Page] = {
    "/login": login,
    "/": market,
    "/master/{login}": master,
    "/copying": copying,
    "/rewards": rewards,
    "/strategies": strategies,
    "/strategies/new": wizard,
    "/office": overview,
    "/office/letters": letters,
    "/office/audit": audit,
    "/office/halt": halts,
    "/office/{name}": table,
}

# NiceGUI compiles Vue templates in the page and styles it in place; nothing comes from anywhere else.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
}


class Guarded:
    """Adds the headers that tell browsers to load nothing from, and show nothing in, other sites."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        await self._app(scope, receive, guarded)


def register(console: Console) -> None:
    """Makes the pages known to NiceGUI."""
    pages_app.state.console = console
    pages_app.add_static_files("/static", STATIC)
    pages_app.on_shutdown(console.api.close)
    pages_app.colors(primary="#2f6bff", positive="#0a7a4b", negative="#d0342a", warning="#b7791f", dark="#121926")
    ui.button.default_props("unelevated no-caps")
    for field in (ui.input, ui.number, ui.select, ui.textarea):
        field.default_props("outlined dense")
    ui.dialog.default_props("transition-duration=120")
    for path, page in PAGES.items():
        ui.page(path, response_timeout=10)(page)


def create_app(settings: Settings, api: Api | None = None) -> FastAPI:
    """The whole console. Without an `api` it is the one that the settings say."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    door = api or Api(settings.api_url, settings.api_timeout_s)
    console = Console(settings, door, Streams(door))
    register(console)
    _add_health(app, console)
    app.add_middleware(Guarded)
    ui.run_with(
        app,
        title="Lockstep",
        favicon=STATIC / "mark.svg",
        language="en-GB",
        storage_secret=console.cookie_secret(),
        session_middleware_kwargs={"https_only": settings.secure_cookie, "same_site": "lax", "session_cookie": "lockstep_console"},
        tailwind=False,
        reconnect_timeout=10,
        show_welcome_message=False,
    )
    return app


def _add_health(app: FastAPI, console: Console) -> None:
    """`/healthz`, `/readyz` and `/metrics`, as the other services have them."""
    READY.labels("1").set(1)
    SHARDS.set(1)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> dict[str, object]:
        # Ready with the api away, too: the pages say so in words, which nobody would see behind a proxy that has taken the console out.
        return {"status": "ready", "stuck": [], "lag": {}}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
