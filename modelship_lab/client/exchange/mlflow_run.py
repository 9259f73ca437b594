"""A run of MLflow, however it is stored, as the lab sees it."""

import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from modelship_lab.client.exchange.mlflow_words import (
    NOTE,
    PARENT,
    PARENT_TAG,
    RUN_NAME,
    STATUSES,
    image_of,
    param_of,
    record_of,
    tags_of,
)
from modelship_lab.client.exchange.transfer import SourceFile, SourceRun, Tally, moment_of
from modelship_lab.records.base import UtcTime
from modelship_lab.records.metrics import context_text

if TYPE_CHECKING:
    import pyarrow as pa

_TIME: TypeAdapter[datetime] = TypeAdapter(UtcTime)
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"}


@dataclass(frozen=True)
class MlflowRun:
    """What MLflow knows of a run; times are milliseconds since the epoch."""

    id: str
    name: str
    status: str
    experiment: str
    start_time: int | None
    end_time: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    facts: Mapping[str, Any]
    """The rest: user, source, entry point."""
    points: Callable[[], Iterable["pa.Table"]]
    files: Callable[[], Iterable[SourceFile]]


def source_run(run: MlflowRun, place: str, tally: Tally) -> SourceRun:
    """A run of MLflow in the lab's words; one that was exported by a lab is restored."""
    tags = dict(run.tags)
    origin: dict[str, Any] = {
        "kind": "mlflow",
        "run": run.id,
        "experiment": run.experiment,
        "tags": tags,
        **{key: value for key, value in run.facts.items() if value},
    }
    if run.status == "SCHEDULED":
        tally.leave_out("the state 'scheduled', which is 'running' here")
    files = list(_shown(run.files()))
    images: dict[str, dict[str, str]] = {}
    for file, path in files:
        if file.name != path:
            images.setdefault(file.name, {})[str(file.step)] = path
    if images:
        origin["files"] = images
    translated = SourceRun(
        id=run.id,
        name=run.name or tags.get(RUN_NAME, ""),
        origin=origin,
        project=run.experiment,
        status=STATUSES.get(run.status, "finished"),
        started_at=moment_of(run.start_time),
        ended_at=moment_of(run.end_time),
        params={key: param_of(text) for key, text in run.params.items()},
        tags=tags_of(tags),
        notes=tags.get(NOTE, ""),
        parent=tags.get(PARENT, ""),
        points=run.points,
        files=lambda: (file for file, _ in files),
    )
    try:
        record = record_of(tags)
        return translated if record is None else _restored(translated, record, tags.get(PARENT_TAG), files)
    except (ValueError, ValidationError, TypeError, KeyError) as error:
        tally.problem(place, f"what a lab has kept of the run in its tags is damaged: {error!s:.200}")
        return translated


def _shown(files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, str]]:
    """Files as the lab shows them, and their paths in MLflow: pictures of the same name are a series of steps."""
    taken = set()
    for file in files:
        image = image_of(file.name)
        if image is not None and image not in taken:
            taken.add(image)
            yield replace(file, name=image[0], step=image[1], kind="image"), file.name
        elif (mimetypes.guess_type(file.name)[0] or "") in _IMAGES:
            yield replace(file, kind="image"), file.name
        else:
            yield file, file.name


def _restored(
    run: SourceRun, record: Mapping[str, Any], parent: str | None, found: list[tuple[SourceFile, str]]
) -> SourceRun:
    names: dict[str, str] = record.get("metric_names", {})
    contexts: dict[str, dict[str, str]] = record.get("metric_contexts", {})
    sent = set(record["sent_params"])
    known: dict[str, list[Any]] = record["files"]
    files = [
        SourceFile(known[path][0], file.content, *known[path][1:]) if path in known else file
        for file, path in found
    ]
    return replace(
        run,
        origin={
            "kind": "lab",
            "lab": record["lab_id"],
            "run": record["id"],
            **({"parent": parent} if parent else {}),
        },
        alias=run.id,
        parent=parent or run.parent,
        group=record.get("group", ""),
        id=f"{record['lab_id']}/{record['id']}",
        name=record["name"],
        project=record["project"],
        recipe=record["recipe"],
        status=record["status"],
        started_at=_time(record["started_at"]),
        ended_at=_time(record["ended_at"]),
        params={
            **record["params"],
            **{key: value for key, value in run.params.items() if key not in sent},
        },
        tags=(*record["tags"], *(tag for tag in run.tags if tag not in record["sent_tags"])),
        notes=record["notes"],
        summary=record["summary"],
        error=record["error"],
        environment=record["environment"],
        points=lambda: _renamed(run.points(), names, contexts),
        files=lambda: files,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else _TIME.validate_python(text)


def _renamed(
    tables: Iterable["pa.Table"], names: Mapping[str, str], contexts: Mapping[str, dict[str, str]]
) -> Iterator["pa.Table"]:
    import pyarrow as pa

    for table in tables:
        if names or contexts:
            encoded = table["name"].combine_chunks().dictionary_encode()
            sent = encoded.dictionary.to_pylist()
            columns = {
                "name": [names.get(name, name) for name in sent],
                "context": [context_text(contexts.get(name, {})) for name in sent],
            }
            for column, meant in columns.items():
                index = table.schema.get_field_index(column)
                values = pa.array(meant, pa.string()).take(encoded.indices)
                table = table.set_column(index, table.schema.field(index), values)
        yield table


def artifact_folder(uri: str, root: Path, base: Path) -> Path | None:
    """Where the artifacts of a run lie, if that is inside `root`: a store may name any folder of this machine.

    Args:
        uri: as the store has it: a path, `file:` or `mlflow-artifacts:`.
        root: the folder that may be read.
        base: what a relative path, or one of a tracking server, is relative to.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme == "mlflow-artifacts":
        folder = base / path.lstrip("/")
    elif parts.scheme in ("", "file"):
        folder = base / (path if parts.scheme else uri)
    else:
        return None
    folder = folder.resolve()
    return folder if folder.is_relative_to(root.resolve()) and folder.is_dir() else None


def files_below(folder: Path, tally: Tally) -> Iterator[SourceFile]:
    """All files of a folder, each named by its path in it; links that lead out of it are left out."""
    inside = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(inside):
            tally.leave_out("links that lead out of the artifacts' folder")
            continue
        yield SourceFile(path.relative_to(folder).as_posix(), path)
