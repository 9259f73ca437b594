"""Many samples of a project at once: looked at, labeled, remembered."""

import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, cast

from modelship_lab.client.checked import checked
from modelship_lab.client.connection import ARROW
from modelship_lab.client.project_queue import value_of
from modelship_lab.records.base import Page, medium_of
from modelship_lab.records.errors import Conflict, InvalidInput
from modelship_lab.records.labeling import (
    NewBulk,
    NewGroup,
    NewGroups,
    NewSelection,
    Sample,
    SampleCount,
    SampleFilter,
    SampleSelection,
    SavedBulk,
)

MOST_POINTS = 200_000
"""Points of a map, unless another number is asked for."""

REVIEW: dict[str, Any] = {"below_threshold": True, "status": ("unlabeled",), "sort": "confidence"}
"""What waits for review, in its order."""

_DOWNLOADS = 4
"""Images that are on their way at once."""

MapColor = Literal["label", "status", "suggested"]

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.near_duplicates import Pairs
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

    def review(self) -> Any:
        """The grid, in a notebook, of what waits for review: suggestions that are below their threshold, the least
        sure first.

        One after the other they come with `label(order="below_threshold")`.

        Raises:
            Conflict: the project has no threshold.
        """
        self.count_samples(below_threshold=True)
        return self.grid(**REVIEW)

    def label_samples(
        self,
        label: str | list[str] | float | None = None,
        *,
        action: str = "label",
        note: str = "",
        expected: int | None = None,
        **conditions: Any,
    ) -> SavedBulk:
        """Say the same about all samples that are meant, in one act that one `undo` takes back.

        Args:
            label: the class, a list of them where several may apply, or the number.
            action: `label`, `skip` or `flag`.
            expected: how many samples are thought to be meant: when there are others, nothing is saved.
            conditions: see the class; at least one, so that nobody labels everything by mistake.
        """
        project = self._project
        value = {} if label is None else value_of(label)
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

    def near_duplicates(self, threshold: float = 0.8) -> "pl.DataFrame":
        """Samples that are nearly the same: texts by their word shingles (MinHash), images by a perceptual hash.

        Args:
            threshold: how much two of them share, from 0 to 1. Of images, 0.9 and more is advised.

        Returns:
            `group`, `sample_id`, `name`, `label` and, of texts, `text`: the samples of each group of two or more.

        Raises:
            InvalidInput: the samples are rows of a table, or the threshold lies not between 0 and 1.
        """
        import polars as pl

        from modelship_lab.client.near_duplicates import groups_of

        table = self.samples()
        firsts = groups_of(table.height, self._near_pairs(table, threshold))
        found = table.with_columns(pl.Series("group", firsts)).filter(pl.len().over("group") > 1)
        columns = [name for name in ("text", "name", "label") if name in found.columns]
        numbers = pl.col("group").rank("dense").cast(pl.Int64)
        return found.select(numbers, pl.col("id").alias("sample_id"), *columns).sort("group", "sample_id")

    def group_near_duplicates(self, threshold: float = 0.8) -> int:
        """Put samples that are nearly the same into one group, so that they never lie in two splits.

        Groups that are there already are kept together: near duplicates in two of them make one of both.

        Returns:
            How many samples belong to a group by that.
        """
        import numpy as np
        import polars as pl

        from modelship_lab.client.near_duplicates import groups_of

        table = self.samples()
        pairs = self._near_pairs(table, threshold)
        if not len(pairs):
            return 0
        near = np.unique(pairs)
        # The first sample of each group stands for all of it.
        there = table.select(
            place=pl.int_range(pl.len()),
            first=pl.when(pl.col("group").is_not_null()).then(pl.int_range(pl.len()).min().over("group")),
        ).drop_nulls()
        firsts = groups_of(table.height, np.concatenate((pairs, there.select("first", "place").to_numpy())))
        parts = (
            table.select(pl.col("id"), "group", part=pl.Series(firsts))
            .filter(pl.col("part").is_in(firsts[near].tolist()))
            .group_by("part")
            .agg("id", name=pl.col("group").drop_nulls().min())
            .sort("part")
        )
        groups = tuple(
            NewGroup(name=name or f"near duplicates of {min(ids)}", sample_ids=tuple(ids))
            for ids, name in parts.select("id", "name").iter_rows()
        )
        project = self._project
        return project.lab.connection.record(
            SampleCount,
            "PUT",
            f"projects/{project.id}/groups",
            json=NewGroups(groups=groups),
            repeatable=True,
        ).count

    def _near_pairs(self, table: "pl.DataFrame", threshold: float) -> "Pairs":
        from modelship_lab.client import near_duplicates

        if not 0 < threshold <= 1:
            raise InvalidInput("threshold lies between 0 and 1.")
        medium = medium_of(self._project.record.require_task())
        if medium == "text":
            return near_duplicates.near_texts(table["text"], threshold)[0]
        if medium == "table":
            raise InvalidInput("Near duplicates are found among texts and images.")
        connection = self._project.lab.connection
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            hashes = list(
                pool.map(
                    lambda digest: near_duplicates.image_hash(
                        connection.request("GET", f"blobs/{digest}").content
                    ),
                    table["image"].to_list(),
                )
            )
        return near_duplicates.near_images(near_duplicates.as_bits(hashes), threshold)[0]

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
    for name in ("status", "ids", "excluded"):
        if name in given:
            one = isinstance(given[name], str | int)
            given[name] = (given[name],) if one else tuple(given[name])
    return checked(SampleFilter, **given)


def _parameters(conditions: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = filter_of(conditions).model_dump(exclude_defaults=True)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
