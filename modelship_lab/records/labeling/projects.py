"""Projects and how they are labeled."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from modelship_lab.records.base import Record, Task, Title, UtcTime
from modelship_lab.records.errors import Conflict
from modelship_lab.records.labeling.values import ClassName, Fraction, Kind, Number, kind_of


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    stripped = tuple(name.strip() for name in classes)
    if len(set(stripped)) != len(stripped):
        raise ValueError("class names must differ from each other")
    if not all(stripped):
        raise ValueError("a class name is empty")
    return stripped


Classes = Annotated[tuple[ClassName, ...], Field(max_length=1000), AfterValidator(_distinct)]

TAKEN_KEYS = frozenset("sfun?/ ")
"""Keys of the labeler itself: skip, flag, undo, note, help, search, and the blank that accepts a suggestion."""


def _usable_keys(keys: dict[str, str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for name, key in keys.items():
        if key[0] in TAKEN_KEYS:
            raise ValueError(f"the key '{key[0]}' of class '{name}' is one of the labeler's own")
        for other, owner in owners.items():
            if other == key:
                raise ValueError(f"classes '{owner}' and '{name}' have the same key '{key}'")
            if other.startswith(key) or key.startswith(other):
                raise ValueError(
                    f"the keys of classes '{owner}' and '{name}' exclude each other: '{other}' and '{key}'"
                )
        owners[key] = name
    return keys


ClassKey = Annotated[str, Field(pattern=r"^[^\sA-Z]{1,2}$")]
"""A key, or a chord of two that are pressed one after the other: `p`, `q1`."""


class LabelingSettings(Record):
    """How a project is labeled."""

    guidelines: str = Field(default="", max_length=100_000)
    """What labelers should know, in Markdown; shown beside the samples."""
    keys: Annotated[dict[ClassName, ClassKey], AfterValidator(_usable_keys)] = {}
    """Keys of classes; the others get digits and chords by themselves."""
    skip_reasons: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=20
    )
    """Reasons to choose from when a sample is skipped; others can be typed."""
    threshold: Fraction | None = None
    """From this confidence on, suggestions become labels by themselves, with status `auto`; None: never."""
    class_thresholds: dict[ClassName, Fraction] = {}
    """Thresholds of single classes, in place of the project's."""
    overlap: int = Field(default=1, ge=1, le=10)
    """How many people label each sample of the share below, none of whom sees what the others said.

    This and the other shares hold for decisions from now on; what was decided before can be asked for.
    """
    overlap_share: Fraction = 1.0
    review_share: Fraction = 0.0
    """Share of the human labels that somebody else looks at again, unless somebody decides between several anyway."""
    gold_share: Fraction = 0.05
    """Share of what is handed out that is gold, as long as a labeler has not seen all of it."""
    repeat_share: Fraction = 0.0
    """Share of a labeler's own samples that come once more, without their label."""
    random_share: Fraction = 0.1
    """Share of the queue that is random in orders by doubt or diversity, so that what no model doubts is seen, too."""
    lease_s: float = Field(default=600.0, ge=1, le=86_400)
    """For how long nobody else gets a sample that was handed out, in seconds."""
    retrain_every: int | None = Field(default=None, ge=5)
    """After how many human labels the light model learns again and suggests anew; None: never."""
    unit: str = Field(default="", max_length=40)
    """What numbers are counted in: `USD`, `°C`."""
    lowest: Number | None = None
    """No number is below it; None: any may be."""
    highest: Number | None = None

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError("the lowest number must be below the highest")
        return self

    def number_problem(self, number: float) -> str:
        """Why a number cannot be a label; empty if it can."""
        if self.lowest is not None and number < self.lowest:
            return f"{number:g} is below {self.lowest:g}, the lowest of the project"
        if self.highest is not None and number > self.highest:
            return f"{number:g} is above {self.highest:g}, the highest of the project"
        return ""


class _LabelingTask(Record):
    task: Task | None = None
    """What is labeled; without one, the project only holds runs and whatever else is filed under its name."""
    multilabel: bool = False
    """Any number of classes may apply to a sample; for tasks of classification."""
    classes: Classes = ()

    @field_validator("classes")
    @classmethod
    def _enough(cls, classes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        task, multilabel = info.data.get("task"), info.data.get("multilabel", False)
        if len(classes) == 1 and (task is None or kind_of(task, multilabel) == "label"):
            raise ValueError("at least two classes are needed")
        return classes

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        is_number = self.task is not None and kind_of(self.task, False) == "number"
        if is_number and self.classes:
            raise ValueError(f"{self.task} predicts a number: it has no classes")
        if not is_number and (self.task is None) != (not self.classes):
            raise ValueError("task and classes belong together: give both, or neither")
        if self.task is None:
            if self.multilabel:
                raise ValueError("multilabel belongs to a task")
            return self
        if self.multilabel and kind_of(self.task, True) != "labels":
            raise ValueError(
                f"multilabel does not belong to {self.task}: "
                + ("it has no classes" if is_number else "it has any number of classes anyway")
            )
        return self


def _require_fitting(settings: LabelingSettings, task: Task | None, classes: tuple[str, ...]) -> None:
    unknown = sorted((settings.keys.keys() | settings.class_thresholds.keys()) - set(classes))
    if unknown:
        raise ValueError(f"settings name '{unknown[0]}', which is not a class of the project")
    is_number = task is not None and kind_of(task, False) == "number"
    if is_number and settings.threshold is not None:
        raise ValueError("a project of numbers has no threshold: no model says how sure it is of a number")
    if not is_number and (settings.unit or settings.lowest is not None or settings.highest is not None):
        raise ValueError("unit, lowest and highest belong to projects of numbers (regression)")


class NewProject(_LabelingTask):
    """What is needed to create a project."""

    name: Title
    description: str = Field(default="", max_length=10_000)
    is_public: bool = False
    settings: LabelingSettings = LabelingSettings()

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        _require_fitting(self.settings, self.task, self.classes)
        return self


class ProjectChange(_LabelingTask):
    """Fields of a project that can be changed; what is left out stays as it is.

    The task and its classes can be given once, to a project that has none. Settings are changed one by one:
    those that are left out stay as they are.
    """

    name: Title | None = None
    description: str | None = Field(default=None, max_length=10_000)
    is_public: bool | None = None
    labelers: Annotated[tuple[str, ...], Field(max_length=1000)] | None = None
    """Names of the accounts that may label in it besides its owner."""
    settings: LabelingSettings | None = None


class Project(Record):
    """A set of samples of one task with the classes they are labeled with; and what runs are filed under.

    A project need not be one of labeling: then it has neither a task nor classes.
    """

    id: int
    name: str
    task: Task | None
    classes: tuple[str, ...]
    multilabel: bool = False
    description: str
    settings: LabelingSettings = LabelingSettings()
    owner_id: int
    is_public: bool
    labeler_ids: tuple[int, ...] = ()
    labelers: tuple[str, ...] = ()
    """Who may label in it besides its owner."""
    created_at: UtcTime
    updated_at: UtcTime

    def require_task(self) -> Task:
        """The project's task, for what is done with samples.

        Raises:
            Conflict: it has none; says what to do.
        """
        if self.task is None:
            raise Conflict(
                f"Project '{self.name}' is not one of labeling: give it a task and classes first "
                "(change the project), or use another project."
            )
        return self.task

    @property
    def kind(self) -> Kind:
        """What is said about a sample.

        Raises:
            Conflict: the project is not one of labeling.
        """
        return kind_of(self.require_task(), self.multilabel)

    def changed_settings(self, change: LabelingSettings) -> LabelingSettings:
        """The settings with those that `change` names.

        Raises:
            ValueError: they name classes that the project does not have, or do not belong to its task.
        """
        named = {name: getattr(change, name) for name in change.model_fields_set}
        _require_fitting(change, self.task, self.classes)
        changed = self.settings.model_copy(update=named)
        # Each end of a range may fit by itself, and not to the other one.
        return LabelingSettings.model_validate(changed.model_dump())
