"""The HTTP application: all doors on one port."""

from functools import cache

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from shared.asyncapi import asyncapi
from shared.store.work import Store

from api.client import control, events, followers, links, masters, positions, profile, rewards, session, subscriptions
from api.context import Context
from api.docs_page import docs_page
from api.door import Limits, answer_failures
from api.manager import http
from api.openapi import follow_config, follower, lead_config, leader
from api.settings import Settings
from api.topics_page import topics_page


def create_app(store: Store, settings: Settings, context: Context | None = None) -> FastAPI:
    """Client REST, manager HTTP and the signed OpenAPI. The context is the process's, when it has other doors, too."""
    app = FastAPI(title="Lockstep API", version="1", docs_url=None, redoc_url=None, strict_content_type=False, redirect_slashes=False)
    app.state.context = context or Context(store, settings)
    app.add_middleware(Limits, body_max_bytes=settings.body_max_bytes, body_timeout_s=settings.body_timeout_s)
    answer_failures(app)
    for router in (
        session.open_router,
        session.router,
        masters.router,
        followers.router,
        subscriptions.router,
        links.router,
        positions.router,
        events.router,
        rewards.router,
        profile.router,
        control.router,
    ):
        app.include_router(router)
    app.include_router(http.router)
    for signed in (follower, follow_config, leader, lead_config):
        app.include_router(signed.router)
    page = cache(lambda: docs_page(app.openapi()))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page())

    document = cache(asyncapi)

    @app.get("/asyncapi.json", include_in_schema=False)
    async def topics_json() -> dict[str, object]:
        return document()

    @app.get("/topics", include_in_schema=False)
    async def topics() -> HTMLResponse:
        return HTMLResponse(topics_page(document()))

    return app
