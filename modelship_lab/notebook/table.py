"""The tables that verbs return: frames of polars that read well under a cell."""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from modelship_lab.commands.description import frame_grid
from modelship_lab.notebook.markup import grid_html

if TYPE_CHECKING:
    from modelship_lab.client import Lab

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


class ViewTable(Table):
    """A frame to compute with, which the browser shows as a view that does more.

    Args:
        frame: what the view shows, or the first of it.
        lab: where it is.
        asked: what was asked, as the view's widget takes it.
    """

    view: ClassVar[str]
    """The name of its widget in `notebook.widgets`."""

    def __init__(self, frame: pl.DataFrame, lab: "Lab | None" = None, **asked: Any) -> None:
        super().__init__(frame)
        self._lab = lab
        self._asked = asked

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from modelship_lab.notebook import widgets

        lab = getattr(self, "_lab", None)
        if lab is None:
            # A frame that was made from this one has no question of its own.
            return {}, {}
        widget = getattr(widgets, self.view)(lab, **self._asked, still=self._repr_html_())
        data, metadata = widget._repr_mimebundle_(**options)
        return {**data, "text/plain": repr(self)}, metadata


class RunsTable(ViewTable):
    """Runs, in the browser the table that filters, sorts and compares."""

    view = "RunTableWidget"


class SamplesTable(ViewTable):
    """Samples, in the browser the grid in which many are labeled at once."""

    view = "SamplesWidget"
