"""The manager API over HTTP and over the line protocol; the client of the latter is written from interop.md alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from api import auth
from api.manager.commands import COMMANDS
from api.manager.reference import reference
from redis.asyncio import Redis
from shared.bus.letters import Board
from shared.bus.reader import Reader, Received, Verdict
from shared.bus.retry import retry_requested, take_asked, tell_letters
from shared.contracts.trades import AccountsChanged, TradeEvent
from shared.store import migrate
from shared.store.engine import create_engine
from shared.store.outbox import DeadLetter, Entry, Report, bury, shown_letters
from shared.store.work import Store

from tests.api.world import ALICE, BOB, BOB_LOGIN, MASTER, MASTER_LOGIN, NOW_MS, PERFORMANCE, World, account

pytestmark = pytest.mark.anyio
MNG = "SESSION_MANAGER"


async def test_every_configuration_command(world: World) -> None:
    async def do(command: str, data: Any) -> Any:
        return await world.good(MNG, "POST", f"/manager/{command}", data)

    master = await do("MngCreateCopyMaster", MASTER)
    assert (master["id"], master["reward_policy"]["fee_percent"]) == (1, 20)
    assert (await do("MngUpdateCopyMaster", {"id": 1, "strategy_name": "Bold"}))["strategy_name"] == "Bold"
    follower = await do("MngCreateCopyFollower", {"login": BOB_LOGIN})
    assert (await do("MngUpdateCopyFollower", {"id": follower["id"], "max_master_count": 2}))["max_master_count"] == 2
    subscription = await do("MngCreateCopySubscription", {"master_login": MASTER_LOGIN, "follower_login": BOB_LOGIN})
    assert (await do("MngUpdateCopySubscription", {"id": subscription["id"], "max_positions": 3}))["max_positions"] == 3
    assert (await do("MngUpdateCopyRewardPolicy", {"id": 1, "reward_type": 3, "fee_percent": 5}))["version"] == 2
    for noun, count in (
        ("Masters", 1),
        ("Followers", 1),
        ("Subscriptions", 1),
        ("RewardPolicies", 1),
        ("TradeLinks", 0),
        ("RewardAccruals", 0),
    ):
        table = await do(f"MngGetCopy{noun}ByFilter", {"limit": 10, "offset": 0})
        assert (table["count"], len(table["rows"])) == (count, count)
        assert all(len(row) == len(table["structure"]) for row in table["rows"])
    assert (await do("MngGetAccountsByFilter", {"where": [["customer_id", "=", BOB]]}))["count"] == 1
    await do("MngDeleteCopyRewardPolicy", {"id": 1})
    assert (await do("MngCreateCopyRewardPolicy", {"master_id": 1, **PERFORMANCE}))["id"] == 2
    for noun in ("Subscription", "Follower", "Master"):
        assert await do(f"MngDeleteCopy{noun}", {"id": 1}) == {"data": "OK"}
    audit = await do("MngGetAuditByFilter", {"orderBy": [["id", "asc"]]})
    columns = {name: index for index, name in enumerate(audit["structure"])}
    first = [(row[columns["actor"]], row[columns["action"]], row[columns["noun"]]) for row in audit["rows"]][:3]
    assert first == [
        ("SESSION_MANAGER:ops", "create", "reward_policy"),
        ("SESSION_MANAGER:ops", "create", "master"),
        ("SESSION_MANAGER:ops", "update", "master"),
    ]
    update = audit["rows"][2]
    assert (json.loads(update[columns["before"]])["strategy_name"], json.loads(update[columns["after"]])["strategy_name"]) == (
        "Conservative FX",
        "Bold",
    )


@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_roles(world: World, name: str) -> None:
    """Nobody sends a command without its role; a role in the data changes nothing."""
    for kind in sorted(auth.MANAGERS):
        answer = await world.call(kind, "POST", f"/manager/{name}", {"__access": {"type": "SESSION_ADMIN"}})
        refused = answer.status_code == 403 and answer.json()["error"] == "PERMISSION_DENIED"
        assert refused == (kind not in COMMANDS[name].roles), answer.text
    for who in (None, ALICE):
        answer = await world.call(who, "POST", f"/manager/{name}", {})
        assert (answer.status_code, answer.json()["error"]) == (401, "INVALID_MANAGER_SESSION")
    assert (auth.READ_ONLY in COMMANDS[name].roles) <= name.startswith("MngGet")


async def test_unknown_command(world: World) -> None:
    answer = await world.call(MNG, "POST", "/manager/MngDropEverything", {})
    assert (answer.status_code, answer.json()["error"]) == (404, "UNKNOWN_COMMAND")


def test_the_reference_is_the_codes() -> None:
    assert Path("docs/manager-api.md").read_text() == reference(), "python -m api.manager.reference docs/manager-api.md"


async def test_halts(world: World) -> None:
    await world.pair()
    await world.good(ALICE, "POST", "/copytrade/halt", {"scope": "master", "login": MASTER_LOGIN, "mode": "reduce_only"})
    event = (await world.config_events())[-1]
    assert (event["type"], event["halt"]["scope"], event["halt"]["key"], event["halt"]["mode"]) == (
        "halt.saved",
        "master",
        "100001",
        "reduce_only",
    )
    assert (await world.good(ALICE, "POST", "/copytrade/resume", {"scope": "master", "login": MASTER_LOGIN}))["active"] == 0
    assert (await world.config_events())[-1]["halt"]["active"] == 0

    async def refused(who: int, verb: str, body: Any, status: int, code: str) -> None:
        answer = await world.call(who, "POST", f"/copytrade/{verb}", body)
        assert (answer.status_code, answer.json()["error"]) == (status, code)

    await refused(BOB, "halt", {"scope": "master", "login": MASTER_LOGIN}, 403, "PERMISSION_DENIED")
    await refused(BOB, "halt", {"scope": "all"}, 403, "PERMISSION_DENIED")
    await refused(BOB, "halt", {"scope": "symbol", "symbol": "GBPUSD"}, 403, "PERMISSION_DENIED")
    await refused(BOB, "halt", {"scope": "master", "login": 5}, 403, "MASTER_NOT_FOUND")
    await refused(BOB, "halt", {"scope": "follower", "login": 5}, 403, "FOLLOWER_NOT_FOUND")
    await refused(BOB, "halt", {"scope": "follower"}, 400, "INVALID_DATA")
    await refused(BOB, "resume", {"scope": "follower", "login": BOB_LOGIN}, 404, "RET_ERR_NOTFOUND")
    await world.good(MNG, "POST", "/manager/MngHalt", {"scope": "follower", "login": BOB_LOGIN, "reason": "under review"})
    await refused(BOB, "resume", {"scope": "follower", "login": BOB_LOGIN}, 403, "PERMISSION_DENIED")
    await world.good(MNG, "POST", "/manager/MngHalt", {"scope": "all"})
    seen = (await world.good(BOB, "GET", "/copytrade/halts"))["rows"]
    assert [(row["scope"], row["key"], row["reason"]) for row in seen] == [("follower", str(BOB_LOGIN), "under review"), ("all", "", "")]
    await world.good(MNG, "POST", "/manager/MngResume", {"scope": "all"})
    assert (await world.good(MNG, "POST", "/manager/MngGetHaltsByFilter", {"where": [["active", "=", 1]]}))["count"] == 1


async def test_a_halt_that_was_changed_meanwhile_is_not_taken_back(world: World) -> None:
    """`If-Match` on halts, too: who has seen the first version does not lift what the second one is for."""
    await world.pair()
    which = {"scope": "follower", "login": BOB_LOGIN}
    seen = await world.good(MNG, "POST", "/manager/MngHalt", which)
    changed = await world.good(MNG, "POST", "/manager/MngHalt", which | {"reason": "fraud"})
    for path, body in (("/manager/MngResume", which), ("/manager/MngHalt", which | {"mode": "reduce_only"})):
        answer = await world.call(MNG, "POST", path, body, headers={"If-Match": str(seen["version"])})
        assert (answer.status_code, answer.json()["error"]) == (412, "PRECONDITION_FAILED")
    lifted = await world.good(MNG, "POST", "/manager/MngResume", which, headers={"If-Match": str(changed["version"])})
    assert (lifted["active"], lifted["version"]) == (0, 3)


async def test_a_customers_halt_outlives_a_managers_over_it(world: World) -> None:
    """The manager takes back what the manager has set: what the customer has stopped stays so, until it is taken back, too."""
    await world.pair()
    which = {"scope": "follower", "login": BOB_LOGIN}
    await world.good(BOB, "POST", "/copytrade/halt", which | {"reason": "on holiday"})
    for reason in ("under review", "under review still"):
        await world.good(MNG, "POST", "/manager/MngHalt", which | {"mode": "reduce_only", "reason": reason})
    assert (await world.call(BOB, "POST", "/copytrade/resume", which)).json()["error"] == "PERMISSION_DENIED"
    await world.good(MNG, "POST", "/manager/MngResume", which)
    told = (await world.config_events())[-1]["halt"]
    assert (told["active"], told["mode"], told["reason"], told["version"]) == (1, "halt", "on holiday", 4)
    assert [row["set_by"] for row in (await world.good(BOB, "GET", "/copytrade/halts"))["rows"]] == ["SESSION_CUSTOMER"]
    assert (await world.good(BOB, "POST", "/copytrade/resume", which))["active"] == 0


async def test_api_keys_tell_their_secret_once(world: World) -> None:
    made = await world.good(
        BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN, "ips": "10.0.0.1, 192.168.0.0/16"}, headers={"Idempotency-Key": "k"}
    )
    assert (len(made["key"]), len(made["secret"]), made["ips"]) == (64, 64, "10.0.0.1/32,192.168.0.0/16")
    listed = (await world.good(BOB, "GET", "/copytrade/api-keys"))["rows"]
    assert [row["key"] for row in listed] == [made["key"]]
    assert "secret" not in listed[0]
    for table in ("api_key", "audit", "idempotency"):
        assert made["secret"] not in str(await world.rows(table))
    assert (await world.call(BOB, "POST", "/copytrade/api-keys", {"login": MASTER_LOGIN})).json()["error"] == "INVALID_ACCOUNT"
    assert (await world.call(BOB, "POST", "/copytrade/api-keys", {"login": BOB_LOGIN, "ips": "x"})).json()["error"] == "INVALID_DATA"
    assert (await world.call(ALICE, "PUT", "/copytrade/api-keys/1", {"enabled": 0})).json()["error"] == "PERMISSION_DENIED"
    assert (await world.good(BOB, "PUT", "/copytrade/api-keys/1", {"enabled": 0}))["enabled"] == 0
    await world.good(BOB, "DELETE", "/copytrade/api-keys/1")
    assert (await world.call(BOB, "DELETE", "/copytrade/api-keys/1")).json()["error"] == "RET_ERR_NOTFOUND"


async def test_dead_letters(world: World) -> None:
    async with world.store.work() as work:
        await bury(work.session, "copy.link", 12, 0, "malformed: rows", '{"type":"link.changed"}', work.now)
        await bury(work.session, "trade.push", 13, 0, "malformed: rows", "{}", work.now)
    table = await world.good(MNG, "POST", "/manager/MngGetDeadLettersByFilter", {"where": [["stream", "=", "copy.link"]]})
    assert (table["count"], table["rows"][0][2:6]) == (1, ["copy.link", 12, 0, "malformed: rows"])
    assert table["rows"][0][table["structure"].index("service")] == "api"
    await world.good(MNG, "POST", "/manager/MngRetryDeadLetter", {"id": 1})
    assert (await world.rows("dead_letter"))[0]["retry_requested_ms"] == world.now
    assert (await world.call(MNG, "POST", "/manager/MngRetryDeadLetter", {"id": 9})).status_code == 404
    await world.good(MNG, "POST", "/manager/MngDiscardDeadLetter", {"id": 2})
    assert [row["id"] for row in await world.rows("dead_letter")] == [1]
    assert (await world.call(MNG, "POST", "/manager/MngDiscardDeadLetter", {"id": 2})).status_code == 404
    assert [(row["action"], row["noun"], row["record_id"]) for row in await world.rows("audit")] == [
        ("retry", "dead_letter", 1),
        ("discard", "dead_letter", 2),
    ]


async def test_dead_letters_of_other_services(world: World, valkey: Any, tmp_path: Path) -> None:
    """The executor tells its letters on the board; what a manager asks, it does when it looks; a flushed Redis is told again."""
    redis = Redis.from_url(valkey.connection_url)
    board, its = Board(), Board()
    world.context.letters = board
    ask = ("POST", "/manager/MngGetDeadLettersByFilter", {"orderBy": [["service", "asc"], ["id", "asc"]]})
    assert (await world.call(MNG, *ask)).status_code == 503, "Redis was not reached yet"
    board.connect(redis)
    its.connect(redis)
    url = f"sqlite:///{tmp_path / 'executor.db'}"
    migrate.upgrade("executor", url)
    executor = Store(create_engine(url), "executor", lambda: world.now, {})
    handled: list[Any] = []

    async def handle(batch: Received[Any], _work: Any) -> None:
        handled.append(batch.events)

    reader = Reader(executor, "trade.push", TradeEvent, handle)
    good = AccountsChanged.of([account(BOB_LOGIN, BOB)]).model_dump_json()
    async with executor.work() as work:
        for number, payload in ((7, good), (8, '{"type":"nonsense"}'), (9, "{}")):
            await bury(work.session, "trade.push", number, 0, "malformed: rows", payload, work.now)
    await tell_letters(executor, its)
    table = await world.good(MNG, *ask)
    at = {name: place for place, name in enumerate(table["structure"])}
    assert [(row[at["service"]], row[at["id"]], row[at["number"]]) for row in table["rows"]] == [("executor", n, n + 6) for n in (1, 2, 3)]
    for command, number in (("Retry", 1), ("Retry", 2), ("Discard", 3)):
        await world.good(MNG, "POST", f"/manager/Mng{command}DeadLetter", {"id": number, "service": "executor"})
    for _ in range(2):  # what is asked twice is done once
        await take_asked(executor, its)
        await retry_requested(executor, [reader])
    assert len(handled) == 1
    await redis.flushall()
    await tell_letters(executor, its)
    rows = (await world.good(MNG, *ask))["rows"]
    assert [(row[at["id"]], row[at["retried"]] > 0) for row in rows] == [(1, True), (2, False)]
    reason = next(row[at["reason"]] for row in rows if row[at["id"]] == 2)
    assert reason.startswith("malformed: ")
    assert "http" not in reason
    for body in ({"id": 1, "service": "executor"}, {"id": 2, "service": "stats"}, {"id": 2}):
        assert (await world.call(MNG, "POST", "/manager/MngRetryDeadLetter", body)).status_code == 404
    assert (await world.call(MNG, "POST", "/manager/MngRetryDeadLetter", {"id": 2, "service": "../x"})).json()["error"] == "INVALID_DATA"
    for _ in range(2):  # an entry that is no batch leaves one letter, although the service was started again in between
        assert await Reader(executor, "trade.push", TradeEvent, handle).take([Entry(1, "garbage")]) is Verdict.GAP
    async with executor.read() as session:
        assert [letter.payload for letter in await shown_letters(session, 10)].count("garbage") == 1
    await redis.aclose()
    await executor.engine.dispose()


async def test_what_could_not_be_done_just_now_is_no_answer_to_keep(world: World) -> None:
    """Redis goes away between the look at the letters and the asking: the same request, with its key, is done once it is back."""

    class Away:
        """A board that does not answer the first time that it is asked for something."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        async def letters(self) -> dict[str, list[DeadLetter]]:
            return {"stats": [DeadLetter(5, "trade.push", 3, -1, "ValueError: no", "{}", 1_000, None, None)]}

        async def ask(self, service: str, letter: int, action: str) -> None:
            self.asked.append(f"{action} {letter} of {service}")
            if len(self.asked) == 1:
                raise ConnectionError("Redis does not answer")

    world.context.letters = board = Away()  # type: ignore[assignment]
    path, body, key = "/manager/MngRetryDeadLetter", {"id": 5, "service": "stats"}, {"Idempotency-Key": "again"}
    found = [(await world.call("SESSION_MANAGER", "POST", path, body, headers=key)).status_code for _ in range(3)]
    assert (found, board.asked) == ([503, 200, 200], ["retry 5 of stats"] * 2)


async def test_topics_say_how_far_each_reader_is_and_that_nobody_knows(world: World) -> None:
    assert (await world.call("SESSION_READ_ONLY", "POST", "/manager/MngGetTopics")).json()["error"] == "UNAVAILABLE", "no bus here"

    async def places() -> dict[str, tuple[int, dict[str, Report]]]:
        return {"trade.push": (120, {"stats": Report(100, NOW_MS), "executor": Report(120, NOW_MS)})}

    world.context.reader_places = places
    answer = await world.good("SESSION_READ_ONLY", "POST", "/manager/MngGetTopics")
    assert answer["structure"] == ["stream", "last", "reader", "place", "lag", "reported_time"]
    assert answer["rows"] == [
        ["trade.push", 120, "executor", 120, 0, NOW_MS // 1000],
        ["trade.push", 120, "stats", 100, 20, NOW_MS // 1000],
    ]

    async def away() -> dict[str, tuple[int, dict[str, Report]]]:
        raise ConnectionError("Redis does not answer")

    world.context.reader_places = away
    assert (await world.call(MNG, "POST", "/manager/MngGetTopics")).status_code == 503
