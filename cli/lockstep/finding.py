"""One thing that `lockstep doctor` looked at, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` is what to do about it."""

    about: str
    level: Level
    text: str
    mend: str = ""


def ok(about: str, text: str) -> Finding:
    return Finding(about, Level.OK, text)


def warning(about: str, text: str, mend: str) -> Finding:
    return Finding(about, Level.WARNING, text, mend)


def problem(about: str, text: str, mend: str) -> Finding:
    return Finding(about, Level.PROBLEM, text, mend)
