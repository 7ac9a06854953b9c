"""`/topics`: one page rendered from the AsyncAPI JSON, with nothing to load from anywhere and nothing that talks to the broker."""

import json
from html import escape
from typing import Any

from api.docs_page import STYLE


def topics_page(spec: dict[str, Any]) -> str:
    """The page: each topic with its writer, readers and events, an example of each."""
    info, messages, schemas = spec["info"], spec["components"]["messages"], spec["components"]["schemas"]
    of_payload = {message["payload"]["$ref"]: name for name, message in messages.items()}
    parts = [
        f"<h1>{escape(info['title'])}</h1><p>The same as <a href='/asyncapi.json'>AsyncAPI JSON</a>. {escape(info['description'])}</p>"
    ]
    for name, channel in spec["channels"].items():
        parts.append(f"<h2 id='{escape(name)}'><code>{escape(name)}</code></h2><p>{escape(channel['description'])} {_who(spec, name)}</p>")
        for message in channel["messages"]:
            parts.append(_message(message, messages[message]))
            items = schemas.get(message, {}).get("properties", {}).get("events", {}).get("items", {}).get("oneOf", [])
            parts += [_message(of_payload[one["$ref"]], messages[of_payload[one["$ref"]]]) for one in items]
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{escape(info['title'])}</title>"
    return f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"


def _who(spec: dict[str, Any], channel: str) -> str:
    reference = f"#/channels/{channel}"
    found = [(one["action"], one["tags"][0]["name"]) for one in spec["operations"].values() if one["channel"]["$ref"] == reference]
    writers = ", ".join(name for action, name in found if action == "send")
    readers = ", ".join(name for action, name in found if action == "receive")
    return f"Written by {escape(writers)}; read by {escape(readers)}."


def _message(name: str, message: dict[str, Any]) -> str:
    sample = escape(json.dumps(message["examples"][0]["payload"], indent=1))
    return (
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary><p>{escape(message.get('summary', ''))}</p>"
        f"<pre>{sample}</pre></details>"
    )
