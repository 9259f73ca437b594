"""Bundles on disk: one immutable folder each, found by its digest."""

import re
import secrets
import shutil
import tempfile
from pathlib import Path

from modelship_lab.bundles.pack import digest, from_tar, read, to_tar
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.errors import InvalidData, NotFound
from modelship_lab.server.storage.data_dir import sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleStore:
    """A folder of bundle folders. Everything here takes time: call it off the event loop.

    Args:
        folder: where the bundles lie.
        temporary: where tar files are written that are about to be sent.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary
        for leftover in folder.glob(".*"):
            # Unpacked by a process that died before the bundle had its name.
            shutil.rmtree(leftover, ignore_errors=True)

    def add(self, tar: Path) -> tuple[str, BundleManifest]:
        """Take in a bundle from an uncompressed tar of its files.

        The same bundle again gives the same digest; a damaged folder of that digest is replaced.

        Raises:
            InvalidData: not a whole bundle; says why.
            PayloadTooLarge: more than a bundle may have.
        """
        draft = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            with tar.open("rb") as file:
                manifest = from_tar(file, draft)
            name = digest(draft)
            target = self._folder / name
            if target.exists() and not _is_whole(target):
                target.rename(self._folder / f".damaged-{secrets.token_hex(8)}")
            try:
                draft.rename(target)
            except OSError:
                # Somebody else has just put the same bundle there.
                if not _is_whole(target):
                    raise
            sync_folder(self._folder)
            return name, manifest
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def folder(self, digest: str) -> Path:
        """The folder of a bundle, to be read and never written.

        Raises:
            NotFound: there is none, or the digest is not one.
        """
        # The pattern is what keeps a client's `../..` inside the folder.
        if not _DIGEST.fullmatch(digest) or not (path := self._folder / digest).is_dir():
            raise NotFound("There is no bundle with this digest; export the run again.")
        return path

    def manifest(self, digest: str) -> BundleManifest:
        """What a bundle says of itself, with its files checked.

        Raises:
            NotFound: there is none.
            InvalidData: it is damaged; says which file.
        """
        return read(self.folder(digest))

    def tar(self, digest: str) -> Path:
        """A bundle as a temporary tar file, for the caller to delete.

        Raises:
            NotFound: there is none.
            InvalidData: it is damaged; says which file.
        """
        folder = self.folder(digest)
        with tempfile.NamedTemporaryFile(
            dir=self._temporary, prefix="bundle-", suffix=".tar", delete=False
        ) as file:
            path = Path(file.name)
            try:
                to_tar(folder, file)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path


def _is_whole(folder: Path) -> bool:
    try:
        read(folder)
    except InvalidData:
        return False
    return True
