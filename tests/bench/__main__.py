"""All benchmarks, one after the other: each figure is a ratio to something measured in the same run.

make bench     prints them and writes docs/benchmarks.md
"""

import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
RUNS = ("bench_executor", "bench_loop", "bench_stats", "bench_api", "bench_rewards")

HEAD = """# Benchmarks

Measured {when} by `make bench` in {minutes:.0f} minutes on {cores} cores, which services, databases and the Redis-compatible server share
({machine}, Python {python}; SQLite, with every commit flushed to the disk). Absolute figures drift with the machine; the ratios are within
one run, beside what they are compared with. The targets are the design's; one that was missed says so.

"""


def main() -> int:
    """0 when every benchmark came to its end. A missed target is told, and is no error."""
    started = time.monotonic()
    texts, codes = [], []
    for name in RUNS:
        text, code = run(name)
        codes.append(code)
        if not text:
            sys.stderr.write(f"{name} failed\n")
            continue
        # the executor's own output is Markdown already; the others print lines
        texts.append(text if text.startswith("|") else f"```\n{text.strip()}\n```\n")
    facts = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "minutes": (time.monotonic() - started) / 60,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    DOCS.write_text(HEAD.format(**facts) + "\n".join(texts))
    return 0 if len(texts) == len(RUNS) and max(codes) <= 1 else 1  # 1: a target was missed


def run(name: str) -> tuple[str, int]:
    """Runs one benchmark, tells its lines as they come, and answers them with its exit code."""
    lines = []
    with subprocess.Popen([sys.executable, "-m", f"tests.bench.{name}"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return "".join(lines), process.returncode


if __name__ == "__main__":
    sys.exit(main())
