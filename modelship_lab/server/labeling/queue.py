"""What somebody is to look at next, and why."""

import random
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.labeling import (
    BLIND,
    Kind,
    Project,
    Purpose,
    Queue,
    QueuedSample,
    QueueOrder,
    Sample,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.leases import Leases
from modelship_lab.server.labeling.ownership import may_label, require
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.read_ahead import ReadAhead
from modelship_lab.server.labeling.request_rows import RequestRows
from modelship_lab.server.labeling.samples import read_samples
from modelship_lab.server.labeling.thresholds import require_threshold
from modelship_lab.server.labeling.waiting import Request
from modelship_lab.server.storage.database import Database, now

FIRST: tuple[Purpose, ...] = ("adjudication", "error", "request", "audit", "review", "overlap")
"""What is asked for comes before samples that nobody has decided about, in this order."""

REPEAT_AFTER = timedelta(minutes=10)
"""Nobody repeats a label that they remember, unless there is nothing else to do."""

REPEAT_RATE = 0.1
"""Share of what is handed out that are repeats, once there are some: one after the other they would be noticed."""

BY_MODEL: frozenset[QueueOrder] = frozenset({"uncertainty", "margin", "entropy", "diversity"})
"""Orders in which some samples would never come; the others need no random reserve."""


class _Chosen(NamedTuple):
    """A sample that is about to be handed out."""

    sample_id: int
    purpose: Purpose
    reason: str
    detail: str = ""
    sample: Sample | None = None

    def lease(self, person: str) -> Hashable:
        """What nobody else gets meanwhile. Gold is for everybody, but for each of them once."""
        return (self.sample_id, person) if self.purpose == "gold" else self.sample_id


class LabelQueue:
    """Hands out samples: those that somebody asked for, then those that nobody has decided about, best first.

    Gold and repeats are strewn among them.
    """

    def __init__(self, database: Database, counts: ProgressCounts, requests: RequestRows) -> None:
        self._database = database
        self._counts = counts
        self._requests = requests
        self._leases = Leases()
        self._ahead = ReadAhead(database)
        self._handed: Counter[int] = Counter()
        """Undecided samples of each project that were handed out, to know when it is the random reserve's turn."""

    async def next(
        self,
        project: Project,
        order: QueueOrder,
        limit: int,
        caller: Caller,
        exclude: Collection[int] = (),
        purpose: Purpose | None = None,
        holder: str = "",
    ) -> Queue:
        """The next `limit` samples.

        Args:
            exclude: what the holder has already; it stays theirs.
            purpose: only samples that are asked for for this; `label`: those that nobody has decided about.
            holder: who has in hand what is handed out; others of the same caller get other samples.

        Raises:
            Conflict: the project is not one of labeling, or has no threshold that suggestions could be below.
        """
        require(caller, "read", project)
        project.require_task()
        if order == "below_threshold":
            require_threshold(project)
            # Whoever goes through these wants nothing else.
            purpose = purpose or "label"
        await self._requests.load(project)
        progress = await self._counts.progress(project, caller)
        # Who may only look takes nothing away from those who label, and is asked for nothing.
        labels = may_label(caller, project)
        name = f"{caller.name}\n{holder}"
        left_out = self._leases.taken(project.id, name).union(exclude)
        if purpose in (None, "label"):
            await self._ahead.ready(project, order, limit, left_out)
            if order in BY_MODEL and project.settings.random_share:
                reserve = int(limit * project.settings.random_share) + 1
                await self._ahead.ready(project, "random", reserve, left_out)
            left_out = self._leases.taken(project.id, name).union(exclude)
        # Nothing is waited for from here until what was chosen is the holder's.
        if purpose not in (None, "label"):
            chosen = self._asked(project, caller, purpose, limit, left_out) if labels else []
        else:
            asked = self._first(project, caller, limit, left_out) if labels and purpose is None else []
            taken = left_out.union(one.sample_id for one in asked)
            chosen = asked + self._undecided(project, order, limit - len(asked), taken)
            if labels and purpose is None:
                chosen = self._strewn(project, caller, chosen, limit, left_out)
        if labels:
            lease_s = project.settings.lease_s
            self._leases.renew(project.id, exclude, name, lease_s)
            self._leases.take(project.id, [one.lease(caller.name) for one in chosen], name, lease_s)
        samples = await self._samples(chosen)
        return Queue(
            samples=tuple(
                _queued(sample, one)
                for one in chosen
                if (sample := one.sample or samples.get(one.sample_id)) is not None
            ),
            remaining=progress.unlabeled,
            waiting=self._requests.counts(project, caller) if labels else {},
        )

    def release(self, project: Project, caller: Caller, holder: str) -> int:
        """Give back what a holder has in hand; returns how many samples that were."""
        require(caller, "label", project)
        return self._leases.release(project.id, f"{caller.name}\n{holder}")

    def left(self, caller: Caller, holder: str) -> None:
        """A holder is gone: what they had in hand is handed out again."""
        self._leases.release_all(f"{caller.name}\n{holder}")

    def undecided(self, project_id: int, sample_ids: Iterable[int]) -> set[int]:
        """Which of these nobody has decided about, as far as that is known without a query. For the writer thread."""
        return self._ahead.undecided(project_id, sample_ids)

    def decided(self, project_id: int, sample_ids: Iterable[int]) -> None:
        """Somebody decided about samples. Called after the commit, on the writer thread."""
        decided = list(sample_ids)
        self._ahead.decided(project_id, decided)
        self._leases.decided(project_id, decided)

    def decided_many(self, project_id: int, samples: pa.Table) -> None:
        """`decided` for a table with the column `sample_id`. Called after the commit."""
        near = self._leases.samples(project_id) | self._ahead.samples(project_id)
        concerned = pa.array(near, pa.int64())
        decided = concerned.filter(pc.is_in(concerned, samples["sample_id"].combine_chunks()))
        self.decided(project_id, decided.to_pylist())
        self.refresh(project_id)

    def refresh(self, project_id: int) -> None:
        """There are other samples, or they are in another order. Called after the commit."""
        self._ahead.refresh(project_id)

    def forget(self, project_id: int) -> None:
        """A project is gone. Called after the commit."""
        self._ahead.forget(project_id)
        self._leases.forget(project_id)
        self._requests.forget(project_id)
        self._handed.pop(project_id, None)

    def _asked(
        self,
        project: Project,
        caller: Caller,
        purpose: Purpose | None,
        limit: int,
        left_out: Collection[Hashable],
    ) -> list[_Chosen]:
        if purpose == "gold":
            return self._gold(project, caller, limit, left_out)
        assert purpose is not None
        return [
            _of_request(one) for one in self._requests.asked(project, caller, (purpose,), limit, left_out)
        ]

    def _gold(
        self, project: Project, caller: Caller, limit: int, left_out: Collection[Hashable]
    ) -> list[_Chosen]:
        return [_Chosen(one, "gold", "") for one in self._requests.gold(project, caller, limit, left_out)]

    def _first(
        self, project: Project, caller: Caller, limit: int, left_out: Collection[Hashable]
    ) -> list[_Chosen]:
        return [_of_request(one) for one in self._requests.asked(project, caller, FIRST, limit, left_out)]

    def _undecided(
        self, project: Project, order: QueueOrder, limit: int, left_out: Collection[Hashable]
    ) -> list[_Chosen]:
        """Samples that nobody has decided about: the best, with the random reserve among them."""
        share = project.settings.random_share if order in BY_MODEL else 0.0
        best = self._ahead.free(project, order, limit, left_out)
        if not share or not best:
            self._handed[project.id] += len(best)
            return [_Chosen(sample.id, "label", reason, sample=sample) for sample, reason in best]
        reserve = iter(self._ahead.free(project, "random", 2 * limit, left_out))
        chosen: dict[int, _Chosen] = {}
        for _ in range(len(best)):
            handed = self._handed[project.id] = self._handed[project.id] + 1
            one = None
            if int(handed * share) > int((handed - 1) * share):
                one = next((one for one, _ in reserve if one.id not in chosen), None)
            if one is not None:
                chosen[one.id] = _Chosen(one.id, "label", "random reserve", sample=one)
            else:
                sample, reason = next(pair for pair in best if pair[0].id not in chosen)
                chosen[sample.id] = _Chosen(sample.id, "label", reason, sample=sample)
        return list(chosen.values())

    def _strewn(
        self,
        project: Project,
        caller: Caller,
        chosen: Sequence[_Chosen],
        limit: int,
        left_out: Collection[Hashable],
    ) -> list[_Chosen]:
        """With gold and repeats strewn in; repeats alone when there is nothing else."""
        rest: tuple[Purpose, ...] = ("repeat",)
        held = frozenset(one.sample_id for one in chosen).union(left_out)
        due = self._requests.asked(project, caller, rest, limit, held, before=now() - REPEAT_AFTER)
        repeats = [_of_request(one) for one in due]
        gold = self._gold(project, caller, limit, held.union(one.sample_id for one in repeats))
        strewn: list[_Chosen] = []
        for one in chosen:
            # By chance, and not at fixed intervals, so that nobody can tell.
            if gold and random.random() < project.settings.gold_share:
                strewn.append(gold.pop(0))
            if repeats and random.random() < REPEAT_RATE:
                strewn.append(repeats.pop(0))
            strewn.append(one)
        if len(strewn) < limit:
            held = held.union(one.sample_id for one in strewn)
            left = self._requests.asked(project, caller, rest, limit - len(strewn), held)
            strewn += [_of_request(one) for one in left]
        return strewn[:limit]

    async def _samples(self, chosen: Sequence[_Chosen]) -> dict[int, Sample]:
        """The samples of what is asked for."""
        wanted = [one.sample_id for one in chosen if one.sample is None]
        if not wanted:
            return {}
        read = await self._database.read(lambda cursor: read_samples(cursor, wanted))
        return {one.id: one for one in read}


def _of_request(request: Request) -> _Chosen:
    return _Chosen(request.sample_id, request.purpose, _reason(request), request.detail)


def _reason(request: Request) -> str:
    """Why a sample is asked for, in a few words. Who labels blindly is not told what could be guessed from."""
    if request.purpose == "adjudication":
        people = [said.partition(": ")[0] for said in request.detail.split(" · ") if ": " in said]
        return f"{_listed(people)} disagree" if len(people) > 1 else "people disagree"
    if request.purpose == "review":
        return (
            f"a second look at the label of {_listed(request.not_by)}" if request.not_by else "a second look"
        )
    if request.purpose == "overlap":
        return "another opinion"
    if request.purpose == "error":
        return "the label may be wrong"
    return "asked for" if request.purpose == "request" else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def _queued(sample: Sample, chosen: _Chosen) -> QueuedSample:
    fields: dict[str, Any] = {**dict(sample), "purpose": chosen.purpose, "reason": chosen.reason}
    if chosen.purpose in BLIND:
        hidden = (*get_args(Kind), "suggestion", "note")
        return QueuedSample(**{**fields, **dict.fromkeys(hidden), "status": "unlabeled"})
    return QueuedSample(**fields, detail=chosen.detail)
