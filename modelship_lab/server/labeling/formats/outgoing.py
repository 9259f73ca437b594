"""What all writers have in common: labeled samples on their way into a file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, runtime_checkable

import orjson
import pyarrow as pa

from modelship_lab.records.labeling import Kind, Project
from modelship_lab.server.labeling.formats.rows import Problems
from modelship_lab.server.labeling.sample_filter import CONTENT_COLUMN

OWN_COLUMNS = ("id", "name", "group", "split", "status", "source", "author", "origin")
"""What a table says of every sample beside its content and its label."""

FILE_NAME = "file_name"
"""The column that names an image, as Hugging Face has it."""

BY_ID = "by-id"
"""The folder of images that have no name of their own."""

_SAFE_NAME = re.compile(r"[\w\-+@(),=][\w\-+@(),=. ]*(/[\w\-+@(),=][\w\-+@(),=. ]*)*")

_SUFFIXES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


class LabeledSample(NamedTuple):
    """A sample with what counts as its label, as the database has it."""

    id: int
    name: str | None
    group: str | None
    split: str | None
    text: str | None
    image: str | None
    fields: str | None
    width: int | None
    height: int | None
    status: str
    source: str | None
    author: str | None
    origin: str | None
    label: str | None
    content: str | None
    suggested: str | None = None
    suggested_content: str | None = None
    confidence: float | None = None
    suggested_by: str | None = None

    @property
    def value(self) -> Any:
        """The class, a list of classes, spans or boxes, or a number; None: nothing was decided."""
        return value_of(self.label, self.content)

    @property
    def suggestion(self) -> Any:
        """Like `value`."""
        return value_of(self.suggested, self.suggested_content)


@dataclass(frozen=True)
class Outgoing:
    """What is exported.

    Args:
        image: the encoded image with a digest.
        features: columns of a tabular project, with their types.
        splits: those that occur.
        shared_names: names, without their suffixes, that several samples have.
        suggestions: whether what is suggested goes along.
    """

    project: Project
    image: Callable[[str], bytes]
    features: Mapping[str, pa.DataType]
    splits: Sequence[str]
    shared_names: frozenset[str]
    suggestions: bool
    problems: Problems = field(default_factory=Problems)
    """What the format could not hold, by the id of the sample."""

    @cached_property
    def kind(self) -> Kind:
        return self.project.kind

    @cached_property
    def content(self) -> str:
        """Which field of a sample is labeled: `text`, `image`, or `fields` of a table."""
        return CONTENT_COLUMN[self.project.require_task()]

    @cached_property
    def feature_names(self) -> dict[str, str]:
        """The column of each feature; one that has the name of another column gets a longer one."""
        taken = {*OWN_COLUMNS, self.kind, "suggestion", "confidence", "suggested_by"}
        return {name: f"feature_{name}" if name in taken else name for name in self.features}

    def image_name(self, sample: LabeledSample, data: bytes) -> str:
        """A path for an image that no other one has: that which it came with, if it can be one."""
        start = data[:4]
        suffix = next((one for magic, one in _SUFFIXES.items() if start.startswith(magic)), ".img")
        name = sample.name or ""
        path = PurePosixPath(name)
        usable = (
            _SAFE_NAME.fullmatch(name)
            and len(name) <= 200
            and path.suffix
            and path.parts[0] not in (BY_ID, "metadata.csv", "metadata.jsonl")
            and str(path.with_suffix("")) not in self.shared_names
        )
        return name if usable else f"{BY_ID}/{sample.id}{suffix}"

    def row(self, sample: LabeledSample, file: str | None = None) -> dict[str, Any]:
        """A sample as a row of a table; an image is named by its file."""
        found: dict[str, Any] = {
            "id": sample.id,
            "name": sample.name,
            "group": sample.group,
            "split": sample.split,
        }
        if self.content == "text":
            found["text"] = sample.text
        elif self.content == "image":
            found[FILE_NAME] = file
        elif sample.fields is not None:
            fields = orjson.loads(sample.fields)
            for name, column in self.feature_names.items():
                found[column] = _cell(fields.get(name), self.features[name])
        found[self.kind] = sample.value
        found["status"] = sample.status
        found["source"] = sample.source
        found["author"] = sample.author
        found["origin"] = sample.origin
        if self.suggestions:
            found["suggestion"] = sample.suggestion
            found["confidence"] = sample.confidence
            found["suggested_by"] = sample.suggested_by
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of `row` with their types."""
        content = (
            [("text" if self.content == "text" else FILE_NAME, pa.string())]
            if self.content != "fields"
            else [(self.feature_names[name], kind) for name, kind in self.features.items()]
        )
        own = dict.fromkeys(OWN_COLUMNS, pa.string()) | {"id": pa.int64()}
        suggested = [
            ("suggestion", VALUE_TYPES[self.kind]),
            ("confidence", pa.float64()),
            ("suggested_by", pa.string()),
        ]
        return pa.schema(
            [
                *((name, own[name]) for name in OWN_COLUMNS[:4]),
                *content,
                (self.kind, VALUE_TYPES[self.kind]),
                *((name, own[name]) for name in OWN_COLUMNS[4:]),
                *(suggested if self.suggestions else []),
            ]
        )


VALUE_TYPES: dict[Kind, pa.DataType] = {
    "label": pa.string(),
    "labels": pa.list_(pa.string()),
    "spans": pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())])),
    "boxes": pa.list_(
        pa.struct(
            [
                ("x", pa.float64()),
                ("y", pa.float64()),
                ("width", pa.float64()),
                ("height", pa.float64()),
                ("label", pa.string()),
            ]
        )
    ),
    "number": pa.float64(),
}


class Writer(Protocol):
    """A file of some format that is being made."""

    def write(self, samples: Sequence[LabeledSample]) -> None:
        """Append samples; what has no place in the format goes to `Outgoing.problems`."""
        ...

    def close(self) -> None:
        """Complete the file. Called once, and not when writing has failed."""
        ...


@runtime_checkable
class ColumnWriter(Writer, Protocol):
    """A writer that takes samples without images as a table, too, which it writes several times as fast."""

    def write_table(self, samples: pa.Table) -> None:
        """`write` for a table with the columns of `Outgoing.schema`."""
        ...


Write = Callable[[Path, Outgoing], Writer]
"""Begins a file. Files made on the way lie beside it, with its name as their beginning."""


def _cell(value: Any, kind: pa.DataType) -> Any:
    """A feature as its column has it: where others are texts, a number is one, too."""
    if kind == pa.string() and value is not None and not isinstance(value, str):
        return orjson.dumps(value).decode()
    return value


def value_of(label: str | None, content: str | None) -> Any:
    """`LabeledSample.value` of the two columns that tell it."""
    if content is None:
        return label
    (found,) = orjson.loads(content).values()
    return found
