"""The worker's HTTP interface, as a plain ASGI application.

Plain, because a single-row prediction costs some tens of microseconds and a web framework would
cost more than that again.
"""

import asyncio
import hmac
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from os import getpid
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.errors import (
    InvalidInput,
    LabError,
    NotFound,
    PayloadTooLarge,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from modelship_lab.records.serving import LATENCY_BOUNDS_MS
from modelship_lab.worker import inference_protocol
from modelship_lab.worker.dispatcher import Dispatcher
from modelship_lab.worker.explainer import Explainer
from modelship_lab.worker.inputs import Inputs, from_image, from_json
from modelship_lab.worker.statistics import Statistics

__all__ = ["MAX_BODY_BYTES", "WorkerApp"]

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024**2
BODY_WITHIN_S = 60

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_JSON: Headers = [(b"content-type", b"application/json")]
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")


class _ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class _Request(NamedTuple):
    headers: dict[bytes, bytes]
    query: bytes
    body: bytes
    started: float


class _Answer(NamedTuple):
    body: bytes
    headers: Headers = _JSON
    rows: int = 0


class WorkerApp:
    """Routes, credentials and errors of one model worker.

    Until `serve` is called every route but those of health answers 503.

    Args:
        name: of the deployment; the model's name in the Open Inference Protocol.
        model_version: what the answers name.
        key: the bearer credential.
    """

    def __init__(self, name: str, model_version: str, key: str) -> None:
        self.name = name
        self.model_version = model_version
        self.statistics = Statistics()
        self._credential = f"Bearer {key}".encode()
        self._model: BundleModel | None = None
        self._dispatcher: Dispatcher | None = None
        self._explainer: Explainer | None = None
        self._request_ids = _request_ids()
        v2_model = f"/v2/models/{name}"
        v2_version = f"{v2_model}/versions/{model_version}"
        self._measured: dict[str, Callable[[_Request], Awaitable[_Answer]]] = {
            "/predict": self._predict,
            f"{v2_model}/infer": self._infer,
            f"{v2_version}/infer": self._infer,
        }
        self._plain: dict[str, Callable[[_Request], Any]] = {
            "/stats": self._stats,
            "/v2": lambda request: inference_protocol.server_metadata(),
            "/v2/health/live": lambda request: {"live": True},
            "/v2/health/ready": self._ready,
            v2_model: self._metadata,
            v2_version: self._metadata,
            f"{v2_model}/ready": self._model_ready,
            f"{v2_version}/ready": self._model_ready,
        }

    def serve(self, model: BundleModel, dispatcher: Dispatcher, explainer: Explainer) -> None:
        """Begin to answer predictions."""
        self._model, self._dispatcher, self._explainer = model, dispatcher, explainer

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        started = perf_counter()
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        measured = self._measured.get(path) if method == "POST" else None
        given_id = headers.get(b"x-request-id")
        request_id = given_id if given_id and _REQUEST_ID.fullmatch(given_id) else next(self._request_ids)
        status = 200
        try:
            if path == "/health" and method == "GET":
                answer = _Answer(b'{"status":"ok"}')
            elif not hmac.compare_digest(headers.get(b"authorization", b""), self._credential):
                measured = None  # strangers do not show in the deployment's figures
                raise Unauthenticated("send the deployment's key as `Authorization: Bearer <key>`")
            elif measured is not None:
                body = await _read(headers, receive)
                answer = await measured(_Request(headers, scope["query_string"], body, started))
            elif method == "GET" and path in self._plain:
                request = _Request(headers, scope["query_string"], b"", started)
                answer = _Answer(orjson.dumps(self._plain[path](request)))
            else:
                raise NotFound(
                    f"{method} {path[:200]} is nothing that a model worker answers; see POST /predict"
                )
        except _ClientGone:
            return
        except LabError as error:
            status, answer = _error_answer(error, request_id)
        except Exception:
            log.exception("request %s failed", request_id.decode())
            status, answer = _error_answer(
                LabError("the model worker failed on this request; its log says more under the request id"),
                request_id,
            )
        if measured is not None:
            self.statistics.count((perf_counter() - started) * 1000, answer.rows, status >= 400)
        length = (b"content-length", b"%d" % len(answer.body))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*answer.headers, length, (b"x-request-id", request_id)],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    # --- predictions

    async def _predict(self, request: _Request) -> _Answer:
        model, dispatcher, explainer = self._loaded()
        spec = model.manifest.preprocessing
        if request.headers.get(b"content-type", b"").startswith(b"image/"):
            query = parse_qs(request.query.decode("latin-1"))
            explain = query.get("explain", ["false"])[-1].lower() in ("true", "1")
            inputs = from_image(spec, request.body, explain, query.get("class_name", [None])[-1])
        else:
            inputs = from_json(spec, request.body)
        classes = model.manifest.classes
        if inputs.class_name is not None and inputs.class_name not in classes:
            raise InvalidInput(
                f"`class_name` is none of the classes {', '.join(classes[:20])}"
                if classes
                else "the model predicts a number: leave `class_name` out"
            )
        outputs = await dispatcher.predict(inputs.values)
        said, confidence = model.reading.said(outputs), model.reading.confidence(outputs)
        probabilities = model.reading.probabilities(outputs)
        explanations = None
        if inputs.explain:
            likeliest = [classes[column] if classes else None for column in outputs.argmax(axis=1).tolist()]
            explanations = await self._explanations(explainer, inputs, likeliest)
        if inputs.single:
            answer = {
                "prediction": said[0],
                "probabilities": probabilities[0],
                "confidence": None if confidence is None else confidence[0],
                "explanation": explanations[0] if explanations else None,
            }
        else:
            answer = {
                "predictions": said,
                "probabilities": probabilities,
                "confidences": [None] * len(said) if confidence is None else confidence,
                "explanations": explanations,
                "batch_size": len(said),
            }
        answer["model_version"] = self.model_version
        answer["response_time_ms"] = round((perf_counter() - request.started) * 1000, 3)
        return _Answer(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), rows=len(said))

    async def _explanations(
        self, explainer: Explainer, inputs: Inputs, predicted: list[str | None]
    ) -> list[dict[str, Any]]:
        labels = [inputs.class_name] * len(predicted) if inputs.class_name is not None else predicted
        return [attribution.model_dump() for attribution in await explainer.explain(inputs.values, labels)]

    async def _infer(self, request: _Request) -> _Answer:
        model, dispatcher, _ = self._loaded()
        length = request.headers.get(b"inference-header-content-length")
        inference = inference_protocol.read_inference(
            model.manifest, request.body, None if length is None else length.decode("latin-1")
        )
        probabilities = await dispatcher.infer(inference.arrays)
        body, headers = inference_protocol.write_inference(
            self.name, self.model_version, inference, probabilities
        )
        return _Answer(body, headers, rows=len(probabilities))

    # --- about the worker

    def _loaded(self) -> tuple[BundleModel, Dispatcher, Explainer]:
        if self._model is None or self._dispatcher is None or self._explainer is None:
            raise Unavailable("the model worker is still loading its model")
        return self._model, self._dispatcher, self._explainer

    def _ready(self, request: _Request) -> dict[str, Any]:
        self._loaded()
        return {"ready": True}

    def _model_ready(self, request: _Request) -> dict[str, Any]:
        self._loaded()
        return {"name": self.name, "ready": True}

    def _metadata(self, request: _Request) -> dict[str, Any]:
        return inference_protocol.model_metadata(self.name, self.model_version, self._loaded()[0].manifest)

    def _stats(self, request: _Request) -> dict[str, Any]:
        since = parse_qs(request.query.decode("latin-1")).get("since", ["0"])[-1]
        if not re.fullmatch(r"[0-9]{1,18}", since):
            raise InvalidInput("`since` is a whole number of seconds since the Unix epoch")
        return {
            "started_at": self.statistics.started_at,
            "pid": getpid(),
            "seconds": self.statistics.since(int(since)),
            "histogram_bounds_ms": LATENCY_BOUNDS_MS,
        }


async def _read(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The request's body.

    Raises:
        PayloadTooLarge: before more than `MAX_BODY_BYTES` are in memory.
        TimedOut: it was not complete in time.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"the body has {int(length):,} bytes; at most {MAX_BODY_BYTES:,} are taken")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        return body
    try:
        # Without a limit a client that never sends the rest would hold up the orderly end of the worker.
        async with asyncio.timeout(BODY_WITHIN_S):
            return await _read_on(message, receive)
    except TimeoutError:
        raise TimedOut(f"the body was not complete within {BODY_WITHIN_S} s") from None


async def _read_on(message: dict[str, Any], receive: Receive) -> bytes:
    body = bytearray()
    while message["type"] != "http.disconnect":
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"the body has more than the {MAX_BODY_BYTES:,} bytes that are taken")
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()
    raise _ClientGone


def _error_answer(error: LabError, request_id: bytes) -> tuple[int, _Answer]:
    body = {
        "error": {"code": error.code, "message": error.message, "details": error.details},
        "request_id": request_id.decode(),
    }
    headers = list(_JSON)
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if error.status == 413:
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    return error.status, _Answer(orjson.dumps(body, default=str), headers)


def _request_ids() -> Iterator[bytes]:
    """Ids that differ between workers and requests without a random number for each."""
    prefix = secrets.token_hex(6).encode()
    return (b"%s-%x" % (prefix, number) for number in itertools.count(1))
