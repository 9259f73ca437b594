"""A folder of images as one Arrow file: a subfolder for each class, or images without labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modelship_lab.records.errors import InvalidData

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"})

_BATCH_BYTES = 32 << 20


class ImageFile(NamedTuple):
    path: Path
    label: str | None
    """The name of the subfolder directly below the folder, or None."""


def walk(folder: Path) -> Iterator[ImageFile]:
    """The images in and below `folder`, in a stable order. Hidden files and folders are left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            path.suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in parts)
            and path.is_file()
        ):
            yield ImageFile(path, parts[0] if len(parts) > 1 else None)


def write(folder: Path, target: Path) -> bool:
    """Write the images of `folder` to `target` as an Arrow IPC stream.

    The columns are `image` (binary), `label` (string, may be null) and `filename` (string).

    Returns:
        Whether any image has a label.

    Raises:
        InvalidData: there is no image in the folder, or one cannot be read.
    """
    import pyarrow as pa

    schema = pa.schema([("image", pa.binary()), ("label", pa.string()), ("filename", pa.string())])
    labeled = False
    found = False
    with pa.ipc.new_stream(str(target), schema) as writer:
        for batch in _batches(folder):
            found = True
            labeled = labeled or any(file.label is not None for file in batch)
            try:
                images = [file.path.read_bytes() for file in batch]
            except OSError as error:
                raise InvalidData(f"The image {error.filename} cannot be read: {error.strerror}.") from error
            columns = [
                pa.array(images, pa.binary()),
                pa.array([file.label for file in batch], pa.string()),
                pa.array([str(file.path.relative_to(folder)) for file in batch], pa.string()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    if not found:
        raise InvalidData(f"There is no image in {folder}; known are {', '.join(sorted(SUFFIXES))}.")
    return labeled


def _batches(folder: Path) -> Iterator[list[ImageFile]]:
    batch: list[ImageFile] = []
    size = 0
    for file in walk(folder):
        batch.append(file)
        size += file.path.stat().st_size
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
