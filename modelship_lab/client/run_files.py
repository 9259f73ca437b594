"""What a run keeps besides numbers: files, images, tables, figures, texts."""

import logging
import mimetypes
import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from modelship_lab.client import media
from modelship_lab.client.metric_columns import as_step
from modelship_lab.client.metric_log import MetricLog
from modelship_lab.client.recorded_run import RecordedRun, sent
from modelship_lab.client.spooled_request import SpooledRequest
from modelship_lab.records.artifacts import Artifact, ArtifactKind
from modelship_lab.records.errors import InvalidData, InvalidInput, TimedOut, Unavailable

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_ARTIFACT_PATIENCE_S = 60.0
_CHANGING_PAUSES_S = (0.2, 1.0)
"""A file that is being written is read again after these."""


class RunFiles(RecordedRun):
    """A run that files can be saved with."""

    @property
    @abstractmethod
    def metric_log(self) -> MetricLog:
        """What takes the metrics of this process, and the files behind them."""

    def save_artifact(
        self,
        name: str,
        content: bytes | str | Path,
        content_type: str | None = None,
        *,
        kind: ArtifactKind = "file",
        step: int | None = None,
        caption: str = "",
    ) -> Artifact | None:
        """Save a file with the run, now; see `save_later` for the arguments.

        Returns:
            The artifact, or None when the server is away: then the file waits in the spool.

        Raises:
            InvalidData: the file is being written all the time.
            InvalidInput: the step is none.
        """
        content_type = content_type or _type_of(name)
        said = _said_of(kind, step, caption)
        try:
            return _when_stable(
                lambda: self._lab.connection.record(
                    Artifact,
                    "PUT",
                    self._path_of(name),
                    params=said,
                    **sent(content, content_type),
                    patience_s=_ARTIFACT_PATIENCE_S,
                )
            )
        except (Unavailable, TimedOut):
            pass
        if not self.save_later(name, content, content_type, kind=kind, step=step, caption=caption):
            raise Unavailable("The lab server is away, and the spool on this machine is full.")
        return None

    def save_later(
        self,
        name: str,
        content: bytes | str | Path,
        content_type: str | None = None,
        *,
        kind: ArtifactKind = "file",
        step: int | None = None,
        caption: str = "",
    ) -> bool:
        """Save a file with the run without waiting for the server: it is copied to the spool and sent from there.

        Args:
            name: how the file is called in the run; may have folders.
            content: bytes, text, or the path of a file on this machine, which may change afterwards.
            content_type: default: from the name.
            kind: how it is shown.
            step: position in the run; the same name can have a file for each.
            caption: a few words to it.

        Returns:
            Whether there was room for it.

        Raises:
            InvalidData: the file changes while it is copied.
            InvalidInput: the step is none.
        """
        request = SpooledRequest(
            "PUT",
            self._path_of(name),
            params=_said_of(kind, step, caption),
            content_type=content_type or _type_of(name),
            **({"file": content} if isinstance(content, Path) else {"body": _bytes_of(content)}),
        )
        is_kept = self.metric_log.append(request)
        if not is_kept:
            log.error("Run %d: there is no room for the file %s, which is lost.", self.id, name)
        return is_kept

    def log_image(self, name: str, image: Any, step: int | None = None, caption: str = "") -> None:
        """Log an image, without waiting for the server.

        Args:
            name: of the image in the run; there is one for each step.
            image: of PIL; of NumPy, height x width or height x width x 1, 3 or 4, whole numbers from 0 to 255 or
                floats from 0 to 1; of torch, channels x height x width.
            step: position in the run.
            caption: a few words to it.

        Raises:
            InvalidInput: it is no image.
        """
        self._log_media(name, media.image(image), step, caption)

    def log_table(self, name: str, frame: Any, step: int | None = None) -> None:
        """Log a table, a frame of polars or pandas, a table of PyArrow or a list of mappings; see `log_image`."""
        self._log_media(name, media.table(frame), step)

    def log_figure(self, name: str, figure: Any, step: int | None = None, caption: str = "") -> None:
        """Log a figure of matplotlib, as a picture, or of plotly, which stays movable; see `log_image`."""
        self._log_media(name, media.figure(figure), step, caption)

    def log_text(self, name: str, text: str, step: int | None = None) -> None:
        """Log a text; see `log_image`."""
        self._log_media(name, media.text(text), step)

    def log_file(self, path: Path | str, name: str | None = None, step: int | None = None) -> None:
        """Log a file as it is now: it is copied before this returns, and sent afterwards.

        Args:
            path: of the file.
            name: in the run; default: the file's own.
            step: position in the run.

        Raises:
            InvalidInput: there is no such file.
            InvalidData: it is being written all the time.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise InvalidInput(f"There is no file {file}.")
        _when_stable(lambda: self.save_later(name or file.name, file, step=step))

    def _log_media(self, name: str, made: media.Media, step: int | None, caption: str = "") -> None:
        self.save_later(name, made.content, made.content_type, kind=made.kind, step=step, caption=caption)


def _when_stable(read: Callable[[], Result]) -> Result:
    """Read a file, again after a while if it changes meanwhile.

    Raises:
        InvalidData: it is being written all the time.
    """
    for pause_s in _CHANGING_PAUSES_S:
        try:
            return read()
        except InvalidData:
            time.sleep(pause_s)
    return read()


def _type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _bytes_of(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)


def _said_of(kind: ArtifactKind, step: int | None, caption: str) -> dict[str, Any]:
    """What is said of an artifact besides its name and type."""
    said = {"kind": kind, "step": None if step is None else as_step(step), "caption": caption}
    return {key: value for key, value in said.items() if value not in ("file", None, "")}
