"""The data of a snapshot, downloaded once and memory-mapped from then on."""

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa


class SnapshotData:
    """A snapshot with its table and images, from the cache on this machine.

    Args:
        info: what the lab says of the snapshot.
        connection: to the lab server, for what is not in the cache.
        cache: folder of the cache.
    """

    def __init__(self, info: Snapshot, connection: Connection, cache: Path) -> None:
        self.info = info
        self._connection = connection
        self._cache = cache

    def __repr__(self) -> str:
        classes = ", ".join(f"{name} {count}" for name, count in self.info.by_class.items())
        return f"Snapshot {self.info.id} · number {self.info.number} · {self.info.rows} rows ({classes})"

    @property
    def path(self) -> Path:
        """The Arrow IPC file on this machine; downloaded and checked when it is not there.

        Raises:
            InvalidData: what came does not have the snapshot's digest.
        """
        path = self._cache / f"{self.info.digest}.arrow"
        if not path.exists():
            with _Download(path) as download:
                digest = hashlib.sha256()
                with self._connection.stream(f"snapshots/{self.info.id}/data") as pieces:
                    for piece in pieces:
                        digest.update(piece)
                        download.write(piece)
                if digest.hexdigest() != self.info.digest:
                    raise InvalidData(f"Snapshot {self.info.id} arrived damaged; try again.")
        return path

    def table(self) -> "pa.Table":
        """The rows, memory-mapped; the columns are described at `records.labeling.Snapshot`."""
        import pyarrow as pa

        return pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()

    def images(self) -> "SnapshotImages":
        """The encoded images of an image snapshot by their content address."""
        path = self._cache / f"{self.info.digest}.images.arrow"
        if not path.exists():
            with _Download(path) as download:
                where = f"snapshots/{self.info.id}/blobs"
                with self._connection.stream(where, headers={"Accept": ARROW}) as pieces:
                    for piece in pieces:
                        download.write(piece)
                download.check(self.info.id)
        return SnapshotImages(path)


class SnapshotImages(Mapping[str, bytes]):
    """Encoded images by content address, read from a memory-mapped file.

    Args:
        path: an Arrow IPC stream with the columns `digest` and `data`.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with pa.ipc.open_stream(pa.memory_map(str(path))) as reader:
            self._batches = list(reader)
        self._places = {
            digest: (number, row)
            for number, batch in enumerate(self._batches)
            for row, digest in enumerate(batch.column("digest").to_pylist())
        }

    def __getitem__(self, digest: str) -> bytes:
        number, row = self._places[digest]
        return bytes(self._batches[number].column("data")[row].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Download:
    """A file that appears at `path` only when it is complete."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        self._file = self._temporary.open("wb")
        self.write = self._file.write

    def check(self, snapshot_id: int) -> None:
        """Raise InvalidData unless the file is a whole Arrow stream."""
        import pyarrow as pa

        self._file.flush()
        try:
            with pa.ipc.open_stream(pa.memory_map(str(self._temporary))) as reader:
                for _ in reader:
                    pass
        except (pa.ArrowInvalid, OSError) as error:
            raise InvalidData(f"The images of snapshot {snapshot_id} arrived damaged. Try again.") from error

    def __enter__(self) -> "_Download":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)
