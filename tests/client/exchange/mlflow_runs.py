"""Does with MLflow itself what it reads from its input, in the environment that has MLflow.

A line asks for one thing: `["log" or "tell", tracking URI, folder to be in]`. The answer is a line too: null, or
what MLflow's own client reads back.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

POINTS = 2_500


def log(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    experiment = client.create_experiment("Night shift")
    start = 1_700_000_000_123
    first = client.create_run(
        experiment,
        start_time=start,
        run_name="første",
        tags={
            "team": "vision",
            "mlflow.note.content": "Best so far.\nKeep it.",
            "flag": "",
            "mlflow.user": "ann",
        },
    )
    run_id = first.info.run_id
    params = {"lr": "0.1", "depth": "7", "padded": "007", "amsgrad": "True", "path/to": "a=b", "big": "1e400"}
    metrics = [Metric("train/loss", 1 / (step + 1), start + step, step) for step in range(POINTS)]
    metrics += [
        Metric("odd", float("nan"), start + 5, 0),
        Metric("odd", float("inf"), start + 6, 1),
        Metric("odd", float("-inf"), start + 7, 2),
        Metric("odd", -0.1234567890123456789, start + 8, -3),
        Metric("odd", 2.0, start + 3, 2),
    ]
    client.log_batch(run_id, params=[Param(*pair) for pair in params.items()])
    for begin in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[begin : begin + 1000])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights.bin").write_bytes(bytes(range(256)) * 100)
        (Path(folder) / "note.txt").write_text("hello")
        client.log_artifact(run_id, f"{folder}/note.txt")
        client.log_artifact(run_id, f"{folder}/weights.bin", "model/deep")
    picture = np.zeros((8, 8, 3), np.uint8)
    for step, moment in ((3, start), (3, start + 1), (12, start)):
        client.log_image(run_id, picture, key="samples/cat", step=step, timestamp=moment)
    client.log_image(run_id, picture, "plots/roc.png")
    client.log_table(run_id, {"question": ["why?"], "n": [1]}, "tables/answers.json")
    client.set_terminated(run_id, "FINISHED", start + 90_000)
    child = client.create_run(
        experiment, start_time=start + 10, run_name="child", tags={"mlflow.parentRunId": run_id}
    )
    client.log_batch(child.info.run_id, tags=[RunTag("a", "b=c")])
    client.set_terminated(child.info.run_id, "KILLED", start + 20)
    # Its clock was wrong: it began before the run that it is a part of.
    inner = client.create_run(
        experiment,
        start_time=start - 5,
        run_name="grandchild",
        tags={"mlflow.parentRunId": child.info.run_id},
    )
    client.set_terminated(inner.info.run_id, "FINISHED", start + 20)
    failed = client.create_run("0", start_time=start + 30, run_name="failed")
    client.set_terminated(failed.info.run_id, "FAILED", start + 40)
    client.create_run("0", start_time=start + 50, run_name="going on")
    gone = client.create_run("0", start_time=start + 60, run_name="gone")
    client.delete_run(gone.info.run_id)


def tell(uri: str) -> list[dict[str, object]]:
    """All runs."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    told = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            files = {}
            folders = [""]
            while folders:
                for one in client.list_artifacts(run.info.run_id, folders.pop() or None):
                    if one.is_dir:
                        folders.append(one.path)
                    else:
                        files[one.path] = one.file_size
            told.append(
                {
                    "id": run.info.run_id,
                    "experiment": experiment.name,
                    "name": run.info.run_name,
                    "status": run.info.status,
                    "start": run.info.start_time,
                    "end": run.info.end_time,
                    "params": run.data.params,
                    "tags": run.data.tags,
                    "metrics": {
                        name: [
                            [repr(one.value), one.timestamp, one.step]
                            for one in client.get_metric_history(run.info.run_id, name)
                        ]
                        for name in run.data.metrics
                    },
                    "files": files,
                }
            )
    return told


if __name__ == "__main__":
    for line in sys.stdin:
        name, uri, folder = json.loads(line)
        os.chdir(folder)
        print(json.dumps({"log": log, "tell": tell}[name](uri)), flush=True)
