"""The simplest parts of a page: descriptions, tables, bars and pictures, inside whatever shows them.

Everything that comes from data is escaped: a sample's text must not run as a page.
"""

import base64
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelship_lab.commands.description import Description, Grid

BAR = "display:inline-block;height:.7em;border-radius:2px;background:#2a7de1;vertical-align:middle"
"""The style of a bar, but for its width."""
_LINE = "border-bottom:1px solid rgba(128,128,128,.25)"
_CELL = f"text-align:left;padding:2px 12px 2px 0;vertical-align:top;{_LINE}"
_LONGEST_WORD = 32


def description_html(description: "Description") -> str:
    """A description as a title, facts in two columns, and tables."""
    parts = []
    if description.facts:
        rows = "".join(
            f"<tr style='background:none'><td style='text-align:left;padding:1px 12px 1px 0;opacity:.7'>"
            f"{escape(name)}</td><td style='text-align:left;padding:1px 0;overflow-wrap:anywhere'>"
            f"{escape(text)}</td></tr>"
            for name, text in description.facts
        )
        parts.append(f"<table style='margin:0;border:none'>{rows}</table>")
    parts += [grid_html(grid) for grid in description.grids if grid.rows]
    columns = "".join(f"<div style='max-width:100%'>{part}</div>" for part in parts)
    title = f"<div style='font-weight:600;margin:2px 0 4px'>{escape(description.title)}</div>"
    note = f"<div style='opacity:.7'>{escape(description.note)}</div>" if description.note else ""
    # Side by side where there is room.
    flow = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:4px 40px"
    return f"<div>{title}<div style='{flow}'>{columns}</div>{note}</div>"


def grid_html(grid: "Grid") -> str:
    """A grid as a table."""
    head = "".join(f"<th style='{_CELL}'>{escape(column)}</th>" for column in grid.columns)
    body = "".join(
        "<tr style='background:none'>"
        + "".join(f"<td style='{_style(cell)}'>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in grid.rows
    )
    title = f"<div style='opacity:.7;padding:1px 0'>{escape(grid.title)}</div>" if grid.title else ""
    return f"{title}<table style='margin:0'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _style(cell: str) -> str:
    # A name or a time stays on its line, a message does not.
    return f"{_CELL};white-space:nowrap" if len(cell) <= _LONGEST_WORD else _CELL


def progress_html(title: str, share: float, text: str) -> str:
    """A progress bar. `share` is 0 to 1."""
    width = f"{min(max(share, 0), 1):.0%}"
    return (
        f"<div>{escape(title)} <span style='display:inline-block;width:200px;background:rgba(128,128,128,.25);"
        f"border-radius:2px;line-height:0'><span style='{BAR};width:{width}'></span></span> {escape(text)}</div>"
    )


def image_html(png: bytes, description: str) -> str:
    """A picture of two pixels for each point on screen, inside the page."""
    data = base64.b64encode(png).decode()
    return (
        f"<img alt='{escape(description)}' src='data:image/png;base64,{data}' "
        f"style='max-width:100%;zoom:.5;border-radius:4px;margin:4px 0'>"
    )
