"""The map of a project's samples: points that lie close where samples are alike, and a lasso around them."""

from typing import TYPE_CHECKING, Any

import ipywidgets

from modelship_lab.records.errors import InvalidInput, LabError, MissingDependency

if TYPE_CHECKING:
    import pandas as pd

    from modelship_lab.client import ProjectHandle
    from modelship_lab.client.project_samples import MapColor
    from modelship_lab.records.labeling import SampleSelection, SavedBulk, SavedRequests

_NOTHING = "–"
"""What has no label or suggestion."""

HEIGHT_PX = 420

MARGIN = 0.05
"""Part of the map that stays free at each side: a point at the very edge could not be enclosed."""


class SampleMap(ipywidgets.VBox):  # type: ignore[misc]
    """Samples as points, with what can be done with those that the lasso encloses.

    Args:
        project: whose samples.
        by: what colors tell: `label`, `status` or `suggested`.
        most: of more samples a random part is shown.

    Raises:
        MissingDependency: jupyter-scatter is not installed.
        Conflict: the samples have not been embedded yet.
    """

    def __init__(self, project: "ProjectHandle", by: "MapColor", most: int) -> None:
        try:
            import jscatter
        except ImportError:
            raise MissingDependency(
                "The map needs jupyter-scatter: `pip install 'modelship-lab[map]'`, then restart the kernel."
            ) from None
        self.project = project
        points, self.total = project.points(most)
        self._ids: list[int] = points["sample_id"].to_list()
        shown = points.select("x", "y", by).to_pandas()
        shown[by] = shown[by].fillna(_NOTHING).astype("category")
        self.scatter: Any = jscatter.Scatter(
            data=shown,
            x="x",
            y="y",
            x_scale=_room(shown["x"]),
            y_scale=_room(shown["y"]),
            color_by=by,
            legend=True,
            axes=False,
            height=HEIGHT_PX,
            lasso_initiator=True,
            mouse_mode="lasso",
        )
        self.scatter.widget.observe(self._selected, names="selection")
        part = len(self._ids) < self.total
        note = (
            f"{len(self._ids):,} of {self.total:,} samples, chosen at random"
            if part
            else f"{self.total:,} samples"
        )
        self.note = ipywidgets.HTML(f"{note}. Colors tell the {by}. Draw a lasso to select.")
        self.classes = ipywidgets.Dropdown(options=project.record.classes, layout={"width": "160px"})
        self.ask = ipywidgets.Button(disabled=True, layout={"width": "auto"})
        self.queue = ipywidgets.Button(description="Send to the queue", disabled=True)
        self.answer = ipywidgets.HTML()
        self._asked: int | None = None
        self.ask.on_click(lambda _: self._try(self._label_asked))
        self.queue.on_click(lambda _: self._try(self._send_asked))
        self.classes.observe(lambda _: self._show(), names="value")
        # Numbers have no classes to choose from: `label` takes one.
        choose = [self.classes, self.ask] if project.record.classes else []
        line = ipywidgets.HBox([*choose, self.queue, self.answer])
        super().__init__([self.note, self.scatter.show(), line])
        self._show()

    @property
    def selected(self) -> list[int]:
        """The ids of the samples that the lasso encloses."""
        return [self._ids[place] for place in self.scatter.selection()]

    def label(self, label: str | float, *, expected: int | None = None) -> "SavedBulk":
        """Label the selected samples in one act.

        Args:
            expected: how many they are thought to be; with another number nothing is saved.
        """
        value: Any = [label] if self.project.record.kind == "labels" else label
        return self.project.label_samples(value, ids=self._chosen(), expected=expected)

    def grid(self) -> Any:
        """The selected samples in the grid."""
        return self.project.grid(ids=self._chosen())

    def save(self, name: str) -> "SampleSelection":
        """Remember the selected samples under a name."""
        return self.project.save_selection(name, ids=self._chosen())

    def send(self, detail: str = "") -> "SavedRequests":
        """Send the selected samples to the queue, so that somebody looks at them."""
        return self.project.request(detail=detail, ids=self._chosen())

    def _chosen(self) -> list[int]:
        chosen = self.selected
        if not chosen:
            raise InvalidInput("No sample is selected: draw a lasso around some points.")
        return chosen

    def _selected(self, _: Any) -> None:
        self.answer.value = ""
        self._show()

    def _show(self) -> None:
        """The count stands on the button before anything is saved, and is asked for once more."""
        count = len(self.selected)
        self._asked = None
        self.ask.description = f"Label {count:,} samples as {self.classes.value}…"
        self.ask.button_style = ""
        self.ask.disabled = self.queue.disabled = count == 0

    def _label_asked(self) -> None:
        count = len(self.selected)
        if self._asked != count:
            self._asked = count
            self.ask.description = f"Yes, label {count:,} samples as {self.classes.value}"
            self.ask.button_style = "warning"
            return
        saved = self.label(self.classes.value, expected=count)
        self._show()
        self.answer.value = (
            f"{saved.saved:,} labeled; <code>project.undo(batch='{saved.batch}')</code> takes it back"
        )

    def _send_asked(self) -> None:
        sent = self.send()
        self.answer.value = f"{sent.added:,} sent to the queue"

    def _try(self, work: Any) -> None:
        try:
            work()
        except LabError as error:
            self.answer.value = error.message


def _room(places: "pd.Series[float]") -> tuple[float, float]:
    """What one axis spans."""
    least, most = float(places.min()), float(places.max())
    free = MARGIN * (most - least) or 1.0
    return least - free, most + free
