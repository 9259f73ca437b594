"""COCO: boxes in pixels in a JSON file beside a folder of images.

An image of the file without a box counts as one in which there is nothing to see.
"""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import Project
from modelship_lab.server.labeling.formats.archive import (
    MAX_IMAGE,
    Archive,
    Chain,
    ImageRows,
    Zip,
    pieces_of,
    split_of,
)
from modelship_lab.server.labeling.formats.json import items_of
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import Problems
from modelship_lab.server.labeling.images import image_size

MAX_ANNOTATIONS = 10_000_000
"""Of one file: each takes 48 bytes of memory while it is read."""


class CocoReader(ImageRows):
    """One COCO file with its images.

    Args:
        path: the JSON file.

    Raises:
        InvalidData: it is not one of COCO, or is damaged.
    """

    def __init__(self, archive: Archive, path: Path) -> None:
        super().__init__(archive, ["label"])
        self._path = path
        self._problems: dict[int, str] = {}
        categories = list(items_of(path, "categories.item"))
        try:
            self._names = {one["id"]: str(one["name"]) for one in categories}
        except (TypeError, KeyError):
            raise InvalidData("The categories of the COCO file have not an id and a name each.") from None
        self._numbers: dict[Any, int] = {}
        self._count = 0
        for self._count, image in enumerate(items_of(path, "images.item"), 1):
            self._numbers.setdefault(_identity(image), self._count - 1)
        if not self._count:
            raise InvalidData("The COCO file names no image: `images` is missing or empty.")
        self._read_annotations()

    def _read_annotations(self) -> None:
        places, boxes = array("q"), array("d")
        labels: list[str] = []
        codes: dict[str, int] = {}
        kinds = array("q")
        for one in items_of(self._path, "annotations.item"):
            if len(places) >= MAX_ANNOTATIONS:
                raise InvalidData(f"The COCO file has more than {MAX_ANNOTATIONS:,} annotations.")
            number = self._numbers.get(one.get("image_id") if isinstance(one, dict) else None)
            if number is None:
                # It belongs to no image, so that no row can be refused for it.
                continue
            try:
                label = self._names.get(one["category_id"], f"category {one['category_id']}")
                x, y, width, height = (float(edge) for edge in one["bbox"])
            except (TypeError, KeyError, ValueError):
                self._problems.setdefault(
                    number, "an annotation has not a category and a box of four numbers"
                )
                continue
            if label not in codes:
                codes[label] = len(labels)
                labels.append(label)
            places.append(number)
            kinds.append(codes[label])
            boxes.extend((x, y, width, height))
        self._labels = labels
        found = np.frombuffer(places, np.int64) if places else np.zeros(0, np.int64)
        order = np.argsort(found, kind="stable")
        self._places = found[order]
        self._kinds = (np.frombuffer(kinds, np.int64) if kinds else found)[order]
        self._boxes = (np.frombuffer(boxes, np.float64).reshape(-1, 4) if boxes else np.zeros((0, 4)))[order]

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        for number, image in enumerate(items_of(self._path, "images.item")):
            file = str(image.get("file_name") or "") if isinstance(image, dict) else ""
            if self._numbers.get(_identity(image)) != number:
                yield file, None, InvalidInput("its id is that of an earlier image, or it has none")
            elif number in self._problems:
                yield file, None, InvalidInput(self._problems[number])
            else:
                path = self.archive.find(file)
                try:
                    yield file, path, {"label": self._boxes_of(number, image, path)}
                except InvalidInput as error:
                    yield file, path, error

    def _boxes_of(self, number: int, image: dict[str, Any], path: str | None) -> list[dict[str, Any]]:
        first, last = np.searchsorted(self._places, [number, number + 1]).tolist()
        if first == last:
            return []
        size = image.get("width"), image.get("height")
        if not all(isinstance(edge, int | float) and edge > 0 for edge in size):
            size = image_size(self.archive.read(path, MAX_IMAGE)) if path else (1, 1)
        width, height = size
        return [
            {
                "x": x / width,
                "y": y / height,
                "width": wide / width,
                "height": high / height,
                "label": self._labels[kind],
            }
            for kind, (x, y, wide, high) in zip(
                self._kinds[first:last].tolist(), self._boxes[first:last].tolist(), strict=True
            )
        ]


def read_coco(archive: Archive, project: Project) -> Chain | CocoReader:
    """The COCO files of an archive, of one split each if there are several.

    Raises:
        InvalidData: there is none.
    """
    files = sorted(name for name in archive.names if name.lower().endswith(".json"))
    if not files:
        raise InvalidData("There is no JSON file in the archive: COCO has its annotations in one.")
    parts = []
    for name in files:
        # As in `annotations/instances_train2017.json`.
        words = name.lower().removesuffix(".json").rstrip("0123456789").replace("_", "/").replace("-", "/")
        parts.append((CocoReader(archive, archive.extract(name)), split_of(f"{words}/")))
    return Chain(parts) if len(parts) > 1 or parts[0][1] else parts[0][0]


class CocoWriter:
    """A zip file with the images, and for each split a file of annotations."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._path = path
        self._zip = Zip(path)
        self._codes = {name: code for code, name in enumerate(outgoing.project.classes, 1)}
        self._parts: dict[str | None, _Part] = {}
        self._annotations = 0

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            data = self._outgoing.image(sample.image or "")
            width, height = pixels(sample, data)
            file = self._outgoing.image_name(sample, data)
            self._zip.add(f"images/{file}", data, packed=False)
            if sample.split not in self._parts:
                self._parts[sample.split] = _Part(self._path, len(self._parts))
            part = self._parts[sample.split]
            image = {"id": sample.id, "file_name": file, "width": width, "height": height}
            part.images.add(
                image | {"status": sample.status, "source": sample.source, "author": sample.author}
            )
            for box in sample.value or ():
                self._annotations += 1
                wide, high = box["width"] * width, box["height"] * height
                part.annotations.add(
                    {
                        "id": self._annotations,
                        "image_id": sample.id,
                        "category_id": self._codes[box["label"]],
                        "bbox": [box["x"] * width, box["y"] * height, wide, high],
                        "area": wide * high,
                        "segmentation": [],
                        "iscrowd": 0,
                    }
                )

    def close(self) -> None:
        categories = orjson.dumps(
            [{"id": code, "name": name, "supercategory": ""} for name, code in self._codes.items()]
        )
        for split, part in self._parts.items():
            name = "annotations.json" if split is None else f"annotations/instances_{split}.json"
            self._zip.add_pieces(name, part.pieces(categories))
        self._zip.close()


class _Part:
    """The two lists of a COCO file while they grow."""

    def __init__(self, beside: Path, number: int) -> None:
        self.images = _List(beside.with_name(f"{beside.name}.images{number}"))
        self.annotations = _List(beside.with_name(f"{beside.name}.annotations{number}"))

    def pieces(self, categories: bytes) -> Iterator[bytes]:
        yield b'{"info": {"description": "Labeled in ModelShip Lab"}, "licenses": [],\n"images": [\n'
        yield from self.images.pieces()
        yield b'\n],\n"annotations": [\n'
        yield from self.annotations.pieces()
        yield b'\n],\n"categories": ' + categories + b"}\n"


class _List:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._between = b""

    def add(self, value: dict[str, Any]) -> None:
        self._file.write(self._between + orjson.dumps(value))
        self._between = b",\n"

    def pieces(self) -> Iterator[bytes]:
        self._file.close()
        yield from pieces_of(self._path)


def pixels(sample: LabeledSample, data: bytes) -> tuple[int, int]:
    """Width and height of a sample's image."""
    if sample.width is None or sample.height is None:
        return image_size(data)
    return sample.width, sample.height


def _identity(image: Any) -> Any:
    identity = image.get("id") if isinstance(image, dict) else None
    return identity if isinstance(identity, int | str) else None
