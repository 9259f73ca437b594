"""An exported model that disagrees with its source is refused, and the message says where."""

from collections.abc import Callable

import numpy as np
import pytest

from modelship_lab.bundles.parity import check_parity
from modelship_lab.bundles.preprocessing import Arrays, encode
from modelship_lab.bundles.session import open_session, run_session
from modelship_lab.records.errors import ExportFailed
from tests.bundles.examples import TEXT, text_model

TEXTS = [f"word{number} " * (number % 9 + 1) for number in range(30)]
INPUTS = encode(TEXT, TEXTS)


@pytest.fixture
def source() -> Callable[[Arrays], np.ndarray]:
    session = open_session(text_model())
    return lambda arrays: run_session(session, arrays)


def test_equal_models_pass_at_every_batch_size(source) -> None:
    sizes = set()

    def watched(arrays: Arrays) -> np.ndarray:
        sizes.add(len(arrays["tokens"]))
        return source(arrays)

    parity = check_parity(watched, text_model(), INPUTS)
    assert parity.rows == 30 and parity.batch_sizes == (1, 7, 64)
    assert parity.label_flips == 0 and parity.max_difference <= 1e-6
    assert {1, 7, 64} <= sizes


def test_difference_is_located(source) -> None:
    def off(arrays: Arrays) -> np.ndarray:
        probabilities = source(arrays).copy()
        probabilities[(arrays["tokens"][:, 0] == INPUTS["tokens"][11, 0]), 2] += 0.01
        return probabilities

    with pytest.raises(ExportFailed, match="batch size 1, row 11, class 2"):
        check_parity(off, text_model(), INPUTS)


def test_difference_at_one_batch_size_only(source) -> None:
    def off(arrays: Arrays) -> np.ndarray:
        return source(arrays) + (0.001 if len(arrays["tokens"]) == 64 else 0)

    with pytest.raises(ExportFailed, match="batch size 64"):
        check_parity(off, text_model(), INPUTS)


def test_flip_within_tolerance_is_refused() -> None:
    session = open_session(text_model())
    near = {"tokens": np.zeros((1, 1), np.int64)}  # nothing scores, so all classes are equally likely

    def flipped(arrays: Arrays) -> np.ndarray:
        return run_session(session, arrays) + np.array([0, 0, 1e-6], np.float32)

    with pytest.raises(ExportFailed, match="flips"):
        check_parity(flipped, text_model(), near)


def test_not_a_number_is_refused(source) -> None:
    with pytest.raises(ExportFailed, match="nan"):
        check_parity(lambda arrays: source(arrays) * np.nan, text_model(), INPUTS)


def test_other_shape_and_no_rows_are_refused(source) -> None:
    with pytest.raises(ExportFailed, match="shape"):
        check_parity(lambda arrays: source(arrays)[:, :2], text_model(), INPUTS)
    with pytest.raises(ExportFailed, match="no rows"):
        check_parity(source, text_model(), {"tokens": np.zeros((0, 1), np.int64)})
