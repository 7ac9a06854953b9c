"""The `lockstep` command: what can be asked of it, and with which options. The work is done elsewhere."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from lockstep.stack import DEFAULT_BASE, DEFAULT_HOME, DEFAULT_SPEED, HIGHEST_BASE, Home, Stack, StackError
from lockstep.up import up as run_up


class _Commands(TyperGroup):
    """A set-up that a person has to mend is one line on standard error and exit code 1, not a traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except StackError as error:
            typer.secho(f"lockstep: {error}", fg="red", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, pretty_exceptions_show_locals=False, help="Lockstep: copy trading for brokers and exchanges."
)
token = typer.Typer(no_args_is_help=True, help="Session tokens, for the Authorization header.")
app.add_typer(token, name="token")

HomeOption = Annotated[Path, typer.Option("--home", help="The stack's folder: stores, Redis's files, secrets, pids.")]


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
    wanted = Stack(port_base, clock_offset, speed if demo else 0, log_level)
    asyncio.run(run_up(home_of(home), wanted, demo))


@token.command("customer")
def token_customer(customer_id: Annotated[int, typer.Argument(metavar="ID", min=1)], home: HomeOption = DEFAULT_HOME) -> None:
    """Print a customer's session token.

    Example: curl -H "Authorization: $(lockstep token customer 7)" http://127.0.0.1:8081/copytrade/my
    """
    from lockstep.sessions import issued  # noqa: PLC0415  (what the services import is slow to load, and only needed here)

    print(issued(home_of(home), "customer", str(customer_id)))


@token.command("manager")
def token_manager(name: Annotated[str, typer.Argument(metavar="NAME")], home: HomeOption = DEFAULT_HOME) -> None:
    """Print a manager's session token.

    Example: lockstep token manager anna
    """
    from lockstep.sessions import issued  # noqa: PLC0415  (what the services import is slow to load, and only needed here)

    print(issued(home_of(home), "manager", name))
