"""What a client can do only when the layers above it are there: widgets and training.

The client may not import them, so whoever connects hands them in: `modelship_lab.connect()` does.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from modelship_lab.records.errors import MissingDependency

if TYPE_CHECKING:
    from pathlib import Path

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.project_samples import MapColor
    from modelship_lab.client.projects import ProjectHandle
    from modelship_lab.client.runs import RunHandle
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.records.labeling import QueueOrder, SampleFilter
    from modelship_lab.records.model_export import ModelFormat


class Verbs(Protocol):
    """The verbs of higher layers."""

    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        """Show the labeling widget."""

    def grid(self, project: "ProjectHandle", samples: "SampleFilter", sort: str) -> Any:
        """Show the grid of samples."""

    def map(self, project: "ProjectHandle", by: "MapColor", most: int) -> Any:
        """Show the map of samples."""

    def train(self, project: "ProjectHandle", recipe: str | None, options: dict[str, Any]) -> Any:
        """Start training in this process."""

    def train_module(
        self, project: "ProjectHandle", module: Any, datamodule: Any, options: dict[str, Any]
    ) -> Any:
        """Start training somebody's own LightningModule in this process."""

    def show_sweep(self, sweep: "Sweep") -> None:
        """Show a sweep that has begun, where there is something to show it in."""

    def suggest(self, project: "ProjectHandle", run_id: int, source: str) -> Any:
        """Suggest labels by the model of a run, in the name of `source`."""

    def suggest_by_names(self, project: "ProjectHandle", on_progress: Callable[[int, int], None]) -> Any:
        """Suggest labels by how close texts are to the names of the classes."""

    def autolog(self, lab: "Lab", frameworks: Iterable[str] | None, disable: bool) -> Any:
        """Log what other libraries train in this process."""

    def export(
        self,
        run: "RunHandle",
        formats: "tuple[ModelFormat, ...]",
        target: "Path | None",
        optimize: bool,
        validate: bool,
    ) -> Any:
        """Export a run's model."""


class NoVerbs:
    """Stands in when nobody handed any in."""

    def label(self, project: "ProjectHandle", order: "QueueOrder") -> Any:
        raise _missing("Labeling")

    def grid(self, project: "ProjectHandle", samples: "SampleFilter", sort: str) -> Any:
        raise _missing("The grid of samples")

    def map(self, project: "ProjectHandle", by: "MapColor", most: int) -> Any:
        raise _missing("The map of samples")

    def train(self, project: "ProjectHandle", recipe: str | None, options: dict[str, Any]) -> Any:
        raise _missing("Training")

    def train_module(
        self, project: "ProjectHandle", module: Any, datamodule: Any, options: dict[str, Any]
    ) -> Any:
        raise _missing("Training")

    def show_sweep(self, sweep: "Sweep") -> None:
        pass

    def suggest(self, project: "ProjectHandle", run_id: int, source: str) -> Any:
        raise _missing("Suggesting")

    def suggest_by_names(self, project: "ProjectHandle", on_progress: Callable[[int, int], None]) -> Any:
        raise _missing("Suggesting")

    def autolog(self, lab: "Lab", frameworks: Iterable[str] | None, disable: bool) -> Any:
        raise _missing("Autologging")

    def export(
        self,
        run: "RunHandle",
        formats: "tuple[ModelFormat, ...]",
        target: "Path | None",
        optimize: bool,
        validate: bool,
    ) -> Any:
        raise _missing("Exporting")


def _missing(what: str) -> MissingDependency:
    return MissingDependency(f"{what} needs the whole package: connect with `modelship_lab.connect()`.")
