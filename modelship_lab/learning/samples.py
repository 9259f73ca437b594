"""Labeled or unlabeled samples as they were imported, and their encoding as tensors."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from modelship_lab.bundles.preprocessing import decode_image, encode_table, hash_text
from modelship_lab.bundles.tokens import readable_text, token_ids
from modelship_lab.learning.rows import Rows, TokenLists
from modelship_lab.records.base import Task, medium_of
from modelship_lab.records.bundle import ImageScaling, Preprocessing, TableEncoding, TextHashing, TextTokens
from modelship_lab.records.errors import InvalidData, InvalidInput

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["Samples", "encode_samples"]

CHUNK = 1024
"""Samples that are encoded between two looks at whether to stop."""
MEMORY_BYTES = 1 << 30
"""Decoded images beyond this lie in a temporary file."""
PREVIEW_LENGTH = 200


@dataclass(frozen=True)
class Samples:
    """Samples of one project.

    Args:
        task: what they are.
        table: column `sample_id` and `text`, or `image` (content addresses), or one for each feature.
        features: names of the feature columns of a tabular project.
        images: content address to encoded image.
    """

    task: Task
    table: pa.Table
    features: tuple[str, ...] = ()
    images: Mapping[str, bytes] | None = None

    @classmethod
    def of_snapshot(cls, snapshot: "SnapshotData") -> "Samples":
        """The samples of a snapshot."""
        info = snapshot.info
        images = snapshot.images() if medium_of(info.task) == "image" else None
        return cls(info.task, snapshot.table(), info.features, images)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def ids(self) -> np.ndarray:
        """Sample ids, int64 (rows)."""
        return np.asarray(self.table.column("sample_id").to_numpy(), np.int64)

    def splits(self) -> list[str | None]:
        """The split that the snapshot gives each row; empty when it gives none."""
        if "split" not in self.table.column_names or "split" in self.features:
            return []
        return list(self.table.column("split").to_pylist())

    def taken(self, rows: np.ndarray) -> "Samples":
        """The samples at some positions."""
        return Samples(self.task, self.table.take(pa.array(rows)), self.features, self.images)

    def chunks(self, check: Callable[[], None]) -> Iterator[tuple[int, "Samples"]]:
        """All of them, a few at a time, each time with the position of the first: a large table stays where it is.

        Args:
            check: called before each chunk; may raise to end it.
        """
        for start in range(0, len(self), CHUNK):
            check()
            yield start, Samples(self.task, self.table.slice(start, CHUNK), self.features, self.images)

    def texts(self) -> list[str]:
        return self._column("text")

    def image(self, digest: str) -> bytes:
        """One encoded image by its content address."""
        assert self.images is not None
        return self.images[digest]

    def digests(self) -> list[str]:
        """Content addresses of the images, one for each row."""
        return self._column("image")

    def columns(self) -> dict[str, Any]:
        """Feature to its values: an array of numbers with NaN for missing, or a list."""
        return {name: _values(self.table.column(name)) for name in self.features}

    def inputs(self) -> list[Any]:
        """The samples as a bundle takes them: texts, encoded images, or rows as mappings."""
        medium = medium_of(self.task)
        if medium == "text":
            return self.texts()
        if medium == "image":
            return [self.image(digest) for digest in self.digests()]
        return list(self.table.select(list(self.features)).to_pylist())

    def preview(self, row: int) -> str:
        """A glimpse of one sample for people: the beginning of a text, an image's address, or the cells."""
        medium = medium_of(self.task)
        if medium == "text":
            return str(self.table.column("text")[row].as_py())[:PREVIEW_LENGTH]
        if medium == "image":
            return str(self.table.column("image")[row].as_py())
        cells = ((name, self.table.column(name)[row].as_py()) for name in self.features)
        return ", ".join(f"{name} {_cell(value)}" for name, value in cells if value is not None)[
            :PREVIEW_LENGTH
        ]

    def _column(self, name: str) -> list[Any]:
        values: list[Any] = self.table.column(name).to_pylist()
        if None in values:
            raise InvalidData(f"Sample {self.ids[values.index(None)]} has no {name}.")
        return values


def _cell(value: Any) -> str:
    """A cell for reading: six digits, and none after the point of a whole number."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def encode_samples(spec: Preprocessing, samples: Samples, check: Callable[[], None] = lambda: None) -> Rows:
    """Encode samples once, with the very functions that serve the model later.

    Args:
        spec: what raw inputs become.
        samples: what to encode.
        check: called now and then; may raise to end it.

    Raises:
        InvalidData: a sample cannot be read; names it.
    """
    if isinstance(spec, TextHashing | TextTokens):
        return Rows({"tokens": _encode_texts(spec, samples, check)})
    if isinstance(spec, ImageScaling):
        return Rows({"pixels": torch.from_numpy(_decode_images(spec, samples, check))})
    return _encode_table(spec, samples)


def _encode_texts(spec: TextHashing | TextTokens, samples: Samples, check: Callable[[], None]) -> TokenLists:
    ids: list[np.ndarray] = []
    lengths = np.zeros(len(samples), np.int64)
    for start, chunk in samples.chunks(check):
        read: list[Any] = []
        for row, text in enumerate(chunk.texts()):
            try:
                read.append(
                    hash_text(spec, text) if isinstance(spec, TextHashing) else readable_text(spec, text)
                )
            except InvalidInput as error:
                raise InvalidData(f"Sample {chunk.ids[row]}: {error.message}.") from error
        lists = read if isinstance(spec, TextHashing) else token_ids(spec, read)
        lengths[start : start + len(chunk)] = [len(tokens) for tokens in lists]
        ids.append(np.fromiter(itertools.chain.from_iterable(lists), np.int32))
    flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    return TokenLists(torch.from_numpy(flat), torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])))


def _decode_images(spec: ImageScaling, samples: Samples, check: Callable[[], None]) -> np.ndarray:
    shape = (len(samples), spec.height, spec.width, spec.channels)
    pixels = _room(shape)

    def decode(place: tuple[int, str]) -> None:
        row, digest = place
        try:
            pixels[row] = decode_image(spec, samples.image(digest))
        except InvalidInput as error:
            raise InvalidData(f"Sample {samples.ids[row]}: {error.message}.") from error
        except KeyError:
            raise InvalidData(f"The image of sample {samples.ids[row]} is missing.") from None

    # Pillow decodes and scales without the interpreter's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "mlship-decode") as pool:
        for start, chunk in samples.chunks(check):
            for _ in pool.map(decode, enumerate(chunk.digests(), start)):
                pass
    return pixels


def _room(shape: tuple[int, ...]) -> np.ndarray:
    """An array of bytes, in memory or, when it is large, in a file that vanishes with it."""
    if np.prod(shape, dtype=np.int64) <= MEMORY_BYTES:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="mlship-pixels-") as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _encode_table(spec: TableEncoding, samples: Samples) -> Rows:
    try:
        arrays = encode_table(spec, samples.columns())
    except InvalidInput as error:
        raise InvalidData(f"The table cannot be encoded: {error.message}.") from error
    return Rows({name: torch.from_numpy(array) for name, array in arrays.items()})


def _values(column: pa.ChunkedArray) -> Any:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        # Missing numbers become NaN.
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return column.to_pylist()
