"""Loading the extension costs a notebook next to nothing."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "modelship_lab")
assert "mlship" in shell.magics_manager.magics["line"]
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


def test_loading_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "modelship_lab" in loaded
    heavy = {
        "torch",
        "duckdb",
        "tornado",
        "lightning",
        "polars",
        "matplotlib",
        "httpx",
        "pyarrow",
        "anywidget",
    }
    assert not loaded & heavy
