"""The `lockstep` command: what can be asked of it, and with which options. The work is done elsewhere."""

# ruff: noqa: PLC0415  (what a command needs is slow to load: only that command waits for it)

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from lockstep import access, letters
from lockstep.options import HomeOption, JsonOption, ServiceOption, ShardsOption, UrlOption, busy, home_of
from lockstep.sim import sim_command
from lockstep.stack import DEFAULT_BASE, DEFAULT_HOME, DEFAULT_SPEED, HIGHEST_BASE, MOST_SHARDS, Stack, StackError


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
app.add_typer(access.token, name="token")
app.add_typer(access.keys, name="api-key")
app.add_typer(letters.commands, name="dead-letters")
app.command("sim")(sim_command)


@app.command()
def up(
    home: HomeOption = DEFAULT_HOME,
    demo: Annotated[bool, typer.Option(help="Masters and followers that trade by themselves on replayed prices.")] = True,
    port_base: Annotated[
        int,
        typer.Option(
            min=1024, max=HIGHEST_BASE, help="The first of the stack's ten ports; further shards have theirs from 12 and 32 above it."
        ),
    ] = DEFAULT_BASE,
    clock_offset: Annotated[float, typer.Option(help="Seconds that the services' clock is ahead of the machine's.")] = 0,
    speed: Annotated[float, typer.Option(min=1, help="How much faster than it was the demo's recording is replayed.")] = DEFAULT_SPEED,
    log_level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="What is logged.")] = "info",
    executor_shards: ShardsOption = None,
    rewards_shards: ShardsOption = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C, starting again whatever dies.

    Prints a line that starts with `ready` when every service is. Started again on the same home it goes on where it was.

    Example: lockstep up --home /tmp/try --port-base 9000 --no-demo
    """
    from lockstep.stores import sharded
    from lockstep.up import up as run_up

    where = home_of(home)
    shards = sharded(where, executor_shards, rewards_shards)
    asyncio.run(run_up(where, Stack(port_base, clock_offset, speed if demo else 0, log_level, demo, *shards), demo))


@app.command("reshard")
def reshard_command(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="executor or rewards.")],
    shards: Annotated[int | None, typer.Option(min=1, max=MOST_SHARDS, help="How many shards the home's service shall have.")] = None,
    source: Annotated[list[str] | None, typer.Option("--from", metavar="URL", help="A store of today, the first shard's first.")] = None,
    target: Annotated[list[str] | None, typer.Option("--to", metavar="URL", help="A new, empty store, the first shard's first.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Move the followers of a service that can be split into another number of shards, with the whole stack stopped.

    New stores are written and take the place of the old ones when they are whole; in a home, the old ones are kept as *.before-reshard.
    All shards have to have read equally far: stop the gateway and the api first, then the shards when their lag is 0. Stores elsewhere are
    named by URL; `--to` may name more than there are shards today, or, of the executor, fewer.

    Example: lockstep reshard executor --shards 2 --home /tmp/try
    """
    from lockstep.reshard import moved

    done = moved(service, home_of(home), shards, source or [], target or [])
    if as_json:
        print(json.dumps(asdict(done), indent=2))
    else:
        print(f"{service}: {done.before} -> {done.after} shards; followers of each: {', '.join(map(str, done.followers))}")


@app.command("demo")
def demo_command(
    home: HomeOption = DEFAULT_HOME,
    api_url: Annotated[str, typer.Option(envvar="LOCKSTEP_API_URL", help="The api of a stack elsewhere.")] = "",
    venue_url: Annotated[str, typer.Option(envvar="LOCKSTEP_VENUE_URL", help="Its paper venue.")] = "",
) -> None:
    """Let masters and followers trade on a stack that runs already, until Ctrl-C (`up` does so by itself, in a process of its own).

    The stack has to have a moving price feed: `lockstep up` without --no-demo. What was made is kept in HOME/demo.json. On a stack
    elsewhere (containers, say) give both URLs, and its LOCKSTEP_SECRET in the environment.

    Example: lockstep demo --home /tmp/try
    """
    from lockstep.demo import Demo
    from lockstep.screen import Screen
    from lockstep.sessions import issued

    where = home_of(home)
    issued(where, "manager", "demo")  # says what is missing before anything is made
    where.path.mkdir(parents=True, exist_ok=True)
    screen = Screen()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Demo(where, screen.figures, screen.say, api_url, venue_url).run())
    screen.close()


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
        if not database_url:
            home_of(home).prepare()
        versions, behind = list(upgraded(chosen)), False
    if as_json:
        first, second = ("has", "wants") if check else ("had", "has")
        print(json.dumps([{"service": store.name, first: before, second: after} for store, before, after in versions], indent=2))
    for store, before, after in versions if not as_json else ():
        print(f"{store.name}: {before or 'no store'}" + (f" -> {after}" if before != after else ", up to date"))
    if behind:
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command(
    home: HomeOption = DEFAULT_HOME,
    port_base: Annotated[int | None, typer.Option(min=1024, max=HIGHEST_BASE, help="Look whether this one could be used.")] = None,
    service: ServiceOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a set-up and how to mend it. Exit code 1 when something keeps it from working.

    With --service and --database-url: one store elsewhere, on Postgres or SQLite.

    Example: lockstep doctor --service executor --database-url postgresql://lockstep_executor:PASSWORD@db/lockstep_executor
    """
    from lockstep.doctor import findings, store_findings
    from lockstep.finding import Level
    from lockstep.stores import stores

    if database_url:
        found = asyncio.run(store_findings(stores(home_of(home), service, database_url)[0]))
    else:
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


@app.command("resync")
def resync_command(
    logins: Annotated[list[int] | None, typer.Argument(metavar="LOGIN...", help="Accounts of masters or followers.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every account that there is.")] = False,
    home: HomeOption = DEFAULT_HOME,
    executor_url: Annotated[list[str] | None, typer.Option(help="The executor of a stack elsewhere; one for each shard.")] = None,
    api_url: Annotated[str, typer.Option(envvar="LOCKSTEP_API_URL", help="Its api, which knows the accounts.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Have the running stack compare what accounts hold on the venue with their trade links, and repair what differs.

    For a stack elsewhere (containers, say) give the URLs, and its LOCKSTEP_SECRET in the environment.

    Example: lockstep resync 100004 100005
    """
    from lockstep.operate import accounts, resync

    if bool(logins) == everything:
        raise typer.BadParameter("give either LOGIN... or --all")
    with busy("asks"):
        wanted = list(logins or []) or accounts(home_of(home), api_url)
        resync(home_of(home), wanted, executor_url or ())
    told = f"asked for {len(wanted)} accounts; what is found differing is repaired, and told in their trade links"
    print(json.dumps({"accounts": len(wanted)}) if as_json else told)


@app.command("replay")
def replay_command(
    since: Annotated[str, typer.Option("--from", help="ISO time, included; the beginning when left out.")] = "",
    until: Annotated[str, typer.Option("--to", help="ISO time, not included; now when left out.")] = "",
    home: HomeOption = DEFAULT_HOME,
    database_url: Annotated[str | None, typer.Option("--database-url", help="The executor's store when it is not in the home.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the recorded copy decisions of a time again, by today's rules. Exit code 1 when any comes out otherwise.

    Example: lockstep replay --from 2026-01-01 --to 2026-02-01
    """
    from lockstep.operate import replay
    from lockstep.stores import stores

    with busy("makes decisions again"):
        done = replay(stores(home_of(home), "executor", database_url), since, until, home_of(home).stack().clock_offset)
    if as_json:
        print(json.dumps({"decisions": done.decisions, "differences": [each._asdict() for each in done.differences]}, indent=2))
    for one in done.differences if not as_json else ():
        print(f"link {one.link} of order {one.master_order}: {one.recorded} is now {one.now}")
    if not as_json:
        print(f"{done.decisions} decisions made again, {len(done.differences)} come out otherwise")
    if done.differences:
        raise typer.Exit(1)


@app.command("explain")
def explain_command(
    link: Annotated[int, typer.Argument(metavar="LINK", min=1, help="A trade link's id.")],
    home: HomeOption = DEFAULT_HOME,
    database_url: Annotated[str | None, typer.Option("--database-url", help="The api's store when it is not in the home.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say in words what was decided for one follower of a trade, and why: the trade, the equities, each step of the volume, the reason.

    Example: lockstep explain 17
    """
    from lockstep.explain import explained
    from lockstep.stores import stores

    [store] = stores(home_of(home), "api", database_url)
    found = asyncio.run(explained(store, link))
    print(json.dumps(found, indent=2) if as_json else "\n".join(found["text"]))


@app.command("verify")
def verify_command(
    home: HomeOption = DEFAULT_HOME,
    rewards_url: Annotated[
        list[str] | None, typer.Option(help="The rewards' store, where it is not in the home; one for each shard.")
    ] = None,
    gateway_url: Annotated[str | None, typer.Option(help="The venue's store, then.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute what the rewards service claims (journal, balances, accruals) and compare it with the venue's own record of operations.

    Names the first difference, with exit code 1. The stack may run meanwhile.

    Example: lockstep verify --home /tmp/try
    """
    from lockstep.stores import ServiceStore, stores
    from lockstep.verify import verified

    if bool(rewards_url) != bool(gateway_url):
        raise StackError("give --rewards-url and --gateway-url, or neither")
    if rewards_url and gateway_url:
        rewards = [ServiceStore("rewards", url, number) for number, url in enumerate(rewards_url, 1)]
        gateway = [ServiceStore("gateway", gateway_url)]
    else:
        there = [store for store in stores(home_of(home)) if store.exists()]
        rewards, gateway = ([store for store in there if store.service == service] for service in ("rewards", "gateway"))
    if not rewards or not gateway:
        raise StackError(f"there are no stores in {home_of(home).path}: start the stack once, or give --home")
    with busy("recomputes the journal and compares it with the venue"):
        found = asyncio.run(verified(rewards, gateway[0]))
    if as_json:
        print(json.dumps(found._asdict(), indent=2))
    else:
        print(found.difference or f"everything agrees; {found.operations} balance operations are on the venue as they are claimed")
    if found.difference:
        raise typer.Exit(1)


@app.command("bench")
def bench_command(
    followers: Annotated[int, typer.Option(min=1, max=2000, help="Accounts that copy the master.")] = 20,
    trades: Annotated[int, typer.Option(min=1, max=1000, help="Trades one after the other, and again as many at once.")] = 30,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast a running stack copies, through its public doors. It trades on accounts of its own, which stay on the paper venue.

    Example: lockstep bench --home /tmp/try --followers 100 --trades 50
    """
    from lockstep.bench import Bench
    from lockstep.options import progress

    with progress() as told:
        done = asyncio.run(Bench(home_of(home), followers, trades, told).run())
    if as_json:
        print(json.dumps(asdict(done), indent=2))
        return
    parts = ", ".join(f"{part} {ms:g} ms" for part, ms in done.parts_ms.items())
    print(f"{done.followers} followers, {done.trades} trades one after the other, and as many at once")
    print(f"from the master's order to a copy: median {done.latency_ms_median:g} ms, 99 % {done.latency_ms_p99:g} ms (services: {parts})")
    print(f"a burst: {done.copies_per_s:g} copies a second")


FileOption = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, readable=True)]


@app.command("import")
def import_command(
    login: Annotated[int, typer.Option(min=1, help="The account, which the venue has told of.")],
    trades: FileOption = None,
    equity: FileOption = None,
    home: HomeOption = DEFAULT_HOME,
    database_url: Annotated[str | None, typer.Option("--database-url", help="The statistics' store when it is not in the home.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Load the past of an account that traded elsewhere into the statistics: whole, or, with a bad row, not at all (exit code 1).

    trades.csv: order,symbol,side,volume,open_time,open_price,close_time,close_price,profit,commission,swap; equity.csv: date,equity,flow.
    Loading the same files again changes nothing.

    Example: lockstep import --login 100001 --trades trades.csv --equity equity.csv
    """
    from lockstep.operate import import_past
    from lockstep.stores import stores

    [store] = stores(home_of(home), "stats", database_url)
    report = import_past(store, login, trades, equity, home_of(home).stack().clock_offset)
    if as_json:
        print(json.dumps(asdict(report) | {"errors": [row._asdict() for row in report.errors]}, indent=2))
    elif report.errors:
        print("\n".join(str(row) for row in report.errors))
        print(f"nothing was loaded: {len(report.errors)} rows are not as they should be")
    else:
        known = f"; {report.trades_known} trades were known from the venue itself" if report.trades_known else ""
        print(f"{report.trades} trades and {report.days} days loaded{known}")
    if report.errors:
        raise typer.Exit(1)
