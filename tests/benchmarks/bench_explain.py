"""How long an explanation takes, next to the shap library's sampling with as many predictions.

Run as `python -m tests.benchmarks.bench_explain`; prints one JSON line, times in milliseconds.
"""

import io
import json
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from modelship_lab.bundles.explain import explain
from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.bundle import ImageScaling
from tests.bundles.examples import TEXT, image_model, table, table_model, text_model, write

GRAY = ImageScaling(height=28, width=28, channels=1)
LARGE = ImageScaling(height=224, width=224, channels=1)
TABLE = table(30)
REPEATS = 5


def image(side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side), np.uint8)).save(file, "PNG")
    return file.getvalue()


def median_ms(call) -> float:
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        call()
        times.append((perf_counter() - start) * 1000)
    return round(sorted(times)[REPEATS // 2], 1)


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

    row = np.random.default_rng(1).normal(0, 1, 30)
    cases = {
        "text_60_tokens": (
            "text_classification",
            TEXT,
            text_model(),
            " ".join(f"w{number}" for number in range(60)),
        ),
        "image_28": ("image_classification", GRAY, image_model(GRAY), image(28)),
        "image_224": ("image_classification", LARGE, image_model(LARGE), image(224)),
        "table_30_features": ("tabular_classification", TABLE, table_model(TABLE), row.tolist()),
    }
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (task, spec, onnx, raw) in cases.items():
            model = BundleModel(write(Path(folder) / name, task, spec, onnx))
            figures[f"{name}_ms"] = median_ms(lambda model=model, raw=raw: explain(model, raw))
        masker = shap.maskers.Independent(np.full((1, 30), 0.5))
        explainer = shap.explainers.Permutation(lambda rows: model.probabilities(rows.tolist()), masker)
        figures["shap_table_30_features_ms"] = median_ms(
            lambda: explainer(row[np.newaxis], max_evals=2048, silent=True)
        )
    print(json.dumps({"benchmark": "explain", **figures}))


if __name__ == "__main__":
    main()
