"""Deployments, predictions and what a model worker says of itself."""

from typing import Any, Literal

from pydantic import Field

from modelship_lab.records.base import Name, Record, Task, UtcTime

DeploymentStatus = Literal["starting", "ready", "failed", "stopped"]


LATENCY_BOUNDS_MS = tuple(round(0.1 * 10 ** (step / 16), 4) for step in range(16 * 6 + 1))
"""Upper bounds of the bins in which latencies are counted: 0.1 ms to 100 s, each 15 % above the one before.

Bin i counts latencies above bound i - 1 and up to bound i; one more bin counts what is above the last.
"""


class NewDeployment(Record):
    """Serve a registered model version under a name. An existing name gets a new version of the deployment."""

    model: str = Field(pattern=r"^.+/\d+$")
    """`model-name/version`."""
    name: Name
    timeout_s: float = Field(default=30, gt=0, le=600)
    max_batch: int = Field(default=64, ge=1, le=4096)
    max_queue: int = Field(default=1024, ge=1, le=100_000)
    is_public: bool | None = None
    """Whether every account may see it and ask it; None: as it is, and a new one is private."""


class DeploymentVersion(Record):
    version: int
    model: str
    status: DeploymentStatus
    is_current: bool
    error: str
    """Why it failed."""
    created_at: UtcTime


class Deployment(Record):
    id: int
    name: str
    owner_id: int
    is_public: bool
    status: DeploymentStatus
    """`starting` also while a new version starts beside the one that is served."""
    model: str
    """`model-name/version` that is served now."""
    version: int
    task: Task
    classes: tuple[str, ...]
    address: str | None
    """Base address of the model worker, e.g. `http://127.0.0.1:41233`; None until it is ready."""
    key: str | None = Field(repr=False)
    """The bearer credential of the direct address; only for callers who may change the deployment."""
    restarts: int
    """How often the worker of the current version was started again after it had died."""
    error: str
    """Why it failed, or why its newest version did not take over."""
    cold_start_ms: dict[str, float]
    """The last start, split: spawn, import, load, warm_up, total."""
    versions: tuple[DeploymentVersion, ...]
    created_at: UtcTime
    updated_at: UtcTime


class PredictRequest(Record):
    """ServeML's predict body.

    `data` is one input or a list of inputs. An input is a string (text), `{"image": "<base64>"}`
    (image), or a row as `{"feature": value}` or as a list of values in the order of the features.
    """

    data: Any
    explain: bool = False
    class_name: str | None = None
    """Explain this class instead of the predicted one."""


class Attribution(Record):
    """Shapley values of one prediction: how much each part moved the probability of `label`, or the number.

    They sum to `probability - base` (efficiency axiom).
    """

    label: str
    """The class; empty of a number."""
    method: str
    base: float
    """Probability of `label`, or the number, with every part absent."""
    probability: float
    parts: tuple[str, ...]
    """Tokens in order, names of features, or names of image regions `x0,y0,x1,y1` in pixels."""
    values: tuple[float, ...]


class Prediction(Record):
    """One input's answer."""

    prediction: str | float | tuple[str, ...]
    """The class, the number, or all classes that apply."""
    probabilities: tuple[float, ...]
    """In the order of the deployment's classes; none of a number."""
    confidence: float | None
    """Of several classes that of the decision which is least sure; None of a number."""
    explanation: Attribution | None = None
    model_version: str = ""
    response_time_ms: float = 0.0


class WindowMetrics(Record):
    """What a deployment did during one second or one longer window."""

    time: UtcTime
    requests: int
    errors: int
    rows: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class DeploymentMetrics(Record):
    deployment_id: int
    window_s: int
    total: WindowMetrics
    series: tuple[WindowMetrics, ...]
    """One entry a second, oldest first."""
