"""Types of the verbs' parameters: how they are read, and how the Tab key completes them."""

import json
import time
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

_TIMEOUT_S = 0.5
_KEEP_S = 2.0

_cache: dict[str, tuple[float, list[dict[str, Any]]]] = {}


def known(path: str) -> list[dict[str, Any]]:
    """Items of a list of the API for completion: quickly, and none at all when the lab is away.

    Never starts a server: pressing Tab must have no effect.
    """
    now = time.monotonic()
    asked_at, items = _cache.get(path, (-_KEEP_S, []))
    if now - asked_at < _KEEP_S:
        return items
    items = _ask(path)
    _cache[path] = (time.monotonic(), items)
    return items


def _ask(path: str) -> list[dict[str, Any]]:
    import os

    import httpx

    from modelship_lab.client import discovery

    address = discovery.announcement(discovery.default_data_dir())
    if url := os.environ.get("MLSHIP_URL"):
        address = discovery.Address(url.rstrip("/") + "/", os.environ.get("MLSHIP_TOKEN", ""))
    if address is None:
        return []
    try:
        answer = httpx.get(
            f"{address.url}mlship/api/{path}",
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=_TIMEOUT_S,
            trust_env=not discovery.is_local(address.url),
        )
        items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    except (httpx.HTTPError, ValueError, KeyError):
        return []
    return items


def _starting_with(incomplete: str, values: list[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(value, help=text) for value, text in values if value.startswith(incomplete)]


class Named(click.ParamType[str]):
    """The name of something that the lab knows.

    Args:
        what: the word for it.
        path: the list of the API where it is found.
        describe: an item of that list as its name and a short help.
    """

    def __init__(self, what: str, path: str, describe: Callable[[dict[str, Any]], tuple[str, str]]) -> None:
        self.name = what
        self._path = path
        self._describe = describe

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _starting_with(incomplete, [self._describe(item) for item in known(self._path)])


PROJECT = Named("project", "projects?limit=500", lambda item: (item["name"], item["task"]))
MODEL = Named("model", "models", lambda item: (item["name"], f"version {item['latest']}"))
DEPLOYMENT = Named("deployment", "deployments", lambda item: (item["name"], item["status"]))


class RunNumber(click.ParamType[int]):
    """The number of a run: `12` or `run:12`."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).removeprefix("run:")
        if not text.isdecimal():
            self.fail(f"'{value}' is not the number of a run; `mlship runs` lists them.", param, ctx)
        return int(text)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        runs = [(str(item["id"]), f"{item['name']} · {item['status']}") for item in known("runs?limit=100")]
        return _starting_with(incomplete, runs)


class ModelVersion(click.ParamType[tuple[str, int | None]]):
    """A version of a model: `spam-filter/1`, or `spam-filter` for its newest."""

    name = "model/version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None]:
        name, slash, version = str(value).rpartition("/")
        if not slash:
            return str(value), None
        if not name or not version.isdecimal():
            self.fail(f"'{value}' is not a model and version, e.g. spam-filter/1.", param, ctx)
        return name, int(version)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        versions = [
            (f"{item['name']}/{version}", "")
            for item in known("models")
            for version in range(int(item["latest"]), 0, -1)
        ]
        return _starting_with(incomplete, versions)


class KeyValue(click.ParamType[tuple[str, Any]]):
    """`name=value`; the value is JSON, or text when it is not."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"'{value}' is not of the form name=value.", param, ctx)
        try:
            return name.strip(), json.loads(text)
        except ValueError:
            return name.strip(), text


RUN = RunNumber()
MODEL_VERSION = ModelVersion()
KEY_VALUE = KeyValue()
