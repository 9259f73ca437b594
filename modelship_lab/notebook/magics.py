"""`%mlship verb …`, `%%mlship run NAME` and `%%mlship sql`.

Loading this costs a notebook nothing but itself: all else is imported when the first verb is used.
"""

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from modelship_lab.notebook import completion, displays

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.notebook.session import NotebookSession

_VARIABLE = re.compile(r"\{([A-Za-z_][\w.]*(?:\[[^\[\]{}]+\])*)\}|\$([A-Za-z_]\w*)")

_PLACE = re.compile("\0([0-9]+)\0")


@magics_class
class LabMagics(Magics):
    """The magics of ModelShip Lab."""

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__(shell)
        self._notebook = shell
        self._session: NotebookSession | None = None

    @property
    def session(self) -> "NotebookSession":
        """What the verbs know of this notebook."""
        if self._session is None:
            from modelship_lab.notebook.session import NotebookSession

            self._session = NotebookSession(self._notebook)
        return self._session

    # Expanded here: IPython's own expansion would take the braces of JSON for variables.
    @no_var_expand
    @line_cell_magic
    def mlship(self, line: str, cell: str | None = None) -> Any:
        """Label data, train and ship models, and watch them: `%mlship` lists the verbs.

        A `{variable}` or `$variable` of the notebook is replaced by its value. `%%mlship run NAME`
        executes the cell below it as a run that is tracked, `%%mlship sql` answers the SQL below it.
        """
        from modelship_lab.commands.failures import CommandFailed

        words = self._words(line)
        try:
            if cell is not None and words[:1] != ["sql"]:
                return self._run_cell(words, cell)
            from modelship_lab.commands.main import execute

            if cell is not None:
                # What has no dash is no option, and there is nothing else that could be said up there.
                words += ["--", cell]
            return _readable(execute(words, self.session, "%mlship"))
        except CommandFailed as failure:
            # Exactly this class: IPython shows it as one line, a subclass with a traceback.
            raise UsageError(failure.message) from None

    def _run_cell(self, words: list[str], cell: str) -> None:
        from modelship_lab.notebook.cell_run import run_cell

        if words[:1] != ["run"]:
            raise UsageError(
                "A cell is tracked by `%%mlship run NAME`, or is SQL below `%%mlship sql`; "
                "other verbs are written as `%mlship …`."
            )
        run_cell(self.session, words[1:], cell)

    def _words(self, line: str) -> list[str]:
        """The words of a line, with the notebook's variables in place of their names.

        A value stays within its word, whatever spaces and quotes it has.
        """
        values: list[str] = []

        def value(match: re.Match[str]) -> str:
            expression = match[1] or match[2]
            if re.split(r"\W", expression)[0] not in self._notebook.user_ns:
                return match[0]
            try:
                found = self._notebook.ev(expression)
            except Exception as error:  # Anything can happen in somebody's `__getitem__`.
                raise UsageError(f"{match[0]}: {type(error).__name__}: {error}") from None
            values.append(found if isinstance(found, str) else _as_text(found))
            return f"\0{len(values) - 1}\0"

        try:
            words = shlex.split(_VARIABLE.sub(value, line.replace("\0", "")))
        except ValueError as error:
            raise UsageError(f"The line cannot be read: {str(error).lower()}.") from None
        return [_PLACE.sub(lambda match: values[int(match[1])], word) for word in words]


def load(shell: "InteractiveShell") -> None:
    """Add the magics, their completion and the displays of what they return."""
    magics = LabMagics(shell)
    shell.register_magics(magics)
    completion.load(shell, lambda: magics.session)
    displays.load(shell)


def _readable(value: Any) -> Any:
    """A verb's value, with a frame as a table that reads well. What is no frame does not load polars."""
    polars = sys.modules.get("polars")
    if polars is None or type(value) is not polars.DataFrame:
        return value
    from modelship_lab.notebook.table import Table

    return Table(value)


def _as_text(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=lambda one: one.item() if hasattr(one, "item") else str(one))
    return str(value)
