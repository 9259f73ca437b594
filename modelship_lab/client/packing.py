"""Folders as zip files, in which they travel."""

import zipfile
from pathlib import Path

from modelship_lab.records.errors import InvalidData

_PACKED = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".gz", ".zip", ".parquet", ".pq"})
"""To press these once more takes time and makes them no smaller."""


def pack(folder: Path, target: Path) -> None:
    """Write the files in and below a folder to a zip file. Hidden ones are left out.

    Raises:
        InvalidData: there is none, or one cannot be read.
    """
    found = False
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if any(part.startswith(".") for part in name.parts) or not path.is_file():
                continue
            found = True
            how = zipfile.ZIP_STORED if path.suffix.lower() in _PACKED else zipfile.ZIP_DEFLATED
            try:
                # The time of a file may be one that a zip file cannot hold.
                info = zipfile.ZipInfo(name.as_posix())
                info.compress_type, info.file_size = how, path.stat().st_size
                with path.open("rb") as source, archive.open(info, "w") as entry:
                    while piece := source.read(1 << 20):
                        entry.write(piece)
            except OSError as error:
                raise InvalidData(f"{path} cannot be read: {error.strerror}.") from error
    if not found:
        raise InvalidData(f"There is no file in {folder}: no image, and nothing else that could be imported.")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file into a folder."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
