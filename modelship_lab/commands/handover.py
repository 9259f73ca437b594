"""A secret that is told once: how its user comes by it, and nobody else.

A shell prints it alone to its output, so that `KEY=$(mlship keys new ci --quiet)` works. A notebook
saves whatever it shows, so it shows everything but the secret, which is an attribute of the value.
"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from modelship_lab.commands.results import ToldOnce
from modelship_lab.commands.session import Session
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.identity import Account, ApiKey
from modelship_lab.records.webhooks import Webhook

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handover:
    """Where a secret is to go.

    Args:
        file: a new file that only this user can read.
        variable: a variable of this notebook's environment.
        quiet: whether a shell prints the secret and nothing else.
    """

    file: Path | None
    variable: str | None
    quiet: bool

    @contextmanager
    def begin(self, session: Session) -> Iterator[Callable[[Account | ApiKey | Webhook, str, str], ToldOnce]]:
        """Make ready before the secret is made: one that cannot be handed over would be lost.

        Gives a function that takes what was made, the name of its secret, and the secret.

        Raises:
            InvalidInput: it cannot go where it is to go.
        """
        if self.variable is not None:
            _check_variable(session, self.variable)
        descriptor = _new_file(self.file) if self.file is not None else None
        done = False

        def hand_over(thing: Account | ApiKey | Webhook, name: str, secret: str) -> ToldOnce:
            nonlocal done
            places = []
            if descriptor is not None:
                os.write(descriptor, f"{secret}\n".encode())
                places.append(f"in the file {self.file}, which only you can read")
            if self.variable is not None:
                os.environ[self.variable] = secret
                places.append(f"in the environment variable {self.variable}")
            done = True
            if places:
                note = f"Its {name} is {' and '.join(places)}. It is told this once."
            elif session.is_shell:
                note = f"Its {name} is the line that is printed next. It is told this once."
            else:
                note = (
                    f"Its {name} is told this once, and not shown here, where it would be saved with the "
                    f"notebook: it is the attribute `.{name}` of this value, e.g. `_.{name}` in the next cell."
                )
            return ToldOnce(thing, name, secret, note, printed=not places, quiet=self.quiet)

        try:
            yield hand_over
        finally:
            if descriptor is not None:
                os.close(descriptor)
                if not done:
                    assert self.file is not None
                    self.file.expanduser().unlink(missing_ok=True)


def handover_options(command: Command) -> Command:
    """The options that say where a secret is to go, as the parameter `handover`."""

    @functools.wraps(command)
    def together(**given: Any) -> Any:
        file, variable, quiet = given.pop("file"), given.pop("copy_to_env"), given.pop("quiet")
        return command(handover=Handover(file, variable, quiet), **given)

    wrapped: Any = together
    for option in (
        click.option("--quiet", "-q", is_flag=True, help="In a shell, print the secret and nothing else."),
        click.option(
            "--copy-to-env",
            metavar="NAME",
            help="In a notebook, set this environment variable to the secret.",
        ),
        click.option(
            "--file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the secret to this new file, which only you can read.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def _check_variable(session: Session, name: str) -> None:
    if session.is_shell:
        raise InvalidInput(
            f"A program cannot set its shell's variables: write {name}=$(mlship … --quiet), without --copy-to-env."
        )
    if not name.isidentifier():
        raise InvalidInput(f"'{name}' is no name of a variable.")


def _new_file(path: Path) -> int:
    try:
        return os.open(path.expanduser(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"The file {path} exists: name one that does not.") from None
    except OSError as error:
        raise InvalidInput(f"The file {path} cannot be written: {error.strerror}.") from None
