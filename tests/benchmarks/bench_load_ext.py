"""How long `%load_ext modelship_lab` takes in a fresh process, beside the import of IPython itself.

Run as `python -m tests.benchmarks.bench_load_ext [--times 10]`; prints one JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys

PROGRAM = """
import json, sys, time
start = time.perf_counter()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
ready = time.perf_counter()
shell.run_line_magic("load_ext", "modelship_lab")
loaded = time.perf_counter()
heavy = [name for name in ("torch", "duckdb", "tornado", "lightning", "polars", "matplotlib", "httpx", "pyarrow",
                           "pydantic", "anywidget") if name in sys.modules]
print(json.dumps({"ipython_ms": (ready - start) * 1e3, "load_ext_ms": (loaded - ready) * 1e3, "heavy": heavy}))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    results = [
        json.loads(subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True).stdout)
        for _ in range(times)
    ]
    print(
        json.dumps(
            {
                "benchmark": "load_ext",
                "load_ext_p50_ms": round(statistics.median(one["load_ext_ms"] for one in results), 1),
                "load_ext_max_ms": round(max(one["load_ext_ms"] for one in results), 1),
                "ipython_p50_ms": round(statistics.median(one["ipython_ms"] for one in results), 1),
                "heavy_modules_loaded": results[0]["heavy"],
            }
        )
    )


if __name__ == "__main__":
    main()
