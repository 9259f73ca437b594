"""Which parts of one input moved its prediction: Shapley values of tokens, image regions or features."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from modelship_lab.bundles.preprocessing import (
    Arrays,
    as_text,
    decode_image,
    encode,
    gram_spans,
    hash_text,
    text_tokens,
)
from modelship_lab.bundles.run import BundleModel
from modelship_lab.bundles.tokens import word_tokens
from modelship_lab.records.bundle import ImageScaling, TableEncoding, TextHashing, TextTokens
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.serving import Attribution

__all__ = ["explain"]

GRID = 7
"""An image is cut into at most so many regions along each side."""

_IMAGE_PIXELS = 16_000_000
_ENCODER_TOKENS = 16_384
"""A text encoder takes milliseconds for a text: explaining one may cost as much as reading so many tokens."""
_ELEMENTS_AT_ONCE = 4_000_000

# A game has n players, the parts of the input; a coalition is a row of booleans, True for a part
# that is there; `Coalitions` turns coalitions (m, n) into the model's encoded input for m rows.
Coalitions = Callable[[np.ndarray], Arrays]
# Coalitions (m, n) to the probability of the explained class, float64 (m,).
Value = Callable[[np.ndarray], np.ndarray]


def explain(
    model: BundleModel, input: Any, label: str | None = None, budget: int = 2048, seed: int = 0
) -> Attribution:
    """Explain the probability of one class for one raw input, or the number that is predicted.

    What "absent" means: a token and the n-grams over it become padding; an image region gets the
    image's median color; a feature gets its typical value from the manifest, or is missing if it has
    none. Shapley values (Shapley, "A Value for n-Person Games", 1953) are computed exactly when all
    coalitions fit the budget, and otherwise estimated without bias from random orders of the parts,
    each taken forwards and backwards (Castro et al., "Polynomial calculation of the Shapley value
    based on sampling", 2009; Mitchell et al., "Sampling Permutations for Shapley Value Estimation",
    2022). In both cases the values sum to `probability - base`.

    Args:
        model: the bundle.
        input: a text, an encoded image, or a row.
        label: the class to explain; by default the likeliest one.
        budget: about how many predictions may be spent; fewer are spent on large images.
        seed: of the random orders; the same seed gives the same values.

    Returns:
        The parts and their values. Image regions are named `x0,y0,x1,y1` in pixels of the model's input
        size, the right and lower edges not included.

    Raises:
        InvalidInput: the input is not what the model takes, or `label` is none of its classes.
        PredictionFailed: the model raised.
    """
    classes = model.manifest.classes
    if label is not None and not classes:
        raise InvalidInput("the model predicts a number: it has no class that could be explained")
    if label is not None and label not in classes:
        raise InvalidInput(f"{label[:100]!r} is none of the model's classes: {', '.join(classes[:20])}")
    spec = model.manifest.preprocessing
    if isinstance(spec, TextHashing):
        parts, coalitions = _text_game(spec, input)
    elif isinstance(spec, TextTokens):
        parts, coalitions = _encoder_game(spec, input)
        budget = min(budget, max(256, _ENCODER_TOKENS // max(1, len(parts))))
    elif isinstance(spec, ImageScaling):
        parts, coalitions = _image_game(spec, input)
        budget = min(budget, _IMAGE_PIXELS // (spec.height * spec.width))
    else:
        parts, coalitions = _table_game(spec, input)

    players = len(parts)
    ends = np.array([[False] * players, [True] * players])
    nothing, everything = model.run(coalitions(ends)).astype(np.float64)
    column = int(everything.argmax()) if label is None else classes.index(label)
    base, probability = float(nothing[column]), float(everything[column])

    def value(masks: np.ndarray) -> np.ndarray:
        return _values(model, coalitions, masks, column)

    if 2**players <= max(budget, 2):
        values, method = _exact(value, players), "exact Shapley values"
    else:
        pairs = max(1, budget // (2 * (players - 1)))
        values = _sampled(value, players, pairs, base, probability, np.random.default_rng(seed))
        method = f"Shapley values from {pairs} antithetic pairs of permutations"
    return Attribution(
        label=classes[column] if classes else "",
        method=method,
        base=base,
        probability=probability,
        parts=parts,
        values=tuple(values.tolist()),
    )


# --- what the parts are -------------------------------------------------------------------------------


def _text_game(spec: TextHashing, text: str) -> tuple[tuple[str, ...], Coalitions]:
    parts = tuple(text_tokens(spec, text))
    ids = np.array(hash_text(spec, text), np.int64)
    spans = np.array(gram_spans(spec, len(parts)), np.int64).reshape(-1, 2)

    def coalitions(masks: np.ndarray) -> Arrays:
        present = np.concatenate([np.zeros((len(masks), 1), np.int64), masks.cumsum(axis=1)], axis=1)
        whole = present[:, spans[:, 1]] - present[:, spans[:, 0]] == spans[:, 1] - spans[:, 0]
        tokens = np.where(whole, ids, 0)
        return {"tokens": tokens if tokens.shape[1] else np.zeros((len(masks), 1), np.int64)}

    return parts, coalitions


def _encoder_game(spec: TextTokens, text: str) -> tuple[tuple[str, ...], Coalitions]:
    """Words are gaps where they are absent: the others keep their places, and the encoder does not look at them."""
    parts, ids, owners = word_tokens(spec, as_text(text))

    def coalitions(masks: np.ndarray) -> Arrays:
        present = np.concatenate([masks, np.ones((len(masks), 1), bool)], axis=1)
        return {"tokens": np.where(present[:, owners], ids, 0)}

    return parts, coalitions


def _image_game(spec: ImageScaling, data: bytes) -> tuple[tuple[str, ...], Coalitions]:
    pixels = decode_image(spec, data)
    fill = np.median(pixels, axis=(0, 1)).astype(np.uint8)
    columns, rows = _edges(spec.width), _edges(spec.height)
    region = np.zeros((spec.height, spec.width), np.int64)
    parts: list[str] = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            region[top:bottom, left:right] = len(parts)
            parts.append(f"{left},{top},{right},{bottom}")

    def coalitions(masks: np.ndarray) -> Arrays:
        return {"pixels": np.where(masks[:, region][..., np.newaxis], pixels, fill)}

    return tuple(parts), coalitions


def _edges(length: int) -> list[int]:
    regions = min(GRID, length)
    return [round(index * length / regions) for index in range(regions + 1)]


def _table_game(spec: TableEncoding, row: Any) -> tuple[tuple[str, ...], Coalitions]:
    actual = encode(spec, [row])
    typical = encode(spec, [[spec.typical.get(name) for name in spec.features]])
    place = {name: index for index, name in enumerate(spec.features)}
    players = {
        "numeric": [place[name] for name in spec.numeric],
        "categories": [place[name] for name in spec.categories],
    }

    def coalitions(masks: np.ndarray) -> Arrays:
        return {
            name: np.where(masks[:, players[name]], array, typical[name]) for name, array in actual.items()
        }

    return spec.features, coalitions


# --- Shapley values -----------------------------------------------------------------------------------


def _values(model: BundleModel, coalitions: Coalitions, masks: np.ndarray, column: int) -> np.ndarray:
    """Predict many coalitions, as many at once as fit the memory that this may take."""
    row_elements = sum(array.size for array in coalitions(masks[:1]).values())
    at_once = max(1, min(512, _ELEMENTS_AT_ONCE // row_elements))
    return np.concatenate(
        [
            model.run(coalitions(masks[start : start + at_once]))[:, column].astype(np.float64)
            for start in range(0, len(masks), at_once)
        ]
    )


def _exact(value: Value, players: int) -> np.ndarray:
    """Shapley values from all coalitions: float64 (players,)."""
    numbers = np.arange(2**players)
    masks = (numbers[:, np.newaxis] >> np.arange(players) & 1).astype(bool)
    worth = value(masks)
    sizes = masks.sum(axis=1)
    weights = np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])
    values = np.zeros(players)
    for player in range(players):
        without = numbers[~masks[:, player]]
        values[player] = weights[sizes[without]] @ (worth[without | 1 << player] - worth[without])
    return values


def _sampled(
    value: Value, players: int, pairs: int, base: float, probability: float, random: np.random.Generator
) -> np.ndarray:
    """Shapley values from random orders and their reverses: float64 (players,)."""
    forward = random.permuted(np.tile(np.arange(players), (pairs, 1)), axis=1)
    orders = np.concatenate([forward, forward[:, ::-1]])
    # Player p is in the coalition of step s if it is among the first s of its order; the two ends are known.
    rank = orders.argsort(axis=1)
    masks = rank[:, np.newaxis, :] < np.arange(1, players)[:, np.newaxis]
    worth = np.empty((len(orders), players + 1))
    worth[:, 0], worth[:, -1] = base, probability
    worth[:, 1:-1] = value(masks.reshape(-1, players)).reshape(len(orders), players - 1)
    gains = np.diff(worth, axis=1)
    return np.asarray(np.take_along_axis(gains, rank, axis=1).mean(axis=0))
