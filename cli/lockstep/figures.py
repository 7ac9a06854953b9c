"""What the demo's table shows, gathered from the two doors: masters, copies, rewards."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from lockstep.cast import FOLLOWERS, MASTERS, FollowerRole, MasterRole
from lockstep.client import Customer, Door
from lockstep.table import FollowerFigures, MasterFigures, Snapshot

PAGE = 500
NONE, ONE = Decimal(0), Decimal(1)
ACTIVE, CLOSED, FAILED, CANCELLED = 0, 1, 2, 3
"""States of a trade link (specification 3)."""
PAID, REVERSED = 2, 4
"""States of an accrual after which nothing comes."""

Row = dict[str, Any]


class Tally:
    """Sums up records that are read again and again from the last second on, without keeping those that will not change any more."""

    def __init__(self, final: Iterable[int], key: Callable[[Row], Hashable], weight: Callable[[Row], Decimal]) -> None:
        self.since = 0
        self._final = frozenset(final)
        self._key = key
        self._weight = weight
        self._settled: dict[Any, Decimal] = {}
        self._open: dict[int, Row] = {}

    def take(self, rows: Iterable[Row]) -> None:
        """Takes all records whose `updated_time` is not before `since`."""
        for row in rows:
            self._open[row["id"]] = row
            self.since = max(self.since, row["updated_time"])
        for row in [row for row in self._open.values() if row["state"] in self._final and row["updated_time"] < self.since]:
            self._add(self._settled, self._open.pop(row["id"]))

    def totals(self) -> dict[Any, Decimal]:
        """The sum of weights by key."""
        found = dict(self._settled)
        for row in self._open.values():
            self._add(found, row)
        return found

    def _add(self, to: dict[Any, Decimal], row: Row) -> None:
        key = self._key(row)
        to[key] = to.get(key, NONE) + self._weight(row)


class Figures:
    """Asks for everything that the table shows, and remembers what adds up."""

    def __init__(self, venue: Door, customers: dict[str, Customer], logins: dict[str, int]) -> None:
        self._venue = venue
        self._customers = customers
        self._logins = logins
        self._links = {
            role.key: Tally({CLOSED, FAILED, CANCELLED}, lambda row: (row["follower_login"], row["state"]), lambda _: ONE)
            for role in MASTERS
        }
        self._paid = {role.key: Tally({PAID, REVERSED}, lambda row: (row["state"], row["payout_currency"]), _payout) for role in MASTERS}
        self._last: dict[int, Row] = {}
        self.latency_ms: int | None = None
        self.note = ""
        self.prices: dict[str, str] = {}

    async def snapshot(self) -> Snapshot:
        """The figures now. Raises Away or Denied."""
        await asyncio.gather(*(self._read_on(role) for role in MASTERS))
        ranking = await self._customers[MASTERS[0].email].call("GET", "/copytrade/masters", stats_period="7D")
        listed = {row["login"]: row for row in ranking["rows"]}
        masters = [await self._master(role, listed) for role in MASTERS]
        followers = [await self._follower(role) for role in FOLLOWERS]
        clock = datetime.now(UTC).strftime("%H:%M:%S")
        return Snapshot(clock, dict(self.prices), tuple(masters), tuple(followers), self.latency_ms, self.note)

    async def _read_on(self, role: MasterRole) -> None:
        customer = self._customers[role.email]
        links = await _changed(customer, "/copytrade/trade-links/search", self._links[role.key].since)
        self._links[role.key].take(links)
        for link in links:
            self._last[link["follower_login"]] = link
        self._paid[role.key].take(await _changed(customer, "/copytrade/rewards/search", self._paid[role.key].since))

    async def _master(self, role: MasterRole, listed: dict[int, Row]) -> MasterFigures:
        login = self._logins[role.key]
        account = await self._venue.call("GET", f"/accounts/{login}")
        held = " ".join(f"{one['side']} {one['volume']}" for one in account["positions"])
        row = listed.get(login, {})
        stats = row.get("stats", {})
        paid = {currency: amount for (state, currency), amount in self._paid[role.key].totals().items() if state == PAID}
        return MasterFigures(
            name=role.name,
            login=login,
            symbol=role.symbol,
            policy=role.reward_words,
            position=held or "-",
            equity=_money(account["equity"], account["currency"]),
            trades=int(stats.get("trades") or 0),
            followers=int(row.get("followers") or 0),
            roi=f"{Decimal(stats.get('roi') or 0):z.2f}",
            rewards_paid=", ".join(_money(amount, currency) for currency, amount in sorted(paid.items())) or "-",
        )

    async def _follower(self, role: FollowerRole) -> FollowerFigures:
        login = self._logins[role.key]
        account = await self._venue.call("GET", f"/accounts/{login}")
        counts: Counter[int] = Counter()
        for tally in self._links.values():
            counts.update({state: int(count) for (follower, state), count in tally.totals().items() if follower == login})
        last = self._last.get(login)
        return FollowerFigures(
            name=role.key,
            login=login,
            master=", ".join(role.copies),
            settings=role.words,
            equity=_money(account["equity"], account["currency"]),
            copies_open=counts[ACTIVE],
            copies_closed=counts[CLOSED],
            skipped=counts[CANCELLED],
            failed=counts[FAILED],
            last=_in_words(last) if last else "",
        )


async def _changed(customer: Customer, path: str, since: int) -> list[Row]:
    """All records that have changed since a time (Unix seconds), that second included; the oldest first."""
    found: list[Row] = []
    while True:
        asked = {"where": [["updated_time", ">=", since]], "orderBy": [["updated_time", "asc"], ["id", "asc"]], "format": "objects"}
        page = (await customer.call("POST", path, asked | {"limit": PAGE, "offset": len(found)}))["rows"]
        found += page
        if len(page) < PAGE:
            return found


def _payout(row: Row) -> Decimal:
    return Decimal(row["payout_amount"] or 0)


def _money(amount: Decimal | int | str, currency: str) -> str:
    return f"{Decimal(amount):,.2f} {currency}"


def _in_words(link: Row) -> str:
    """The newest news of a copy."""
    reason = link["reason"] if link["state"] in {FAILED, CANCELLED} else ""
    return f"{link['phase']} {reason or link['side']} {link['volume'] or link['master_volume']}".strip()
