"""Labels that may be wrong, by confident learning (Northcutt et al., "Confident Learning", 2021)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from scipy import sparse

from modelship_lab.learning.jobs.features import features_of
from modelship_lab.learning.jobs.light_model import BATCH, Answers, strength_of
from modelship_lab.records.errors import Conflict, MissingDependency

MOST_TOLD = 1000


def run(folder: Path, tell: Callable[[float, str], None]) -> None:
    """Find labels in `samples.arrow` that models which have not seen them contradict with confidence.

    Raises:
        MissingDependency: the package for it is not installed.
        Conflict: there are too few labels.
    """
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        raise MissingDependency(
            'Label errors are found by cleanlab: pip install "modelship-lab[quality]" where the lab server runs.'
        ) from None
    job = orjson.loads((folder / "job.json").read_bytes())
    with pa.memory_map(str(folder / "samples.arrow")) as source:
        samples = pa.ipc.open_file(source).read_all()
        contents, sample_ids = samples["content"].to_pylist(), samples["sample_id"].to_numpy()
        answers = Answers(samples["classes"].to_pylist(), job["classes"], is_multilabel=False)
    features = features_of(job["content"], Path(job["blobs"]))
    tell(0.0, f"looking at {len(contents):,} labels")
    features.fit(contents)
    parts = [features.rows(contents[start : start + BATCH]) for start in range(0, len(contents), BATCH)]
    tell(0.2, f"learning from {len(contents):,} labels")
    held_out = answers.held_out(sparse.vstack(parts, format="csr"), strength_of(job["content"]), job["seed"])
    if (held_out.sum(1) == 0).any():
        raise Conflict("Some class has too few labels to be compared with the others. Label more of it.")
    tell(0.9, "comparing")
    found = find_label_issues(answers.known, held_out, n_jobs=1)
    scores = get_label_quality_scores(answers.known, held_out)
    worst = np.flatnonzero(found)
    worst = worst[np.argsort(scores[worst], kind="stable")]
    names = answers.learned_classes
    errors = [
        {
            "sample_id": int(sample_ids[row]),
            "label": str(names[answers.known[row]]),
            "likely": str(names[held_out[row].argmax()]),
            "score": float(scores[row]),
        }
        for row in worst[:MOST_TOLD]
    ]
    result = {
        "labels": len(contents),
        "found": len(worst),
        "accuracy": answers.accuracy(held_out),
        "errors": errors,
    }
    (folder / "result.json").write_bytes(orjson.dumps(result))
