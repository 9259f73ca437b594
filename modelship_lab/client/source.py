"""The source of a run: the notebook's executed cells in order, or the script, and what git does not have yet."""

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from modelship_lab.client.command_line import HIDDEN, is_secret, script, without_secrets
from modelship_lab.client.environment import git_output
from modelship_lab.client.secrets_in_code import without_secret_texts

log = logging.getLogger(__name__)

MAX_BYTES = 5_000_000
CELLS = "source/cells.py"
PATCH = "source/changes.patch"
_MOST_UNTRACKED = 1000
_PATIENCE_S = 10.0
_COMMAND = re.compile(r"\s*(?:[\w, ]+=\s*)?[%!]")
_SHELL_CELL = re.compile(r"\s*(?:!!|%%(?:bash|sh|script|system|sx|cmd|powershell|pwsh)\b)")
_VARIABLE = re.compile(r"(?P<magic>\s*%(?:set_)?env\s+(?P<name>\w+)\s+)\S")
_WORDS = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")

Save = Callable[[str, bytes, str], object]
"""Called with the name of an artifact, its content and its type."""


class Source:
    """Saves the source of a run as artifacts: at its start in a thread, and the cells again at its end.

    Args:
        save: takes an artifact; must not wait for the server.
        folder: whose changes are those of the run; default: the working directory.
    """

    def __init__(self, save: Save, folder: Path | None = None) -> None:
        self._save = save
        self._folder = folder or Path.cwd()
        # In the caller's thread: by the time that the other one looks, the notebook may be further.
        self._cells = executed_cells()
        self._thread = threading.Thread(target=self._save_all, name="mlship-source", daemon=True)

    def start(self) -> None:
        """Begin to save, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Save what was executed until now."""
        self._thread.join(_PATIENCE_S)
        cells = executed_cells()
        if cells != self._cells:
            self._cells = cells
            self._quietly(self._save_cells)

    def _save_all(self) -> None:
        for save in (self._save_cells, self._save_script, self._save_patch):
            self._quietly(save)

    def _quietly(self, save: Callable[[], None]) -> None:
        try:
            save()
        except Exception as error:
            # The source is a service to the run, which goes on without it.
            log.warning("The source of the run is not complete: %s", error)

    def _save_cells(self) -> None:
        if self._cells:
            self._save(CELLS, self._cells.encode(errors="replace"), "text/x-python")

    def _save_script(self) -> None:
        path = script()
        if path is not None and path.stat().st_size <= MAX_BYTES:
            code = without_secret_texts(path.read_text(encoding="utf-8", errors="replace"))
            self._save(f"source/{path.name}", code.encode(), "text/x-python")

    def _save_patch(self) -> None:
        patch = changes(self._folder)
        if patch:
            self._save(PATCH, patch, "text/x-diff")


def executed_cells() -> str:
    """The cells that this session of IPython has executed, each below its number; nothing without IPython."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or shell.history_manager is None:
        return ""
    cells = list(shell.history_manager.input_hist_raw)
    parts = [
        f"# %% [{number}]\n{shown_cell(cell)}\n"
        for number, cell in enumerate(cells)
        if number and cell.strip()
    ]
    return "\n".join(parts)


def changes(folder: Path) -> bytes:
    """What differs from the last commit, as a patch below the names of files that git does not know.

    Nothing of the folder's repository is executed for it. It is cut where it is too long.
    """
    # Paths of the whole repository, from wherever it is asked.
    patch = git_output(folder, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--relative=")
    untracked = git_output(folder, "ls-files", "--others", "--exclude-standard").splitlines()
    named = [f"# untracked: {name}\n" for name in untracked[:_MOST_UNTRACKED]]
    if len(untracked) > _MOST_UNTRACKED:
        named.append(f"# and {len(untracked) - _MOST_UNTRACKED:,} more\n")
    content = ("".join(named) + patch).encode(errors="replace")
    if len(content) > MAX_BYTES:
        return b"# cut after 5 MB: this is not all\n" + content[:MAX_BYTES]
    return content


def shown_cell(cell: str) -> str:
    """A cell as it is saved: without secrets in its code and its commands."""
    return without_secret_texts("\n".join(_lines(cell)))


def _lines(cell: str) -> Iterator[str]:
    """A cell's lines; in magics and commands of the shell, what is called like a secret is hidden."""
    is_of_shell = _SHELL_CELL.match(cell) is not None
    for line in cell.rstrip().splitlines():
        variable = _VARIABLE.match(line)
        if variable is not None and is_secret(variable["name"]):
            yield f"{variable['magic']}{HIDDEN}"
        elif is_of_shell or _COMMAND.match(line):
            # As the shell has them: what is quoted is one word.
            words = without_secrets(_WORDS.findall(line))
            yield _WORDS.sub(lambda _, words=words: next(words), line)  # type: ignore[misc]
        else:
            yield line
