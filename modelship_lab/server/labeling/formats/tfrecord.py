"""TFRecord: `tf.train.Example` messages, written without TensorFlow. It is written only.

Features have the names that TensorFlow's own examples and its object detection use. A class stands there by its name and
by its number; numbers count from 0, and in object detection from 1, where 0 is the background.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa

from modelship_lab.server.labeling.formats.coco import pixels
from modelship_lab.server.labeling.formats.outgoing import OWN_COLUMNS, LabeledSample, Outgoing

Values = list[bytes] | list[float] | list[int]
"""The values of a feature, of one type; an empty list is one of bytes."""

_MASK_DELTA = 0xA282EAD8


class TfRecordWriter:
    """A file of examples, one for each sample."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._codes = {name: code for code, name in enumerate(outgoing.project.classes)}
        self._file = path.open("wb")

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            self._file.write(record(example(self._features(sample))))

    def close(self) -> None:
        self._file.close()

    def _features(self, sample: LabeledSample) -> dict[str, Values]:
        row = self._outgoing.row(sample)
        found: dict[str, Values] = {"id": [sample.id]}
        for name in OWN_COLUMNS[1:]:
            if row[name] is not None:
                found[name] = [row[name].encode()]
        if self._outgoing.content == "image":
            data = self._outgoing.image(sample.image or "")
            width, height = pixels(sample, data)
            name = self._outgoing.image_name(sample, data)
            suffix = name.rpartition(".")[2].lower()
            found["image/encoded"] = [data]
            found["image/format"] = [b"jpeg" if suffix in ("jpg", "jpeg") else suffix.encode()]
            found["image/width"], found["image/height"] = [width], [height]
            found["image/filename"] = found["image/source_id"] = [name.encode()]
        elif self._outgoing.content == "text":
            found["text"] = [(sample.text or "").encode()]
        else:
            for name, kind in self._outgoing.features.items():
                value = row[self._outgoing.feature_names[name]]
                if value is not None:
                    found[self._outgoing.feature_names[name]] = [_plain(value, kind)]
        if sample.value is not None:
            found.update(self._labels(sample.value))
        return found

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
        if self._outgoing.kind == "spans":
            return {
                "span/start": [span["start"] for span in value],
                "span/end": [span["end"] for span in value],
                "span/class/text": [span["label"].encode() for span in value],
                "span/class/label": [self._codes[span["label"]] for span in value],
            }
        names = [value] if isinstance(value, str) else value
        prefix = "image/class" if self._outgoing.content == "image" else "class"
        return {
            f"{prefix}/text": [name.encode() for name in names],
            f"{prefix}/label": [self._codes[name] for name in names],
        }


def record(data: bytes) -> bytes:
    """Data with its length and the checksums of both, as a TFRecord file has it."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def example(features: Mapping[str, Values]) -> bytes:
    """A `tf.train.Example`: its field 1 has a map as field 1, each entry a name (1) and a feature (2)."""
    entries = (_field(1, name.encode()) + _field(2, _feature(values)) for name, values in features.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _feature(values: Values) -> bytes:
    """A list of bytes is the field 1 of a feature, of floats 2, of integers 3; numbers are packed."""
    first = values[0] if values else b""
    if isinstance(first, bytes):
        return _field(1, b"".join(_field(1, value) for value in values if isinstance(value, bytes)))
    if isinstance(first, float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(_varint(value) for value in _integers(values))))


def _integers(values: Iterable[Any]) -> Iterable[int]:
    return (value & 0xFFFF_FFFF_FFFF_FFFF for value in values)


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


_SMALL = [_varint(number) for number in range(4096)]
_KEYS = [_varint(number << 3 | 2) for number in range(4)]
"""How fields of bytes begin, by their number."""
