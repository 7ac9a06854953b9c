"""Looks into the simulated services' databases: what must never be, after every step; and everything against the oracle at the end."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from shared.store.outbox import Entry

from tests.chaos import oracle
from tests.chaos.oracle import Deal
from tests.chaos.oracle import World as Expected
from tests.sim.workload import Workload
from tests.sim.world import SERVICES, WRITER, WRITES, World

ACTIVE, CLOSED, CANCELLED = 0, 1, 3
"""States of a trade link (specification 3)."""
PAID, REVERSED = 2, 4
"""States of an accrual with and without something to pay (specification 3)."""
UNIT = Decimal(10) ** 8
SETTLED = ("done", "nothing", "dead", "parked")
ONCE = (
    ("SELECT entry || ' ' || client_id, count(*) FROM deal WHERE client_id <> '' GROUP BY 1 HAVING count(*) > 1", "deals"),
    ("SELECT client_id, count(*) FROM operation WHERE client_id <> '' GROUP BY 1 HAVING count(*) > 1", "balance operations"),
    (
        """SELECT 'r-' || substr(client_id, 3, length(client_id) - 5) || '-in without an out', 1 FROM operation i
           WHERE client_id LIKE 'r-%-in' AND NOT EXISTS
           (SELECT 1 FROM operation o WHERE o.client_id = substr(i.client_id, 1, length(i.client_id) - 2) || 'out')""",
        "payments",
    ),
)
UNBALANCED = "SELECT currency, sum(amount) FROM balance GROUP BY 1 HAVING sum(amount) <> 0"


class UnsafeError(AssertionError):
    """Something is so that must never be, not even for an instant."""


class Safety:
    """Looked at after every step, where something was committed since the last look."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.looks = 0
        self._seen = dict.fromkeys(SERVICES, -1)
        self._places: dict[tuple[str, str], int] = {}
        self._looked: set[tuple[str, str]] = set()
        self._checked: dict[str, int] = {}
        self._payloads: dict[tuple[str, int], str] = {}
        self._windows: dict[str, list[Entry]] = {}
        """The streams as they were when they were looked at last."""

    def look(self) -> None:
        """Raises UnsafeError."""
        changed = {service for service, disk in self.world.disks.items() if disk.commits != self._seen[service]}
        for service in sorted(changed):
            self._seen[service] = self.world.disks[service].commits
            self.looks += 1
            self._places_move_on(service)
            self._log_has_no_gap(service)
        self._streams_are_windows()
        if "gateway" in changed:
            for statement, what in ONCE:
                for name, count in self.world.disks["gateway"].rows(statement):
                    raise UnsafeError(f"{count} {what} of {name}")
        if "rewards" in changed:
            for currency, total in self.world.disks["rewards"].rows(UNBALANCED):
                raise UnsafeError(f"the ledger's {currency} sum to {total}")

    def written(self, topic: str) -> list[str]:
        """All that was ever committed to a topic's log, oldest first."""
        return [payload for (one, _), payload in sorted(self._payloads.items()) if one == topic]

    def tells(self, topic: str, words: str) -> int:
        """The number of the first entry of a topic that holds these words; 0: none."""
        return min((number for (one, number), payload in self._payloads.items() if one == topic and words in payload), default=0)

    def _places_move_on(self, service: str) -> None:
        moved = []
        for stream, number in self.world.disks[service].rows("SELECT stream, number FROM log_place"):
            before = self._places.get((service, stream), 0)
            if number < before:
                raise UnsafeError(f"{service} went back in {stream}: from {before} to {number}")
            self._places[service, stream] = number
            if number > before and (service, stream) in self._looked:
                moved.append((stream, number))
            self._looked.add((service, stream))
        for stream, number in moved:
            self._causes_came_first(service, stream, number)

    def _causes_came_first(self, service: str, stream: str, number: int) -> None:
        """What a service has handled, it handled after all that the writer had read when it wrote that; of what both read."""
        payload = self._payloads.get((stream, number))
        reads = self.world.processes[service].feeds if service in self.world.processes else {}
        for cause, least in (json.loads(payload)["after"] if payload else {}).items():
            if cause != stream and cause in reads and self._places.get((service, cause), 0) < least:
                has = self._places.get((service, cause), 0)
                raise UnsafeError(f"{service} handled {stream} {number} before its cause {cause} {least}: it has {has}")

    def _log_has_no_gap(self, service: str) -> None:
        """What a service wrote is numbered without a gap, and stays as it was written."""
        disk = self.world.disks[service]
        for topic in WRITES[service]:
            first, last, count = disk.rows("SELECT min(number), max(number), count(*) FROM log_outbox WHERE stream = ?", topic)[0]
            counter = disk.rows("SELECT last FROM log_counter WHERE stream = ?", topic)
            if count and (last - first + 1 != count or counter[0][0] < last):
                raise UnsafeError(f"the log of {topic} has a gap: {count} entries from {first} to {last}, counted to {counter}")
            known = [name for (name,) in disk.rows("SELECT reader FROM log_report WHERE stream = ?", topic) if name in SERVICES]
            behind = min((self._places.get((name, topic), 0) for name in known), default=0)
            if count and known and first > behind + 1:
                raise UnsafeError(f"the log of {topic} begins at {first}, and somebody has read it to {behind} only: {known}")
            fresh = disk.rows("SELECT number, payload FROM log_outbox WHERE stream = ? AND number > ?", topic, self._checked.get(topic, 0))
            self._payloads |= {(topic, number): payload for number, payload in fresh}
            self._checked[topic] = max([self._checked.get(topic, 0), *(number for number, _ in fresh)])

    def _streams_are_windows(self) -> None:
        """A stream is a window of its writer's log: in order, nothing that was not committed, no gap but of what the log keeps no more."""
        for topic, service in WRITER.items():
            rows = self.world.wire.rows[topic]
            if rows == self._windows.get(topic):
                continue
            self._windows[topic] = list(rows)
            for before, entry in zip([None, *rows], rows, strict=False):
                if self._payloads.get((topic, entry.number)) != entry.payload:
                    raise UnsafeError(f"the stream {topic} tells of {entry.number} what was never committed")
                if before is not None and entry.number != before.number + 1:
                    low = self.world.disks[service].rows("SELECT min(number) FROM log_outbox WHERE stream = ?", topic)[0][0]
                    kept = low is not None and entry.number > low
                    if entry.number <= before.number or kept:
                        raise UnsafeError(f"the stream {topic} is no window of the log: {entry.number} after {before.number}")


class Outcome:
    """Compares the databases with the oracle."""

    def __init__(self, world: World, work: Workload, expected: Expected) -> None:
        self.world = world
        self.work = work
        self.expected = expected

    def settled(self) -> str:
        """What is not done yet; empty when everything is that was asked for. The quick look."""
        for service, topic in self.world.feeds():
            if self.world.behind(service, topic):
                return f"{service} has not read {topic}: {self.world.behind(service, topic)} entries"
        balances = {login: Decimal(text) for login, text in self.world.disks["gateway"].rows("SELECT login, balance FROM account")}
        for who, login in self.work.logins.items():
            if balances[login] != self.expected.balances[who]:
                return f"{who} has {balances[login]}, not {self.expected.balances[who]}"
            held = self._held(login)
            if held != self.expected.positions(who):
                return f"{who} holds {held}, not {self.expected.positions(who)}"
        waiting = self.world.disks["executor"].rows("SELECT phase, count(*) FROM link WHERE sent_ms > 0 AND state = 0 GROUP BY 1")
        if waiting:
            return f"links wait: {waiting}"
        open_ = self.world.disks["rewards"].rows(f"SELECT phase, count(*) FROM accrual WHERE phase NOT IN {SETTLED} GROUP BY 1")
        return f"accruals wait: {open_}" if open_ else ""

    def differences(self) -> list[str]:
        """Everything that a user can see, and the services' own books, against the oracle; empty when all is as it must be."""
        return [*self._deals(), *self._links(), *self._charges(), *self._books(), *self._statistics(), *self._dead()]

    def _held(self, login: int) -> list[tuple[int, str, str, int]]:
        numbers = {order: k for k, order in self.work.orders.items()}
        rows = self.world.disks["gateway"].rows('SELECT "order", client_id, symbol, side, volume FROM position WHERE login = ?', login)
        return sorted(
            (numbers.get(_master_order(order, client_id), -1), symbol, side, volume) for order, client_id, symbol, side, volume in rows
        )

    def _deals(self) -> list[str]:
        columns = 'login, "order", symbol, side, entry, volume, price, profit, client_id'
        seen: dict[tuple[str, int], list[Deal]] = defaultdict(list)
        opened: dict[int, int] = {}
        names = {login: who for who, login in self.work.logins.items()}
        numbers = {order: k for k, order in self.work.orders.items()}
        for login, order, symbol, side, entry, volume, price, profit, client_id in self.world.disks["gateway"].rows(
            f"SELECT {columns} FROM deal ORDER BY deal"
        ):
            if entry == "in":
                opened[order] = numbers.get(_master_order(order, client_id), -1)
            seen[names[login], opened[order]].append(Deal(symbol, side, entry, volume, Decimal(price), Decimal(profit)))
        expected = {(one.master, k): position.deals for k, (one, position) in self.expected.trades.items()}
        expected |= {(who, k): copy.position.deals for (who, k), copy in self.expected.copies.items() if copy.position}
        return [
            f"deals of trade {k} for {who}: {_difference(expected.get((who, k), []), seen.get((who, k), []))}"
            for who, k in sorted(expected.keys() | seen.keys())
            if Counter(expected.get((who, k), [])) != Counter(seen.get((who, k), []))
        ]

    def _links(self) -> list[str]:
        """Trade links as the api shows them, and as the executor has them."""
        found = []
        names = {login: who for who, login in self.work.logins.items()}
        numbers = {order: k for k, order in self.work.orders.items()}
        columns = "follower_login, master_order, state, reason, volume, volume_now, {}"
        shown = self.world.disks["api"].rows(f"SELECT {columns.format('master_volume_now')} FROM trade_link ORDER BY id")
        own = self.world.disks["executor"].rows(f"SELECT {columns.format('master_now')} FROM link ORDER BY id")
        if shown != own:
            found.append(f"the api shows other links than the executor has: {set(shown) ^ set(own)}")
        expected: dict[tuple[str, int], list[Any]] = {}
        for (who, k), copy in self.expected.copies.items():
            position, masters = copy.position, self.expected.trades[k][1]
            if position is None:
                expected[who, k] = [(CANCELLED, copy.reason, 0, 0)]
            elif position.left:
                expected[who, k] = [(ACTIVE, "", position.volume, position.left, masters.left)]
            else:
                expected[who, k] = [(CLOSED, "MASTER_CLOSED", position.volume, 0, masters.left)]
        seen: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for login, order, *rest in own:
            key = (names[login], numbers.get(order, -1))
            seen[key].append(tuple(rest[: len(expected.get(key, [()])[0])]))
        return found + [
            f"link of trade {k} for {who}: {seen.get((who, k))}, not {expected.get((who, k))}"
            for who, k in sorted(expected.keys() | seen.keys())
            if seen.get((who, k)) != expected.get((who, k))
        ]

    def _charges(self) -> list[str]:
        """Each closed copy was charged once what is owed, and its master was paid it once."""
        found = []
        columns = "id, follower_login, source_order, fee_amount, state"
        rows = self.world.disks["api"].rows(f"SELECT {columns} FROM accrual ORDER BY id")
        names = {login: who for who, login in self.work.logins.items()}
        numbers = {order: k for k, order in self.work.orders.items()}
        owner = dict(self.world.disks["executor"].rows("SELECT follower_order, master_order FROM link WHERE follower_order > 0"))
        expected = {
            (who, k): [(copy.fee, PAID if copy.fee else REVERSED)]
            for (who, k), copy in self.expected.copies.items()
            if copy.fee is not None
        }
        seen: dict[tuple[str, int], list[Any]] = defaultdict(list)
        legs: dict[str, tuple[str, Decimal]] = {}
        for accrual, login, order, fee, state in rows:
            k = numbers.get(owner.get(order, 0), -1)
            amount = Decimal(fee) / UNIT
            seen[names[login], k].append((amount, state))
            if amount:
                legs[f"r-{accrual}-out"] = (names[login], amount)
                legs[f"r-{accrual}-in"] = (oracle.PAYOUT[oracle.trade(k).master] if k >= 0 else "?", amount)
        operations = self.world.disks["gateway"].rows("SELECT client_id, login, amount FROM operation WHERE client_id LIKE 'r-%'")
        moved = {client_id: (names[login], Decimal(amount)) for client_id, login, amount in operations}
        if moved != legs:
            found.append(f"settled otherwise than owed: {set(moved.items()) ^ set(legs.items())}")
        return found + [
            f"accrual of trade {k} for {who}: {seen.get((who, k))}, not {expected.get((who, k))}"
            for who, k in sorted(expected.keys() | seen.keys())
            if seen.get((who, k)) != expected.get((who, k))
        ]

    def _books(self) -> list[str]:
        """Balances are the fold of what was booked: the accounts', and the rewards' ledger."""
        found = []
        gateway, ledger = self.world.disks["gateway"], self.world.disks["rewards"]
        for who, login in self.work.logins.items():
            deals = gateway.rows("SELECT profit, commission, swap FROM deal WHERE login = ?", login)
            fold = sum((Decimal(value) for row in deals for value in row), Decimal(0))
            for operation, amount in gateway.rows("SELECT operation, amount FROM operation WHERE login = ?", login):
                fold += Decimal(amount) if operation == "OP_BALANCE_IN" else -Decimal(amount)
            balance = Decimal(gateway.rows("SELECT balance FROM account WHERE login = ?", login)[0][0])
            if not fold == balance == self.expected.balances[who]:
                found.append(f"balance of {who} is {balance}, its history adds up to {fold}; expected {self.expected.balances[who]}")
        fold_of: dict[tuple[str, str], int] = defaultdict(int)
        for source, destination, amount, currency in ledger.rows("SELECT source, destination, amount, currency FROM journal"):
            fold_of[source, currency] -= amount
            fold_of[destination, currency] += amount
        kept = {(account, currency): amount for account, currency, amount in ledger.rows("SELECT account, currency, amount FROM balance")}
        if {key: amount for key, amount in fold_of.items() if amount} != {key: amount for key, amount in kept.items() if amount}:
            found.append("the ledger's balances are not the fold of its journal")
        return found

    def _statistics(self) -> list[str]:
        found = []
        for master in oracle.PERCENT:
            trades, pnl, wins = self.expected.statistics(master)
            login = self.work.logins[master]
            rows = self.world.disks["api"].rows("SELECT trades, pnl, win_rate FROM master_stats WHERE login = ? AND period = '30D'", login)
            shown, made, rate = rows[0] if rows else (0, 0, 0)
            if (shown, Decimal(made) / UNIT) != (trades, pnl):
                found.append(f"statistics of {master}: {shown} trades, {Decimal(made) / UNIT}; not {trades}, {pnl}")
            elif trades and abs(Decimal(rate) / UNIT - Decimal(100 * wins) / trades) > Decimal("0.01"):
                found.append(f"win rate of {master}: {Decimal(rate) / UNIT}; not {wins} of {trades}")
        return found

    def _dead(self) -> list[str]:
        letters = {service: disk.rows("SELECT stream, number, reason FROM dead_letter") for service, disk in self.world.disks.items()}
        return [f"dead letters of {service}: {rows[:3]}" for service, rows in letters.items() if rows]


def _master_order(order: int, client_id: str) -> int:
    """The master's order that a position is, or is a copy of."""
    parts = client_id.split("-")
    return int(parts[2]) if parts[0] == "c" else order


def _difference(expected: list[Deal], seen: list[Deal]) -> str:
    missing, extra = Counter(expected) - Counter(seen), Counter(seen) - Counter(expected)
    return f"missing {[tuple(map(str, deal)) for deal in missing]}, not expected {[tuple(map(str, deal)) for deal in extra]}"
