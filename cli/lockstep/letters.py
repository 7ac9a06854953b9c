"""`lockstep dead-letters`: what services could not handle, having it handled again, and throwing it away."""

# ruff: noqa: PLC0415  (what a command needs is slow to load: only that command waits for it)

import asyncio
import json
from typing import Annotated

import typer

from lockstep.options import HomeOption, JsonOption, ServiceOption, UrlOption, home_of, stamp
from lockstep.stack import DEFAULT_HOME

commands = typer.Typer(no_args_is_help=True, help="What a service could not handle: list, show, retry, discard.")


@commands.command("list")
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

    chosen = stores(home_of(home), service, database_url)
    if not any(store.exists() for store in chosen):
        home_of(home).known_secret()  # no stores yet, or no home at all: then "no dead letters" would say too much
    found = asyncio.run(dead_letters(chosen, retried=retried, limit=limit))
    if as_json:
        print(json.dumps([letter.raw() for letter in found], indent=2))
    elif not found:
        print("no dead letters")
    for letter in found if not as_json else ():
        one = letter.letter
        print(f"{letter.name}  {one.stream} {one.number}  {stamp(one.created_ms)}  {letter.state}  {one.reason.partition(chr(10))[0]}")


@commands.command("show")
def letters_show(
    name: Annotated[str, typer.Argument(metavar="SERVICE:ID")],
    home: HomeOption = DEFAULT_HOME,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter whole: what it was, and why it was not handled.

    Example: lockstep dead-letters show executor:1
    """
    from lockstep.stores import dead_letter, stores_of_letter

    _, letter = asyncio.run(dead_letter(stores_of_letter(home_of(home), name, database_url), name))
    if as_json:
        print(json.dumps(letter.raw(), indent=2))
        return
    one = letter.letter
    what = "the whole entry" if one.event_index < 0 else f"event {one.event_index}"
    print(f"{letter.name}: {what} of {one.stream} {one.number}, put aside {stamp(one.created_ms)}, {letter.state}")
    print(f"{one.reason}\n{one.payload}")


@commands.command("retry")
def letters_retry(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE:ID...")],
    home: HomeOption = DEFAULT_HOME,
    database_url: UrlOption = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for what comes of it.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Have dead letters handled again, by their own service, after what was wrong is mended.

    A service that is down does it when it is up again. Exit code 1 when one failed again.

    Example: lockstep dead-letters retry executor:1 executor:2
    """
    from lockstep.stores import retry, stores_of_letter

    found = []
    for name in names:
        letter = asyncio.run(retry(stores_of_letter(home_of(home), name, database_url), name, wait))
        found.append(letter)
        if as_json:
            continue
        if letter.state == "dead":
            print(f"{name} failed again: {letter.letter.reason}")
        else:
            print(
                f"{name} was handled"
                if letter.state == "retried"
                else f"{name} is asked for; {name.partition(':')[0]} handles it when it runs"
            )
    if as_json:
        print(json.dumps([letter.raw() for letter in found], indent=2))
    if any(letter.state == "dead" for letter in found):
        raise typer.Exit(1)


@commands.command("discard")
def letters_discard(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE:ID...")],
    home: HomeOption = DEFAULT_HOME,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Throw dead letters away, unhandled: what they hold is gone. They are shown once more as they go.

    Example: lockstep dead-letters discard executor:1
    """
    from lockstep.stores import discard, stores_of_letter

    gone = []
    try:
        for name in names:
            letter = asyncio.run(discard(stores_of_letter(home_of(home), name, database_url), name))
            gone.append(letter.raw())
            if not as_json:
                one = letter.letter
                print(f"{name} was thrown away: {one.stream} {one.number}, {one.reason}\n{one.payload}")
    finally:  # should a later name be none, those before it are gone all the same
        if as_json:
            print(json.dumps(gone, indent=2))
