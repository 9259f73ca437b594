"""Predict from raw inputs with a bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelship_lab.bundles.pack import MODEL, loaded
from modelship_lab.bundles.preprocessing import Arrays, encode
from modelship_lab.bundles.reading import reading_of
from modelship_lab.bundles.session import absent, check_signature, open_session, run_session
from modelship_lab.records.errors import PredictionFailed
from modelship_lab.records.serving import Prediction

__all__ = ["BundleModel"]


class BundleModel:
    """A bundle that is loaded and answers. Safe to use from several threads.

    Args:
        folder: the bundle.
        threads: how many threads one prediction may use; by default the CPUs this process may run on.

    Raises:
        InvalidData: the bundle is damaged or its model does not fit its manifest.

    Example:
        model = BundleModel(Path("bundle"))
        model.predict(["you won a prize"])[0].prediction
    """

    chunk = 256
    """So many inputs are encoded and held in memory at a time."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.manifest = loaded(folder)
        self.session = open_session(folder / MODEL, threads)
        self.reading = reading_of(self.manifest)
        check_signature(self.session, self.manifest.preprocessing, self.reading.width)

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """Predict raw inputs: texts, encoded images, or rows.

        Returns:
            float32 (inputs, classes), the classes in the order of the manifest; or the numbers, (inputs, 1).

        Raises:
            InvalidInput: an input is not what the model takes.
            PredictionFailed: the model raised, or its answer is not a number.
        """
        parts = [
            self.run(encode(self.manifest.preprocessing, inputs[start : start + self.chunk]))
            for start in range(0, len(inputs), self.chunk)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.reading.width), np.float32)

    def run(self, arrays: Arrays) -> np.ndarray:
        """Predict an encoded batch: float32 (rows, classes).

        Raises:
            PredictionFailed: the model raised, or its answer is not a number.
        """
        probabilities = run_session(self.session, arrays)
        if not np.isfinite(probabilities).all():
            row = int(np.argmin(np.isfinite(probabilities).all(axis=1)))
            raise PredictionFailed(f"the model's answer for row {row} of the batch is not a number")
        return probabilities

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        """Predict raw inputs; raises what `probabilities` raises."""
        outputs, reading = self.probabilities(inputs), self.reading
        confidence = reading.confidence(outputs)
        sure = [None] * len(outputs) if confidence is None else confidence.tolist()
        return [
            Prediction(
                prediction=tuple(said) if isinstance(said, list) else said,
                probabilities=tuple(map(float, probabilities)),
                confidence=one,
            )
            for said, probabilities, one in zip(
                reading.said(outputs), reading.probabilities(outputs), sure, strict=True
            )
        ]

    def warm_up(self, batch_sizes: Sequence[int] = (1, 2, 16)) -> None:
        """Run the model on nothing a few times, so that the first caller does not pay for first-time work."""
        for rows in batch_sizes:
            run_session(self.session, absent(self.manifest.preprocessing, rows))
