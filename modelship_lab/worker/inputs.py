"""The body of a prediction request as inputs for the model."""

import base64
import binascii
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from modelship_lab.records.bundle import ImageScaling, Preprocessing, TableEncoding
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.serving import PredictRequest

__all__ = ["MAX_INPUTS", "Inputs", "from_image", "from_json", "load_json"]

MAX_INPUTS = 10_000
"""So many inputs one request may have."""


class Inputs(NamedTuple):
    """What a request asks for."""

    values: list[Any]
    """Raw inputs as `bundles.preprocessing.encode` takes them."""
    single: bool
    """One input was sent, not a list of them: one prediction is the answer."""
    explain: bool = False
    class_name: str | None = None


def load_json(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        InvalidInput: it is none; says where.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error}") from None


def from_json(spec: Preprocessing, body: bytes) -> Inputs:
    """Read a `PredictRequest`.

    Raises:
        InvalidInput: not JSON, not a `PredictRequest`, no inputs, too many, or images that are not base64.
    """
    request = load_json(body)
    explain, class_name = False, None
    if not isinstance(request, dict) or len(request) != 1 or "data" not in request:
        # Only a request with more than data is worth pydantic's time.
        checked = _checked(request)
        data, explain, class_name = checked.data, checked.explain, checked.class_name
    else:
        data = request["data"]
    if not isinstance(spec, TableEncoding):
        single = not isinstance(data, list)
    else:  # a list of plain values is one row
        single = not (isinstance(data, list) and data and isinstance(data[0], list | dict))
    values = [data] if single else data
    if not values or values == [[]]:
        raise InvalidInput("there is no input in `data`", [{"field": "data", "reason": "empty"}])
    if len(values) > MAX_INPUTS:
        raise InvalidInput(
            f"{len(values)} inputs are too many for one request; at most {MAX_INPUTS} are taken"
        )
    if isinstance(spec, ImageScaling):
        values = [_image(value, index) for index, value in enumerate(values)]
    return Inputs(values, single, explain, class_name)


def from_image(spec: Preprocessing, body: bytes, explain: bool, class_name: str | None) -> Inputs:
    """Take an encoded image as it is.

    Raises:
        InvalidInput: the model takes no images.
    """
    if not isinstance(spec, ImageScaling):
        raise InvalidInput("this model takes no images; send JSON with the inputs in `data`")
    return Inputs([body], True, explain, class_name)


def _checked(request: Any) -> PredictRequest:
    try:
        return PredictRequest.model_validate(request, strict=True)
    except ValidationError as error:
        problems = [
            {"field": ".".join(map(str, problem["loc"])) or "body", "reason": problem["msg"]}
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        told = "; ".join(f"{problem['field'][:100]}: {problem['reason']}" for problem in problems[:5])
        raise InvalidInput(f"the request is not understood: {told}", problems[:20]) from None


def _image(value: Any, index: int) -> bytes:
    where = f"data[{index}]"
    if not isinstance(value, dict) or value.keys() != {"image"} or not isinstance(value["image"], str):
        raise InvalidInput(
            f'input {index}: an image is sent as {{"image": "<base64>"}}',
            [{"field": where, "input": index, "reason": "not an image"}],
        )
    text = value["image"]
    if text.startswith("data:"):  # a data URL as browsers make it
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            f"input {index}: the image is not valid base64",
            [{"field": f"{where}.image", "input": index, "reason": "not valid base64"}],
        ) from None
