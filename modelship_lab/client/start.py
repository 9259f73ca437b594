"""Runs are begun and gone on with here, by the process that executes them."""

import os
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client import environment as surroundings
from modelship_lab.client.checked import checked
from modelship_lab.client.runs import RunHandle, as_json
from modelship_lab.client.source import Source
from modelship_lab.client.system_metrics import SystemMetrics
from modelship_lab.records.processes import this_process
from modelship_lab.records.tracking import NewRun, ResumedRun, ResumeRun, Run

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab

KEY_VARIABLE = "MLSHIP_RUN_KEY"
SYSTEM_VARIABLE = "MLSHIP_SYSTEM_METRICS"
SOURCE_VARIABLE = "MLSHIP_SOURCE"

_taken_keys: set[str] = set()
"""Of the environment, by a run of this process: its other runs are others."""


def start_run(
    lab: "Lab",
    name: str,
    *,
    parent: "RunHandle | int | None",
    params: Mapping[str, Any],
    tags: Iterable[str],
    environment: Mapping[str, Any],
    key: str | None,
    system_metrics: bool | None,
    source: bool | None,
    **fields: Any,
) -> RunHandle:
    """Start a run, or go on with the one of this key; see `Lab.start_run`."""
    if key is None and parent is None:
        key = _key_of_environment()
    new = checked(
        NewRun,
        name=name,
        parent_id=parent.id if isinstance(parent, RunHandle) else parent,
        params={key: as_json(value) for key, value in params.items()},
        tags=tuple(tags),
        environment={
            **surroundings.collect(),
            **{name: as_json(value) for name, value in environment.items()},
        },
        key=key or uuid.uuid4().hex,
        heartbeats=True,
        process=this_process(),
        **fields,
    )
    run = lab.connection.record(Run, "POST", "runs", json=new, repeatable=True)
    if key is not None:
        # It may be an earlier one, which goes on after its last step.
        return resume_run(lab, run.id, system_metrics=system_metrics, source=source)
    return _accompanied(RunHandle(lab, run, own=True), system_metrics, source)


def resume_run(lab: "Lab", run_id: int, *, system_metrics: bool | None, source: bool | None) -> RunHandle:
    """Go on with a run in this process; see `Lab.resume_run`."""
    body = ResumeRun(process=this_process(), environment=surroundings.collect())
    resumed = lab.connection.record(
        ResumedRun, "POST", f"runs/{int(run_id)}/resume", json=body, repeatable=True
    )
    run = RunHandle(lab, resumed.run, own=True, next_step=resumed.next_step)
    return _accompanied(run, system_metrics, source)


def _accompanied(run: RunHandle, system_metrics: bool | None, source: bool | None) -> RunHandle:
    if _wanted(system_metrics, SYSTEM_VARIABLE):
        run.accompany(SystemMetrics(run.metric_log, run.record.started_at))
    if _wanted(source, SOURCE_VARIABLE):
        run.accompany(Source(run.save_later))
    return run


def _wanted(asked: bool | None, variable: str) -> bool:
    return os.environ.get(variable, "1") not in ("", "0", "false", "no") if asked is None else asked


def _key_of_environment() -> str | None:
    key = os.environ.get(KEY_VARIABLE) or None
    if key is None or key in _taken_keys:
        return None
    _taken_keys.add(key)
    return key
