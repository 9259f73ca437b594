"""Large files that come part by part: what has come survives a broken connection and a killed server.

Each lies in a file of its own with a word about it beside it; the length of the file is what has come.
"""

import asyncio
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from modelship_lab.records.base import Record
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound, TooManyRequests
from modelship_lab.records.labeling import MAX_UPLOAD, PartialUpload
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller, Ownership
from modelship_lab.server.storage.data_dir import write_private

KEPT_S = 24 * 3600.0
"""How long a file waits for its next part."""

MAX_UNDER_WAY = 16
"""Files of one account that are under way; together they may have no more bytes than one may."""


class _Announced(Record):
    owner_id: int
    size: int


class PartialUploads:
    """Files on their way to the lab.

    Args:
        folder: is kept when the server ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()

    async def begin(self, size: int, caller: Caller) -> PartialUpload:
        """Expect a file of `size` bytes; those whose parts have not come for a day are forgotten.

        Raises:
            TooManyRequests: the account has too many files, or too large ones, under way.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._begin, size, caller)

    async def get(self, upload_id: str, caller: Caller) -> PartialUpload:
        """How much of a file has come.

        Raises:
            NotFound: there is none with this id for the caller, or it is gone again.
        """
        return await asyncio.to_thread(self._find, upload_id, caller)

    async def append(self, upload_id: str, offset: int, part: Path, caller: Caller) -> PartialUpload:
        """Take the part that begins at `offset`; what of it has come before is passed over, so it may come again.

        Raises:
            NotFound: there is none with this id for the caller, or it is gone again.
            Conflict: what lies before the part has not come.
            InvalidInput: the part goes beyond the end of the file.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._append, upload_id, offset, part, caller)

    async def whole(self, upload_id: str, caller: Caller) -> tuple[Path, int]:
        """The file, all of which has come, and its size; whoever moves it away calls `end`.

        Raises:
            NotFound: there is none with this id for the caller, or it is gone again.
            Conflict: some of it has not come yet.
        """
        found = await self.get(upload_id, caller)
        if found.received < found.size:
            raise Conflict(
                f"Of the {found.size} bytes of this file {found.received} have come: send the rest."
            )
        return self._content(found.id), found.size

    async def end(self, upload_id: str) -> None:
        """Forget a file."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._remove, upload_id)

    def _begin(self, size: int, caller: Caller) -> PartialUpload:
        under_way = [one.size for one in self._swept() if one.owner_id == caller.account_id]
        if len(under_way) >= MAX_UNDER_WAY or sum(under_way) + size > MAX_UPLOAD:
            raise TooManyRequests(
                f"You have {len(under_way)} files of {sum(under_way)} bytes under way, which is too much: end them, "
                "or try again when those that go on no more are forgotten, after a day."
            )
        upload_id = secrets.token_hex(16)
        announced = _Announced(owner_id=caller.account_id, size=size)
        # A word without a file is swept, a file without a word never would be.
        write_private(self._word(upload_id), announced.model_dump_json())
        self._content(upload_id).touch(mode=0o600)
        return PartialUpload(id=upload_id, size=size, received=0)

    def _find(self, upload_id: str, caller: Caller) -> PartialUpload:
        # It becomes a part of a path.
        is_id = re.fullmatch("[0-9a-f]{32}", upload_id) is not None
        try:
            announced = self._announced(upload_id) if is_id else None
            received = self._content(upload_id).stat().st_size if announced else 0
        except FileNotFoundError:
            announced = None
        if announced is None:
            raise NotFound(f"There is no upload {upload_id[:50]} (any more): begin it again.")
        policy.require(caller, "write", Ownership(announced.owner_id, False), f"upload {upload_id}")
        return PartialUpload(id=upload_id, size=announced.size, received=received)

    def _append(self, upload_id: str, offset: int, part: Path, caller: Caller) -> PartialUpload:
        found = self._find(upload_id, caller)
        end = offset + part.stat().st_size
        if offset > found.received:
            raise Conflict(f"{found.received} bytes have come: send the file from there on.")
        if end > found.size:
            raise InvalidInput(f"The part ends at {end}, but the file was said to have {found.size} bytes.")
        if end <= found.received:
            return found
        with part.open("rb") as source, self._content(upload_id).open("ab") as file:
            source.seek(found.received - offset)
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        return found.model_copy(update={"received": end})

    def _swept(self) -> Iterator[_Announced]:
        """Those that are under way, once those that are not any more are removed."""
        for word in self._folder.glob("*.json"):
            content = self._content(word.stem)
            try:
                touched = content.stat().st_mtime
            except FileNotFoundError:
                # It was moved away by a process that ended then.
                touched = 0.0
            if time.time() - touched > KEPT_S:
                self._remove(word.stem)
            else:
                yield self._announced(word.stem)

    def _announced(self, upload_id: str) -> _Announced:
        return _Announced.model_validate_json(self._word(upload_id).read_bytes())

    def _content(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.part"

    def _word(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.json"

    def _remove(self, upload_id: str) -> None:
        self._content(upload_id).unlink(missing_ok=True)
        self._word(upload_id).unlink(missing_ok=True)
