"""All benchmarks, one after the other: each figure is a ratio to something measured in the same run.

make bench     prints them and writes docs/benchmarks.md
"""

import subprocess
import sys

RUNS = (("bench_executor", "--write"), ("bench_stats",), ("bench_api",))


def main() -> int:
    """0 when every benchmark came to its end."""
    codes = [subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *options], check=False).returncode for name, *options in RUNS]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
