"""Session tokens made beside the stack, with its own secret and clock."""

import os
import time

from api.auth import ADMIN, CUSTOMER, DEALER, MANAGER, READ_ONLY, issue_token

from lockstep.stack import Home

KINDS = {"customer": CUSTOMER, "manager": MANAGER, "admin": ADMIN, "dealer": DEALER, "read-only": READ_ONLY}
TTL_S = 30 * 86_400


def issued(home: Home, kind: str, subject: str) -> str:
    """A token that the stack on this home takes for thirty days, by its clock.

    Where no stack was started on it: one for the stack whose `LOCKSTEP_SECRET` is set here (containers, say). Raises StackError without.
    """
    now_s = int(time.time() + (home.stack().clock_offset if (home.path / "secret").exists() else 0))
    return issue_token(secret_of(home), KINDS[kind], subject, now_s, TTL_S)


def secret_of(home: Home) -> str:
    """The secret of the stack on this home; where none was started on it, the one in `LOCKSTEP_SECRET`. Raises StackError without."""
    elsewhere = os.environ.get("LOCKSTEP_SECRET", "")
    return elsewhere if elsewhere and not (home.path / "secret").exists() else home.known_secret()
