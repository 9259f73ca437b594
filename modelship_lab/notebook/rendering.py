"""What a verb returned, as HTML and on one line."""

from typing import Any

from modelship_lab.notebook.markup import description_html


def as_html(value: Any) -> str:
    """A thing that a verb returned, as HTML."""
    from modelship_lab.client.comparison import RunComparison
    from modelship_lab.client.sweeps.report import SweepReport
    from modelship_lab.commands.description import describe
    from modelship_lab.commands.results import Compared, Mislabeled, Predicted, Predictions, RunReport
    from modelship_lab.notebook.automatic_labels import audit_html, thresholds_html
    from modelship_lab.notebook.prediction_html import predicted_html, predictions_html
    from modelship_lab.notebook.run_html import comparison_html, mislabeled_html, report_html, sweep_html
    from modelship_lab.records.labeling import AuditReport, Thresholds

    if isinstance(value, Thresholds):
        return thresholds_html(value)
    if isinstance(value, AuditReport) and value.origins:
        return audit_html(value)
    if isinstance(value, Mislabeled) and value.image is not None:
        return mislabeled_html(value)
    if isinstance(value, Predicted):
        return predicted_html(value)
    if isinstance(value, Predictions):
        return predictions_html(value)
    if isinstance(value, RunReport):
        return report_html(value)
    if isinstance(value, (Compared, RunComparison)):
        return comparison_html(value)
    if isinstance(value, SweepReport):
        return sweep_html(value)
    return description_html(describe(value))


def as_text(value: Any) -> str:
    """A thing that a verb returned, on one line."""
    from modelship_lab.commands.description import describe

    described = describe(value)
    facts = ", ".join(f"{name}: {text}" for name, text in described.facts[:6])
    return f"{described.title} ({facts})" if facts else described.title
