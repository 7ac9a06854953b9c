"""Sessions, passwords and secrets: JSON Web Tokens signed with a key derived from `LOCKSTEP_SECRET`, argon2id, encryption at rest."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

CUSTOMER = "SESSION_CUSTOMER"
MANAGER = "SESSION_MANAGER"
ADMIN = "SESSION_ADMIN"
DEALER = "SESSION_DEALER"
CRM_MANAGER = "SESSION_CRM_MANAGER"
CRM_ADMIN = "SESSION_CRM_ADMIN"
READ_ONLY = "SESSION_READ_ONLY"
MANAGERS = frozenset({MANAGER, ADMIN, DEALER, CRM_MANAGER, CRM_ADMIN, READ_ONLY})
ALGORITHM = "HS256"
TOKEN_MAX_LENGTH = 4096
COOKIE = "lockstep_session"
COOKIE_PATH = "/copytrade/events"
"""Only the stream takes the cookie: browsers send it by themselves, and no write may be made that way."""

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")
"""Checked when there is no such customer, so that the time of an answer does not tell."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who is asking: the kind of session, and the customer's id or the manager's name."""

    kind: str
    subject: str
    issued_s: int


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf something is done. `customer_id` is None for managers, who may act on everybody's records."""

    kind: str
    name: str
    customer_id: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def derived_key(secret: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose; keys for different purposes do not tell of each other."""
    return hmac.new(secret.encode(), f"lockstep {purpose}".encode(), hashlib.sha256).digest()


def issue_token(secret: str, kind: str, subject: str | int, now_s: int, ttl_s: int) -> str:
    """A session token: claims `sub`, `kind`, `iat`, `exp` (Unix seconds)."""
    claims = {"sub": str(subject), "kind": kind, "iat": now_s, "exp": now_s + ttl_s}
    return jwt.encode(claims, derived_key(secret, "sessions"), algorithm=ALGORITHM)


def check_token(secret: str, token: str, now_s: int, former: Sequence[str] = ()) -> Session | None:
    """The session of a token that we signed, with the secret or a former one, and that has not expired; None for anything else."""
    token = token.strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
    if not token or len(token) > TOKEN_MAX_LENGTH:
        return None
    claims = next((found for one in (secret, *former) if (found := _claims(one, token)) is not None), None)
    if claims is None:
        return None
    kind, subject, issued, expires = claims["kind"], claims["sub"], claims["iat"], claims["exp"]
    if not (isinstance(kind, str) and isinstance(subject, str) and isinstance(issued, int) and isinstance(expires, int)):
        return None
    return Session(kind, subject, issued) if now_s < expires else None


def _claims(secret: str, token: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(
            token,
            derived_key(secret, "sessions"),
            algorithms=[ALGORITHM],
            # The time is the service's own, which may be moved: checked by the caller.
            options={"verify_exp": False, "verify_iat": False, "require": ["sub", "kind", "iat", "exp"]},
        )
    except (jwt.InvalidTokenError, ValueError):
        return None


def customer_of(session: Session | None) -> int | None:
    """The id of the customer whose session it is; None when it is no customer's session."""
    if session is None or session.kind != CUSTOMER or not session.subject.isascii() or not session.subject.isdigit():
        return None
    number = int(session.subject[:20])
    return number if 0 < number < 2**63 else None


def hash_password(password: str) -> str:
    """argon2id with the package's current parameters; slow on purpose, so call it in a thread."""
    return _hasher.hash(password)


def check_password(password_hash: str | None, password: str) -> bool:
    """Whether the password fits; takes as long when there is no hash to compare with."""
    try:
        return _hasher.verify(password_hash or _NOBODY, password) and bool(password_hash)
    except (VerificationError, InvalidHashError):
        return False


class Vault:
    """Encrypts what has to be read again (secrets of API keys and one-time passwords) before it goes to the store.

    What was sealed with a former secret is opened still, and sealed anew with the present one by `renewed`.
    """

    def __init__(self, secret: str, former: Sequence[str] = ()) -> None:
        keys = [Fernet(base64.urlsafe_b64encode(derived_key(one, "vault"))) for one in (secret, *former)]
        self._present, self._all = keys[0], MultiFernet(keys)

    def seal(self, text: str) -> str:
        return self._present.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        return self._all.decrypt(sealed.encode()).decode()

    def renewed(self, sealed: str) -> str:
        """The same, sealed with the present secret; as it is when it is so already. Raises InvalidToken when no secret opens it."""
        try:
            self._present.decrypt(sealed.encode())
        except InvalidToken:
            return self._all.rotate(sealed.encode()).decode()
        return sealed
