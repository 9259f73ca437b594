"""TFRecord: `tf.train.Example` messages, read and written without TensorFlow.

Features have the names that TensorFlow's own examples and its object detection use. A class stands there by its name and
by its number; numbers count from 0, and in object detection from 1, where 0 is the background.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import Project
from modelship_lab.records.protobuf import fields, signed, varint
from modelship_lab.server.labeling.formats.coco import pixels
from modelship_lab.server.labeling.formats.outgoing import OWN_COLUMNS, LabeledSample, Outgoing, value_of
from modelship_lab.server.labeling.formats.rows import BATCH_BYTES, BATCH_ROWS, Batch, Problems

Values = list[bytes] | list[float] | list[int]
"""The values of a feature, of one type; an empty list is one of bytes."""

MAX_RECORD = 128 << 20
"""Bytes of one record."""

_MASK_DELTA = 0xA282EAD8

_LOOKED_AT = 1000
"""Examples whose features tell which there are."""

_PARTS: Mapping[str, tuple[str, ...]] = {
    "boxes": (
        "image/object/bbox/xmin",
        "image/object/bbox/ymin",
        "image/object/bbox/xmax",
        "image/object/bbox/ymax",
        "image/object/class/text",
    ),
    "spans": ("span/start", "span/end", "span/class/text"),
}
"""The features that tell the parts of a label together, one value of each for every part."""

_LABELS = ("image/class/text", "class/text")


class TfRecordReader:
    """A file of examples, one for each sample.

    Raises:
        InvalidData: it is no such file.
    """

    untyped = False

    def __init__(self, path: Path, project: Project) -> None:
        self._path = path
        kind = project.kind
        found: dict[str, None] = {}
        for data, problem in islice(_records(path), _LOOKED_AT):
            if data is not None and not problem:
                found.update(dict.fromkeys(_example(data) or ()))
        parts = [name for name, features in _PARTS.items() if any(one in found for one in features)]
        self.columns = [*parts, *(name for name in found if not any(name in one for one in _PARTS.values()))]
        self.roles: dict[str, str] = {
            name: name for name in ("text", "name", "group", "split") if name in found
        }
        usual = [("image", "image/encoded"), ("name", "image/filename")]
        if kind in ("label", "labels"):
            usual += [("label", name) for name in _LABELS]
        for role, name in usual:
            if name in found:
                self.roles.setdefault(role, name)
        if kind in parts or (kind == "number" and kind in found):
            self.roles["label"] = kind

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        rows: list[int] = []
        columns: dict[str, list[Any]] = {name: [] for name in wanted}
        size = number = 0
        for number, (data, problem) in enumerate(_records(self._path), 1):
            features = None if problem or data is None else _example(data)
            if features is None:
                problems.add(number, problem or "it is no tf.train.Example")
                continue
            rows.append(number)
            size += len(data or b"")
            for name, cells in columns.items():
                cells.append(_cell(name, features))
            if size > BATCH_BYTES or len(rows) >= BATCH_ROWS:
                yield Batch(rows, columns, number)
                rows, columns, size = [], {name: [] for name in wanted}, 0
        yield Batch(rows, columns, number)


def _records(path: Path) -> Iterator[tuple[bytes | None, str]]:
    """The records of a file, or what is wrong with each.

    Raises:
        InvalidData: it is no such file, or is damaged from here on.
    """
    with path.open("rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            if len(header) < 12 or _masked_crc(header[:8]) != header[8:]:
                what = f"is damaged from record {number:,} on" if number > 1 else "is no TFRecord file"
                raise InvalidData(f"The file {what}.")
            (length,) = struct.unpack_from("<Q", header)
            if length > MAX_RECORD:
                file.seek(length + 4, 1)
                yield None, f"the record has more than {MAX_RECORD >> 20} MiB"
                continue
            data, crc = file.read(length), file.read(4)
            if len(data) < length or len(crc) < 4:
                raise InvalidData(f"The file ends within record {number:,}.")
            yield data, "" if _masked_crc(data) == crc else "its checksum is wrong"


def _example(data: bytes) -> dict[str, list[Any]] | None:
    """The features of an example by their names; None if it is none."""
    found: dict[str, list[Any]] = {}
    try:
        for _, features in fields(memoryview(data)):
            for _, entry in fields(_message(features)):
                pair = dict(fields(_message(entry)))
                feature = _message(pair.get(2, memoryview(b"")))
                name = bytes(_message(pair[1])).decode()
                found[name] = [value for kind, values in fields(feature) for value in _values(kind, values)]
    except (ValueError, KeyError):
        return None
    return found


def _values(kind: int, values: Any) -> Iterator[Any]:
    for _, value in fields(_message(values)):
        if kind == 1:
            yield bytes(_message(value))
        elif kind == 2:
            # Numbers are packed, or stand one by one.
            packed = value if isinstance(value, memoryview) else struct.pack("<I", value)
            yield from (one for (one,) in struct.iter_unpack("<f", packed))
        elif isinstance(value, int):
            yield signed(value)
        else:
            position = 0
            while position < len(value):
                number, position = varint(value, position)
                yield signed(number)


def _message(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number stands where a message belongs")
    return value


def _cell(name: str, features: Mapping[str, list[Any]]) -> Any:
    """A feature, or the parts of a label, as other formats have it."""
    if name in _PARTS:
        columns = [features.get(one) for one in _PARTS[name]]
        if any(column is None for column in columns):
            return None
        parts = zip(*(column or [] for column in columns), strict=False)
        return [_part(name, *part) for part in parts]
    values = features.get(name)
    if values is None:
        return None
    if name in _LABELS:
        return [_text(one) for one in values]
    if name == "image/encoded":
        return values[0] if values else None
    plain = [_text(one) if isinstance(one, bytes) else one for one in values]
    return plain[0] if len(plain) == 1 else plain or None


def _part(kind: str, *values: Any) -> dict[str, Any]:
    if kind == "spans":
        start, end, label = values
        return {"start": start, "end": end, "label": _text(label)}
    left, top, right, bottom, label = values
    return {"x": left, "y": top, "width": right - left, "height": bottom - top, "label": _text(label)}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class TfRecordWriter:
    """A file of examples, one for each sample."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._codes = {name: code for code, name in enumerate(outgoing.project.classes)}
        # There are few different ones.
        self._classes = lru_cache(maxsize=_MOST_CLASSES)(self._label_of_classes)
        self._span_classes = lru_cache(maxsize=_MOST_CLASSES)(self._classes_of_spans)
        self._file = path.open("wb")

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            entries = self._own(sample) + self._content(sample) + self._label(sample)
            self._file.write(record(example(entries)))

    def close(self) -> None:
        self._file.close()

    def _own(self, sample: LabeledSample) -> bytes:
        own = [_entry("id", [sample.id])]
        own += [
            _entry(name, [said.encode()])
            for name, said in (("name", sample.name), ("group", sample.group))
            if said is not None
        ]
        return b"".join(own) + _repeated(
            sample.split, sample.status, sample.source, sample.author, sample.origin
        )

    def _content(self, sample: LabeledSample) -> bytes:
        if self._outgoing.content == "text":
            return _entry("text", [(sample.text or "").encode()])
        found: dict[str, Values] = {}
        if self._outgoing.content == "image":
            data = self._outgoing.image(sample.image or "")
            width, height = pixels(sample, data)
            name = self._outgoing.image_name(sample, data)
            suffix = name.rpartition(".")[2].lower()
            found["image/encoded"] = [data]
            found["image/format"] = [b"jpeg" if suffix in ("jpg", "jpeg") else suffix.encode()]
            found["image/width"], found["image/height"] = [width], [height]
            found["image/filename"] = found["image/source_id"] = [name.encode()]
        else:
            row = self._outgoing.row(sample)
            for name, kind in self._outgoing.features.items():
                value = row[self._outgoing.feature_names[name]]
                if value is not None:
                    found[self._outgoing.feature_names[name]] = [_plain(value, kind)]
        return _entries(found)

    def _label(self, sample: LabeledSample) -> bytes:
        if self._outgoing.kind in ("label", "labels"):
            return self._classes(sample.label, sample.content)
        value = sample.value
        if value is None:
            return b""
        if self._outgoing.kind == "spans":
            places = [_entry(f"span/{name}", [one[name] for one in value]) for name in ("start", "end")]
            return b"".join(places) + self._span_classes(tuple([one["label"] for one in value]))
        return _entries(self._labels(value))

    def _label_of_classes(self, label: str | None, content: str | None) -> bytes:
        value = value_of(label, content)
        return b"" if value is None else _entries(self._labels(value))

    def _classes_of_spans(self, names: tuple[str, ...]) -> bytes:
        found: dict[str, Values] = {
            "span/class/text": [name.encode() for name in names],
            "span/class/label": [self._codes[name] for name in names],
        }
        return _entries(found)

    def _labels(self, value: Any) -> dict[str, Values]:
        if self._outgoing.kind == "boxes":
            return {
                "image/object/bbox/xmin": [float(box["x"]) for box in value],
                "image/object/bbox/xmax": [float(box["x"] + box["width"]) for box in value],
                "image/object/bbox/ymin": [float(box["y"]) for box in value],
                "image/object/bbox/ymax": [float(box["y"] + box["height"]) for box in value],
                "image/object/class/text": [box["label"].encode() for box in value],
                "image/object/class/label": [self._codes[box["label"]] + 1 for box in value],
            }
        if self._outgoing.kind == "number":
            return {"number": [float(value)]}
        names = [value] if isinstance(value, str) else value
        prefix = "image/class" if self._outgoing.content == "image" else "class"
        return {
            f"{prefix}/text": [name.encode() for name in names],
            f"{prefix}/label": [self._codes[name] for name in names],
        }


def record(data: bytes) -> bytes:
    """Data with its length and the checksums of both, as a TFRecord file has it."""
    return _length(len(data)) + data + _masked_crc(data)


@lru_cache(maxsize=50_000)
def _length(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + _masked_crc(packed)


def example(entries: bytes) -> bytes:
    """A `tf.train.Example` of what `_entry` makes: its field 1 has a map as field 1."""
    return _field(1, entries)


def _entries(features: Mapping[str, Values]) -> bytes:
    return b"".join(_entry(name, values) for name, values in features.items())


@lru_cache(maxsize=50_000)
def _repeated(*said: str | None) -> bytes:
    """What is the same for many samples: the columns behind the group."""
    pairs = zip(OWN_COLUMNS[3:], said, strict=True)
    return b"".join(_entry(name, [value.encode()]) for name, value in pairs if value is not None)


def _entry(name: str, values: Values) -> bytes:
    """A name (1) and a feature (2): of bytes it is the feature's field 1, of floats 2, of integers 3; numbers are packed."""
    first = values[0] if values else b""
    if isinstance(first, bytes):
        if len(values) == 1:
            content, number = first, 0
        else:
            content = b"".join(_field(1, value) for value in values if isinstance(value, bytes))
            number = 1
    elif isinstance(first, float):
        content, number = struct.pack(f"<{len(values)}f", *values), 2
    else:
        content, number = b"".join([_integer(value) for value in values]), 3  # type: ignore[arg-type]
    return _before(name, number, len(content)) + content


@lru_cache(maxsize=50_000)
def _before(name: str, number: int, length: int) -> bytes:
    """What stands before the values of a feature: nothing but lengths, which are the same for all of so many bytes.

    Args:
        number: the feature's field; 0: of bytes, with a single value.
    """
    values = bytes(length)
    feature = _field(1, values) if number == 1 else _field(number or 1, _field(1, values))
    entry = _field(1, _field(1, name.encode()) + _field(2, feature))
    return entry[: len(entry) - length]


def _integer(value: int) -> bytes:
    return _SMALL[value] if 0 <= value < len(_SMALL) else _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _field(number: int, content: bytes) -> bytes:
    length = len(content)
    return _KEYS[number] + (_SMALL[length] if length < len(_SMALL) else _varint(length)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _plain(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return value.encode()
    return float(value) if pa.types.is_floating(kind) else int(value)


_MOST_CLASSES = 10_000
"""Different labels of classes that are remembered as they are written."""

_SMALL = [_varint(number) for number in range(1 << 14)]
_KEYS = [_varint(number << 3 | 2) for number in range(4)]
"""How fields of bytes begin, by their number."""
