"""Explanations are Shapley values: by definition and by formula on small inputs."""

import io
from itertools import permutations

import numpy as np
import pytest
from PIL import Image
from scipy.special import comb

from modelship_lab.bundles.explain import explain
from modelship_lab.bundles.preprocessing import encode
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.serving import Attribution
from tests.bundles.conftest import MakeModel
from tests.bundles.examples import CLASSES, MIXED, TEXT, table

GRAY = ImageScaling(height=28, width=28, channels=1)


def image(side: int = 28) -> bytes:
    pixels = np.zeros((side, side), np.uint8)
    pixels[side // 4 : side // 2, side // 4 : side // 2] = np.random.default_rng(0).integers(
        100, 255, (side // 4,) * 2
    )
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def assert_efficient(attribution: Attribution) -> None:
    assert sum(attribution.values) == pytest.approx(attribution.probability - attribution.base, abs=1e-9)


def test_features_agree_with_the_definition(make_model: MakeModel) -> None:
    """Average each feature's gain over all orders, predicting raw rows one by one."""
    model = make_model(MIXED)
    row = {"age": -1.0, "city": "Bern", "income": 1.5}
    attribution = explain(model, row, label="other")
    expected = dict.fromkeys(row, 0.0)
    for order in permutations(row):
        cells = dict(MIXED.typical)
        before = model.probabilities([cells])[0, 2]
        for name in order:
            cells[name] = row[name]
            after = model.probabilities([cells])[0, 2]
            expected[name] += (after - before) / 6
            before = after
    assert attribution.parts == MIXED.features
    assert attribution.method == "exact Shapley values"
    np.testing.assert_allclose(attribution.values, [expected[name] for name in attribution.parts], atol=1e-6)
    assert_efficient(attribution)


@pytest.mark.parametrize("features", [4, 10])
def test_exact_values_agree_with_shapleys_formula(make_model: MakeModel, features: int) -> None:
    model = make_model(table(features))
    row = np.random.default_rng(1).normal(0, 1, features)
    coalitions = np.arange(2**features)
    is_in = (coalitions[:, np.newaxis] >> np.arange(features)) & 1
    worth = model.probabilities(np.where(is_in, row, 0.5).tolist())
    expected = np.empty((features, len(CLASSES)))
    for feature in range(features):
        without = coalitions[is_in[:, feature] == 0]
        gains = worth[without + 2**feature] - worth[without]
        weights = 1 / (features * comb(features - 1, is_in[without].sum(1)))
        expected[feature] = weights @ gains
    for column, label in enumerate(CLASSES):
        attribution = explain(model, row.tolist(), label=label)
        np.testing.assert_allclose(attribution.values, expected[:, column], atol=1e-6)
        assert attribution.base == pytest.approx(worth[0, column], abs=1e-6)


def test_sampled_values_approach_the_exact_ones(make_model: MakeModel) -> None:
    model = make_model(table(10))
    row = np.random.default_rng(2).normal(0, 1, 10).tolist()
    exact = explain(model, row)
    errors = []
    for budget in (200, 1000):
        few = [explain(model, row, budget=budget, seed=seed) for seed in range(5)]
        assert all("permutations" in attribution.method for attribution in few)
        for attribution in few:
            assert_efficient(attribution)
        errors.append(
            np.mean([np.abs(np.subtract(attribution.values, exact.values)).mean() for attribution in few])
        )
    scale = np.abs(exact.values).max()
    assert errors[1] < errors[0] and errors[1] < 0.05 * scale


def test_tokens_agree_with_the_definition(make_model: MakeModel) -> None:
    """With single words only, an absent token is a text without it."""
    model = make_model(TEXT.model_copy(update={"max_ngram": 1}))
    words = ["you", "won", "!"]
    attribution = explain(model, "You won!", label="spam")
    expected = np.zeros(3)
    for order in permutations(range(3)):
        for step, player in enumerate(order):
            with_it = sorted(order[: step + 1])
            texts = [" ".join(words[i] for i in with_it if i != player), " ".join(words[i] for i in with_it)]
            without, after = model.probabilities(texts)[:, 1]
            expected[player] += (after - without) / 6
    assert attribution.parts == ("you", "won", "!")
    np.testing.assert_allclose(attribution.values, expected, atol=1e-6)


@pytest.mark.parametrize("text", ["", "one", "buy " * 60, "a, b; " * 200])
def test_texts_of_all_lengths_are_efficient(make_model: MakeModel, text: str) -> None:
    model = make_model(TEXT)
    attribution = explain(model, text)
    probabilities = model.probabilities([text])[0]
    assert attribution.label == CLASSES[int(probabilities.argmax())]
    assert attribution.probability == pytest.approx(probabilities.max(), abs=1e-6)
    assert len(attribution.values) == len(attribution.parts)
    assert_efficient(attribution)


def test_image_regions_cover_the_image_and_blank_ones_do_nothing(make_model: MakeModel) -> None:
    attribution = explain(make_model(GRAY), image())
    covered = np.zeros((28, 28), int)
    for part, value in zip(attribution.parts, attribution.values, strict=True):
        left, top, right, bottom = map(int, part.split(","))
        covered[top:bottom, left:right] += 1
        if not encode(GRAY, [image()])["pixels"][0, top:bottom, left:right].any():
            assert value == pytest.approx(0, abs=1e-6)
    assert (covered == 1).all()
    assert max(map(abs, attribution.values)) > 0.001
    assert_efficient(attribution)


def test_same_seed_same_values(make_model: MakeModel) -> None:
    model = make_model(TEXT)
    text = " ".join(f"w{number}" for number in range(40))
    assert explain(model, text, seed=3) == explain(model, text, seed=3)
    assert explain(model, text, seed=3) != explain(model, text, seed=4)


def test_unknown_class_and_bad_input_are_the_callers_errors(make_model: MakeModel) -> None:
    model = make_model(TEXT)
    with pytest.raises(InvalidInput, match="none of the model's classes"):
        explain(model, "a", label="eggs")
    with pytest.raises(InvalidInput):
        explain(model, 5)
    with pytest.raises(InvalidInput):
        explain(make_model(MIXED), [1])
