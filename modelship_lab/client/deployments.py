"""Waiting for a deployment to answer."""

import time

from modelship_lab.client.connection import Connection
from modelship_lab.records.errors import DeploymentFailed, TimedOut
from modelship_lab.records.serving import Deployment

_POLL_S = 2.0


def wait_until_started(connection: Connection, deployment: Deployment, timeout_s: float) -> Deployment:
    """The deployment when it is ready.

    Raises:
        DeploymentFailed: the worker did not start; the message says why.
        TimedOut: it is still starting.
    """
    deadline = time.monotonic() + timeout_s
    while deployment.status == "starting":
        if time.monotonic() > deadline:
            raise TimedOut(f"The deployment '{deployment.name}' is still starting after {timeout_s:.0f} s.")
        # Short polls, so that an interrupt of the kernel gets through.
        deployment = connection.record(
            Deployment, "GET", f"deployments/{deployment.id}", params={"wait_s": _POLL_S}
        )
    if deployment.status == "failed":
        raise DeploymentFailed(f"The deployment '{deployment.name}' did not start: {deployment.error}")
    return deployment
