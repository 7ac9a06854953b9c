"""Balance operations of the paper venue: accounts are opened, money comes in and goes out, rewards are settled."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from shared.contracts.rewards import BalanceOrderRow
from shared.contracts.trades import OP_BALANCE_IN, AccountsOpened, BalanceRow, BalancesChanged, BalancesRefused, RefusedRow
from shared.money import minor_digits, quantize

from gateway import decide
from gateway.decide import HUNDRED, NONE, Refused
from gateway.paper.book import Book, add, multiply, subtract
from gateway.paper.market import Group
from gateway.paper.records import Account, Answer, Operation
from gateway.paper.told import kind_of, row_again, row_json

BALANCE_MAX = Decimal(10) ** 10
"""The most that an account may hold: far above any account, far below what a store can keep exactly."""


class Movement(NamedTuple):
    """Money that comes in or goes out; `amount` is positive."""

    operation: str
    amount: Decimal
    reason: str
    client_id: str = ""
    api_data: str = ""
    keep_margin_level: int = 0


def open_account(book: Book, customer_id: int, group: Group, leverage: int) -> Account:
    """A new, empty account under the next login."""
    account = Account(book.next_login, customer_id, group, leverage, NONE, NONE, book.now)
    book.next_login += 1
    book.changes.numbers = True
    book.accounts[account.login] = account
    book.changes.accounts[account.login] = True
    book.told.add(AccountsOpened, book.account_row(account.login))
    book.told.touch(account.login)
    return account


def amount_fault(currency: str, amount: Decimal) -> Refused | None:
    """INVALID_DATA for what nobody can pay in a currency, whoever the account is."""
    digits = minor_digits(currency)
    if 0 < amount <= BALANCE_MAX and quantize(amount, digits) == amount:
        return None
    return Refused(decide.INVALID_DATA, f"{currency} amounts are positive and have at most {digits} decimal places")


def move(book: Book, account: Account, want: Movement) -> BalanceRow | Refused:
    """Carries a balance operation out.

    Refusals: NOT_ENOUGH_MONEY when it takes more than the free margin, or when the margin level would fall below the one to keep;
    INVALID_DATA for an amount that is not positive, is finer than the currency's smallest unit, or makes the account too large.
    """
    digits = minor_digits(account.currency)
    fault = amount_fault(account.currency, want.amount)
    if fault is not None:
        return fault
    want = want._replace(amount=quantize(want.amount, digits))  # no places beyond the currency's, whatever the sender wrote
    incoming = want.operation == OP_BALANCE_IN
    if incoming and add(account.balance, want.amount) > BALANCE_MAX:
        return Refused(decide.INVALID_DATA, f"an account holds at most {BALANCE_MAX}")
    if not incoming:
        standing = book.standing(account)
        equity = subtract(standing.equity, want.amount)
        kept = multiply(standing.margin, Decimal(want.keep_margin_level))
        if equity < standing.margin or multiply(equity, HUNDRED) < kept:
            return Refused(decide.NOT_ENOUGH_MONEY, f"account {account.login} has not so much free margin")
    account.balance = add(account.balance, want.amount if incoming else -want.amount)
    operation = Operation(book.ticket(), account.login, want.operation, want.amount, want.reason, want.client_id, want.api_data, book.now)
    book.changes.operations.append(operation)
    book.changes.accounts.setdefault(account.login, False)
    book.told.touch(account.login)
    row = BalanceRow(
        operation.id,
        account.login,
        want.operation,
        want.amount,
        account.currency,
        want.reason,
        want.client_id,
        want.api_data,
        account.balance,
        quantize(book.standing(account).equity, digits),
        account.credit,
    )
    book.told.add(BalancesChanged, row)
    return row


def settle_all(book: Book, rows: Iterable[BalanceOrderRow], answered: Mapping[str, Answer]) -> None:
    """Carries out settlements, each once under its client id. A refusal for want of money is no answer for ever: it may be asked again."""
    known = dict(answered)
    for row in rows:
        if row.client_id in known:
            book.told.add(*row_again(known[row.client_id].kind, known[row.client_id].row))
            book.changes.asked_again.add(row.client_id)
            continue
        done, final = _settle(book, row)
        if isinstance(done, Refused):
            refusal = RefusedRow(row.login, row.operation, row.amount, done.reason, row.client_id, row.api_data, final)
            book.told.add(BalancesRefused, refusal)
            if final:
                known[row.client_id] = Answer(row.client_id, kind_of(BalancesRefused), row_json(refusal))
        else:
            known[row.client_id] = Answer(row.client_id, kind_of(BalancesChanged), row_json(done))
    book.changes.answers.update((key, answer) for key, answer in known.items() if key not in answered)


def _settle(book: Book, row: BalanceOrderRow) -> tuple[BalanceRow | Refused, bool]:
    """Carries out one settlement; of a refusal, also whether asking again will not help."""
    account = book.account(row.login)
    if isinstance(account, Refused):
        return account, True
    if account.currency != row.currency:
        return Refused(decide.CURRENCY_MISMATCH, f"account {row.login} is in {account.currency}"), True
    want = Movement(row.operation, row.amount, row.reason, row.client_id, row.api_data, row.keep_margin_level)
    done = move(book, account, want)
    return done, isinstance(done, Refused) and done.reason != decide.NOT_ENOUGH_MONEY
