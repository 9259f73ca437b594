"""Folders that the library `datasets` of Hugging Face saves to disk; read and written without it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import SPLITS, Kind, Project
from modelship_lab.server.labeling.formats.archive import MAX_DOCUMENT, Archive, Chain, Zip, pieces_of
from modelship_lab.server.labeling.formats.arrow import ArrowReader, in_pieces
from modelship_lab.server.labeling.formats.outgoing import (
    FILE_NAME,
    OWN_COLUMNS,
    LabeledSample,
    Outgoing,
)
from modelship_lab.server.labeling.formats.rows import Batch, Problems
from modelship_lab.server.labeling.images import image_size

STATE = "state.json"
INFO = "dataset_info.json"
PARTS = "dataset_dict.json"

DEFAULT_SPLIT = "train"

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class HuggingFaceReader:
    """One split: its Arrow file, with the names of classes in place of their numbers."""

    untyped = False

    def __init__(self, path: Path, features: Mapping[str, Any], project: Project) -> None:
        self._rows = ArrowReader(path)
        self._features = features
        self.columns = self._rows.columns
        self.roles = {name: name for name in ("name", "group", "split") if name in self.columns}
        kind = project.kind
        label = (
            kind
            if kind in self.columns
            else next((name for name, feature in features.items() if _holds_classes(feature, kind)), None)
        )
        if label is not None:
            self.roles["label"] = label
        objects = next((name for name, one in features.items() if _holds_boxes(one)), None)
        if kind == "boxes" and label is None and objects is not None:
            label = self.roles["label"] = objects
        self._objects = objects if label == objects else None
        image = next((name for name, one in features.items() if _type(one) == "Image"), None)
        if image is not None:
            self.roles["image"] = image
        for name in ("text", "tokens") if kind == "spans" else ("text",):
            if name in self.columns:
                self.roles["text"] = name
                break

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        for batch in self._rows.batches(wanted, problems):
            for name, cells in batch.columns.items():
                feature = self._features.get(name)
                if _mentions_classes(feature):
                    batch.columns[name] = [_named(feature, cell) for cell in cells]
            if self._objects in batch.columns and "image" in self.roles:
                images = batch.columns.get(self.roles["image"]) or [None] * len(batch.rows)
                pairs = zip(batch.columns[self._objects], images, strict=True)
                batch.columns[self._objects] = [_boxes(cell, image) for cell, image in pairs]
            yield batch


def read_hugging_face(archive: Archive, project: Project) -> Chain:
    """The splits of a saved data set.

    Raises:
        InvalidData: it is none, or a file of it is missing.
    """
    folders = sorted(name.removesuffix(STATE) for name in archive.names if name.rpartition("/")[2] == STATE)
    parts = []
    for folder in folders:
        features = _document(archive, f"{folder}{INFO}").get("features") or {}
        files = _document(archive, f"{folder}{STATE}").get("_data_files") or []
        split = folder.strip("/").rpartition("/")[2] or None
        for file in files:
            name = f"{folder}{file.get('filename')}" if isinstance(file, dict) else ""
            if name not in archive:
                raise InvalidData(f"The file {name[:200]} of the data set is missing.")
            reader = HuggingFaceReader(archive.extract(name), features, project)
            parts.append((reader, SPLITS.get(split, split) if split else None))
    if not parts:
        raise InvalidData(f"This is no data set saved by Hugging Face's `datasets`: there is no {STATE}.")
    return Chain(parts)


class HuggingFaceWriter:
    """A zip file with the folder that `datasets.load_from_disk` reads; one folder for each split if there are any."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._path = path
        self._schema, self._features = _described(outgoing)
        self._codes = {name: code for code, name in enumerate(outgoing.project.classes)}
        self._parts: dict[str, tuple[Path, Any]] = {}

    def write(self, samples: Sequence[LabeledSample]) -> None:
        by_split: dict[str, list[LabeledSample]] = {}
        for sample in samples:
            by_split.setdefault(sample.split or DEFAULT_SPLIT, []).append(sample)
        for split, some in by_split.items():
            writer = self._part(split)
            for piece in in_pieces(some, self._outgoing):
                rows = [self._row(sample, image) for sample, image in piece]
                columns = [pa.array([row[field.name] for row in rows], field.type) for field in self._schema]
                writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def write_table(self, samples: pa.Table) -> None:
        """`write` for a table with the columns of `Outgoing.schema`."""
        for name in (self._outgoing.kind, "suggestion"):
            if (place := samples.schema.get_field_index(name)) >= 0:
                samples = samples.set_column(place, name, self._codes_of(samples[name].combine_chunks()))
        samples = samples.cast(self._schema)
        splits = pc.fill_null(samples["split"], DEFAULT_SPLIT)
        for split in splits.unique().to_pylist():
            self._part(split).write_table(samples.filter(pc.equal(splits, split)))

    def _codes_of(self, values: pa.Array) -> pa.Array:
        """`_coded` for a column: what lies in lists and parts stays there."""
        kind = values.type
        if pa.types.is_string(kind):
            classes = pa.array(list(self._codes), pa.string())
            return pc.index_in(values, classes, skip_nulls=True).cast(pa.int64())
        if pa.types.is_list(kind):
            parts = self._codes_of(values.values)
            return pa.ListArray.from_arrays(values.offsets, parts, mask=values.is_null())
        fields = {field.name: values.field(field.name) for field in kind}
        fields["label"] = self._codes_of(fields["label"])
        return pa.StructArray.from_arrays(list(fields.values()), list(fields))

    def _row(self, sample: LabeledSample, image: bytes | None) -> dict[str, Any]:
        row = self._outgoing.row(sample)
        if image is not None:
            row["image"] = {"bytes": image, "path": self._outgoing.image_name(sample, image)}
        for name in (self._outgoing.kind, "suggestion"):
            if row.get(name) is not None:
                row[name] = self._coded(row[name])
        return row

    def _coded(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._codes[value]
        if isinstance(value, float):
            return value
        return [
            self._codes[part] if isinstance(part, str) else {**part, "label": self._codes[part["label"]]}
            for part in value
        ]

    def _part(self, split: str) -> Any:
        if split not in self._parts:
            path = self._path.with_name(f"{self._path.name}.part{len(self._parts)}")
            self._parts[split] = (path, pa.ipc.new_stream(str(path), self._schema))
        return self._parts[split][1]

    def close(self) -> None:
        if not self._parts:
            self._part(DEFAULT_SPLIT)
        archive = Zip(self._path)
        several = bool(self._outgoing.splits)
        file = "data-00000-of-00001.arrow"
        for split, (path, writer) in self._parts.items():
            writer.close()
            folder = f"{split}/" if several else ""
            archive.add_pieces(f"{folder}{file}", pieces_of(path))
            archive.add(f"{folder}{INFO}", orjson.dumps({"description": "", "features": self._features}))
            state: dict[str, Any] = {
                "_data_files": [{"filename": file}],
                "_fingerprint": uuid.uuid4().hex[:16],
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": split,
            }
            archive.add(f"{folder}{STATE}", orjson.dumps(state))
        if several:
            archive.add(PARTS, orjson.dumps({"splits": list(self._parts)}))
        archive.close()


def _described(outgoing: Outgoing) -> tuple[pa.Schema, dict[str, Any]]:
    """The columns with their types, and as `datasets` describes them."""
    classes = {"names": list(outgoing.project.classes), "_type": "ClassLabel"}

    def value(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "_type": "Value"}

    def part(names: Sequence[str], dtype: str) -> list[dict[str, Any]]:
        return [{**{name: value(dtype) for name in names}, "label": classes}]

    labels: dict[Kind, tuple[pa.DataType, Any]] = {
        "label": (pa.int64(), classes),
        "labels": (pa.list_(pa.int64()), [classes]),
        "spans": (
            pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.int64())])),
            part(("start", "end"), "int64"),
        ),
        "boxes": (
            pa.list_(
                pa.struct(
                    [
                        *((name, pa.float64()) for name in ("x", "y", "width", "height")),
                        ("label", pa.int64()),
                    ]
                )
            ),
            part(("x", "y", "width", "height"), "float64"),
        ),
        "number": (pa.float64(), value("float64")),
    }
    fields: list[tuple[str, pa.DataType]] = []
    features: dict[str, Any] = {}
    for field in outgoing.schema:
        if field.name in (outgoing.kind, "suggestion") and field.name not in OWN_COLUMNS:
            kind, features[field.name] = labels[outgoing.kind]
            fields.append((field.name, kind))
        elif field.name == FILE_NAME and outgoing.content == "image":
            features["image"] = {"_type": "Image"}
            fields.append(("image", _IMAGE))
        else:
            dtype = {"double": "float64"}.get(str(field.type), str(field.type))
            features[field.name] = value(dtype)
            fields.append((field.name, field.type))
    information = orjson.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": information}), features


def _document(archive: Archive, name: str) -> dict[str, Any]:
    try:
        found = orjson.loads(archive.read(name, MAX_DOCUMENT))
    except (InvalidInput, orjson.JSONDecodeError):
        raise InvalidData(f"The file {name[:200]} of the data set is missing or damaged.") from None
    return found if isinstance(found, dict) else {}


def _type(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _element(feature: Any) -> Any:
    """What a list is a list of; None if it is no list."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature") if _type(feature) in ("Sequence", "List", "LargeList") else None


def _holds_classes(feature: Any, kind: Kind) -> bool:
    if kind == "label":
        return _type(feature) == "ClassLabel"
    # Tags of tokens are a class for each, too.
    return kind in ("labels", "spans") and _type(_element(feature)) == "ClassLabel"


_BOX, _CATEGORIES = "bbox", ("category", "label", "category_id", "categories", "labels")


def _holds_boxes(feature: Any) -> bool:
    """Whether it is what data sets of detection call `objects`: boxes, each with its class."""
    one = _element(feature)
    fields = one if isinstance(one, dict) else feature
    return isinstance(fields, dict) and _BOX in fields and any(name in fields for name in _CATEGORIES)


def _boxes(cell: Any, image: Any) -> Any:
    """Boxes as fractions of the image. They are left, top, width and height in pixels, as those of COCO."""
    if isinstance(cell, dict):
        cell = [dict(zip(cell, values, strict=False)) for values in zip(*cell.values(), strict=False)]
    if not isinstance(cell, list):
        return cell
    data = (image.get("bytes") if isinstance(image, dict) else image) or b""
    try:
        edges = [[float(edge) for edge in one[_BOX]] for one in cell]
        width, height = (1, 1) if all(max(one) <= 1 for one in edges) else image_size(data)
        return [
            {
                "x": x / width,
                "y": y / height,
                "width": wide / width,
                "height": high / height,
                "label": next((one[name] for name in _CATEGORIES if name in one), None),
            }
            for one, (x, y, wide, high) in zip(cell, edges, strict=True)
        ]
    except (TypeError, KeyError, ValueError, InvalidInput):
        # What it is instead is told with the row.
        return "boxes that are not four numbers each"


def _mentions_classes(feature: Any) -> bool:
    if _type(feature) == "ClassLabel":
        return True
    if (element := _element(feature)) is not None:
        return _mentions_classes(element)
    return isinstance(feature, dict) and any(_mentions_classes(one) for one in feature.values())


def _named(feature: Any, cell: Any) -> Any:
    """A cell with the names of classes in place of their numbers."""
    if cell is None:
        return None
    if _type(feature) == "ClassLabel":
        names = feature.get("names")
        if isinstance(cell, int) and isinstance(names, list) and cell < len(names):
            return names[cell] if cell >= 0 else None
        return cell
    if (element := _element(feature)) is not None:
        if isinstance(cell, dict):
            # A sequence of mappings is stored as a mapping of lists.
            cell = [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=True)]
        return [_named(element, one) for one in cell] if isinstance(cell, list) else cell
    if isinstance(feature, dict) and isinstance(cell, dict):
        return {name: _named(feature.get(name), one) for name, one in cell.items()}
    return cell
