"""YOLO: beside each image a text file with a line for each box, and a file with the names of the classes.

An image with an empty text file counts as one in which there is nothing to see; one without a file is not labeled.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import Project
from modelship_lab.server.labeling.formats.archive import MAX_DOCUMENT, Archive, ImageRows, Zip, split_of
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import Problems

CLASS_LISTS = ("classes.txt", "obj.names", "labels.txt")
DEFAULT_SPLIT = "train"


class YoloReader(ImageRows):
    """Images with the text files beside them.

    Raises:
        InvalidData: there is no image, or nothing names the classes.
    """

    def __init__(self, archive: Archive, project: Project) -> None:
        super().__init__(archive, ["label", "split"])
        self._images = archive.images
        if not self._images:
            raise InvalidData("There is no image in the folder.")
        self._classes = _classes(archive)

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        for name in self._images:
            try:
                label = self._boxes(labels_path(name))
            except InvalidInput as error:
                yield name, name, error
            else:
                yield name.removeprefix("images/"), name, {"label": label, "split": split_of(name)}

    def _boxes(self, path: str) -> list[dict[str, Any]] | None:
        if path not in self.archive:
            return None
        try:
            lines = self.archive.read(path, MAX_DOCUMENT).decode().splitlines()
        except UnicodeDecodeError:
            raise InvalidInput(f"{path} is not a text file in UTF-8") from None
        return [self._box(line.split(), path) for line in lines if line.strip()]

    def _box(self, words: list[str], path: str) -> dict[str, Any]:
        try:
            # A sixth number is how sure a model was.
            code, (x, y, width, height) = int(words[0]), [float(word) for word in words[1:5]]
            if len(words) > 6:
                raise ValueError
        except (ValueError, IndexError):
            raise InvalidInput(
                f"{path}: a class and four numbers are expected on each line, not '{' '.join(words)[:60]}'"
            ) from None
        if not 0 <= code < len(self._classes):
            raise InvalidInput(f"{path}: there is no class {code}; there are {len(self._classes)}")
        return {
            "x": x - width / 2,
            "y": y - height / 2,
            "width": width,
            "height": height,
            "label": self._classes[code],
        }


class YoloWriter:
    """A zip file with `images` and `labels`, in each a folder for every split, and `data.yaml`."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._zip = Zip(path)
        self._codes = {name: code for code, name in enumerate(outgoing.project.classes)}
        self._splits: dict[str, None] = {}

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            data = self._outgoing.image(sample.image or "")
            split = sample.split or DEFAULT_SPLIT
            self._splits[split] = None
            image = f"images/{split}/{self._outgoing.image_name(sample, data)}"
            self._zip.add(image, data, packed=False)
            if sample.value is None:
                continue
            lines = [
                f"{self._codes[box['label']]} {box['x'] + box['width'] / 2!r} {box['y'] + box['height'] / 2!r} "
                f"{box['width']!r} {box['height']!r}\n"
                for box in sample.value
            ]
            self._zip.add(labels_path(image), "".join(lines))

    def close(self) -> None:
        classes = list(self._codes)
        parts = {"val" if split == "validation" else split: f"images/{split}" for split in self._splits}
        # Trainers want one to validate with.
        parts.setdefault("val", next(iter(parts.values()), "images/train"))
        document = {"path": ".", **parts, "names": dict(enumerate(classes))}
        self._zip.add("data.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        self._zip.add("classes.txt", "".join(f"{name}\n" for name in classes))
        self._zip.close()


def labels_path(image: str) -> str:
    """The text file of an image: the folder `labels` in place of `images`, else beside it."""
    parts = list(PurePosixPath(image).with_suffix(".txt").parts)
    for position in reversed(range(len(parts) - 1)):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return "/".join(parts)


def has_classes(archive: Archive) -> bool:
    """Whether something in an archive names classes as YOLO does."""
    return any(name.endswith((".yaml", ".yml")) or name in CLASS_LISTS for name in archive.names)


def _classes(archive: Archive) -> list[str]:
    # Names with a blank or line break at their end would not come back from a list of lines.
    for name in sorted(name for name in archive.names if name.endswith((".yaml", ".yml"))):
        try:
            document = yaml.safe_load(archive.read(name, MAX_DOCUMENT))
        except (yaml.YAMLError, InvalidInput, RecursionError):
            raise InvalidData(f"{name[:200]} is not YAML, or is damaged.") from None
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict):
            names = (
                [names[code] for code in sorted(names)] if sorted(names) == list(range(len(names))) else None
            )
        if isinstance(names, list) and names:
            return [str(one) for one in names]
    for name in CLASS_LISTS:
        if name in archive:
            text = archive.read(name, MAX_DOCUMENT).decode("utf-8", "replace")
            return [line.strip() for line in text.splitlines() if line.strip()]
    raise InvalidData("Nothing names the classes: data.yaml with `names`, or classes.txt, is expected.")
