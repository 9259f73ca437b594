"""Samples as rows of numbers, cheaply: counted words, fields as they are, small pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson
from scipy import sparse
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import StandardScaler

from modelship_lab.bundles.preprocessing import decode_image
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidInput

Content = Literal["text", "image", "fields"]

TEXT_FEATURES = 1 << 18
PICTURE_SIDE = 16
"""Pixels; what a picture shows is seen at this size, and so is its color."""
FAR = 6.0
"""Standardized numbers beyond this are cut, so that one outlier does not rule a row."""


class Features(Protocol):
    """Makes rows of numbers, after it has seen some samples."""

    def fit(self, contents: Sequence[str]) -> None: ...

    def rows(self, contents: Sequence[str]) -> sparse.csr_matrix:
        """One row of float32 for each sample."""


def features_of(content: Content, blobs: Path) -> Features:
    """What is made of samples whose content is a text, the digest of an image in `blobs`, or a JSON object."""
    if content == "text":
        return _Words()
    return _Pictures(blobs) if content == "image" else _Fields()


class _Words:
    """Hashed words and pairs of words, weighted by how rare they are among the samples seen first."""

    def __init__(self) -> None:
        self._count = HashingVectorizer(
            n_features=TEXT_FEATURES, ngram_range=(1, 2), alternate_sign=False, norm=None, dtype=np.float32
        )
        self._weigh = TfidfTransformer(sublinear_tf=True)

    def fit(self, contents: Sequence[str]) -> None:
        self._weigh.fit(self._count.transform(contents))

    def rows(self, contents: Sequence[str]) -> sparse.csr_matrix:
        rows: sparse.csr_matrix = self._weigh.transform(self._count.transform(contents))
        return rows


class _Fields:
    """Numbers standardized, each text of a field a column of its own, and a column for what is missing."""

    def __init__(self) -> None:
        self._columns = DictVectorizer(dtype=np.float32)
        self._scale = StandardScaler(with_mean=False)
        self._centers: dict[str, float] = {}

    def fit(self, contents: Sequence[str]) -> None:
        read = [orjson.loads(one) for one in contents]
        numbers: dict[str, list[float]] = {}
        for row in read:
            for name, value in row.items():
                if _is_number(value):
                    numbers.setdefault(name, []).append(float(value))
        self._centers = {name: float(np.mean(values)) for name, values in numbers.items()}
        self._scale.fit(self._columns.fit_transform([self._flat(row) for row in read]))

    def rows(self, contents: Sequence[str]) -> sparse.csr_matrix:
        table = self._columns.transform([self._flat(orjson.loads(one)) for one in contents])
        scaled: sparse.csr_matrix = self._scale.transform(table)
        scaled.data = np.clip(scaled.data, -FAR, FAR)
        return scaled

    def _flat(self, row: dict[str, Any]) -> dict[str, float]:
        flat = {}
        for name, value in row.items():
            if value is None:
                flat[f"{name} is missing"] = 1.0
            elif _is_number(value):
                flat[name] = float(value) - self._centers.get(name, 0.0)
            else:
                flat[f"{name}={value}"] = 1.0
        return flat


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Pictures:
    """The pixels of pictures made small."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs
        self._size = ImageScaling(height=PICTURE_SIDE, width=PICTURE_SIDE, channels=3)

    def fit(self, contents: Sequence[str]) -> None:
        """Nothing is to be known beforehand."""

    def rows(self, contents: Sequence[str]) -> sparse.csr_matrix:
        rows = np.zeros((len(contents), PICTURE_SIDE * PICTURE_SIDE * 3), np.float32)
        for place, digest in enumerate(contents):
            try:
                data = (self._blobs / digest[:2] / digest).read_bytes()
                rows[place] = decode_image(self._size, data).reshape(-1) / 255 - 0.5
            except (InvalidInput, OSError):
                # One picture that cannot be read must not keep all others from being looked at: it is gray.
                continue
        return sparse.csr_matrix(rows)
