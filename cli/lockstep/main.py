"""The `lockstep` command: what can be asked of it, and with which options. The work is done elsewhere."""

# ruff: noqa: PLC0415  (what a command needs is slow to load: only that command waits for it)

import asyncio
import contextlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from lockstep.stack import DEFAULT_BASE, DEFAULT_HOME, DEFAULT_SPEED, HIGHEST_BASE, SERVICES, Home, Stack, StackError


class _Commands(TyperGroup):
    """A set-up that a person has to mend is one line on standard error and exit code 1, not a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except StackError as error:
            typer.secho(f"lockstep: {error}", fg="red", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Lockstep: copy trading for brokers and exchanges.",
)
token = typer.Typer(no_args_is_help=True, help="Session tokens, for the Authorization header.")
letters = typer.Typer(no_args_is_help=True, help="What a service could not handle: list, show, retry.")
app.add_typer(token, name="token")
app.add_typer(letters, name="dead-letters")

HomeOption = Annotated[Path, typer.Option("--home", help="The stack's folder: stores, Redis's files, secrets, pids.")]

ServiceOption = Annotated[str | None, typer.Option("--service", help=f"Only this one's store: {', '.join(SERVICES)}.")]
UrlOption = Annotated[str | None, typer.Option("--database-url", help="The store's URL when it is not in the home (with --service).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]


def home_of(path: Path) -> Home:
    return Home(path.expanduser().resolve())


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    demo: Annotated[bool, typer.Option(help="Masters and followers that trade by themselves on replayed prices.")] = True,
    port_base: Annotated[int, typer.Option(min=1024, max=HIGHEST_BASE, help="The first of the stack's ten ports.")] = DEFAULT_BASE,
    clock_offset: Annotated[float, typer.Option(help="Seconds that the services' clock is ahead of the machine's.")] = 0,
    speed: Annotated[float, typer.Option(min=1, help="How much faster than it was the demo's recording is replayed.")] = DEFAULT_SPEED,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the whole stack on this machine until Ctrl-C, starting again whatever dies.

    Prints a line that starts with `ready` when every service is. Started again on the same home it goes on where it was.

    Example: lockstep up --home /tmp/try --port-base 9000 --no-demo
    """
    from lockstep.up import up as run_up

    wanted = Stack(port_base, clock_offset, speed if demo else 0, log_level)
    asyncio.run(run_up(home_of(home), wanted, demo))


@app.command("demo")
def demo_command(home: HomeOption = DEFAULT_HOME) -> None:
    """Let masters and followers trade on a stack that runs already, until Ctrl-C (`up` does so by itself, in a process of its own).

    The stack has to have a moving price feed: `lockstep up` without --no-demo. What was made is kept in HOME/demo.json.

    Example: lockstep demo --home /tmp/try
    """
    from lockstep.demo import Demo
    from lockstep.screen import Screen

    where = home_of(home)
    where.known_secret()
    screen = Screen()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Demo(where, screen.figures, screen.say).run())
    screen.close()


@token.command("customer")
def token_customer(customer_id: Annotated[int, typer.Argument(metavar="ID", min=1)], home: HomeOption = DEFAULT_HOME) -> None:
    """Print a customer's session token.

    Example: curl -H "Authorization: $(lockstep token customer 7)" http://127.0.0.1:8081/copytrade/my
    """
    from lockstep.sessions import issued

    print(issued(home_of(home), "customer", str(customer_id)))


class Role(StrEnum):
    """What a back-office session may do."""

    MANAGER = "manager"
    ADMIN = "admin"
    DEALER = "dealer"
    READ_ONLY = "read-only"


@token.command("manager")
def token_manager(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    home: HomeOption = DEFAULT_HOME,
    role: Annotated[Role, typer.Option(help="What the session may do.")] = Role.MANAGER,
) -> None:
    """Print a manager's session token.

    Example: lockstep token manager anna
    """
    from lockstep.sessions import issued

    print(issued(home_of(home), role.value, name))


@letters.command("list")
def letters_list(
    home: HomeOption = DEFAULT_HOME,
    service: ServiceOption = None,
    database_url: UrlOption = None,
    retried: Annotated[bool, typer.Option("--retried", help="Those, too, that were retried already.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of each service.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List what services put aside because they could not handle it, oldest first.

    Example: lockstep dead-letters list --service executor
    """
    from lockstep.stores import dead_letters, stores

    found = asyncio.run(dead_letters(stores(home_of(home), service, database_url), retried=retried, limit=limit))
    if as_json:
        print(json.dumps([letter.raw() for letter in found], indent=2))
    elif not found:
        print("no dead letters")
    for letter in found if not as_json else ():
        one = letter.letter
        print(f"{letter.name}  {one.stream} {one.number}  {stamp(one.created_ms)}  {letter.state}  {one.reason}")


@letters.command("show")
def letters_show(
    name: Annotated[str, typer.Argument(metavar="SERVICE:ID")],
    home: HomeOption = DEFAULT_HOME,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter whole: what it was, and why it was not handled.

    Example: lockstep dead-letters show executor:1
    """
    from lockstep.stores import dead_letter, stores

    service = name.partition(":")[0]
    _, letter = asyncio.run(dead_letter(stores(home_of(home), service, database_url), name))
    if as_json:
        print(json.dumps(letter.raw(), indent=2))
        return
    one = letter.letter
    what = "the whole entry" if one.event_index < 0 else f"event {one.event_index}"
    print(f"{letter.name}: {what} of {one.stream} {one.number}, put aside {stamp(one.created_ms)}, {letter.state}")
    print(f"{one.reason}\n{one.payload}")


@letters.command("retry")
def letters_retry(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE:ID...")],
    home: HomeOption = DEFAULT_HOME,
    database_url: UrlOption = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for what comes of it.")] = 10,
) -> None:
    """Have dead letters handled again, by their own service, after what was wrong is mended.

    A service that is down does it when it is up again. Exit code 1 when one failed again.

    Example: lockstep dead-letters retry executor:1 executor:2
    """
    from lockstep.stores import retry, stores

    failed = False
    for name in names:
        service = name.partition(":")[0]
        letter = asyncio.run(retry(stores(home_of(home), service, database_url), name, wait))
        if letter.state == "dead":
            failed = True
            print(f"{name} failed again: {letter.letter.reason}")
        else:
            print(f"{name} was handled" if letter.state == "retried" else f"{name} is asked for; {service} handles it when it runs")
    if failed:
        raise typer.Exit(1)


@app.command("migrate")
def migrate_stores(
    home: HomeOption = DEFAULT_HOME,
    service: ServiceOption = None,
    database_url: UrlOption = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 when a store is not up to date.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the services' stores up to the version that the code wants (each service does so, too, when it starts).

    Example: lockstep migrate --check
    """
    from lockstep.stores import stores, upgraded

    chosen = stores(home_of(home), service, database_url)
    if check:
        versions = [(store, *store.versions()) for store in chosen]
        behind = any(has != wants for _, has, wants in versions)
    else:
        home_of(home).prepare()
        versions, behind = list(upgraded(chosen)), False
    if as_json:
        first, second = ("has", "wants") if check else ("had", "has")
        print(json.dumps([{"service": store.service, first: before, second: after} for store, before, after in versions], indent=2))
    for store, before, after in versions if not as_json else ():
        print(f"{store.service}: {before or 'no store'}" + (f" -> {after}" if before != after else ", up to date"))
    if behind:
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command(
    home: HomeOption = DEFAULT_HOME,
    port_base: Annotated[int | None, typer.Option(min=1024, max=HIGHEST_BASE, help="Look whether this one could be used.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a set-up and how to mend it. Exit code 1 when something keeps it from working.

    Example: lockstep doctor --home /tmp/try
    """
    from lockstep.doctor import Level, findings

    found = asyncio.run(findings(home_of(home), None if port_base is None else Stack(port_base)))
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    for finding in found if not as_json else ():
        colour = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}[finding.level]
        typer.echo(typer.style(f"{finding.level:<8}", fg=colour) + f"{finding.about}: {finding.text}")
        if finding.mend:
            print(f"{'':<8}  to mend: {finding.mend}")
    if any(finding.level is Level.PROBLEM for finding in found):
        raise typer.Exit(1)


def stamp(ms: int) -> str:
    """A time (Unix milliseconds) as a person reads it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
