"""What dialects ask of runs and metrics, and what only shows inside the process."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelship_lab.records.errors import Conflict, NotFound, PermissionDenied
from modelship_lab.records.labeling import NewProject, ProjectChange
from modelship_lab.records.metrics import MetricPoint, MetricPoints
from modelship_lab.records.tracking import NewRun, Run, RunChange, WantedRuns
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import OWNER, REGISTERED, Caller
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.storage.database import Database
from modelship_lab.server.tracking import heartbeats as heartbeats_module
from modelship_lab.server.tracking import liveness
from modelship_lab.server.tracking.heartbeats import Heartbeats
from modelship_lab.server.tracking.metrics import RunMetrics
from modelship_lab.server.tracking.recent_runs import RecentRuns
from modelship_lab.server.tracking.runs import Runs
from modelship_lab.server.tracking.series import MetricSeries

ALICE = Caller(account_id=7, name="alice", permissions=REGISTERED, credential="session:a")
BOB = Caller(account_id=8, name="bob", permissions=REGISTERED, credential="session:b")


@dataclass
class Tracking:
    database: Database
    projects: Projects
    runs: Runs
    heartbeats: Heartbeats
    metrics: RunMetrics
    series: MetricSeries


@pytest.fixture
def with_tracking(tmp_path: Path) -> Callable[[Callable[[Tracking], Awaitable[None]]], None]:
    """Run something with the services of tracking on a database of its own."""

    def run(work: Callable[[Tracking], Awaitable[None]]) -> None:
        database = Database(tmp_path / "lab.duckdb")
        events = EventLog(database)
        runs = Runs(database, events)
        heartbeats = Heartbeats(database, events, runs)
        metrics = RunMetrics(database, heartbeats, lambda *_: None)
        series = MetricSeries(database, runs)
        try:
            asyncio.run(
                work(Tracking(database, Projects(database, events), runs, heartbeats, metrics, series))
            )
        finally:
            database.close()

    return run


def points(*values: tuple) -> MetricPoints:
    return MetricPoints(
        points=tuple(MetricPoint(name=name, value=value, time=time) for name, value, time in values)
    )


def test_points_are_numbered_by_arrival_and_told_by_time(with_tracking) -> None:
    async def work(lab: Tracking) -> None:
        other = await lab.runs.create(NewRun(), ALICE)
        run = await lab.runs.create(NewRun(), ALICE)
        first = points(("a", math.nan, "2026-01-01T12:00:02"), ("b", 1.0, "2026-01-01T12:00:01"))
        second = points(("a", -math.inf, "2026-01-01T12:00:02"), ("a", 5.0, "2026-01-01T12:00:00"))
        assert (await lab.metrics.log_points(run.id, first, "", 0, ALICE, "keep")).first_number == 1
        assert (await lab.metrics.log_points(other.id, first, "", 0, ALICE, "keep")).first_number == 1
        assert (await lab.metrics.log_points(run.id, second, "", 0, ALICE, "keep")).first_number == 3
        empty = await lab.metrics.log_points(run.id, MetricPoints(points=()), "", 0, ALICE, "keep")
        assert empty.first_number is None
        told = await lab.series.points(run.id, ALICE, None, 10, 0)
        assert [(one.number, one.name) for one in told] == [(4, "a"), (2, "b"), (1, "a"), (3, "a")]
        assert math.isnan(told[2].value) and told[3].value == -math.inf
        assert told[0].time.isoformat() == "2026-01-01T12:00:00+00:00"
        page = await lab.series.points(run.id, ALICE, "a", 1, 1)
        assert [one.number for one in page] == [1]
        with pytest.raises(NotFound):
            await lab.series.points(run.id, BOB, None, 10, 0)

    with_tracking(work)


def test_a_summary_is_not_spoiled_by_what_is_no_number(with_tracking) -> None:
    async def work(lab: Tracking) -> None:
        run = await lab.runs.create(NewRun(), ALICE)
        logged = points(
            ("loss", 4.0, "2026-01-01T12:00:03"),
            ("loss", 1.0, "2026-01-01T12:00:01"),
            ("loss", math.nan, "2026-01-01T12:00:02"),
            ("loss", math.inf, "2026-01-01T12:00:02"),
            ("lost", math.nan, None),
        )
        await lab.metrics.log_points(run.id, logged, "", 0, ALICE, "keep")
        loss, lost = (await lab.series.summary(run.id, ALICE)).items
        assert (loss.name, loss.last, loss.min, loss.max, loss.mean, loss.count) == (
            "loss",
            4.0,
            1.0,
            4.0,
            2.5,
            4,
        )
        assert (lost.name, lost.min, lost.max, lost.mean, lost.count) == ("lost", None, None, None, 1)
        assert lost.last is None
        with pytest.raises(NotFound):
            await lab.series.summary(run.id, BOB)

    with_tracking(work)


def test_a_run_ends_when_it_says_so(with_tracking) -> None:
    async def work(lab: Tracking) -> None:
        run = await lab.runs.create(NewRun(), ALICE)
        assert run.updated_at == run.started_at
        ended = await lab.runs.change(
            run.id, RunChange(status="finished", ended_at="2026-01-01T01:00:00"), ALICE
        )
        assert ended.ended_at is not None
        assert ended.ended_at.isoformat() == "2026-01-01T01:00:00+00:00"
        assert ended.updated_at > run.updated_at
        again = await lab.runs.change(run.id, RunChange(status="running"), ALICE)
        assert again.ended_at is None

    with_tracking(work)


def test_the_runs_of_a_project_are_deleted_all_or_none(with_tracking) -> None:
    async def work(lab: Tracking) -> None:
        project = await lab.projects.create(NewProject(name="p", is_public=True), ALICE)
        made = [await lab.runs.create(NewRun(project=project.id), ALICE) for _ in range(3)]
        kept = await lab.runs.create(NewRun(), ALICE)
        await lab.metrics.log_points(made[0].id, points(("a", 1.0, None)), "", 0, ALICE, "keep")
        with pytest.raises(PermissionDenied):
            await lab.runs.delete_of_project(project, BOB)
        version = (
            "INSERT INTO model_versions (model_id, version, run_id, bundle, manifest, description, tags, "
            "author, created_at) VALUES (1, 1, ?, '', '{}', '', [], '', now()::TIMESTAMP)"
        )
        model = "INSERT INTO models (name, owner_id, created_at) VALUES ('m', ?, now()::TIMESTAMP)"
        await lab.database.write(lambda transaction: transaction.execute(model, ALICE.account_id))
        await lab.database.write(lambda transaction: transaction.execute(version, made[1].id))
        with pytest.raises(Conflict):
            await lab.runs.delete_of_project(project, ALICE)
        assert (await lab.runs.page(WantedRuns(project="p"), 10, 0, ALICE)).total == 3
        await lab.database.write(lambda transaction: transaction.execute("DELETE FROM model_versions"))
        await lab.runs.delete_of_project(project, ALICE)
        await lab.runs.delete_of_project(project, ALICE)
        assert [one.id for one in (await lab.runs.page(WantedRuns(), 10, 0, ALICE)).items] == [kept.id]
        with pytest.raises(NotFound):
            await lab.runs.get(made[0].id, ALICE)
        left = await lab.database.read(lambda cursor: cursor.value("SELECT count(*) FROM metrics"))
        assert left == 0

    with_tracking(work)


def test_what_is_in_memory_is_what_is_on_disk(with_tracking, monkeypatch) -> None:
    monkeypatch.setattr(heartbeats_module, "HEARTBEAT_GRAIN_S", 0)

    async def work(lab: Tracking) -> None:
        project = await lab.projects.create(NewProject(name="before"), ALICE)
        run = await lab.runs.create(NewRun(project=project.id), ALICE)

        async def same() -> Run:
            seen = await lab.runs.get(run.id, ALICE)
            (stored,) = (await lab.runs.page(WantedRuns(), 10, 0, ALICE)).items
            assert seen == stored
            return seen

        await same()
        await lab.runs.change(run.id, RunChange(notes="changed"), ALICE)
        assert (await same()).notes == "changed"
        before = await same()
        await lab.heartbeats.heartbeat(run.id, ALICE)
        assert (await same()).heartbeat_at > before.heartbeat_at
        await lab.runs.set_bundle(run.id, "digest", ALICE)
        assert (await same()).bundle == "digest"
        await lab.runs.stop(run.id, ALICE)
        assert (await same()).stop_requested
        project = await lab.projects.change(project, ProjectChange(name="after", is_public=True), ALICE)
        assert (await same()).project == "after"
        assert await lab.runs.get(run.id, BOB) == await same()
        await lab.projects.delete(project, ALICE)
        assert (await same()).project is None
        with pytest.raises(NotFound):
            await lab.runs.get(run.id, BOB)
        await lab.runs.delete(run.id, ALICE)
        with pytest.raises(NotFound):
            await lab.runs.get(run.id, ALICE)

    with_tracking(work)


def test_what_was_read_while_something_was_committed_is_not_kept() -> None:
    old = Run.model_construct(id=1, name="old", project_id=None)
    new = Run.model_construct(id=1, name="new", project_id=None)
    recent = RecentRuns(limit=2)
    generation = recent.generation
    recent.committed(new)
    recent.offer(old, generation)
    assert recent.get(1) is new
    generation = recent.generation
    recent.forget(1)
    recent.offer(old, generation)
    assert recent.get(1) is None
    for number in (1, 2, 3):
        recent.offer(Run.model_construct(id=number, project_id=None), recent.generation)
    assert [number for number in (1, 2, 3) if recent.get(number)] == [2, 3]


def test_only_a_run_that_beats_is_given_up_when_it_is_silent(with_tracking, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "LOST_AFTER_S", 0.1)
    monkeypatch.setattr(heartbeats_module, "LOOK_EVERY_S", 0.02)

    async def work(lab: Tracking) -> None:
        beating = await lab.runs.create(NewRun(heartbeats=True), ALICE)
        silent = await lab.runs.create(NewRun(), ALICE)
        lab.heartbeats.start()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if (await lab.runs.get(beating.id, ALICE)).status == "unreachable":
                break
        await lab.heartbeats.stop()
        lost = await lab.runs.get(beating.id, ALICE)
        assert (lost.status, lost.ended_at) == ("unreachable", None)
        assert (await lab.runs.get(silent.id, ALICE)).status == "running"
        await lab.heartbeats.heartbeat(beating.id, ALICE)
        assert (await lab.runs.get(beating.id, OWNER)).status == "running"

    with_tracking(work)
