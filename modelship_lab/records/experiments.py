"""Which project the data of an experiment belong to."""

from modelship_lab.records.data_check import DataCheck
from modelship_lab.records.labeling import Project

__all__ = ["project_names", "selection_of", "takes"]

MOST = 200
"""Characters of a project's name, or a selection's."""


def project_names(experiment: str, check: DataCheck) -> tuple[str, str]:
    """Names of the project that data are imported into: the experiment's own, or, where that has other classes, one
    that is called by them, too."""
    return experiment, f"{experiment} ({', '.join(sorted(check.classes))})"[:MOST]


def selection_of(path: str) -> str:
    """Name of the selection of the rows of a data file, in its project."""
    return path[-MOST:]


def takes(project: Project, check: DataCheck) -> bool:
    """Whether data can be imported into a project: it is one of texts, and of the same classes. With more of them, a
    model would have classes that its data do not."""
    is_of_texts = project.task == "text_classification" and not project.multilabel
    return is_of_texts and set(check.classes) == set(project.classes)
