"""`/docs`: one page rendered from the OpenAPI JSON, with nothing to load from anywhere."""

from html import escape
from typing import Any

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2430;background:#fff}
summary{cursor:pointer;padding:.4rem 0;border-top:1px solid #d8dee8}code,pre{font:13px/1.4 ui-monospace,monospace}
b{display:inline-block;min-width:4.5rem}pre{background:#f4f6f9;padding:.7rem;overflow:auto}table{border-collapse:collapse}
td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}@media(prefers-color-scheme:dark){
body{color:#dfe5ee;background:#12161d}pre{background:#1b212b}summary{border-color:#2c3542}a{color:#8ab4ff}}"""


def docs_page(spec: dict[str, Any]) -> str:
    """The page: each path with its parameters, body and answers."""
    parts = [f"<h1>{escape(spec['info']['title'])}</h1><p>The same as <a href='/openapi.json'>OpenAPI JSON</a>.</p>"]
    group = ""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", [""])[0]
            if tag != group:
                group = tag
                parts.append(f"<h2>{escape(tag)}</h2>")
            parts.append(_operation(method, path, operation))
    parts.append("<h2>Shapes</h2>")
    for name, schema in spec.get("components", {}).get("schemas", {}).items():
        parts.append(f"<details id='{escape(name)}'><summary>{escape(name)}</summary>{_fields(schema)}</details>")
    title = escape(spec["info"]["title"])
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{title}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{_type(one.get('schema', {}))}</td>"
        f"<td>{escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    body = "".join(
        f"<p>Body: {_type(content.get('schema', {}))}</p>" for content in operation.get("requestBody", {}).get("content", {}).values()
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{escape(answer.get('description', ''))}</td></tr>" for status, answer in operation["responses"].items()
    )
    text = escape(operation.get("description", operation.get("summary", "")))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary><p>{text}</p>"
        f"<table>{rows}</table>{body}<table>{answers}</table></details>"
    )


def _fields(schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' *' if name in needed else ''}</td><td>{_type(its)}</td></tr>"
        for name, its in schema.get("properties", {}).items()
    )
    return f"<p>{escape(schema.get('description', ''))}</p><table>{rows}</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_type(one) for one in schema[key])
    if "enum" in schema:
        return escape(", ".join(str(value) for value in schema["enum"]))
    kind = escape(str(schema.get("type", "any")))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "up to")) if key in schema]
    return f"{kind} {' '.join(bounds)}".strip()
