"""The documents that are made from the code: they are as the code is, they are true, and they are served without a network."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from api.app import create_app
from api.settings import Settings
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from pydantic import TypeAdapter
from shared.asyncapi import asyncapi
from shared.contracts.event import Batch
from shared.examples import example, example_batch
from shared.store.engine import create_engine
from shared.store.work import Store
from shared.topics import TOPICS, name_of

ROOT = Path(__file__).parents[2]
EVENTS = [(topic, event) for topic in TOPICS for event in topic.types()]


def test_the_documents_are_as_the_code_is() -> None:
    spec = importlib.util.spec_from_file_location("docs_of_the_code", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    assert docs.stale() == [], "make docs writes them"


@pytest.mark.parametrize(("topic", "event"), EVENTS, ids=[name_of(event) for _, event in EVENTS])
def test_an_example_is_an_event_of_its_topic(topic: Any, event: Any) -> None:
    read = TypeAdapter(topic.events).validate_json(json.dumps(example(event)))
    assert type(read) is event
    assert json.loads(read.model_dump_json()) == example(event), "as it would be sent"
    text = (ROOT / "docs" / "topics.md").read_text()
    assert f"### {name_of(event)}\n" in text


def test_an_example_of_an_entry_is_a_batch() -> None:
    for topic in TOPICS:
        batch = Batch.model_validate_json(json.dumps(example_batch(topic)))
        assert batch.source == topic.writer


def test_the_asyncapi_document_is_one_and_every_reference_in_it_leads_somewhere() -> None:
    document = asyncapi()
    ApplicationSchema.model_validate(document)
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))
    assert len(references) > 100
    for reference in references:
        found: Any = document
        for part in reference.split("/"):
            found = found[part]
    assert {*document["channels"]} == {*(topic.name for topic in TOPICS), "market.price"}


class _Loads(HTMLParser):
    """What a page would load, or send somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"script", "link", "img", "iframe", "form", "button", "input", "object", "embed"}
        if tag in wanted or any(name in {"src", "onclick"} for name, _ in attrs):
            self.found.append(tag)


@pytest.mark.anyio
async def test_the_pages_need_no_network_and_offer_nothing_to_try() -> None:
    app = create_app(Store(create_engine("sqlite:///:memory:"), "api", lambda: 0), Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
        for path, wanted in (("/docs", "/copytrade/subscription"), ("/topics", "position.opened")):
            page = await client.get(path)
            loads = _Loads()
            loads.feed(page.text)
            assert (page.status_code, loads.found) == (200, [])
            assert wanted in page.text
        assert (await client.get("/asyncapi.json")).json() == json.loads((ROOT / "docs" / "asyncapi.json").read_text())
        assert (await client.get("/openapi.json")).json() == json.loads((ROOT / "docs" / "openapi.json").read_text())
