"""Subscriptions and accounts as columns of integers: what the executor keeps in memory of a million of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from shared.contracts.config import ManualTradingMode

from executor.terms import Rules

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]
Places = NDArray[np.intp]


class Names:
    """Short numbers for texts that many rows share (groups, currencies, symbol lists)."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._number: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The text's number; a new one for a new text."""
        found = self._number.get(name)
        if found is None:
            found = self._number[name] = len(self.all)
            self.all.append(name)
        return found


class Grid:
    """Rows of integers that grow, one column a field. A column's values lie side by side: decisions are made column by column."""

    def __init__(self, width: int, rows: Integers | None = None) -> None:
        self._data: Integers = np.asfortranarray(np.zeros((0, width), dtype=np.int64) if rows is None else rows)
        self.size = len(self._data)

    @property
    def data(self) -> Integers:
        """The rows there are; writing to it writes to the grid."""
        return self._data[: self.size]

    def append(self, row: Sequence[int] | Integers, count: int = 1) -> int:
        """Adds a row, so many times; answers the place of the first."""
        first, self.size = self.size, self.size + count
        if self.size > len(self._data):
            grown = np.zeros((max(4, self.size * 5 // 4), self._data.shape[1]), dtype=np.int64, order="F")
            grown[:first] = self._data[:first]
            self._data = grown
        self._data[first : self.size] = row
        return first


def rows_at(data: Integers, places: Integers | Places) -> Integers:
    """A copy of these rows, in the grid's own layout."""
    return np.take(data.T, places, axis=1).T


ACCOUNT_FIELDS = (
    "login", "known", "enabled", "demo", "leverage", "balance", "credit", "equity", "free_margin", "positions", "reward_credit",
    "updated_ms", "group", "currency", "max_masters", "manual_mode", "halted",
)  # fmt: skip
A = {name: place for place, name in enumerate(ACCOUNT_FIELDS)}


class Accounts:
    """Accounts that were loaded, with what their follower's settings say: one row each, found by login."""

    def __init__(self) -> None:
        self.place: dict[int, int] = {}
        self.grid = Grid(len(ACCOUNT_FIELDS))
        self.groups = Names()
        self.currencies = Names()

    def add(self, logins: Sequence[int]) -> None:
        """Makes room for accounts that are new, and not `known` yet."""
        row = [0] * len(ACCOUNT_FIELDS)
        row[A["group"]], row[A["currency"]] = self.groups.number(""), self.currencies.number("")
        row[A["manual_mode"]] = int(ManualTradingMode.ALLOW_ALL)
        distinct = list(dict.fromkeys(logins))
        first = self.grid.append(row, len(distinct))
        self.grid.data[first:, A["login"]] = distinct
        self.place |= zip(distinct, range(first, first + len(distinct)), strict=True)

    def put(self, logins: Sequence[int], names: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
        """Writes these figures of many accounts at once."""
        if logins:
            places = np.array([self.place[login] for login in logins])
            self.grid.data[places[:, None], [A[name] for name in names]] = np.array(rows, dtype=np.int64)

    def get(self, login: int, field: str) -> int:
        """One figure of a loaded account."""
        return int(self.grid.data[self.place[login], A[field]])

    def set(self, login: int, **fields: int) -> None:
        """Writes figures of a loaded account."""
        row = self.grid.data[self.place[login]]
        for name, value in fields.items():
            row[A[name]] = value

    def own_equity(self, login: int) -> int:
        """An account's equity without credit and reward credit."""
        row = self.grid.data[self.place[login]].tolist()
        own: int = row[A["equity"]] - row[A["credit"]] - row[A["reward_credit"]]
        return own

    def group(self, login: int) -> str:
        return self.groups.all[self.get(login, "group")]

    def currency(self, login: int) -> str:
        return self.currencies.all[self.get(login, "currency")]


RULES = Rules._fields[:-1]
assert Rules._fields[-1] == "listed"
OWN = (
    "master_login", "follower_login", "created_ms", "deleted", "rank", "past_due", "symbols", "account", "copies", "stopped", "bound",
    "spent",
)  # fmt: skip
S = {name: place for place, name in enumerate((*RULES, *OWN))}
T_WIDTH = len(S)
KEPT = [S[name] for name in ("copies", "bound", "spent")]
"""What a change of the settings leaves as it is."""


class Columns:
    """One master's subscriptions, in the order of their ids."""

    def __init__(self, rows: Integers) -> None:
        self.grid = Grid(len(S), rows)

    @property
    def data(self) -> Integers:
        return self.grid.data

    def __len__(self) -> int:
        return self.grid.size

    def find(self, subscription: int) -> int | None:
        """The place of a subscription."""
        ids = self.data[:, 0]
        place = int(np.searchsorted(ids, subscription))
        return place if place < len(ids) and ids[place] == subscription else None

    def put(self, row: Integers) -> bool:
        """Takes a subscription over. False when it does not fit in the order: then the columns have to be loaded anew."""
        place = self.find(row[0])
        if place is not None:
            kept = self.data[place, KEPT].copy()
            self.data[place] = row
            self.data[place, KEPT] = kept
            return True
        if len(self) and self.data[-1, 0] > row[0]:
            return False
        self.grid.append(row)
        return True

    def rules(self, place: int, listed: frozenset[int]) -> Rules:
        """One row as the plain rule takes it; `listed` holds the numbers of the symbol lists that name the signal's symbol."""
        row = self.data[place].tolist()
        return Rules._make([*row[: len(RULES)], int(row[S["symbols"]] in listed)])
