"""What the rewards service keeps in memory of its store: masters, subscriptions, accounts, symbols; loaded at first use."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from shared.contracts.config import RewardType
from shared.money import EXACT

from rewards.decide import Payer, Rate
from rewards.terms import Master, Subscription

UNKNOWN_CURRENCY = "XXX"
"""ISO 4217's code for no currency: on an accrual whose follower account was never told."""
MIDDLE = Decimal(2)
SAME_WORTH = {"USDT": "USD", "USDC": "USD"}
"""A stable coin is changed one for one, unless a symbol gives its price."""


@dataclass(slots=True)
class Account:
    """A trading account: whose it is, and its equity without credit as last told."""

    login: int
    customer_id: int
    mode: str
    currency: str
    equity: Decimal


class Symbol(NamedTuple):
    """A symbol's units and its latest price."""

    symbol: str
    base_currency: str
    quote_currency: str
    contract_size: Decimal
    volume_per_lot: int
    bid: Decimal
    ask: Decimal
    time_ms: int


@dataclass(slots=True)
class Known:
    """The part of the store that rules are decided from."""

    masters: dict[int, Master] = field(default_factory=dict)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    by_master: dict[int, set[int]] = field(default_factory=dict)
    by_follower: dict[int, set[int]] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    repriced: set[str] = field(default_factory=set)
    """Symbols whose latest price is not in the store yet."""
    cursors: dict[int, dict[int, int]] = field(default_factory=dict)
    """By subscription and reward type: everything before is billed."""

    def add(self, subscription: Subscription) -> None:
        self.subscriptions[subscription.id] = subscription
        self.by_master.setdefault(subscription.master_login, set()).add(subscription.id)
        self.by_follower.setdefault(subscription.follower_login, set()).add(subscription.id)

    def master(self, login: int) -> Master:
        """The master of a login; one that was never told has no policies and runs."""
        if login not in self.masters:
            self.masters[login] = Master(login, 0, 0, 0)
        return self.masters[login]

    def payer(self, subscription: Subscription) -> Payer:
        """The account that a subscription charges. Demo followers and the master's own accounts are never charged."""
        account = self.accounts.get(subscription.follower_login)
        if account is None:
            return Payer(subscription.follower_login, UNKNOWN_CURRENCY, "ACCOUNT_UNKNOWN")
        exempt = ""
        if account.mode == "DEMO":
            exempt = "DEMO"
        elif account.customer_id and account.customer_id == self._owner(subscription.master_login):
            exempt = "OWN"
        return Payer(account.login, account.currency, exempt)

    def _owner(self, master_login: int) -> int:
        account = self.accounts.get(master_login)
        return account.customer_id if account else self.master(master_login).customer_id

    def equity(self, login: int) -> Decimal:
        """An account's equity without credit, as last told; 0 of one that was never told."""
        account = self.accounts.get(login)
        return account.equity if account else Decimal(0)

    def billed_on_equity(self, login: int) -> bool:
        """Whether a follower pays an annual percentage of its daily equity to anybody."""
        for subscription in self.by_follower.get(login, ()):
            for version in self.master(self.subscriptions[subscription].master_login).policies:
                if version.policy.reward_type == RewardType.MANAGEMENT_FEE and version.policy.fee_percent:
                    return True
        return False

    def currency(self, login: int) -> str | None:
        account = self.accounts.get(login)
        return account.currency if account else None

    def priced(self, symbol: str, bid: Decimal, ask: Decimal, time_ms: int) -> None:
        """Takes over a newer price; one of a symbol without settings is of no use yet."""
        known = self.symbols.get(symbol)
        if known is not None and time_ms >= known.time_ms:
            self.symbols[symbol] = known._replace(bid=bid, ask=ask, time_ms=time_ms)
            self.repriced.add(symbol)

    def rate(self, source: str, target: str) -> Rate | None:
        """What a unit of one currency is worth in another by the middle of the latest prices: directly, or across the dollar."""
        direct = self._direct(source, target)
        if direct is not None:
            return direct
        to_dollar, from_dollar = self._direct(source, "USD"), self._direct("USD", target)
        if to_dollar is None or from_dollar is None:
            return None
        worth = EXACT.multiply(to_dollar.rate, from_dollar.rate)
        return Rate(source, target, worth, f"{to_dollar.seen} {from_dollar.seen}", min(to_dollar.time_ms, from_dollar.time_ms))

    def _direct(self, source: str, target: str) -> Rate | None:
        # A contract (a swap) prices its base as well as a pair does; the freshest price wins, then the name, so that the choice is settled.
        found: list[tuple[int, str, Decimal]] = []
        for one in self.symbols.values():
            if one.bid <= 0 or one.ask <= 0:
                continue
            middle = EXACT.divide(EXACT.add(one.bid, one.ask), MIDDLE)
            if (one.base_currency, one.quote_currency) == (source, target):
                found.append((one.time_ms, one.symbol, middle))
            elif (one.base_currency, one.quote_currency) == (target, source):
                found.append((one.time_ms, f"1/{one.symbol}", EXACT.divide(Decimal(1), middle)))
        if found:
            time_ms, name, rate = max(found)
            return Rate(source, target, rate, name, time_ms)
        if SAME_WORTH.get(source, source) == SAME_WORTH.get(target, target):
            return Rate(source, target, Decimal(1), f"{source}={target}", 0)
        return None
