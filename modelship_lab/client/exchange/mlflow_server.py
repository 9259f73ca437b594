"""The REST API of an MLflow tracking server."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from modelship_lab.client.discovery import is_local
from modelship_lab.records.errors import InvalidInput, LabError, NotFound, PermissionDenied, Unavailable

_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_TIMEOUT_S = 120.0
_CHUNK = 1 << 20
_RUNS_AT_ONCE = 1000


class MlflowServer:
    """A tracking server.

    Credentials are those of MLflow's own client: in the address, or `MLFLOW_TRACKING_USERNAME` and
    `MLFLOW_TRACKING_PASSWORD`, or `MLFLOW_TRACKING_TOKEN` of the environment.

    Args:
        url: its base address.
    """

    def __init__(self, url: str) -> None:
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        username = os.environ.get("MLFLOW_TRACKING_USERNAME")
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        self._place = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/2.0/",
            auth=(username, password) if username else None,
            headers={"Authorization": f"Bearer {token}"} if token and not username else None,
            timeout=_TIMEOUT_S,
            trust_env=not is_local(url),
        )

    def close(self) -> None:
        """Give the sockets back."""
        self._http.close()

    def get(self, path: str, **params: str) -> Any:
        """One question."""
        return self._send("GET", f"mlflow/{path}", params=params).json()

    def post(self, path: str, *, repeatable: bool = True, **body: Any) -> Any:
        """One order. What is not repeatable is only sent again if the server has surely not done it."""
        return self._send("POST", f"mlflow/{path}", repeatable=repeatable, json=body).json()

    def runs_with(self, experiment: str, tag: str, value: str) -> Iterator[dict[str, Any]]:
        """The runs of an experiment that have this tag."""
        page = ""
        while True:
            asked: dict[str, Any] = {"page_token": page} if page else {}
            condition = f"tags.`{tag}` = '{value}'"
            found = self.post(
                "runs/search",
                experiment_ids=[experiment],
                filter=condition,
                max_results=_RUNS_AT_ONCE,
                **asked,
            )
            yield from found.get("runs", [])
            page = found.get("next_page_token", "")
            if not page:
                return

    def upload(self, path: str, file: Path) -> None:
        """Store a file as an artifact."""
        self._send("PUT", f"mlflow-artifacts/artifacts/{quote(path)}", file=file)

    def _send(
        self, method: str, path: str, *, repeatable: bool = True, file: Path | None = None, **arguments: Any
    ) -> httpx.Response:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _ATTEMPTS + 1):
            failure: LabError
            try:
                if file is not None:
                    arguments["content"] = _pieces(file)
                    arguments["headers"] = {"Content-Length": str(file.stat().st_size)}
                response = self._http.request(method, path, **arguments)
                if response.status_code < 400:
                    return response
                failure = self._failure(response)
                code = response.status_code
                may_repeat = code in (429, 503) or (code >= 500 and repeatable)
                pause_s = max(pause_s, _seconds(response.headers.get("Retry-After")))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                failure = Unavailable(f"No MLflow server answers at {self._place}.")
                may_repeat = True
            except httpx.TransportError as error:
                failure = Unavailable(
                    f"The connection to the MLflow server at {self._place} broke ({type(error).__name__})."
                )
                may_repeat = repeatable
            if not may_repeat or attempt == _ATTEMPTS:
                break
            time.sleep(min(pause_s, _LONGEST_PAUSE_S))
            pause_s *= 2
        raise failure

    def _failure(self, response: httpx.Response) -> LabError:
        try:
            body = response.json()
            said, code = str(body["message"])[:500], str(body.get("error_code", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            said, code = f"HTTP status {response.status_code}", ""
        where = f"The MLflow server at {self._place}"
        if response.status_code in (401, 403):
            return PermissionDenied(
                f"{where} refuses: {said}. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or MLFLOW_TRACKING_TOKEN."
            )
        if response.status_code == 404 or code == "RESOURCE_DOES_NOT_EXIST":
            return NotFound(f"{where}: {said}")
        if response.status_code == 429 or response.status_code >= 500:
            return Unavailable(f"{where} cannot answer: {said}")
        return InvalidInput(f"{where} refuses: {said}")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_CHUNK):
            yield piece


def _seconds(header: str | None) -> float:
    try:
        return float(header or 0)
    except ValueError:
        return 0.0
