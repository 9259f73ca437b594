"""The tables that verbs return: frames of polars that read well under a cell."""

import polars as pl

from modelship_lab.commands.description import frame_grid
from modelship_lab.notebook.displays import grid_html

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
