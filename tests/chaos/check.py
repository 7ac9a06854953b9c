"""Compares a stack with the oracle: what is lost, done twice, charged twice, unbalanced, dead, or otherwise not as it must be."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from tests.chaos import oracle
from tests.chaos.oracle import Copy, Deal, Position
from tests.chaos.stack import SERVICES, ChaosStack
from tests.chaos.workload import Workload, number

ACTIVE, CLOSED, CANCELLED = 0, 1, 3
"""States of a trade link (specification 3)."""
PAID, REVERSED = 2, 4
"""States of an accrual with and without something to pay (specification 3)."""
REWARD = "TR_REASON_COPY_REWARD"


@dataclass
class Found:
    """Differences, counted as the closing line counts them, and each in words."""

    lost: int = 0
    duplicate: int = 0
    double_charge: int = 0
    unbalanced: int = 0
    dead: int = 0
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicate or self.double_charge or self.unbalanced or self.wrong)

    def say(self, text: str) -> None:
        if len(self.wrong) < 20:
            self.wrong.append(text)


def settled(work: Workload, without: frozenset[int] = frozenset()) -> bool:
    """The quick look: every account on the venue holds what it must hold, and has been paid what it must be paid.

    `without`: trades that must not have been copied yet.
    """
    numbers = {order: k for k, order in work.orders.items()}
    for who, login in work.logins.items():
        account = work.venue("GET", f"/accounts/{login}")
        if number(account["balance"]) != work.world.balances[who]:
            return False
        held = [
            (numbers.get(one["api_data"].get("copy_master_order", one["order"])), one["symbol"], one["side"], one["volume"])
            for one in account["positions"]
        ]
        expected = [one for one in work.world.positions(who) if who in oracle.PERCENT or one[0] not in without]
        if sorted(held, key=str) != sorted(expected, key=str):
            return False
    return True


def unsafe(stack: ChaosStack) -> Found:
    """What must never be, not even for an instant: looked at while it burns, in the stores themselves."""
    found = Found()
    for entry, client_id, count in stack.rows(
        "gateway", "SELECT entry, client_id, count(*) FROM deal WHERE client_id <> '' GROUP BY entry, client_id HAVING count(*) > 1"
    ):
        found.duplicate += 1
        found.say(f"{count} deals ({entry}) of {client_id}")
    for client_id, count in stack.rows(
        "gateway", "SELECT client_id, count(*) FROM operation WHERE client_id <> '' GROUP BY client_id HAVING count(*) > 1"
    ):
        found.double_charge += 1
        found.say(f"{count} balance operations of {client_id}")
    for currency, total in stack.rows("rewards", "SELECT currency, sum(amount) FROM balance GROUP BY currency HAVING sum(amount) <> 0"):
        found.unbalanced += 1
        found.say(f"the ledger's {currency} sum to {total}")
    return found


def differences(work: Workload, dead: int = 0) -> Found:
    """Everything that a user can see at the end, and the stores' own books, against the oracle; and the number of dead letters."""
    found = unsafe(work.stack)
    histories = {who: work.venue("GET", f"/accounts/{login}/history") for who, login in work.logins.items()}
    _deals(work, histories, found)
    _charges(work, histories, found)
    _balances(work, histories, found)
    _ledger(work.stack, found)
    _statistics(work, found)
    letters = dead_letters(work.stack)
    found.dead = len(letters)
    if len(letters) != dead:
        found.say(f"{len(letters)} dead letters, not {dead}: {letters[:5]}")
    return found


class Letter(NamedTuple):
    """A dead letter that was not retried; its whole name is `SERVICE:ID`."""

    service: str
    id: int
    number: int
    event_index: int
    reason: str
    payload: str


def dead_letters(stack: ChaosStack) -> list[Letter]:
    """All dead letters that were not retried."""
    asked = "SELECT id, number, event_index, reason, payload FROM dead_letter WHERE retried_ms IS NULL ORDER BY id"
    return [Letter(service, *row) for service in SERVICES for row in stack.rows(service, asked)]


def _deals(work: Workload, histories: dict[str, Any], found: Found) -> None:
    by_order: dict[str, dict[int, list[Deal]]] = {who: defaultdict(list) for who in work.logins}
    for who, history in histories.items():
        for deal in history["deals"]:
            own = Deal(deal["symbol"], deal["side"], deal["entry"], deal["volume"], number(deal["price"]), number(deal["profit"]))
            by_order[who][deal["order"]].append(own)
    for k, (one, position) in work.world.trades.items():
        _compare(f"trade {k} of {one.master}", position.deals, by_order[one.master].pop(work.orders[k], []), found)
    links = {(who, link["master_order"]): link for who in oracle.RULES for link in _links(work, who, found)}
    for (who, k), copy in work.world.copies.items():
        link = links.pop((who, work.orders[k]), None)
        if link is None:
            found.lost += 1
            found.say(f"no link of trade {k} for {who}")
            continue
        _link(f"trade {k} for {who}", link, copy, work.world.trades[k][1], found)
        if copy.position is not None:
            _compare(f"trade {k} for {who}", copy.position.deals, by_order[who].pop(link["follower_order"], []), found)
    unasked: dict[str, list[Any]] = {"link": list(links), **{who: list(orders) for who, orders in by_order.items()}}
    for where, rest in unasked.items():
        found.duplicate += len(rest)
        if rest:
            found.say(f"{where}: nobody asked for {rest[:5]}")


def _links(work: Workload, who: str, found: Found) -> list[dict[str, Any]]:
    links = [link for link in work.records(who, "/copytrade/trade-links") if link["follower_login"] == work.logins[who]]
    for order, count in Counter(link["master_order"] for link in links).items():
        if count > 1:
            found.duplicate += count - 1
            found.say(f"{count} links of {who} with {order}")
    return links


def _link(what: str, link: dict[str, Any], copy: Copy, masters: Position, found: Found) -> None:
    position = copy.position
    if position is None:
        expected: Sequence[Any] = (CANCELLED, copy.reason, 0, 0)
    elif position.left:
        expected = (ACTIVE, "", position.volume, position.left)
    else:
        expected = (CLOSED, "MASTER_CLOSED", position.volume, 0)
    shown = (link["state"], link["reason"], link["volume"], link["volume_now"])
    if shown != expected:
        found.say(f"link of {what} is {shown}, not {expected}")
    if link["master_volume_now"] != masters.left and position is not None:
        found.say(f"link of {what}: master has {link['master_volume_now']}, not {masters.left}")


def _compare(what: str, expected: Sequence[Deal], seen: Sequence[Deal], found: Found) -> None:
    missing, extra = Counter(expected) - Counter(seen), Counter(seen) - Counter(expected)
    found.lost += max(0, len(expected) - len(seen))
    found.duplicate += max(0, len(seen) - len(expected))
    if missing or extra:
        found.say(f"{what}: missing {list(missing)}, not expected {list(extra)}")


def _charges(work: Workload, histories: dict[str, Any], found: Found) -> None:
    """Each closed copy was charged once what is owed, and its master was paid it once."""
    accruals: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for master in oracle.PERCENT:
        for row in work.records(master, "/copytrade/rewards"):
            accruals[row["follower_login"], row["source_order"]].append(row)
    orders = {(link["follower_login"], link["master_order"]): link["follower_order"] for who in oracle.RULES for link in _own(work, who)}
    taken = {who: _rewards(history, "OP_BALANCE_OUT") for who, history in histories.items()}
    paid = {who: _rewards(history, "OP_BALANCE_IN") for who, history in histories.items()}
    for (who, k), copy in work.world.copies.items():
        if copy.fee is None:
            continue
        rows = accruals.pop((work.logins[who], orders.get((work.logins[who], work.orders[k]), 0)), [])
        found.lost += not rows
        found.double_charge += max(0, len(rows) - 1)
        master = work.world.trades[k][0].master
        for row in rows[:1]:
            shown = (number(row["fee_amount"]), row["state"])
            if shown != (copy.fee, PAID if copy.fee else REVERSED):
                found.say(f"accrual of trade {k} for {who} is {shown}, not {copy.fee}")
            wanted = [copy.fee] if copy.fee else []
            for where in (taken[who], paid[oracle.PAYOUT[master]]):
                moved = where.pop(row["id"], [])
                found.double_charge += max(0, len(moved) - len(wanted))
                if moved != wanted:
                    found.say(f"accrual {row['id']} of trade {k} for {who}: moved {moved}, not {wanted}")
    rest: Iterable[Any] = [*accruals, *(key for moved in (*taken.values(), *paid.values()) for key in moved)]
    for one in rest:
        found.double_charge += 1
        found.say(f"nobody owed {one}")


def _own(work: Workload, who: str) -> list[dict[str, Any]]:
    return [link for link in work.records(who, "/copytrade/trade-links") if link["follower_login"] == work.logins[who]]


def _rewards(history: dict[str, Any], operation: str) -> dict[int, list[Decimal]]:
    moved: dict[int, list[Decimal]] = defaultdict(list)
    for done in history["operations"]:
        if done["reason"] == REWARD and done["type"] == operation:
            data = done["api_data"] if isinstance(done["api_data"], dict) else json.loads(done["api_data"])
            moved[data["copy_reward_accrual_id"]].append(number(done["amount"]))
    return moved


def _balances(work: Workload, histories: dict[str, Any], found: Found) -> None:
    for who, login in work.logins.items():
        balance = number(work.venue("GET", f"/accounts/{login}")["balance"])
        history = histories[who]
        fold = sum((number(deal["profit"]) + number(deal["commission"]) + number(deal["swap"]) for deal in history["deals"]), Decimal(0))
        fold += sum(number(done["amount"]) * (1 if done["type"] == "OP_BALANCE_IN" else -1) for done in history["operations"])
        if fold != balance:
            found.unbalanced += 1
            found.say(f"balance of {who} is {balance}, its history adds up to {fold}")
        if balance != work.world.balances[who]:
            found.say(f"balance of {who} is {balance}, not {work.world.balances[who]}")


def _ledger(stack: ChaosStack, found: Found) -> None:
    """The rewards' balances are the fold of their postings."""
    fold: dict[tuple[str, str], int] = defaultdict(int)
    for source, destination, amount, currency in stack.rows("rewards", "SELECT source, destination, amount, currency FROM journal"):
        fold[source, currency] -= amount
        fold[destination, currency] += amount
    kept = {
        (account, currency): amount for account, currency, amount in stack.rows("rewards", "SELECT account, currency, amount FROM balance")
    }
    if {key: amount for key, amount in fold.items() if amount} != {key: amount for key, amount in kept.items() if amount}:
        found.unbalanced += 1
        found.say("the ledger's balances are not the fold of its journal")


def _statistics(work: Workload, found: Found) -> None:
    for master in oracle.PERCENT:
        trades, pnl, wins = work.world.statistics(master)
        asked = {"where": [["login", "=", work.logins[master]]]}
        rows = work.api(master, "POST", "/copytrade/masters/search", json=asked)["rows"]
        stats = rows[0]["stats"] if rows else {}
        if (stats.get("trades"), number(stats.get("pnl") or 0)) != (trades, pnl):
            found.say(f"statistics of {master} are {stats.get('trades')} trades, {stats.get('pnl')}; not {trades}, {pnl}")
        elif trades and abs(number(stats["win_rate"]) - Decimal(100 * wins) / trades) > Decimal("0.01"):
            found.say(f"win rate of {master} is {stats['win_rate']}; not {wins} of {trades}")
