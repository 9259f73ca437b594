"""Many samples of a project at once: looked at, labeled, remembered."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW
from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict
from modelship_lab.records.labeling import (
    NewBulk,
    NewSelection,
    Sample,
    SampleCount,
    SampleFilter,
    SampleSelection,
    SavedBulk,
)

MOST_POINTS = 200_000
"""Points of a map, unless another number is asked for."""

MapColor = Literal["label", "status", "suggested"]

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.projects import ProjectHandle


class ProjectSamples:
    """What `ProjectHandle` does with samples; it is nothing by itself.

    Conditions are those of `records.labeling.SampleFilter`, by their names: `status="unlabeled"`,
    `suggested="spam"`, `min_confidence=0.9`, `search="prize"`, `selection="doubtful"`, …
    """

    @property
    def _project(self) -> "ProjectHandle":
        return cast("ProjectHandle", self)

    def samples(
        self, *, sort: str = "id", limit: int | None = None, offset: int = 0, **conditions: Any
    ) -> "pl.DataFrame":
        """The samples that are meant, all of them when no limit is given.

        Args:
            sort: `id`, `status`, `label`, `confidence`, `uncertainty`, `length`, `name`, `group` or `updated_at`,
                with `-` before one that goes down; samples without it come last.
            conditions: see the class.
        """
        project = self._project
        params = {**_parameters(conditions), "sort": sort, "limit": limit, "offset": offset}
        return project.lab.frame(f"projects/{project.id}/samples", params)

    def sample(self, sample_id: int) -> Sample:
        """One sample."""
        return self._project.lab.connection.record(Sample, "GET", f"samples/{sample_id}")

    def count_samples(self, **conditions: Any) -> int:
        """How many samples are meant."""
        project = self._project
        return project.lab.connection.record(
            SampleCount, "POST", f"projects/{project.id}/samples/count", json=filter_of(conditions)
        ).count

    def grid(self, *, sort: str = "id", **conditions: Any) -> Any:
        """The grid of samples, in a notebook: to search, filter, sort, and label many at once."""
        return self._project.lab.verbs.grid(self._project, filter_of(conditions), sort)

    def label_samples(
        self,
        label: str | list[str] | None = None,
        *,
        action: str = "label",
        note: str = "",
        expected: int | None = None,
        **conditions: Any,
    ) -> SavedBulk:
        """Say the same about all samples that are meant, in one act that one `undo` takes back.

        Args:
            label: the class, or a list of them where several may apply.
            action: `label`, `skip` or `flag`.
            expected: how many samples are thought to be meant: when there are others, nothing is saved.
            conditions: see the class; at least one, so that nobody labels everything by mistake.
        """
        project = self._project
        value = {"labels": tuple(label)} if isinstance(label, list) else {"label": label}
        bulk = checked(
            NewBulk,
            action=action,
            note=note,
            expected=expected,
            samples=filter_of(conditions),
            key=uuid.uuid4().hex,
            **value,
        )
        return project.lab.connection.record(
            SavedBulk, "POST", f"projects/{project.id}/labels/bulk", json=bulk, repeatable=True
        )

    def points(self, most: int = MOST_POINTS) -> tuple["pl.DataFrame", int]:
        """Where the samples lie on the map, with their status, label and suggestion, and how many there are in all.

        Args:
            most: of more samples, the same random part each time.

        Raises:
            Conflict: the samples have not been embedded yet.
        """
        import polars as pl
        import pyarrow as pa

        project = self._project
        answer = project.lab.connection.request(
            "GET",
            f"projects/{project.id}/map",
            params={"limit": most},
            headers={"Accept": ARROW},
            timeout_s=120,
        )
        table = pa.ipc.open_stream(answer.content).read_all()
        if table.num_rows == 0:
            raise Conflict(
                f"The samples of '{project.name}' have no places yet: embed them first, with "
                f"`project.embed()` or `mlship embed {project.name}`."
            )
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame, int(table.schema.metadata[b"total"])

    def map(self, by: MapColor = "label", most: int = MOST_POINTS) -> Any:
        """The map of samples, in a notebook: alike ones lie close, and the lasso selects.

        Args:
            by: what colors tell: `label`, `status` or `suggested`.
            most: of more samples a random part is shown, which the map says.
        """
        return self._project.lab.verbs.map(self._project, by, most)

    def save_selection(self, name: str, **conditions: Any) -> SampleSelection:
        """Remember the samples that are meant now under a name; `selection=name` means them later."""
        project = self._project
        new = checked(NewSelection, name=name, samples=filter_of(conditions))
        return project.lab.connection.record(
            SampleSelection, "POST", f"projects/{project.id}/selections", json=new
        )

    def selections(self) -> list[SampleSelection]:
        """The saved selections of the project."""
        project = self._project
        return list(
            project.lab.connection.record(
                Page[SampleSelection], "GET", f"projects/{project.id}/selections"
            ).items
        )

    def delete_selection(self, name: str) -> None:
        """Forget a selection; its samples stay as they are."""
        from modelship_lab.client.projects import quoted

        project = self._project
        project.lab.connection.request("DELETE", f"projects/{project.id}/selections/{quoted(name)}")


def filter_of(conditions: Mapping[str, Any]) -> SampleFilter:
    """A filter from conditions; one status or one id need not be a list.

    Raises:
        InvalidInput: with every condition that there is not, or whose value is wrong.
    """
    given = {name: value for name, value in conditions.items() if value is not None}
    for name in ("status", "ids"):
        if name in given:
            one = isinstance(given[name], str | int)
            given[name] = (given[name],) if one else tuple(given[name])
    return checked(SampleFilter, **given)


def _parameters(conditions: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = filter_of(conditions).model_dump(exclude_defaults=True)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
