"""Runs in runs: what a run is a part of comes before it."""

from collections.abc import Iterable, Iterator

from modelship_lab.client.exchange.transfer import SourceRun


def parents_first(runs: Iterable[SourceRun]) -> Iterator[SourceRun]:
    """The same runs, each behind its parent if that is among them, otherwise as they come."""
    passed = {""}
    waiting: dict[str, list[SourceRun]] = {}
    for run in runs:
        if run.parent in passed or run.parent in (run.id, run.alias):
            yield from _with_parts(run, waiting, passed)
        else:
            waiting.setdefault(run.parent, []).append(run)
    # What they wait for is not among them, or they wait for each other.
    among = {name for parts in waiting.values() for run in parts for name in (run.id, run.alias)}
    for parent in sorted(waiting, key=lambda parent: parent in among):
        for run in waiting.pop(parent, []):
            yield from _with_parts(run, waiting, passed)


def _with_parts(run: SourceRun, waiting: dict[str, list[SourceRun]], passed: set[str]) -> Iterator[SourceRun]:
    """A run, and all that have waited for it."""
    left = [run]
    while left:
        one = left.pop()
        yield one
        for name in {one.id, one.alias} - {""}:
            passed.add(name)
            left += reversed(waiting.pop(name, []))
