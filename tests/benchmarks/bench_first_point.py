"""From `%mlship train` to the first point that a chart can show, in a kernel that has trained before.

Run as `python -m tests.benchmarks.bench_first_point`; prints one JSON line. The kernel, the lab server and the data are
real. Beside it, what the first training of a kernel takes, which loads torch and Lightning.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from jupyter_client.manager import start_new_kernel

from tests.conftest import LabServer, run_server
from tests.learning.snapshots import digits, reviews, table

TIMES = 3
TIMEOUT_S = 180


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "lab"
        server = run_server(data_dir)
        manager, kernel = start_new_kernel(env={**os.environ, "MLSHIP_HOME": str(data_dir)})
        try:
            kernel.execute_interactive("%load_ext modelship_lab", timeout=TIMEOUT_S)
            figures = {recipe: measured(server, kernel, recipe, frame) for recipe, frame in data()}
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
            server.stop()
    print(json.dumps({"benchmark": "first_point", **figures}))


def data() -> list[tuple[str, pl.DataFrame]]:
    """A recipe, and what it learns from: reviews, scans of digits, measures of cells."""
    kinds = [("text-linear", reviews()), ("image-cnn", digits()), ("tabular-mlp", table("breast_cancer"))]
    frames = []
    for recipe, snapshot in kinds:
        frame = pl.DataFrame(snapshot.table()).drop("sample_id", "source")
        if recipe == "image-cnn":
            images = snapshot.images()
            frame = frame.select(
                "label", image=pl.col("image").replace_strict(images, return_dtype=pl.Binary)
            )
        names = dict(enumerate(snapshot.info.classes))
        frames.append((recipe, frame.with_columns(pl.col("label").replace_strict(names))))
    return frames


def measured(server: LabServer, kernel: Any, recipe: str, frame: pl.DataFrame) -> dict[str, float]:
    """Seconds to the first point: of the kernel's first training, and the middle of some later ones."""
    kind = {"text-linear": "text", "image-cnn": "image", "tabular-mlp": "tabular"}[recipe]
    classes = ",".join(sorted(frame["label"].unique()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.parquet"
        frame.write_parquet(path)
        column = f"--{kind} {kind}" if kind != "tabular" else ""
        kernel.execute_interactive(
            f"%mlship new {recipe} --type {kind}_classification --classes {classes}\n"
            f"%mlship import {recipe} {path} --label label {column}",
            timeout=TIMEOUT_S,
        )
    taken = [first_point(server, kernel, recipe) for _ in range(TIMES + 1)]
    return {"first_s": round(taken[0], 2), "later_s": round(sorted(taken[1:])[TIMES // 2], 2)}


def first_point(server: LabServer, kernel: Any, recipe: str) -> float:
    runs = server.client.get("runs", params={"project": recipe}).json()["items"]
    known = {run["id"] for run in runs}
    started = time.perf_counter()
    kernel.execute(f"%mlship train {recipe} --recipe {recipe} --set patience=0 --epochs 50")
    while True:
        assert time.perf_counter() - started < TIMEOUT_S
        runs = server.client.get("runs", params={"project": recipe}).json()["items"]
        new = [run["id"] for run in runs if run["id"] not in known]
        if new:
            series = server.client.get(f"runs/{new[0]}/metrics").json()["series"]
            if any(one["name"].endswith("_loss") and one["points"] for one in series):
                break
        time.sleep(0.02)
    took = time.perf_counter() - started
    server.client.post(f"runs/{new[0]}/stop").raise_for_status()
    while server.client.get(f"runs/{new[0]}").json()["status"] == "running":
        time.sleep(0.1)
    return took


if __name__ == "__main__":
    main()
