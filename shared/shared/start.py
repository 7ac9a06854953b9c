"""How a service's process starts."""

import gc
from contextlib import suppress
from importlib import import_module


def start(wiring: str) -> None:
    """Imports a service's wiring and runs its `main`, until it ends or Ctrl-C.

    While it imports nothing looks for cycles: what is imported are hundreds of thousands of objects that stay, and looking through them
    again and again takes a fifth of the time until the service is there. While it runs they are left out of every look.
    """
    with suppress(KeyboardInterrupt):
        gc.disable()
        main = import_module(wiring).main
        gc.freeze()
        gc.enable()
        main()
