"""How figures are written: money with its currency, percentages, lots, prices, times; the same everywhere, so that columns align. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shared.money import minor_digits

NONE = "–"
MINUS = "−"
LOT = 100
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400

Figure = Decimal | int | float | None


def exact(value: Any) -> Decimal:
    """A figure of an answer as a Decimal; a float as it is written."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def plain(value: Figure, digits: int, *, signed: bool = False) -> str:
    """With thousands and so many places, a true minus sign and, when `signed`, a plus."""
    if value is None:
        return NONE
    number = exact(value)
    text = f"{abs(number):,.{digits}f}"
    if not text.strip("0,."):
        return text
    return (MINUS if number < 0 else "+" if signed else "") + text


def money(value: Figure, currency: str, *, signed: bool = False) -> str:
    """`1,240.50 USD`, with the places of the currency, at most four of them."""
    if value is None:
        return NONE
    digits = min(minor_digits(currency), 2) if currency in {"USDT", "USDC"} else min(minor_digits(currency), 8)
    return f"{plain(value, digits, signed=signed)} {currency}".strip()


def percent(value: Figure, digits: int = 2, *, signed: bool = False) -> str:
    """`8.42 %`."""
    return NONE if value is None else f"{plain(value, digits, signed=signed)} %"


def lots(volume: Figure, per_lot: int = LOT) -> str:
    """A volume in integer units as lots: `0.50`."""
    return NONE if volume is None else plain(exact(volume) / per_lot, 2)


def price(value: Figure, digits: int) -> str:
    """A price on its symbol's grid; nothing for none."""
    return NONE if not value else plain(value, digits).replace(",", "") if digits >= 3 else plain(value, digits)


def short(value: Figure) -> str:
    """A setting's number without needless places: `0.5`, `1,000`."""
    if value is None:
        return NONE
    number = exact(value).normalize()
    exponent = number.as_tuple().exponent
    return plain(number, max(0, -exponent) if isinstance(exponent, int) else 0)


def when(seconds: int | None) -> str:
    """A time in UTC: `21 Nov 2026, 08:41`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y, %H:%M:%S") if seconds else NONE


def day(seconds: int | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y") if seconds else NONE


def span(seconds: Figure) -> str:
    """A duration in its two largest units: `3 h 20 min`."""
    if seconds is None:
        return NONE
    whole = int(seconds)
    for size, name, smaller, lesser in ((DAY_S, "d", HOUR_S, "h"), (HOUR_S, "h", MINUTE_S, "min"), (MINUTE_S, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def ago(seconds: int, now: int) -> str:
    """`5 min ago`."""
    since = now - seconds
    if since < MINUTE_S:
        return "just now"
    for size, name in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if since >= size:
            return f"{since // size} {name} ago"
    return NONE


def tone(value: Figure) -> str:
    """The class that colours a gain or a loss."""
    if value is None or value == 0:
        return ""
    return "pos" if value > 0 else "neg"


def spark(history: Sequence[Figure], width: int = 240, height: int = 56) -> tuple[str, str]:
    """A curve as two SVG paths, the line and the area under it. A flat one lies in the middle."""
    values = [float(value or 0) for value in history] or [0.0]
    if len(values) == 1:
        values *= 2
    low, high = min(values), max(values)
    room = height - 8
    points = [
        (round(at * width / (len(values) - 1), 1), round(4 + room * (1 - ((value - low) / (high - low) if high > low else 0.5)), 1))
        for at, value in enumerate(values)
    ]
    line = "M" + " L".join(f"{x} {y}" for x, y in points)
    return line, f"{line} L{width} {height} L0 {height} Z"


def initials(name: str) -> str:
    """One or two letters to know a strategy by."""
    words = [word for word in name.split() if word[:1].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "•"
