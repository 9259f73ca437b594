"""`%%mlship run NAME`: a cell as a run, with its code, output, pictures, duration and environment.

Tracking never breaks the cell: when the lab is away, the cell is executed all the same, with a
`run` that takes everything and keeps nothing.
"""

import base64
import binascii
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from modelship_lab.client.active_run import activated, active_run
from modelship_lab.commands import failures
from modelship_lab.commands.parameters import KEY_VALUE, PROJECT, RUN
from modelship_lab.records.errors import LabError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.client import Lab, RunHandle
    from modelship_lab.notebook.session import NotebookSession

_MOST_OUTPUT = 1_000_000
_MOST_PICTURES = 20
_LARGEST_PICTURE = 8 << 20


@click.command("run")
@click.argument("name")
@click.option("--project", type=PROJECT, help="The run's project.")
@click.option("--param", "params", type=KEY_VALUE, multiple=True, help="A parameter; may be repeated.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--group", default="", help="What the run has in common with others.")
@click.option("--parent", type=RUN, help="The run that it is a part of. Default: that of the cell around it.")
@click.option("--notes", default="", help="A text that its view shows.")
@click.option(
    "--resume",
    type=RUN,
    help="Go on with this run after its last step; it keeps its name, project and parent.",
)
def _options(**options: Any) -> dict[str, Any]:
    """Execute the cell as the run NAME; in it, `run.log({"loss": 0.5})` logs metrics."""
    return options


def run_cell(session: "NotebookSession", words: list[str], cell: str) -> None:
    """Execute a cell as a run.

    Args:
        session: the notebook.
        words: what stands behind `%%mlship run`.
        cell: the code.

    Raises:
        CommandFailed: the options are wrong; then the cell was not executed.
    """
    try:
        options = _options.main(words, prog_name="%%mlship run", standalone_mode=False)
    except click.ClickException as error:
        raise failures.from_click(error, "%%mlship run") from error
    if not isinstance(options, dict):
        return
    run = _start(session, options)
    shell = session.shell
    before = shell.user_ns.get("run", _NOTHING)
    named = shell.user_ns["run"] = run if run is not None else UntrackedRun()
    if run is not None:
        _show(run)
    output = Tee(sys.stdout)
    errors = Tee(sys.stderr, output.kept)
    pictures = Pictures()
    sys.stdout, sys.stderr = output, errors
    try:
        with activated(named), pictures.of(shell):
            result = shell.run_cell(cell, store_history=False)
    finally:
        sys.stdout, sys.stderr = output.original, errors.original
        if before is _NOTHING:
            shell.user_ns.pop("run", None)
        else:
            shell.user_ns["run"] = before
    if run is not None:
        text = output.kept.getvalue()
        value = "" if result.result is None else f"{result.result!r}\n"
        # In a terminal the value is printed; in a notebook it is a display of its own.
        text += "" if text.endswith(value) else value
        raised = result.error_in_exec or result.error_before_exec
        _finish(run, cell, text, pictures.kept, raised)


def _start(session: "NotebookSession", options: dict[str, Any]) -> "RunHandle | None":
    try:
        if options["resume"] is not None:
            return _resume(session.lab, options)
        around = active_run()
        parent = options["parent"] if around is None or options["parent"] is not None else around.id
        return session.lab.start_run(
            options["name"],
            project=options["project"],
            params=dict(options["params"]),
            tags=("cell", *options["tags"]),
            group=options["group"],
            parent=parent,
            notes=options["notes"],
        )
    except LabError as error:
        session.failed(error)
        print(f"This cell is not tracked: {failures.from_lab(error).message}", file=sys.stderr)
        return None


def _resume(lab: "Lab", options: dict[str, Any]) -> "RunHandle":
    run = lab.resume_run(options["resume"])
    if options["params"]:
        run.log_params(dict(options["params"]))
    if options["tags"]:
        run.add_tags(*options["tags"])
    if options["group"]:
        run.set_group(options["group"])
    if options["notes"]:
        run.set_notes(options["notes"])
    return run


def _show(run: "RunHandle") -> None:
    """Show the run's live chart; it is no part of the cell's output."""
    try:
        from modelship_lab.notebook.run_display import show_run

        show_run(run)
    except Exception as problem:
        # The cell must be executed, whatever is wrong with its surroundings.
        print(f"Run {run.id} cannot be shown: {problem}", file=sys.stderr)


def _finish(
    run: "RunHandle",
    cell: str,
    output: str,
    pictures: list[bytes],
    error: BaseException | None,
) -> None:
    try:
        run.save_artifact("cell.py", cell, "text/x-python")
        if output:
            run.save_artifact("output.txt", output, "text/plain", kind="text")
        for number, picture in enumerate(pictures, 1):
            run.save_artifact(f"figure-{number}.png", picture, "image/png", kind="figure")
        if error is None:
            run.finish()
        elif isinstance(error, KeyboardInterrupt):
            run.stop_event.set()
            run.finish()
        else:
            run.fail(error)
    except LabError as problem:
        print(f"Run {run.id} could not be completed: {problem.message}", file=sys.stderr)


class Tee(io.TextIOBase):
    """Writes on to the notebook's stream, and keeps the first million characters."""

    def __init__(self, original: TextIO, kept: io.StringIO | None = None) -> None:
        self.original = original
        self.kept = kept if kept is not None else io.StringIO()

    def write(self, text: str) -> int:
        self.kept.write(text[: max(_MOST_OUTPUT - self.kept.tell(), 0)])
        return self.original.write(text)

    def flush(self) -> None:
        self.original.flush()

    def isatty(self) -> bool:
        return False


class Pictures:
    """The first pictures that a cell displays, e.g. matplotlib's figures."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    @contextmanager
    def of(self, shell: "InteractiveShell") -> Iterator[None]:
        """Keep what is displayed inside. Only a kernel's displays can be looked at."""
        publisher: Any = shell.display_pub
        if not hasattr(publisher, "register_hook"):
            yield
            return
        publisher.register_hook(self._look)
        try:
            yield
        finally:
            publisher.unregister_hook(self._look)

    def _look(self, message: dict[str, Any]) -> dict[str, Any]:
        data = message.get("content", {}).get("data", {}).get("image/png")
        is_picture = message.get("msg_type") == "display_data" and isinstance(data, str)
        if is_picture and len(self.kept) < _MOST_PICTURES and len(data) <= _LARGEST_PICTURE:
            with suppress(binascii.Error):
                self.kept.append(base64.b64decode(data))
        return message


class UntrackedRun:
    """Stands in for a run when the lab is away: the cell must not notice."""

    id = None
    stop_requested = False

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


_NOTHING = object()
