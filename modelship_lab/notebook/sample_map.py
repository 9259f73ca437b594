"""The map of a project's samples: points that lie close where samples are alike, and a lasso around them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import polars as pl

from modelship_lab.notebook.widgets import MapPage
from modelship_lab.records.errors import InvalidInput, LabError, MissingDependency

if TYPE_CHECKING:
    import pandas as pd

    from modelship_lab.client import ProjectHandle
    from modelship_lab.client.project_samples import MapColor
    from modelship_lab.records.labeling import SampleSelection, SavedBulk, SavedRequests

_NOTHING = "–"
"""What has no label or suggestion."""

_GRAY = "#8a9099"

_CLASS_COLORS = (
    "#3b82f6",
    "#f59e0b",
    "#10b981",
    "#ef5a6f",
    "#8b5cf6",
    "#14b8c4",
    "#e879b9",
    "#84a83a",
    "#b0805a",
    "#7b8794",
)
"""Those of the labeler, told apart on light and dark ground."""

_STATUS_COLORS = {
    "unlabeled": _GRAY,
    "labeled": "#3b82f6",
    "auto": "#14b8c4",
    "skipped": "#b0805a",
    "flagged": "#f59e0b",
}

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
        # What is known lies on top of what is not.
        points = points.sort(pl.col(by).is_not_null(), maintain_order=True)
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
            color_map=_colors(by, project.record.classes, shown[by]),
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
        self.note = ipywidgets.HTML(
            f"{note}. Colors tell the {by}. Draw a lasso to select, by mouse, finger or keys."
        )
        self.page = MapPage(f"Map of {note} by their {by}")
        self.page.observe(lambda change: self._stand_on(change.new), names="ground")
        self.page.observe(lambda change: self._draw_by_keys(change.new), names="by_keys")
        self.classes = ipywidgets.Dropdown(
            options=project.record.classes, description="Class", layout={"width": "220px"}
        )
        self.classes.style.description_width = "auto"
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
        super().__init__([self.note, self.scatter.show(), line, self.page])
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

    def _stand_on(self, ground: str) -> None:
        """Take the color of the page, so that the map belongs into a light or a dark one."""
        parts = [int(part) / 255 for part in re.findall(r"\d+", ground)]
        if len(parts) != 3:
            return
        is_dark = sum(parts) / 3 < 0.5
        ink = 1.0 if is_dark else 0.0
        # Not by `scatter.background`, which brings axes along.
        widget = self.scatter.widget
        widget.background_color = [*parts, 1.0]
        widget.legend_color = [ink, ink, ink, 1.0]
        widget.reticle_color = [ink, ink, ink, 0.15]
        widget.tooltip_color = [0.2, 0.2, 0.2, 1.0] if is_dark else [1.0, 1.0, 1.0, 1.0]

    def _draw_by_keys(self, begins: bool) -> None:
        """Have a drag draw: in another of its modes the map would move instead."""
        if begins:
            self.scatter.mouse("lasso")

    def _selected(self, _: Any) -> None:
        self.answer.value = ""
        self._show()
        self.page.told = f"{len(self.selected):,} samples selected"

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


def _colors(by: "MapColor", classes: Sequence[str], shown: "pd.Series[str]") -> dict[str, str] | None:
    """The color of each value; None where there are more classes than colors that are told apart."""
    if by == "status":
        return {value: _STATUS_COLORS[value] for value in shown.cat.categories}
    own = dict(zip(classes, _CLASS_COLORS, strict=False))
    # Sets of classes and numbers have no color of their own.
    if not own.keys() | {_NOTHING} >= set(shown.cat.categories):
        return None
    return {value: own.get(value, _GRAY) for value in shown.cat.categories}


def _room(places: "pd.Series[float]") -> tuple[float, float]:
    """What one axis spans."""
    least, most = float(places.min()), float(places.max())
    free = MARGIN * (most - least) or 1.0
    return least - free, most + free
