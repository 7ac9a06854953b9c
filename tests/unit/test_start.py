"""How a process starts: no look for cycles while it imports, all of them once it runs."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared.start import start


@pytest.fixture
def wiring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "some_wiring.py").write_text(
        "import gc\nSEEN = {'importing': gc.isenabled()}\n\n"
        "def main():\n    SEEN.update(running=gc.isenabled(), left_out=gc.get_freeze_count())\n    raise KeyboardInterrupt\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "some_wiring"
    sys.modules.pop("some_wiring", None)
    gc.enable()


def test_cycles_are_looked_for_from_when_it_runs(wiring: str) -> None:
    gc.unfreeze()
    start(wiring)
    seen: dict[str, Any] = sys.modules[wiring].SEEN
    assert (seen["importing"], seen["running"]) == (False, True)
    assert seen["left_out"] > 10_000
