"""What is logged besides numbers is kept as it was, and what cannot be kept is refused where it is logged."""

import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image

from modelship_lab import client
from modelship_lab.client import media
from modelship_lab.records.errors import InvalidInput


def decoded(made: media.Media) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(made.content)))


GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (GRAY, GRAY),
        (COLOR, COLOR),
        (COLOR.astype(np.int64), COLOR),
        (COLOR / 255, COLOR),
        (GRAY[:, :, None], GRAY),
        (GRAY > 100, (GRAY > 100) * 255),
        (torch.tensor(COLOR).permute(2, 0, 1), COLOR),
        (torch.tensor(COLOR / 255, dtype=torch.float32, requires_grad=True).permute(2, 0, 1), COLOR),
        (torch.tensor([[[1.0, 0.0]]], dtype=torch.bfloat16), [[255, 0]]),
        (Image.fromarray(COLOR), COLOR),
        (Image.fromarray(COLOR).convert("CMYK").convert("RGB"), COLOR),
    ],
)
def test_the_pixels_of_an_image_are_kept(given, expected) -> None:
    assert np.array_equal(decoded(media.image(given)), expected)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cat.png", r"not 'cat.png' \(str\)"),
        (np.zeros((3, 4, 5)), "1, 3 or 4 channels"),
        (np.zeros((0, 4)), "height x width"),
        (torch.zeros(5, 4, 3), "channels x height x width"),
        (np.full((2, 2), 300), "from 0 to 255"),
        (np.full((2, 2), -0.5), "from 0 to 1"),
        (np.full((2, 2), np.nan), "from 0 to 1"),
        (np.zeros((2, 2), complex), "complex"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is(given, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        media.image(given)


@pytest.mark.parametrize(
    "given",
    [
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pl.LazyFrame({"a": [1, 2], "b": ["x", None]}),
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}).set_index("a"),
        pa.table({"a": [1, 2], "b": ["x", None]}),
        [{"a": 1, "b": "x"}, {"a": 2}],
        {"a": [1, 2], "b": ["x", None]},
    ],
)
def test_the_rows_of_a_table_are_kept(given) -> None:
    frame = pl.read_parquet(media.table(given).content)
    assert frame.rows() == [(1, "x"), (2, None)]
    assert frame.columns == ["a", "b"]


@pytest.mark.parametrize("given", ["a table", 3, [1, 2], None, [{"a": object()}]])
def test_what_is_no_table_is_refused(given) -> None:
    with pytest.raises(InvalidInput, match="table"):
        media.table(given)


def test_a_figure_of_matplotlib_becomes_a_picture_and_stays_open() -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    made = media.figure(figure)
    assert decoded(made).shape[2] == 4
    assert media.figure(axes).content == made.content
    assert plt.fignum_exists(figure.number)
    plt.close(figure)
    with pytest.raises(InvalidInput, match="matplotlib or plotly"):
        media.figure([1, 2])


def test_a_figure_of_plotly_stays_what_it_is() -> None:
    class Figure:
        """As plotly's is to its users."""

        def to_plotly_json(self) -> dict:
            return {"data": np.zeros(1)}

        def to_json(self) -> str:
            return '{"data": [{"y": [1, 2]}]}'

    made = media.figure(Figure())
    assert made.content_type == "application/vnd.plotly.v1+json"
    assert json.loads(made.content)["data"][0]["y"] == [1, 2]


def test_what_is_logged_is_read_back(lab: client.Lab, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"12345" * 1000)
    with lab.start_run("media") as run:
        run.log_image("samples/cat", GRAY, step=3, caption="a cat")
        run.log_image("samples/cat", GRAY[::-1].copy(), step=4)
        run.log_table("rows", [{"a": 1}])
        run.log_text("note", "Grüße")
        run.log_file(file)
        # It was copied; what becomes of it now is another matter.
        file.write_bytes(b"other")
    found = {(item.name, item.step): item for item in run.artifacts()}
    assert found["samples/cat", 3].kind == "image"
    assert found["samples/cat", 3].caption == "a cat"
    assert found["rows", None].kind == "table"
    assert np.array_equal(np.asarray(run.image("samples/cat", 3)), GRAY)
    assert np.array_equal(np.asarray(run.image("samples/cat")), GRAY[::-1])
    assert run.table("rows").rows() == [(1,)]
    assert run.text("note") == "Grüße"
    assert run.artifact("weights.bin") == b"12345" * 1000
