"""A worker answers raw inputs with what the bundle predicts, and everything else with a clear 4xx."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.serving import Prediction
from tests.bundles.examples import CLASSES, TEXT, text_model, write
from tests.bundles.test_preprocessing import bomb
from tests.worker.conftest import KEY, Worker


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 30), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_one_text_is_a_prediction_record(text_worker: Worker, tmp_path: Path) -> None:
    answer = text_worker.predict("you won a prize")
    assert answer.status_code == 200
    prediction = Prediction.model_validate_json(answer.content)
    model = BundleModel(write(tmp_path / "same", "text_classification", TEXT, text_model()))
    expected = model.predict(["you won a prize"])[0]
    assert prediction.prediction == expected.prediction in CLASSES
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-6)
    assert prediction.confidence == max(prediction.probabilities)
    assert prediction.model_version == "v3"
    assert 0 < prediction.response_time_ms < 5000
    assert prediction.explanation is None


def test_many_texts_are_answered_in_order(text_worker: Worker) -> None:
    texts = [f"text number {number}" for number in range(300)]
    answer = text_worker.predict(texts).json()
    assert answer["batch_size"] == len(answer["predictions"]) == len(answer["probabilities"]) == 300
    assert answer["explanations"] is None
    for place in (0, 150, 299):
        alone = text_worker.predict(texts[place]).json()
        np.testing.assert_allclose(answer["probabilities"][place], alone["probabilities"], atol=1e-6)
        assert answer["predictions"][place] == alone["prediction"]
        assert answer["confidences"][place] == pytest.approx(alone["confidence"], abs=1e-6)


def test_rows_as_mapping_list_and_list_of_rows(mixed_worker: Worker) -> None:
    mapping = mixed_worker.predict({"age": 30, "city": "Bern", "income": 1.5}).json()
    one = mixed_worker.predict([30, "Bern", 1.5]).json()
    many = mixed_worker.predict([[30, "Bern", 1.5], {"age": 30, "city": "Bern", "income": 1.5}]).json()
    assert mapping["probabilities"] == one["probabilities"]
    np.testing.assert_allclose(many["probabilities"], [one["probabilities"]] * 2, atol=1e-6)


def test_image_as_base64_as_data_url_and_as_raw_body(image_worker: Worker) -> None:
    encoded = base64.b64encode(png()).decode()
    first = image_worker.predict({"image": encoded}).json()
    again = image_worker.predict([{"image": f"data:image/png;base64,{encoded}"}]).json()
    raw = image_worker.client.post("/predict", content=png(), headers={"Content-Type": "image/png"}).json()
    np.testing.assert_allclose(again["probabilities"][0], first["probabilities"], atol=1e-6)
    assert raw["prediction"] == first["prediction"]


def test_explanations_sum_to_what_they_explain(text_worker: Worker, image_worker: Worker) -> None:
    one = Prediction.model_validate_json(
        text_worker.predict("You won!", explain=True, class_name="spam").content
    )
    assert one.explanation is not None and one.explanation.label == "spam"
    assert one.explanation.parts == ("you", "won", "!")
    many = text_worker.predict(["a b", "c"], explain=True).json()
    assert [explained["label"] for explained in many["explanations"]] == many["predictions"]
    image = image_worker.client.post(
        "/predict?explain=true&class_name=ham", content=png(), headers={"Content-Type": "image/png"}
    ).json()
    for explained in (one.explanation.model_dump(), *many["explanations"], image["explanation"]):
        assert sum(explained["values"]) == pytest.approx(
            explained["probability"] - explained["base"], abs=1e-6
        )


def test_requests_at_the_same_time_get_their_own_answers(numbers_worker: Worker) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (200, 4)).round(3).tolist()
    together = numbers_worker.predict(rows).json()["probabilities"]
    with ThreadPoolExecutor(8) as threads:
        # Some of them are bad: those fail and no other does.
        answers = list(
            threads.map(lambda row: numbers_worker.predict(row if row[0] < 1.5 else [*row, 1]), rows)
        )
    for row, expected, answer in zip(rows, together, answers, strict=True):
        if row[0] < 1.5:
            np.testing.assert_allclose(answer.json()["probabilities"], expected, atol=1e-6)
        else:
            assert answer.status_code == 422


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "request_id"} and set(body["error"]) == {"code", "message", "details"}
    assert body["error"]["code"] == code and body["error"]["message"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert "Traceback" not in answer.text and ".py" not in answer.text


NUMBERS_BODIES = {
    "nothing": b"",
    "no json": b"{",
    "no object": b"[1,2]",
    "null": b"null",
    "no data": b"{}",
    "unknown field": b'{"data":[1,2,3,4],"explian":true}',
    "wrong type": b'{"data":[1,2,3,4],"explain":"maybe"}',
    "unknown class": b'{"data":[1,2,3,4],"class_name":"eggs"}',
    "null data": b'{"data":null}',
    "empty": b'{"data":[]}',
    "empty row": b'{"data":[[]]}',
    "empty mapping": b'{"data":{}}',
    "too few": b'{"data":[1,2,3]}',
    "too many": b'{"data":[[1,2,3,4,5]]}',
    "text": b'{"data":"hello"}',
    "number": b'{"data":5}',
    "number as text": b'{"data":["1","2","3","4"]}',
    "nan as text": b'{"data":["NaN",2,3,4]}',
    "nan": b'{"data":[NaN,2,3,4]}',
    "infinity": b'{"data":[1e999,2,3,4]}',
    "large": b'{"data":[1e39,2,3,4]}',
    "long integer": b'{"data":[1' + b"0" * 5000 + b",2,3,4]}",
    "deep": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested": b'{"data":[[[1],2,3,4]]}',
    "unknown feature": b'{"data":{"f0":1,"zz":2}}',
    "mixed": b'{"data":[[1,2,3,4],"x"]}',
    "not utf-8": b'{"data":"\xff\xfe"}',
    "half surrogate": b'{"data":{"\\ud800":1}}',
    "too many rows": b'{"data":[' + b",".join([b"[1,2,3,4]"] * 10_001) + b"]}",
    "too many to explain": b'{"explain":true,"data":[' + b",".join([b"[1,2,3,4]"] * 40) + b"]}",
}


@pytest.mark.parametrize("body", NUMBERS_BODIES.values(), ids=NUMBERS_BODIES.keys())
def test_hostile_bodies_are_refused_and_the_worker_lives_on(numbers_worker: Worker, body: bytes) -> None:
    assert_refused(numbers_worker.client.post("/predict", content=body), 422, "INVALID_INPUT")
    assert numbers_worker.predict([1, 2, 3, 4]).status_code == 200


@pytest.mark.parametrize(
    "data", [5, None, ["a", 3], {"text": "a"}, [["a"]], {"image": "aGk="}], ids=json.dumps
)
def test_hostile_texts_are_refused(text_worker: Worker, data: object) -> None:
    assert_refused(text_worker.predict(data), 422, "INVALID_INPUT")


def test_long_text_is_cut_and_not_refused(text_worker: Worker) -> None:
    assert text_worker.predict("word " * 1_000_000).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        "text",
        {"image": 3},
        {"image": "###"},
        {"image": "aGk"},
        {"image": ""},
        {"image": base64.b64encode(b"no image").decode()},
        {"image": base64.b64encode(png()[:60]).decode()},
        {"image": base64.b64encode(bomb()).decode()},
        {"image": base64.b64encode(png()).decode(), "more": 1},
        [{"image": base64.b64encode(png()).decode()}, {"image": "ü"}],
    ],
    ids=["text", "number", "no base64", "cut base64", "empty", "noise", "cut", "bomb", "more", "second"],
)
def test_hostile_images_are_refused(image_worker: Worker, data: object) -> None:
    assert_refused(image_worker.predict(data), 422, "INVALID_INPUT")
    assert image_worker.predict({"image": base64.b64encode(png()).decode()}).status_code == 200


@pytest.mark.parametrize("body", [b"", b"noise", bomb()], ids=["empty", "noise", "bomb"])
def test_hostile_raw_images_are_refused(image_worker: Worker, body: bytes) -> None:
    answer = image_worker.client.post("/predict", content=body, headers={"Content-Type": "image/png"})
    assert_refused(answer, 422, "INVALID_INPUT")


def test_raw_image_is_nothing_for_a_text_model(text_worker: Worker) -> None:
    answer = text_worker.client.post("/predict", content=png(), headers={"Content-Type": "image/png"})
    assert_refused(answer, 422, "INVALID_INPUT")


def test_too_large_a_body_is_refused_early(numbers_worker: Worker) -> None:
    answer = numbers_worker.client.post("/predict", content=b" " * (33 * 1024**2))
    assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
    chunks = (b" " * 1024**2 for _ in range(40))  # its length is not told before
    with suppress(httpx.TransportError):  # the connection may be closed before the client reads the answer
        assert_refused(numbers_worker.client.post("/predict", content=chunks), 413, "PAYLOAD_TOO_LARGE")
    assert numbers_worker.predict([1, 2, 3, 4]).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/stats", "/v2", "/v2/models/spam api/infer", "/nothing"])
@pytest.mark.parametrize("credential", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"bearer {KEY}x"])
def test_without_the_key_nothing_is_told(numbers_worker: Worker, path: str, credential: str | None) -> None:
    headers = {} if credential is None else {"Authorization": credential}
    for method in ("GET", "POST"):
        answer = httpx.request(method, numbers_worker.ready["address"] + path, headers=headers, content=b"{")
        assert_refused(answer, 401, "UNAUTHENTICATED")


def test_health_needs_no_key(numbers_worker: Worker) -> None:
    assert httpx.get(numbers_worker.ready["address"] + "/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "method, path", [("GET", "/predict"), ("POST", "/stats"), ("GET", "/"), ("PUT", "/v2")]
)
def test_unknown_routes(numbers_worker: Worker, method: str, path: str) -> None:
    assert_refused(numbers_worker.client.request(method, path), 404, "NOT_FOUND")


def test_request_id_is_kept_if_it_is_harmless(numbers_worker: Worker) -> None:
    kept = numbers_worker.client.get("/stats", headers={"X-Request-ID": "lab-7.a"})
    assert kept.headers["X-Request-ID"] == "lab-7.a"
    replaced = numbers_worker.client.get("/stats", headers={"X-Request-ID": "a b<script>"})
    assert replaced.headers["X-Request-ID"] != "a b<script>"
