"""MLflow's words for what the lab has, and the other way round."""

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.tracking import MLFLOW_ORIGIN, RunStatus

STATUSES: dict[str, RunStatus] = {
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "stopped",
}
TO_STATUS: dict[RunStatus, str] = {
    "running": "RUNNING",
    "unreachable": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
}
NOTE = "mlflow.note.content"
RUN_NAME = "mlflow.runName"
PARENT = "mlflow.parentRunId"
LOGGED_IMAGES = "mlflow.loggedImages"
"""Has MLflow show the images that `artifact_path` names."""
SYSTEM = "mlflow."
OURS = "mlship."
ORIGIN_TAG = MLFLOW_ORIGIN
PARENT_TAG = "mlship.parent"
"""What `mlflow.parentRunId` will say when the parent is there, too."""
DONE_TAG = "mlship.exported"
_RECORD = "mlship.run."
_PIECE = 4_500
"""Characters of one tag; MLflow takes 5,000, later versions more."""
_IMAGE = re.compile(
    r"images/(?P<key>[^/]+?)(?P<sign>[+%])step(?P=sign)(?P<step>-?\d+)(?P=sign)timestamp(?P=sign)\d+(?P=sign)"
    r"[^/+%]+(?P<suffix>\.\w+)"
)
"""What `mlflow.log_image` names a picture of a step; the sign was % once, and / in a key # instead of ~."""
_WORDS = {"True": True, "False": False, "None": None}


def param_of(text: str) -> Any:
    """A parameter as MLflow keeps it: a number or a word of Python only if its text is exactly this one."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        whole = int(text)
        if str(whole) == text and abs(whole) < 1 << 53:
            return whole
    except ValueError:
        pass
    try:
        value = float(text)
        # JSON has no word for what is not finite.
        if repr(value) == text and value - value == 0:
            return value
    except ValueError:
        pass
    return text


def param_text(value: Any) -> str:
    """A parameter as the text that MLflow's own client would make of it; containers are JSON."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def metric_key(name: str, context: Mapping[str, str]) -> str:
    """A metric and its context as one name, in which slashes make sections of charts: `subset:val/loss`."""
    return "/".join([*(f"{key}:{value}" for key, value in sorted(context.items())), name])


def artifact_path(artifact: Artifact) -> str:
    """Where an artifact lies; MLflow knows steps of images only, which it finds by their names."""
    if artifact.step is None:
        return artifact.name
    path = PurePosixPath(artifact.name)
    if artifact.kind != "image":
        return str(path.with_name(f"{path.stem}-step-{artifact.step}{path.suffix}"))
    key = str(path.with_suffix("")).removeprefix("images/").replace("/", "~")
    moment = int(artifact.created_at.timestamp() * 1000)
    unique = f"{artifact.digest[:8]}-{artifact.digest[8:12]}"
    return f"images/{key}+step+{artifact.step}+timestamp+{moment}+{unique}{path.suffix or '.png'}"


def image_of(path: str) -> tuple[str, int] | None:
    """The lab's name and the step of a picture that `mlflow.log_image` has named; None for any other file."""
    found = _IMAGE.fullmatch(path)
    if found is None:
        return None
    return f"images/{re.sub('[~#]', '/', found['key'])}{found['suffix']}", int(found["step"])


def tags_of(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The tags that a user has given, in the lab's words: `key=value`, or the key when there is no value."""
    return tuple(
        f"{key}={value}" if value else key
        for key, value in tags.items()
        if not key.startswith((SYSTEM, OURS))
    )


def tags_from(tags: tuple[str, ...], known: Mapping[str, str]) -> dict[str, str]:
    """The lab's tags in MLflow's words.

    Args:
        known: the tags that the run had in MLflow, if it comes from there: what is said twice means them.
    """
    meant = {f"{key}={value}" if value else key: (key, value) for key, value in known.items()}
    found = {}
    for tag in tags:
        key, _, value = tag.partition("=")
        key, value = meant.get(tag, (key, value))
        found[key] = value
    return found


def record_tags(record: Mapping[str, Any]) -> dict[str, str]:
    """A lab's run as tags, so that nothing of it is lost in a system that has fewer words."""
    text = json.dumps(record, ensure_ascii=True)
    return {
        f"{_RECORD}{number}": text[start : start + _PIECE]
        for number, start in enumerate(range(0, len(text), _PIECE))
    }


def record_of(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """What `record_tags` has kept, or None.

    Raises:
        ValueError: some of it is missing or damaged.
    """
    pieces = {key: value for key, value in tags.items() if key.startswith(_RECORD)}
    if not pieces:
        return None
    try:
        record = json.loads("".join(pieces[f"{_RECORD}{number}"] for number in range(len(pieces))))
    except KeyError as error:
        raise ValueError(f"the tag {error.args[0]} is missing") from None
    if not isinstance(record, dict):
        raise ValueError(f"the tags {_RECORD}* hold no run")
    return record
