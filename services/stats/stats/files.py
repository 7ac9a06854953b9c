"""Reads the two files of an import; a row that is not as it should be is reported with its line and the reason.

Volumes are integer units; times are ISO 8601 (without an offset: the broker's zone) or Unix seconds or milliseconds; commission and swap
are negative when they were charged; `equity` is the day's last, without credit, `flow` what was paid in that day (negative: out; empty: 0).
"""

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from stats.amounts import PLACES, units
from stats.days import Calendar, parse

TRADE_COLUMNS = (
    *("order", "symbol", "side", "volume"),
    *("open_time", "open_price", "close_time", "close_price"),
    *("profit", "commission", "swap"),
)
EQUITY_COLUMNS = ("date", "equity", "flow")
MILLISECONDS_FROM = 100_000_000_000
"""A number at least this large is Unix milliseconds, below it seconds (until the year 5138)."""
LARGEST = Decimal(10) ** 10
ID_MAX = 2**63


class BadRow(NamedTuple):
    """A row that cannot be loaded; line 0 is the whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class TradeRow(NamedTuple):
    """A closed trade; amounts in units of 1e-8."""

    line: int
    order: int
    symbol: str
    side: str
    volume: int
    profit: int
    commission: int
    swap: int
    opened_ms: int
    closed_ms: int


class EquityRow(NamedTuple):
    """A day's end; amounts in units of 1e-8."""

    line: int
    day: int
    equity: int
    paid: int


Step = Callable[[], None]


class _BadValueError(ValueError):
    """What is wrong with one value."""


def rows_of(path: Path | None) -> int:
    """About how many rows a file has, for the progress; 0 for one that is not there."""
    if path is None or not path.is_file():
        return 0
    with path.open("rb") as file:
        return max(0, sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1)


def read_trades(path: Path, calendar: Calendar, now_ms: int, errors: list[BadRow], step: Step) -> list[TradeRow]:
    """The rows of trades.csv; what is wrong with it goes to `errors`."""
    trades: list[TradeRow] = []
    seen: dict[int, int] = {}
    for line, values in _rows(path, TRADE_COLUMNS, errors):
        step()
        try:
            row = _trade(line, values, calendar, now_ms)
            if row.order in seen:
                raise _BadValueError(f"order {row.order} is on line {seen[row.order]}, too")
        except _BadValueError as bad:
            errors.append(BadRow(path.name, line, str(bad)))
            continue
        seen[row.order] = line
        trades.append(row)
    return trades


def _trade(line: int, values: dict[str, str], calendar: Calendar, now_ms: int) -> TradeRow:
    if values["side"] not in {"buy", "sell"}:
        raise _BadValueError(f"side: {values['side']!r} is neither buy nor sell")
    if not values["symbol"] or len(values["symbol"]) > 64:
        raise _BadValueError("symbol: 1 to 64 characters")
    opened, closed = _time("open_time", values, calendar), _time("close_time", values, calendar)
    if closed < opened:
        raise _BadValueError("close_time is before open_time")
    if closed > now_ms:
        raise _BadValueError("close_time is in the future")
    for name in ("open_price", "close_price"):
        if _amount(name, values) <= 0:
            raise _BadValueError(f"{name}: {values[name]!r} is not above 0")
    return TradeRow(
        line=line,
        order=_whole("order", values),
        symbol=values["symbol"],
        side=values["side"],
        volume=_whole("volume", values),
        profit=units(_amount("profit", values)),
        commission=units(_amount("commission", values)),
        swap=units(_amount("swap", values)),
        opened_ms=opened,
        closed_ms=closed,
    )


def read_equity(path: Path, errors: list[BadRow], step: Step) -> list[EquityRow]:
    """The rows of equity.csv, by day; what is wrong with it goes to `errors`."""
    days: dict[int, EquityRow] = {}
    for line, values in _rows(path, EQUITY_COLUMNS, errors):
        step()
        try:
            row = _equity(line, values)
            if row.day in days:
                raise _BadValueError(f"date {values['date']} is on line {days[row.day].line}, too")
        except _BadValueError as bad:
            errors.append(BadRow(path.name, line, str(bad)))
            continue
        days[row.day] = row
    return [days[day] for day in sorted(days)]


def _equity(line: int, values: dict[str, str]) -> EquityRow:
    try:
        day = parse(values["date"])
    except ValueError:
        raise _BadValueError(f"date: {values['date']!r} is no date like 2026-01-31") from None
    paid = _amount("flow", values) if values["flow"] else Decimal(0)
    return EquityRow(line, day, units(_amount("equity", values)), units(paid))


def _rows(path: Path, columns: tuple[str, ...], errors: list[BadRow]) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines and their values by column, in whatever order the columns are; rows with another number of them are reported."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if sorted(header) != sorted(columns):
                errors.append(BadRow(path.name, 1, f"the columns must be {','.join(columns)}"))
                return
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    errors.append(BadRow(path.name, reader.line_num, f"{len(row)} values instead of {len(header)}"))
                    continue
                yield reader.line_num, dict(zip(header, (value.strip() for value in row), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        errors.append(BadRow(path.name, 0, f"cannot be read: {error}"))


def _whole(name: str, values: dict[str, str]) -> int:
    text = values[name]
    if not (text.isascii() and text.isdigit() and len(text) < 20) or not 0 < int(text) < ID_MAX:
        raise _BadValueError(f"{name}: {text!r} is no whole number above 0")
    return int(text)


def _amount(name: str, values: dict[str, str]) -> Decimal:
    text = values[name]
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise _BadValueError(f"{name}: {text!r} is no number") from None
    if not amount.is_finite() or abs(amount) >= LARGEST:
        raise _BadValueError(f"{name}: {text!r} is out of range")
    if -int(amount.as_tuple().exponent) > PLACES and amount != round(amount, PLACES):
        raise _BadValueError(f"{name}: {text!r} has more than {PLACES} decimal places")
    return amount


def _time(name: str, values: dict[str, str], calendar: Calendar) -> int:
    text = values[name]
    if text.isascii() and text.isdigit() and len(text) < 15:
        number = int(text)
        return number if number >= MILLISECONDS_FROM else number * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _BadValueError(f"{name}: {text!r} is no time like 2026-01-31T09:30:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=calendar.zone)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
