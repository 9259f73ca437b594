"""Files of data in the workspace: looked at by a process of its own, which nothing in them can make the server feel."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from modelship_lab.records.base import Record
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck, DataQuestion, DataReport
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.jobs import process
from modelship_lab.server.storage.workspace import Workspace

KIND = "data_file"
AT_ONCE = 2

Answer = TypeVar("Answer", bound=Record)


class DataFiles:
    """Has files of data looked at.

    Args:
        workspace: where they are.
        folder: where the processes have their folders.
    """

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self._workspace = workspace
        self._folder = folder
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def check(
        self,
        path: str,
        caller: Caller,
        format: str | None = None,
        text_column: str = TEXT_COLUMN,
        label_column: str = LABEL_COLUMN,
    ) -> DataCheck:
        """Whether a file of the workspace can be learned from.

        Raises:
            NotFound, PermissionDenied: there is no such file in the workspace.
            InvalidInput: the format is none.
            InvalidData: the file cannot be read.
        """
        async with self.checked(path, caller, format, text_column, label_column, rows=False) as (check, _):
            return check

    @asynccontextmanager
    async def checked(
        self,
        path: str,
        caller: Caller,
        format: str | None = None,
        text_column: str = TEXT_COLUMN,
        label_column: str = LABEL_COLUMN,
        *,
        rows: bool = True,
    ) -> AsyncIterator[tuple[DataCheck, Path]]:
        """As `check`, with a file of the rows for as long as the block lasts; it is there if the data is valid."""
        caller.require("train")
        file = self._workspace.file(path)
        asked = DataQuestion(
            file=str(file),
            shown=self._workspace.shown(file),
            format=format,
            text_column=text_column,
            label_column=label_column,
            rows=rows,
        )
        async with self._answer(asked, DataCheck) as (check, folder):
            yield check, folder / "rows.jsonl"

    async def report(
        self,
        path: str,
        output: str,
        caller: Caller,
        format: str | None = None,
        text_column: str = TEXT_COLUMN,
        label_column: str = LABEL_COLUMN,
    ) -> DataReport:
        """Write a page about a file of the workspace; raises what `check` raises."""
        caller.require("train")
        file = self._workspace.file(path)
        target = self._workspace.folder(output) if output.endswith("/") else self._workspace.resolve(output)
        if target.is_dir():
            target = target / f"{file.stem}.html"
        asked = DataQuestion(
            file=str(file),
            shown=self._workspace.shown(file),
            format=format,
            text_column=text_column,
            label_column=label_column,
            output=str(target),
            shown_output=self._workspace.shown(target),
        )
        async with self._answer(asked, DataReport) as (report, _):
            return report

    @asynccontextmanager
    async def _answer(self, asked: DataQuestion, kind: type[Answer]) -> AsyncIterator[tuple[Answer, Path]]:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="data-", dir=self._folder))
        try:
            await asyncio.to_thread((folder / "job.json").write_text, asked.model_dump_json())
            async with self._turns:
                await process.run(KIND, folder, lambda progress: None)
            content = await asyncio.to_thread((folder / "result.json").read_bytes)
            yield kind.model_validate_json(content), folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)
