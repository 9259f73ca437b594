"""Pascal VOC: beside each image an XML file with the boxes in whole pixels. It is written only."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from modelship_lab.server.labeling.formats.archive import Zip
from modelship_lab.server.labeling.formats.coco import pixels
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing


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
