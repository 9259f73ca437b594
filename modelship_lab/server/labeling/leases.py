"""Who has which sample in hand, so that no two people label the same one at once."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable

MAX_LEASES = 10_000
"""Of one project. Beyond this those that would have ended first end at once."""


class Leases:
    """Samples that were handed out, each to one holder for some time.

    They are kept in memory alone: after a restart of the server a sample may be handed out a second time, and
    two decisions about one sample harm nothing.

    Args:
        clock: seconds, for the ends of leases.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: defaultdict[int, dict[Hashable, tuple[str, float]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def taken(self, project_id: int, holder: str) -> frozenset[Hashable]:
        """What others than `holder` have in hand."""
        moment = self._clock()
        with self._lock:
            held = self._held.get(project_id, {})
            return frozenset(key for key, (other, end) in held.items() if other != holder and end > moment)

    def take(self, project_id: int, keys: Iterable[Hashable], holder: str, lease_s: float) -> None:
        """Hand samples to a holder, or let those that they have be theirs for longer."""
        end = self._clock() + lease_s
        with self._lock:
            held = self._held[project_id]
            for key in keys:
                # At the end of the mapping, so that the oldest stand at its beginning.
                held.pop(key, None)
                held[key] = (holder, end)
            if len(held) > MAX_LEASES:
                self._shrink(held)

    def renew(self, project_id: int, keys: Collection[Hashable], holder: str, lease_s: float) -> None:
        """Let a holder have for longer what of these is theirs."""
        with self._lock:
            held = self._held.get(project_id, {})
            theirs = [key for key in keys if key in held and held[key][0] == holder]
        self.take(project_id, theirs, holder, lease_s)

    def decided(self, project_id: int, sample_ids: Iterable[int]) -> None:
        """What is decided is in nobody's hands."""
        with self._lock:
            held = self._held.get(project_id)
            if held:
                for sample_id in sample_ids:
                    held.pop(sample_id, None)

    def samples(self, project_id: int) -> set[int]:
        """Which samples are in anybody's hands."""
        with self._lock:
            return {key for key in self._held.get(project_id, {}) if isinstance(key, int)}

    def release(self, project_id: int, holder: str) -> int:
        """A holder gives back all that they have; returns how much that was."""
        with self._lock:
            held = self._held.get(project_id, {})
            theirs = [key for key, (other, _) in held.items() if other == holder]
            for key in theirs:
                del held[key]
            return len(theirs)

    def release_all(self, holder: str) -> None:
        """A holder gives back what they have of all projects."""
        with self._lock:
            projects = list(self._held)
        for project_id in projects:
            self.release(project_id, holder)

    def forget(self, project_id: int) -> None:
        """Forget a project."""
        with self._lock:
            self._held.pop(project_id, None)

    def _shrink(self, held: dict[Hashable, tuple[str, float]]) -> None:
        moment = self._clock()
        for key in [key for key, (_, end) in held.items() if end <= moment]:
            del held[key]
        for key in list(held)[: len(held) - MAX_LEASES]:
            del held[key]
