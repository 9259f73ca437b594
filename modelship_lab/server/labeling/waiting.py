"""What is asked for in one project, in memory, so that nobody waits for a query to get the next of it."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from modelship_lab.records.labeling import Purpose


@dataclass(frozen=True, slots=True)
class Request:
    """A sample that somebody is to look at (again)."""

    id: int
    sample_id: int
    purpose: Purpose
    detail: str
    not_by: tuple[str, ...]
    """Who is not asked."""
    only_by: str | None
    """The only one who is asked."""
    batch: str
    """Empty for what the project's settings ask for."""
    created_at: datetime

    @property
    def circle(self) -> "Circle":
        return Circle(self.purpose, self.not_by, self.only_by)


class Circle(NamedTuple):
    """What is asked of the same people for the same purpose."""

    purpose: Purpose
    not_by: tuple[str, ...]
    only_by: str | None

    def has(self, person: str) -> bool:
        return person not in self.not_by and self.only_by in (None, person)


@dataclass
class Waiting:
    """The requests of a project that wait, and the samples whose answer is known.

    Args:
        limit: how many requests are kept; of the others only the number is.
    """

    limit: int
    gold: list[int] = field(default_factory=list)
    """Samples whose answer is known."""
    met: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Those of them that each person has decided about, or given the answer for."""
    beyond: Counter[Circle] = field(default_factory=Counter)
    """How many requests are in the database alone."""
    _circles: dict[Circle, dict[int, Request]] = field(default_factory=dict)
    _samples: dict[int, int] = field(default_factory=dict)
    """How many requests each sample has here."""
    _size: int = 0

    def __len__(self) -> int:
        return self._size

    @property
    def is_short(self) -> bool:
        """Whether it is time to read more of those that are in the database alone."""
        return self.beyond.total() > 0 and self._size < self.limit // 2

    def add(self, request: Request) -> None:
        circle = request.circle
        if self._size >= self.limit or self.beyond[circle]:
            # Of one circle those that were asked for first are here.
            self.beyond[circle] += 1
            return
        self._circles.setdefault(circle, {})[request.id] = request
        self._samples[request.sample_id] = self._samples.get(request.sample_id, 0) + 1
        self._size += 1

    def add_beyond(self, circle: Circle, count: int) -> None:
        """Count requests that are in the database alone."""
        self.beyond[circle] += count

    def remove(self, request: Request) -> None:
        circle = request.circle
        if self._circles.get(circle, {}).pop(request.id, None) is None:
            self.beyond[circle] -= 1
            return
        if not self._circles[circle]:
            del self._circles[circle]
        self._size -= 1
        left = self._samples[request.sample_id] - 1
        if left:
            self._samples[request.sample_id] = left
        else:
            del self._samples[request.sample_id]

    def may_concern(self, sample_ids: Iterable[int]) -> bool:
        """Whether one of these samples may have a request."""
        return self.beyond.total() > 0 or any(one in self._samples for one in sample_ids)

    def counts(self, person: str) -> Counter[Purpose]:
        """How much is asked of a person."""
        found: Counter[Purpose] = Counter()
        for circle, requests in self._circles.items():
            if circle.has(person):
                found[circle.purpose] += len(requests)
        for circle, count in self.beyond.items():
            if count and circle.has(person):
                found[circle.purpose] += count
        if left := len(self.gold) - len(self.met.get(person, ())):
            found["gold"] = left
        return found

    def asked(
        self,
        person: str,
        purposes: Collection[Purpose],
        limit: int,
        left_out: Collection[Hashable],
        before: datetime | None = None,
    ) -> list[Request]:
        """What a person is to look at, by purpose and age, each sample once.

        Args:
            left_out: samples that they do not get now.
            before: only what was asked for before this.
        """
        chosen: dict[int, Request] = {}
        for purpose in purposes:
            circles = [
                requests.values()
                for circle, requests in self._circles.items()
                if circle.purpose == purpose and circle.has(person)
            ]
            for request in heapq.merge(*circles, key=lambda one: one.id):
                if len(chosen) == limit:
                    return list(chosen.values())
                if request.sample_id in left_out or (before is not None and request.created_at > before):
                    continue
                chosen.setdefault(request.sample_id, request)
        return list(chosen.values())

    def gold_for(self, person: str, limit: int, left_out: Collection[Hashable]) -> list[int]:
        """Samples whose answer is known and that a person has not decided about."""
        met: Collection[int] = self.met.get(person, frozenset())
        unmet = (
            one
            for one in self.gold
            if one not in met and one not in left_out and (one, person) not in left_out
        )
        return list(islice(unmet, limit))
