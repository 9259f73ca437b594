"""What verbs return when one record does not say it all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelship_lab.records.artifacts import Artifact
from modelship_lab.records.evaluation import Evaluation
from modelship_lab.records.identity import Account, ApiKey, Credits
from modelship_lab.records.labeling import Export, Import, LabelingSettings, Progress, Quality
from modelship_lab.records.serving import Deployment, DeploymentMetrics, Prediction
from modelship_lab.records.tracking import Run
from modelship_lab.records.webhooks import Webhook

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.comparison import RunComparison


@dataclass(frozen=True)
class ProjectProgress:
    """How far the labeling of a project is."""

    project: str
    progress: Progress


@dataclass(frozen=True)
class ProjectQuality:
    """How good the labels of a project are."""

    project: str
    quality: Quality

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["quality"], name)


@dataclass(frozen=True)
class ProjectSettings:
    """How a project is labeled."""

    project: str
    settings: LabelingSettings


@dataclass(frozen=True)
class Imported:
    """What an import has done to a project."""

    project: str
    result: Import

    def __getattr__(self, name: str) -> Any:
        return getattr(self.result, name)


@dataclass(frozen=True)
class Exported:
    """Labels that were written to a file or folder."""

    path: str
    result: Export

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["result"], name)


@dataclass(frozen=True)
class RunReport:
    """A run with its evaluation, if it has one."""

    run: Run
    evaluation: Evaluation | None
    artifacts: tuple[Artifact, ...]
    metrics: "pl.DataFrame" = field(repr=False)
    """The last value of each metric: `name`, `step`, `value`."""
    image: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)
    """Fetches an encoded image by its content address, for the pictures of the worst errors."""
    lab_id: str = field(default="", repr=False)
    """Of the lab that the run is in."""


@dataclass(frozen=True)
class Mislabeled:
    """Labels of a project that may be wrong."""

    project: str
    table: "pl.DataFrame" = field(repr=False)
    """The most doubtful first: `sample_id`, `label`, `likely`, `score`, `preview`."""
    image: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)
    """Fetches an encoded image by its content address; None where samples are no images."""


@dataclass(frozen=True)
class Compared:
    """Runs side by side."""

    comparison: "RunComparison"
    everything: bool = field(default=False, repr=False)
    """Whether also what is equal in all of them is shown."""
    code: str | None = field(default=None, repr=False)
    """What differs in the code of the first two, as a unified diff; None if nobody has asked."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["comparison"], name)


@dataclass(frozen=True)
class Predicted:
    """A prediction with what was asked."""

    prediction: Prediction
    classes: tuple[str, ...]
    input: Any = field(repr=False)
    """A text, the bytes of an image, or a row."""
    deployment: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prediction, name)


@dataclass(frozen=True)
class Predictions:
    """Predictions of several inputs."""

    items: tuple[Predicted, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Predicted:
        return self.items[index]

    def __iter__(self) -> Iterator[Predicted]:
        return iter(self.items)


@dataclass(frozen=True)
class DeploymentReport:
    """A deployment with what it did lately."""

    deployment: Deployment
    metrics: DeploymentMetrics


@dataclass(frozen=True)
class Identity:
    """Who the lab takes one for, and which lab it is."""

    account: Account
    url: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.account, name)


@dataclass(frozen=True)
class CreditReport:
    """The credits of an account."""

    username: str
    credits: Credits


@dataclass(frozen=True)
class ToldOnce:
    """Something that was made with a secret, which nothing but its attribute shows.

    Args:
        thing: what was made.
        attribute: the name of the attribute that has the secret, e.g. `key`.
        secret: an API key, a password, or what signs a webhook's events.
        note: how to come by it.
        printed: whether a shell prints it.
        quiet: whether a shell prints nothing else.
    """

    thing: Account | ApiKey | Webhook
    attribute: str
    secret: str = field(repr=False)
    note: str = field(repr=False)
    printed: bool = field(default=True, repr=False)
    quiet: bool = field(default=False, repr=False)

    def __getattr__(self, name: str) -> Any:
        # Not `self.attribute`: copying asks for attributes before there are any.
        if name == self.__dict__.get("attribute"):
            return self.secret
        return getattr(self.__dict__.get("thing"), name)


@dataclass(frozen=True)
class Done:
    """Something that was done and has nothing to show."""

    message: str

    def __repr__(self) -> str:
        return self.message
