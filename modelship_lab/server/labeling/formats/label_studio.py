"""Label Studio: a JSON list of tasks with annotations and predictions, images beside it if there are any.

The newest annotation of a task that was not cancelled is its label; the newest prediction becomes a suggestion.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from modelship_lab.records.base import medium_of
from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import Kind, Project
from modelship_lab.server.labeling.formats.archive import Archive, ImageRows, Zip, pieces_of
from modelship_lab.server.labeling.formats.coco import pixels
from modelship_lab.server.labeling.formats.json import Elements, JsonWriter, items_of
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import BATCH_BYTES, BATCH_ROWS, Batch, Problems

_RESULTS: dict[Kind, tuple[tuple[str, ...], str]] = {
    "label": (("choices",), "choices"),
    "labels": (("choices", "taxonomy"), "choices"),
    "spans": (("labels", "hypertextlabels"), "labels"),
    "boxes": (("rectanglelabels",), "rectanglelabels"),
    "number": (("number",), "number"),
}
"""For each kind of label the types of results that are read, and the one that is written."""

_COLUMNS = ("label", "prediction", "confidence")
_SAID = ("name", "group", "split")
TASKS = "tasks.json"


class _Tasks:
    """What tasks say."""

    def __init__(self, project: Project) -> None:
        self._kind = project.kind
        self._types, self._written = _RESULTS[project.kind]

    def row(self, task: Any, content: str) -> dict[str, Any]:
        """The label, prediction and confidence of a task, of which `content` of its data is labeled.

        Raises:
            InvalidInput: it is none, or says what this project has no place for.
        """
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise InvalidInput("a task with `data` is expected")
        data = task["data"]
        meta = task.get("meta") if isinstance(task.get("meta"), dict) else {}
        said = {
            name: str(meta[name]) for name in _SAID if isinstance(meta, dict) and meta.get(name) is not None
        }
        annotations = [
            one
            for one in _dicts(task.get("annotations") or task.get("completions"))
            if not one.get("was_cancelled")
        ]
        predictions = _dicts(task.get("predictions"))
        text = data.get(content)
        label = self._value(annotations[-1], text) if annotations else None
        prediction = self._value(predictions[-1], text) if predictions else None
        return {
            **said,
            "label": label,
            "prediction": prediction,
            "confidence": predictions[-1].get("score") if predictions else None,
        }

    def _value(self, annotation: dict[str, Any], text: Any) -> Any:
        found: list[Any] = []
        for result in _dicts(annotation.get("result")):
            value = result.get("value")
            if result.get("type") not in self._types or not isinstance(value, dict):
                continue
            if self._kind == "number":
                return value.get(self._written)
            names = value.get(str(result["type"])) or value.get(self._written) or []
            if self._kind in ("label", "labels"):
                found += [name[-1] if isinstance(name, list) and name else name for name in names]
                continue
            for name in names[:1]:
                part = self._span(value, text) if self._kind == "spans" else _box(value)
                found.append({**part, "label": name})
        return found if self._kind != "number" else None

    @staticmethod
    def _span(value: dict[str, Any], text: Any) -> dict[str, Any]:
        try:
            start, end = int(value["start"]), int(value["end"])
        except (KeyError, TypeError, ValueError):
            raise InvalidInput("a span has not a start and an end in characters") from None
        meant = value.get("text")
        if isinstance(text, str) and isinstance(meant, str) and text[start:end] != meant:
            # Offsets that a browser has counted are of UTF-16.
            units = text.encode("utf-16-le")
            if units[2 * start : 2 * end].decode("utf-16-le", "replace") == meant:
                start = len(units[: 2 * start].decode("utf-16-le", "replace"))
                end = start + len(meant)
        return {"start": start, "end": end}


class LabelStudioReader:
    """Tasks of texts or of tables.

    Raises:
        InvalidData: the project is one of images, which a JSON file does not hold.
    """

    untyped = False

    def __init__(self, path: Path, project: Project) -> None:
        self._path = path
        self._tasks = _Tasks(project)
        task = project.require_task()
        if medium_of(task) == "image":
            raise InvalidData(
                "The images are not in the JSON file: import a folder or zip file that holds it and the images."
            )
        self._text = "" if medium_of(task) == "table" else self._text_key()
        data = [self._text] if self._text else self._data_keys()
        # Marked, since data may have such names, too.
        self.roles = {name: f"${name}" for name in (*_COLUMNS, *_SAID)}
        self.columns = [*data, *self.roles.values()]
        if self._text:
            self.roles["text"] = self._text

    def _text_key(self) -> str:
        for task in items_of(self._path, "item"):
            data = task.get("data") if isinstance(task, dict) else None
            texts = (
                [name for name, value in data.items() if isinstance(value, str)]
                if isinstance(data, dict)
                else []
            )
            if texts:
                return "text" if "text" in texts else texts[0]
        raise InvalidData("No task has a text in its `data`.")

    def _data_keys(self) -> list[str]:
        names: dict[str, None] = {}
        for task in items_of(self._path, "item"):
            if isinstance(task, dict) and isinstance(task.get("data"), dict):
                names.update(dict.fromkeys(task["data"]))
        return list(names)

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        rows: list[int] = []
        found: list[dict[str, Any]] = []
        number = before = 0

        def batch() -> Batch:
            return Batch(rows, {name: [one.get(name) for one in found] for name in wanted}, number)

        tasks = Elements(self._path, "item")
        for number, task in enumerate(tasks, 1):
            try:
                said = self._tasks.row(task, self._text)
                found.append({**task["data"], **{f"${name}": value for name, value in said.items()}})
                rows.append(number)
            except InvalidInput as error:
                problems.add(number, error.message)
            if len(rows) >= BATCH_ROWS or tasks.position > before + BATCH_BYTES:
                yield batch()
                rows, found, before = [], [], tasks.position
        yield batch()


class LabelStudioImages(ImageRows):
    """Tasks of images, which lie in an archive beside them."""

    def __init__(self, archive: Archive, path: Path, project: Project) -> None:
        super().__init__(archive, [*_COLUMNS, "group", "split"])
        self._path = path
        self._tasks = _Tasks(project)

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        for task in items_of(self._path, "item"):
            data = task.get("data") if isinstance(task, dict) else None
            texts = {name: value for name, value in (data or {}).items() if isinstance(value, str)}
            address = texts.get("image") or next(iter(texts.values()), "")
            # From a local folder an address is `/data/local-files/?d=folder/image.png`.
            _, local, path = address.partition("?d=")
            file = unquote(path if local else address.rpartition("://")[2])
            try:
                said = self._tasks.row(task, "image")
            except InvalidInput as error:
                yield file, None, error
            else:
                yield said.pop("name", None) or file.rpartition("/")[2], self.archive.find(file), said


class LabelStudioWriter:
    """A list of tasks; for images a zip file with it and them."""

    def __init__(self, path: Path, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._type = _RESULTS[outgoing.kind][1]
        self._is_zip = outgoing.content == "image"
        self._zip = Zip(path) if self._is_zip else None
        self._tasks_path = path.with_name(f"{path.name}.tasks") if self._is_zip else path
        self._tasks = JsonWriter(self._tasks_path, outgoing, lines=False)

    def write(self, samples: Sequence[LabeledSample]) -> None:
        self._tasks.write_rows(self._task(sample) for sample in samples)

    def _task(self, sample: LabeledSample) -> dict[str, Any]:
        data: dict[str, Any]
        size: dict[str, Any] = {}
        if self._zip is not None:
            image = self._outgoing.image(sample.image or "")
            file = f"images/{self._outgoing.image_name(sample, image)}"
            self._zip.add(file, image, packed=False)
            width, height = pixels(sample, image)
            size = {"original_width": width, "original_height": height}
            data = {"image": file}
        else:
            data = {"text": sample.text} if sample.fields is None else orjson.loads(sample.fields)
        said = {name: getattr(sample, name) for name in _SAID if getattr(sample, name) is not None}
        task: dict[str, Any] = {
            "id": sample.id,
            "data": data,
            "meta": {**said, "status": sample.status, "source": sample.source, "origin": sample.origin},
            "annotations": [],
            "predictions": [],
        }
        if sample.value is not None:
            task["annotations"] = [
                {
                    "result": self._results(sample.value, sample, size),
                    "completed_by": {"email": sample.author},
                    "was_cancelled": False,
                    "ground_truth": sample.source == "gold",
                }
            ]
        if sample.suggestion is not None:
            task["predictions"] = [
                {
                    "result": self._results(sample.suggestion, sample, size),
                    "score": sample.confidence,
                    "model_version": sample.suggested_by,
                }
            ]
        return task

    def _results(self, value: Any, sample: LabeledSample, size: dict[str, Any]) -> list[dict[str, Any]]:
        target = "image" if size else "text"
        own = {"from_name": "label", "to_name": target, "type": self._type}
        if self._type == "number":
            return [{**own, "value": {"number": value}}]
        if isinstance(value, str) or self._type == "choices":
            names = [value] if isinstance(value, str) else value
            return [{**own, "value": {"choices": names}}]
        results = []
        for number, part in enumerate(value):
            if self._type == "labels":
                text = (sample.text or "")[part["start"] : part["end"]]
                said = {"start": part["start"], "end": part["end"], "text": text, "labels": [part["label"]]}
            else:
                edges = {name: part[name] * 100 for name in ("x", "y", "width", "height")}
                said = {**edges, "rotation": 0, "rectanglelabels": [part["label"]]}
            results.append({"id": f"{sample.id}-{number}", **own, **size, "value": said})
        return results

    def close(self) -> None:
        self._tasks.close()
        if self._zip is not None:
            self._zip.add_pieces(TASKS, pieces_of(self._tasks_path))
            self._zip.close()


def is_task(item: Any) -> bool:
    """Whether the element of a list is a task of Label Studio."""
    return (
        isinstance(item, dict)
        and "data" in item
        and bool({"annotations", "predictions", "completions"} & item.keys())
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _box(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("rotation"):
        raise InvalidInput("a rectangle is turned, and boxes are not")
    try:
        return {name: float(value[name]) / 100 for name in ("x", "y", "width", "height")}
    except (KeyError, TypeError, ValueError):
        raise InvalidInput("a rectangle has not x, y, width and height in percent") from None
