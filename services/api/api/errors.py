"""Every error code that a client can meet, with its HTTP status, and the one exception that carries it.

A rule answers a `Refusal` (`decide.py`); whoever asked turns it into `Refused`, which the doors answer as `{"error", "message"}`.
"""

from api.decide import Refusal

STATUS = {
    "INVALID_DATA": 400,
    "ACCOUNT_NOT_FOUND": 400,
    "MASTER_ACCOUNT_MUST_BE_REAL": 400,
    "REWARD_POLICY_REQUIRED": 400,
    "INVALID_REWARD_POLICY": 400,
    "INVALID_PAYOUT_ACCOUNT": 400,
    "INVALID_CUSTOMER_SESSION": 401,
    "INVALID_MANAGER_SESSION": 401,
    "INVALID_ACCOUNT": 403,
    "PERMISSION_DENIED": 403,
    "MASTER_NOT_FOUND": 403,
    "MASTER_NOT_AVAILABLE": 403,
    "FOLLOWER_NOT_FOUND": 403,
    "FOLLOWER_MODE_NOT_ALLOWED": 403,
    "CUSTOMER_NOT_FOUND_OR_INCORRECT": 403,
    "CUSTOMER_DISABLED": 403,
    "OTP_REQUIRED": 403,
    "INVALID_OTP_CODE": 403,
    "OTP_NOT_CONFIGURED": 403,
    "RET_ERR_NOTFOUND": 404,
    "NOT_FOUND": 404,
    "UNKNOWN_COMMAND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "MASTER_ALREADY_EXISTS": 409,
    "FOLLOWER_ALREADY_EXISTS": 409,
    "SUBSCRIPTION_ALREADY_EXISTS": 409,
    "POLICY_ALREADY_EXISTS": 409,
    "CUSTOMER_ALREADY_EXISTS": 409,
    "COPY_CYCLE": 409,
    "MAX_MASTER_COUNT": 409,
    "ALLOCATION_EXCEEDED": 409,
    "ACTIVE_LINKS": 409,
    "OTP_ALREADY_CONFIGURED": 409,
    "CONFLICT": 409,
    "PRECONDITION_FAILED": 412,
    "BODY_TOO_LARGE": 413,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "TOO_MANY_REQUESTS": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


class Refused(Exception):  # noqa: N818  (it carries a refusal; the word is the domain's)
    """A request that is refused, with a code of `STATUS`. Nothing that it began is kept."""

    def __init__(self, code: str, message: str = "", retry_after_s: int = 0) -> None:
        assert code in STATUS, f"{code} has no status"
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def body(self) -> dict[str, str]:
        return {"error": self.code, "message": self.message}


class AccountUnseen(Refused):
    """An account that this service has not heard of: the venue's event may be on its way, so the doors wait a moment and try again."""

    def __init__(self, code: str, login: int) -> None:
        super().__init__(code, f"account {login} was not found")
        self.login = login


def refuse(refusal: Refusal | None) -> None:
    """Raises when a rule refused."""
    if refusal is not None:
        raise Refused(refusal.code, refusal.message)
