"""Raw inputs to the arrays that a bundle's ONNX model takes; the same code in training and in serving."""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from numbers import Real
from typing import Any, TypeVar

import mmh3
import numpy as np

from modelship_lab.bundles.tokens import readable_text, token_ids
from modelship_lab.records.bundle import ImageScaling, Preprocessing, TableEncoding, TextHashing, TextTokens
from modelship_lab.records.errors import InvalidInput

__all__ = [
    "MAX_PIXELS",
    "Arrays",
    "as_text",
    "category_name",
    "decode_image",
    "encode",
    "encode_table",
    "gram_spans",
    "hash_text",
    "pad",
    "text_tokens",
]

Arrays = dict[str, np.ndarray]
"""ONNX input name to its batch; the first axis is the row."""

MAX_PIXELS = 50_000_000
"""Images that say they are larger are refused before a pixel of them is decoded."""

MAX_PROBLEMS = 20
"""So many bad inputs of one batch are listed."""

_TOKEN = re.compile(r"\w+|[^\w\s]")
# A closed list keeps formats out whose readers run other programs or parse far too much (EPS, PDF, ...).
_IMAGE_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NUMBER_TYPES = {int, float}

Converted = TypeVar("Converted")


def encode(spec: Preprocessing, inputs: Sequence[Any]) -> Arrays:
    """Encode raw inputs as the ONNX model's input batch.

    Args:
        spec: the bundle's preprocessing.
        inputs: texts (str), encoded images (bytes), or rows, each a mapping of feature to value or a
            list of values in the order of `spec.features`. In a mapping, features left out are missing.

    Returns:
        The arrays that the record of the preprocessing describes, one row for each input.

    Raises:
        InvalidInput: an input is not what `spec` takes; the details name each with its position.
    """
    if isinstance(spec, TextHashing):
        return {"tokens": pad(_each(inputs, lambda text: hash_text(spec, text)))}
    if isinstance(spec, TextTokens):
        texts = _each(inputs, lambda text: readable_text(spec, as_text(text)))
        return {"tokens": pad(token_ids(spec, texts))}
    if isinstance(spec, ImageScaling):
        images = _each(inputs, lambda data: decode_image(spec, data))
        shape = (len(images), spec.height, spec.width, spec.channels)
        return {"pixels": np.stack(images) if images else np.zeros(shape, np.uint8)}
    return _encode_rows(spec, inputs)


# --- text ---------------------------------------------------------------------------------------------


def text_tokens(spec: TextHashing, text: str) -> list[str]:
    """The words and punctuation marks of a text, at most `spec.max_length` of them."""
    text = as_text(text)
    matches = _TOKEN.finditer(text.lower() if spec.lowercase else text)
    return [match.group() for match in islice(matches, spec.max_length)]


def as_text(value: Any) -> str:
    """The value, which must be a text.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"a text is expected, not {_kind(value)}")
    return value


def hash_text(spec: TextHashing, text: str) -> list[int]:
    """The hashed n-grams of a text: single words first, then pairs, and so on, cut at `spec.max_length`.

    Feature hashing after Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009),
    with MurmurHash3.
    """
    words = text_tokens(spec, text)
    grams = list(words)
    for size in range(2, spec.max_ngram + 1):
        if len(grams) >= spec.max_length:
            break
        grams += map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))
    span = spec.buckets - 1
    try:
        # Looked at before because mmh3 kills the process when it is given half of a surrogate pair.
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the text is not valid Unicode: it has half of a surrogate pair") from None
    return [mmh3.hash(gram, 0, False) % span + 1 for gram in grams[: spec.max_length]]


def gram_spans(spec: TextHashing, words: int) -> list[tuple[int, int]]:
    """From which token to before which token each id of `hash_text` goes, for a text of so many tokens."""
    spans = (
        (start, start + size) for size in range(1, spec.max_ngram + 1) for start in range(words - size + 1)
    )
    return list(islice(spans, spec.max_length))


def pad(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Token ids as int64 (rows, longest), filled up with 0; the longest is at least 1."""
    longest = max(map(len, rows), default=0) or 1
    padded = np.zeros((len(rows), longest), np.int64)
    for index, ids in enumerate(rows):
        padded[index, : len(ids)] = ids
    return padded


# --- images -------------------------------------------------------------------------------------------


def decode_image(spec: ImageScaling, data: bytes) -> np.ndarray:
    """Decode an encoded image and fit it to the model's size: uint8 (height, width, channels).

    The orientation in the image's metadata is applied, transparency becomes white, 16-bit gray is
    scaled to 8 bits, and of an animation the first frame is taken.

    Raises:
        InvalidInput: not an image of a known format, damaged, or larger than `MAX_PIXELS`.
    """
    # Pillow is loaded here because text and table models do not need it and a worker starts faster without.
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidInput(f"the bytes of an encoded image are expected, not {_kind(data)}")
    mode = "L" if spec.channels == 1 else "RGB"
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InvalidInput(
                    f"the image has {width} x {height} pixels; at most {MAX_PIXELS:,} are taken"
                )
            image.draft(mode, (spec.width, spec.height))  # JPEG: decode at a smaller scale where possible
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            elif upright.has_transparency_data:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            shape, smooth = (spec.width, spec.height), Image.Resampling.BILINEAR
            colored = upright.convert(mode)
            fitted = (
                ImageOps.fit(colored, shape, smooth) if spec.fit == "crop" else colored.resize(shape, smooth)
            )
    except InvalidInput:
        raise
    except Image.DecompressionBombError:
        raise InvalidInput(f"the image is too large; at most {MAX_PIXELS:,} pixels are taken") from None
    except UnidentifiedImageError:
        raise InvalidInput("the image cannot be read: its format is unknown") from None
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        raise InvalidInput(f"the image cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
    return np.asarray(fitted, np.uint8).reshape(spec.height, spec.width, spec.channels)


# --- rows ---------------------------------------------------------------------------------------------


def category_name(value: Any) -> str | None:
    """The category that a cell stands for, the same for `1`, `1.0` and `"1"`; None when it is missing.

    Raises:
        InvalidInput: the value is not a text, number or truth value.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Real):
        number = float(value)
        if math.isnan(number):
            return None
        return str(int(number)) if number.is_integer() else repr(number)
    raise InvalidInput(f"a category is a text, number or truth value, not {_kind(value)}")


def encode_table(spec: TableEncoding, columns: Mapping[str, Any]) -> Arrays:
    """Encode whole columns at once.

    Args:
        spec: which features are numbers and which are categories.
        columns: feature to its values, all of one length; a feature without a column is missing
            in every row, and columns that are no features are ignored.

    Raises:
        InvalidInput: no feature is there, lengths differ, or a cell of a numeric feature is not a number.
    """
    lengths = {name: len(columns[name]) for name in spec.features if name in columns}
    if not lengths:
        raise InvalidInput(f"none of the features is in the table; expected {_listed(spec.features)}")
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"the columns differ in length: {lengths}")
    rows = next(iter(lengths.values()))
    arrays: Arrays = {}
    if spec.numeric:
        numeric = np.full((rows, len(spec.numeric)), np.nan, np.float32)
        for place, name in enumerate(spec.numeric):
            if name in columns:
                numeric[:, place] = _numbers(name, columns[name])
        arrays["numeric"] = numeric
    if spec.categories:
        codes = np.zeros((rows, len(spec.categories)), np.int64)
        for place, (name, known) in enumerate(spec.categories.items()):
            if name in columns:
                code = _codes(known)
                codes[:, place] = [code.get(category_name(value), 0) for value in columns[name]]
        arrays["categories"] = codes
    return arrays


def _numbers(name: str, column: Any) -> np.ndarray:
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
        if (np.abs(numbers) > _FLOAT32_MAX).any():
            row = int(np.argmax(np.abs(numbers) > _FLOAT32_MAX))
            raise InvalidInput(f"column {name!r}, row {row + 1}: {numbers[row]} is too large for the model")
        return numbers
    numbers = np.empty(len(column), np.float64)
    for row, value in enumerate(column):
        try:
            numbers[row] = _number(value)
        except InvalidInput as error:
            raise InvalidInput(f"column {name!r}, row {row + 1}: {error.message}") from None
    return numbers


def _number(value: Any) -> float:
    """A cell as a number, NaN when it is missing."""
    if value is None:
        return math.nan
    if not isinstance(value, Real | np.bool_):
        raise InvalidInput(f"a number is expected, not {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if abs(number) > _FLOAT32_MAX:
        raise InvalidInput("the number is too large for the model")
    return number


def _codes(known: Sequence[str]) -> dict[str | None, int]:
    return {value: code for code, value in enumerate(known, start=1)}


def _encode_rows(spec: TableEncoding, rows: Sequence[Any]) -> Arrays:
    plain = _plain_numbers(spec, rows)
    if plain is not None:
        return {"numeric": plain}
    codes = {name: _codes(known) for name, known in spec.categories.items()}
    encoded = _each(rows, lambda row: _encode_row(spec, codes, row))
    arrays: Arrays = {}
    if spec.numeric:
        arrays["numeric"] = np.array([numbers for numbers, _ in encoded], np.float32).reshape(
            len(rows), len(spec.numeric)
        )
    if spec.categories:
        arrays["categories"] = np.array([found for _, found in encoded], np.int64).reshape(
            len(rows), len(spec.categories)
        )
    return arrays


def _plain_numbers(spec: TableEncoding, rows: Sequence[Any]) -> np.ndarray | None:
    """The commonest request, lists of nothing but numbers, as one array; None if it is anything else."""
    width = len(spec.numeric)
    if spec.categories or spec.features != spec.numeric or not rows:
        return None
    for row in rows:
        # The types must be looked at: numpy would take the text "3.5" and the text "nan" for numbers.
        if type(row) is not list or len(row) != width or not _NUMBER_TYPES.issuperset(map(type, row)):
            return None
    try:
        numbers = np.array(rows, np.float64)
    except OverflowError:
        return None
    if not (np.abs(numbers) <= _FLOAT32_MAX).all():
        return None
    return numbers.astype(np.float32)


def _encode_row(
    spec: TableEncoding, codes: Mapping[str, dict[str | None, int]], row: Any
) -> tuple[list[float], list[int]]:
    if isinstance(row, Mapping):
        unknown = [str(name)[:100] for name in row if name not in spec.features]
        if unknown:
            raise InvalidInput(
                f"unknown feature {_listed(unknown)}; the features are {_listed(spec.features)}"
            )
        if not row:
            raise InvalidInput(f"the row is empty; the features are {_listed(spec.features)}")
        cells = row
    elif isinstance(row, Sequence | np.ndarray) and not isinstance(row, str | bytes | bytearray):
        if len(row) != len(spec.features):
            raise InvalidInput(
                f"the row has {len(row)} values; the model takes {len(spec.features)} features"
            )
        cells = dict(zip(spec.features, row, strict=True))
    else:
        raise InvalidInput(f"a row is a list of values or a mapping of feature to value, not {_kind(row)}")
    return (
        [_cell(name, _number, cells) for name in spec.numeric],
        [code.get(_cell(name, category_name, cells), 0) for name, code in codes.items()],
    )


def _cell(name: str, convert: Callable[[Any], Converted], cells: Mapping[str, Any]) -> Converted:
    try:
        return convert(cells.get(name))
    except InvalidInput as error:
        raise InvalidInput(f"feature {name!r}: {error.message}") from None


# --- messages -----------------------------------------------------------------------------------------


def _each(inputs: Sequence[Any], convert: Callable[[Any], Converted]) -> list[Converted]:
    """Convert every input; all bad ones are told in one error."""
    converted: list[Converted] = []
    problems: list[dict[str, Any]] = []
    for index, value in enumerate(inputs):
        try:
            converted.append(convert(value))
        except InvalidInput as error:
            problems.append({"field": f"data[{index}]", "input": index, "reason": error.message})
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        more = f" ({len(problems)} bad inputs in all)" if len(problems) > 1 else ""
        raise InvalidInput(f"input {problems[0]['input']}: {problems[0]['reason']}{more}", problems)
    return converted


def _kind(value: Any) -> str:
    """What a value is, in the words of JSON where it has them, with a glimpse of a short one."""
    names = {type(None): "null", bool: "a truth value", int: "a number", float: "a number"}
    if type(value) in names:
        return names[type(value)]
    if isinstance(value, str):
        return f"the text {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def _listed(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
