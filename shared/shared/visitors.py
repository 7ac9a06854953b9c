"""Whose address a login comes from, when it comes through the console: handed on signed, so that nobody else can say so of anybody."""

import hashlib
import hmac
from collections.abc import Iterable

HEADER = "X-Client-Address"
LASTS_S = 300
"""Longer than the clocks of two machines differ."""


def hand_on(secret: str, address: str, now_s: int) -> str:
    """A header's value that says which address a client has."""
    claim = f"{address} {now_s + LASTS_S}"
    return f"{claim} {_signature(secret, claim)}"


def handed_on(secrets: Iterable[str], value: str, now_s: int) -> str:
    """The address in a header that was signed with one of the secrets, and not long ago; empty for anything else."""
    claim, _, signature = value.rpartition(" ")
    address, _, until_s = claim.partition(" ")
    if not any(hmac.compare_digest(_signature(secret, claim).encode(), signature.encode()) for secret in secrets):
        return ""
    return address if now_s <= int(until_s) else ""


def _signature(secret: str, claim: str) -> str:
    return hmac.new(secret.encode(), f"lockstep client address {claim}".encode(), hashlib.sha256).hexdigest()
