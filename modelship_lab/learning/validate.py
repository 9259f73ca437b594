"""Have an exported model answer rows whose labels are known."""

import time
from pathlib import Path

import numpy as np

from modelship_lab.bundles.pack import MANIFEST, MODEL
from modelship_lab.bundles.parity import Model
from modelship_lab.bundles.preprocessing import encode
from modelship_lab.bundles.session import open_session, run_session
from modelship_lab.learning.data.check import usable
from modelship_lab.learning.data.file import format_of, read_data
from modelship_lab.records.base import utc_now
from modelship_lab.records.bundle import BundleManifest, TextTokens
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN
from modelship_lab.records.errors import InvalidData, InvalidInput, LabError, NotFound
from modelship_lab.records.model_export import ModelValidation

__all__ = ["validate_model"]

_BATCH = 64


def validate_model(
    model: Path,
    data: Path,
    format: str | None = None,
    *,
    text_column: str = TEXT_COLUMN,
    label_column: str = LABEL_COLUMN,
) -> ModelValidation:
    """Have a model file of an export answer the texts of a file, and compare that with their labels.

    Args:
        model: an ONNX model or TorchScript module in the folder of an export, or that folder.
        data: a file of texts and labels.

    Raises:
        NotFound: there is no such model, or it is not in the folder of an export.
        InvalidInput: it is a model of something else than texts, or no row has a label that it knows.
        InvalidData: a file cannot be read.
    """
    file = model / MODEL if model.is_dir() else model
    if not file.is_file():
        raise NotFound(f"There is no model {model}.")
    manifest = _manifest(file)
    if manifest.task != "text_classification":
        raise InvalidInput(
            f"{model} is a model for {manifest.task}: only those of texts are validated by a file."
        )
    if manifest.kind != "label":
        raise InvalidInput(
            f"{model} tells any number of classes of a text: only models of one class are validated by a file."
        )
    table = read_data(data, format_of(data, format))
    for column in (text_column, label_column):
        if column not in table.columns:
            reason = f"Column {column!r} not found in dataset. Its columns are {', '.join(table.columns)}."
            raise InvalidInput(reason, [{"field": "text_column", "reason": reason}])
    rows = usable(table, text_column, label_column)
    known = rows.filter(rows["label"].is_in(list(manifest.classes)))
    if not known.height:
        raise InvalidInput(
            f"No row of {data.name} has a label that the model knows: {', '.join(manifest.classes)}."
        )
    problems = []
    if known.height < rows.height:
        problems.append(
            f"Rows left out because the model does not know their label: {rows.height - known.height:,}."
        )
    answer = _opened(file)
    started_s = time.perf_counter()
    try:
        answers = np.concatenate(
            [
                answer(encode(manifest.preprocessing, known["text"][start : start + _BATCH].to_list()))
                for start in range(0, known.height, _BATCH)
            ]
        )
    except LabError as error:
        raise InvalidData(f"The model {file.name} does not answer: {error.message}.") from error
    took_s = time.perf_counter() - started_s
    passed = answers.shape == (known.height, len(manifest.classes)) and bool(np.isfinite(answers).all())
    if not passed:
        problems.append(f"The answers have the shape {answers.shape}, or are not all numbers.")
    labels = np.asarray([manifest.classes.index(label) for label in known["label"]])
    predicted = answers.argmax(1) if passed else np.full(len(labels), -1)
    from sklearn.metrics import f1_score

    return ModelValidation(
        model=str(model),
        format="torchscript" if file.suffix == ".pt" else "onnx",
        passed=passed,
        rows=known.height,
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(f1_score(labels, predicted, average="macro", zero_division=0)),
        per_class={
            name: float((predicted[labels == place] == place).mean())
            for place, name in enumerate(manifest.classes)
            if (labels == place).any()
        },
        rows_per_s=known.height / took_s,
        problems=tuple(problems),
        created_at=utc_now(),
    )


def _opened(file: Path) -> Model:
    if file.suffix == ".pt":
        from modelship_lab.learning.export import torchscript_model

        return torchscript_model(file.read_bytes())
    session = open_session(file)
    return lambda batch: run_session(session, batch)


def _manifest(file: Path) -> BundleManifest:
    """What says how texts become the model's arrays: it lies beside the model, or above a version of Triton's."""
    for folder in (file.parent, file.parent.parent):
        path = folder / MANIFEST
        if path.is_file():
            try:
                found = BundleManifest.model_validate_json(path.read_bytes())
            except ValueError:
                raise InvalidData(f"{path} is not a bundle's manifest.") from None
            spec = found.preprocessing
            if isinstance(spec, TextTokens):
                # The manifest of a bundle leaves the tokenizer to its file.
                tokenizer = (folder / "tokenizer.json").read_text("utf-8")
                found = found.model_copy(
                    update={"preprocessing": spec.model_copy(update={"tokenizer": tokenizer})}
                )
            return found
    raise NotFound(
        f"There is no {MANIFEST} beside {file.name}: name a model in the folder that an export has written."
    )
