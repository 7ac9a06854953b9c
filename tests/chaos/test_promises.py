"""`docs/promises.md` says nothing that is not so: each test it names exists, each promise has a row, each chaos test is named."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "promises.md").read_text()
NAMED = set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", TEXT))
PROMISES = (
    *(f"R{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 18, 21)),
    *(f"L{number}" for number in range(1, 7)),
    *(f"K{number}" for number in (1, 4, 6, 7)),
    *(f"S{number}" for number in (1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 14)),
)


def names_in(path: Path) -> set[str]:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_each_test_that_is_named_exists() -> None:
    assert len(NAMED) > 40
    assert [f"{path}::{name}" for path, name in sorted(NAMED) if not (ROOT / path).exists() or name not in names_in(ROOT / path)] == []


def test_each_chaos_test_is_named() -> None:
    about_themselves = {"test_oracle.py", "test_promises.py"}
    files = [path for path in (ROOT / "tests" / "chaos").glob("test_*.py") if path.name not in about_themselves]
    chaos = {(str(path.relative_to(ROOT)), name) for path in files for name in names_in(path)}
    assert {(path, name) for path, name in NAMED if path.startswith("tests/chaos/") and Path(path).name not in about_themselves} == chaos


def test_each_promise_has_one_row_with_a_test_or_says_that_there_is_none() -> None:
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in TEXT.splitlines() if re.match(r"\| [RLKS]\d+ \|", line)]
    promised = [row for row in rows if len(row) == 4]
    assert sorted(row[0] for row in promised) == sorted(PROMISES)
    for name, _, held_by, missing in promised:
        assert "::" in held_by or missing != "-", f"{name}: neither a test nor a word that there is none"
