"""Bundles as folders and as tar files: write, read, check."""

import hashlib
import json
import math
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from modelship_lab.records.base import Task, utc_now
from modelship_lab.records.bundle import BundleManifest, Lineage, Parity, Preprocessing, TextTokens
from modelship_lab.records.errors import Conflict, InvalidData, PayloadTooLarge

if TYPE_CHECKING:
    from modelship_lab.bundles.reading import Reading

__all__ = ["MANIFEST", "MODEL", "digest", "from_tar", "loaded", "pack", "read", "to_tar"]

MANIFEST = "bundle.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
MAX_BYTES = 4 * 1024**3
MAX_FILES = 100
MAX_MANIFEST_BYTES = 16 * 1024**2

_CHUNK = 1024 * 1024
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")


def pack(
    folder: Path,
    *,
    task: Task,
    reading: "Reading",
    preprocessing: Preprocessing,
    lineage: Lineage,
    metrics: dict[str, float],
    parity: Parity | None,
    onnx: bytes | Path,
) -> BundleManifest:
    """Write a bundle.

    The folder appears all at once with everything in it, or not at all.

    Args:
        folder: where to; must not exist, or be empty.
        reading: what the model's outputs say.
        metrics: figures of the run; those that are not finite are left out, as JSON has no word for them.
        onnx: the model as bytes or as a file. It must hold its own weights.

    Raises:
        InvalidData: the model does not fit the preprocessing or the reading.
        Conflict: there is something in `folder`.
    """
    # Imported here so that the lab server, which only stores bundles, need not load ONNX Runtime.
    from modelship_lab.bundles.session import check_signature, open_session

    with _appearing(folder) as draft:
        model = draft / MODEL
        if isinstance(onnx, bytes):
            model.write_bytes(onnx)
        else:
            shutil.copyfile(onnx, model)
        check_signature(open_session(model, threads=1), preprocessing, reading.width)
        files = [model]
        if isinstance(preprocessing, TextTokens):
            files.append(draft / TOKENIZER)
            files[-1].write_text(preprocessing.tokenizer, encoding="utf-8")
            preprocessing = preprocessing.model_copy(update={"tokenizer": ""})
        manifest = BundleManifest(
            task=task,
            kind=reading.kind,
            classes=reading.classes,
            thresholds=reading.thresholds,
            unit=reading.unit,
            preprocessing=preprocessing,
            lineage=lineage,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
            parity=parity,
            checksums={file.name: _checksum(file) for file in files},
            created_at=utc_now(),
        )
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        return read(draft)


def read(folder: Path) -> BundleManifest:
    """Read a bundle's manifest and make sure that its files are all there, whole and no others.

    Raises:
        InvalidData: not a bundle, or a damaged one; says which file.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise InvalidData(f"{MANIFEST} is too large for a manifest")
        manifest = BundleManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InvalidData(f"the folder {folder.name!r} has no {MANIFEST}; it is not a bundle") from None
    except ValidationError as error:
        problems = [
            {"field": ".".join(map(str, problem["loc"])), "reason": problem["msg"]}
            for problem in error.errors()
        ]
        raise InvalidData(
            f"{MANIFEST} of {folder.name!r} is not a bundle's manifest", problems[:20]
        ) from None
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST}
    if MODEL not in manifest.checksums:
        raise InvalidData(f"{MANIFEST} lists no {MODEL}")
    for name in sorted(present | set(manifest.checksums)):
        file = folder / name
        if name not in manifest.checksums:
            raise InvalidData(f"{name!r} is in the bundle but not in its list of checksums")
        # A name like `../other` or a link would make this read, and later serve, a file outside the bundle.
        if not _PLAIN_NAME.fullmatch(name) or file.is_symlink() or not file.is_file():
            raise InvalidData(f"{name[:200]!r} is missing from the bundle or is not a plain file")
        if _checksum(file) != manifest.checksums[name]:
            raise InvalidData(f"{name!r} is damaged: its checksum differs; export the run again")
    return manifest


def loaded(folder: Path) -> BundleManifest:
    """A checked bundle's manifest with what its preprocessing needs of the other files.

    Raises:
        InvalidData: not a bundle, or a damaged one.
    """
    manifest = read(folder)
    spec = manifest.preprocessing
    if not isinstance(spec, TextTokens):
        return manifest
    if TOKENIZER not in manifest.checksums:
        raise InvalidData(f"{MANIFEST} lists no {TOKENIZER}, which its preprocessing needs")
    content = (folder / TOKENIZER).read_text(encoding="utf-8")
    return manifest.model_copy(update={"preprocessing": spec.model_copy(update={"tokenizer": content})})


def digest(folder: Path) -> str:
    """SHA-256 of what a bundle is: its files and its manifest without the time of packing.

    Raises:
        InvalidData: not a bundle, or a damaged one.
    """
    stable = read(folder).model_dump(mode="json", exclude={"created_at"})
    return hashlib.sha256(json.dumps(stable, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def to_tar(folder: Path, file: IO[bytes]) -> None:
    """Write a bundle's files to an uncompressed tar, the same bytes for the same bundle.

    Raises:
        InvalidData: not a bundle, or a damaged one.
    """
    manifest = read(folder)
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for name in (MANIFEST, *sorted(manifest.checksums)):
            entry = tarfile.TarInfo(name)
            entry.size = (folder / name).stat().st_size
            entry.mode = 0o644
            with (folder / name).open("rb") as content:
                tar.addfile(entry, content)


def from_tar(file: IO[bytes], folder: Path, max_bytes: int = MAX_BYTES) -> BundleManifest:
    """Unpack and check a bundle that may come from anybody. Its model is not loaded.

    Args:
        file: the tar, read once from the front.
        folder: where to; must not exist, or be empty. It appears only when the bundle is whole.
        max_bytes: refuse bundles that are larger.

    Raises:
        InvalidData: not a tar, an entry that is not a plain file with a plain name, or not a whole bundle.
        PayloadTooLarge: more than `max_bytes`.
        Conflict: there is something in `folder`.
    """
    with _appearing(folder) as draft:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                _unpack(tar, draft, max_bytes)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise InvalidData(f"the bundle is not a whole, uncompressed tar file ({error})") from error
        return read(draft)


def _unpack(tar: tarfile.TarFile, folder: Path, max_bytes: int) -> None:
    total = 0
    for count, entry in enumerate(tar, start=1):
        name = entry.name.removeprefix("./")
        if entry.isdir() and name in ("", "."):
            continue
        # Links, devices and paths are the ways out of the folder; sparse entries are larger than their bytes.
        if (
            not entry.isreg()
            or entry.issparse()
            or not _PLAIN_NAME.fullmatch(name)
            or (folder / name).exists()
        ):
            raise InvalidData(f"the tar's entry {entry.name[:200]!r} is not one plain file at the top level")
        total += entry.size
        if total > max_bytes or count > MAX_FILES:
            raise PayloadTooLarge(f"the bundle has more than {max_bytes:,} bytes or {MAX_FILES} files")
        source = tar.extractfile(entry)
        assert source is not None  # it is a regular file
        with (folder / name).open("xb") as target:
            shutil.copyfileobj(source, target, _CHUNK)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A draft folder that becomes `folder` if the block ends well and is removed otherwise."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"there is already something in the folder {folder.name!r}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        for file in draft.iterdir():
            _sync(file)
        _sync(draft)
        draft.chmod(0o755)
        draft.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checksum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
