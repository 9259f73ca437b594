"""Times and names, as they come from programs and from the database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from modelship_lab.records.base import Title, UtcTime

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
times = TypeAdapter(UtcTime)
titles = TypeAdapter(Title)


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-02T12:00:00",
        "2026-01-02T12:00:00Z",
        "2026-01-02T14:00:00+02:00",
        "2026-01-02 12:00",
        datetime(2026, 1, 2, 12, 0),
        datetime(2026, 1, 2, 14, 0, tzinfo=timezone(timedelta(hours=2))),
        NOON.timestamp(),
    ],
)
def test_a_time_is_in_utc_and_one_without_a_zone_was_so(given: object) -> None:
    read = times.validate_python(given)
    assert read == NOON
    assert read.tzinfo is UTC


def test_json_is_read_alike() -> None:
    assert times.validate_json('"2026-01-02T12:00:00"') == NOON
    assert times.validate_json('"2026-01-02T14:00:00+02:00"').tzinfo is UTC


@pytest.mark.parametrize("given", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "yesterday"])
def test_a_time_that_utc_cannot_say_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        times.validate_python(given)


def test_a_title_is_one_line_of_text() -> None:
    assert titles.validate_python("  Größe: 5 > 3 👩‍🔬 ") == "Größe: 5 > 3 👩‍🔬"
    for bad in ("", "   ", "a\nb", "a\tb", "\x00", "a\x7fb", "a\u2028b", "x" * 201):
        with pytest.raises(ValidationError):
            titles.validate_python(bad)
