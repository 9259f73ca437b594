"""The tables that verbs return: frames of polars that read well under a cell."""

from typing import TYPE_CHECKING, Any

import polars as pl

from modelship_lab.commands.description import frame_grid
from modelship_lab.notebook.markup import grid_html

if TYPE_CHECKING:
    from modelship_lab.client import Lab
    from modelship_lab.notebook.widgets import LabWidget

_MOST_ROWS = 100


class Table(pl.DataFrame):
    """A frame of polars in all but its looks: four digits, whole seconds, neither quotes nor types."""

    def _repr_html_(self, *, _from_series: bool = False) -> str:
        if self.is_empty():
            return "<div>There is nothing yet.</div>"
        more = f"<div style='opacity:.7'>{self._more()}</div>"
        return f"<div style='overflow-x:auto'>{grid_html(frame_grid(self, _MOST_ROWS))}{more}</div>"

    def __repr__(self) -> str:
        if self.is_empty():
            return "There is nothing yet."
        grid = frame_grid(self, _MOST_ROWS)
        text = pl.DataFrame(grid.rows, schema=dict.fromkeys(grid.columns, pl.String), orient="row")
        with pl.Config(
            tbl_hide_column_data_types=True,
            tbl_hide_dataframe_shape=True,
            tbl_rows=-1,
            tbl_cols=-1,
            tbl_width_chars=240,
            fmt_str_lengths=80,
        ):
            return f"{text}\n{self._more()}".rstrip()

    def _more(self) -> str:
        return f"and {self.height - _MOST_ROWS:,} more" if self.height > _MOST_ROWS else ""


class RunsTable(Table):
    """Runs: a frame to compute with, and in the browser the table that filters, sorts and compares.

    Args:
        frame: the runs.
        lab: where they are.
        asked: what was asked, as `widgets.RunTableWidget` takes it.
    """

    def __init__(self, frame: pl.DataFrame, lab: "Lab | None" = None, **asked: Any) -> None:
        super().__init__(frame)
        self._lab = lab
        self._asked = asked

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from modelship_lab.notebook.widgets import RunTableWidget

        return _shown(self, RunTableWidget, options)


class SamplesTable(Table):
    """Samples: a frame to compute with, and in the browser the grid in which many are labeled at once.

    Args:
        frame: the samples.
        lab: where they are.
        asked: what was asked, as `widgets.SamplesWidget` takes it.
    """

    def __init__(self, frame: pl.DataFrame, lab: "Lab | None" = None, **asked: Any) -> None:
        super().__init__(frame)
        self._lab = lab
        self._asked = asked

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from modelship_lab.notebook.widgets import SamplesWidget

        return _shown(self, SamplesWidget, options)


def _shown(
    table: Any, widget: "type[LabWidget]", options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table as the widget that shows more of it."""
    lab = getattr(table, "_lab", None)
    if lab is None:
        # A frame that was made from this one has no question of its own.
        return {}, {}
    data, metadata = widget(lab, **table._asked, still=table._repr_html_())._repr_mimebundle_(**options)
    return {**data, "text/plain": repr(table)}, metadata
