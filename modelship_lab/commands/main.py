"""The command group `mlship`, and how a line of it is executed."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from modelship_lab.commands import (
    accounts,
    audit,
    autolog,
    data,
    data_files,
    failures,
    jobs,
    keys,
    labeling,
    login,
    model_help,
    models,
    projects,
    requests,
    runs,
    samples,
    server,
    serving,
    sql,
    sweeping,
    training,
    webhooks,
)
from modelship_lab.commands import credits as credit_verbs
from modelship_lab.commands.failures import CommandFailed
from modelship_lab.commands.groups import Verbs
from modelship_lab.commands.session import Session
from modelship_lab.records.errors import LabError
from modelship_lab.version import __version__

_WIDTH = 110


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
    epilog="Every verb explains itself: `mlship train --help`.",
)
@click.version_option(__version__, prog_name="mlship")
def mlship() -> None:
    """Label data, train and ship models, and watch them."""


for _verb in (
    *projects.VERBS,
    *data.VERBS,
    *data_files.VERBS,
    *labeling.VERBS,
    *requests.VERBS,
    *model_help.VERBS,
    *samples.VERBS,
    *training.VERBS,
    *jobs.VERBS,
    *autolog.VERBS,
    *sweeping.VERBS,
    *runs.VERBS,
    *models.VERBS,
    *serving.VERBS,
    *sql.VERBS,
    *login.VERBS,
    *accounts.VERBS,
    *keys.VERBS,
    *webhooks.VERBS,
    *credit_verbs.VERBS,
    *audit.VERBS,
    *server.VERBS,
):
    mlship.add_command(_verb)


def execute(arguments: Sequence[str], session: Session, program: str) -> Any:
    """Do what a line says.

    Args:
        arguments: the line's words after the program's name.
        session: where the line was written.
        program: `mlship` or `%mlship`, for messages.

    Returns:
        What the verb returns; None after `--help`.

    Raises:
        CommandFailed: with one line that says what is wrong and what to do.
    """
    try:
        value = mlship.main(
            list(arguments),
            prog_name=program,
            standalone_mode=False,
            obj=session,
            auto_envvar_prefix=None,
            # A notebook has no terminal whose width could be asked for.
            terminal_width=_WIDTH if program.startswith("%") else None,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return None
    except click.ClickException as error:
        raise failures.from_click(error, program) from error
    except click.Abort as error:
        raise CommandFailed("Interrupted.", 130) from error
    except LabError as error:
        session.failed(error)
        raise failures.from_lab(error) from error
    # click hands back the exit code of --help and --version.
    return None if isinstance(value, int) else value


def main() -> None:
    """`mlship` in a shell."""
    from modelship_lab.commands.shell import ShellSession

    session = ShellSession()
    try:
        session.show(execute(sys.argv[1:], session, "mlship"))
    except CommandFailed as failure:
        click.echo(f"mlship: {failure.message}", err=True)
        sys.exit(failure.exit_code)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
