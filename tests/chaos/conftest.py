"""The table of closing lines at the end of a chaos session."""

from typing import Any

from tests.chaos.burning import LINES


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if LINES:
        terminalreporter.section("chaos")
        for line in LINES:
            terminalreporter.write_line(line)
