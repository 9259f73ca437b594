"""The folder that a lab owns: who has it open, and what lies where."""

import errno
import json
import os
import secrets
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import AlreadyOpen, StorageFailed

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DataDir:
    """A data directory, owned by this process until `release`.

    The lock is the operating system's, so a killed owner leaves none behind.

    Raises:
        AlreadyOpen: another process owns the folder; the message names its pid and address.
        StorageFailed: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(self.folder / "lab.lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise AlreadyOpen(_owner_message(self.folder)) from None
        except OSError as error:
            raise StorageFailed(f"The data directory {folder} cannot be used: {error.strerror}") from error
        self.database = self.folder / "lab.duckdb"
        try:
            self.blobs = self._subfolder("blobs")
            self.bundles = self._subfolder("bundles")
            self.uploads = self._subfolder("uploads")
            self.partial_uploads = self._subfolder("partial_uploads")
            self.workers = self._subfolder("workers")
            self.jobs = self._subfolder("jobs")
            for leftover in self.uploads.iterdir():
                # Nothing in here was acknowledged. A folder is none of ours.
                if leftover.is_symlink() or not leftover.is_dir():
                    leftover.unlink()
        except OSError as error:
            self._lock.release()
            raise StorageFailed(f"The data directory {folder} cannot be used: {error.strerror}") from error

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def token(self) -> str:
        """The credential of this lab's own programs, made on first use and kept."""
        return self._kept_secret("token", 24)

    def signing_key(self) -> bytes:
        """What the tokens of logins are signed with: 32 random bytes, made on first use and kept."""
        return bytes.fromhex(self._kept_secret("signing_key", 32))

    def _kept_secret(self, name: str, size: int) -> str:
        """Random bytes in hexadecimal, in a file that only this user may read."""
        path = self.folder / name
        kept = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if not kept:
            # An empty credential would let everybody in.
            kept = secrets.token_hex(size)
            write_private(path, kept)
        return kept

    def announce(self, url: str, token: str, lab_id: str) -> None:
        """Tell the programs of this user where the lab is (`server.json`, mode 0600)."""
        content = {
            "pid": os.getpid(),
            "url": url,
            "token": token,
            "lab_id": lab_id,
            "started_at": utc_now().isoformat(),
        }
        write_private(self.folder / "server.json", json.dumps(content))

    def release(self) -> None:
        """Take back the announcement and let others have the folder."""
        announced = read_announcement(self.folder)
        if announced and announced.get("pid") == os.getpid():
            (self.folder / "server.json").unlink(missing_ok=True)
        self._lock.release()


def as_storage_failed(error: OSError) -> StorageFailed | None:
    """What a caller is told when a file could not be written for want of room; None if it is not that."""
    if error.errno in _NO_ROOM:
        return StorageFailed("The disk is full: nothing of this request was stored. Make room and try again.")
    return None


def sync_folder(folder: Path) -> None:
    """Have it on disk which files a folder has: what was made or renamed in it is there after a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: str) -> None:
    """Write a file that only this user may read, all at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_announcement(folder: Path) -> dict[str, Any] | None:
    """What the owner of a data directory has announced, if anything."""
    try:
        content = json.loads((folder / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _owner_message(folder: Path) -> str:
    owner = read_announcement(folder)
    who = "another process that is just starting"
    if owner and "pid" in owner and "url" in owner:
        who = f"process {owner['pid']} at {owner['url']}"
    return (
        f"The data directory {folder} is open in {who}. "
        "Use that lab server, stop it first, or choose another folder with --data-dir or MLSHIP_HOME."
    )
