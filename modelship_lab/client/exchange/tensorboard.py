"""Runs of a folder of TensorBoard event files."""

import math
import mmap
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.event_file import records
from modelship_lab.client.exchange.transfer import (
    SourceFile,
    SourceRun,
    Tally,
    artifact_name,
    moment_of,
    points_table,
)
from modelship_lab.records.artifacts import ArtifactKind
from modelship_lab.records.protobuf import Value, fields, float32, float64, signed, varint

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 100_000
_PATTERN = "*tfevents.*"
_WALL_TIME = 0x09
_STEP = 0x10
_FLOAT = 0x15
"""The keys, as bytes, of an event's time and step, and of a summary's plain value."""
_DOUBLE = struct.Struct("<d")
_SINGLE = struct.Struct("<f")
_LATEST = 1e11
"""Seconds since 1970 that are no time any more."""
_KINDS = {
    "images": "images",
    "audio": "sounds",
    "histograms": "histograms",
    "text": "texts",
    "pr_curves": "precision-recall curves",
    "mesh": "meshes",
    "custom_scalars": "layouts of charts",
}
_IMAGE, _HISTOGRAM, _AUDIO, _TENSOR = 4, 5, 6, 8
"""Fields of a summary's value."""
_ENCODED = 4
"""The field of a picture or sound that has its file."""
_SUFFIXES = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpg", b"GIF8": "gif", b"RIFF": "wav"}
_SHOWN: dict[str, tuple[str, ArtifactKind]] = {
    "png": ("image/png", "image"),
    "jpg": ("image/jpeg", "image"),
    "gif": ("image/gif", "image"),
    "wav": ("audio/wav", "file"),
    "txt": ("text/plain; charset=utf-8", "text"),
}
_OF_EVENT = {4: "graphs", 6: "log messages", 7: "session logs", 8: "run metadata", 9: "graphs"}
_NUMBERS: dict[int, tuple[str, int]] = {1: ("f", 5), 2: ("d", 6), 3: ("i", 7), 9: ("q", 10)}
"""By a tensor's type: how a number of it is stored, and the field of the tensor that lists them."""
_LIST_FIELDS = {5: "f", 6: "d", 7: "i", 10: "q"}


class TensorBoard:
    """Reads a folder of TensorBoard event files; each folder with such files in it is a run.

    Args:
        path: the folder, or one event file.
        tally: what is left out, and what cannot be read, is said there.
    """

    kind = "tensorboard"

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether it is such a folder or file."""
        if path.is_dir():
            return any(path.rglob(_PATTERN))
        return "tfevents." in path.name

    def runs(self) -> Iterator[SourceRun]:
        root = self._path if self._path.is_dir() else self._path.parent
        files = sorted(root.rglob(_PATTERN)) if self._path.is_dir() else [self._path]
        folders: dict[Path, list[Path]] = {}
        for file in files:
            folders.setdefault(file.parent, []).append(file)
        for folder, found in folders.items():
            name = folder.relative_to(root).as_posix()
            name = root.resolve().name if name == "." else name
            yield self._run(name, found)

    def _run(self, name: str, files: list[Path]) -> SourceRun:
        events = _Events(self._tally)
        tables = [table for file in files for table in events.tables(file)]
        self._tally.points_total += sum(table.num_rows for table in tables)
        self._tally.leave_out("pictures, sounds and texts whose step came again", events.replaced)
        for what, count in events.others.items():
            self._tally.leave_out(what, count)
        return SourceRun(
            # The first file has the moment, machine and process in its name; a folder may be moved.
            id=f"{name}/{files[0].name}",
            name=name,
            origin={"kind": "tensorboard", "run": name, "files": [file.name for file in files]},
            status=events.status,
            started_at=moment_of(None if events.first is None else events.first * 1000),
            ended_at=moment_of(None if events.last is None else events.last * 1000),
            params=events.params,
            points=lambda: iter(tables),
            files=events.files.values,
        )


class _Events:
    """What the event files of one run say."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.params: dict[str, Any] = {}
        self.status: Any = "finished"
        self.first: float | None = None
        self.last: float | None = None
        self.files: dict[tuple[str, int | None], SourceFile] = {}
        """Pictures, sounds and texts by name and step."""
        self.replaced = 0
        """How many of these were followed by another one of the same name and step."""
        self.others: Counter[str] = Counter()
        """What is neither a number nor a file, by what it is."""
        self._plugins: dict[str, str] = {}
        """By tag; only its first summary says it."""
        self._plain: dict[bytes, str] = {}
        """Tags by what stands between the step and the value of a summary with nothing but one plain value."""
        self._clear()

    def _clear(self) -> None:
        self._names: list[str] = []
        self._steps: list[int] = []
        self._times: list[float] = []
        self._values: list[float] = []

    def tables(self, path: Path) -> Iterator["pa.Table"]:
        """The points of one file."""

        def damaged(offset: int, reason: str) -> None:
            self._tally.problem(f"{path}, byte {offset:,}", reason)

        try:
            with path.open("rb") as file:
                if not path.stat().st_size:
                    return
                # A copy would hold the whole file; a map is read as it is needed.
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                for record in records(content, damaged):
                    try:
                        self._event(record)
                    except (ValueError, struct.error, IndexError) as error:
                        self._tally.problem(str(path), f"an event cannot be read: {error}")
                    if len(self._names) >= _BATCH:
                        yield self._table()
        except OSError as error:
            self._tally.problem(str(path), error.strerror or str(error))
        if self._names:
            yield self._table()

    def _table(self) -> "pa.Table":
        import numpy as np

        self._seen(min(self._times), max(self._times))
        times_us = np.round(np.array(self._times) * 1e6)
        table = points_table(self._names, self._steps, times_us, self._values)
        self._clear()
        return table

    def _event(self, record: memoryview) -> None:
        """One event; nearly all of them are one plain number, and read without a detour."""
        data = bytes(record)
        if len(data) > 15 and data[0] == _WALL_TIME and data[-5] == _FLOAT:
            step, position = 0, 9
            if data[9] == _STEP:
                step, position = data[10], 11
                if step > 127:
                    step, position = varint(record, 10)
            known = self._plain.get(data[position:-4])
            if known is not None:
                (wall_time,) = _DOUBLE.unpack_from(data, 1)
                self._point(known, step, wall_time, _SINGLE.unpack_from(data, len(data) - 4)[0])
                return
            found = self._read(record)
            if len(found) == 1 and found[0][1] and _is_plain(record[position:], found[0][0]):
                self._plain[data[position:-4]] = found[0][0]
            return
        self._read(record)

    def _read(self, record: memoryview) -> list[tuple[str, bool]]:
        """Any event; returns the tags of its numbers and whether each is plain."""
        wall_time, step = 0.0, 0
        summaries: list[memoryview] = []
        for number, value in fields(record):
            if number == 1 and isinstance(value, int):
                wall_time = float64(value)
            elif number == 2 and isinstance(value, int):
                step = value
            elif number == 5 and isinstance(value, memoryview):
                summaries.append(value)
            elif number in _OF_EVENT:
                self.others[_OF_EVENT[number]] += 1
        self._seen(wall_time)
        found = []
        for summary in summaries:
            for number, value in fields(summary):
                if number == 1 and isinstance(value, memoryview):
                    found += self._summary(value, step, wall_time)
        return found

    def _summary(self, message: memoryview, step: int, wall_time: float) -> list[tuple[str, bool]]:
        parts: dict[int, Value] = dict(fields(message))
        tag = _text(parts.get(1))
        plugin, content = _plugin(parts.get(9))
        if plugin:
            self._plugins[tag] = plugin
        plugin = self._plugins.get(tag, "")
        plain = parts.get(2)
        if isinstance(plain, int):
            self._point(tag, step, wall_time, float32(plain))
            return [(tag, True)]
        if plugin == "hparams":
            self._hparams(content)
            return []
        tensor = parts.get(8)
        if plugin in ("scalars", "") and isinstance(tensor, memoryview):
            value = _scalar(tensor)
            if value is not None:
                self._point(tag, step, wall_time, value)
                return [(tag, False)]
        files = list(_files(parts, plugin))
        for number, (content, suffix) in enumerate(files):
            self._file(tag if len(files) == 1 else f"{tag}/{number}", suffix, content, signed(step))
        if not files:
            self.others[_KINDS.get(plugin, "histograms" if _HISTOGRAM in parts else "tensors")] += 1
        return []

    def _file(self, tag: str, suffix: str, content: memoryview, step: int) -> None:
        name = f"{artifact_name(tag)}.{suffix}"
        self.replaced += (name, step) in self.files
        content_type, kind = _SHOWN[suffix]
        self.files[name, step] = SourceFile(name, content, content_type, kind, step)

    def _point(self, tag: str, step: int, wall_time: float, value: float) -> None:
        # Comparisons with NaN are false.
        if not -_LATEST < wall_time < _LATEST:
            raise ValueError(f"{wall_time:g} is no time")
        self._names.append(tag)
        self._steps.append(signed(step))
        self._times.append(wall_time)
        self._values.append(value)

    def _seen(self, *wall_times: float) -> None:
        if not all(-_LATEST < wall_time < _LATEST for wall_time in wall_times):
            raise ValueError(f"{wall_times} is no time")
        self.first = min(wall_times if self.first is None else (self.first, *wall_times))
        self.last = max(wall_times if self.last is None else (self.last, *wall_times))

    def _hparams(self, content: memoryview) -> None:
        for number, value in fields(content):
            if not isinstance(value, memoryview):
                continue
            if number == 3:
                for inner, pair in fields(value):
                    if inner == 1 and isinstance(pair, memoryview):
                        entry = dict(fields(pair))
                        self.params[_text(entry.get(1))] = _json_value(entry.get(2))
            elif number == 4 and dict(fields(value)).get(1) == 2:
                self.status = "failed"


def _files(parts: Mapping[int, Value], plugin: str) -> Iterator[tuple[memoryview, str]]:
    """The pictures, sound or text of a summary, each with the suffix of its name."""
    if plugin == "text" and isinstance(tensor := parts.get(_TENSOR), memoryview):
        texts = [bytes(value) for value in _strings(tensor)]
        if texts:
            yield memoryview(b"\n\n".join(texts)), "txt"
        return
    contents: list[Value] = []
    if isinstance(tensor := parts.get(_TENSOR), memoryview):
        # Width and height come before the pictures, and behind each sound its label.
        strings = _strings(tensor)
        contents += {"images": strings[2:], "audio": strings[::2]}.get(plugin, [])
    for number in (_IMAGE, _AUDIO):
        if isinstance(message := parts.get(number), memoryview):
            contents += [value for field, value in fields(message) if field == _ENCODED]
    for content in contents:
        if isinstance(content, memoryview) and (suffix := _SUFFIXES.get(bytes(content[:4]))) is not None:
            yield content, suffix


def _strings(tensor: memoryview) -> list[memoryview]:
    return [value for number, value in fields(tensor) if number == 8 and isinstance(value, memoryview)]


def _is_plain(rest: memoryview, tag: str) -> bool:
    """Whether an event's rest is one summary with a tag and a value, so that its end is that value."""
    name = tag.encode()
    if len(name) > 100:
        return False
    inner = b"\x0a" + bytes([len(name)]) + name + b"\x15"
    value = b"\x0a" + bytes([len(inner) + 4]) + inner
    return bytes(rest[:-4]) == b"\x2a" + bytes([len(value) + 4]) + value


def _text(value: Value | None) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""


def _plugin(metadata: Value | None) -> tuple[str, memoryview]:
    """A summary's plugin, and what it says to it."""
    if not isinstance(metadata, memoryview):
        return "", memoryview(b"")
    data = dict(fields(metadata)).get(1)
    parts = dict(fields(data)) if isinstance(data, memoryview) else {}
    content = parts.get(2)
    return _text(parts.get(1)), content if isinstance(content, memoryview) else memoryview(b"")


def _scalar(tensor: memoryview) -> float | None:
    """The number of a tensor that is one; None for any other."""
    kind = 0
    size = 1
    raw: memoryview | None = None
    listed: dict[int, Value] = {}
    for number, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, memoryview):
            for inner, dimension in fields(value):
                if inner == 2 and isinstance(dimension, memoryview):
                    extent = dict(fields(dimension)).get(1, 0)
                    size *= extent if isinstance(extent, int) else 0
        elif number == 4 and isinstance(value, memoryview):
            raw = value
        elif number in _LIST_FIELDS:
            listed[number] = value
    if kind not in _NUMBERS or size != 1:
        return None
    layout, field_number = _NUMBERS[kind]
    if raw is not None and len(raw) == struct.calcsize(layout):
        return float(struct.unpack(f"<{layout}", raw)[0])
    stored = listed.get(field_number)
    if stored is None:
        # What is zero is not written.
        return 0.0
    if isinstance(stored, memoryview):
        if layout in "iq":
            return float(signed(varint(stored, 0)[0]))
        return float(struct.unpack_from(f"<{layout}", stored)[0])
    return {"f": float32, "d": float64, "i": signed, "q": signed}[layout](stored)


def _json_value(value: Value | None) -> Any:
    """A `google.protobuf.Value` of a hyperparameter."""
    if not isinstance(value, memoryview):
        return None
    for number, inner in fields(value):
        if number == 2 and isinstance(inner, int):
            figure = float64(inner)
            if not math.isfinite(figure):
                return str(figure)
            return int(figure) if figure.is_integer() and abs(figure) < 1 << 53 else figure
        if number == 3:
            return _text(inner)
        if number == 4:
            return bool(inner)
    return None
