"""The verbs of a lab that are about models and their deployments."""

from collections.abc import Iterable, Mapping
from typing import Any

from modelship_lab.client.checked import checked
from modelship_lab.client.deployments import wait_until_started
from modelship_lab.client.lab_part import LabPart
from modelship_lab.client.predictions import as_input, as_predictions
from modelship_lab.client.projects import quoted
from modelship_lab.client.runs import RunHandle
from modelship_lab.records.base import Page
from modelship_lab.records.registry import Model, ModelVersion, NewModelVersion, Stage, StageChange
from modelship_lab.records.serving import Deployment, DeploymentMetrics, NewDeployment, PredictRequest

_START_TIMEOUT_S = 90.0
_PREDICT_TIMEOUT_S = 120.0


class ShippingVerbs(LabPart):
    """What a `Lab` has for models and deployments."""

    # Models

    def register(
        self,
        run: RunHandle | int,
        name: str,
        stage: Stage = "None",
        description: str = "",
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Register a run's exported model as the next version of `name`.

        Raises:
            Conflict: the run has no exported model.
        """
        run_id = run if isinstance(run, int) else run.id
        new = checked(
            NewModelVersion,
            name=name,
            run_id=run_id,
            stage=stage,
            description=description,
            tags=tuple(tags),
            metadata=dict(metadata or {}),
        )
        return self._lab.connection.record(ModelVersion, "POST", "models", json=new)

    def models(self) -> list[Model]:
        """All models."""
        return self._lab.whole(Page[Model], "models")

    def model_versions(self, name: str | int | None = None) -> list[ModelVersion]:
        """All versions of a model, or of all models."""
        if name is None:
            return [version for model in self.models() for version in self.model_versions(model.name)]
        return self._lab.whole(Page[ModelVersion], f"models/{quoted(name)}/versions")

    def model_version(self, name: str | int, version: int) -> ModelVersion:
        """One version of a model."""
        return self._lab.connection.record(ModelVersion, "GET", f"models/{quoted(name)}/versions/{version}")

    def set_stage(self, name: str | int, version: int, stage: Stage, comment: str = "") -> ModelVersion:
        """Move a version to another stage."""
        path = f"models/{quoted(name)}/versions/{version}/stage"
        change = checked(StageChange, stage=stage, comment=comment)
        return self._lab.connection.record(ModelVersion, "PUT", path, json=change)

    def delete_model_version(self, name: str | int, version: int) -> None:
        """Delete a version of a model.

        Raises:
            Conflict: it is deployed.
        """
        self._lab.connection.request("DELETE", f"models/{quoted(name)}/versions/{version}")

    # Deployments

    def deploy(
        self,
        model: str,
        name: str,
        *,
        answer_timeout_s: float = 30.0,
        max_batch: int = 64,
        max_queue: int = 1024,
        wait: bool = True,
        wait_timeout_s: float = _START_TIMEOUT_S,
    ) -> Deployment:
        """Serve a model version under a name; an existing name gets a new version of the deployment.

        Args:
            model: `model-name/version`.
            name: of the deployment.
            answer_timeout_s: longest answer to one request.
            max_batch: most rows that are predicted at once.
            max_queue: most requests that wait; beyond, the answer is 429.
            wait: whether to wait until it answers.
            wait_timeout_s: longest wait.

        Raises:
            DeploymentFailed: the worker did not start; the message says why.
        """
        new = checked(
            NewDeployment,
            model=model,
            name=name,
            timeout_s=answer_timeout_s,
            max_batch=max_batch,
            max_queue=max_queue,
        )
        deployment = self._lab.connection.record(Deployment, "POST", "deployments", json=new)
        return wait_until_started(self._lab.connection, deployment, wait_timeout_s) if wait else deployment

    def deployments(self) -> list[Deployment]:
        """All deployments."""
        return self._lab.whole(Page[Deployment], "deployments")

    def deployment(self, name: str | int) -> Deployment:
        """A deployment by name or id."""
        return self._lab.connection.record(Deployment, "GET", f"deployments/{quoted(name)}")

    def undeploy(self, name: str | int) -> None:
        """Stop serving a deployment and remove it."""
        self._lab.connection.request("DELETE", f"deployments/{quoted(name)}", timeout_s=120.0)

    def predict(
        self, name: str | int, data: Any, *, explain: bool = False, class_name: str | None = None
    ) -> Any:
        """Predict by a deployment.

        Args:
            name: of the deployment.
            data: one input or a list of inputs: a text; an image as bytes or `Path`; a row as a
                mapping, or as a list of values in the order of the features inside a list of rows.
            explain: whether to compute Shapley values, too.
            class_name: the class to explain; default: the predicted one.

        Returns:
            A `Prediction`, or a list of them for a list of inputs.
        """
        request = checked(PredictRequest, data=as_input(data), explain=explain, class_name=class_name)
        response = self._lab.connection.request(
            "POST",
            f"deployments/{quoted(name)}/predict",
            json=request,
            repeatable=True,
            timeout_s=_PREDICT_TIMEOUT_S,
        )
        return as_predictions(response.json())

    def deployment_metrics(self, name: str | int, window_s: int = 60) -> DeploymentMetrics:
        """What a deployment did during the last `window_s` seconds."""
        return self._lab.connection.record(
            DeploymentMetrics, "GET", f"deployments/{quoted(name)}/metrics", params={"window_s": window_s}
        )
