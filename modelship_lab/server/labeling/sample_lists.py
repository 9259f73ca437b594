"""Which samples a filter means, in an order: lists that are kept, so that counts and deep pages cost nothing.

The first page of an order is read by itself, as the best few of all; the whole list is made when somebody goes deeper.
What is kept is bounded, and dropped when something changes that it was made from.
"""

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelship_lab.records.events import Event
from modelship_lab.records.labeling import MAX_IDS, Project, SampleFilter, SampleOrder
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.labeling.sample_filter import (
    identities,
    numbers,
    ordered,
    ordered_by_value,
    tables_of,
    tables_of_order,
)
from modelship_lab.server.labeling.selections import require_selection
from modelship_lab.server.storage.database import Cursor

Ids = npt.NDArray[np.int64]

HEAD = 2000
"""So many samples of an order are read before somebody asks for more."""

MOST_KEPT = 8 << 20
"""Ids in all lists together: 64 MiB."""

_EVERYTHING = frozenset({"s", "st", "g", "notes", "selections"})
_CHANGES = {
    "labels": frozenset({"st", "notes"}),
    "gold": frozenset({"st"}),
    "suggestions": frozenset({"g"}),
    "selections": frozenset({"selections"}),
    "samples": frozenset({"s"}),
    **dict.fromkeys(("snapshot", "requests", "job", "run", "model", "deployment"), frozenset[str]()),
}
"""What each kind of event changes; one that is not named here may have changed everything."""

_BY_ID = SampleOrder()


@dataclass(frozen=True)
class _Key:
    project_id: int
    samples: SampleFilter
    order: SampleOrder


@dataclass(frozen=True)
class _List:
    ids: Ids
    complete: bool
    tables: frozenset[str]
    """What it was made from."""


class SampleLists:
    """Ids of samples by filter and order."""

    def __init__(self, events: EventLog) -> None:
        self._lists: OrderedDict[_Key, _List] = OrderedDict()
        self._versions: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()
        events.listen(self._hear)

    def page(
        self,
        cursor: Cursor,
        project: Project,
        samples: SampleFilter,
        order: SampleOrder,
        limit: int,
        offset: int,
    ) -> tuple[list[int], int]:
        """The ids of one page, and how many samples the filter means.

        Raises:
            NotFound: there is no selection of this name.
        """
        require_selection(cursor, project, samples)
        found = self._list(cursor, project, samples, order, offset + limit)
        total = len(found.ids) if found.complete else self.count(cursor, project, samples)
        return found.ids[offset : offset + limit].tolist(), total

    def count(self, cursor: Cursor, project: Project, samples: SampleFilter) -> int:
        """How many samples a filter means.

        Raises:
            NotFound: there is no selection of this name.
        """
        return len(self.ids(cursor, project, samples))

    def ids(
        self, cursor: Cursor, project: Project, samples: SampleFilter, order: SampleOrder = _BY_ID
    ) -> Ids:
        """All samples that a filter means.

        Raises:
            NotFound: there is no selection of this name.
        """
        require_selection(cursor, project, samples)
        return self._list(cursor, project, samples, order, None).ids

    def _list(
        self, cursor: Cursor, project: Project, samples: SampleFilter, order: SampleOrder, most: int | None
    ) -> _List:
        """The list of a filter and order, at least its first `most` ids."""
        if order.by == "id" and order.descending:
            whole = self._list(cursor, project, samples, _BY_ID, None)
            return _List(whole.ids[::-1], True, whole.tables)
        key = _Key(project.id, samples, order)
        tables = tables_of(project, samples) | tables_of_order(project, order)
        with self._lock:
            versions = self._versions_of(key, tables)
            kept = self._lists.get(key)
            if kept is not None and (kept.complete or (most is not None and most <= len(kept.ids))):
                self._lists.move_to_end(key)
                return kept
        if order == _BY_ID:
            narrowed = self._narrowed(key)
            sql, parameters = identities(project, narrowed)
            found = _List(np.sort(_ids(cursor, sql, parameters)), True, tables)
        elif (most is None or most > HEAD) and (by_number := numbers(project, order)) is not None:
            whole = self._list(cursor, project, samples, _BY_ID, None)
            valued = cursor.table(by_number[0], *by_number[1])
            columns = [valued[name].to_numpy() for name in ("id", "value")]
            found = _List(by_value(whole.ids, *columns, descending=order.descending), True, tables)
        else:
            found = _of_order(cursor, project, samples, order, most, tables)
        with self._lock:
            # What was changed while it was read may or may not be in it.
            if versions == self._versions_of(key, tables):
                self._keep(key, found)
        return found

    def _narrowed(self, key: _Key) -> SampleFilter:
        """The filter with the ids among which its samples are, when a part of the words was searched for before.

        So it is while somebody types; looking through a million texts again would take long.
        """
        samples = key.samples
        if not samples.search or samples.ids is not None:
            return samples
        with self._lock:
            for other, kept in reversed(self._lists.items()):
                if (
                    other.project_id == key.project_id
                    and other.order == _BY_ID
                    and len(kept.ids) <= MAX_IDS
                    and other.samples.search
                    and other.samples.search.lower() in samples.search.lower()
                    and other.samples == samples.model_copy(update={"search": other.samples.search})
                ):
                    return samples.model_copy(update={"ids": tuple(kept.ids.tolist())})
        return samples

    def _keep(self, key: _Key, found: _List) -> None:
        self._lists[key] = found
        self._lists.move_to_end(key)
        kept = sum(len(one.ids) for one in self._lists.values())
        while kept > MOST_KEPT and len(self._lists) > 1:
            _, oldest = self._lists.popitem(last=False)
            kept -= len(oldest.ids)

    def _versions_of(self, key: _Key, tables: frozenset[str]) -> dict[str, int]:
        return {table: self._versions[key.project_id, table] for table in tables}

    def _hear(self, event: Event) -> None:
        kind, _, number = event.topic.partition(":")
        if kind != "project":
            return
        changed = _CHANGES.get(event.type.partition(".")[0], _EVERYTHING)
        project_id = int(number)
        with self._lock:
            for table in changed:
                self._versions[project_id, table] += 1
            for key in [
                key
                for key, found in self._lists.items()
                if key.project_id == project_id and found.tables & changed
            ]:
                del self._lists[key]


def by_value(ids: Ids, valued: Ids, values: npt.NDArray[np.float64], *, descending: bool = False) -> Ids:
    """Ids by their values, those of the same value as they stand, those without one last.

    For a million of them in a tenth of the time that the database takes to join and sort.

    Args:
        ids: in ascending order.
        valued: ids that have values, in any order.
    """
    if not len(ids) or not len(valued):
        return ids
    keys = -values if descending else values
    if not np.array_equal(ids, valued):
        first, last = min(ids[0], valued.min()), max(ids[-1], valued.max())
        value_of = np.full(last - first + 1, np.nan)
        value_of[valued - first] = keys
        keys = value_of[ids - first]
    missing = np.isnan(keys)
    if not missing.any():
        places = _places(keys)
        return places + ids[0] if ids[-1] - ids[0] + 1 == len(ids) else ids[places]
    return np.concatenate([ids[~missing][_places(keys[~missing])], ids[missing]])


def _places(keys: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Where the keys stand in ascending order, equal ones as they came: `argsort`, in a quarter of its time.

    Each key's leading bits and its place make one integer, and integers are sorted by the instructions for vectors.
    """
    bits = len(keys).bit_length()
    # As integers, floats are in order but for the negative ones, which go backwards; and there is but one zero.
    packed = (keys + 0.0).view(np.int64)
    np.bitwise_xor(packed, np.iinfo(np.int64).max, out=packed, where=packed < 0)
    packed >>= bits
    packed <<= bits
    packed |= np.arange(len(keys))
    packed.sort()
    places = packed & ((1 << bits) - 1)
    packed >>= bits
    same = packed[1:] == packed[:-1]
    if same.any():
        # Equal keys, or such that differ in their last bits alone.
        alike = np.zeros(len(keys), dtype=bool)
        alike[1:] = same
        alike[:-1] |= same
        found = places[alike]
        in_order = keys[found]
        if (in_order[1:] < in_order[:-1]).any():
            came = np.sort(found)
            places[alike] = came[np.argsort(keys[came], kind="stable")]
    return places


def _of_order(
    cursor: Cursor,
    project: Project,
    samples: SampleFilter,
    order: SampleOrder,
    most: int | None,
    tables: frozenset[str],
) -> _List:
    if most is None or most > HEAD:
        sql, parameters = ordered(project, samples, order)
        return _List(_ids(cursor, sql, parameters), True, tables)
    leading = ordered_by_value(project, samples, order)
    if leading is not None:
        ids = _ids(cursor, f"{leading[0]} LIMIT {HEAD:d}", leading[1])
        if len(ids) == HEAD:
            return _List(ids, False, tables)
    sql, parameters = ordered(project, samples, order)
    ids = _ids(cursor, f"{sql} LIMIT {HEAD:d}", parameters)
    return _List(ids, len(ids) < HEAD, tables)


def _ids(cursor: Cursor, sql: str, parameters: list[Any]) -> Ids:
    found: Ids = cursor.table(sql, *parameters)["id"].to_numpy()
    return found
