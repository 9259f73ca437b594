"""Pascal VOC: beside each image an XML file with the boxes in whole pixels, of which the first has the number 1.

An image whose file has no object counts as one in which there is nothing to see; one without a file is not labeled.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import SPLITS, Project
from modelship_lab.server.labeling.formats.archive import (
    MAX_DOCUMENT,
    MAX_IMAGE,
    Archive,
    ImageRows,
    Zip,
)
from modelship_lab.server.labeling.formats.coco import pixels
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import Problems
from modelship_lab.server.labeling.images import image_size

_SETS = "ImageSets/Main/"


class VocReader(ImageRows):
    """Images with the XML files that are called like them.

    Raises:
        InvalidData: there is no image, or no such file.
    """

    def __init__(self, archive: Archive, project: Project) -> None:
        super().__init__(archive, ["label", "split"])
        self._images = archive.images
        if not self._images:
            raise InvalidData("There is no image in the folder.")
        self._documents = {_stem(name): name for name in documents(archive)}
        if not self._documents:
            raise InvalidData("There is no XML file with the objects of an image.")
        self._splits = dict(_splits(archive))

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        for name in self._images:
            shown, document = name.removeprefix("JPEGImages/"), self._documents.get(_stem(name))
            try:
                label = None if document is None else self._boxes(document, name)
            except InvalidInput as error:
                yield shown, name, error
            else:
                yield shown, name, {"label": label, "split": self._splits.get(_stem(name))}

    def _boxes(self, document: str, image: str) -> list[dict[str, Any]]:
        try:
            root = fromstring(self.archive.read(document, MAX_DOCUMENT), forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError):
            raise InvalidInput(f"{document} is not XML, or declares what it should not") from None
        found = root.findall("object")
        if not found:
            return []
        try:
            size = (int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0")))
        except ValueError:
            size = (0, 0)
        width, height = size if min(size) > 0 else image_size(self.archive.read(image, MAX_IMAGE))
        return [_box(part, document, width, height) for part in found]


class VocWriter:
    """A zip file with `JPEGImages`, `Annotations`, and in `ImageSets/Main` the images of each split.

    The first pixel has the number 1, as in the challenge's own files; edges are rounded to pixels.
    """

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._zip = Zip(path)
        self._sets: dict[str, list[str]] = {}

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            data = self._outgoing.image(sample.image or "")
            file = self._outgoing.image_name(sample, data).replace("/", "-")
            stem = file.rpartition(".")[0]
            self._sets.setdefault(sample.split or "trainval", []).append(stem)
            self._zip.add(f"JPEGImages/{file}", data, packed=False)
            self._zip.add(f"Annotations/{stem}.xml", _document(sample, file, *pixels(sample, data)))

    def close(self) -> None:
        for split, stems in self._sets.items():
            self._zip.add(f"ImageSets/Main/{split}.txt", "".join(f"{stem}\n" for stem in stems))
        self._zip.close()


def documents(archive: Archive) -> list[str]:
    """The XML files of an archive."""
    return sorted(name for name in archive.names if name.lower().endswith(".xml"))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _splits(archive: Archive) -> Iterator[tuple[str, str]]:
    """Images with the split that the list tells in which they stand."""
    for name in archive.names:
        split = SPLITS.get(_stem(name).lower())
        if _SETS in name and split is not None:
            for line in archive.read(name, MAX_DOCUMENT).decode("utf-8", "replace").splitlines():
                # Lists of one class say behind each image whether it occurs there.
                if line.strip():
                    yield line.strip().partition(" ")[0], split


def _box(part: Element, document: str, width: int, height: int) -> dict[str, Any]:
    try:
        left, top, right, bottom = (
            float(part.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
    except ValueError:
        raise InvalidInput(f"{document}: an object has no box of four numbers") from None
    # Some programs count from 0.
    x, y = max(left - 1, 0), max(top - 1, 0)
    return {
        "x": x / width,
        "y": y / height,
        "width": (right - x) / width,
        "height": (bottom - y) / height,
        "label": part.findtext("name", ""),
    }


def _document(sample: LabeledSample, file: str, width: int, height: int) -> bytes:
    root = Element("annotation")
    _add(root, folder="JPEGImages", filename=file)
    _add(
        SubElement(root, "source"),
        database="ModelShip Lab",
        annotation=sample.source or "",
        image=str(sample.id),
    )
    _add(SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=0)
    for box in sample.value or ():
        part = SubElement(root, "object")
        _add(part, name=box["label"], pose="Unspecified", truncated=0, difficult=0)
        left, top = round(box["x"] * width), round(box["y"] * height)
        right, bottom = round((box["x"] + box["width"]) * width), round((box["y"] + box["height"]) * height)
        _add(
            SubElement(part, "bndbox"),
            xmin=min(left + 1, width),
            ymin=min(top + 1, height),
            xmax=max(right, min(left + 1, width)),
            ymax=max(bottom, min(top + 1, height)),
        )
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add(parent: Element, **values: str | int) -> None:
    for name, value in values.items():
        # What XML has no place for, control characters, is left out.
        text = "".join(character for character in str(value) if character >= " ")
        SubElement(parent, name).text = text
