"""What a bundle says of itself in `bundle.json`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from modelship_lab.records.base import Record, Task, UtcTime


class TextHashing(Record):
    """Text to hashed word n-grams: ONNX input `tokens`, int64 (rows, length), 0 is padding."""

    kind: Literal["text_hashing"] = "text_hashing"
    buckets: int = Field(ge=2)
    """Token ids are 1 .. buckets - 1."""
    max_ngram: int = Field(ge=1, le=5)
    max_length: int = Field(ge=1)
    """Ids beyond this many are cut off."""
    lowercase: bool = True


class TextTokens(Record):
    """Text to a tokenizer's tokens: ONNX input `tokens`, int64 (rows, length), ids plus 1, 0 is padding or a gap.

    The tokenizer is the bundle's file `tokenizer.json`, in the format of the library `tokenizers`.
    """

    kind: Literal["text_tokens"] = "text_tokens"
    tokenizer: str = ""
    """The file's content; empty in a bundle's manifest."""
    vocabulary: int = Field(ge=1)
    """Ids are 1 .. vocabulary."""
    max_length: int = Field(ge=1)
    """Tokens beyond this many are cut off."""
    encoder: str
    """Name of the encoder that reads the tokens, and the SHA-256 of its weights as they were before training."""
    digest: str
    config: dict[str, Any] = {}
    """How the encoder is built, in the words of the library transformers."""


class ImageScaling(Record):
    """Encoded image to pixels: ONNX input `pixels`, uint8 (rows, height, width, channels).

    Scaling to floats and normalization are inside the ONNX graph.
    """

    kind: Literal["image_scaling"] = "image_scaling"
    height: int
    width: int
    channels: Literal[1, 3]
    fit: Literal["stretch", "crop"] = "stretch"
    """Of another shape than the model's: stretched to it, or the largest middle part of that shape taken."""


class TableEncoding(Record):
    """Row to numbers: ONNX inputs `numeric` float32 (rows, n) and `categories` int64 (rows, m).

    A missing number is NaN and a missing or unknown category is 0; imputation and scaling are
    inside the ONNX graph. An input with no columns is left out of the graph.
    """

    kind: Literal["table_encoding"] = "table_encoding"
    features: tuple[str, ...]
    """All features in the order in which a row given as a list has them."""
    numeric: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    """Feature to its known values; value i has code i + 1."""
    typical: dict[str, float | str | None] = {}
    """A stand-in for an absent feature in explanations: the median or the commonest value."""


Preprocessing = Annotated[
    TextHashing | TextTokens | ImageScaling | TableEncoding, Field(discriminator="kind")
]


class Parity(Record):
    """The check of an exported model against its source on real rows."""

    rows: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    """Largest absolute difference of a probability, or of a number."""
    label_flips: int
    tolerance: float


ModelKind = Literal["label", "labels", "number"]
"""What a model says of an input: one class, a set of classes, or a number."""


class Lineage(Record):
    run_id: int | None = None
    project: str | None = None
    snapshot_id: int | None = None
    recipe: str = ""


class BundleManifest(Record):
    """`bundle.json`. The ONNX output is `probabilities`, float32 (rows, classes); of a number the number, (rows, 1)."""

    format: Literal[1] = 1
    task: Task
    kind: ModelKind = "label"
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    """From which probability on each class applies, where any number of them may."""
    unit: str = ""
    """What a number is counted in; empty for classes, and where nobody has said."""
    preprocessing: Preprocessing
    lineage: Lineage
    metrics: dict[str, float]
    parity: Parity | None
    checksums: dict[str, str]
    """File name to SHA-256, for every file except `bundle.json`."""
    created_at: UtcTime
