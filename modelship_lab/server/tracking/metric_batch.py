"""A batch of metric points as it arrives: read, found to be sound, and summed up by series.

All of this is done over whole columns, away from the event loop and from the writer: a batch may be
a hundred thousand points of a hundred thousand series.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.metrics import Context, MetricPoints, OnDuplicate, context_text
from modelship_lab.server.storage.arrow_streams import read_stream

MAX_NAME = 250

NO_CONTEXT = "{}"

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("context", pa.string()),
        ("step", pa.int64()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
    ]
)
"""The columns of a stream of points; `context` may be left out, and texts may be dictionaries."""

_CONTEXT: TypeAdapter[dict[str, str]] = TypeAdapter(Context)

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class MetricBatch:
    """The points of one request, of which no two have the same series and step unless they are all to be kept.

    Args:
        keys: name and context (as text) of each series.
        series: for each point the index of its series.
        points: step, time and value of each point, in order of arrival.
        figures: for each series what `metric_series` keeps of its points.
        is_rising: whether the steps of every series rise from point to point.
        accepted: how many points came.
    """

    keys: tuple[tuple[str, str], ...]
    series: Integers
    points: pa.Table
    figures: pa.Table
    is_rising: bool
    accepted: int

    @property
    def table(self) -> pa.Table:
        """The points with their names and contexts; no text is copied."""
        names, contexts = zip(*self.keys, strict=True) if self.keys else ((), ())
        index = pa.array(self.series, pa.int32())
        table = self.points
        for position, (name, texts) in enumerate((("name", names), ("context", contexts))):
            column = pa.DictionaryArray.from_arrays(index, pa.array(texts, pa.string()))
            table = table.add_column(position, name, column)
        return table


def read_batch(body: bytes, on_duplicate: OnDuplicate) -> MetricBatch:
    """The points of an Arrow IPC stream (see `SCHEMA`).

    Raises:
        InvalidData: it is no such stream, or a name or context is none.
    """
    try:
        table = read_stream(body, SCHEMA.names, optional=("context",))
        names = _texts(table, "name")
        if "context" in table.column_names:
            contexts = _texts(table, "context")
        else:
            contexts = _constant(NO_CONTEXT, table.num_rows)
        step, time, value = (
            table[name].cast(SCHEMA.field(name).type).combine_chunks() for name in ("step", "time", "value")
        )
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise InvalidData(
            "The metrics are not an Arrow IPC stream with the columns name (string), context (string, "
            "may be left out), step (int64), time (timestamp[us, UTC]) and value (float64)."
        ) from error
    if any(column.null_count for column in (names, contexts, step, time, value)):
        raise InvalidData("A metric point has no name, context, step, time or value.")
    return _batch(names, contexts, step, time, value, on_duplicate)


def batch_of(points: MetricPoints, moment: datetime, on_duplicate: OnDuplicate) -> MetricBatch:
    """Points that came as records; those without a time get `moment`, UTC without a zone."""
    given = points.points
    times = [moment if point.time is None else point.time.replace(tzinfo=None) for point in given]
    return _batch(
        pa.array([point.name for point in given], pa.string()).dictionary_encode(),
        pa.array([context_text(point.context) for point in given], pa.string()).dictionary_encode(),
        pa.array([point.step for point in given], pa.int64()),
        pa.array(times, pa.timestamp("us")),
        pa.array([point.value for point in given], pa.float64()),
        on_duplicate,
    )


def _texts(table: pa.Table, name: str) -> pa.DictionaryArray:
    """A column of texts as one dictionary, in which no text is there twice."""
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = _joined(column)
        texts = column.dictionary.cast(pa.string()).dictionary_encode()
        return pa.DictionaryArray.from_arrays(texts.indices.take(column.indices), texts.dictionary)
    return _joined(column.cast(pa.string()).dictionary_encode())


def _joined(column: pa.ChunkedArray) -> pa.DictionaryArray:
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return pa.array([], pa.string()).dictionary_encode()
    indices = pa.concat_arrays([chunk.indices for chunk in column.chunks])
    return pa.DictionaryArray.from_arrays(indices, column.chunk(0).dictionary)


def _constant(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text], pa.string()))


def _batch(
    names: pa.DictionaryArray,
    contexts: pa.DictionaryArray,
    step: pa.Array,
    time: pa.Array,
    value: pa.Array,
    on_duplicate: OnDuplicate,
) -> MetricBatch:
    name_of = np.asarray(names.indices, np.int64)
    context_of = np.asarray(contexts.indices, np.int64)
    width = max(len(contexts.dictionary), 1)
    # Numbered anew, without those texts of the dictionaries that no point names.
    pairs = pa.array(name_of * width + context_of).dictionary_encode()
    series = np.asarray(pairs.indices, np.int64)
    used = np.asarray(pairs.dictionary, np.int64)
    name_texts = names.dictionary.take(pa.array(used // width)).to_pylist()
    context_texts = _checked_contexts(contexts.dictionary.take(pa.array(used % width)).to_pylist())
    _check_names(names.dictionary)
    keys = tuple(zip(name_texts, context_texts, strict=True))
    if len(set(keys)) < len(keys):
        # The same context, written in different ways.
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        series = np.array([numbers[key] for key in keys], np.int64)[series]
        keys = tuple(numbers)
    points = pa.table({"step": step, "time": time.cast(pa.timestamp("us")), "value": value})
    accepted = points.num_rows
    steps = np.asarray(step)
    order = _order(series, len(keys))
    is_rising = _rises(series[order], steps[order])
    if not is_rising:
        order = np.lexsort((np.asarray(points["time"].cast(pa.int64())), steps, series))
        if on_duplicate == "replace":
            kept = _last_of_each(series, steps)
            if len(kept) < len(series):
                points = points.take(pa.array(kept))
                series, steps = series[kept], steps[kept]
                order = np.lexsort((steps, series))
    return MetricBatch(
        keys, series, points, _figures(series[order], points.take(pa.array(order))), is_rising, accepted
    )


def _check_names(names: pa.Array) -> None:
    lengths = pc.min_max(pc.utf8_length(names)).as_py()
    if names.null_count:
        raise InvalidData("A metric point has no name.")
    if lengths["min"] == 0:
        raise InvalidData(f"The name of a metric is empty: it has 1 to {MAX_NAME} characters.")
    if (lengths["max"] or 0) > MAX_NAME:
        raise InvalidData(f"The name of a metric is longer than {MAX_NAME} characters.")


def _checked_contexts(texts: Sequence[str | None]) -> list[str]:
    """Contexts as they are stored, however they were written.

    Raises:
        InvalidData: one of them is none.
    """
    known: dict[str | None, str] = {NO_CONTEXT: NO_CONTEXT}
    for text in set(texts) - known.keys():
        try:
            known[text] = context_text(_CONTEXT.validate_python(orjson.loads(text or ""), strict=True))
        except (orjson.JSONDecodeError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is no JSON"
            raise InvalidData(
                f"The context {str(text)[:80]!r} of a metric is not a JSON object of at most 16 texts of at "
                f'most 100 characters, such as {{"subset":"val"}}: {reason}.'
            ) from None
    return [known[text] for text in texts]


def _order(series: Integers, count: int) -> Integers:
    """The points by series, those of a series in order of arrival."""
    # NumPy sorts numbers of 16 bits by radix: several times as fast.
    return np.argsort(series.astype(np.uint16) if count <= 1 << 16 else series, kind="stable")


def _rises(series: Integers, steps: Integers) -> bool:
    return bool(np.all((steps[1:] > steps[:-1]) | (series[1:] != series[:-1])))


def _last_of_each(series: Integers, steps: Integers) -> Integers:
    """Where the last point of each series and step is, in order of arrival."""
    order = np.lexsort((steps, series))
    ends = np.append(
        (series[order][1:] != series[order][:-1]) | (steps[order][1:] != steps[order][:-1]), True
    )
    return np.sort(order[ends])


def _figures(series: Integers, points: pa.Table) -> pa.Table:
    """What is kept of each series.

    Args:
        series: of each point, ascending.
        points: those of a series by step, then time, then arrival.
    """
    count = len(series)
    starts = np.flatnonzero(np.append(True, series[1:] != series[:-1])) if count else np.array([], np.int64)
    ends = np.append(starts[1:], count)[: len(starts)] - 1
    steps, values = np.asarray(points["step"]), np.asarray(points["value"])
    is_finite = np.isfinite(values)

    def over(function: np.ufunc, of: NDArray[Any]) -> NDArray[Any]:
        return function.reduceat(of, starts) if count else of

    finite = over(np.add, is_finite.astype(np.int64))
    none = finite == 0
    with np.errstate(over="ignore"):
        total = over(np.add, np.where(is_finite, values, 0.0))
    return pa.table(
        {
            "points": ends - starts + 1,
            "first_step": steps[starts],
            "last_step": steps[ends],
            "last_time": points["time"].take(pa.array(ends)),
            "last_value": values[ends],
            "finite": finite,
            "min": pa.array(over(np.minimum, np.where(is_finite, values, np.inf)), mask=none),
            "max": pa.array(over(np.maximum, np.where(is_finite, values, -np.inf)), mask=none),
            "sum": total,
        }
    )
