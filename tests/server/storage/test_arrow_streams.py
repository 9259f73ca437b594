"""Arrow streams that say to be more than they are."""

import numpy as np
import pyarrow as pa
import pytest

from modelship_lab.server.storage import arrow_streams
from modelship_lab.server.storage.arrow_streams import read_stream

GOOD = pa.table({"name": ["a", "b"] * 500, "value": np.arange(1000.0)})


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zstd"}, {"compression": "lz4"}, {"metadata_version": pa.ipc.MetadataVersion.V4}],
    ids=str,
)
def test_what_was_written_is_read(options):
    assert read_stream(stream(GOOD, **options), ["name", "value"]).equals(GOOD)


def test_texts_may_be_in_a_dictionary_and_columns_left_out():
    encoded = GOOD.set_column(0, "name", GOOD["name"].dictionary_encode())
    found = read_stream(stream(encoded, compression="zstd"), ["name", "time"], optional={"time"})
    assert found["name"].to_pylist() == GOOD["name"].to_pylist()
    with pytest.raises(KeyError):
        read_stream(stream(GOOD), ["name", "time"])


def runs(count):
    return pa.RunEndEncodedArray.from_arrays([count], ["x"], pa.run_end_encoded(pa.int32(), pa.string()))


@pytest.mark.parametrize(
    "columns",
    [
        {"name": pa.nulls(10**8), "value": pa.nulls(10**8)},
        {"name": runs(2**31 - 1), "value": pa.nulls(2**31 - 1)},
        {"name": runs(1), "value": [1.0]},
        {
            "name": pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int8), ["x" * 1_000_000]),
            "value": np.zeros(20_000),
        },
        {"name": pa.array(["x"]).cast(pa.string_view()), "value": [1.0]},
        {"name": [["x"]], "value": [1.0]},
    ],
    ids=["nulls", "long runs", "runs", "one long text", "views", "lists"],
)
def test_what_would_become_much_larger_is_not_read(columns):
    with pytest.raises(pa.ArrowInvalid):
        read_stream(stream(pa.record_batch(columns)), ["name", "value"])


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_what_would_be_unpacked_to_very_much_is_not_unpacked(compression, monkeypatch):
    packed = stream(GOOD.append_column("more", pa.array(["x" * 3000] * 1000)), compression=compression)
    assert read_stream(packed, ["name", "value"]).equals(GOOD)
    monkeypatch.setattr(arrow_streams, "MAX_UNPACKED", 3_000_000)
    assert len(packed) < 100_000
    with pytest.raises(pa.ArrowInvalid, match="much larger"):
        read_stream(packed, ["name", "value"])
