"""Deployments, their predictions and their figures."""

from typing import Annotated

from pydantic import Field

from modelship_lab.records.base import Page, Seconds
from modelship_lab.records.serving import Deployment, DeploymentMetrics, NewDeployment
from modelship_lab.server.api.endpoint import Content, Request, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

PREDICT_LIMIT = 32 << 20
"""What a model worker takes; it would end the connection of a longer one without a word."""

MAX_WAIT_S = 60.0

WindowSeconds = Annotated[int, Field(ge=1, le=6 * 3600)]


@endpoint("POST", "deployments", permission="deploy", status=202, cost="deploy")
async def deploy(services: Services, caller: Caller, body: NewDeployment) -> Deployment:
    """Serve a registered model version; an existing name gets it as its next version."""
    return await services.deployments.deploy(body, caller)


@endpoint("GET", "deployments", permission="read")
async def list_deployments(services: Services, caller: Caller) -> Page[Deployment]:
    """The caller's and public deployments, by name."""
    return await services.deployments.page(caller)


@endpoint("GET", "deployments/{deployment}", permission="read")
async def read_deployment(
    services: Services, caller: Caller, deployment: str, wait_s: Seconds = 0.0
) -> Deployment:
    """One deployment, by id or name; waits so long for it to be no longer starting."""
    return await services.deployments.get(deployment, caller, min(max(wait_s, 0.0), MAX_WAIT_S))


@endpoint("DELETE", "deployments/{deployment}", permission="deploy")
async def delete_deployment(services: Services, caller: Caller, deployment: str) -> None:
    """Delete a deployment and stop its worker once that has answered what it has."""
    await services.deployments.delete(deployment, caller)


@endpoint(
    "POST", "deployments/{deployment}/predict", permission="read", max_body=PREDICT_LIMIT, cost="predict"
)
async def predict(services: Services, caller: Caller, request: Request, deployment: str) -> Content:
    """Predict one input or a list of inputs (PredictRequest as JSON), or one encoded image as the raw body.

    The answer is the model worker's own, errors included.
    """
    content_type = str(request.headers.get("Content-Type", "application/json"))
    answer = await services.deployments.predict(deployment, caller, request.body, content_type)
    return Content(answer.body, answer.content_type, answer.status, answer.headers)


@endpoint("GET", "deployments/{deployment}/metrics", permission="read")
async def read_deployment_metrics(
    services: Services, caller: Caller, deployment: str, window_s: WindowSeconds = 60
) -> DeploymentMetrics:
    """What a deployment did in the last `window_s` finished seconds, in total and second by second."""
    found = await services.deployments.get(deployment, caller)
    return await services.deployment_metrics.read(found, window_s, caller)
