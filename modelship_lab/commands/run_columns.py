"""Columns of the table of runs on a command line: lists of them, and filters over them, completed by the Tab key."""

import re
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from modelship_lab.client.run_table import in_filter
from modelship_lab.commands.parameters import known
from modelship_lab.records.run_table import RunRow
from modelship_lab.records.tracking import RunStatus

OWN = tuple(name for name in RunRow.model_fields if name not in ("values", "children"))
_BEGUN = re.compile(r"""[A-Za-z_](?:[\w./-]|\["[^"]*"?\]?)*$""")
_STATUS = re.compile(r"""\bstatus\s*[!=]=\s*("?[a-z]*)$""")
_QUOTED_NAME = re.compile(r"""(params|metrics|summary)\["[^"]*$""")


def _names(ctx: click.Context) -> list[str]:
    project = ctx.params.get("project")
    path = f"runs/columns?project={project}" if project else "runs/columns"
    return [str(column["name"]) for column in known(path, ctx)]


class ColumnList(click.ParamType[tuple[str, ...]]):
    """Columns separated by commas, `-` before those that sort down."""

    name = "column,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(split(str(value)))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        begun = incomplete.rpartition(",")[2].lstrip("-")
        before = incomplete[: len(incomplete) - len(begun)]
        taken = {name.lstrip("-") for name in split(before)}
        return [
            CompletionItem(before + name)
            for name in (*_names(ctx), *OWN)
            if name.startswith(begun) and name not in taken
        ]


def split(text: str) -> list[str]:
    """Names of columns: a comma within brackets or braces belongs to a name."""
    names, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            names.append("")
        else:
            names[-1] += character
    return [name.strip() for name in names if name.strip()]


class FilterExpression(click.ParamType[str]):
    """A Python expression over the columns of runs."""

    name = "expression"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Around the expression may be the quotes of the line, within it those of its texts.
        if status := _STATUS.search(incomplete):
            begun = status[1]
            words = [f'"{word}"' for word in get_args(RunStatus)]
            words = [word for word in words if word.startswith(begun) or word[1:].startswith(begun)]
        else:
            if _in_text(incomplete):
                return []
            found = _BEGUN.search(incomplete)
            begun = found[0] if found else ""
            words = [in_filter(name) for name in _names(ctx)] + [*OWN, "and", "or", "not", "in"]
            words = [word for word in words if word.startswith(begun) and word != begun]
        return [CompletionItem(incomplete[: len(incomplete) - len(begun)] + word) for word in words]


def _in_text(incomplete: str) -> bool:
    """Whether the cursor is in a text of the expression, which nobody can complete."""
    inner = incomplete[1:] if incomplete[:1] in ("'", '"') else incomplete
    return _QUOTED_NAME.search(inner) is None and inner.count('"') % 2 == 1


class Figure(click.ParamType[str]):
    """A final figure or metric, by its name alone or as a column."""

    name = "metric"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [name for name in _names(ctx) if not name.startswith("params")]
        plain = [re.sub(r'^\w+\.|^\w+\["|"\]$', "", name) for name in names if "{" not in name]
        return [
            CompletionItem(name) for name in dict.fromkeys((*plain, *names)) if name.startswith(incomplete)
        ]


COLUMNS = ColumnList()
FILTER = FilterExpression()
FIGURE = Figure()
