"""The worker speaks the Open Inference Protocol v2."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from modelship_lab.bundles.preprocessing import encode
from tests.bundles.examples import MIXED, TEXT
from tests.worker.conftest import Worker

INFER = "/v2/models/spam api/infer"


def tensor(name: str, datatype: str, array: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": list(np.shape(array)),
        "data": np.ravel(array).tolist(),
    }


def test_server_and_model_describe_themselves(text_worker: Worker, mixed_worker: Worker) -> None:
    client = text_worker.client
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/spam api/ready").json() == {"name": "spam api", "ready": True}
    about = client.get("/v2/models/spam api").json()
    assert about == client.get("/v2/models/spam api/versions/v3").json()
    assert about["inputs"] == [{"name": "tokens", "datatype": "INT64", "shape": [-1, -1]}]
    assert about["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert [entry["shape"] for entry in mixed_worker.client.get("/v2/models/spam api").json()["inputs"]] == [
        [-1, 2],
        [-1, 1],
    ]
    assert client.get("/v2/models/other").status_code == 404


def test_tensors_give_what_raw_inputs_give(text_worker: Worker) -> None:
    texts = ["you won a prize", "hello"]
    tokens = encode(TEXT, texts)["tokens"]
    answer = text_worker.client.post(
        INFER, json={"id": "7", "inputs": [tensor("tokens", "INT64", tokens)]}
    ).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "spam api", "v3")
    output = answer["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 3])
    expected = text_worker.predict(texts).json()["probabilities"]
    np.testing.assert_allclose(np.reshape(output["data"], (2, 3)), expected, atol=1e-6)


def test_nested_data_null_and_several_tensors(mixed_worker: Worker) -> None:
    inputs = [
        {"name": "categories", "datatype": "INT64", "shape": [1, 1], "data": [[1]]},
        {"name": "numeric", "datatype": "FP32", "shape": [1, 2], "data": [[30, None]]},
    ]
    answer = mixed_worker.client.post(INFER, json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    expected = mixed_worker.predict([30, "Bern", None]).json()["probabilities"]
    np.testing.assert_allclose(answer.json()["outputs"][0]["data"], expected, atol=1e-6)


def test_binary_tensors_in_and_out(mixed_worker: Worker) -> None:
    rows = [[1.5, "Oslo", -2], [3, None, 0.25]]
    arrays = encode(MIXED, rows)
    blobs = {name: array.tobytes() for name, array in arrays.items()}
    head = {
        "inputs": [
            {
                "name": name,
                "datatype": datatype,
                "shape": list(arrays[name].shape),
                "parameters": {"binary_data_size": len(blobs[name])},
            }
            for name, datatype in (("numeric", "FP32"), ("categories", "INT64"))
        ],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    encoded = json.dumps(head).encode()
    answer = mixed_worker.client.post(
        INFER,
        content=encoded + blobs["numeric"] + blobs["categories"],
        headers={"Inference-Header-Content-Length": str(len(encoded))},
    )
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["Inference-Header-Content-Length"])
    output = json.loads(answer.content[:length])["outputs"][0]
    assert output["parameters"]["binary_data_size"] == len(answer.content) - length == 24
    probabilities = np.frombuffer(answer.content[length:], "<f4").reshape(output["shape"])
    np.testing.assert_allclose(probabilities, mixed_worker.predict(rows).json()["probabilities"], atol=1e-6)


def good() -> dict[str, Any]:
    return tensor("numeric", "FP32", [[1, 2, 3, 4]])


BAD_REQUESTS = {
    "no inputs": {},
    "inputs no list": {"inputs": {"a": 1}},
    "empty": {"inputs": []},
    "unknown tensor": {"inputs": [good() | {"name": "x"}]},
    "no name": {"inputs": [5]},
    "twice": {"inputs": [good(), good()]},
    "datatype": {"inputs": [good() | {"datatype": "BYTES"}]},
    "shape": {"inputs": [good() | {"shape": [1, 5]}]},
    "no shape": {"inputs": [good() | {"shape": None}]},
    "negative shape": {"inputs": [good() | {"shape": [-1, 4]}]},
    "huge shape": {"inputs": [good() | {"shape": [10**18, 4]}]},
    "too few": {"inputs": [good() | {"data": [1, 2, 3]}]},
    "no data": {"inputs": [{"name": "numeric", "datatype": "FP32", "shape": [1, 4]}]},
    "texts": {"inputs": [good() | {"data": ["1", "2", "3", "4"]}]},
    "ragged": {"inputs": [good() | {"data": [[1, 2], [3]]}]},
    "objects": {"inputs": [good() | {"data": [{}, {}, {}, {}]}]},
    "too large": {"inputs": [good() | {"data": [1e39, 2, 3, 4]}]},
    "id": {"id": 5, "inputs": [good()]},
    "output": {"inputs": [good()], "outputs": [{"name": "logits"}]},
    "outputs": {"inputs": [good()], "outputs": ["probabilities"]},
    "binary size": {"inputs": [good() | {"parameters": {"binary_data_size": 16}}]},
}


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("request_body", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_requests_are_refused(numbers_worker: Worker, request_body: dict[str, Any]) -> None:
    assert_refused(numbers_worker.client.post(INFER, json=request_body))
    assert numbers_worker.client.post(INFER, json={"inputs": [good()]}).status_code == 200


@pytest.mark.parametrize("length", ["-1", "999999", "x", "0", "²"])
def test_bad_header_lengths_are_refused(numbers_worker: Worker, length: str) -> None:
    body = json.dumps({"inputs": [good()]}).encode()
    headers = {"Inference-Header-Content-Length": length.encode()}
    assert_refused(numbers_worker.client.post(INFER, content=body, headers=headers))


def test_bytes_that_belong_to_no_tensor_are_refused(numbers_worker: Worker) -> None:
    body = json.dumps({"inputs": [good()]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    assert_refused(numbers_worker.client.post(INFER, content=body + b"more", headers=headers))


@pytest.mark.parametrize("ids", [[[-1]], [[TEXT.buckets]], [[1.5]], [[0] * (TEXT.max_length + 1)], [[2**64]]])
def test_token_ids_out_of_range_are_refused(text_worker: Worker, ids: list[list[float]]) -> None:
    body = {"name": "tokens", "datatype": "INT64", "shape": [1, len(ids[0])], "data": ids}
    assert_refused(text_worker.client.post(INFER, json={"inputs": [body]}))


def test_category_codes_out_of_range_are_refused(mixed_worker: Worker) -> None:
    for code in (-1, 3):
        inputs = [tensor("numeric", "FP32", [[1, 2]]), tensor("categories", "INT64", [[code]])]
        assert_refused(mixed_worker.client.post(INFER, json={"inputs": inputs}))
