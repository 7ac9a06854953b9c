"""Ids that are derived, never drawn: whoever asks twice asks under the same name, and the venue answers twice the same."""

from typing import NamedTuple

COPY_PREFIX = "c"
REWARD_PREFIX = "r"


class CopyId(NamedTuple):
    """What a copy's client order id says: whose copy, of which master order, and which action of it."""

    subscription: int
    master_order: int
    action: str
    step: int


def copy_client_id(subscription: int, master_order: int, action: str, step: int = 0) -> str:
    """The client order id of one action (`open`, `close`, `protect`, ...) of one copy, for example `c-7-1001-close-2`."""
    return f"{COPY_PREFIX}-{subscription}-{master_order}-{action}-{step}"


def parse_copy_client_id(client_id: str) -> CopyId | None:
    """The parts of a copy's client order id; None for any other id."""
    parts = client_id.split("-")
    if len(parts) != 5 or parts[0] != COPY_PREFIX:
        return None
    subscription, master_order, action, step = parts[1:]
    if not (subscription.isdigit() and master_order.isdigit() and step.isdigit()):
        return None
    return CopyId(int(subscription), int(master_order), action, int(step))


def is_copy(client_id: str) -> bool:
    """Whether an order was placed by copying; such an order is never copied on."""
    return client_id.startswith(f"{COPY_PREFIX}-")


def reward_client_id(accrual: int, step: str) -> str:
    """The client id of a settlement's balance operation; `step` is `out` or `in`."""
    return f"{REWARD_PREFIX}-{accrual}-{step}"
