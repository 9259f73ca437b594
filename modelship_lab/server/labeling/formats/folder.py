"""A folder in a zip file of which nothing says what it is: what lies in it does."""

from pathlib import Path, PurePosixPath

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import SPLITS, Project
from modelship_lab.server.labeling.formats import coco, hugging_face, json, label_studio, voc, yolo
from modelship_lab.server.labeling.formats.archive import Archive, Chain
from modelship_lab.server.labeling.formats.arrow import ArrowReader, ParquetReader
from modelship_lab.server.labeling.formats.delimited import DelimitedReader
from modelship_lab.server.labeling.formats.image_folder import ImageFolderReader, ImageTableReader
from modelship_lab.server.labeling.formats.intake import prepare
from modelship_lab.server.labeling.formats.rows import Reader


def read_folder(path: Path, project: Project, encoding: str = "utf-8") -> Reader:
    """The rows of a folder.

    Raises:
        InvalidData: nothing in it is known.
    """
    archive = Archive(path)
    names = archive.names
    if any(name.rpartition("/")[2] == hugging_face.STATE for name in names):
        return hugging_face.read_hugging_face(archive, project)
    documents = sorted(name for name in names if name.lower().endswith(".json"))
    if archive.images:
        return _images(archive, project, documents, encoding)
    found = [name for name in sorted(names) if _suffix(name) in _TABLES]
    if not found:
        raise InvalidData("The archive holds no images, and no table or file of another known format.")
    return tables(archive, found, encoding)


def _images(archive: Archive, project: Project, documents: list[str], encoding: str) -> Reader:
    named = [name for name in archive.names if _suffix(name) in (".csv", ".tsv", ".jsonl")]
    if project.kind == "boxes" and not documents and voc.documents(archive):
        return voc.VocReader(archive, project)
    if project.kind == "boxes" and not documents and yolo.has_classes(archive):
        return yolo.YoloReader(archive, project)
    if documents and not named:
        content = archive.extract(documents[0])
        if json.starts_with(content) == "start_map":
            return coco.read_coco(archive, project)
        return label_studio.LabelStudioImages(archive, content, project)
    if named:
        return ImageTableReader(archive, tables(archive, sorted(named), encoding))
    return ImageFolderReader(archive, project)


def tables(archive: Archive, names: list[str], encoding: str) -> Reader:
    """Tables of one archive as one, each of the split that its name tells."""
    parts: list[tuple[Reader, str | None]] = []
    for name in names:
        stem = PurePosixPath(name).stem.lower().partition("-")[0]
        parts.append((_table(archive.extract(name), _suffix(name), encoding), SPLITS.get(stem)))
    return Chain(parts) if len(parts) > 1 or parts[0][1] else parts[0][0]


def _table(path: Path, suffix: str, encoding: str) -> Reader:
    if suffix == ".parquet":
        return ParquetReader(path)
    if suffix == ".arrow":
        return ArrowReader(path)
    text = prepare(path, encoding)
    if suffix in (".csv", ".tsv"):
        return DelimitedReader(text, "\t" if suffix == ".tsv" else None)
    return json.JsonReader(text, lines=suffix == ".jsonl")


_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
