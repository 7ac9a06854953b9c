"""Ports for the stacks that tests start."""

import contextlib
import random
import socket


def free_base() -> int:
    """The first of ten ports that nobody listens on."""
    for _ in range(200):
        base = random.randrange(20_000, 32_000, 10)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + 10):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no ten free ports")
