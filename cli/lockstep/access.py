"""`lockstep token` and `lockstep api-key`: what a program needs to be let in."""

# ruff: noqa: PLC0415  (what a command needs is slow to load: only that command waits for it)

import json
from enum import StrEnum
from typing import Annotated

import typer

from lockstep.options import HomeOption, JsonOption, home_of
from lockstep.stack import DEFAULT_HOME

token = typer.Typer(no_args_is_help=True, help="Session tokens, for the Authorization header.")
keys = typer.Typer(no_args_is_help=True, help="Keys of the signed OpenAPI.")


@token.command("customer")
def token_customer(
    customer_id: Annotated[int, typer.Argument(metavar="ID", min=1)], home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Print a customer's session token.

    Example: curl -H "Authorization: $(lockstep token customer 7)" http://127.0.0.1:8081/copytrade/my
    """
    from lockstep.sessions import issued

    made = issued(home_of(home), "customer", str(customer_id))
    print(json.dumps({"token": made}) if as_json else made)


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
    as_json: JsonOption = False,
) -> None:
    """Print a manager's session token.

    Example: lockstep token manager anna
    """
    from lockstep.sessions import issued

    made = issued(home_of(home), role.value, name)
    print(json.dumps({"token": made}) if as_json else made)


@keys.command("create")
def keys_create(
    login: Annotated[int, typer.Argument(metavar="LOGIN", min=1)],
    read_only: Annotated[bool, typer.Option("--read-only", help="A key that can look, but change nothing.")] = False,
    home: HomeOption = DEFAULT_HOME,
    api_url: Annotated[
        str, typer.Option(envvar="LOCKSTEP_API_URL", help="The api of a stack elsewhere, with its LOCKSTEP_SECRET set.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make an API key for an account of the running stack. The secret is printed this once and cannot be asked for again.

    Example: lockstep api-key create 100004 --read-only
    """
    from lockstep.operate import create_api_key

    key, secret = create_api_key(home_of(home), login, read_only, api_url)
    print(json.dumps({"key": key, "secret": secret}) if as_json else f"key {key}\nsecret {secret}")
