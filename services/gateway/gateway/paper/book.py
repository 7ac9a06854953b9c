"""The paper venue's book: every account with its open positions, in memory, and what they are worth."""

from collections.abc import Iterable
from decimal import Decimal

from shared.contracts.config import ManualTradingMode
from shared.contracts.event import ROWS_PER_ENTRY
from shared.contracts.trades import (
    AccountRow,
)
from shared.money import EXACT, minor_digits, quantize
from shared.symbols import BUY

from gateway import decide
from gateway.decide import NONE, Refused
from gateway.paper import permits
from gateway.paper.market import Market, Symbol
from gateway.paper.records import Account, Changes, Exposure, HaltState, ManualState, Pending, Position, Standing
from gateway.paper.told import Told
from gateway.paper.triggers import Expiries, Hit, Triggers

add, subtract, multiply, divide = EXACT.add, EXACT.subtract, EXACT.multiply, EXACT.divide


class Book:
    """All state of the paper venue. Each method either changes everything that belongs together or answers a refusal and changes nothing.

    What has to be written and told afterwards gathers in `changes` and `told`.
    """

    def __init__(self, market: Market, next_login: int, next_ticket: int, day: int) -> None:
        self.market = market
        self.next_login = next_login
        self.next_ticket = next_ticket
        """Orders, deals and balance operations are numbered from one counter."""
        self.day = day
        """The day (since 1970, UTC) up to which swap was charged."""
        self.accounts: dict[int, Account] = {}
        self.positions: dict[int, Position] = {}
        self.pending: dict[int, Pending] = {}
        self.copies: dict[str, int] = {}
        """Open positions and pending orders by the client order id of a copy."""
        self.isolated: dict[int, int] = {}
        """How many positions on isolated margin an account has."""
        self.holders: dict[str, dict[int, None]] = {name: {} for name in market.symbols}
        self.triggers = {name: Triggers(self.alive) for name in market.symbols}
        self.expiries = Expiries(self.expires)
        self.manual: dict[int, ManualState] = {}
        """What is known of followers, by login."""
        self.known_halts: dict[tuple[str, str], HaltState] = {}
        """What is known of halts, by scope and key."""
        self.halts: dict[tuple[str, str], HaltState] = {}
        """Those that are active."""
        self.reported: dict[int, Decimal] = {}
        """Each account's equity as last told."""
        self.feed_ms = 0
        """When the feed of recorded prices first began, 0: never."""
        self.now = 0
        self.changes = Changes()
        self.told = Told()

    def alive(self, hit: Hit) -> bool:
        """Whether what a level was set for is still there, unchanged."""
        order = self.pending.get(hit.order) if hit.what == "pending" else self.positions.get(hit.order)
        return order is not None and order.version == hit.version

    def expires(self, number: int, expires_ms: int) -> bool:
        """Whether a pending order is still there and ends at that time."""
        order = self.pending.get(number)
        return order is not None and order.expires_ms == expires_ms

    def ticket(self) -> int:
        self.next_ticket += 1
        self.changes.numbers = True
        return self.next_ticket - 1

    def skip_numbers(self, entries: int) -> None:
        """No login or ticket is given out that so many entries of the log may have told: a row tells of one new account, or of two
        tickets at most, an order's and its first deal's."""
        self.next_login += entries * ROWS_PER_ENTRY
        self.next_ticket += entries * 2 * ROWS_PER_ENTRY
        self.changes.numbers = True

    def account(self, login: int) -> Account | Refused:
        found = self.accounts.get(login)
        return found if found is not None else Refused(decide.ACCOUNT_NOT_FOUND, f"no account {login}")

    def symbol(self, name: str) -> Symbol | Refused:
        found = self.market.symbols.get(name)
        return found if found is not None else Refused(decide.SYMBOL_NOT_FOUND, f"no symbol {name}")

    def halted(self, master: int, follower: int, symbol: str) -> Refused | None:
        """Why a copy may not be opened now, if so."""
        return permits.halt_fault(self.halts.values(), master, follower, symbol) if self.halts else None

    def forbidden(self, login: int, copied: bool = False) -> Refused | None:
        """Why the account's owner may not trade by hand, if so; `copied`: acts on a copied order."""
        known = self.manual.get(login)
        mode = ManualTradingMode.ALLOW_ALL if known is None or known.ended else ManualTradingMode(known.mode)
        return permits.manual_fault(mode, copied)

    def take_manual(self, state: ManualState) -> None:
        """Takes over a follower's manual trading mode, or its end. What is older than what is known changes nothing."""
        known = self.manual.get(state.login)
        if known is None or known.told < state.told:
            self.manual[state.login] = state
            self.changes.manual.add(state.login)

    def keep_followers(self, first: int, last: int, held: Iterable[int]) -> None:
        """Of followers with ids from first to last there are these alone: the others have ended, and whatever is told of their accounts
        from now on is newer. A follower that was made after another one may be lost, and the other one there again."""
        kept = set(held)
        for state in list(self.manual.values()):
            if first <= state.follower <= last and state.follower not in kept:
                self.manual[state.login] = state._replace(follower=0, version=0, ended=1)
                self.changes.manual.add(state.login)

    def take_halt(self, halt: HaltState) -> None:
        """Takes over a halt as it is now. What is older than what is known changes nothing."""
        known = self.known_halts.get((halt.scope, halt.key))
        if known is None or (known.id, known.version) <= (halt.id, halt.version):
            self.put_halt(halt)
            self.changes.halts.add((halt.scope, halt.key))

    def put_halt(self, halt: HaltState) -> None:
        """Takes a halt into everything that knows halts; also when the book is loaded."""
        self.known_halts[halt.scope, halt.key] = halt
        if halt.active:
            self.halts[halt.scope, halt.key] = halt
        else:
            self.halts.pop((halt.scope, halt.key), None)

    def keep_halts(self, held: Iterable[tuple[str, str]]) -> None:
        """Lifts the halts that are not among these: nobody could lift them any more."""
        for place in self.halts.keys() - set(held):
            self.take_halt(self.halts[place]._replace(active=0))

    # What an account is worth

    def rate(self, account: Account, symbol: str) -> Decimal:
        """What one unit of the symbol's quote currency is worth in the account's."""
        return self.market.rate(self.market.symbols[symbol].quote_currency, account.group.currency)

    def standing(self, account: Account) -> Standing:
        """Equity is balance + credit + the profit of closing everything now; margin is volume x opening price / leverage."""
        equity, margin = add(account.balance, account.credit), NONE
        for name, held in account.exposure.items():
            bid, ask = self.market.quotes[name]
            moved = subtract(multiply(Decimal(held.buy_volume), bid), held.buy_value)
            moved = add(moved, subtract(held.sell_value, multiply(Decimal(held.sell_volume), ask)))
            worth = multiply(self.market.unit[name], self.rate(account, name))
            equity = add(add(equity, multiply(moved, worth)), held.swap)
            for leverage, value in held.margin.items():
                margin = add(margin, divide(multiply(value, worth), Decimal(leverage)))
        return Standing(equity, margin)

    def margin_of(self, account: Account, symbol: str, volume: int, price: Decimal, leverage: int) -> Decimal:
        """What a position of that size would bind, in the account's currency."""
        worth = multiply(self.market.unit[symbol], self.rate(account, symbol))
        return divide(multiply(multiply(Decimal(volume), price), worth), Decimal(leverage))

    def floating(self, position: Position) -> Decimal:
        """The gross profit of closing a position now, in its account's currency, unrounded."""
        symbol, account = self.market.symbols[position.symbol], self.accounts[position.login]
        gross = symbol.profit(position.side, position.volume, position.price, self.market.quotes[position.symbol].closing(position.side))
        return multiply(gross, self.rate(account, position.symbol))

    def account_row(self, login: int) -> AccountRow:
        """The account as it is told, rounded to its currency."""
        account = self.accounts[login]
        standing, digits = self.standing(account), minor_digits(account.currency)
        equity, margin = quantize(standing.equity, digits), quantize(standing.margin, digits)
        return AccountRow(
            login,
            account.customer_id,
            account.group.name,
            account.group.mode,
            account.currency,
            account.leverage,
            account.balance,
            account.credit,
            equity,
            margin,
            subtract(equity, margin),
            len(account.positions),
        )

    def reported_row(self, login: int) -> AccountRow:
        """The account as it is told now: with a next report there has to be something new."""
        row = self.account_row(login)
        self.reported[login] = row.equity
        return row

    def moved_accounts(self) -> list[int]:
        """Accounts with open positions whose equity is not what was last told."""
        holding = dict.fromkeys(login for held_by in self.holders.values() for login in held_by)
        return [login for login in holding if self.reported.get(login) != self._equity(login)]

    def _equity(self, login: int) -> Decimal:
        account = self.accounts[login]
        return quantize(self.standing(account).equity, minor_digits(account.currency))

    # Entering and leaving memory

    def enter(self, position: Position) -> None:
        """Takes a position into everything that knows positions; also when the book is loaded."""
        account = self.accounts[position.login]
        self.positions[position.order] = position
        account.positions[position.order] = position
        self.expose(account, position, position.volume, position.swap)
        self.triggers[position.symbol].protect(position.side, position.sl, position.tp, position.order, position.version)
        if position.copied:
            self.copies[position.client_id] = position.order
        if position.margin_type:
            self.isolated[position.login] = self.isolated.get(position.login, 0) + 1

    def leave(self, position: Position) -> None:
        """Forgets a position that is closed."""
        del self.positions[position.order]
        del self.accounts[position.login].positions[position.order]
        self.copies.pop(position.client_id, None)
        if position.margin_type:
            self.isolated[position.login] -= 1
            if not self.isolated[position.login]:
                del self.isolated[position.login]
        if self.changes.positions.get(position.order):
            del self.changes.positions[position.order]
        else:
            self.changes.positions[position.order] = False

    def expose(self, account: Account, position: Position, volume: int, swap: Decimal) -> None:
        """An account has so much more (or less) of a position open, with so much more swap due."""
        held = account.exposure.setdefault(position.symbol, Exposure())
        value = multiply(Decimal(volume), position.price)
        if position.side == BUY:
            held.buy_volume += volume
            held.buy_value = add(held.buy_value, value)
        else:
            held.sell_volume += volume
            held.sell_value = add(held.sell_value, value)
        held.margin[position.leverage] = add(held.margin.get(position.leverage, NONE), value)
        held.swap = add(held.swap, swap)
        if held.empty:
            del account.exposure[position.symbol]
            self.holders[position.symbol].pop(account.login, None)
        else:
            self.holders[position.symbol][account.login] = None
