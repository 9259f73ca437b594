"""Runs mirrored to an MLflow tracking server while they go on, when `MLFLOW_TRACKING_URI` names one."""

import logging
import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelship_lab.records.errors import LabError
from modelship_lab.records.tracking import MLFLOW_TAG, mlflow_id

if TYPE_CHECKING:
    from modelship_lab.client.exchange.mlflow_out import Mirrored
    from modelship_lab.client.runs import RunHandle

VARIABLE = "MLFLOW_TRACKING_URI"
_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


class Mirror:
    """Mirrors one run, if a server is named. No fault of that server is one of the training.

    The run gets the tag `mlflow:ID`, with the server's own id of it.
    """

    def __init__(self, run: "RunHandle") -> None:
        self._run = run
        self._mirrored: Mirrored | None = None
        self._beginning: threading.Thread | None = None
        url = os.environ.get(VARIABLE, "")
        if urlsplit(url).scheme in ("http", "https"):
            # Beside the training, which need not wait for a server that is slow or away.
            self._beginning = threading.Thread(target=self._begin, args=(url,), daemon=True)
            self._beginning.start()

    def complete(self) -> None:
        """Bring over what the run has logged; called once it has ended."""
        if self._beginning is None:
            return
        self._beginning.join(_PATIENCE_S)
        if self._mirrored is None:
            return
        try:
            self._run.flush()
            self._run.refresh()
            self._mirrored.complete()
        except LabError as error:
            log.warning("Run %d could not be mirrored to MLflow: %s", self._run.id, error.message)
        finally:
            self._mirrored.close()

    def _begin(self, url: str) -> None:
        from modelship_lab.client.exchange.mlflow_out import Mirrored

        try:
            mirrored = Mirrored(self._run, url)
            if mlflow_id(self._run.record.tags) != mirrored.id:
                others = [tag for tag in self._run.refresh().tags if not tag.startswith(MLFLOW_TAG)]
                self._run.set_tags([*others, f"{MLFLOW_TAG}{mirrored.id}"])
            self._mirrored = mirrored
        except LabError as error:
            log.warning("Run %d is not mirrored to MLflow: %s", self._run.id, error.message)
