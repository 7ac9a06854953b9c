"""Session tokens made beside the stack, with its own secret and clock."""

import time

from api.auth import ADMIN, CUSTOMER, DEALER, MANAGER, READ_ONLY, issue_token

from lockstep.stack import Home

KINDS = {"customer": CUSTOMER, "manager": MANAGER, "admin": ADMIN, "dealer": DEALER, "read-only": READ_ONLY}
TTL_S = 30 * 86_400


def issued(home: Home, kind: str, subject: str) -> str:
    """A token that the stack on this home takes for thirty days, by its clock. Raises StackError when there is no such home."""
    now_s = int(time.time() + home.stack().clock_offset)
    return issue_token(home.known_secret(), KINDS[kind], subject, now_s, TTL_S)
