"""Thresholds and audits of automatic labels as they are drawn in a notebook."""

from modelship_lab.notebook.rendering import as_html
from modelship_lab.records.labeling import AuditReport, OriginAudit, Rate, ThresholdChoice, Thresholds

SURE = Rate(right=198, total=200, rate=0.99, low=0.964, high=0.997)
UNSURE = Rate(right=7, total=12, rate=0.583, low=0.32, high=0.807)


def test_a_threshold_is_drawn_with_what_it_gave_and_what_was_wanted() -> None:
    chosen = ThresholdChoice(
        name="<script>", known=560, threshold=0.91, precision=SURE, accepted=1234, review=56
    )
    unknown = ThresholdChoice(name=None, known=12, threshold=None, precision=UNSURE, accepted=0, review=70)
    html = as_html(Thresholds(precision=0.95, overall=unknown, classes=(chosen,)))
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    # Accepted from there on to the end; the interval and the mark stand where their rates are.
    assert "left:91.00%;right:0.00%" in html
    assert "left:96.40%;right:0.30%" in html
    assert "left:95.00%" in html
    assert "99.0% of 200 (95 %: 96.4%–99.7%)" in html
    # Green is only what is beyond what was wanted with all of its interval.
    all_row, class_row = html.split("</tr>")[1:3]
    assert "#16a06a" in class_row
    assert "#16a06a" not in all_row
    assert "none" in all_row
    # What it would do stands beside it.
    assert "1,234" in class_row
    assert ">56<" in class_row


def test_an_audit_is_drawn_on_a_line_that_small_rates_fill_too() -> None:
    few = Rate(right=2, total=60, rate=0.0333, low=0.009, high=0.114)
    none = Rate(right=0, total=0, rate=None, low=None, high=None)
    audited = OriginAudit(origin="light:5", labels=1203, audited=60, errors=few)
    waiting = OriginAudit(origin="light:6", labels=30, audited=0, errors=none)
    html = as_html(AuditReport(origins=(audited, waiting)))
    assert "The track ends at 20%" in html
    assert "left:4.50%;right:43.00%" in html
    assert "1,203" in html
    assert as_html(AuditReport(origins=())).count("There are no automatic labels") == 1
