"""Snapshots of real data, as a lab would hand them out, for fits without a server."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from sklearn import datasets

from modelship_lab.records.base import Task, utc_now
from modelship_lab.records.labeling import Snapshot


@dataclass(frozen=True)
class LocalSnapshot:
    """What `client.SnapshotData` offers, from memory."""

    info: Snapshot
    content: pa.Table
    encoded: Mapping[str, bytes]

    def table(self) -> pa.Table:
        return self.content

    def images(self) -> Mapping[str, bytes]:
        return self.encoded


def snapshot(
    task: Task,
    classes: Sequence[str],
    labels: Sequence[int],
    columns: Mapping[str, Any],
    images: Mapping[str, bytes] | None = None,
) -> LocalSnapshot:
    labels = np.asarray(labels, np.int32)
    table = pa.table(
        {
            "sample_id": pa.array(np.arange(1, len(labels) + 1)),
            "label": pa.array(labels),
            "source": pa.array(["import"] * len(labels)),
            **columns,
        }
    )
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    info = Snapshot(
        id=1,
        project_id=1,
        number=1,
        task=task,
        classes=tuple(classes),
        features=tuple(columns) if task == "tabular_classification" else (),
        rows=len(labels),
        by_class=dict(zip(classes, counts, strict=True)),
        digest="0" * 64,
        description="",
        created_at=utc_now(),
    )
    return LocalSnapshot(info, table, images or {})


def encode_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def images_snapshot(
    pictures: Sequence[bytes], labels: Sequence[int], classes: Sequence[str]
) -> LocalSnapshot:
    digests = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    return snapshot(
        "image_classification", classes, labels, {"image": digests}, dict(zip(digests, pictures, strict=True))
    )


def digits(rows: int | None = None) -> LocalSnapshot:
    """Scans of handwritten digits, 8 x 8 pixels, as PNG files."""
    data = datasets.load_digits()
    pictures = [encode_png((image * 255 / 16).astype(np.uint8)) for image in data.images[:rows]]
    return images_snapshot(pictures, data.target[:rows], [str(digit) for digit in range(10)])


def table(name: str) -> LocalSnapshot:
    """`breast_cancer` or `wine`."""
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    columns = {column: data.data[column].to_numpy() for column in data.data}
    return snapshot("tabular_classification", list(map(str, data.target_names)), data.target, columns)


def texts(sentences: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> LocalSnapshot:
    return snapshot("text_classification", classes, labels, {"text": list(sentences)})


def several_topics(rows: int = 120) -> LocalSnapshot:
    """Sentences about any of three topics, each by its word; some are about none."""
    random = np.random.default_rng(0)
    topics = ("sports", "money", "weather")
    chosen = random.random((rows, 3)) < 0.4
    sentences = [
        " ".join(
            [f"word{random.integers(9)}", *(topic for topic, has in zip(topics, row, strict=True) if has)]
        )
        for row in chosen
    ]
    return several_classes({"text": sentences}, chosen, topics)


def several_classes(columns: Mapping[str, Any], chosen: np.ndarray, classes: Sequence[str]) -> LocalSnapshot:
    """Texts with any number of classes: a bool for each row and class."""
    one = snapshot("text_classification", classes, [0] * len(chosen), columns)
    labels = pa.array([np.flatnonzero(row).tolist() for row in chosen], pa.list_(pa.int32()))
    counts = dict(zip(classes, chosen.sum(0).tolist(), strict=True))
    info = one.info.model_copy(update={"multilabel": True, "by_class": counts})
    return LocalSnapshot(info, one.content.set_column(1, "labels", labels), {})


def numbers_snapshot(numbers: Sequence[float], columns: Mapping[str, Any]) -> LocalSnapshot:
    """A table with a number for each row."""
    one = snapshot("tabular_classification", ("none",), [0] * len(numbers), columns)
    info = one.info.model_copy(update={"task": "tabular_regression", "classes": (), "by_class": {}})
    return LocalSnapshot(info, one.content.set_column(1, "number", pa.array(numbers, pa.float64())), {})


def reviews(rows: int | None = None) -> LocalSnapshot:
    """Sentences of reviews, negative or positive; of fewer rows, some of every source."""
    with (Path(__file__).parents[2] / "notebooks" / "data" / "reviews.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        lines = list(csv.DictReader(file))
    if rows is not None:
        lines = [lines[place] for place in np.random.default_rng(0).permutation(len(lines))[:rows]]
    labels = [int(line["label"] == "positive") for line in lines]
    return texts([line["text"] for line in lines], labels, ["negative", "positive"])


class Recorder:
    """A run's log that keeps everything in memory."""

    def __init__(self) -> None:
        self.points: list[tuple[int | None, dict[str, float]]] = []
        self.params: dict[str, Any] = {}
        self.artifacts: dict[str, bytes] = {}

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.points.append((step, dict(metrics)))

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.params |= params

    def save_artifact(self, name: str, content: Any, content_type: str | None = None) -> None:
        if isinstance(content, Path):
            content = content.read_bytes()
        self.artifacts[name] = content.encode() if isinstance(content, str) else bytes(content)

    def upload_bundle(self, tar: Path) -> None:
        self.artifacts["bundle.tar"] = tar.read_bytes()

    def series(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.points if name in metrics]

    def last(self, name: str) -> dict[int | None, float]:
        """By step; a step's later value is an update of the earlier one."""
        return {step: metrics[name] for step, metrics in self.points if name in metrics}
