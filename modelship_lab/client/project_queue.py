"""What people are asked to label next in a project, and why."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from modelship_lab.client.checked import checked
from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import (
    NewGold,
    NewGolds,
    NewRequests,
    Purpose,
    Queue,
    QueueOrder,
    Release,
    RequestBatch,
    RequestPurpose,
    SampleCount,
    SampleFilter,
    SavedGold,
    SavedRequests,
)

if TYPE_CHECKING:
    from modelship_lab.client.projects import ProjectHandle

_MOST_GOLD = 10_000
"""Known answers in one request."""


class ProjectQueue:
    """What `ProjectHandle` does with the queue; it is nothing by itself."""

    @property
    def _project(self) -> "ProjectHandle":
        return cast("ProjectHandle", self)

    def queue(
        self,
        order: QueueOrder = "uncertainty",
        limit: int = 20,
        exclude: Iterable[int] = (),
        *,
        purpose: Purpose | None = None,
        holder: str = "",
    ) -> Queue:
        """The next samples to look at: what is asked for, then what nobody has decided about, best first.

        Args:
            order: of those that nobody has decided about.
            limit: how many, at most 200.
            exclude: those that the caller has already.
            purpose: only what is asked for for this; `label`: only what nobody has decided about.
            holder: nobody else gets the samples for some time (`LabelingSettings.lease_s`): a text for each of
                several labelers that have one account. Empty: the account is the holder.

        Returns:
            The samples, each with the reason why it is handed out, and what else is asked of the caller.
        """
        params = {
            "order": order,
            "limit": limit,
            "exclude": list(exclude) or None,
            "purpose": purpose,
            "holder": holder or None,
        }
        return self._project.lab.connection.record(
            Queue, "GET", f"projects/{self._project.id}/queue", params=params
        )

    def release(self, holder: str = "") -> int:
        """Give back the samples that the queue has handed out to a holder; returns how many those were."""
        path, body = f"projects/{self._project.id}/queue/release", checked(Release, holder=holder)
        return self._project.lab.connection.record(SampleCount, "POST", path, json=body).count

    def request(
        self,
        purpose: RequestPurpose = "request",
        *,
        detail: str = "",
        at_most: int | None = None,
        **samples: Any,
    ) -> SavedRequests:
        """Ask people to look at samples (again); they come first in the queue until somebody has decided.

        Args:
            purpose: `request`, `review` (by somebody who has not labeled it), `audit` (blindly), `repeat` (by who
                labeled it, blindly), or `error` (the label may be wrong).
            detail: why, for people.
            at_most: a random choice of this many of them.
            samples: which ones: fields of `records.labeling.SampleFilter`, e.g. `label="spam"`, `author="ann"`,
                `ids=[3, 5]`. None: all samples.

        Returns:
            How many were added, and the batch to `withdraw` them.
        """
        conditions = {
            name: tuple(value) if isinstance(value, list | set | range) else value
            for name, value in samples.items()
        }
        body = checked(
            NewRequests,
            samples=checked(SampleFilter, **conditions),
            purpose=purpose,
            detail=detail,
            at_most=at_most,
        )
        path = f"projects/{self._project.id}/queue/requests"
        return self._project.lab.connection.record(SavedRequests, "POST", path, json=body)

    def requests(self) -> list[RequestBatch]:
        """What waits to be looked at, by the act in which it was asked for, the newest first."""
        return self._project.lab.whole(Page[RequestBatch], f"projects/{self._project.id}/queue/requests")

    def withdraw(self, batch: str) -> int:
        """Take back what was asked for in one act; returns how many samples still waited."""
        path = f"projects/{self._project.id}/queue/requests/{quote(batch, safe='')}"
        return self._project.lab.connection.record(SampleCount, "DELETE", path).count

    def add_gold(
        self, answers: Mapping[int, str | Iterable[str] | float] | Iterable[NewGold | Mapping[str, Any]]
    ) -> SavedGold:
        """Save known answers: they count as labels, and labelers get the samples blindly to be measured.

        Args:
            answers: sample id to class (or classes, where several may apply, or a number), or `NewGold` records (or their fields).

        Raises:
            InvalidInput: a class or sample that the project does not have.
        """
        given = (
            [{"sample_id": one, **value_of(answer)} for one, answer in answers.items()]
            if isinstance(answers, Mapping)
            else list(answers)
        )
        if not given:
            raise InvalidInput("There is no answer to save.")
        saved = []
        for start in range(0, len(given), _MOST_GOLD):
            body = checked(NewGolds, gold=tuple(given[start : start + _MOST_GOLD]))
            path = f"projects/{self._project.id}/gold"
            saved.append(
                self._project.lab.connection.record(SavedGold, "POST", path, json=body, repeatable=True)
            )
        return SavedGold(saved=sum(one.saved for one in saved), progress=saved[-1].progress)


def value_of(answer: str | Iterable[str] | float) -> dict[str, Any]:
    """The field of a `Value` that a class, classes or a number are."""
    if isinstance(answer, str):
        return {"label": answer}
    # Numbers of NumPy and polars are none of Python's.
    return {"labels": tuple(answer)} if isinstance(answer, Iterable) else {"number": float(answer)}
