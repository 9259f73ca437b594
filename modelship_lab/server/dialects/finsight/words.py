"""What is sent and answered, and times, sizes and pages in the document's words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from modelship_lab.records.base import Record


class Body(Record):
    """What a client sends: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class Answer(Record):
    """What an endpoint answers, in the document's words."""

    model_config = ConfigDict(extra="allow")


def page_of(items: list[dict[str, Any]], total: int, limit: int, offset: int) -> Answer:
    pages = -(-total // limit)
    page = offset // limit + 1
    return Answer.model_validate(
        {
            "items": items,
            "pagination": {
                "page": page,
                "per_page": limit,
                "total": total,
                "total_pages": pages,
                "has_next": offset + limit < total,
                "has_prev": offset > 0,
            },
        }
    )


def time_of(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float, *, seconds_too: bool = False) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {rest}s" if seconds_too else f"{hours}h {max(minutes, 0 if hours else 1)}m"


def share(used: int, total: int) -> str:
    return f"{used / 2**30:.1f}GB / {total / 2**30:.1f}GB"


def size_of(size: int) -> str:
    return f"{size / 1e6:.1f}MB" if size >= 100_000 else f"{size / 1e3:.1f}KB"


def plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:100]


_FIGURES = {
    "test_accuracy": "accuracy",
    "test_macro_f1": "f1_score",
    "test_macro_precision": "precision",
    "test_macro_recall": "recall",
}


def figures_of(summary: Mapping[str, float]) -> dict[str, float]:
    return {_FIGURES.get(name, name): value for name, value in summary.items()}
