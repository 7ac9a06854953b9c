"""The signature of the OpenAPI V2: what is signed, in which window it counts. Values in, values out."""

import hashlib
import hmac
from urllib.parse import parse_qsl

RECV_WINDOW_DEFAULT_MS = 5000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1000


def without_signature(raw: str) -> str:
    """The parameters as sent (order and percent-encoding kept), the signature's own pair taken out."""
    return "&".join(pair for pair in raw.split("&") if pair.partition("=")[0] != "signature")


def signature(secret: str, payload: str) -> str:
    """hex(HMAC_SHA256(secret, payload))."""
    return hmac.new(secret.encode(), payload.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def payloads(query: str, body: str, *, is_form: bool, body_must_be_signed: bool) -> list[str]:
    """What may have been signed: the query and the form body, joined without an `&`; for a JSON body also the query alone, as existing
    clients sign it, unless the body must be signed."""
    whole = without_signature(query) + (without_signature(body) if is_form else body)
    if is_form or not body or body_must_be_signed:
        return [whole]
    return [whole, without_signature(query)]


def is_signed(secret: str, sent: str, candidates: list[str]) -> bool:
    """Whether the signature (hex, in any case) fits one of the payloads."""
    wanted = sent.lower().encode("utf-8", "replace")
    return any(hmac.compare_digest(signature(secret, payload).encode(), wanted) for payload in candidates)


def in_window(timestamp_ms: int, recv_window_ms: int, now_ms: int) -> bool:
    """A request counts from a second before its timestamp until the window after it is over."""
    return timestamp_ms < now_ms + AHEAD_MAX_MS and now_ms - timestamp_ms <= recv_window_ms


def parameters(query: str, form: str) -> dict[str, str]:
    """The parameters' values; on a doubled name the query's goes before the form's, the first before the later."""
    found: dict[str, str] = {}
    for raw in (query, form):
        for name, value in parse_qsl(raw, keep_blank_values=True):
            found.setdefault(name, value)
    return found
