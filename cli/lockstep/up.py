"""`lockstep up`: the whole stack on one machine, from the first start-up to the last process's end."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from lockstep.screen import Screen
from lockstep.stack import Home, Stack, StackError, busy_ports, demo_program, redis_answers, redis_program, service_program
from lockstep.stores import put_back
from lockstep.supervise import Child, Program, write_whole

PORTS_WAIT_S = 3.0
REDIS_WAIT_S = 30.0
SERVICES_STOP_S = 7.0
REDIS_STOP_S = 2.0
TELL_WAITING_EVERY_S = 10.0


@dataclass
class Running:
    """The processes of a stack, and the wish to stop them."""

    home: Home
    stack: Stack
    screen: Screen
    stop: asyncio.Event
    children: dict[str, Child] = field(default_factory=dict)

    def add(self, program: Program) -> Child:
        child = Child(program, self.home.run, self.screen.line)
        self.children[program.name] = child
        child.start()
        return child


async def up(home: Home, stack: Stack, demo: bool) -> None:
    """Runs the stack until SIGINT or SIGTERM. Raises StackError when something is in its way."""
    home.prepare()
    with home.taken():
        put_back(home.path)
        await _wait_for_ports(stack)
        stop = asyncio.Event()
        running = Running(home, stack, Screen(closed=stop.set), stop)
        _stop_on_signals(running)
        began = time.monotonic()
        try:
            await _start(running, demo, began)
            await running.stop.wait()
        finally:
            running.screen.close()
            await _stop_all(running)


async def _wait_for_ports(stack: Stack) -> None:
    """A stack that was killed a moment ago may hold them still."""
    until = time.monotonic() + PORTS_WAIT_S
    while busy := busy_ports(stack):
        if time.monotonic() > until:
            taken = ", ".join(f"{port} ({name})" for name, port in busy.items())
            raise StackError(f"in use already on this machine: port {taken}; give another --port-base, or end what listens there")
        await asyncio.sleep(0.1)


def _stop_on_signals(running: Running) -> None:
    """The first one stops in order; the second, when somebody is impatient, kills."""

    def asked() -> None:
        if running.stop.is_set():
            for child in running.children.values():
                child.kill()
        running.stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked)


async def _start(running: Running, demo: bool, began: float) -> None:
    home, stack = running.home, running.stack
    home.remember(stack)
    running.add(redis_program(home, stack))
    for service in stack.instances:  # they take longer to load than Redis does, and wait for it
        running.add(service_program(home, stack, service))
    if not await _until(running, lambda: asyncio.to_thread(redis_answers, home, stack), REDIS_WAIT_S):
        if running.stop.is_set():
            return
        raise StackError(f"the embedded Redis does not answer within {REDIS_WAIT_S:g} s; its lines above say why")
    write_whole(home.redis_url_file, home.redis_url(stack) + "\n")
    async with httpx.AsyncClient(timeout=2) as client:
        told_at = time.monotonic()
        while waiting := await _not_ready(client, stack):
            if running.stop.is_set():
                return
            if time.monotonic() - told_at > TELL_WAITING_EVERY_S:
                told_at = time.monotonic()
                running.screen.say("waits for " + "; ".join(f"{name}: {why}" for name, why in waiting.items()))
            await asyncio.sleep(0.1)
    running.screen.say(_ready_line(running, time.monotonic() - began))
    if demo:
        running.add(demo_program(home))


async def _until(running: Running, holds: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Whether something came to hold before the time was over or somebody asked to stop."""
    until = time.monotonic() + timeout_s
    while not running.stop.is_set() and time.monotonic() < until:
        if await holds():
            return True
        await asyncio.sleep(0.05)
    return False


async def _not_ready(client: httpx.AsyncClient, stack: Stack) -> dict[str, str]:
    """The services that are not ready, and why."""
    answers = await asyncio.gather(*(why_not_ready(client, stack.url(service)) for service in stack.instances))
    return {service: why for service, why in zip(stack.instances, answers, strict=True) if why}


async def why_not_ready(client: httpx.AsyncClient, url: str) -> str:
    """Empty when the service at the URL is ready."""
    try:
        answer = await client.get(f"{url}/readyz")
    except httpx.HTTPError as fault:
        return "does not answer" if isinstance(fault, httpx.ConnectError) else repr(fault)
    if answer.status_code == httpx.codes.OK:
        return ""
    try:
        return ", ".join(answer.json()["stuck"])
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"


def _ready_line(running: Running, took_s: float) -> str:
    stack = running.stack
    doors = f"console {stack.url('console')}  api {stack.url('api')}  venue {stack.url('gateway')}  manager tcp 127.0.0.1:{stack.tcp_port}"
    return f"ready  {doors}  home {running.home.path}  ({took_s:.1f} s; Ctrl-C stops)"


async def _stop_all(running: Running) -> None:
    """Services first, then Redis: what they still write has somewhere to go."""
    began = time.monotonic()
    redis = running.children.pop("redis", None)
    await asyncio.gather(*(child.stop(SERVICES_STOP_S) for child in running.children.values()))
    if redis is not None:
        running.children["redis"] = redis
        await redis.stop(REDIS_STOP_S)
    running.home.redis_url_file.unlink(missing_ok=True)
    running.screen.say(f"stopped ({time.monotonic() - began:.1f} s)")
