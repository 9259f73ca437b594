"""Help from models in labeling a project: suggestions that learn, thresholds, audits."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from modelship_lab.client import labeling_functions, suggesting
from modelship_lab.client.checked import checked
from modelship_lab.client.labeling_functions import LabelingFunction, Rules
from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, LabError
from modelship_lab.records.jobs import ENDED, UNDER_WAY, Encoder, Job, NewJob
from modelship_lab.records.labeling import (
    AuditReport,
    NewRequests,
    Revoke,
    Sample,
    SampleFilter,
    SavedBulk,
    SavedRequests,
    SavedSuggestions,
    Thresholds,
)

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.projects import ProjectHandle
    from modelship_lab.client.runs import RunHandle

_WAIT_S = 20
_RETRY_S = 0.3
_PAGE, _PREVIEW_LENGTH = 200, 200


class ModelHelp:
    """A part of `ProjectHandle`; it is nothing by itself."""

    @property
    def _project(self) -> "ProjectHandle":
        return cast("ProjectHandle", self)

    def suggest(
        self, model: "RunHandle | int | str | None" = None, *, deployment: str | int | None = None
    ) -> SavedSuggestions:
        """Suggest labels for the unlabeled samples by something that knows the classes.

        Args:
            model: a run with a trained model; a version of a registered one, as `spam-filter/3` or
                `spam-filter@Production`; `zero-shot`, which compares texts with the names of the classes; or
                `lexicon`, for the classes negative, positive and perhaps neutral.
            deployment: the name of one that is asked instead.
        """
        project = self._project
        if (model is None) == (deployment is None):
            raise InvalidInput("Say what suggests: a run, a version of a model, or a deployment.")
        answer: SavedSuggestions
        if deployment is not None:
            with _progress(f"deployment {deployment}") as told:
                return suggesting.by_deployment(project, deployment, told)
        if model == "lexicon":
            with _progress("lexicon") as told:
                return suggesting.by_lexicon(project, told)
        if model == "zero-shot":
            with _progress("zero-shot") as told:
                answer = project.lab.verbs.suggest_by_names(project, told)
            return answer
        if isinstance(model, str):
            run_id, source = suggesting.run_of_model(project.lab, model)
        else:
            assert model is not None
            run_id = model if isinstance(model, int) else model.id
            source = f"run:{run_id}"
        answer = project.lab.verbs.suggest(project, run_id, source)
        return answer

    def retrain(self, *, everything: bool = False, wait: bool = True) -> Job:
        """Have the light model learn from the labels there are, and suggest for the undecided samples.

        With the setting `retrain_every` it does so by itself while people label.

        Args:
            everything: suggest for all of them; else, where there are many, for a random choice.
            wait: until that is done.

        Raises:
            LabError: it failed; says why.
        """
        return self._begin(NewJob(kind="light_model", everything=everything), wait)

    def embed(self, encoder: Encoder = "hashed", *, wait: bool = True) -> Job:
        """Have the samples embedded, for the queue's order `diversity` and for the map.

        Args:
            encoder: `hashed` counts words (or takes fields or small pictures); `minilm` reads sentences.
            wait: until that is done.

        Raises:
            LabError: it failed; says why.
        """
        return self._begin(NewJob(kind="embeddings", encoder=encoder), wait)

    def label_errors(self) -> "pl.DataFrame":
        """Labels that may be wrong, the most doubtful first: `sample_id`, `label`, `likely`, `score`, `preview`.

        Models that have not seen a label contradict it (confident learning); `score` is how likely the label is.
        The preview is the beginning of a text, the cells of a row, or the content address of an image.
        Send samples back to the queue with `request("error", ids=...)`.

        Raises:
            LabError: there are too few labels, or the package for it is missing.
        """
        import polars as pl

        found = self._begin(NewJob(kind="label_errors"), wait=True).result["errors"]
        frame = pl.DataFrame(
            found,
            schema={"sample_id": pl.Int64, "label": pl.String, "likely": pl.String, "score": pl.Float64},
        )
        previews = self._previews(frame["sample_id"].to_list())
        return frame.with_columns(
            preview=pl.Series([previews.get(one) for one in frame["sample_id"]], dtype=pl.String)
        )

    def _previews(self, ids: list[int]) -> dict[int, str]:
        """A glimpse of each sample that is still there."""
        project = self._project
        path = f"projects/{project.id}/samples"
        found: dict[int, str] = {}
        for start in range(0, len(ids), _PAGE):
            params = {"ids": ids[start : start + _PAGE], "limit": _PAGE, "preview": _PREVIEW_LENGTH}
            page = project.lab.connection.record(Page[Sample], "GET", path, params=params)
            found |= {one.id: _preview(one) for one in page.items}
        return found

    def embeddings(self, *, vectors: bool = False) -> "pl.DataFrame":
        """Where the samples lie on the map: `sample_id`, `x`, `y`; with `vectors` their embeddings, too."""
        project = self._project
        return project.lab.frame(f"projects/{project.id}/embeddings", {"vectors": vectors})

    def jobs(self) -> list[Job]:
        """The background jobs of the project, the newest first."""
        project = self._project
        return project.lab.whole(Page[Job], f"projects/{project.id}/jobs")

    def wait_for(self, job: Job) -> Job:
        """The job once it has ended."""
        while job.status not in ENDED:
            job = self._project.lab.connection.record(
                Job, "GET", f"jobs/{job.id}", params={"wait_s": _WAIT_S}
            )
        return job

    def cancel(self, job: Job | int) -> Job:
        """End a job that waits or runs."""
        job_id = job if isinstance(job, int) else job.id
        return self._project.lab.connection.record(Job, "DELETE", f"jobs/{job_id}")

    def apply_rules(self, *functions: LabelingFunction) -> Rules:
        """Apply labeling functions to all samples; what they say together becomes suggestions.

        How often each is right is estimated from where they agree and contradict each other, and from the labels
        of people; see `client.label_model`.

        Args:
            functions: default: all that were written under `@lab.labeling_function` in this process.

        Returns:
            How many samples they speak about, and a table with coverage, overlaps, conflicts and accuracy of each.
        """
        project = self._project
        named = {one.__name__: one for one in functions} if functions else labeling_functions.WRITTEN
        with _progress(f"{len(named)} labeling functions") as told:
            return labeling_functions.apply(project, named, told)

    def set_threshold(
        self, threshold: float | None, classes: Mapping[str, float] | None = None
    ) -> SavedSuggestions:
        """From which confidence on suggestions become labels by themselves; applies to what is suggested now, too.

        Such labels have the status `auto`, and are never counted as those of people.

        Args:
            threshold: of all classes; None: none of them, but for those of `classes`.
            classes: thresholds of single classes in its place.

        Returns:
            How many became labels by that, and (`outgrown`) how many automatic labels would not pass any more:
            `revoke(outgrown=True)` takes them back.
        """
        project = self._project
        project.change(settings={"threshold": threshold, "class_thresholds": dict(classes or {})})
        if threshold is None and not classes:
            return SavedSuggestions(saved=0)
        return project.lab.connection.record(
            SavedSuggestions, "POST", f"projects/{project.id}/suggestions/accept", repeatable=True
        )

    def choose_threshold(self, precision: float = 0.95) -> Thresholds:
        """From which confidence on the stored suggestions were right as often as wanted, by gold and human labels.

        Nothing is changed: give what you choose to `set_threshold`.
        """
        project = self._project
        return project.lab.connection.record(
            Thresholds, "GET", f"projects/{project.id}/thresholds", params={"precision": precision}
        )

    def try_threshold(self, confidence: float) -> Thresholds:
        """How often suggestions were right from a confidence on, and how many `set_threshold` would make labels.

        Nothing is changed.
        """
        project = self._project
        return project.lab.connection.record(
            Thresholds, "GET", f"projects/{project.id}/thresholds", params={"confidence": confidence}
        )

    def audit(self, n: int = 100, origin: str | None = None) -> SavedRequests:
        """Send a random choice of automatic labels to the queue, where people judge the samples blindly.

        Args:
            n: how many.
            origin: only labels of this model version or rule.
        """
        project = self._project
        requests = checked(
            NewRequests,
            samples=SampleFilter(status=("auto",), origin=origin),
            purpose="audit",
            detail="blind audit of automatic labels",
            at_most=n,
        )
        return project.lab.connection.record(
            SavedRequests, "POST", f"projects/{project.id}/queue/requests", json=requests
        )

    def audit_report(self) -> AuditReport:
        """How often automatic labels were wrong in blind audits, by what made them, with 95 % intervals."""
        project = self._project
        return project.lab.connection.record(AuditReport, "GET", f"projects/{project.id}/audit")

    def revoke(self, origin: str | None = None, *, outgrown: bool = False) -> SavedBulk:
        """Take back automatic labels: every one of a model version or rule, or those that no longer pass.

        `undo` of the answer's `batch` brings them back.

        Args:
            origin: the model version or rule, e.g. `light:3`.
            outgrown: those whose confidence does not reach the thresholds that there are now, whatever made them.

        Raises:
            NotFound: there is none that still stands.
        """
        project = self._project
        body = checked(Revoke, origin=origin, outgrown=outgrown, key=uuid.uuid4().hex)
        return project.lab.connection.record(
            SavedBulk, "POST", f"projects/{project.id}/labels/revoke", json=body, repeatable=True
        )

    def _begin(self, new: NewJob, wait: bool) -> Job:
        project = self._project
        while True:
            try:
                job = project.lab.connection.record(Job, "POST", f"projects/{project.id}/jobs", json=new)
                break
            except Conflict as error:
                # A round that the server has begun by itself knows fewer labels: this one comes after it.
                if not wait or UNDER_WAY not in [detail.get("reason") for detail in error.details]:
                    raise
                for going in self.jobs():
                    if going.kind == new.kind and going.status not in ENDED:
                        self.wait_for(going)
                # It counts as under way until what it suggests is stored, too.
                time.sleep(_RETRY_S)
        if not wait:
            return job
        job = self.wait_for(job)
        if job.status != "finished":
            raise LabError(job.error or f"Job {job.id} was {job.status}.")
        return job


def _preview(sample: Sample) -> str:
    if sample.row is None:
        return sample.text or sample.image or ""
    cells = (f"{name} {value}" for name, value in sample.row.items() if value is not None)
    return ", ".join(cells)[:_PREVIEW_LENGTH]


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar in the notebook or shell while something goes on."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
