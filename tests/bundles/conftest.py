"""Loaded bundles for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.bundle import ImageScaling, Preprocessing, TextHashing
from tests.bundles.examples import image_model, table_model, text_model, write

MakeModel = Callable[[Preprocessing], BundleModel]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    def make(spec: Preprocessing) -> BundleModel:
        if isinstance(spec, TextHashing):
            folder = write(tmp_path / "text", "text_classification", spec, text_model(spec))
        elif isinstance(spec, ImageScaling):
            folder = write(tmp_path / "image", "image_classification", spec, image_model(spec))
        else:
            folder = write(tmp_path / "table", "tabular_classification", spec, table_model(spec))
        return BundleModel(folder)

    return make
