"""Images, tables, figures and texts as the files that a run keeps."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelship_lab.records.artifacts import ArtifactKind
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PARQUET = "application/vnd.apache.parquet"
PLOTLY = "application/vnd.plotly.v1+json"
_CHANNELS = (1, 3, 4)


class Media(NamedTuple):
    """A file as it is kept."""

    content: bytes
    content_type: str
    kind: ArtifactKind


def image(value: Any) -> Media:
    """An image as PNG.

    Args:
        value: of PIL; an array of NumPy, height x width or height x width x 1, 3 or 4, of whole numbers from 0
            to 255 or of floats from 0 to 1; a tensor of torch, channels x height x width, of the same numbers.

    Raises:
        InvalidInput: it is none of these; says what it is.
    """
    from PIL import Image

    picture = value if isinstance(value, Image.Image) else Image.fromarray(_pixels(value))
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
    sink = io.BytesIO()
    # A quarter of the time of the usual level, and hardly larger.
    picture.save(sink, "PNG", compress_level=2)
    return Media(sink.getvalue(), "image/png", "image")


def table(value: Any) -> Media:
    """A table as Parquet.

    Args:
        value: a frame of polars or pandas, a table of PyArrow, a list of rows as mappings, or columns by name.

    Raises:
        InvalidInput: it is none of these, or its columns cannot be kept.
    """
    sink = io.BytesIO()
    frame = _frame(value)
    try:
        frame.write_parquet(sink, compression="zstd")
    except Exception as error:
        # polars has errors of its own, and panics, for columns of Python objects.
        raise InvalidInput(
            f"The table cannot be kept as Parquet: {error}. Make its columns plain."
        ) from error
    return Media(sink.getvalue(), PARQUET, "table")


def figure(value: Any) -> Media:
    """A figure of matplotlib as PNG, which stays open, or one of plotly as its JSON.

    Raises:
        InvalidInput: it is neither.
    """
    to_json = getattr(value, "to_plotly_json", None)
    if callable(to_json):
        # Its own encoder knows arrays.
        return Media(value.to_json().encode(), PLOTLY, "figure")
    owner: Any = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    if not hasattr(owner, "savefig"):
        raise InvalidInput(f"A figure is one of matplotlib or plotly, not {_described(value)}.")
    sink = io.BytesIO()
    owner.savefig(sink, format="png", bbox_inches="tight")
    return Media(sink.getvalue(), "image/png", "figure")


def text(value: str) -> Media:
    """A text.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"A text is a str, not {_described(value)}.")
    return Media(value.encode(errors="replace"), "text/plain; charset=utf-8", "text")


def _pixels(value: Any) -> "np.ndarray[Any, Any]":
    import numpy as np

    is_tensor = callable(getattr(value, "detach", None))
    try:
        if is_tensor:
            tensor = value.detach().cpu()
            # NumPy has no bfloat16.
            pixels = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        else:
            pixels = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"This is no image but {_described(value)}: {error}.") from error
    shape = pixels.shape
    if not shape:
        raise InvalidInput(
            f"An image is one of PIL, an array of NumPy or a tensor of torch, not {_described(value)}."
        )
    if is_tensor and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if (
        pixels.ndim not in (2, 3)
        or (pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS)
        or not pixels.size
    ):
        wanted = "channels x height x width" if is_tensor else "height x width x channels"
        raise InvalidInput(f"An image is height x width, or {wanted} with 1, 3 or 4 channels, not {shape}.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return np.ascontiguousarray(_bytes_of(pixels))


def _bytes_of(pixels: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    is_float = np.issubdtype(pixels.dtype, np.floating)
    if not is_float and not np.issubdtype(pixels.dtype, np.integer):
        raise InvalidInput(f"The numbers of an image are floats or whole numbers, not {pixels.dtype}.")
    top = 1 if is_float else 255
    low, high = pixels.min(), pixels.max()
    if not (low >= -1e-6 and high <= top + 1e-6):
        raise InvalidInput(
            f"The numbers of an image of {pixels.dtype} are from 0 to {top}, not from {low:.6g} to {high:.6g}. "
            "Scale them."
        )
    scaled = np.rint(np.clip(pixels, 0, 1) * 255) if is_float else pixels
    return scaled.astype(np.uint8)


def _frame(value: Any) -> "pl.DataFrame":
    import polars as pl

    makers: list[tuple[bool, Callable[[], Any]]] = [
        (isinstance(value, pl.DataFrame), lambda: value),
        (isinstance(value, pl.LazyFrame), lambda: value.collect()),
        (type(value).__module__.startswith("pyarrow"), lambda: pl.from_arrow(value)),
        (type(value).__module__.startswith("pandas"), lambda: _of_pandas(value)),
        (isinstance(value, Mapping), lambda: pl.DataFrame(dict(value), strict=False)),
        (
            isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value),
            lambda: pl.from_dicts([dict(row) for row in value], infer_schema_length=None),
        ),
    ]
    try:
        frame = next((make() for fits, make in makers if fits), None)
    except Exception as error:
        raise InvalidInput(f"This is no table: {error}.") from error
    if not isinstance(frame, pl.DataFrame):
        raise InvalidInput(
            "A table is a frame of polars or pandas, a table of PyArrow, a list of mappings or columns by name, "
            f"not {_described(value)}."
        )
    return frame


def _of_pandas(value: Any) -> "pl.DataFrame":
    import polars as pl

    # An index that says something is a column.
    named = value.reset_index() if any(name is not None for name in value.index.names) else value
    frame: pl.DataFrame = pl.from_pandas(named)
    return frame


def _described(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"
