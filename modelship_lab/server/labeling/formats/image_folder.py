"""Folders of images: a subfolder for each class, below one for each split if there are any; or with a table beside.

Such folders are what torchvision reads as `ImageFolder` and Hugging Face as `imagefolder`; the table, `metadata.csv` or
`metadata.jsonl`, names an image in `file_name`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import SPLITS, Project
from modelship_lab.server.labeling.formats.archive import Archive, ImageRows, Zip, pieces_of
from modelship_lab.server.labeling.formats.delimited import DelimitedWriter
from modelship_lab.server.labeling.formats.json import JsonWriter
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import Problems, Reader

FILE_NAMES = ("file_name", "filename", "file", "path", "image")
"""Columns in which a table names images, the likeliest first."""


class ImageFolderReader(ImageRows):
    """Images, with the folder of each as its label.

    Raises:
        InvalidData: there is no image.
    """

    def __init__(self, archive: Archive, project: Project) -> None:
        super().__init__(archive, ["label", "split"])
        self._classes = project.classes
        self._images = archive.images
        if not self._images:
            raise InvalidData("There is no image in the folder.")
        tops = {name.partition("/")[0].lower() for name in self._images}
        self._has_splits = tops <= SPLITS.keys()
        skip = 1 if self._has_splits else 0
        self._labels = {
            name: parts[skip] if len(parts := name.split("/")) > skip + 1 else None for name in self._images
        }
        if not any(self._labels.values()):
            del self.roles["label"]

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
        for name in self._images:
            split = SPLITS[name.partition("/")[0].lower()] if self._has_splits else None
            yield name, name, {"label": self._class_of(self._labels[name]), "split": split}

    def _class_of(self, folder: str | None) -> str | None:
        if folder is None or folder in self._classes:
            return folder
        return next((name for name in self._classes if folder_name(name) == folder), folder)


class ImageTableReader(ImageRows):
    """Images that a table beside them names.

    Raises:
        InvalidData: no column of the table names files.
    """

    def __init__(self, archive: Archive, table: Reader) -> None:
        found = next((name for name in FILE_NAMES if name in table.columns), None)
        if found is None:
            raise InvalidData(
                f"Which column of the table names the images? One of {', '.join(FILE_NAMES)} is expected."
            )
        self._table, self._file = table, found
        super().__init__(archive, [name for name in table.columns if name not in ("image", "name")])
        self.roles = {"image": "image", "name": "name"}

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        names = list(self._table.columns)
        unreadable = Problems()
        for batch in self._table.batches(names, unreadable):
            for position in range(len(batch.rows)):
                row = {name: batch.columns[name][position] for name in names}
                file = str(row[self._file] or "")
                path = self.archive.find(file)
                row.pop("image", None)
                row["name"] = row.get("name") or file
                yield file, path, row
        for one in unreadable.listed:
            yield f"row {one.row} of the table", None, InvalidInput(one.reason)
        for _ in range(unreadable.count - len(unreadable.listed)):
            yield "a row of the table", None, InvalidInput("it cannot be read")


class ImageTableWriter:
    """Images with a table beside them that names each in `file_name`."""

    def __init__(self, path: Path, outgoing: Outgoing, *, lines: bool) -> None:
        self._outgoing, self._lines = outgoing, lines
        self._zip = Zip(path)
        self._table_path = path.with_name(f"{path.name}.table")
        self._table: DelimitedWriter | JsonWriter
        if lines:
            self._table = JsonWriter(self._table_path, outgoing, lines=True)
        else:
            self._table = DelimitedWriter(self._table_path, outgoing, ",")

    def write(self, samples: Sequence[LabeledSample]) -> None:
        rows = []
        for sample in samples:
            data = self._outgoing.image(sample.image or "")
            file = f"images/{self._outgoing.image_name(sample, data)}"
            self._zip.add(file, data, packed=False)
            rows.append(self._outgoing.row(sample, file))
        self._table.write_rows(rows)

    def close(self) -> None:
        self._table.close()
        name = "metadata.jsonl" if self._lines else "metadata.csv"
        self._zip.add_pieces(name, pieces_of(self._table_path))
        self._zip.close()


class ImageFolderWriter:
    """A zip file with a folder for each class, below one for each split if there are any."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._zip = Zip(path)

    def write(self, samples: Sequence[LabeledSample]) -> None:
        for sample in samples:
            if sample.label is None:
                self._outgoing.problems.add(sample.id, "it has no class, and so no folder")
                continue
            data = self._outgoing.image(sample.image or "")
            name = self._outgoing.image_name(sample, data).replace("/", "-")
            folder = folder_name(sample.label)
            split = f"{sample.split or 'train'}/" if self._outgoing.splits else ""
            self._zip.add(f"{split}{folder}/{name}", data, packed=False)

    def close(self) -> None:
        self._zip.close()


def folder_name(label: str) -> str:
    """The folder of a class: its name, unless that cannot be one."""
    unusable = any(character in '/\\:*?"<>|%' or ord(character) < 32 for character in label)
    return quote(label, safe=" ") if unusable or label.startswith(".") or label.lower() in SPLITS else label
