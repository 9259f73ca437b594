"""Files of labeled texts: examined, and described in a page."""

from typing import Any

from pydantic import Field

from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck
from modelship_lab.server.api.services import Services
from modelship_lab.server.dialects.finsight.dialect import FINSIGHT
from modelship_lab.server.dialects.finsight.words import Answer, Body, time_of
from modelship_lab.server.identity.policy import Caller


class DataIn(Body):
    data_path: str = Field(min_length=1, max_length=1000)
    format: str | None = Field(default=None, max_length=20)
    text_column: str = Field(default=TEXT_COLUMN, min_length=1, max_length=500)
    label_column: str = Field(default=LABEL_COLUMN, min_length=1, max_length=500)


class ReportIn(DataIn):
    output_path: str = Field(default="data_report.html", min_length=1, max_length=1000)


@FINSIGHT.endpoint("POST", "api/v1/data/validate", permission="train")
async def validate_data(services: Services, caller: Caller, body: DataIn) -> Answer:
    """Validate dataset format and content."""
    check = await services.data_files.check(
        body.data_path, caller, body.format, body.text_column, body.label_column
    )
    return Answer.model_validate(_check(check))


@FINSIGHT.endpoint("POST", "api/v1/data/report", permission="train")
async def report_data(services: Services, caller: Caller, body: ReportIn) -> Answer:
    """Generate dataset analysis report: a page of HTML."""
    report = await services.data_files.report(
        body.data_path, body.output_path, caller, body.format, body.text_column, body.label_column
    )
    return Answer.model_validate(
        {
            **_check(report.check),
            "output_path": report.output,
            "duplicates": report.duplicates,
            "near_duplicates": report.near_duplicates,
            "contradictions": report.contradictions,
            "leakage": report.leaking,
            "languages": report.languages,
            "likely_label_errors": report.likely_label_errors,
            "generated_at": time_of(report.created_at),
        }
    )


def _check(check: DataCheck) -> dict[str, Any]:
    problems = [one.model_dump(mode="json", exclude={"is_error"}) for one in check.problems]
    paired = list(zip(check.problems, problems, strict=True))
    return {
        "valid": check.valid,
        "data_path": check.path,
        "format": check.format,
        "row_count": check.rows,
        "rows": check.rows,
        "columns": check.columns,
        "text_column": check.text_column,
        "label_column": check.label_column,
        "label_distribution": check.classes,
        "errors": [told for problem, told in paired if problem.is_error],
        "warnings": [told for problem, told in paired if not problem.is_error],
    }
