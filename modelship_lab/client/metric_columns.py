"""Logged calls, packed as they come, and unpacked into the columns of an Arrow stream.

A training loop mostly logs the same metrics again and again. So each set of names in each context is a
`Layout`; a call only adds its numbers to its layout's bytes, and columns are made of them all at once by
NumPy, which lets other threads go on: no loop over points holds the interpreter.
"""

import logging
import operator
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import context_text

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger(__name__)

MOST_IN_CONTEXT = 16
LONGEST_IN_CONTEXT = 100
LONGEST_NAME = 250
_NO_STEP = 2**63
_HEAD = 2
"""Time and step stand before the values of a call."""
_FIRST_BYTES = 4096
_KEPT_BYTES = 1 << 20
"""Larger memory of one layout is given back when it was read."""


class Layout:
    """The calls that gave the same names in the same context.

    Args:
        names: of the metrics, in the order of a call's values.
        context: as text (see `records.metrics.context_text`).
    """

    __slots__ = ("_pack_into", "_rows", "_size", "_spare", "context", "late", "names", "used")

    def __init__(self, names: tuple[str, ...], context: str) -> None:
        self.names = names
        self.context = context
        packed = struct.Struct(f"=qq{len(names)}d")
        self._pack_into = packed.pack_into
        self._size = packed.size
        # Two, of which one is filled while what is in the other is made columns. They are kept: the first touch
        # of fresh memory takes the operating system longer than all else that a call does.
        self._rows = self._spare = bytearray()
        self.used = 0
        """How many bytes are packed."""
        self.late: list[LateValue] = []

    def pack(self, time_us: int, step: int, values: Sequence[float]) -> None:
        """Put a call behind the others.

        Raises:
            OverflowError, struct.error: a number is too large; then nothing of it is kept.
        """
        end = self.used + self._size
        if end > len(self._rows):
            self._grow(end)
        self._pack_into(self._rows, self.used, time_us, step, *values)
        self.used = end

    def pack_late(self, scalars: "Iterable[tuple[int, DeviceScalar]]") -> None:
        """Note which values of the call that was packed last are still on their device, by their positions."""
        start = self.used - self._size + 8 * _HEAD
        self.late += [LateValue(start + 8 * position, scalar) for position, scalar in scalars]

    def take(self) -> "PackedCalls":
        """What was packed since the last time; it is to be read before the next time."""
        taken = PackedCalls(self.names, self.context, memoryview(self._rows)[: self.used], self.late)
        self._rows, self._spare = self._spare, self._rows
        if len(self._spare) > _KEPT_BYTES:
            self._spare = bytearray()
        self.used, self.late = 0, []
        return taken

    def _grow(self, size: int) -> None:
        # A new one: a view of that in hand would forbid to resize it. All of it is touched here, not call by call.
        rows = bytearray(1) * max(_FIRST_BYTES, 2 * size)
        rows[: self.used] = memoryview(self._rows)[: self.used]
        self._rows = rows


class LateValue(NamedTuple):
    """A value that is still on its device, and where it belongs among the values of a layout's calls."""

    offset: int
    """In bytes."""
    scalar: "DeviceScalar"


class PackedCalls(NamedTuple):
    """The packed calls of one layout."""

    names: tuple[str, ...]
    context: str
    rows: memoryview
    late: list[LateValue]

    @property
    def points(self) -> int:
        return len(self.rows) // (8 * (len(self.names) + _HEAD)) * len(self.names)


class DeviceScalar:
    """One number on a device, as it is now, that is read later: reading it at once would wait for the device.

    Args:
        tensor: a torch tensor of one element on a device that is not the CPU.
    """

    def __init__(self, tensor: Any) -> None:
        # A copy: what the training loop writes into its tensor next is another value.
        self._value = tensor.detach().clone()
        # The thread that reads it has another stream, which would not wait for that of the training loop.
        self._copied = sys.modules["torch"].Event(device=tensor.device)
        self._copied.record()

    def read(self) -> float:
        """The number, as soon as the device has it; NaN when the device has failed."""
        try:
            self._copied.synchronize()
            return float(self._value.item())
        except Exception as error:
            # The training loop will meet this failure itself; here it must not take the other points along.
            log.warning("A value could not be read from its device: %s", error)
            return float("nan")


def is_on_device(value: Any) -> bool:
    """Whether a value is a torch tensor of one element whose reading waits for a device."""
    kind = getattr(getattr(value, "device", None), "type", "cpu")
    return kind not in ("cpu", "meta") and "torch" in sys.modules and value.numel() == 1


def checked_names(names: Sequence[Any]) -> tuple[str, ...]:
    """The names of metrics.

    Raises:
        InvalidInput: one of them is none.
    """
    for name in names:
        valid = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME
        if not (valid and _is_text(name)):
            raise InvalidInput(f"A metric's name is 1 to {LONGEST_NAME} characters, not {name!r:.80}.")
    return tuple(map(str, names))


def checked_context(context: Any) -> str:
    """A context as text; a word is that subset of the data.

    Raises:
        InvalidInput: it is none.
    """
    if context is None:
        return "{}"
    if isinstance(context, str):
        context = {"subset": context}
    if not isinstance(context, dict) or len(context) > MOST_IN_CONTEXT:
        raise InvalidInput(
            f"A context is a word such as 'val', or at most {MOST_IN_CONTEXT} of them by name such as "
            f"{{'subset': 'val', 'rank': '0'}}, not {context!r:.80}."
        )
    texts = {key: str(value) if isinstance(value, int) else value for key, value in context.items()}
    for text in (*texts, *texts.values()):
        valid = isinstance(text, str) and 0 < len(text) <= LONGEST_IN_CONTEXT
        if not (valid and _is_text(text)):
            raise InvalidInput(
                f"The names and values of a context are texts of 1 to {LONGEST_IN_CONTEXT} characters, "
                f"not {text!r:.120}."
            )
    return context_text(texts)


def as_step(step: Any) -> int:
    """A step as a Python int.

    Raises:
        InvalidInput: it is not a whole number.
    """
    try:
        number = operator.index(step)
    except TypeError:
        number = _NO_STEP
    if not -(2**63) <= number < 2**63:
        raise InvalidInput(f"A step is a whole number of 64 bits, not {step!r:.60}.")
    return number


def as_table(taken: Sequence[PackedCalls]) -> "pa.Table":
    """One row for each point, in the order of the calls.

    No two calls have the same time, so that it is also their order. Built from buffers: `pyarrow.array`
    would import pandas, which takes half a second and cannot be done when the interpreter is ending.
    """
    import numpy as np
    import pyarrow as pa

    names: dict[str, int] = {}
    contexts: dict[str, int] = {}
    parts = [_columns(calls, names, contexts) for calls in taken]
    columns = [np.concatenate(pieces) if len(parts) > 1 else pieces[0] for pieces in zip(*parts, strict=True)]
    if len(parts) > 1:
        order = np.argsort(columns[1], kind="stable")
        columns = [column[order] for column in columns]
    steps, times, values, name_codes, context_codes = columns
    table = {
        "name": _coded(name_codes, names),
        "step": _column(pa.int64(), steps),
        "time": _column(pa.timestamp("us", tz="UTC"), times),
        "value": _column(pa.float64(), values),
    }
    if contexts.keys() != {"{}"}:
        table["context"] = _coded(context_codes, contexts)
    return pa.Table.from_arrays(list(table.values()), names=list(table))


def as_stream(table: "pa.Table") -> "pa.Buffer":
    """A table as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    # Times and steps repeat themselves: packed, there is half as much to write to disk and to send.
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _columns(
    calls: PackedCalls, names: dict[str, int], contexts: dict[str, int]
) -> "tuple[np.ndarray[Any, Any], ...]":
    """Steps, times, values, and the codes of names and contexts; new ones of these get the next code."""
    import numpy as np

    for late in calls.late:
        struct.pack_into("=d", calls.rows, late.offset, late.scalar.read())
    width = len(calls.names)
    rows = np.frombuffer(calls.rows, dtype=np.int64).reshape(-1, width + _HEAD)
    shape = (len(rows), width)
    codes = np.array([names.setdefault(name, len(names)) for name in calls.names], dtype=np.int32)
    context = contexts.setdefault(calls.context, len(contexts))
    return (
        np.broadcast_to(rows[:, 1, None], shape).ravel(),
        np.broadcast_to(rows[:, 0, None], shape).ravel(),
        rows[:, _HEAD:].view(np.float64).ravel(),
        np.broadcast_to(codes, shape).ravel(),
        np.full(shape, context, dtype=np.int32).ravel(),
    )


def _column(kind: "pa.DataType", values: "np.ndarray[Any, Any]") -> "pa.Array":
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _coded(codes: "np.ndarray[Any, Any]", texts: Iterable[str]) -> "pa.DictionaryArray":
    """A column of texts, each of them sent once."""
    import numpy as np
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.DictionaryArray.from_buffers(
        pa.dictionary(pa.int32(), pa.string()),
        len(codes),
        [None, pa.py_buffer(codes)],
        pa.Array.from_buffers(pa.string(), len(encoded), buffers),
    )


def _is_text(text: str) -> bool:
    """Whether it is no half of a surrogate pair, which is a str but cannot be written."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
