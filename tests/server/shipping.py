"""From a hand-made bundle to a registered model and a deployment, through the API."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from modelship_lab.bundles.pack import to_tar
from tests.bundles.examples import TEXT, text_model, write


def text_bundle(folder: Path, seed: int = 0) -> bytes:
    """The tar of a small text model; each seed is another model."""
    return tar_of(write(folder, "text_classification", TEXT, text_model(seed=seed)))


def tar_of(folder: Path) -> bytes:
    tar = io.BytesIO()
    to_tar(folder, tar)
    return tar.getvalue()


def exported_run(client: httpx.Client, tar: bytes) -> int:
    run = client.post("runs", json={"name": "by hand"}).raise_for_status().json()["id"]
    client.put(f"runs/{run}/bundle", content=tar).raise_for_status()
    return run


def registered(client: httpx.Client, folder: Path, name: str, seed: int = 0, **more: Any) -> str:
    """A registered text model, as `name/version`."""
    run = exported_run(client, text_bundle(folder / f"{name}-{seed}", seed))
    model = client.post("models", json={"name": name, "run_id": run, **more}).raise_for_status().json()
    return f"{model['model']}/{model['version']}"


@contextmanager
def served(client: httpx.Client, bundle: Path, name: str) -> Iterator[None]:
    """A deployment of the bundle in a folder, for as long as the block lasts."""
    run = exported_run(client, tar_of(bundle))
    client.post("models", json={"name": name, "run_id": run}).raise_for_status()
    deployed(client, f"{name}/1", name)
    try:
        yield
    finally:
        client.delete(f"deployments/{name}").raise_for_status()


def deployed(client: httpx.Client, model: str, name: str, **settings: Any) -> dict[str, Any]:
    """A deployment that answers."""
    client.post("deployments", json={"model": model, "name": name, **settings}).raise_for_status()
    deployment = settled(client, name)
    assert deployment["status"] == "ready", deployment["error"]
    return deployment


def settled(client: httpx.Client, name: str) -> dict[str, Any]:
    """A deployment once it is no longer starting."""
    deployment = client.get(f"deployments/{name}", params={"wait_s": 50}).raise_for_status().json()
    assert deployment["status"] != "starting"
    return deployment


def worker_processes(data_dir: Path, part: str = "") -> list[psutil.Process]:
    """The model workers of a lab whose command line has this part."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            line = " ".join(command)
            if "modelship_lab.worker" in command and str(data_dir) in line and part in line:
                found.append(process)
        except psutil.Error:
            continue
    return found
