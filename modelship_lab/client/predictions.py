"""What a deployment is asked, and what it answers."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from modelship_lab.client.runs import as_json
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.serving import Prediction


def as_input(data: Any) -> Any:
    """An input, or a list of them, as JSON."""
    if isinstance(data, Path):
        try:
            data = data.expanduser().read_bytes()
        except OSError as error:
            raise InvalidInput(f"The image {data} cannot be read: {error.strerror}.") from error
    if isinstance(data, (bytes, bytearray, memoryview)):
        return {"image": base64.b64encode(data).decode()}
    if isinstance(data, Mapping):
        return {str(name): as_json(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [as_input(one) for one in data]
    return as_json(data)


def as_predictions(answer: Mapping[str, Any]) -> Prediction | list[Prediction]:
    """A worker's answer: a prediction for one input, a list of them for a list of inputs."""
    if "predictions" not in answer:
        # It may say more than a Prediction holds.
        known = {name: value for name, value in answer.items() if name in Prediction.model_fields}
        return Prediction.model_validate(known)
    count = len(answer["predictions"])
    rows = zip(
        answer["predictions"],
        answer["probabilities"],
        answer["confidences"],
        answer.get("explanations") or [None] * count,
        strict=True,
    )
    return TypeAdapter(list[Prediction]).validate_python(
        [
            {
                "prediction": prediction,
                "probabilities": probabilities,
                "confidence": confidence,
                "explanation": explanation,
                "model_version": answer.get("model_version", ""),
                "response_time_ms": answer.get("response_time_ms", 0.0),
            }
            for prediction, probabilities, confidence, explanation in rows
        ]
    )
