"""Raw inputs become the arrays a model takes, the same at training and at serving, or a clear error."""

import io
import struct
import zlib

import mmh3
import numpy as np
import pytest
from PIL import Image

from modelship_lab.bundles.preprocessing import decode_image, encode, encode_table, text_tokens
from modelship_lab.records.bundle import ImageScaling, TableEncoding, TextHashing
from modelship_lab.records.errors import InvalidInput

TEXT = TextHashing(buckets=1000, max_ngram=2, max_length=8)
GRAY = ImageScaling(height=4, width=6, channels=1)
TABLE = TableEncoding(
    features=("age", "city", "income"), numeric=("age", "income"), categories={"city": ("Bern", "1")}
)
NUMBERS = TableEncoding(features=("a", "b"), numeric=("a", "b"), categories={})


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def test_text_is_hashed_words_then_pairs_and_padded() -> None:
    tokens = encode(TEXT, ["You WON!", ""])["tokens"]
    grams = ["you", "won", "!", "you won", "won !"]
    assert tokens.dtype == np.int64
    assert tokens[0].tolist() == [mmh3.hash(gram, 0, signed=False) % 999 + 1 for gram in grams]
    assert tokens[1].tolist() == [0] * 5


def test_empty_text_alone_has_length_one() -> None:
    assert encode(TEXT, [""])["tokens"].shape == (1, 1)


def test_long_text_is_cut() -> None:
    assert encode(TEXT, ["a " * 100_000])["tokens"].shape == (1, 8)
    assert len(text_tokens(TEXT, "a b c d e f g h i j")) == 8


@pytest.mark.parametrize("bad", [None, 3, ["a"], {"text": "a"}, b"a", "half \ud800 pair"])
def test_what_is_no_text_is_refused_with_its_position(bad: object) -> None:
    with pytest.raises(InvalidInput, match="input 1") as caught:
        encode(TEXT, ["fine", bad])
    assert caught.value.details[0]["field"] == "data[1]"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP", "GIF"])
def test_images_of_all_formats_are_fitted(format: str) -> None:
    pixels = encode(GRAY, [encoded(Image.new("RGB", (60, 40), (200, 200, 200)), format)])["pixels"]
    assert pixels.shape == (1, 4, 6, 1) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - 200).max() <= 3


def test_sixteen_bit_gray_keeps_its_brightness() -> None:
    image = Image.fromarray(np.full((4, 6), 32768, np.uint16))
    assert encode(GRAY, [encoded(image)])["pixels"].ravel().tolist() == [128] * 24


def test_transparency_is_white() -> None:
    pixels = encode(GRAY, [encoded(Image.new("RGBA", (6, 4), (0, 0, 0, 0)))])["pixels"]
    assert pixels.min() == 255


def test_an_image_of_another_shape_is_stretched_or_cut() -> None:
    wide = Image.new("L", (40, 20), 0)
    wide.paste(255, (0, 0, 10, 20))
    file = io.BytesIO()
    wide.save(file, "PNG")
    spec = ImageScaling(height=20, width=20, channels=1)
    stretched = decode_image(spec, file.getvalue())
    assert stretched[:, :4].min() == 255
    assert stretched[:, 7:].max() == 0
    assert not decode_image(spec.model_copy(update={"fit": "crop"}), file.getvalue()).any()


def test_orientation_in_the_metadata_is_applied() -> None:
    image = Image.new("L", (6, 4), 0)
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    assert encode(GRAY, [file.getvalue()])["pixels"][0, -1, -1, 0] == 255


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"not an image",
        encoded(Image.new("L", (9, 9)))[:45],
        bomb(),
        "text",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
    ],
    ids=["empty", "noise", "cut", "bomb", "text", "eps"],
)
def test_hostile_images_are_refused(bad: object) -> None:
    with pytest.raises(InvalidInput, match="input 0"):
        encode(GRAY, [bad])


def test_rows_as_lists_and_as_mappings_are_the_same() -> None:
    as_list = encode(TABLE, [[30, "Bern", None], [1.5, "1", 2]])
    as_mapping = encode(TABLE, [{"age": 30, "city": "Bern"}, {"income": 2, "city": 1.0, "age": 1.5}])
    for name in ("numeric", "categories"):
        np.testing.assert_array_equal(as_list[name], as_mapping[name])
    assert as_list["categories"].tolist() == [[1], [2]]
    assert np.isnan(as_list["numeric"][0, 1])


def test_unknown_category_is_zero() -> None:
    assert encode(TABLE, [[1, "Nowhere", 1]])["categories"].tolist() == [[0]]


def test_whole_columns_agree_with_rows() -> None:
    columns = {"age": np.array([1, 2]), "city": ["1", None], "income": [None, 5.5], "ignored": [0, 0]}
    rows = [{"age": 1, "city": "1", "income": None}, {"age": 2, "city": None, "income": 5.5}]
    for name, array in encode(TABLE, rows).items():
        np.testing.assert_array_equal(encode_table(TABLE, columns)[name], array)


def test_plain_numbers_have_no_categories_input() -> None:
    assert set(encode(NUMBERS, [[1, 2.5]])) == {"numeric"}


@pytest.mark.parametrize(
    "row, reason",
    [
        ([1], "1 values"),
        ([1, 2, 3], "3 values"),
        ([1, "2.5"], "feature 'b'"),
        ([1, "NaN"], "feature 'b'"),
        ([1, [2]], "feature 'b'"),
        ([1, 10**400], "too large"),
        ([1, 1e39], "too large"),
        ({"a": 1, "c": 2}, "unknown feature 'c'"),
        ({}, "empty"),
        ("1,2", "a row is"),
        (7, "a row is"),
    ],
)
def test_bad_rows_are_refused_by_name(row: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        encode(NUMBERS, [[1, 2], row])


def test_all_bad_rows_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        encode(NUMBERS, [[1], [1, 2], ["x", 1]])
    assert [problem["input"] for problem in caught.value.details] == [0, 2]


def test_bad_cell_of_a_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="column 'a', row 2"):
        encode_table(NUMBERS, {"a": [1, "x"], "b": [1, 2]})
