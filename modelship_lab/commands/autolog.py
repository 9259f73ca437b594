"""The verb autolog: other libraries' trainings become runs by themselves."""

from typing import TYPE_CHECKING

import click

from modelship_lab.commands.parameters import OneOf
from modelship_lab.commands.session import Session, pass_session

if TYPE_CHECKING:
    from modelship_lab.learning.autolog import Autologging


def _frameworks() -> dict[str, str]:
    from modelship_lab.learning.autolog import FRAMEWORKS

    return {name: framework.logs for name, framework in FRAMEWORKS.items()}


@click.command()
@click.argument("frameworks", type=OneOf("framework", _frameworks), nargs=-1)
@click.option("--off", is_flag=True, help="Leave the frameworks as they were.")
@pass_session
def autolog(session: Session, frameworks: tuple[str, ...], off: bool) -> "Autologging":
    """Make a run of whatever FRAMEWORKS train in this notebook: sklearn, pytorch, transformers.

    Default: all that are installed. Inside `%%mlship run` or `with lab.start_run()`, that run is used.
    """
    return session.autolog(frameworks, off)


VERBS = (autolog,)
