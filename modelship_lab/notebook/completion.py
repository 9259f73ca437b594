"""The Tab key after `%mlship`: verbs, options, their values, and names from the lab."""

import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.notebook.session import NotebookSession

_SQL = re.compile(r"^\s*%%mlship\s+sql\b[^\n]*\n")

_NAME = re.compile(r"(?:(\w+)\.)?(\w*)$")

_LINE = re.compile(r"^\s*(?:[A-Za-z_]\w*\s*=\s*)?%mlship\s+(.*)$", re.DOTALL)


def load(shell: "InteractiveShell", session: "Callable[[], NotebookSession]") -> None:
    """Complete the words of `%mlship` lines.

    Args:
        session: what the verbs know of this notebook; asked for when there is something to complete.
    """

    @context_matcher()  # type: ignore[untyped-decorator]
    def mlship_matcher(context: "CompletionContext") -> "SimpleMatcherResult":
        line = context.line_with_cursor[: context.cursor_position]
        if context.cursor_line > 0 and _SQL.match(context.full_text):
            return _in_sql(line, session())
        match = _LINE.match(line)
        if match is None:
            return {"completions": []}
        *words, incomplete = split(match[1])
        found = completions(words, incomplete, session())
        return {
            "completions": [SimpleCompletion(_one_word(text), type="keyword") for text in found],
            # Names of files and variables would only be in the way; where a verb takes them, there is nothing
            # of ours.
            "suppress": bool(found),
            "matched_fragment": incomplete,
        }

    completer = shell.Completer
    completer.custom_matchers = [
        matcher
        for matcher in completer.custom_matchers
        if getattr(matcher, "__qualname__", "") != mlship_matcher.__qualname__
    ]
    completer.custom_matchers.append(mlship_matcher)


def _one_word(text: str) -> str:
    # A word that is in quotes already goes on in them.
    return shlex.quote(text) if text[:1] not in "'\"" and any(one.isspace() for one in text) else text


def _in_sql(line: str, session: "NotebookSession") -> "SimpleMatcherResult":
    """Tables of the lab and frames of the notebook, and behind the name of a table and a dot its columns."""
    import click

    from modelship_lab.commands.main import mlship
    from modelship_lab.commands.parameters import known

    tables = known("tables", click.Context(mlship, obj=session))
    name = _NAME.search(line)
    assert name is not None
    if name[1]:
        names = [
            column["name"] for one in tables if one["name"] == name[1].lower() for column in one["columns"]
        ]
    else:
        names = [one["name"] for one in tables]
        names += [one for one, value in session.variables().items() if _is_frame(value)]
    found = [one for one in names if one.lower().startswith(name[2].lower())]
    return {
        "completions": [SimpleCompletion(text, type="keyword") for text in found],
        # What follows `from` is no module here.
        "suppress": bool(found),
        "matched_fragment": name[2],
    }


def _is_frame(value: Any) -> bool:
    """Whether SQL can name a variable, told without importing what frames are made of."""
    return any(
        kind.__module__.split(".")[0] in ("pandas", "polars", "pyarrow")
        and kind.__name__ in ("DataFrame", "LazyFrame", "RecordBatch", "Table")
        for kind in type(value).__mro__
    )


def split(text: str) -> list[str]:
    """The words of a line that is being written; the last one is the one at the cursor."""
    words = [""]
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            if words[-1]:
                words.append("")
            continue
        words[-1] += character
    return words


def completions(words: list[str], incomplete: str, session: "NotebookSession") -> list[str]:
    """What can stand at the cursor, by click's own completion, the same as in a shell."""
    from click.shell_completion import ShellComplete

    from modelship_lab.commands.main import mlship

    class Complete(ShellComplete):
        name = "notebook"

    found: list[Any] = Complete(mlship, {"obj": session}, "mlship", "").get_completions(words, incomplete)
    return [item.value for item in found if item.type == "plain"]
