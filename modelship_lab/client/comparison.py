"""Runs side by side: what differs in their parameters, figures, environment and code."""

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelship_lab.records.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab
    from modelship_lab.client.runs import RunHandle
    from modelship_lab.records.evaluation import Significance

CODE = ("source/cells.py", "cell.py", "source/changes.patch")
"""The files of a run that say what was executed."""

_LARGEST = 2_000_000


@dataclass(frozen=True)
class Difference:
    """What each of the runs has under one name; None for none."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether any run has another value than the first."""
        return any(value != self.values[0] for value in self.values[1:])


class RunComparison:
    """Several runs side by side; the first is what the others are compared with.

    Args:
        lab: where the runs are.
        runs: at least two.
    """

    def __init__(self, lab: "Lab", runs: Iterable["RunHandle"]) -> None:
        self.lab = lab
        self.runs = tuple(runs)
        if len(self.runs) < 2:
            raise InvalidInput("Name at least two runs to compare.")

    def __repr__(self) -> str:
        return f"Runs {', '.join(str(run.id) for run in self.runs)} compared"

    def params(self, *, everything: bool = False) -> list[Difference]:
        """The parameters that differ, or all."""
        return _differences([run.record.params for run in self.runs], everything)

    def figures(self) -> list[Difference]:
        """All final figures."""
        return _differences([run.record.summary for run in self.runs], everything=True)

    def significance(self) -> "list[Significance]":
        """How the models of the others differ from the first one's on the samples that were held out in both.

        There is none of runs that have kept no predictions, or of which no held-out sample is the same.
        """
        found = []
        for other in self.runs[1:]:
            with suppress(NotFound, Conflict):
                found.append(self.runs[0].significance(other.id))
        return found

    def environment(self, *, everything: bool = False) -> list[Difference]:
        """Versions and machines that differ, or all of what is known of both."""
        return _differences([flat(run.record.environment) for run in self.runs], everything)

    def code(self) -> str:
        """What differs in the code of the first two runs, as a unified diff; empty if nothing does.

        Raises:
            InvalidInput: neither run has kept its code.
        """
        one, other = self.runs[:2]
        files = [{artifact.name: artifact.size for artifact in run.artifacts()} for run in (one, other)]
        names = [name for name in CODE if any(name in known for known in files)]
        if not names:
            raise InvalidInput(f"Neither run {one.id} nor run {other.id} has kept its code.")
        pieces: list[str] = []
        for name in names:
            before, after = (
                run.artifact(name).decode("utf-8", "replace") if 0 < known.get(name, 0) <= _LARGEST else ""
                for run, known in zip((one, other), files, strict=True)
            )
            titles = f"run {one.id}: {name}", f"run {other.id}: {name}"
            pieces += difflib.unified_diff(before.splitlines(), after.splitlines(), *titles, lineterm="")
        return "\n".join(pieces)


def flat(mapping: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """What is known of a run's environment, nested facts under their path; packages under their name."""
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        called = name if path in ("", "packages") else f"{path}.{name}"
        if isinstance(value, Mapping):
            found |= flat(value, called)
        else:
            found[called] = value
    return found


def _differences(sides: list[Mapping[str, Any]] | list[dict[str, Any]], everything: bool) -> list[Difference]:
    names = dict.fromkeys(name for side in sides for name in side)
    rows = [Difference(name, tuple(side.get(name) for side in sides)) for name in names]
    return [row for row in rows if everything or row.differs]
